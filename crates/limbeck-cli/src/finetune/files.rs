//! What fine-tuning leaves: the model's folder, its scores and a card.

use std::path::Path;

use limbeck_engine::card;
use limbeck_model::{Folder, ModelError, Precision, TokenizerError};
use limbeck_recipe::{
    Config, Dense, DenseActivation, FamilyHead, HeadChoice, HeadModule, SentenceHead, counted,
};
use limbeck_score::{Metric, mean};
use serde_json::{Map, Value, json};

use super::judging::{Given, highest};
use super::task::{Goal, Target, Task, Text};
use super::training::Seed;
use super::{Arguments, Asked};
use crate::output::{PREDICTIONS, RESULTS};

/// What came of all seeds.
pub struct Outcome<'a> {
    /// How it was asked for.
    pub arguments: &'a Arguments,
    /// What the model is called that it was made of.
    pub model: &'a str,
    /// The files that were named.
    pub asked: &'a Asked,
    /// What was learnt, and from what.
    pub task: &'a Task,
    /// The head.
    pub head: HeadChoice,
    /// The longest sequence in tokens.
    pub max_length: usize,
    /// What the written model gives for each example of the dev file.
    pub predicted: Vec<Given>,
    /// Every seed.
    pub seeds: &'a [Seed],
    /// Which of them is written.
    pub best: usize,
}

