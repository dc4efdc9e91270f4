//! How a folder makes one vector of a text, as sentence-transformers reads it: modules.json, the configs of the modules that
//! it names, and prompts and length of the texts. Read from files' bytes, and written for a student.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::counted;
use crate::error::ConfigError;
use crate::json::{Object, parse_json, parse_object, short};

const MODULES: &str = "modules.json";
const PROMPTS: &str = "config_sentence_transformers.json";
/// The config of the module Transformer, under the names that sentence-transformers looks for, in its order.
const TRANSFORMER: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
/// Tokenizers without a limit say something like 1e30.
const NO_LIMIT: f64 = 1e9;
const SUPPORTED: &str = "supported are Transformer, Pooling, Dense and Normalize of sentence-transformers, the first two first. \
                         Without modules.json the folder is read with mean pooling";

/// What makes one vector of a text's hidden states, and what is done to the text before.
#[derive(Clone, Debug, PartialEq)]
pub struct SentenceHead {
    /// Hidden states to one vector.
    pub pooling: Pooling,
    /// What the vector passes through then, in order.
    pub modules: Vec<HeadModule>,
    /// The first columns of the result that are kept; all if none.
    pub truncate_dim: Option<usize>,
    /// Tokens that a text is cut to, special ones included; as many as the model has positions for if none.
    pub max_length: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer's own normalisation.
    pub do_lower_case: bool,
    /// What can be put before a text, by name.
    pub prompts: BTreeMap<String, String>,
    /// The prompt of those who name none.
    pub default_prompt: Option<String>,
}

/// Hidden states of the tokens to one vector: that of each mode, one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooling {
    /// At least one.
    pub modes: Vec<PoolingMode>,
    /// Whether the tokens of a prompt count.
    pub include_prompt: bool,
}

/// How the hidden states of a text's tokens, special ones included, become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolingMode {
    /// The first token's.
    Cls,
    /// The largest value of each column.
    Max,
    /// The mean.
    Mean,
    /// The sum divided by the square root of the number of tokens.
    MeanSqrtLen,
    /// The mean, weighted by the place of a token, from 1.
    WeightedMean,
    /// The last token's.
    LastToken,
}

impl PoolingMode {
    /// Every mode with its name and its key in files of sentence-transformers before version 6, in the order in which those
    /// put vectors one behind the other.
    const ALL: [(Self, &str, &str); 6] = [
        (Self::Cls, "cls", "pooling_mode_cls_token"),
        (Self::Max, "max", "pooling_mode_max_tokens"),
        (Self::Mean, "mean", "pooling_mode_mean_tokens"),
        (
            Self::MeanSqrtLen,
            "mean_sqrt_len_tokens",
            "pooling_mode_mean_sqrt_len_tokens",
        ),
        (
            Self::WeightedMean,
            "weightedmean",
            "pooling_mode_weightedmean_tokens",
        ),
        (Self::LastToken, "lasttoken", "pooling_mode_lasttoken"),
    ];

    /// As sentence-transformers calls it.
    pub fn name(self) -> &'static str {
        let [_, name] = self.names();
        name
    }

    fn names(self) -> [&'static str; 2] {
        let found = Self::ALL.iter().find(|(mode, ..)| *mode == self);
        found.map_or(["", ""], |(_, name, key)| [*key, *name])
    }

    fn named(wanted: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name, _)| *name == wanted);
        found.map(|(mode, ..)| *mode).ok_or_else(|| {
            let names = Self::ALL.map(|(_, name, _)| name);
            format!(
                "pooling_mode `{wanted}` is not supported; supported: {}",
                names.join(", ")
            )
        })
    }
}

/// What a sentence's vector passes through behind the pooling.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadModule {
    /// A linear layer and its activation.
    Dense(Dense),
    /// Scales the vector to length 1.
    Normalize,
}

/// A linear layer on the vector of a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// The folder of its config.json and weights, such as `2_Dense`.
    pub folder: String,
    /// Width of what comes in.
    pub inputs: usize,
    /// Width of what goes out.
    pub outputs: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// What its result passes through.
    pub activation: DenseActivation,
}

