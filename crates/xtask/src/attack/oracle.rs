//! What the program may do whatever happens to it, and what it may not.

use std::collections::BTreeMap;

use super::process::Outcome;

/// What is never allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It panicked, or a signal ended it that nobody sent.
    Panic,
    /// It did not end in time.
    Hang,
    /// It succeeded with another result than it should have, and said nothing.
    Silent,
    /// It changed a file that it only reads.
    Touched,
    /// It failed without a sentence, let a stranger in, or could not be resumed.
    Other,
}

impl Fault {
    /// In the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Panic,
        Self::Hang,
        Self::Silent,
        Self::Touched,
        Self::Other,
    ];

    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panics",
            Self::Hang => "hangs",
            Self::Silent => "silent differences",
            Self::Touched => "files touched",
            Self::Other => "other",
        }
    }
}

/// A fault, and how it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub fault: Fault,
    /// With the values.
    pub what: String,
}

impl Finding {
    /// A finding.
    pub fn new(fault: Fault, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { fault, what }
    }
}

/// What was done to a process, so that its end is judged by what can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing.
    Nothing,
    /// This signal was sent.
    Sent(i32),
    /// A system call failed, maybe the very one that would have printed the error.
    CallFailed,
}

/// `kill -9`.
pub const KILL: i32 = 9;

/// Text that only a panic, an abort or our own catcher of panics prints.
const PANIC: [&str; 6] = [
    "panicked at",
    "RUST_BACKTRACE",
    "limbeck: internal error",
    "the engine failed:",
    "has overflowed its stack",
    "memory allocation of ",
];

/// Judges how a process ended.
pub fn judge(outcome: &Outcome, done: Done) -> Option<Finding> {
    if outcome.hung {
        return Some(Finding::new(Fault::Hang, "did not end in time"));
    }
    let both = [&outcome.stderr, &outcome.stdout];
    if let Some(line) = both.iter().find_map(|text| panic_in(text)) {
        return Some(Finding::new(Fault::Panic, line));
    }
    match (outcome.code, outcome.signal) {
        (Some(0), _) => None,
        (Some(101), _) => Some(Finding::new(Fault::Panic, "exit code 101")),
        (Some(code), _) if done != Done::CallFailed && !has_sentence(outcome) => {
            let stderr = tail(&outcome.stderr);
            let what = format!("exit code {code} without a sentence, but `{stderr}`");
            Some(Finding::new(Fault::Other, what))
        }
        (Some(_), _) => None,
        (None, Some(signal)) if done == Done::Sent(signal) => None,
        (None, signal) => {
            let what = format!("ended by signal {}", signal.unwrap_or_default());
            Some(Finding::new(Fault::Panic, what))
        }
    }
}

/// The line that tells of a panic.
pub fn panic_in(text: &str) -> Option<&str> {
    text.lines()
        .find(|line| PANIC.iter().any(|mark| line.contains(mark)))
}

