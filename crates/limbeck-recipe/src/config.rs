//! config.json: read into the shape of an encoder, and written for a student in the same family's keys.

use std::ops::Deref;

use serde_json::{Map, Value, json};

use crate::error::ConfigError;
use crate::families::{self, Family, Fields};
use crate::head::{FamilyHead, HeadChoice, Tuned};
use crate::json::{Object, parse_object, short};
use crate::layout::{self, Layout};
use crate::plan::{usual_from_layers, usual_teacher_layer};
use crate::sentence::Pooling;
use crate::shape::{Local, Positions, Shape};

/// The files of a tokenizer that a folder may hold: a model needs some of them, and its student inherits all.
pub const TOKENIZER_FILES: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
];

/// What stands behind the family's name in the class of a model that classifies sequences, or tokens.
const OF_SEQUENCES: &str = "ForSequenceClassification";
const OF_TOKENS: &str = "ForTokenClassification";

/// To what the rows of the table of words are rounded up, in the older keys of Nomic BERT.
pub(crate) const ROWS_MULTIPLE: &str = "pad_vocab_size_multiple";
/// The key of the padding token.
const PADDING: &str = "pad_token_id";

/// No size of a model is larger.
pub(crate) const LARGEST: usize = 100_000_000;

/// More than any encoder has; a larger number is a damaged file.
pub(crate) const MOST_LAYERS: usize = 10_000;

/// Fields that a student of any family inherits as its teacher has them. There are no others, so that nothing of the
/// teacher's task (labels, names) travels on.
const INHERITED: [&str; 6] = [
    "vocab_size",
    "max_position_embeddings",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "initializer_range",
];

/// A config.json: the shape of an encoder, whose fields a config has, too (`config.hidden_size`), and what the family needs
/// to write a student's config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What the encoder computes.
    pub shape: Shape,
    /// `model_type` as written: `bert`, `xlm-roberta`, `distilbert`, ...
    pub model_type: String,
    /// Id of the padding token.
    pub pad_token_id: u32,
    family: &'static Family,
    raw: Map<String, Value>,
    /// What it says of dropout, of hidden values and of attention probabilities, whatever the shape has while it is trained.
    dropouts: [f64; 2],
}

impl Deref for Config {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}

/// Size of a student.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudentSize {
    /// Number of layers.
    pub layers: usize,
    /// Hidden size H.
    pub hidden: usize,
    /// Number of attention heads; must divide the hidden size.
    pub heads: usize,
    /// Width of the feed-forward part.
    pub ffn: usize,
    /// Dropout of hidden values and attention probabilities while it is distilled.
    pub dropout: f64,
}

impl Config {
    /// Whether the words that come in and those that go out have one table: as long as config.json does not deny it.
    pub fn ties_words(&self) -> bool {
        self.raw.get("tie_word_embeddings") != Some(&Value::Bool(false))
    }