/// The activation of a [`Dense`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseActivation {
    /// None.
    Identity,
    /// tanh, of those that name none.
    Tanh,
    /// Exact GELU.
    Gelu,
    /// max(x, 0).
    Relu,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// x / (1 + e^-x).
    Silu,
}

impl DenseActivation {
    const ALL: [(Self, &str); 6] = [
        (Self::Identity, "torch.nn.modules.linear.Identity"),
        (Self::Tanh, "torch.nn.modules.activation.Tanh"),
        (Self::Gelu, "torch.nn.modules.activation.GELU"),
        (Self::Relu, "torch.nn.modules.activation.ReLU"),
        (Self::Sigmoid, "torch.nn.modules.activation.Sigmoid"),
        (Self::Silu, "torch.nn.modules.activation.SiLU"),
    ];

    fn named(path: &str) -> Result<Self, String> {
        let class = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let of_torch = path.starts_with("torch.");
        let found = Self::ALL
            .iter()
            .find(|(_, known)| of_torch && class(known) == class(path));
        found.map(|(activation, _)| *activation).ok_or_else(|| {
            let names = Self::ALL.map(|(_, known)| class(known));
            format!(
                "activation_function `{path}` is not supported; supported are these of torch.nn: {}",
                names.join(", ")
            )
        })
    }
}

/// A file of a folder, by name; none if it is not there.
pub type FileOf<'a> = &'a dyn Fn(&str) -> Option<&'a [u8]>;

impl Default for Pooling {
    fn default() -> Self {
        Self {
            modes: vec![PoolingMode::Mean],
            include_prompt: true,
        }
    }
}

impl Default for SentenceHead {
    /// Mean pooling: what sentence-transformers makes of a folder without modules.json.
    fn default() -> Self {
        Self {
            pooling: Pooling::default(),
            modules: Vec::new(),
            truncate_dim: None,
            max_length: None,
            do_lower_case: false,
            prompts: BTreeMap::new(),
            default_prompt: None,
        }
    }
}

impl SentenceHead {
    /// Reads the head of a model with hidden size `hidden`. `folder` names the model in errors.
    ///
    /// # Errors
    /// A module that limbeck does not support, by its name; a file that is missing or damaged; widths that do not fit.
    pub fn read(folder: &str, file: FileOf<'_>, hidden: usize) -> Result<Self, ConfigError> {
        let files = Files { folder, file };
        let mut head = Self::default();
        files.texts(&mut head)?;
        let Some(modules) = modules(folder, file)? else {
            return Ok(head);
        };
        for (index, wanted) in ["Transformer", "Pooling"].into_iter().enumerate() {
            let found = modules.get(index);
            if found.and_then(Module::class) != Some(wanted) {
                let found = found.map_or("missing", |module| &module.kind);
                let reason = format!("module {index} is `{found}`, not {wanted}; {SUPPORTED}");
                return Err(files.wrong(MODULES, reason));
            }
        }
        head.pooling = files.pooling(&modules[1].path, hidden)?;
        let mut width = head.pooling.modes.len() * hidden;
        for module in &modules[2..] {
            let next = match module.class() {
                Some("Dense") => HeadModule::Dense(files.dense(&module.path, width)?),
                Some("Normalize") => files.normalize(&module.path)?,
                _ => {
                    let kind = &module.kind;
                    let reason = format!("the module `{kind}` is not supported; {SUPPORTED}");
                    return Err(files.wrong(MODULES, reason));
                }
            };
            if let HeadModule::Dense(dense) = &next {
                width = dense.outputs;
            }
            head.modules.push(next);
        }
        Ok(head)
    }

    /// Whether a folder asks for its texts in small letters.
    ///
    /// # Errors
    /// The file that would say so is damaged.
    pub fn lower_cases(folder: &str, file: FileOf<'_>) -> Result<bool, ConfigError> {
        Ok(Files { folder, file }.transformer()?.do_lower_case)
    }

    /// Tokens that a folder cuts its texts to, where it says; whatever its modules are.
    ///
    /// # Errors
    /// A file that would say so is damaged.
    pub fn own_length(folder: &str, file: FileOf<'_>) -> Result<Option<usize>, ConfigError> {
        let files = Files { folder, file };
        files.length(&files.transformer()?)
    }

