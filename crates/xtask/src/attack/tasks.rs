//! Labelled text and lines: damaged files for `finetune` and `evaluate`, fine-tuning that is killed, and broken lines for
//! `encode`. A folder holds the whole fine-tuned model or none, whatever happens.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Map, Value};

use super::corruptions::harm;
use super::damage::damage;
use super::kills::{can_trace, disturb};
use super::oracle::{self, Done, Fault};
use super::process::{Outcome, PATIENCE};
use super::scene::{Scene, Source};
use super::{Attack, copy, files, write};
use crate::shell::Result;

/// The fine-tuned model, and the one of the base that tags words.
const TUNED: &str = "tuned";
const TAGGED: &str = "tagged";
/// A training and a dev file of each way to write one.
const FORMATS: [[&str; 2]; 5] = [
    ["train.tsv", "dev.tsv"],
    ["train.csv", "dev.csv"],
    ["train.jsonl", "dev.jsonl"],
    ["train.conll", "dev.conll"],
    ["pairs.tsv", "dev-pairs.tsv"],
];
/// Tasks for the vectors of texts.
const VECTORS: [&str; 2] = ["similarity.tsv", "retrieval.csv"];
const WEIGHTS: &str = "model.safetensors";
/// Values for --max-length, and whether the teacher can read texts of so many tokens.
const LENGTHS: [(&str, bool); 7] = [
    ("0", false),
    ("1", false),
    ("2", false),
    ("3", true),
    ("16", true),
    ("40", true),
    ("41", false),
];
/// Texts of a file.
const TEXTS: usize = 12;

/// Damages labelled text, and kills what reads it.
pub struct Tasks {
    base: Scene,
    tuned: BTreeMap<String, Vec<u8>>,
    time: Duration,
    strace: bool,
}

impl Tasks {
    /// Fine-tunes a model of each kind, undisturbed.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn prepare(source: &Source, base: &Path) -> Result<Self> {
        let mut base = Scene::new(source, base.to_owned())?;
        write_tasks(&base)?;
        let start = Instant::now();
        let outcome = base.run(&finetune(FORMATS[0], TUNED), b"")?;
        let time = start.elapsed();
        base.require(outcome.succeeded(), "fine-tuning failed")?;
        let outcome = base.run(&finetune(FORMATS[3], TAGGED), b"")?;
        base.require(outcome.succeeded(), "fine-tuning failed")?;
        let tuned = files(&base.path(TUNED))?;
        Ok(Self {
            base,
            tuned,
            time,
            strace: can_trace(),
        })
    }

    /// What fine-tuning makes of damaged files: a model of finite numbers, or nothing.
    fn finetune(scene: &mut Scene, pair: [&'static str; 2]) -> Result<()> {
        let mut running = scene.start(&finetune(pair, TUNED))?;
        let mut done = Done::Nothing;
        if !running.wait(PATIENCE / 4)? {
            running.signal("INT");
            done = Done::Sent(2);
        }
        let outcome = scene.end(running, done)?;
        let made = scene.files(&[TUNED])?;
        let weights = made.get(&format!("{TUNED}/{WEIGHTS}"));
        match (
            outcome.succeeded(),
            weights.map(|weights| oracle::not_finite(weights)),
        ) {
            (true, Some(Ok(None))) => {}
            (true, other) => scene.found(
                Fault::Silent,
                format!("success, and the weights are {other:?}"),
            ),
            (false, None) if made.is_empty() => {}
            (false, _) => {
                let names: Vec<&String> = made.keys().collect();
                scene.found(Fault::Other, format!("failed, and left {names:?}"));
            }
        }
        Ok(())
    }

    /// Kills fine-tuning into a folder that is new or holds a model, and then lets it be.
    fn kill(&self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        if rng.bool() {
            copy(&self.base.path(TUNED), &scene.path(TUNED))?;
        }
        let again = [&finetune(FORMATS[0], TUNED)[..], &["--overwrite"]].concat();
        for _ in 0..rng.usize(1..=3) {
            disturb(scene, rng, &again, self.time, self.strace)?;
            let left = files_of(scene)?;
            if left.contains_key(WEIGHTS)
                && let Some(what) = oracle::differences(&left, &self.tuned, true)
            {
                scene.found(Fault::Silent, format!("half a model: {what}"));
            }
        }
        let outcome = scene.run(&again, b"")?;
        if !outcome.succeeded() {
            scene.found(Fault::Other, "fine-tuning cannot be started again");
        }
        let made = files(&scene.path(TUNED))?;
        if let Some(what) = oracle::differences(&made, &self.tuned, true) {
            scene.found(Fault::Silent, what);
        }
        Ok(())
    }
}

