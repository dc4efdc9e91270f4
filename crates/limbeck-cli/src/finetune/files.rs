//! What fine-tuning leaves: the model's folder, its scores and a card.

use limbeck_engine::{card, tokenizer_files};
use limbeck_model::{Folder, ModelError, Precision, Tokenizer};
use limbeck_recipe::{Config, Dense, DenseActivation, HeadChoice, HeadModule, SentenceHead};
use limbeck_score::mean;
use serde_json::{Map, Value, json};

use super::Arguments;
use super::scores::deviation;
use super::task::{Example, Goal, Target};
use super::training::{Seed, highest};
use crate::output::{PREDICTIONS, RESULTS};

/// What came of all seeds.
pub struct Outcome<'a> {
    /// How it was asked for.
    pub arguments: &'a Arguments,
    /// What was learnt.
    pub goal: &'a Goal,
    /// How many examples it learnt from.
    pub examples: usize,
    /// The longest sequence in tokens.
    pub max_length: usize,
    /// The dev file, and what the written model gives for each of its examples.
    pub dev: &'a [Example],
    pub predicted: Vec<Vec<f32>>,
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
        let head = self.arguments.pooling;
        let do_lower_case = model.sentence_head()?.do_lower_case;
        let mut files = tokenizer_files(model)?;
        // transformers knows nothing of a setting of sentence-transformers: its tokenizer must do that by itself.
        if do_lower_case && head == HeadChoice::First {
            files.retain(|(name, _)| name != "tokenizer.json");
            let tokenizer = Tokenizer::from_folder(model)?.to_json()?;
            files.push(("tokenizer.json".to_owned(), tokenizer.into_bytes()));
        }
        let mut add = |name: &str, bytes: Vec<u8>| files.push((name.to_owned(), bytes));
        let labels = match self.goal {
            Goal::Classes(labels) => Some(&labels[..]),
            Goal::Score => None,
        };
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
            folder: "2_Dense".to_owned(),
            inputs: config.hidden_size,
            outputs: self.goal.outputs(),
            bias: true,
            activation: DenseActivation::Identity,
        };
        let of_dense = json!({
            "in_features": dense.inputs, "out_features": dense.outputs, "bias": dense.bias,
            "activation_function": "torch.nn.modules.linear.Identity",
        });
        let head = SentenceHead {
            pooling: self.arguments.pooling.pooling(),
            modules: vec![HeadModule::Dense(dense)],
            max_length: Some(self.max_length),
            do_lower_case,
            ..SentenceHead::default()
        };
        let mut files = head.to_files(config.hidden_size, config.max_length());
        files.push(("2_Dense/config.json".to_owned(), of_dense));
        files
    }

    /// The scores of all seeds, by measure: mean and standard deviation.
    fn spread(&self) -> [(f64, Option<f64>); 2] {
        [0, 1].map(|measure| {
            let scores: Vec<f64> = self.seeds.iter().map(|s| s.scores()[measure]).collect();
            (mean(&scores), deviation(&scores))
        })
    }

    /// Every number, without times: equal runs give equal files.
    pub fn results(&self) -> Value {
        let measures = self.goal.measures();
        let named = |values: [Value; 2]| -> Map<String, Value> {
            let pairs = measures.iter().zip(values);
            pairs
                .map(|(measure, value)| (measure.key.to_owned(), value))
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
        let (train, dev) = (self.examples, self.dev.len());
        json!({
            "model": arguments.model, "train": arguments.train, "dev": arguments.dev,
            "train_examples": train, "dev_examples": dev,
            "labels": match self.goal { Goal::Classes(labels) => json!(labels), Goal::Score => Value::Null },
            "head": match arguments.pooling { HeadChoice::First => "cls", HeadChoice::Mean => "mean" },
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
        let labels: &[String] = match self.goal {
            Goal::Classes(labels) => labels,
            Goal::Score => &[],
        };
        let lines = self.dev.iter().zip(&self.predicted).map(|(example, given)| {
            let object = match example.target {
                Target::Class(class) => json!({
                    "label": labels[class], "predicted": labels[highest(given)], "logits": given,
                }),
                Target::Score(score) => json!({ "score": score, "predicted": given[0] }),
            };
            format!("{object}\n")
        });
        lines.collect()
    }

    /// A line for each seed, and one for all of them.
    pub fn table(&self) -> String {
        let [first, second] = self.goal.measures().map(|measure| measure.name);
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
        let dev = self.dev.len();
        format!(
            "In percent, on the {dev} examples of the dev file, each seed after its best epoch there. The mean is what compares \
             models; the best epoch and seed were chosen on these examples, so expect a little less on new ones."
        )
    }

    fn card(&self) -> String {
        let arguments = self.arguments;
        let (train, dev) = (self.examples, self.dev.len());
        let does = match self.goal {
            Goal::Classes(labels) => format!(
                "tells {} classes apart: {}",
                labels.len(),
                labels.join(", ")
            ),
            Goal::Score => "gives a score".to_owned(),
        };
        let opens = match arguments.pooling {
            HeadChoice::First => {
                "It opens with `AutoModelForSequenceClassification` of transformers, label names included."
            }
            HeadChoice::Mean => {
                "Its head is one linear layer on the mean of the last hidden states. transformers has no class for that: \
                 `SentenceTransformer(folder).encode(texts)` gives the logits, in the order of `id2label` in config.json, \
                 and `AutoModel` opens the encoder alone."
            }
        };
        format!(
            "# {} fine-tuned\n\nA text classifier that {does}. {opens}\n\n{}\n{}\n\nThis folder holds the weights of seed {}. \
             Fine-tuned with limbeck {} on {train} examples ({dev} for judging): {} epochs of batches of {}, learning rate {}, \
             at most {} tokens.\n",
            card::name(&arguments.model.display().to_string()),
            self.table(),
            self.note(),
            self.seeds[self.best].seed,
            env!("CARGO_PKG_VERSION"),
            arguments.epochs,
            arguments.batch,
            arguments.learning_rate,
            self.max_length,
        )
    }
}