    /// Names of the files that [`SentenceHead::read`] may ask for, and of Dense layers' weights; with the folder of the
    /// encoder's own files (mostly ``) before.
    ///
    /// # Errors
    /// modules.json is damaged, or leads out of the folder.
    pub fn files(
        folder: &str,
        modules_json: Option<&[u8]>,
    ) -> Result<(String, Vec<String>), ConfigError> {
        let mut names: Vec<String> = TRANSFORMER.iter().map(|name| (*name).to_owned()).collect();
        names.extend([MODULES.to_owned(), PROMPTS.to_owned()]);
        let mut encoder = String::new();
        let of_json = |_: &str| modules_json;
        for (index, module) in modules(folder, &of_json)?.into_iter().flatten().enumerate() {
            match index {
                0 => encoder = module.path,
                _ if module.path.is_empty() => {}
                _ => {
                    let files = ["config.json", "model.safetensors", "pytorch_model.bin"];
                    names.extend(files.map(|file| format!("{}/{file}", module.path)));
                }
            }
        }
        Ok((encoder, names))
    }

    /// Tokens that a text is cut to, of a model with `positions` positions.
    pub fn length(&self, positions: usize) -> usize {
        self.max_length.unwrap_or(positions).min(positions)
    }

    /// Width of the vectors of a model with this hidden size.
    pub fn width(&self, hidden: usize) -> usize {
        let mut width = self.pooling.modes.len() * hidden;
        for module in &self.modules {
            if let HeadModule::Dense(dense) = module {
                width = dense.outputs;
            }
        }
        self.truncate_dim.map_or(width, |most| width.min(most))
    }

    /// The text of a prompt: that of the name, or the default one.
    ///
    /// # Errors
    /// There is no prompt of that name.
    pub fn prompt(&self, name: Option<&str>) -> Result<&str, String> {
        let Some(name) = name.or(self.default_prompt.as_deref()) else {
            return Ok("");
        };
        self.prompts.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<String> = self.prompts.keys().map(|key| format!("`{key}`")).collect();
            match names.is_empty() {
                true => format!("there is no prompt `{name}`: {PROMPTS} names none"),
                false => format!(
                    "there is no prompt `{name}`; {PROMPTS} names {}",
                    names.join(", ")
                ),
            }
        })
    }

    /// The head of a student of hidden size `student`: its teacher's, but a Dense is left out, and what depends on its
    /// width, where the student's vectors have another width than the teacher's.
    pub fn of_student(&self, teacher: usize, student: usize) -> Self {
        if teacher == student {
            return self.clone();
        }
        let stays = |module: &&HeadModule| **module == HeadModule::Normalize;
        let mut head = Self {
            modules: self.modules.iter().filter(stays).cloned().collect(),
            truncate_dim: None,
            ..self.clone()
        };
        let width = head.width(student);
        head.truncate_dim = self.truncate_dim.filter(|most| *most <= width);
        head
    }

    /// The Dense layers, first to last.
    pub fn dense(&self) -> impl Iterator<Item = &Dense> {
        self.modules.iter().filter_map(|module| match module {
            HeadModule::Dense(dense) => Some(dense),
            HeadModule::Normalize => None,
        })
    }

    /// The files that say all this but the Dense layers' own, whose folders keep their names: name and content.
    pub fn to_files(&self, hidden: usize, positions: usize) -> Vec<(String, Value)> {
        let module = |index: usize, path: &str, kind: &str| {
            let kind = format!("sentence_transformers.models.{kind}");
            json!({ "idx": index, "name": index.to_string(), "path": path, "type": kind })
        };
        let mut modules = vec![
            module(0, "", "Transformer"),
            module(1, "1_Pooling", "Pooling"),
        ];
        for (index, next) in (2..).zip(&self.modules) {
            modules.push(match next {
                HeadModule::Dense(dense) => module(index, &dense.folder, "Dense"),
                HeadModule::Normalize => module(index, &format!("{index}_Normalize"), "Normalize"),
            });
        }
        let transformer = json!({
            "max_seq_length": self.length(positions), "do_lower_case": self.do_lower_case,
        });
        let mut files = vec![
            (MODULES.to_owned(), Value::Array(modules)),
            (
                "1_Pooling/config.json".to_owned(),
                self.pooling.to_json(hidden),
            ),
            (TRANSFORMER[0].to_owned(), transformer),
        ];
        if !self.prompts.is_empty() || self.truncate_dim.is_some() {
            let mut prompts = json!({
                "prompts": self.prompts, "default_prompt_name": self.default_prompt,
            });
            if let Some(most) = self.truncate_dim {
                prompts["truncate_dim"] = json!(most);
            }
            files.push((PROMPTS.to_owned(), prompts));
        }
        files
    }

    /// In words, such as "cls pooling, Dense 768 to 256, normalised".
    pub fn words(&self) -> String {
        let mut words = self.pooling.words();
        if !self.pooling.include_prompt {
            words.push_str(" without the prompt");
        }
        for module in &self.modules {
            match module {
                HeadModule::Normalize => words.push_str(", normalised"),
                HeadModule::Dense(dense) => {
                    words.push_str(&format!(", Dense {} to {}", dense.inputs, dense.outputs));
                }
            }
        }
        if let Some(most) = self.truncate_dim {
            words.push_str(&format!(", the first {}", counted(most, "column")));
        }
        words
    }
}