impl Attack for Tasks {
    fn attempt(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        write_tasks(scene)?;
        let kind = rng.usize(..6);
        let pair = FORMATS[rng.usize(..FORMATS.len())];
        let mut names: Vec<String> = pair
            .iter()
            .chain(&VECTORS)
            .map(|n| (*n).to_owned())
            .collect();
        match kind {
            0 | 1 => names.truncate(2),
            2 | 3 => {
                copy(&self.base.path(TUNED), &scene.path(TUNED))?;
                copy(&self.base.path(TAGGED), &scene.path(TAGGED))?;
            }
            _ => {}
        }
        if kind < 4 {
            let name = names[rng.usize(..names.len())].clone();
            harm(scene, &name, &names, rng)?;
        }
        let mut read: Vec<&str> = names.iter().map(String::as_str).collect();
        read.push("teacher");
        let was = scene.files(&read)?;
        match kind {
            0 | 1 => Self::finetune(scene, pair)?,
            2 | 3 => evaluate(scene, &read, rng)?,
            4 => self.kill(scene, rng)?,
            _ => encode(scene, rng)?,
        }
        scene.untouched(&read, &was)
    }
}

/// The files of the fine-tuned model, without what a killed process leaves and the next one removes.
fn files_of(scene: &Scene) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut left = match scene.path(TUNED).is_dir() {
        true => files(&scene.path(TUNED))?,
        false => BTreeMap::new(),
    };
    left.retain(|name, _| !name.starts_with(".limbeck"));
    Ok(left)
}

/// Two epochs of one seed.
fn finetune([train, dev]: [&'static str; 2], out: &'static str) -> [&'static str; 17] {
    [
        "finetune", "--model", "teacher", "--train", train, "--dev", dev, "--out", out, "--epochs",
        "2", "--seeds", "1", "--batch", "4", "--device", "cpu",
    ]
}

/// A table with a line for each task, or a sentence.
fn evaluate(scene: &mut Scene, read: &[&str], rng: &mut Rng) -> Result<()> {
    let model = ["teacher", TUNED, TAGGED][rng.usize(..3)];
    let task = read[rng.usize(..read.len() - 1)];
    let batch = ["0", "1", "32", "18446744073709551615"][rng.usize(..4)];
    let flags = [
        "evaluate", "--models", model, "--tasks", task, "--batch", batch, "--device", "cpu",
        "--csv",
    ];
    let outcome = scene.run(&flags, b"")?;
    if is_no_batch(scene, batch, &outcome) {
        return Ok(());
    }
    if outcome.succeeded() && outcome.stdout.lines().count() < 2 {
        scene.found(Fault::Silent, "success without a score");
    }
    Ok(())
}

/// Whether nothing is computed at once, which is refused.
fn is_no_batch(scene: &mut Scene, batch: &str, outcome: &Outcome) -> bool {
    let is_none = batch == "0";
    if is_none && (outcome.succeeded() || !outcome.stderr.contains("--batch")) {
        scene.found(Fault::Silent, "--batch 0 is not refused");
    }
    is_none
}

/// A vector of each line with a text, in UTF-8 or in a field of JSON, and success if all lines that count have one.
fn encode(scene: &mut Scene, rng: &mut Rng) -> Result<()> {
    let in_json = rng.bool();
    let line = |text: String| match in_json {
        true => format!("{{\"text\": \"{text}\"}}"),
        false => text,
    };
    let lines: Vec<String> = texts().into_iter().map(line).collect();
    let mut bytes = lines.join("\n").into_bytes();
    for _ in 0..rng.usize(..4) {
        damage(&mut bytes, rng);
    }
    match rng.usize(..6) {
        0 => bytes.splice(0..0, *b"\xEF\xBB\xBF").for_each(drop),
        1 => bytes.extend(b"word ".repeat(1 << rng.usize(10..19))),
        2 => bytes.extend(*b"\r\n\r\n\0\n \n\xCC\x81\n"),
        _ => {}
    }
    let batch = ["0", "1", "3", "32", "18446744073709551615"][rng.usize(..5)];
    let (length, fits) = LENGTHS[rng.usize(..LENGTHS.len())];
    let usual = [
        "encode", "--model", "teacher", "--device", "cpu", "--batch", batch,
    ];
    let (field, more): (&str, &[&str]) = match rng.usize(..4) {
        0 => ("hidden", &["--tokens"]),
        1 => ("q", &["--tokens", "--taps"]),
        2 => ("embedding", &["--max-length", length]),
        _ => ("embedding", &[]),
    };
    let of: &[&str] = if in_json { &["--field", "text"] } else { &[] };
    let outcome = scene.run(&[&usual[..], of, more].concat(), &bytes)?;
    if is_no_batch(scene, batch, &outcome) {
        return Ok(());
    }
    if more.first() == Some(&"--max-length") && !fits {
        if outcome.succeeded() || !outcome.stderr.contains("max_length") {
            scene.found(Fault::Silent, format!("max_length {length} is not refused"));
        }
        return Ok(());
    }
    let lines = with_text(&bytes, in_json);
    let texts = lines.iter().filter(|has_text| **has_text).count();
    let vectors = outcome.stdout.lines().filter(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line[field]
            .as_array()
            .is_some_and(|values| !values.is_empty())
    });
    let vectors = vectors.count();
    if vectors != texts || outcome.succeeded() != (texts == lines.len()) {
        write(&scene.path("input.txt"), &bytes)?;
        let code = outcome.code;
        let what = format!(
            "exit code {code:?} and {vectors} vectors of {} lines, of which {texts} have a text",
            lines.len()
        );
        scene.found(Fault::Silent, what);
    }
    Ok(())
}