impl Outcome<'_> {
    /// Names (`/` separates sub-folders) and contents of all files, the weights last.
    ///
    /// # Errors
    /// The tokenizer cannot be written as tokenizer.json, or a tensor not be read back.
    pub fn files(
        &self,
        model: &Folder,
        config: &Config,
    ) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
        let head = self.head;
        let do_lower_case = model.sentence_head()?.do_lower_case;
        // transformers knows nothing of a setting of sentence-transformers: its tokenizer must do that by itself.
        let tokenizer = match do_lower_case && head != HeadChoice::Mean {
            true => model.tokenizer()?.alone(),
            false => model.tokenizer_of_transformers()?,
        };
        // Byte-level BPE tells words by the space before them: its tokenizer must put one before each word of a split sentence.
        let is_spaced = head == HeadChoice::Tokens && tokenizer.is_byte_level();
        let mut files = match is_spaced {
            true => model.tokenizer_files(&tokenizer.for_words())?,
            false => model.tokenizer_files(&tokenizer)?,
        };
        if is_spaced {
            add_prefix_space(&mut files)?;
        }
        let mut add = |name: &str, bytes: Vec<u8>| files.push((name.to_owned(), bytes));
        let labels = self.task.goal.labels();
        let precision = Precision::F32;
        let config_json = config
            .fine_tuned(head, labels)
            .to_json(precision.torch_name());
        add("config.json", config_json.into_bytes());
        if head == HeadChoice::Mean {
            for (name, content) in self.modules(config, do_lower_case) {
                add(&name, format!("{content:#}\n").into_bytes());
            }
        }
        add(RESULTS, format!("{:#}\n", self.results()).into_bytes());
        add(PREDICTIONS, self.predictions().into_bytes());
        add("README.md", self.card().into_bytes());
        let best = &self.seeds[self.best].classifier;
        for (name, bytes) in pollster::block_on(best.files(precision))? {
            add(name, bytes);
        }
        Ok(files)
    }

    /// modules.json and what it names: the encoder, mean pooling, and the head as a `Dense` module.
    fn modules(&self, config: &Config, do_lower_case: bool) -> Vec<(String, Value)> {
        let dense = Dense {
            folder: FamilyHead::MODULE_OF_MEAN.to_owned(),
            inputs: config.hidden_size,
            outputs: self.task.goal.outputs(),
            bias: true,
            activation: DenseActivation::Identity,
        };
        let of_dense = json!({
            "in_features": dense.inputs, "out_features": dense.outputs, "bias": dense.bias,
            "activation_function": "torch.nn.modules.linear.Identity",
        });
        let head = SentenceHead {
            pooling: self.head.pooling().unwrap_or_default(),
            modules: vec![HeadModule::Dense(dense)],
            max_length: Some(self.max_length),
            do_lower_case,
            ..SentenceHead::default()
        };
        let mut files = head.to_files(config.hidden_size, config.max_length());
        let file = format!("{}/config.json", FamilyHead::MODULE_OF_MEAN);
        files.push((file, of_dense));
        files
    }

    /// The scores of all seeds, by metric: mean and standard deviation.
    fn spread(&self) -> [(f64, Option<f64>); 2] {
        [0, 1].map(|metric| {
            let scores: Vec<f64> = self.seeds.iter().map(|s| s.scores()[metric]).collect();
            (mean(&scores), deviation(&scores))
        })
    }

    /// Every number, without times: equal runs give equal files.
    pub fn results(&self) -> Value {
        let named = |values: [Value; 2]| -> Map<String, Value> {
            let pairs = self.task.metrics.iter().zip(values);
            pairs
                .map(|(metric, value)| (metric.key().to_owned(), value))
                .collect()
        };
        let seeds = self.seeds.iter().map(|seed| {
            let epochs = seed.epochs.iter().zip(1..).map(|(epoch, number)| {
                let mut object = named(epoch.scores.map(|score| json!(score)));
                object.insert("epoch".to_owned(), json!(number));
                object.insert("loss".to_owned(), json!(epoch.loss));
                Value::Object(object)
            });
            json!({
                "seed": seed.seed, "best_epoch": seed.best + 1, "epochs": epochs.collect::<Vec<_>>(),
            })
        });
        let spread = self.spread();
        let arguments = self.arguments;
        // A published folder reveals nothing of the machine.
        let name = |path: &Path| card::name(&path.display().to_string()).to_owned();
        let (train, dev) = (self.task.train.len(), self.task.dev.len());
        json!({
            "model": card::name(self.model), "train": name(&self.asked.train), "dev": name(&self.asked.dev),
            "train_examples": train, "dev_examples": dev,
            "task": self.task.goal.kind().name(), "pairs": self.task.has_pairs(), "labels": self.task.goal.labels(), "head": self.head.name(),
            "epochs": arguments.epochs, "batch": arguments.batch, "learning_rate": arguments.learning_rate,
            "warmup": arguments.warmup, "weight_decay": arguments.weight_decay, "max_length": self.max_length,
            "dropout": arguments.dropout, "frozen_layers": arguments.freeze, "balanced": arguments.balance,
            "mean": named(spread.map(|(mean, _)| json!(mean))),
            "std": named(spread.map(|(_, std)| json!(std))),
            "seeds": seeds.collect::<Vec<_>>(),
            "written_seed": self.seeds[self.best].seed,
        })
    }

    /// What the written model gives for each example of the dev file, in its order: one JSON object a line.
    fn predictions(&self) -> String {
        let labels = self.task.goal.labels().unwrap_or(&[]);
        let lines = self.task.dev.iter().zip(&self.predicted);
        let lines = lines.map(|(example, given)| {
            let predicted: Vec<Option<&String>> = given
                .iter()
                .map(|logits| labels.get(highest(logits.as_ref()?)))
                .collect();
            let first = given.first().and_then(Option::as_ref);
            let object = match (&example.target, &example.text) {
                (Target::Class(class), _) => json!({
                    "label": labels[*class], "predicted": predicted.first(), "logits": first,
                }),
                (Target::Score(score), _) => json!({
                    "score": score, "predicted": first.and_then(|score| score.first()),
                }),
                (Target::Tags(tags), text) => {
                    let words = match text {
                        Text::Words(words) => words.as_slice(),
                        Text::One(_) | Text::Pair(..) => &[],
                    };
                    let known: Vec<&String> = tags.iter().map(|tag| &labels[*tag]).collect();
                    json!({ "words": words, "labels": known, "predicted": predicted, "logits": given })
                }
            };
            format!("{object}\n")
        });
        lines.collect()
    }

    /// So many examples, in words.
    fn examples(&self, count: usize) -> String {
        let what = match self.task.goal {
            Goal::Tags(_) => "sentence",
            Goal::Classes(_) | Goal::Score => "example",
        };
        counted(count, what)
    }

    /// A line for each seed, and one for all of them.
    pub fn table(&self) -> String {
        let [first, second] = self.task.metrics;
        let mut table = format!("| seed | best epoch | {first} | {second} |\n|---|---|---|---|\n");
        for seed in self.seeds {
            let [a, b] = seed.scores().map(|score| format!("{:.1}", 100.0 * score));
            table += &format!("| {} | {} | {a} | {b} |\n", seed.seed, seed.best + 1);
        }
        let [a, b] = self.spread().map(|(mean, std)| match std {
            Some(std) => format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * std),
            None => format!("{:.1}", 100.0 * mean),
        });
        table + &format!("| mean | | {a} | {b} |\n")
    }

    /// What the table says and does not say.
    pub fn note(&self) -> String {
        let dev = self.examples(self.task.dev.len());
        let chunks = match self.task.metrics.contains(&Metric::F1) {
            true => " F1 is that of whole chunks, such as names.",
            false => "",
        };
        format!(
            "In percent, on the {dev} of the dev file, each seed after its best epoch there.{chunks} The mean is what compares \
             models; the best epoch and seed were chosen on these examples, so expect a little less on new ones."
        )
    }

    fn card(&self) -> String {
        let arguments = self.arguments;
        let train = self.examples(self.task.train.len());
        let dev = self.task.dev.len();
        let does = match &self.task.goal {
            Goal::Classes(labels) => format!(
                "A text classifier that tells {} apart: {}",
                counted(labels.len(), "class"),
                labels.join(", ")
            ),
            Goal::Score => "A text classifier that gives a score".to_owned(),
            Goal::Tags(tags) => format!(
                "A token classifier that gives each word one of {} tags: {}",
                tags.len(),
                tags.join(", ")
            ),
        };
        let opens = match self.head {
            HeadChoice::First => {
                "It opens with `AutoModelForSequenceClassification` of transformers, label names included."
            }
            HeadChoice::Tokens => {
                "It opens with `AutoModelForTokenClassification` of transformers, label names included; the prediction of a \
                 word is that of its first token."
            }
            HeadChoice::Mean => {
                "Its head is one linear layer on the mean of the last hidden states. transformers has no class for that: \
                 `SentenceTransformer(folder).encode(texts)` gives the logits, in the order of `id2label` in config.json, \
                 and `AutoModel` opens the encoder alone."
            }
        };
        format!(
            "# {} fine-tuned\n\n{does}. {opens}\n\n{}\n{}\n\nThis folder holds the weights of seed {}. \
             Fine-tuned with limbeck {} on {train} ({dev} for judging): {} of batches of {}, learning rate {}, \
             at most {} tokens.\n",
            card::name(self.model),
            self.table(),
            self.note(),
            self.seeds[self.best].seed,
            env!("CARGO_PKG_VERSION"),
            counted(arguments.epochs, "epoch"),
            arguments.batch,
            arguments.learning_rate,
            self.max_length,
        )
    }
}

/// tokenizer_config.json with what transformers makes a byte-level tokenizer of words by.
fn add_prefix_space(files: &mut Vec<(String, Vec<u8>)>) -> Result<(), ModelError> {
    const CONFIG: &str = "tokenizer_config.json";
    let at = files.iter().position(|(name, _)| name == CONFIG);
    let before = at.map(|at| files.swap_remove(at).1);
    let config = serde_json::from_slice(before.as_deref().unwrap_or(b"{}"));
    let mut config: Map<String, Value> =
        config.map_err(|e| TokenizerError::new(format!("{CONFIG} is no JSON object: {e}")))?;
    config.insert("add_prefix_space".to_owned(), Value::Bool(true));
    let config = format!("{:#}\n", Value::Object(config));
    files.push((CONFIG.to_owned(), config.into_bytes()));
    Ok(())
}

/// The sample's standard deviation (n - 1); none of a single value.
fn deviation(values: &[f64]) -> Option<f64> {
    let center = mean(values);
    let squares = values.iter().map(|value| (value - center).powi(2));
    (values.len() > 1).then(|| (squares.sum::<f64>() / (values.len() - 1) as f64).sqrt())
}