impl Pooling {
    /// The modes in words, such as "cls + mean pooling".
    pub fn words(&self) -> String {
        let modes: Vec<&str> = self.modes.iter().map(|mode| mode.name()).collect();
        format!("{} pooling", modes.join(" + "))
    }

    /// In the keys that every version of sentence-transformers reads, where those can say it.
    fn to_json(&self, hidden: usize) -> Value {
        let mut config = json!({ "word_embedding_dimension": hidden });
        let increasing = self.modes.is_sorted_by(|before, after| before < after);
        for (index, (mode, _, key)) in PoolingMode::ALL.iter().enumerate() {
            let is_on = self.modes.contains(mode);
            // Those of the first versions are always there.
            if increasing && (index < 4 || is_on) {
                config[*key] = json!(is_on);
            }
        }
        if !increasing {
            let names: Vec<&str> = self.modes.iter().map(|mode| mode.name()).collect();
            config["pooling_mode"] = json!(names);
        }
        if !self.include_prompt {
            config["include_prompt"] = json!(false);
        }
        config
    }
}

/// A line of modules.json.
#[derive(Clone, Debug)]
struct Module {
    path: String,
    kind: String,
}

impl Module {
    /// The name of a class of sentence-transformers; none of code that comes with a model.
    fn class(&self) -> Option<&str> {
        let of_library = self.kind.strip_prefix("sentence_transformers.")?;
        of_library.rsplit('.').next()
    }
}

fn modules(folder: &str, file: FileOf<'_>) -> Result<Option<Vec<Module>>, ConfigError> {
    let files = Files { folder, file };
    let Some(bytes) = file(MODULES) else {
        return Ok(None);
    };
    let name = files.path(MODULES);
    let Value::Array(list) = parse_json(&name, bytes)? else {
        return Err(files.wrong(MODULES, "not a JSON list of modules"));
    };
    let modules = list.iter().enumerate().map(|(index, module)| {
        let Value::Object(map) = module else {
            let reason = format!(
                "module {index} is {}, and must be an object in braces",
                short(module)
            );
            return Err(files.wrong(MODULES, reason));
        };
        let file = &format!("{name}: module {index}");
        let fields = Object { file, map };
        Ok(Module {
            path: fields.optional("path")?.unwrap_or_default(),
            kind: fields.required("type")?,
        })
    });
    let modules: Vec<Module> = modules.collect::<Result<_, _>>()?;
    let leads_out = |module: &&Module| {
        let path = &module.path;
        // A colon ends the name of a drive.
        path.starts_with('/')
            || path.contains(['\\', ':'])
            || path.split('/').any(|part| part == "..")
    };
    if let Some(module) = modules.iter().find(leads_out) {
        let reason = format!("the path `{}` leads out of the folder", module.path);
        return Err(files.wrong(MODULES, reason));
    }
    Ok(Some(modules))
}