/// Of each line that counts whether it has a text; blank ones of JSON lines do not.
fn with_text(bytes: &[u8], in_json: bool) -> Vec<bool> {
    let has_text = |(at, line): (usize, &[u8])| {
        let Ok(line) = std::str::from_utf8(line) else {
            return Some(false);
        };
        let line = match at {
            0 => line.strip_prefix('\u{feff}').unwrap_or(line),
            _ => line,
        };
        if !in_json {
            return Some(true);
        }
        let object = || serde_json::from_str::<Map<String, Value>>(line);
        (!line.trim().is_empty())
            .then(|| object().is_ok_and(|object| object.get("text").is_some_and(Value::is_string)))
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.enumerate().filter_map(has_text).collect()
}

/// Different texts of the teacher's words.
fn texts() -> Vec<String> {
    let words = [
        "the teacher",
        "two small words",
        "key value",
        "a large model",
        "read query",
    ];
    let text = |at: usize| format!("{} {} line {at}", words[at % 5], words[at * 3 % 5]);
    (0..TEXTS).map(text).collect()
}

/// Every file of [`FORMATS`] and [`VECTORS`].
fn write_tasks(scene: &Scene) -> Result<()> {
    let texts = texts();
    let label = |at: usize| if at.is_multiple_of(2) { "even" } else { "odd" };
    let rows = |header: &str, row: &dyn Fn(usize, &str) -> String| -> String {
        let rows = texts.iter().enumerate().map(|(at, text)| row(at, text));
        std::iter::once(header.to_owned()).chain(rows).collect()
    };
    let table = |between: char| {
        rows(&format!("sentence{between}label\n"), &|at, text| {
            format!("{text}{between}{}\n", label(at))
        })
    };
    let json = rows("", &|at, text| {
        format!("{{\"text\": \"{text}\", \"label\": \"{}\"}}\n", label(at))
    });
    let words = rows("", &|_, text| {
        let words = text.split(' ').enumerate();
        let line = |(at, word): (usize, &str)| format!("{word}\t{}\n", ["B-A", "I-A", "O"][at % 3]);
        words.map(line).collect::<String>() + "\n"
    });
    let pairs = rows("sentence1\tsentence2\tlabel\n", &|at, text| {
        format!("{text}\t{}\t{}\n", texts[(at + 1) % TEXTS], label(at))
    });
    let similarity = rows("sentence1\tsentence2\tscore\n", &|at, text| {
        format!("{text}\t{}\t{}\n", texts[at * 5 % TEXTS], at % 6)
    });
    let retrieval = rows("lemma,definition\n", &|at, text| {
        format!("word {at},{text}\n")
    });
    let contents = [table('\t'), table(','), json, words, pairs];
    for (pair, content) in FORMATS.iter().zip(contents) {
        for name in pair {
            write(&scene.path(name), content.as_bytes())?;
        }
    }
    for (name, content) in VECTORS.iter().zip([similarity, retrieval]) {
        write(&scene.path(name), content.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::with_text;

    #[test]
    fn lines_that_have_no_text_are_known() {
        let plain = with_text(b"\xEF\xBB\xBFone\n\n\xff\n{}", false);
        assert_eq!(plain, [true, true, false, true]);
        let json =
            "\u{feff}{\"text\": \"\"}\r\n \r\n{\"text\": 7}\n[]\n{\"text\": \"a\n{\"text\": \"b\"}";
        let json = with_text(json.as_bytes(), true);
        assert_eq!(json, [true, false, false, false, true]);
        assert_eq!(with_text(b"", true), [false; 0]);
    }
}
