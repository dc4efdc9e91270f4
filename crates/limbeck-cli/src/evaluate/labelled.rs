//! Labelled files, and what fine-tuned models give for them.

use std::path::Path;
use std::time::Instant;

use limbeck_engine::Opened;
use limbeck_model::{Classifier, Folder, Tokenizer, checks};
use limbeck_recipe::{HeadChoice, counted};
use limbeck_score::{Marks, Metric};
use serde_json::Value;

use crate::error::CliError;
use crate::finetune::judging::{Given, marks, predict};
use crate::finetune::sequences::{Shelf, tokenise, tokenizer};
use crate::finetune::task::{Example, Goal, Kind, LABEL, Labelled, Said};
use crate::memory::Room;
use crate::output::RESULTS;
use crate::{device, terminal};

/// How a model's seeds did on the file that fine-tuning judged them by.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Number of seeds.
    pub seeds: usize,
    /// Mean and standard deviation by metric, as results.json has them.
    numbers: Value,
}

/// A model with the head that fine-tuning gave it.
pub struct Tuned {
    name: String,
    classifier: Classifier,
    goal: Goal,
    tokenizer: Tokenizer,
    shelf: Shelf,
    /// Whether it was fine-tuned on pairs of texts, if its folder says so.
    pairs: Option<bool>,
    /// How its seeds did, if its folder says so.
    pub spread: Option<Spread>,
}

/// What a model gives for a file.
pub struct Judged {
    goal: Goal,
    examples: Vec<Example>,
    /// Of each example.
    given: Vec<Given>,
    /// Texts, pairs or sentences in a second.
    pub speed: f64,
}

/// The words of a file of sentences, and those that models leave out: they make no token of a word, or cut it off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Words of the file.
    pub all: usize,
    /// Those that every model judges.
    pub common: usize,
    /// Those that each model leaves out.
    pub left_out: Vec<usize>,
}

/// What models give for one file, on the same words: those that every model judges. The words are counted where the file has
/// sentences of words.
pub fn compared(judged: &[Judged]) -> (Vec<Marks>, Option<Words>) {
    let Some(first) = judged.first() else {
        return (Vec::new(), None);
    };
    let is_common = |sentence: usize, word: usize| {
        let mut given = judged.iter().map(|judged| &judged.given[sentence][word]);
        given.all(Option::is_some)
    };
    let sentences = first.given.iter().enumerate();
    let common: Vec<Vec<bool>> = sentences
        .map(|(sentence, given)| {
            (0..given.len())
                .map(|word| is_common(sentence, word))
                .collect()
        })
        .collect();
    let of_model = |judged: &Judged| {
        let given = judged.given.iter().zip(&common);
        let given = given.map(|(given, common)| {
            let words = given.iter().zip(common);
            words
                .map(|(logits, common)| logits.clone().filter(|_| *common))
                .collect()
        });
        let given: Vec<Given> = given.collect();
        marks(&judged.goal, &judged.examples, &given)
    };
    let left_out = |judged: &Judged| {
        judged
            .given
            .iter()
            .flatten()
            .filter(|word| word.is_none())
            .count()
    };
    let words = (first.goal.kind() == Kind::Tokens).then(|| Words {
        all: common.iter().map(Vec::len).sum(),
        common: common.iter().flatten().filter(|common| **common).count(),
        left_out: judged.iter().map(left_out).collect(),
    });
    (judged.iter().map(of_model).collect(), words)
}

impl Words {
    /// Whether any model leaves out any.
    pub fn are_left_out(&self) -> bool {
        self.common < self.all
    }
}

/// Reads a file if it is one for fine-tuned models: CoNLL, or a table with a column `label`, or with single texts and scores, or
/// any of which a person says what its columns mean.
///
/// # Errors
/// It is such a file, and cannot be used.
pub fn read(path: &Path, said: &Said) -> Result<Option<Labelled>, CliError> {
    if said.is_something() {
        return Labelled::read(path, said).map(Some);
    }
    let columns = match crate::finetune::columns_of(path)? {
        None => return Labelled::read(path, said).map(Some),
        Some(columns) => columns,
    };
    let has = |name: &str| {
        columns
            .iter()
            .any(|column| column.eq_ignore_ascii_case(name))
    };
    let is_similarity = ["sentence1", "sentence2", "score"].into_iter().all(has);
    let has_scores = has("score") && (has("sentence") || has("text"));
    match (is_similarity, has(LABEL)) {
        (false, true) => {
            let label = Some(LABEL.to_owned());
            let said = Said {
                label,
                ..Said::default()
            };
            Labelled::read(path, &said).map(Some)
        }
        (false, false) if has_scores => Labelled::read(path, said).map(Some),
        _ => Ok(None),
    }
}

