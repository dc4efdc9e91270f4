//! Recipes: read from TOML, overridden by flags, checked, shown.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use limbeck_corpus::Corpus;
use limbeck_engine::heldout::weighted;
use limbeck_model::{Folder, read_file};
use limbeck_recipe::{Init, NamedRecipe, Plan, Recipe};
use toml::{Table, Value};

use crate::error::CliError;
use crate::models::{self, Found};
use crate::paths::{self, Looked};
use crate::{recipes, words};

/// What can be done with recipes.
#[derive(Subcommand)]
pub enum Command {
    /// Print the JSON Schema of a recipe, for editors
    Schema,
    /// Print a recipe with every default, to start from
    Example,
    /// Check a recipe against its teacher and the beginning of its texts, and print what a run would do
    Check {
        /// The recipe (TOML)
        file: PathBuf,
    },
}

/// Flags that say which texts a run learns from.
#[derive(Args)]
pub struct CorpusFlags {
    /// Text files or globs: one document per line, UTF-8, plain or packed with gzip, zstd, xz or bzip2
    #[arg(long, value_name = "FILES", num_args = 1..)]
    corpus: Vec<String>,
    /// For JSON lines: the field that holds the document; of pairs both fields, as NAME,NAME
    #[arg(long, visible_alias = "field", value_name = "NAME")]
    corpus_field: Option<String>,
    /// Read each line as a pair of texts with a tab between them, as cross-encoders do
    #[arg(long)]
    corpus_pairs: bool,
    /// How much to read of each --corpus, in the same order: shares of the lines, such as 2 1 [default: each line once an epoch]
    #[arg(long, value_name = "NUMBERS", num_args = 1.., allow_negative_numbers = true)]
    corpus_weights: Option<Vec<f64>>,
}

impl CorpusFlags {
    /// Sets what is said.
    pub fn set(&self, recipe: &mut Recipe) {
        if !self.corpus.is_empty() {
            recipe.corpus.clone_from(&self.corpus);
        }
        if let Some(field) = &self.corpus_field {
            recipe.corpus_field = Some(field.clone());
        }
        recipe.corpus_pairs |= self.corpus_pairs;
        if let Some(weights) = &self.corpus_weights {
            recipe.corpus_weights = Some(weights.clone());
        }
    }
}

