//! What a folder says beside its vocabulary: which class of `transformers` makes the tokens, with which settings, and which
//! tokens were added. The precedence is that of `PreTrainedTokenizerBase._from_pretrained` and `AutoTokenizer` in
//! transformers 5.23.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::TokenizerError;

/// Gives the bytes of a file of a folder by its name, if it is there.
pub type FileOf<'a> = &'a dyn Fn(&str) -> Option<&'a [u8]>;

pub const TOKENIZER: &str = "tokenizer.json";
pub const CONFIG: &str = "tokenizer_config.json";
pub const VOCAB_TXT: &str = "vocab.txt";
pub const VOCAB_JSON: &str = "vocab.json";
pub const MERGES: &str = "merges.txt";

/// The names of special tokens, in the order in which they are added.
const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// What makes a tokenizer of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Bert,
    Mpnet,
    Roberta,
    XlmRoberta,
    Camembert,
    /// tokenizer.json as it stands: `TokenizersBackend`, and every class that is not rebuilt here.
    File,
}

/// The classes that are rebuilt here, by all their names but for `Fast` at the end.
const CLASSES: [(&str, Class); 12] = [
    ("BertTokenizer", Class::Bert),
    ("DistilBertTokenizer", Class::Bert),
    ("ElectraTokenizer", Class::Bert),
    ("MobileBertTokenizer", Class::Bert),
    ("SqueezeBertTokenizer", Class::Bert),
    ("ConvBertTokenizer", Class::Bert),
    ("MPNetTokenizer", Class::Mpnet),
    ("RobertaTokenizer", Class::Roberta),
    ("BartTokenizer", Class::Roberta),
    ("LongformerTokenizer", Class::Roberta),
    ("XLMRobertaTokenizer", Class::XlmRoberta),
    ("CamembertTokenizer", Class::Camembert),
];

/// The class of a model whose folder names none.
const OF_MODELS: [(&str, &str); 9] = [
    ("bert", "BertTokenizer"),
    ("distilbert", "BertTokenizer"),
    ("electra", "BertTokenizer"),
    ("nomic_bert", "BertTokenizer"),
    ("mpnet", "MPNetTokenizer"),
    ("roberta", "RobertaTokenizer"),
    ("xlm-roberta", "XLMRobertaTokenizer"),
    ("gte", "XLMRobertaTokenizer"),
    ("camembert", "CamembertTokenizer"),
];

/// Models whose folders name classes that mean nothing: their tokenizer.json counts as it stands
/// (`MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS` of transformers).
const OF_FILES: [&str; 1] = ["modernbert"];

impl Class {
    /// The special tokens that the class has where no file names another one.
    fn defaults(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bert => &[
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Mpnet => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "[UNK]"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Self::Roberta | Self::XlmRoberta | Self::Camembert => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Self::File => &[],
        }
    }

    fn default_extras(self) -> &'static [&'static str] {
        match self {
            Self::Camembert => &["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"],
            _ => &[],
        }
    }
}

/// A special token, and whether a file names it or only the class.
#[derive(Clone, Debug)]
pub struct Special {
    pub token: AddedToken,
    pub is_named: bool,
}

/// All that a folder says of its tokens but the vocabulary.
#[derive(Debug)]
pub struct Settings {
    pub class: Class,
    pub class_name: String,
    pub lowercase: bool,
    pub strip_accents: Option<bool>,
    pub chinese_characters: bool,
    pub add_prefix_space: Option<bool>,
    /// Special tokens in the text are text.
    pub split_special_tokens: bool,
    /// A long text loses its beginning.
    pub cuts_left: bool,
    /// The model is told token types, unless `model_input_names` leaves them out.
    pub has_types: bool,
    /// Tokens by the ids that they should have.
    pub added: BTreeMap<u32, AddedToken>,
    /// By role, in the order in which they are added; then those without a role.
    specials: Vec<(String, Special)>,
    /// Rows of the model's table of words.
    pub rows: Option<usize>,
}

