//! `limbeck baseline`: the student that a run starts from, without a run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use limbeck_corpus::Corpus;
use limbeck_engine::card;
use limbeck_recipe::DeviceChoice;
use toml::Value;

use crate::config::{self, Base, parse_setting};
use crate::error::CliError;
use crate::inputs::{Inputs, require_out};
use crate::output::Output;
use crate::progress::{COUNTING, Progress};
use crate::{device, paths, terminal};

/// Flags of `limbeck baseline`.
#[derive(Args)]
pub struct Arguments {
    /// The teacher: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    teacher: Option<String>,
    /// Output folder [default: the recipe's, else student]
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
    /// Recipe (TOML) whose student is copied; flags and --set override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one field of the recipe, such as student.layers=3; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, Value)>,
    /// Overwrite an output folder that is not empty
    #[arg(long)]
    overwrite: bool,
}

/// Runs `limbeck baseline`. It copies on the CPU: nothing is computed.
///
/// # Errors
/// A wrong recipe, a teacher that cannot be read, or an output folder that is not ours to write to.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let base = Base::of(arguments.config.as_deref(), None)?;
    let (mut recipe, looked) = config::load(&base, &arguments.set)?;
    if let Some(teacher) = &arguments.teacher {
        recipe.teacher.clone_from(teacher);
    }
    if let Some(out) = &arguments.out {
        recipe.out.clone_from(out);
    }
    require_out(&recipe.out)?;
    config::require_teacher(&recipe)?;
    let out = &PathBuf::from(&recipe.out);
    let teacher = config::find_teacher(&mut recipe, &looked)?;
    let start = config::find_start(&mut recipe, &looked)?;
    let (read, read_start) = (teacher.read()?, config::read_start(start.as_ref())?);
    let (device, _) = device::open(DeviceChoice::Cpu)?;
    let seen = paths::seen_from(&recipe, out);
    // Which text a student reads decides nothing about the first one but its tokens.
    let counts = recipe.prunes() && !recipe.corpus.is_empty();
    let documents = recipe.documents()?;
    let corpus = counts.then(|| Corpus::open(&recipe.corpus, documents));
    let corpus = corpus.transpose()?;
    let bytes = corpus.as_ref().map(Corpus::describe).transpose()?;
    let bytes = bytes.iter().flatten().map(|file| file.bytes).sum();
    let progress = Progress::of_bytes(Some(bytes), counts);
    let told = |done: u64| progress.reach(done, COUNTING.to_owned());
    let texts = (corpus.clone(), &told as &dyn Fn(u64));
    let baseline = limbeck_engine::baseline(&seen, read, read_start.as_ref(), texts, &device);
    let baseline = pollster::block_on(baseline)?;
    progress.finish();
    let config = arguments.config.as_deref().into_iter();
    let files = corpus.iter().flat_map(Corpus::paths);
    let inputs = Inputs {
        models: config::models(&teacher.folder, start.as_ref()),
        result: "student",
        files: config
            .map(|path| ("recipe", path))
            .chain(files.map(|path| ("corpus file", path)))
            .collect(),
    };
    inputs.are_outside(out)?;
    let output = Output::create(out, arguments.overwrite)?;
    output.clear(true)?;
    for (name, bytes) in &baseline.files {
        output.write(name, bytes)?;
    }
    let start = card::facts(&baseline.plan).into_iter();
    let start =
        start.filter(|(name, _)| ["Student", "Vocabulary", "Start"].contains(&name.as_str()));
    let vectors = ("Sentence vectors".to_owned(), baseline.vectors);
    for (name, value) in start.chain([vectors]) {
        terminal::say(format_args!("  {name:<16} {value}"));
    }
    terminal::say(format_args!("copied student: {}", out.display()));
    Ok(ExitCode::SUCCESS)
}