/// What a module reads and writes, where a folder says it.
fn check_ends(fields: &Object, what: &str) -> Result<(), ConfigError> {
    for key in ["module_input_name", "module_output_name"] {
        let end: Option<String> = fields.nullable(key)?;
        if let Some(end) = end.filter(|end| end != "sentence_embedding") {
            return Err(fields.wrong(format!(
                "a {what} on `{end}` is not supported, only on `sentence_embedding`"
            )));
        }
    }
    Ok(())
}

/// What sentence_bert_config.json may say of the texts.
struct Transformer {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

impl Transformer {
    /// Refuses what would make other vectors than the last hidden states do.
    fn read(fields: &Object) -> Result<Self, ConfigError> {
        let output = fields.map.get("modality_config");
        let output = output.and_then(|config| config["text"]["method_output_name"].as_str());
        for (key, found, supported) in [
            (
                "transformer_task",
                fields.nullable("transformer_task")?,
                "feature-extraction",
            ),
            (
                "module_output_name",
                fields.nullable("module_output_name")?,
                "token_embeddings",
            ),
            (
                "method_output_name",
                output.map(str::to_owned),
                "last_hidden_state",
            ),
        ] {
            let found: Option<String> = found;
            if let Some(found) = found.filter(|found| found != supported) {
                return Err(fields.wrong(format!(
                    "{key} `{found}` is not supported, only `{supported}`"
                )));
            }
        }
        let kwargs: Option<Map<String, Value>> = fields.nullable("processing_kwargs")?;
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return Err(fields.wrong("`processing_kwargs` are not supported"));
        }
        let max_seq_length = fields.nullable("max_seq_length")?;
        if max_seq_length == Some(0) {
            return Err(fields.wrong("max_seq_length is 0"));
        }
        Ok(Self {
            max_seq_length,
            // Python takes null for false.
            do_lower_case: fields.nullable("do_lower_case")?.unwrap_or(false),
        })
    }
}

/// The files of one folder.
struct Files<'n, 'f> {
    folder: &'n str,
    file: FileOf<'f>,
}

impl Files<'_, '_> {
    /// Where a file is, for errors.
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn wrong(&self, name: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Wrong {
            file: self.path(name),
            reason: reason.into(),
        }
    }