/// An error in the style of the program, of its parser of flags, or of a run that was asked to stop.
fn has_sentence(outcome: &Outcome) -> bool {
    const STARTS: [&str; 3] = ["limbeck: ", "error: ", "Stopped after step "];
    // With --json a stopped run says so to programs alone.
    let last = outcome.stdout.lines().last().unwrap_or_default();
    last.contains(r#""event":"stopped""#)
        || outcome.stderr.lines().any(|line| {
            let words = STARTS.iter().find_map(|start| line.strip_prefix(start));
            words.is_some_and(|words| words.split_whitespace().count() >= 2)
        })
}

/// Whether an output tells of damage to a file.
pub fn tells_of_damage(outcome: &Outcome) -> bool {
    tells(
        outcome,
        &[
            "damage",
            "without the numbers",
            "left out",
            "checksum",
            "cannot be read",
        ],
    )
}

/// Whether an output tells that a file is not what it was.
pub fn tells_of_change(outcome: &Outcome) -> bool {
    tells(outcome, &["changed", "no longer", "different"])
}

fn tells(outcome: &Outcome, words: &[&str]) -> bool {
    let text = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
    words.iter().any(|word| text.contains(word))
}

type Files = BTreeMap<String, Vec<u8>>;

/// Files of a student, and of an assistant in its folder, that say how long a run took.
const TIMED: [&str; 2] = ["README.md", "report.html"];
/// The last checkpoint of a finished run, whose metadata are in any order.
const KEPT: &str = "resume.safetensors";

/// How a student differs from the one it must be, if it does: `numbers_too` if its numbers must be the same as well.
pub fn differences(is: &Files, must: &Files, numbers_too: bool) -> Option<String> {
    let mut names: Vec<&String> = is.keys().chain(must.keys()).collect();
    names.sort();
    names.dedup();
    let file = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let counts = |name: &&String| {
        numbers_too || !["metrics.jsonl", "report.svg"].contains(&file(name).as_str())
    };
    let differs = |name: &&String| match (is.get(*name), must.get(*name)) {
        (Some(is), Some(must)) if file(name) == KEPT => whole(is).ok() != whole(must).ok(),
        (Some(is), Some(must)) => is != must && !TIMED.contains(&file(name).as_str()),
        _ => true,
    };
    let found: Vec<&str> = names
        .into_iter()
        .filter(counts)
        .filter(differs)
        .map(String::as_str)
        .collect();
    (!found.is_empty()).then(|| format!("{} not as in the undisturbed run", found.join(", ")))
}

/// Which of these files are no longer what they were.
pub fn touched(is: &Files, was: &Files) -> Option<Finding> {
    let names: Vec<&str> = was
        .iter()
        .filter(|(name, bytes)| is.get(*name) != Some(bytes))
        .map(|(name, _)| name.as_str())
        .collect();
    (!names.is_empty()).then(|| Finding::new(Fault::Touched, names.join(", ")))
}

/// The header of a safetensors file, in order, and its values; an error in words if it is no such file.
fn whole(
    bytes: &[u8],
) -> std::result::Result<(BTreeMap<String, serde_json::Value>, &[u8]), String> {
    let length = bytes.first_chunk::<8>().copied().map(u64::from_le_bytes);
    let length = length.and_then(|length| usize::try_from(length).ok());
    let rest = bytes.get(8..).unwrap_or_default();
    let parts = length.and_then(|length| rest.split_at_checked(length));
    let (header, data) = parts.ok_or("the header is not whole")?;
    let header = serde_json::from_slice(header).map_err(|e| e.to_string())?;
    Ok((header, data))
}

/// A value of a safetensors file that is not a finite number; an error in words if it is no such file.
pub fn not_finite(bytes: &[u8]) -> std::result::Result<Option<f64>, String> {
    let (header, data) = whole(bytes)?;
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let offset = |at: usize| {
            let number = tensor["data_offsets"][at].as_u64();
            number.and_then(|number| usize::try_from(number).ok())
        };
        let values = offset(0)
            .zip(offset(1))
            .and_then(|(from, to)| data.get(from..to));
        let values = values.ok_or_else(|| format!("{name} is not whole"))?;
        let found = match tensor["dtype"].as_str() {
            Some("F32") => values
                .as_chunks::<4>()
                .0
                .iter()
                .map(|value| f32::from_le_bytes(*value))
                .find(|value| !value.is_finite()),
            // Of the same kind if all bits of the exponent are set.
            Some("F16") => values
                .as_chunks::<2>()
                .0
                .iter()
                .any(|value| u16::from_le_bytes(*value) & 0x7c00 == 0x7c00)
                .then_some(f32::NAN),
            other => return Err(format!("{name} is of type {other:?}")),
        };
        if let Some(value) = found {
            return Ok(Some(value.into()));
        }
    }
    Ok(None)
}