impl Settings {
    /// `in_file` are the added tokens of tokenizer.json.
    pub fn read(
        files: FileOf<'_>,
        in_file: BTreeMap<u32, AddedToken>,
    ) -> Result<Self, TokenizerError> {
        let config = object(files, CONFIG)?;
        // What is wrong with config.json, whoever reads the model says.
        let model = object(files, "config.json").unwrap_or_default();
        let class_name = class_name(&config, &model, files);
        let plain = class_name.strip_suffix("Fast").unwrap_or(&class_name);
        let known = CLASSES.iter().find(|(name, _)| *name == plain);
        let class = known.map_or(Class::File, |(_, class)| *class);
        let mut named = Named::read(&config);
        let added = match config.get("added_tokens_decoder") {
            Some(decoder) => added_tokens_decoder(decoder)?,
            None => {
                named.take_over(&object(files, "special_tokens_map.json")?);
                let mut added = named.added_tokens(&object(files, "added_tokens.json")?)?;
                added.extend(in_file);
                added
            }
        };
        // Of what stands as it is in tokenizer.json, these fields say nothing.
        let is = |field: &str| match config.get(field) {
            Some(Value::Bool(is)) => Ok(Some(*is)),
            Some(value) if class != Class::File && !value.is_null() => {
                let reason = format!("its {field} is {value}, and must be true or false");
                Err(TokenizerError::of_file(CONFIG, reason))
            }
            _ => Ok(None),
        };
        Ok(Self {
            class,
            lowercase: is("do_lower_case")?.unwrap_or(true),
            strip_accents: is("strip_accents")?,
            chinese_characters: is("tokenize_chinese_chars")?.unwrap_or(true),
            add_prefix_space: is("add_prefix_space")?,
            split_special_tokens: is("split_special_tokens")?.unwrap_or(false),
            cuts_left: config.get("truncation_side").is_some_and(|s| s == "left"),
            has_types: match config.get("model_input_names") {
                Some(Value::Array(names)) => names.iter().any(|name| name == "token_type_ids"),
                _ => true,
            },
            specials: named.specials(class, &added),
            added,
            rows: model
                .get("vocab_size")
                .and_then(Value::as_u64)
                .map(|n| n as usize),
            class_name,
        })
    }

    /// The special token of a role.
    pub fn special(&self, role: &str) -> Option<&str> {
        let mut all = self.specials.iter();
        let (_, special) = all.find(|(other, _)| other == role)?;
        Some(&special.token.content)
    }

    /// All special tokens, in the order in which they are added.
    pub fn specials(&self) -> impl Iterator<Item = &Special> {
        self.specials.iter().map(|(_, special)| special)
    }

    /// Whether a token is the special token of a role.
    pub fn has_role(&self, token: &str) -> bool {
        let mut all = self.specials.iter();
        all.any(|(role, special)| !role.is_empty() && special.token.content == token)
    }
}

/// tokenizer_config.json names it, or config.json, or else it is that of the model; without a config.json it follows from the
/// files that are there.
fn class_name(
    config: &Map<String, Value>,
    model: &Map<String, Value>,
    files: FileOf<'_>,
) -> String {
    let of = |json: &Map<String, Value>| json.get("tokenizer_class")?.as_str().map(str::to_owned);
    let model_type = model.get("model_type").and_then(Value::as_str);
    if model_type.is_some_and(|kind| OF_FILES.contains(&kind)) && files(TOKENIZER).is_some() {
        return "PreTrainedTokenizerFast".to_owned();
    }
    let of_model = || {
        let model_type = model_type?;
        let mut all = OF_MODELS.iter();
        all.find(|(name, _)| *name == model_type)
            .map(|(_, class)| (*class).to_owned())
    };
    let of_files = || match (files(TOKENIZER), files(VOCAB_TXT), files(VOCAB_JSON)) {
        (None, Some(_), _) => "BertTokenizer".to_owned(),
        (None, None, Some(_)) => "RobertaTokenizer".to_owned(),
        _ => "PreTrainedTokenizerFast".to_owned(),
    };
    of(config)
        .or_else(|| of(model))
        .or_else(of_model)
        .unwrap_or_else(of_files)
}

/// The special tokens that files name.
struct Named {
    roles: BTreeMap<String, AddedToken>,
    /// Without a role, where a file says anything about them.
    extras: Option<Vec<AddedToken>>,
    /// Those of special_tokens_map.json, where there are no others. In added_tokens.json they are plain tokens.
    old_extras: Option<Vec<AddedToken>>,
}

impl Named {
    fn read(config: &Map<String, Value>) -> Self {
        let mut named = Self {
            roles: BTreeMap::new(),
            extras: None,
            old_extras: None,
        };
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        let extra = config.get("extra_special_tokens").filter(|e| !is_empty(e));
        let extra = extra.or_else(|| config.get("additional_special_tokens"));
        if let Some(extra) = extra {
            named.take_extras(extra);
        }
        named.take_roles(config);
        named
    }

    /// special_tokens_map.json goes before tokenizer_config.json, in folders of before transformers 4.34.
    fn take_over(&mut self, map: &Map<String, Value>) {
        let before = self.extras.take();
        if let Some(old) = map.get("additional_special_tokens") {
            self.take_extras(old);
            self.old_extras = self.extras.take();
        }
        if let Some(more) = map.get("extra_special_tokens") {
            self.take_extras(more);
        }
        let more = self.extras.take();
        self.extras = match (before, more) {
            (Some(mut all), Some(more)) => {
                let new: Vec<_> = more.into_iter().filter(|t| !all.contains(t)).collect();
                all.extend(new);
                Some(all)
            }
            (before, more) => before.or(more),
        };
        self.take_roles(map);
    }

    fn take_roles(&mut self, fields: &Map<String, Value>) {
        for (field, value) in fields {
            match token(value) {
                _ if !field.ends_with("_token") => {}
                Some(token) => drop(self.roles.insert(field.clone(), token)),
                None if value.is_null() => drop(self.roles.remove(field)),
                None => {}
            }
        }
    }