    /// What a file says, read from its fields; from none where the file is not there.
    fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Object) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let file = &self.path(name);
        let map = match (self.file)(name) {
            Some(bytes) => parse_object(file, bytes)?,
            None => Map::new(),
        };
        read(&Object { file, map: &map })
    }

    fn require(&self, name: &str) -> Result<(), ConfigError> {
        match (self.file)(name) {
            Some(_) => Ok(()),
            None => Err(self.wrong(name, format!("{MODULES} names it, but it is not there"))),
        }
    }

    /// The settings of the module Transformer.
    fn transformer(&self) -> Result<Transformer, ConfigError> {
        let is_there = |name: &&str| (self.file)(name).is_some();
        let name = TRANSFORMER.into_iter().find(is_there);
        self.read(name.unwrap_or(TRANSFORMER[0]), Transformer::read)
    }

    /// What is done to texts: their length, case and prompts.
    fn texts(&self, head: &mut SentenceHead) -> Result<(), ConfigError> {
        let transformer = self.transformer()?;
        head.do_lower_case = transformer.do_lower_case;
        head.max_length = self.length(&transformer)?;
        self.read(PROMPTS, |fields| {
            let prompts: Option<Map<String, Value>> = fields.optional("prompts")?;
            for (name, text) in prompts.iter().flatten() {
                let text = match text {
                    Value::Null => "",
                    Value::String(text) => text,
                    other => {
                        let shown = short(other);
                        return Err(fields
                            .wrong(format!("the prompt `{name}` is {shown}, which is no text")));
                    }
                };
                head.prompts.insert(name.clone(), text.to_owned());
            }
            head.default_prompt = fields.nullable("default_prompt_name")?;
            head.truncate_dim = fields.nullable("truncate_dim")?;
            head.prompt(None)
                .map(|_| ())
                .map_err(|reason| fields.wrong(reason))
        })
    }

    /// Tokens that a text is cut to, where the folder says.
    fn length(&self, transformer: &Transformer) -> Result<Option<usize>, ConfigError> {
        let of_tokenizer: Option<f64> = self.read("tokenizer_config.json", |fields| {
            fields.nullable("model_max_length")
        })?;
        let of_tokenizer = of_tokenizer.filter(|length| (1.0..NO_LIMIT).contains(length));
        let of_tokenizer = of_tokenizer.map(|length| length as usize);
        Ok(transformer.max_seq_length.or(of_tokenizer))
    }

    /// In both styles of keys.
    fn pooling(&self, path: &str, hidden: usize) -> Result<Pooling, ConfigError> {
        let name = in_folder(path, "config.json");
        self.require(&name)?;
        self.read(&name, |fields| {
            let [new, old] = ["embedding_dimension", "word_embedding_dimension"];
            let key = match fields.map.contains_key(old) {
                true => old,
                false => new,
            };
            let found: usize = fields.required(key)?;
            if found != hidden {
                let reason = format!("{key} is {found}, but the model's hidden size is {hidden}");
                return Err(fields.wrong(reason));
            }
            Ok(Pooling {
                modes: modes(fields)?,
                include_prompt: fields.optional("include_prompt")?.unwrap_or(true),
            })
        })
    }

    fn dense(&self, path: &str, width: usize) -> Result<Dense, ConfigError> {
        let name = in_folder(path, "config.json");
        self.require(&name)?;
        self.read(&name, |fields| {
            if fields.optional("use_residual")? == Some(true) {
                return Err(fields.wrong("a Dense with `use_residual` is not supported"));
            }
            let inputs = fields.required("in_features")?;
            if inputs != width {
                return Err(fields.wrong(format!(
                    "in_features is {inputs}, but the vector before it is {width} wide"
                )));
            }
            check_ends(fields, "Dense")?;
            let activation: Option<String> = fields.optional("activation_function")?;
            let activation = activation.map(|path| DenseActivation::named(&path));
            let activation = activation.transpose().map_err(|e| fields.wrong(e))?;
            Ok(Dense {
                folder: path.to_owned(),
                inputs,
                outputs: fields.required("out_features")?,
                bias: fields.optional("bias")?.unwrap_or(true),
                activation: activation.unwrap_or(DenseActivation::Tanh),
            })
        })
    }

    fn normalize(&self, path: &str) -> Result<HeadModule, ConfigError> {
        // In the encoder's folder that is the encoder's.
        if !path.is_empty() {
            self.read(&in_folder(path, "config.json"), |fields| {
                check_ends(fields, "Normalize")
            })?;
        }
        Ok(HeadModule::Normalize)
    }
}

fn in_folder(path: &str, file: &str) -> String {
    match path {
        "" => file.to_owned(),
        path => format!("{path}/{file}"),
    }
}

/// The modes of `pooling_mode`, or else those whose older key is true; the mean if there are none.
fn modes(fields: &Object) -> Result<Vec<PoolingMode>, ConfigError> {
    let named: Option<Vec<String>> = fields.nullable("pooling_mode")?;
    if let Some(names) = named {
        if names.is_empty() {
            return Err(fields.wrong("pooling_mode names no mode"));
        }
        let modes = names.iter().map(|name| PoolingMode::named(name));
        return modes.collect::<Result<_, _>>().map_err(|e| fields.wrong(e));
    }
    let mut modes = Vec::new();
    for (mode, _, key) in PoolingMode::ALL {
        if fields.optional(key)?.unwrap_or(false) {
            modes.push(mode);
        }
    }
    let known = |key: &str| PoolingMode::ALL.iter().any(|(.., known)| *known == key);
    let mut others = fields.map.iter();
    let unknown = others.find(|(key, value)| {
        key.starts_with("pooling_mode_") && **value == Value::Bool(true) && !known(key)
    });
    match unknown {
        Some((key, _)) => Err(fields.wrong(format!("`{key}` is not supported"))),
        None if modes.is_empty() => Ok(vec![PoolingMode::Mean]),
        None => Ok(modes),
    }
}