/// The end of a text, for a message.
pub fn tail(text: &str) -> String {
    let text = text.trim_end();
    let start = text.char_indices().rev().nth(199).map_or(0, |(at, _)| at);
    text[start..].replace('\n', " | ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;
    use std::time::Duration;

    use super::{
        Done, Fault, KILL, differences, judge, not_finite, tells_of_change, tells_of_damage,
        touched,
    };
    use crate::attack::process::{Outcome, Running};

    /// How a program ends that is this script.
    fn ended(script: &str, limit: f64) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let running = Running::start(&mut command).expect("starting sh");
        running
            .end(Duration::from_secs_f64(limit))
            .expect("its end")
    }

    fn fault(script: &str, done: Done) -> Option<Fault> {
        judge(&ended(script, 20.0), done).map(|finding| finding.fault)
    }

    #[test]
    fn a_planted_panic_is_found_whatever_the_exit_code() {
        let panic = "echo \"thread 'main' panicked at src/main.rs:1:1:\" >&2";
        for end in [
            "exit 1",
            "exit 0",
            "exit 101",
            "echo limbeck: all is well >&2; exit 1",
        ] {
            let script = format!("{panic}; {end}");
            assert_eq!(
                fault(&script, Done::Nothing),
                Some(Fault::Panic),
                "{script}"
            );
            assert_eq!(
                fault(&script, Done::CallFailed),
                Some(Fault::Panic),
                "{script}"
            );
        }
        assert_eq!(fault("exit 101", Done::Nothing), Some(Fault::Panic));
        let engine = "echo 'limbeck: the engine failed: index out of bounds' >&2";
        assert_eq!(fault(engine, Done::Nothing), Some(Fault::Panic));
    }

    #[test]
    fn a_signal_is_excused_only_if_it_was_sent() {
        assert_eq!(fault("kill -SEGV $$", Done::Nothing), Some(Fault::Panic));
        assert_eq!(fault("kill -ABRT $$", Done::Sent(KILL)), Some(Fault::Panic));
        assert_eq!(fault("kill -KILL $$", Done::Sent(KILL)), None);
        assert_eq!(fault("kill -KILL $$", Done::Nothing), Some(Fault::Panic));
    }

    #[test]
    fn a_hang_is_found_and_ended() {
        let start = std::time::Instant::now();
        let outcome = ended("sleep 600; true", 0.3);
        let found = judge(&outcome, Done::Nothing).map(|finding| finding.fault);
        assert_eq!(found, Some(Fault::Hang));
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_failure_needs_a_sentence() {
        assert_eq!(fault("exit 1", Done::Nothing), Some(Fault::Other));
        assert_eq!(
            fault("echo oops >&2; exit 2", Done::Nothing),
            Some(Fault::Other)
        );
        assert_eq!(
            fault("echo limbeck: >&2; exit 2", Done::Nothing),
            Some(Fault::Other)
        );
        let sentence = "echo 'limbeck: cannot read x: not found' >&2; exit 1";
        assert_eq!(fault(sentence, Done::Nothing), None);
        assert_eq!(
            fault(
                "echo 'error: unexpected argument' >&2; exit 2",
                Done::Nothing
            ),
            None
        );
        let stopped = "echo '{\"event\":\"stopped\",\"step\":3}'; exit 1";
        assert_eq!(fault(stopped, Done::Sent(2)), None);
        assert_eq!(fault("exit 1", Done::CallFailed), None);
        assert_eq!(fault("true", Done::Nothing), None);
    }

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let pairs = pairs.iter().copied();
        pairs
            .map(|(name, text)| (name.to_owned(), text.into()))
            .collect()
    }

    #[test]
    fn a_planted_silent_difference_is_found() {
        let must = [
            ("model.safetensors", "weights"),
            ("metrics.jsonl", "numbers"),
            ("README.md", "1.0 s"),
        ];
        assert_eq!(differences(&files(&must), &files(&must), true), None);
        let plant = |at: usize, text| {
            let mut is = must;
            is[at].1 = text;
            files(&is)
        };
        let weights = plant(0, "weightz");
        for numbers_too in [true, false] {
            let found = differences(&weights, &files(&must), numbers_too);
            assert!(found.is_some_and(|what| what.starts_with("model.safetensors not")));
            assert!(differences(&files(&must[1..]), &files(&must), numbers_too).is_some());
        }
        let numbers = plant(1, "numberz");
        assert!(differences(&numbers, &files(&must), true).is_some());
        assert_eq!(differences(&numbers, &files(&must), false), None);
        assert_eq!(differences(&plant(2, "2.0 s"), &files(&must), true), None);
        let kept = |header: &str, values: &str| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.bytes().chain(values.bytes()));
            BTreeMap::from([("resume.safetensors".to_owned(), bytes)])
        };
        let must = kept(r#"{"__metadata__":{"a":"1","b":"2"}}"#, "12");
        for (header, values, is_same) in [
            (r#"{"__metadata__":{"b":"2","a":"1"}}"#, "12", true),
            (r#"{"__metadata__":{"b":"3","a":"1"}}"#, "12", false),
            (r#"{"__metadata__":{"b":"2","a":"1"}}"#, "13", false),
            ("{", "12", false),
        ] {
            let found = differences(&kept(header, values), &must, false);
            assert_eq!(found.is_none(), is_same, "{header} {values}");
        }
    }

    #[test]
    fn a_planted_file_is_found() {
        let must = [("model.safetensors", "weights")];
        let more = files(&[&must[..], &[("model.safetensors.tmp", "")]].concat());
        assert!(differences(&more, &files(&must), true).is_some());
    }

    #[test]
    fn a_touched_file_is_found() {
        let was = files(&[("teacher/config.json", "{}"), ("corpus.txt", "one")]);
        let more = files(&[
            ("teacher/config.json", "{}"),
            ("corpus.txt", "one"),
            ("out", ""),
        ]);
        assert_eq!(touched(&more, &was), None);
        let changed = files(&[("teacher/config.json", "{}"), ("corpus.txt", "on")]);
        let found = touched(&changed, &was).expect("a finding");
        assert_eq!(
            (found.fault, found.what.as_str()),
            (Fault::Touched, "corpus.txt")
        );
        assert!(touched(&files(&[("corpus.txt", "one")]), &was).is_some());
    }

    #[test]
    fn damage_and_change_are_told_in_words() {
        let told = ended("echo 'metrics.jsonl.part is damaged in line 2' >&2", 20.0);
        assert!(tells_of_damage(&told));
        let changed = ended("echo 'limbeck: corpus.txt has changed' >&2", 20.0);
        assert!(tells_of_change(&changed));
        let done = ended("echo done", 20.0);
        assert!(!tells_of_damage(&done) && !tells_of_change(&done));
    }

    #[test]
    fn weights_that_are_not_numbers_are_found() {
        let file = |values: &[f32]| {
            let header = format!(
                r#"{{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}}"#,
                values.len(),
                4 * values.len()
            );
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            bytes
        };
        assert_eq!(not_finite(&file(&[1.0, -2.0])), Ok(None));
        assert!(not_finite(&file(&[1.0, f32::NAN])).is_ok_and(|found| found.is_some()));
        assert!(not_finite(&file(&[f32::INFINITY])).is_ok_and(|found| found.is_some()));
        let whole = file(&[1.0, 2.0]);
        assert!(not_finite(&whole[..whole.len() - 1]).is_err());
        assert!(not_finite(b"").is_err());
    }
}
