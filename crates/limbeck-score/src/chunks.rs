//! Chunks of words, such as names, from their tags: by the rules of conlleval, as seqeval has them in its default mode.

/// A chunk: its type, and its first and last word.
pub(crate) type Chunk<'a> = (&'a str, usize, usize);

/// Whether tags mark chunks: `O`, and `B-`, `I-`, `E-` or `S-` with a type, or one of these letters alone (IOB2, IOB1, BIOES).
pub fn are_chunks<T: AsRef<str>>(tags: &[T]) -> bool {
    let inside = |tag: &T| tag.as_ref().starts_with(['B', 'I']);
    tags.iter().all(|tag| is_chunk_tag(tag.as_ref())) && tags.iter().any(inside)
}

/// Whether a tag is one of those that mark chunks.
pub fn is_chunk_tag(tag: &str) -> bool {
    let marked = tag.strip_prefix(['B', 'I', 'E', 'S']);
    tag == "O" || marked.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The chunks of a sentence. Tags that contradict each other are read leniently: an `I-` that continues nothing begins a chunk.
pub(crate) fn chunks<'a>(tags: &[&'a str]) -> Vec<Chunk<'a>> {
    let mut found = Vec::new();
    let (mut before, mut begin) = (('O', "_"), 0);
    for (at, tag) in tags.iter().chain(&["O"]).enumerate() {
        let now = split(tag);
        if ends(before, now) {
            found.push((before.1, begin, at - 1));
        }
        if starts(before, now) {
            begin = at;
        }
        before = now;
    }
    found
}

/// A tag's letter and type.
fn split(tag: &str) -> (char, &str) {
    let mut letters = tag.chars();
    let letter = letters.next().unwrap_or('O');
    let rest = letters.as_str();
    let kind = rest.strip_prefix('-').unwrap_or(rest);
    (letter, if kind.is_empty() { "_" } else { kind })
}

/// Whether a chunk ends between two words.
fn ends(before: (char, &str), now: (char, &str)) -> bool {
    match (before.0, now.0) {
        ('O', _) => false,
        ('E' | 'S', _) | (_, 'B' | 'S' | 'O') => true,
        _ => before.1 != now.1,
    }
}

/// Whether a chunk begins with the second of two words.
fn starts(before: (char, &str), now: (char, &str)) -> bool {
    match (before.0, now.0) {
        (_, 'O') => false,
        (_, 'B' | 'S') | ('O' | 'E' | 'S', _) => true,
        _ => before.1 != now.1,
    }
}

/// The harmonic mean of precision and recall; 0 where nothing is right.
pub(crate) fn f1(known: usize, given: usize, right: usize) -> f64 {
    match known + given {
        0 => 0.0,
        both => 2.0 * right as f64 / both as f64,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{Marks, Metric, marks::Counts};

    fn sentences(value: &Value) -> Vec<Vec<&str>> {
        let text = value.as_str().expect("tags");
        let sentences = text.split(" / ");
        sentences.map(|tags| tags.split(' ').collect()).collect()
    }

    /// What seqeval says of fixed, adversarial and random tags, see tests/golden/chunks.py.
    #[test]
    fn f1_is_that_of_seqeval() {
        let golden = include_str!("../../../tests/golden/chunks.json");
        let golden: Value = serde_json::from_str(golden).expect("JSON");
        let cases = golden.as_array().expect("cases");
        assert!(cases.len() >= 40, "{} cases", cases.len());
        for case in cases {
            let (known, given) = (sentences(&case["known"]), sentences(&case["given"]));
            let name = &case["name"];
            let counts = known.iter().zip(&given);
            let counts: Vec<Counts> = counts.map(|(k, g)| Counts::of(k, g)).collect();
            let all: Vec<usize> = (0..counts.len()).collect();
            let marks = Marks::Chunks(counts);
            for (metric, key) in [(Metric::F1, "f1"), (Metric::Accuracy, "accuracy")] {
                let ours = marks.measure(metric, &all).expect("a score");
                let theirs = case[key].as_f64().expect("a score");
                assert!(
                    (ours - theirs).abs() <= 1e-12,
                    "{name}, {metric}: {ours}, seqeval {theirs}"
                );
            }
        }
    }

    #[test]
    fn tags_that_mark_no_chunks_are_told_apart() {
        for tags in [
            &["O", "B-PER", "I-PER"][..],
            &["I-PER", "O"],
            &["B", "I", "O"],
            &["S-A", "B-A", "E-A", "I-A", "O"],
        ] {
            assert!(are_chunks(tags), "{tags:?}");
        }
        for tags in [
            &["NN", "VB", "IN"][..],
            &["O", "S"],
            &["O"],
            &["B-PER", "L-PER", "O"],
            &["B-PER", "IN", "O"],
        ] {
            assert!(!are_chunks(tags), "{tags:?}");
        }
    }
}