    fn take_extras(&mut self, extras: &Value) {
        match extras {
            Value::Array(items) => self.extras = Some(items.iter().filter_map(token).collect()),
            Value::Object(fields) => {
                let with_names = fields
                    .iter()
                    .filter_map(|(n, v)| Some((n.clone(), token(v)?)));
                self.roles.extend(with_names);
            }
            _ => {}
        }
    }

    /// added_tokens.json: ids by token.
    fn added_tokens(
        &self,
        file: &Map<String, Value>,
    ) -> Result<BTreeMap<u32, AddedToken>, TokenizerError> {
        let extras = self.extras.iter().flatten();
        let specials: Vec<&str> = self
            .roles
            .values()
            .chain(extras)
            .map(|t| t.content.as_str())
            .collect();
        let added = file.iter().map(|(token, id)| {
            let is_special = specials.contains(&token.as_str());
            let added = AddedToken::from(token.as_str(), is_special);
            Ok((id_in("added_tokens.json", token, id)?, added))
        });
        added.collect()
    }

    /// Roles in their order. A token that is among the added ones is as it is there.
    fn specials(self, class: Class, added: &BTreeMap<u32, AddedToken>) -> Vec<(String, Special)> {
        let as_added = |token: AddedToken| {
            let mut all = added.values();
            all.find(|other| other.content == token.content)
                .cloned()
                .unwrap_or(token)
        };
        let mut roles = self.roles;
        let mut specials = Vec::new();
        for role in ROLES {
            let default = class.defaults().iter().find(|(other, _)| *other == role);
            let named = roles.remove(role).map(|token| (token, true));
            let default = default.map(|(_, token)| (AddedToken::from(*token, true), false));
            let Some((token, is_named)) = named.or(default) else {
                continue;
            };
            // These classes' mask token takes the space before it with it.
            let takes_space =
                matches!(class, Class::Mpnet | Class::Camembert) && role == "mask_token";
            let token = if takes_space {
                token.lstrip(true)
            } else {
                token
            };
            let token = as_added(token);
            specials.push((role.to_owned(), Special { token, is_named }));
        }
        for (role, token) in roles {
            specials.push((
                role,
                Special {
                    token,
                    is_named: true,
                },
            ));
        }
        let by_class = class
            .default_extras()
            .iter()
            .map(|token| AddedToken::from(*token, true));
        let (extras, is_named) = match self.extras.or(self.old_extras) {
            Some(extras) => (extras, true),
            None => (by_class.collect(), false),
        };
        let extras = extras
            .into_iter()
            .map(|token| (String::new(), Special { token, is_named }));
        specials.extend(extras);
        specials
    }
}

fn added_tokens_decoder(decoder: &Value) -> Result<BTreeMap<u32, AddedToken>, TokenizerError> {
    let wrong = |reason: String| {
        TokenizerError::of_file(CONFIG, format!("its added_tokens_decoder {reason}"))
    };
    let Some(decoder) = decoder.as_object() else {
        return Err(wrong("is not an object of tokens by their ids".into()));
    };
    let added = decoder.iter().map(|(id, value)| {
        let token = token(value).filter(|_| value.is_object());
        match (id.parse(), token) {
            (Ok(id), Some(token)) => Ok((id, token)),
            _ => Err(wrong(format!(
                "has {value} for id {id:?}, which is no token"
            ))),
        }
    });
    added.collect()
}

/// A token as files write it: its text, or an object with what is special about it.
fn token(value: &Value) -> Option<AddedToken> {
    if let Some(text) = value.as_str() {
        return Some(AddedToken::from(text, true));
    }
    let is = |field: &str| value[field].as_bool();
    let token = AddedToken::from(value["content"].as_str()?, is("special").unwrap_or(false));
    let normalized = is("normalized").unwrap_or(token.normalized);
    Some(
        token
            .normalized(normalized)
            .single_word(is("single_word").unwrap_or(false))
            .lstrip(is("lstrip").unwrap_or(false))
            .rstrip(is("rstrip").unwrap_or(false)),
    )
}

/// The id that a file gives a token.
pub fn id_in(file: &str, token: &str, id: &Value) -> Result<u32, TokenizerError> {
    let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
    number.ok_or_else(|| {
        let reason = format!("the id of `{token}` is {id}, not a whole number");
        TokenizerError::of_file(file, reason)
    })
}

/// The object in a file; an empty one if there is no such file.
pub fn object(files: FileOf<'_>, file: &str) -> Result<Map<String, Value>, TokenizerError> {
    let Some(bytes) = files(file) else {
        return Ok(Map::new());
    };
    let json: Value = serde_json::from_slice(bytes)
        .map_err(|e| TokenizerError::new(format!("{file} is not JSON: {e}")))?;
    match json {
        Value::Object(fields) => Ok(fields),
        _ => Err(TokenizerError::new(format!("{file} is no JSON object"))),
    }
}
