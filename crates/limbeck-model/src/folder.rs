//! A Hugging Face folder as bytes: read from disk natively, or handed over file by file in a browser.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use limbeck_recipe::{
    Config, ConfigError, SentenceHead, TOKENIZER_FILES, WEIGHTS_INDEX, parse_json,
};
use limbeck_tokenizer::{NOT_READ, Tokenizer};

use crate::ModelError;
use crate::place;

/// The files of a model folder, by name.
#[derive(Clone, Debug)]
pub struct Folder {
    name: String,
    files: BTreeMap<String, Vec<u8>>,
    /// PyTorch's weights on disk, where there are no others: they are read tensor by tensor.
    pytorch: Option<PathBuf>,
    /// Where it is, if it is on disk.
    root: Option<PathBuf>,
    /// Which rows of the table of words are read, if not all.
    rows: Option<Rows>,
}

/// Rows of a table that are read.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// How many the table has.
    pub of: usize,
    /// Those that are read, in this order.
    pub kept: Vec<u32>,
}

impl Folder {
    /// Reads what a model needs from a folder on disk.
    ///
    /// # Errors
    /// The folder or one of its files cannot be read, or no weights are there.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let mut folder = Self {
            name: path.display().to_string(),
            files: BTreeMap::new(),
            pytorch: None,
            root: Some(path.to_owned()),
            rows: None,
        };
        if !path.is_dir() {
            return Err(place::no_folder(path));
        }
        folder.take(path, "modules.json")?;
        let (encoder, names) = SentenceHead::files(&folder.name, folder.get("modules.json"))?;
        // sentence-transformers once put the encoder, and the settings of its module, into a folder of their own.
        let of_encoder = &match encoder.is_empty() {
            true => path.to_owned(),
            false => path.join(encoder),
        };
        for file in &names {
            let from = if file.starts_with("sentence_") {
                of_encoder
            } else {
                path
            };
            folder.take(from, file)?;
        }
        let path = of_encoder;
        let config = "config.json";
        if !folder.take(path, config)? {
            let missing = folder.missing(config);
            return Err(place::without_config(path).unwrap_or(missing));
        }
        for file in TOKENIZER_FILES {
            folder.take(path, file)?;
        }
        if folder.take(path, "model.safetensors")? {
            return Ok(folder);
        }
        if folder.take(path, WEIGHTS_INDEX)? {
            for shard in folder.shards()? {
                if !folder.take(path, &shard)? {
                    return Err(folder.missing(&shard));
                }
            }
            return Ok(folder);
        }
        let pytorch = path.join("pytorch_model.bin");
        if pytorch.exists() {
            require_file(&pytorch).map_err(unreadable(&pytorch))?;
            place::require_file_itself(&pytorch)?;
            folder.pytorch = Some(pytorch);
            return Ok(folder);
        }
        place::require_no_link(&pytorch)?;
        if let Some(found) = place::without_weights(path) {
            return Err(found);
        }
        // What is wrong with the model itself comes before what is not there.
        folder.config()?;
        Err(folder.missing("model.safetensors"))
    }

    /// A folder whose files are already in memory.
    pub fn from_files(name: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            files,
            pytorch: None,
            root: None,
            rows: None,
        }
    }

    fn take(&mut self, path: &Path, file: &str) -> Result<bool, ModelError> {
        let full = path.join(file);
        match read_file(&full) {
            Ok(bytes) => {
                place::require_itself(&full.display().to_string(), &bytes)?;
                self.files.insert(file.to_owned(), bytes);
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                place::require_no_link(&full).map(|()| false)
            }
            Err(source) => Err(unreadable(&full)(source)),
        }
    }

    /// Names of the shards that the index lists.
    pub(crate) fn shards(&self) -> Result<Vec<String>, ModelError> {
        let Some(index) = self.get(WEIGHTS_INDEX) else {
            return Ok(Vec::new());
        };
        Ok(limbeck_recipe::shards(&self.path(WEIGHTS_INDEX), index)?)
    }

    /// The folder's name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where PyTorch's weights are, if there are no others.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn pytorch(&self) -> Option<&Path> {
        self.pytorch.as_deref()
    }

    /// Where a file that was read is on disk.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn on_disk(&self, file: &str) -> Option<PathBuf> {
        let root = self.root.as_deref().filter(|_| self.get(file).is_some());
        Some(root?.join(file))
    }

    /// The bytes of a file, if it is there.
    pub fn get(&self, file: &str) -> Option<&[u8]> {
        self.files.get(file).map(Vec::as_slice)
    }

    /// Where a file is, for messages.
    pub(crate) fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.name)
    }

    pub(crate) fn missing(&self, file: &str) -> ModelError {
        ModelError::Missing {
            folder: self.name.clone(),
            file: file.to_owned(),
        }
    }

    /// The model's config.
    ///
    /// # Errors
    /// See [`Config::parse`]; or a file of the folder stands for another one, as a pointer of Git LFS does.
    pub fn config(&self) -> Result<Config, ModelError> {
        for (file, bytes) in &self.files {
            place::require_itself(&self.path(file), bytes)?;
        }
        let bytes = self
            .get("config.json")
            .ok_or_else(|| self.missing("config.json"))?;
        Ok(Config::parse(&self.path("config.json"), bytes)?)
    }

    /// How it makes one vector of a text: as sentence-transformers would.
    ///
    /// # Errors
    /// See [`SentenceHead::read`].
    pub fn sentence_head(&self) -> Result<SentenceHead, ModelError> {
        let hidden = self.config()?.hidden_size;
        let file = |name: &str| self.get(name);
        Ok(SentenceHead::read(&self.name, &file, hidden)?)
    }

    /// Tokens that its texts are cut to, where its files say so; unlike [`Folder::sentence_head`], whatever its modules are.
    ///
    /// # Errors
    /// A file that would say so is damaged.
    pub fn sentence_length(&self) -> Result<Option<usize>, ModelError> {
        let file = |name: &str| self.get(name);
        Ok(SentenceHead::own_length(&self.name, &file)?)
    }

    /// Every file that was read, by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// Every file that was read, by name, as its owner.
    pub fn into_files(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.files.into_iter()
    }

    /// Bytes of the files that were read, and of weights that are read tensor by tensor.
    pub fn bytes(&self) -> u64 {
        let on_disk = self.pytorch.as_deref().map(Path::metadata);
        let on_disk = on_disk.and_then(Result::ok).map_or(0, |file| file.len());
        self.files
            .values()
            .map(|bytes| bytes.len() as u64)
            .sum::<u64>()
            + on_disk
    }

    /// Frees the bytes of the encoder's weights, once they are on a device.
    pub fn forget_weights(&mut self) {
        self.files.retain(|name, _| !is_weights(name));
    }

    /// A copy of all but the encoder's weights.
    pub fn without_weights(&self) -> Self {
        let files = self.files.iter().filter(|(name, _)| !is_weights(name));
        Self {
            name: self.name.clone(),
            files: files.map(|(n, b)| (n.clone(), b.clone())).collect(),
            pytorch: None,
            root: self.root.clone(),
            rows: self.rows.clone(),
        }
    }

    /// Whether a file of this name may be weights or a tokenizer of a model.
    pub fn is_part_of_a_model(name: &str) -> bool {
        let shard = name.starts_with("model-") && name.ends_with(".safetensors");
        TOKENIZER_FILES.contains(&name)
            || shard
            || ["model.safetensors", WEIGHTS_INDEX, "pytorch_model.bin"].contains(&name)
    }

    /// The same model with these of its tokens alone, by their ids in increasing order: each one's place is its new id. It computes
    /// of them what it computes with all.
    ///
    /// # Errors
    /// See [`Folder::require_rows`], [`Tokenizer::pruned_files`] and [`Config::pruned`].
    pub fn pruned(mut self, kept: &[u32]) -> Result<Self, ModelError> {
        let config = self.config()?;
        let wrong = |reason| ModelError::NotPruned {
            folder: self.name.clone(),
            reason,
        };
        let pruned = config.pruned(kept).map_err(wrong)?;
        let tokenizer = self.tokenizer_of_transformers()?;
        self.require_rows(&tokenizer)?;
        let json = pruned.to_json("float32").into_bytes();
        let files = tokenizer.pruned_files(kept, &|name| match name {
            "config.json" => Some(&json[..]),
            name => self.get(name),
        })?;
        self.files
            .retain(|name, _| !TOKENIZER_FILES.contains(&name.as_str()));
        self.files.extend(files);
        self.files.insert("config.json".to_owned(), json);
        self.rows = Some(Rows {
            of: config.vocab_size,
            kept: kept.to_vec(),
        });
        Ok(self)
    }

    /// The rows of the table of words that are read, if not all.
    pub(crate) fn rows(&self) -> Option<&Rows> {
        self.rows.as_ref()
    }

    /// The tokenizer, which makes letters small first where sentence-transformers does.
    ///
    /// # Errors
    /// See [`Tokenizer::from_files`] and [`SentenceHead::lower_cases`].
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let tokenizer = self.tokenizer_of_transformers()?;
        match SentenceHead::lower_cases(&self.name, &|name| self.get(name))? {
            true => Ok(tokenizer.lower_casing()?),
            false => Ok(tokenizer),
        }
    }

    /// The tokenizer without what sentence-transformers does before.
    ///
    /// # Errors
    /// See [`Tokenizer::from_files`].
    pub fn tokenizer_of_transformers(&self) -> Result<Tokenizer, ModelError> {
        let is_named = |name: &str| {
            let root = self.root.as_deref().filter(|_| NOT_READ.contains(&name));
            root.is_some_and(|root| root.join(name).is_file())
        };
        let file = |name: &str| self.get(name).or_else(|| is_named(name).then_some(&[][..]));
        let tokenizer = Tokenizer::from_files(&file);
        tokenizer.map_err(|error| self.no_json().unwrap_or_else(|| error.into()))
    }

    /// Which file of the tokenizer is not JSON, and where: that says more than a tokenizer which cannot be read.
    fn no_json(&self) -> Option<ModelError> {
        let files = TOKENIZER_FILES
            .iter()
            .filter(|name| name.ends_with(".json"));
        let mut wrong = files.filter_map(|name| {
            let (bytes, file) = (self.get(name)?, self.path(name));
            let is_marked = bytes.starts_with(b"\xef\xbb\xbf");
            let marked = is_marked.then(|| ConfigError::Wrong {
                file: file.clone(),
                reason: "not JSON for tokenizers: it begins with a byte order mark. Save it as UTF-8 without one (BOM)".to_owned(),
            });
            parse_json(&file, bytes).err().or(marked)
        });
        wrong.next().map(ModelError::from)
    }

    /// That the model has a row for every token of its tokenizer, which a corpus may hold anywhere.
    ///
    /// # Errors
    /// A token's id is beyond the model's rows, or config.json cannot be used.
    pub fn require_rows(&self, tokenizer: &Tokenizer) -> Result<(), ModelError> {
        let rows = self.config()?.vocab_size;
        match tokenizer.beyond(rows) {
            Some((id, token)) => Err(ModelError::TooManyTokens {
                tokens: tokenizer.vocabulary(),
                token,
                id,
                rows,
            }),
            None => Ok(()),
        }
    }

    /// The tokenizer's files for a model that is made of this one: [`Tokenizer::changed_files`], and the others as they are here.
    ///
    /// # Errors
    /// The tokenizer cannot be read, or not be written as tokenizer.json.
    pub fn tokenizer_files(
        &self,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
        let mut files = tokenizer.changed_files(&|name| self.get(name))?;
        for name in TOKENIZER_FILES {
            let is_there = files.iter().any(|(other, _)| other == name);
            if let Some(bytes) = self.get(name).filter(|_| !is_there) {
                files.push((name.to_owned(), bytes.to_vec()));
            }
        }
        Ok(files)
    }
}

/// Whether a file has weights of the encoder. Those of a Dense, in a folder of its own, are small, and a student may need them.
pub(crate) fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains('/')
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ModelError {
    let path = path.display().to_string();
    move |source| ModelError::Read { path, source }
}

/// The bytes of a file. A pipe, a socket or a device is refused before it is opened: it could keep the program waiting for
/// ever, or give bytes without end.
///
/// # Errors
/// There is no such file, it is of another kind, or it cannot be read.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    require_file(path)?;
    std::fs::read(path)
}

/// A file to read a part of; what [`read_file`] refuses, this does, too.
///
/// # Errors
/// There is no such file, it is of another kind, or it cannot be opened.
pub fn open_file(path: &Path) -> io::Result<std::fs::File> {
    require_file(path)?;
    std::fs::File::open(path)
}

/// Links are followed. That a folder is no file, the system says itself.
fn require_file(path: &Path) -> io::Result<()> {
    let kind = path.metadata()?.file_type();
    match kind.is_file() || kind.is_dir() {
        true => Ok(()),
        false => Err(io::Error::other(
            "it is a pipe, a socket or a device, not a regular file; write its content to a file first",
        )),
    }
}