/// Runs `limbeck config`.
///
/// # Errors
/// The recipe cannot be read, or has mistakes.
pub fn main(command: &Command) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Schema => {
            let schema = schemars::schema_for!(Recipe);
            writeln!(
                out,
                "{}",
                serde_json::to_string_pretty(&schema).unwrap_or_default()
            )?;
        }
        Command::Example => {
            let recipe = Recipe {
                teacher: "all-MiniLM-L6-v2".into(),
                corpus: vec!["texts/*.txt".into()],
                ..Recipe::default()
            };
            write!(out, "{}", recipe.to_toml())?;
        }
        Command::Check { file } => {
            let (mut recipe, looked) = load(&Base::File(file), &[])?;
            require_teacher(&recipe)?;
            let teacher = find_teacher(&mut recipe, &looked)?.read()?;
            let start = read_start(find_start(&mut recipe, &looked)?.as_ref())?;
            let (assistant, student) = stages(&recipe, &teacher, start.as_ref())?;
            let pooling = teacher.sentence_head()?.pooling;
            let corpus = Corpus::open(&recipe.corpus, recipe.documents()?)?;
            weighted(corpus, &recipe)?;
            for plan in assistant.into_iter().chain([student]) {
                for (name, value) in limbeck_engine::card::facts(&plan.pooled(&pooling)) {
                    writeln!(out, "{name:<16} {value}")?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A recipe must name its teacher before anything can be checked against it.
///
/// # Errors
/// It does not.
pub fn require_teacher(recipe: &Recipe) -> Result<(), CliError> {
    match recipe.teacher.is_empty() {
        true => Err(CliError::Usage(
            "no teacher: name its folder, or its id on the Hugging Face hub, with --teacher, or `teacher` in the recipe".into(),
        )),
        false => Ok(()),
    }
}

/// The teacher, which the recipe names as it was found from then on.
///
/// # Errors
/// See [`models::find`].
pub fn find_teacher(recipe: &mut Recipe, looked: &Looked) -> Result<Found, CliError> {
    let found = models::find_named(Path::new(&recipe.teacher), looked)?;
    recipe.teacher.clone_from(&found.name);
    Ok(found)
}

/// The same of the model that the student starts from, if the recipe names one.
///
/// # Errors
/// See [`models::find`].
pub fn find_start(recipe: &mut Recipe, looked: &Looked) -> Result<Option<Found>, CliError> {
    let Init::Folder(start) = &mut recipe.student.init else {
        return Ok(None);
    };
    let found = models::find_named(Path::new(start), looked)?;
    start.clone_from(&found.name);
    Ok(Some(found))
}

/// The files of the model that the student starts from.
///
/// # Errors
/// They cannot be read.
pub fn read_start(start: Option<&Found>) -> Result<Option<Folder>, CliError> {
    start.map(Found::read).transpose()
}

/// The plan of the assistant, if there is one, and the student's.
///
/// # Errors
/// Every mistake of the recipe, or a config that cannot be used.
pub fn stages(
    recipe: &Recipe,
    teacher: &Folder,
    start: Option<&Folder>,
) -> Result<(Option<Plan>, Plan), CliError> {
    let start = start.map(Folder::config).transpose()?;
    Ok(Plan::stages(recipe, &teacher.config()?, start.as_ref())?)
}

/// The folders of the models that a run reads, and what each is called.
pub fn models<'a>(teacher: &'a Path, start: Option<&'a Found>) -> Vec<(&'a str, &'a Path)> {
    let start = start.map(|start| ("starting model", start.folder.as_path()));
    std::iter::once(("teacher", teacher)).chain(start).collect()
}

/// What a recipe starts from.
pub enum Base<'a> {
    /// The defaults alone.
    Defaults,
    /// A file.
    File(&'a Path),
    /// A recipe that comes with limbeck.
    Named(&'static NamedRecipe),
}

impl<'a> Base<'a> {
    /// The flags `--config` and `--recipe`, of which one is given at most.
    ///
    /// # Errors
    /// There is no recipe of that name.
    pub fn of(file: Option<&'a Path>, name: Option<&str>) -> Result<Self, CliError> {
        Ok(match (file, name) {
            (Some(file), _) => Self::File(file),
            (None, Some(name)) => Self::Named(recipes::find(name)?),
            (None, None) => Self::Defaults,
        })
    }

    /// Its name in messages, and its text.
    fn read(&self) -> Result<(String, String), CliError> {
        Ok(match self {
            Self::Defaults => ("the recipe".to_owned(), String::new()),
            Self::Named(recipe) => (format!("recipe {}", recipe.name), recipe.toml.to_owned()),
            Self::File(file) => {
                let text = read_text(file)?;
                (file.display().to_string(), text)
            }
        })
    }
}

/// Reads a recipe, and sets each `key=value` in it. Paths in a file are relative to its folder; where they were looked for that are
/// taken for ids of the hub comes with it.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a field that is not known or of the wrong kind.
pub fn load(base: &Base, settings: &[(String, Value)]) -> Result<(Recipe, Looked), CliError> {
    let (mut source, text) = base.read()?;
    let mut table = text
        .parse::<Table>()
        .map_err(|e| CliError::Usage(words::of_toml(&source, &text, &e)))?;
    let mut looked = Looked::default();
    if let Base::File(file) = base {
        let folder = file.parent().unwrap_or(Path::new(""));
        take_paths(&mut table, folder, &mut looked);
    }
    if !matches!(base, Base::Defaults) && !settings.is_empty() {
        source.push_str(" with --set");
    }
    for (key, value) in settings {
        set(&mut table, key, value.clone())?;
    }
    take_sizes(&mut table, &looked)?;
    let recipe = Value::Table(table).try_into();
    let recipe =
        recipe.map_err(|e| CliError::Usage(format!("{source}: {}", words::of_field(&e))))?;
    Ok((recipe, looked))
}

/// A recipe with one field of `--set`.
///
/// # Errors
/// The field is not known, or of the wrong kind.
pub fn with(recipe: &Recipe, key: &str, value: &Value) -> Result<Recipe, CliError> {
    let wrong = |e: toml::de::Error| {
        CliError::Usage(format!("--set {key}={value}: {}", words::of_field(&e)))
    };
    let mut table: Table = recipe.to_toml().parse().map_err(wrong)?;
    set(&mut table, key, value.clone())?;
    Value::Table(table).try_into().map_err(wrong)
}

/// Paths in a file are relative to its folder, wherever the program is started; those of flags, to the current folder.
fn take_paths(table: &mut Table, folder: &Path, looked: &mut Looked) {
    if let Some(Value::String(out)) = table.get_mut("out") {
        *out = paths::join(folder, out);
    }
    let mut take_model = |value: Option<&mut Value>| {
        if let Some(Value::String(model)) = value {
            *model = looked.join_model(folder, model);
        }
    };
    take_model(table.get_mut("teacher"));
    let start = table
        .get_mut("student")
        .and_then(|student| student.get_mut("init")?.get_mut("folder"));
    take_model(start);
    let corpus = table.get_mut("corpus").and_then(Value::as_array_mut);
    for path in corpus.into_iter().flatten() {
        if let Value::String(path) = path {
            *path = paths::join_glob(folder, path);
        }
    }
}

/// A student that starts from the model in a folder has that model's sizes where its recipe names none.
fn take_sizes(table: &mut Table, looked: &Looked) -> Result<(), CliError> {
    let student = table.get_mut("student").and_then(Value::as_table_mut);
    let Some(student) = student else {
        return Ok(());
    };
    let init = student.get("init");
    let folder = init.and_then(|init| init.get("folder")?.as_str());
    // That an empty name is none is said with the other mistakes.
    let folder = folder.filter(|folder| !folder.is_empty());
    let is_named = |size: &str| student.contains_key(size);
    let Some(folder) = folder.filter(|_| !["layers", "hidden", "heads"].into_iter().all(is_named))
    else {
        return Ok(());
    };
    let found = models::find_named(Path::new(folder), looked)?;
    let config = found.read()?.config()?;
    for (size, value) in [
        ("layers", config.num_hidden_layers),
        ("hidden", config.hidden_size),
        ("heads", config.num_attention_heads),
    ] {
        let value = Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        student.entry(size).or_insert(value);
    }
    Ok(())
}

/// The text of a file that is to be TOML.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read_text(file: &Path) -> Result<String, CliError> {
    let bytes = read_file(file).map_err(CliError::file("read", file))?;
    let name = file.display();
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(CliError::Usage(format!(
            "{name} is UTF-16, and TOML must be UTF-8. Save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"
        )));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to() + 1;
        CliError::Usage(format!(
            "{name} is not UTF-8 at byte {at}, as TOML must be. Convert it (iconv -t UTF-8)"
        ))
    })
}

fn set(table: &mut Table, key: &str, value: Value) -> Result<(), CliError> {
    let mut at = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            break;
        }
        let inner = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        // Where the recipe has `init = "random"`.
        if key == "student.init.folder" && inner.is_str() {
            *inner = Value::Table(Table::new());
        }
        at = inner
            .as_table_mut()
            .ok_or_else(|| CliError::Usage(format!("--set {key}: `{part}` is not a table")))?;
    }
    Ok(())
}

/// `key=value` of `--set`; the value is TOML, or else a string.
///
/// # Errors
/// There is no `=`.
pub fn parse_setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not key=value"))?;
    let parsed = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    Ok((
        key.trim().to_owned(),
        parsed.unwrap_or_else(|| Value::String(value.to_owned())),
    ))
}
