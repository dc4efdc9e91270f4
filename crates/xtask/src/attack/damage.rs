//! What happens to files: bits flip, ends are missing, parts come twice, numbers change.

use std::ops::Range;

use fastrand::Rng;
use serde_json::{Value, json};

/// Damages the bytes of a file, and says how.
pub fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) -> String {
    if rng.bool()
        && let Ok(mut json) = serde_json::from_slice::<Value>(bytes)
    {
        let what = restructure(&mut json, rng);
        *bytes = json.to_string().into_bytes();
        return what;
    }
    let some = part(bytes.len(), rng);
    let at = format!("bytes {} to {}", some.start, some.end);
    match rng.usize(..10) {
        0 | 1 => flip(bytes, rng),
        2 => {
            bytes.truncate(some.start);
            format!("cut off after {} bytes", some.start)
        }
        3 => {
            bytes.clear();
            "emptied".to_owned()
        }
        4 => {
            // All bits set are not a number in every float.
            let byte = [0, 255][rng.usize(..2)];
            bytes[some].fill(byte);
            format!("{at} filled with {byte}")
        }
        5 => {
            let twice = bytes[some.clone()].to_vec();
            bytes.splice(some.end..some.end, twice);
            format!("{at} twice")
        }
        6 => {
            bytes.drain(some);
            format!("{at} removed")
        }
        7 => {
            let count: usize = 1 << rng.usize(..20);
            let byte = rng.u8(..);
            bytes.extend(std::iter::repeat_n(byte, count));
            format!("{count} times {byte} appended")
        }
        _ => number(bytes, rng),
    }
}

/// Puts another value in the place of one of a JSON file, or takes it out; the file stays JSON.
fn restructure(json: &mut Value, rng: &mut Rng) -> String {
    let mut place = String::new();
    let mut at = json;
    // Not always to the bottom, where most of a vocabulary is alike.
    while place.is_empty() || rng.usize(..4) > 0 {
        let keys: Vec<String> = match at {
            Value::Object(entries) => entries.keys().cloned().collect(),
            Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
            _ => Vec::new(),
        };
        let Some(key) = rng.choice(&keys) else { break };
        place += &format!("/{key}");
        let is_removed = rng.usize(..10) == 0;
        at = match at {
            Value::Object(entries) if is_removed => {
                entries.remove(key);
                return format!("{place} removed");
            }
            Value::Object(entries) => &mut entries[key],
            inner => &mut inner[key.parse::<usize>().unwrap_or_default()],
        };
    }
    let was = at.take();
    *at = match rng.usize(..12) {
        0 => Value::Null,
        1 => json!([]),
        2 => json!({}),
        3 => json!(""),
        4 => json!(0),
        5 => json!(-1),
        6 => json!(u64::MAX),
        7 => json!(1e300),
        8 => json!([was]),
        9 => json!("[UNK]"),
        10 => json!(!was.as_bool().unwrap_or_default()),
        _ => was.as_u64().map_or(was, |number| json!(number ^ 1)),
    };
    let shown: String = at.to_string().chars().take(60).collect();
    format!("{place} became {shown}")
}

/// A range within so many bytes.
fn part(length: usize, rng: &mut Rng) -> Range<usize> {
    let start = rng.usize(..=length);
    let longest = 1 << rng.usize(..16);
    let most = (length - start).min(longest);
    start..start + rng.usize(..=most)
}

fn flip(bytes: &mut [u8], rng: &mut Rng) -> String {
    let mut flipped = Vec::new();
    for _ in 0..rng.usize(1..=8).min(bytes.len()) {
        // Headers and beginnings are small, and decide the most.
        let most = match rng.bool() {
            true => bytes.len(),
            false => bytes.len().min(1024),
        };
        let (at, bit) = (rng.usize(..most), rng.u8(..8));
        bytes[at] ^= 1 << bit;
        flipped.push(format!("{at}.{bit}"));
    }
    format!("bits {} flipped", flipped.join(", "))
}

/// Another number in the place of one that is written in decimal, sometimes of the same length.
fn number(bytes: &mut Vec<u8>, rng: &mut Rng) -> String {
    const OTHERS: [&str; 14] = [
        "0",
        "1",
        "2",
        "-1",
        "3",
        "7",
        "255",
        "65536",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615",
        "0.5",
        "1e999",
    ];
    let numbers = numbers(bytes);
    if numbers.is_empty() {
        return flip(bytes, rng);
    }
    let place = numbers[rng.usize(..numbers.len())].clone();
    let other = match rng.bool() {
        true => OTHERS[rng.usize(..OTHERS.len())].to_owned(),
        false => place
            .clone()
            .map(|_| char::from(rng.u8(b'0'..=b'9')))
            .collect(),
    };
    let was = String::from_utf8_lossy(&bytes[place.clone()]).into_owned();
    let what = format!("{was} at byte {} became {other}", place.start);
    bytes.splice(place, other.bytes());
    what
}

/// Where decimal digits are, in the beginning of a file.
fn numbers(bytes: &[u8]) -> Vec<Range<usize>> {
    let bytes = &bytes[..bytes.len().min(1 << 16)];
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_digit())
    {
        match found.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{damage, numbers, restructure};
    use fastrand::Rng;
    use serde_json::json;

    #[test]
    fn what_is_restructured_stays_json_and_differs_most_often() {
        let whole =
            json!({ "model": { "vocab": { "a": 0, "b": 1 }, "type": "x" }, "list": [true, null] });
        let mut changed = 0;
        for seed in 0..200 {
            let mut json = whole.clone();
            assert!(restructure(&mut json, &mut Rng::with_seed(seed)).starts_with('/'));
            changed += usize::from(json != whole);
        }
        assert!(changed > 150, "{changed}");
    }

    #[test]
    fn numbers_are_runs_of_digits() {
        assert_eq!(numbers(b"a12,3.4"), [1..3, 4..5, 6..7]);
    }

    #[test]
    fn any_file_can_be_damaged_and_most_damage_changes_it() {
        for length in [0, 1, 2, 3000] {
            let whole: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
            let mut changed = 0;
            for seed in 0..200 {
                let mut bytes = whole.clone();
                assert!(!damage(&mut bytes, &mut Rng::with_seed(seed)).is_empty());
                changed += usize::from(bytes != whole);
            }
            assert!(
                changed > if length < 2 { 10 } else { 120 },
                "{length}: {changed}"
            );
        }
    }
}