    /// Reads config.json. `file` names it in errors.
    ///
    /// # Errors
    /// Not JSON, a field that is missing or of another kind, impossible sizes, or a kind of model that limbeck does not support.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self, ConfigError> {
        let raw = parse_object(file, json)?;
        let object = Object { file, map: &raw };
        let model_type: String = object.required("model_type")?;
        let family = families::of(&model_type, &raw)
            .map_err(|supported| object.unsupported("model_type", &model_type, &supported))?;
        let pad_token_id = match family.counts_from_padding {
            true => object.optional("pad_token_id")?,
            false => object.nullable("pad_token_id")?,
        };
        let fields = Fields {
            object,
            keys: &family.keys,
            pad_token_id: pad_token_id.unwrap_or(family.pad_token_id),
        };
        let shape = (family.read)(&fields)?;
        require_task(&object)?;
        let config = Self {
            dropouts: [shape.hidden_dropout, shape.attention_dropout],
            shape,
            model_type,
            pad_token_id: fields.pad_token_id,
            family,
            raw,
        };
        config.check().map_err(|reason| ConfigError::Wrong {
            file: file.to_owned(),
            reason,
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let (shape, keys) = (&self.shape, &self.family.keys);
        let rows = match shape.positions {
            Positions::Learned { rows, .. } => rows,
            Positions::Rotary { .. } | Positions::Slopes { .. } | Positions::Disentangled(_) => {
                shape.positions.max_length()
            }
        };
        for (name, size) in [
            ("vocab_size", shape.vocab_size),
            (keys.hidden_size, shape.hidden_size),
            (keys.num_hidden_layers, shape.num_hidden_layers),
            (keys.num_attention_heads, shape.num_attention_heads),
            (keys.intermediate_size, shape.intermediate_size),
            (keys.longest, rows),
            ("embedding_size", shape.embedding_width()),
            ("head_dim", shape.head_size.unwrap_or(1)),
        ] {
            if size == 0 || size > LARGEST {
                return Err(format!("{name} is {size}"));
            }
        }
        let shares_width = shape.head_size.is_none();
        if shares_width && !shape.hidden_size.is_multiple_of(shape.num_attention_heads) {
            return Err(format!(
                "{} ({}) does not divide {} ({})",
                keys.num_attention_heads,
                shape.num_attention_heads,
                keys.hidden_size,
                shape.hidden_size
            ));
        }
        let (heads, width) = (shape.num_attention_heads, shape.head_width());
        if !shape.turns_whole_pairs() {
            let turned = "rotary positions turn them in pairs";
            return Err(match shares_width {
                true => format!(
                    "{} ({heads}) makes heads of {width} dimensions of {} ({}), and {turned}",
                    keys.num_attention_heads, keys.hidden_size, shape.hidden_size
                ),
                false => format!("heads have {width} dimensions, and {turned}"),
            });
        }
        if heads.checked_mul(width).is_none_or(|all| all > LARGEST) {
            return Err(format!(
                "{} is {heads}, and so many heads of {width} dimensions are more than any model has",
                keys.num_attention_heads
            ));
        }
        let groups = shape.key_heads();
        if groups == 0 || !heads.is_multiple_of(groups) {
            return Err(format!(
                "the number of heads of keys and values ({groups}) does not divide {} ({heads})",
                keys.num_attention_heads
            ));
        }
        if shape.num_hidden_layers > MOST_LAYERS {
            return Err(format!(
                "{} is {}",
                keys.num_hidden_layers, shape.num_hidden_layers
            ));
        }
        if self.pad_token_id as usize >= shape.vocab_size {
            let (pad, size) = (self.pad_token_id, shape.vocab_size);
            return Err(format!(
                "pad_token_id ({pad}) is beyond the vocabulary of {size}"
            ));
        }
        // f32 is what computes with it: a smaller one is 0 there, and a sequence of equal values is divided by 0.
        let eps = shape.layer_norm_eps;
        if !(eps.is_finite() && eps as f32 > 0.0) {
            return Err(format!(
                "{} is {eps}, and must be a number above 0, such as 1e-12",
                keys.layer_norm_eps
            ));
        }
        if shape.max_length() == 0 {
            return Err(format!(
                "{} ({rows}) leaves no position after the padding index {}",
                keys.longest, self.pad_token_id
            ));
        }
        Ok(())
    }

    /// Every parameter of a model with this config, by name and place.
    pub fn layout(&self) -> Layout {
        Layout::of(&self.shape, &self.family.names)
    }

    /// The layer that MiniLMv2 (section 4) taps in a teacher of 24 layers, for families that the paper covers.
    pub(crate) fn layer_of_24(&self) -> Option<usize> {
        self.family.layer_of_24
    }

    /// The config of a student of this teacher: same family, vocabulary, positions and special tokens, its own size, and layers
    /// that correspond to evenly spaced ones of the teacher.
    pub fn student(&self, size: StudentSize) -> Self {
        let last = usual_teacher_layer(self);
        self.student_of(size, &usual_from_layers(size.layers, last))
    }

    /// The same where each layer corresponds to the layer of the teacher, from 1, that is named for it: it attends to all tokens, or
    /// to near ones, as that does. The last layer, whose relations are compared, attends to all.
    pub(crate) fn student_of(&self, size: StudentSize, from_layers: &[usize]) -> Self {
        let inner = from_layers
            .split_last()
            .map_or(from_layers, |(_, inner)| inner);
        let student = self.as_student();
        let is_local = |from: usize| from > 0 && student.is_local(from - 1);
        let local_layers = || {
            let layers = inner.iter().enumerate();
            let local = layers.filter(|(_, from)| is_local(**from));
            local.map(|(layer, _)| layer).collect()
        };
        let shape = Shape {
            local: student.local.as_ref().map(|local| Local {
                layers: local_layers(),
                ..local.clone()
            }),
            num_hidden_layers: size.layers,
            hidden_size: size.hidden,
            num_attention_heads: size.heads,
            intermediate_size: size.ffn,
            embedding_size: student.embedding_size.map(|width| width.min(size.hidden)),
            ..student.shape.clone()
        };
        Self { shape, ..student }.trained_with(size.dropout)
    }

    /// This model in the family that its students are written as.
    fn as_student(&self) -> Self {
        let mut student = self.clone();
        if let Some(family) = self.family.of_students {
            if let Some(shape) = self.family.student_shape {
                student.shape = shape(&self.shape);
                // What this says is in the shape.
                student.raw.remove(family.keys.activation);
            }
            student.family = family;
            let model_type = family.models.first().map(|(model_type, _)| *model_type);
            student.model_type = model_type.unwrap_or_default().to_owned();
            // Where config.json is silent, the families may have different ones.
            if family.pad_token_id != self.pad_token_id {
                student.raw.insert(PADDING.into(), self.pad_token_id.into());
            }
        }
        student
    }

    /// Whether models of this kind can be teachers, and neither students nor the start of one: see [`Config::student_kind`].
    pub fn only_teaches(&self) -> bool {
        self.family.student_shape.is_some()
    }

    /// Why a model of this kind is not trained or written, where it can only teach.
    ///
    /// # Errors
    /// In one sentence, what it is and what can have its tokens.
    pub fn require_more_than_a_teacher(&self) -> Result<(), String> {
        match self.only_teaches() {
            false => Ok(()),
            true => Err(format!(
                "models of the kind `{}` can be teachers here, and encode texts, but not be trained or exported; a model of the kind \
                 `{}` can have its tokens",
                self.model_type,
                self.student_kind().0
            )),
        }
    }

    /// What students of this model are called: their `model_type`, and their class where that tells more.
    pub fn student_kind(&self) -> (String, &'static str) {
        let Self {
            model_type, family, ..
        } = self.as_student();
        let class = family.class(&model_type).unwrap_or_default();
        (model_type, class)
    }

    /// The config of this model as a student of its own size that is trained with this dropout. config.json keeps the model's
    /// own, for whoever fine-tunes the student.
    pub(crate) fn trained_with(&self, dropout: f64) -> Self {
        let mut student = self.as_student();
        student.raw = student.student_json();
        student.with_dropout(dropout)
    }

    /// This model, trained with such a dropout everywhere; config.json keeps its own.
    #[must_use]
    pub fn with_dropout(mut self, dropout: f64) -> Self {
        self.shape.hidden_dropout = dropout;
        self.shape.attention_dropout = dropout;
        self
    }

    /// The config of this model with so many rows in its table of words.
    #[must_use]
    pub fn with_rows(&self, rows: usize) -> Self {
        let mut config = self.clone();
        config.shape.vocab_size = rows;
        config.raw.insert("vocab_size".into(), rows.into());
        // The rows are exact.
        config.raw.remove(ROWS_MULTIPLE);
        config
    }

    /// The tokens that config.json names, by key: padding, and those at the ends of a text.
    pub fn named_tokens(&self) -> Vec<(&str, u32)> {
        let padding = (PADDING, self.pad_token_id);
        let others = self.raw.iter().filter(|(key, _)| *key != PADDING);
        let others = others.filter_map(|(key, id)| {
            let id = u32::try_from(id.as_u64()?).ok()?;
            key.ends_with("_token_id").then_some((key.as_str(), id))
        });
        std::iter::once(padding).chain(others).collect()
    }

    /// The config of this model with these tokens alone, in increasing order of their ids: each one's place is its new id.
    ///
    /// # Errors
    /// The padding token is not among them, or positions count from its id, which would be another one.
    pub fn pruned(&self, kept: &[u32]) -> Result<Self, String> {
        let place = |id: u32| kept.binary_search(&id).ok();
        let mut config = self.with_rows(kept.len());
        for (key, id) in self.named_tokens() {
            match place(id) {
                Some(place) => config.raw.insert(key.to_owned(), place.into()),
                None => config.raw.remove(key),
            };
        }
        // Lists of ids, of several ends: nothing reads them in an encoder.
        let is_list = |key: &String, value: &Value| key.ends_with("_token_id") && value.is_array();
        config.raw.retain(|key, value| !is_list(key, value));
        let uncounted = match self.positions {
            Positions::Learned { uncounted, .. } => uncounted,
            Positions::Rotary { .. } | Positions::Slopes { .. } | Positions::Disentangled(_) => {
                None
            }
        };
        let is_counted_alike = uncounted.is_none_or(|id| place(id) == Some(id as usize));
        let padding = place(self.pad_token_id).and_then(|place| u32::try_from(place).ok());
        match padding {
            None => Err(format!(
                "its padding token, {}, is not among those that are kept",
                self.pad_token_id
            )),
            Some(new)
                if new == self.pad_token_id && is_counted_alike
                    || !self.family.counts_from_padding =>
            {
                config.pad_token_id = new;
                Ok(config)
            }
            Some(_) => Err(format!(
                "a model of the kind `{}` counts positions from the id of its padding token, {}, and that would not stay among \
                 fewer tokens; keep all of them",
                self.model_type, self.pad_token_id
            )),
        }
    }

    fn student_json(&self) -> Map<String, Value> {
        let [hidden_dropout, attention_dropout] = self.dropouts;
        let shape = Shape {
            hidden_dropout,
            attention_dropout,
            ..self.shape.clone()
        };
        let family = self.family;
        let keys = &family.keys;
        let inherits = |key: &str| {
            INHERITED.contains(&key) || family.inherited.contains(&key) || key == keys.activation
        };
        let mut json: Map<String, Value> = self
            .raw
            .iter()
            .filter(|(key, _)| inherits(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let own = [
            ("model_type", json!(self.model_type)),
            (
                "architectures",
                json!([family.class(&self.model_type).unwrap_or_default()]),
            ),
        ];
        let own = own.into_iter().chain(keys.own(&shape));
        let own = own.chain((family.write)(&shape));
        json.extend(own.map(|(key, value)| (key.to_owned(), value)));
        json
    }

    /// The head that `transformers` puts on this model to classify sequences.
    pub fn head(&self) -> &'static FamilyHead {
        &self.family.head
    }

    /// Whether the dense layer of a head in this model's file has a bias.
    pub fn head_has_bias(&self) -> bool {
        let has_bias = self.raw.get(families::BIASED_HEAD) == Some(&Value::Bool(true));
        self.family.head.has_bias || has_bias
    }

    /// What the head of this model reads of the last hidden states: what its choice says, but for [`HeadChoice::First`] the mean
    /// where config.json says so.
    pub fn head_pooling(&self, choice: HeadChoice) -> Option<Pooling> {
        let reads_mean = self.raw.get(families::POOLS) == Some(&Value::from("mean"));
        match choice {
            HeadChoice::First if reads_mean => HeadChoice::Mean.pooling(),
            _ => choice.pooling(),
        }
    }

    /// The config of this model once it tells the classes of `labels` apart or, without labels, gives a score. Nothing of an
    /// earlier task stays.
    pub fn fine_tuned(&self, choice: HeadChoice, labels: Option<&[String]>) -> Self {
        let model = self.as_student();
        let mut json = model.student_json();
        let task = match choice {
            HeadChoice::First => Some(OF_SEQUENCES),
            HeadChoice::Tokens => Some(OF_TOKENS),
            HeadChoice::Mean => None,
        };
        // The head has learned with the pooling that this model's config.json names.
        if let Some(pools) = self.raw.get(families::POOLS) {
            json.insert(families::POOLS.to_owned(), pools.clone());
        }
        if let (Some(task), Some(class)) = (task, model.family.class(&model.model_type)) {
            let class = class.trim_end_matches("Model");
            json.insert("architectures".into(), json!([format!("{class}{task}")]));
        }
        // transformers knows no problems of tokens.
        let problem = match (choice, labels) {
            (HeadChoice::Tokens, _) => None,
            (_, Some(_)) => Some("single_label_classification"),
            (_, None) => Some("regression"),
        };
        if let Some(problem) = problem {
            json.insert("problem_type".into(), problem.into());
        }
        let score = ["score".to_owned()];
        let labels = labels.unwrap_or(&score).iter().enumerate();
        let names = labels
            .clone()
            .map(|(id, name)| (id.to_string(), name.as_str().into()));
        json.insert("id2label".into(), Value::Object(names.collect()));
        let ids = labels.map(|(id, name)| (name.clone(), id.into()));
        json.insert("label2id".into(), Value::Object(ids.collect()));
        Self { raw: json, ..model }
    }

    /// The head that fine-tuning gave the model, if it did, and if models of its kind are trained here: of sequences or tokens by the
    /// class in `architectures`, on the mean where a problem is named and the class is the encoder's alone.
    pub fn tuned(&self) -> Option<Tuned> {
        if self.only_teaches() {
            return None;
        }
        let text = |key: &str| self.raw.get(key).and_then(Value::as_str);
        let class = self.raw.get("architectures")?.get(0)?.as_str()?;
        let choice = if class.ends_with(OF_SEQUENCES) {
            HeadChoice::First
        } else if class.ends_with(OF_TOKENS) {
            HeadChoice::Tokens
        } else {
            text("problem_type")?;
            HeadChoice::Mean
        };
        let named = self.raw.get("id2label").and_then(Value::as_object);
        // Two classes without names are what `transformers` takes where config.json says nothing.
        let labels = (0..named.map_or(2, Map::len)).map(|id| {
            let name = named.and_then(|names| names.get(&id.to_string())?.as_str());
            name.map_or_else(|| format!("LABEL_{id}"), str::to_owned)
        });
        let labels: Vec<String> = labels.collect();
        let is_score = match text("problem_type") {
            _ if choice == HeadChoice::Tokens => false,
            Some(problem) => problem == "regression",
            None => labels.len() == 1,
        };
        Some(Tuned {
            choice,
            labels: (!is_score).then_some(labels),
        })
    }

    /// Whether the head of sequences gives several labels of a text, each on its own (`multi_label_classification`).
    pub fn has_several_labels(&self) -> bool {
        let problem = self.raw.get("problem_type").and_then(Value::as_str);
        problem == Some("multi_label_classification")
    }

    /// config.json of this model, with the element type of its weights (`float32`, `float16`).
    pub fn to_json(&self, dtype: &str) -> String {
        let mut json = self.raw.clone();
        json.insert("torch_dtype".into(), dtype.into());
        let mut text = serde_json::to_string_pretty(&Value::Object(json)).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// What [`Config::tuned`] reads must be of its kind, or the head would be taken for another one.
fn require_task(object: &Object) -> Result<(), ConfigError> {
    object.nullable::<Vec<String>>("architectures")?;
    object.nullable::<String>("problem_type")?;
    let names: Option<Map<String, Value>> = object.nullable("id2label")?;
    match names
        .unwrap_or_default()
        .values()
        .find(|name| !name.is_string())
    {
        Some(name) => Err(object.wrong(format!(
            "id2label names a class {}, which is no text",
            short(name)
        ))),
        None => Ok(()),
    }
}

/// Number of parameters of a model with this config, without the pooler.
pub fn parameter_count(config: &Config) -> u128 {
    layout::count(&config.shape, &config.family.names)
}