/// What a labelled file asks for, in words, and how many of its words are judged where it has words.
pub fn heading(labelled: &Labelled, rows: usize, words: Option<&Words>) -> String {
    let (name, kind) = (labelled.name(), labelled.kind().name());
    let rows = match words {
        Some(words) if words.are_left_out() => {
            let sentences = counted(rows, "sentence");
            format!("{sentences}, {} of their {} words", words.common, words.all)
        }
        Some(_) => counted(rows, "sentence"),
        None => counted(rows, "row"),
    };
    format!("{name}: {kind}, {rows}")
}

impl Spread {
    /// Mean and standard deviation of a metric; none of one that fine-tuning did not measure.
    pub fn of(&self, metric: Metric) -> Option<(f64, Option<f64>)> {
        let number = |which: &str| self.numbers[which][metric.key()].as_f64();
        Some((number("mean")?, number("std")))
    }

    fn read(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(RESULTS)).ok()?;
        let numbers: Value = serde_json::from_slice(&bytes).ok()?;
        let seeds = numbers["seeds"].as_array()?.len();
        Some(Self { seeds, numbers })
    }

    /// The longest sequence in fine-tuning.
    fn max_length(&self) -> Option<usize> {
        let length = self.numbers["max_length"].as_u64();
        length.and_then(|length| usize::try_from(length).ok())
    }
}

impl Tuned {
    /// Opens the model of a folder for a labelled file.
    ///
    /// # Errors
    /// The folder has no head, or cannot be used.
    pub fn open(
        path: &Path,
        folder: &Folder,
        labelled: &Labelled,
        opened: &Opened,
    ) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let device = &opened.device;
        Room::of(opened).require_model(&name, &folder.config()?)?;
        let Some((mut classifier, tuned)) = Classifier::from_folder(folder, device)? else {
            return Err(CliError::Usage(format!(
                "{name} has no head for {}, which holds {}: run limbeck finetune --model {name}, and name the folder that it writes",
                labelled.name(),
                labelled.describe(),
            )));
        };
        if tuned.choice != HeadChoice::Tokens && classifier.encoder().config().has_several_labels()
        {
            return Err(CliError::Usage(format!(
                "the head of {name} gives several labels of a text (problem_type multi_label_classification in its config.json), \
                 which limbeck evaluate does not judge; name models with one label of a text"
            )));
        }
        let checks = checks(classifier.encoder().config());
        classifier.set_kernels(device::tested_kernels(device, &checks));
        let goal = match (tuned.choice, tuned.labels) {
            (HeadChoice::Tokens, labels) => Goal::Tags(labels.unwrap_or_default()),
            (_, Some(labels)) => Goal::Classes(labels),
            (_, None) => Goal::Score,
        };
        let config = classifier.encoder().config();
        let longest = config.max_length();
        let spread = Spread::read(path);
        let max_length = match spread.as_ref().and_then(Spread::max_length) {
            Some(length) => length.min(longest),
            None => folder.sentence_head()?.length(longest),
        };
        Ok(Self {
            tokenizer: tokenizer(folder, &goal, max_length)?,
            shelf: Shelf {
                device: device.clone(),
                pad: config.pad_token_id,
                multiple: 1,
                max_length,
            },
            name,
            classifier,
            goal,
            pairs: spread
                .as_ref()
                .and_then(|spread| spread.numbers["pairs"].as_bool()),
            spread,
        })
    }

    /// What it gives for a file.
    ///
    /// # Errors
    /// The file asks for something else, or the device fails.
    pub fn judge(&self, labelled: &Labelled) -> Result<Judged, CliError> {
        let (name, goal) = (&self.name, &self.goal);
        if goal.kind() != labelled.kind() {
            return Err(CliError::Usage(format!(
                "{name} is fine-tuned for {}, but {} holds {}",
                goal.kind().name(),
                labelled.name(),
                labelled.describe()
            )));
        }
        let has_pairs = labelled.has_pairs();
        if let Some(pairs) = self.pairs.filter(|pairs| *pairs != has_pairs) {
            let learnt = if pairs {
                "pairs of texts"
            } else {
                "single texts"
            };
            return Err(CliError::Usage(format!(
                "{name} is fine-tuned for {learnt}, but {} holds {}; name the columns of its texts with --text-column",
                labelled.name(),
                labelled.describe()
            )));
        }
        let examples = labelled.examples(goal, name)?;
        let start = Instant::now();
        let sequences = tokenise(&self.tokenizer, &examples, self.shelf.pad)?;
        let predicted = predict(&self.classifier, &self.shelf, &sequences, goal)?;
        let seconds = start.elapsed().as_secs_f64();
        let cut = sequences.iter().filter(|sequence| sequence.truncated);
        let length = self.shelf.max_length;
        let (cut, texts) = (cut.count() as u64, sequences.len() as u64);
        if let Some(cut) = crate::encode::cut_in_words(cut, texts, length) {
            terminal::say(format_args!("{name} on {}: {cut}", labelled.name()));
        }
        Ok(Judged {
            goal: goal.clone(),
            speed: examples.len() as f64 / seconds.max(1e-9),
            examples,
            given: predicted,
        })
    }
}
