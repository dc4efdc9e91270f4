//! `limbeck layers`: which layer of a teacher a student should learn from: what its layers are like, and what short runs come to.

mod probe;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use clap::Args;
use limbeck_corpus::Corpus;
use limbeck_engine::heldout::{Heldout, reading};
use limbeck_engine::{Opened, RunError, card};
use limbeck_model::{Encoder, Folder, TokenBatch, checks};
use limbeck_recipe::batching::Batch;
use limbeck_recipe::{Config, DeviceChoice, Plan, Recipe};
use limbeck_relations::{Profile, Projections};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use toml::Value;

use crate::config::{self, Base, CorpusFlags, parse_setting};
use crate::error::CliError;
use crate::inputs::require_free;
use crate::interrupt::stop_flag;
use crate::memory::{self, Room};
use crate::paths::Looked;
use crate::progress::Progress;
use crate::relations::{demand_layer, finite_taps};
use crate::{device, models};
use probe::Probed;

const MANUAL: &str = "\
Entropy says how much the relations of a layer single out: ln S for S tokens if they are uniform,
0 if each row is all on one token. The KL to the next layer says how much changes between the two.
Neither says which layer teaches best. A probe does, at small scale: for each layer a student
learns from it for a few steps, with one seed, and its sentence vectors are compared with the
teacher's. Agreement is how alike the two order the held-out lines by their cosines (Spearman's
correlation, the mean over lines). It can be compared across layers; the KL cannot, because each
layer is another target.

A tenth of the lines is held out, unless the recipe holds out more. Ctrl-c prints what is finished.";

/// Lines that a probe needs at least: fewer order nothing.
const FEWEST: usize = 10;
/// Part of the lines that is held out: a probe reads few of the others.
const HELD_OUT: f64 = 0.1;
/// Lines that the teacher reads at once: it hands over all of its layers.
const AT_ONCE: usize = 4;
/// Teachers with so many layers at most are probed in all of them.
const SHALLOW: usize = 6;

/// Flags of `limbeck layers`.
#[derive(Args)]
#[command(after_long_help = MANUAL)]
pub struct Arguments {
    /// The teacher: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    teacher: Option<String>,
    #[command(flatten)]
    corpus: CorpusFlags,
    /// Recipe (TOML) of the run that you plan: the probes are short runs of it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one field of the recipe, such as pairs.qk=1; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, Value)>,
    /// Size of the probes' student, layers x hidden size [default: the recipe's; without a recipe 3x192, or less where the teacher has less]
    #[arg(long, value_name = "3x192", value_parser = size)]
    student: Option<(usize, usize)>,
    /// Held-out lines to look at
    #[arg(long, value_name = "N", default_value_t = 200)]
    lines: usize,
    /// Steps of each probe; 0 for no probes
    #[arg(long, value_name = "STEPS", default_value_t = 40)]
    probe: u64,
    /// Layers to probe, from 1 [default: the last third and the recipe's, or all if there are 6 or fewer]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    layers: Vec<usize>,
    /// Write the numbers
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with heat maps, bars and tables
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the heat maps and bars as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(long)]
    overwrite: bool,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
}

impl Arguments {
    /// The files to write, each with the flag that names it.
    fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files = [
            ("--json", &self.json),
            ("--html", &self.html),
            ("--svg", &self.svg),
        ];
        files
            .into_iter()
            .filter_map(|(flag, file)| Some((flag, file.as_deref()?)))
    }
}

/// `3x192`.
fn size(text: &str) -> Result<(usize, usize), String> {
    let size = text.split_once('x');
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|n| *n > 0);
    size.and_then(|(layers, hidden)| Some((number(layers)?, number(hidden)?)))
        .ok_or_else(|| format!("`{text}` is not layers x hidden size, such as 3x192"))
}

/// What is known at the end, or when it was stopped.
struct Answer {
    /// The teacher's name.
    teacher: String,
    /// The plan of the run that is in mind.
    plan: Plan,
    /// Which lines were read: "held-out lines" or "training lines".
    kind: &'static str,
    profile: Profile,
    /// Those that were probed, in increasing order.
    probed: Vec<Probed>,
    /// Whether ctrl-c came before everything was done.
    stopped: bool,
}

/// Runs `limbeck layers`.
///
/// # Errors
/// A wrong recipe, a layer that does not exist or that has no relations among all tokens, a teacher or text that cannot be read, or a file
/// that cannot be written.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let stop = stop_flag()?;
    let (mut recipe, looked) = recipe(arguments)?;
    config::require_teacher(&recipe)?;
    let found = config::find_teacher(&mut recipe, &looked)?;
    let teacher = found.read()?;
    let config = teacher.config()?;
    set_size(&mut recipe, arguments, &config);
    let start = config::find_start(&mut recipe, &looked)?;
    let start = config::read_start(start.as_ref())?;
    let (_, plan) = config::stages(&recipe, &teacher, start.as_ref())?;
    let layers = candidates(arguments, &plan)?;
    let recipes: Vec<Recipe> = layers
        .iter()
        .map(|layer| of_layer(&recipe, *layer))
        .collect();
    for recipe in &recipes {
        // All that is wrong comes before anything is computed.
        config::stages(recipe, &teacher, start.as_ref())?;
    }
    if !recipes.is_empty() {
        teacher.sentence_head()?;
    }
    let corpus = Corpus::open(&recipe.corpus, recipe.documents()?)?;
    let texts: Vec<PathBuf> = corpus.paths().map(Path::to_owned).collect();
    require_apart(arguments)?;
    for (flag, file) in arguments.files() {
        require_free((flag, file), arguments.overwrite, &[&found.folder], &texts)?;
    }
    let corpus = corpus.fingerprinted()?;
    models::tell_strays(&teacher);
    let heldout = lines(&plan, &teacher, &corpus, arguments.lines)?;
    if !layers.is_empty() {
        require_enough(&heldout, recipe.heldout)?;
    }
    let opened = Opened {
        heldout_lines: arguments.lines,
        ..device::open_for_engine(arguments.device)?
    };
    let (profile, mut stopped) = read(&plan, &teacher, &heldout, &opened, &stop)?;
    let mut probed = Vec::new();
    if !stopped && !recipes.is_empty() {
        let inputs = (Rc::new(teacher), start, corpus);
        stopped = probe::all(&recipes, &inputs, opened, &stop, &mut probed)?;
    }
    let answer = Answer {
        teacher: card::name(&found.name).to_owned(),
        plan,
        kind: heldout.kind,
        profile,
        probed,
        stopped,
    };
    show::show(&answer, arguments)?;
    Ok(match answer.stopped {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Refuses one name for two files: the second would replace the first.
fn require_apart(arguments: &Arguments) -> Result<(), CliError> {
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (flag, file) in arguments.files() {
        let place = std::path::absolute(file).map_err(CliError::file("resolve", file))?;
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == place) {
            return Err(CliError::Usage(format!(
                "{other} and {flag} both name the file {}. Give each a name of its own",
                file.display()
            )));
        }
        seen.push((flag, place));
    }
    Ok(())
}

/// The recipe of the run that is in mind, as short as a probe.
fn recipe(arguments: &Arguments) -> Result<(Recipe, Looked), CliError> {
    if arguments.lines < FEWEST {
        return Err(CliError::Usage(format!(
            "--lines must be {FEWEST} or more, not {}",
            arguments.lines
        )));
    }
    let base = Base::of(arguments.config.as_deref(), None)?;
    let (mut recipe, looked) = config::load(&base, &arguments.set)?;
    if let Some(teacher) = &arguments.teacher {
        recipe.teacher.clone_from(teacher);
    }
    arguments.corpus.set(&mut recipe);
    recipe.device = arguments.device;
    recipe.heldout = recipe.heldout.max(HELD_OUT);
    recipe.steps = arguments.probe.max(1);
    recipe.checkpoint_every = recipe.steps;
    // What belongs to the steps of the whole run: a warm-up, another teacher before the student, tokens that are counted in all of the text.
    recipe.warmup = None;
    recipe.assistant_steps = 0;
    recipe.student.vocabulary = None;
    Ok((recipe, looked))
}

/// Gives the student the size that is asked for; one that nobody asked for is not larger than its teacher.
fn set_size(recipe: &mut Recipe, arguments: &Arguments, teacher: &Config) {
    let sets_student = arguments
        .set
        .iter()
        .any(|(key, _)| key.starts_with("student"));
    let is_default = arguments.config.is_none() && !sets_student;
    let student = &mut recipe.student;
    let (layers, hidden) = match arguments.student {
        Some(size) => size,
        None if is_default => (
            student.layers.min(teacher.num_hidden_layers),
            student.hidden.min(teacher.hidden_size),
        ),
        None => return,
    };
    (student.layers, student.hidden) = (layers, hidden);
    // As many heads as the recipe has, or the largest number below that divides the width.
    let mut heads = (1..=student.heads).rev();
    student.heads = heads
        .find(|heads| hidden.is_multiple_of(*heads))
        .unwrap_or(1);
}

/// The layers to probe, in increasing order; none if there is no probe.
fn candidates(arguments: &Arguments, plan: &Plan) -> Result<Vec<usize>, CliError> {
    let global = plan.teacher.global_layers();
    let mut layers = match (arguments.probe, arguments.layers.as_slice()) {
        (0, []) => return Ok(Vec::new()),
        (0, _) => {
            return Err(CliError::Usage(
                "--layers names the layers to probe, and --probe 0 probes none. Leave one of them out".to_owned(),
            ));
        }
        (_, []) if global.len() <= SHALLOW => global,
        (_, []) => {
            let before = global.len() - global.len().div_ceil(3);
            let last = global[before..].iter().copied();
            last.chain([plan.teacher_layer]).collect()
        }
        (_, named) => {
            for layer in named {
                demand_layer("teacher", *layer, &plan.teacher)?;
                if !global.contains(layer) {
                    return Err(CliError::Usage(format!(
                        "layer {layer} of the teacher attends to near tokens alone, so it has no relations among all tokens; these layers \
                         attend to all: {global:?}"
                    )));
                }
            }
            named.to_vec()
        }
    };
    layers.sort_unstable();
    layers.dedup();
    Ok(layers)
}

/// The recipe of a student that learns from a layer.
fn of_layer(recipe: &Recipe, layer: usize) -> Recipe {
    Recipe {
        teacher_layer: Some(layer),
        ..recipe.clone()
    }
}

/// The lines that are looked at: those that the probes are measured on.
fn lines(plan: &Plan, teacher: &Folder, corpus: &Corpus, most: usize) -> Result<Heldout, CliError> {
    let tokenizer = teacher.tokenizer()?;
    teacher.require_rows(&tokenizer)?;
    let truncating = reading(&plan.recipe, tokenizer).truncating(plan.recipe.max_length)?;
    let mut reading = plan.clone();
    reading.recipe.batch = AT_ONCE;
    let heldout = Heldout::find(&reading, corpus, &truncating, most);
    Ok(heldout.map_err(RunError::from)?)
}

/// Refuses to order lines where there are hardly any.
fn require_enough(heldout: &Heldout, part: f64) -> Result<(), CliError> {
    let lines = heldout.batches.iter().map(|batch| batch.lengths.len());
    match lines.sum::<usize>() {
        FEWEST.. => Ok(()),
        count => Err(CliError::Usage(format!(
            "a probe needs at least {FEWEST} held-out lines, and this corpus gives {count}: {:.0} % of its lines are held out. Name \
             more text, or look at the layers without a probe (--probe 0)",
            100.0 * part
        ))),
    }
}

/// Has the teacher read the lines, every layer in one pass; and whether that was stopped.
fn read(
    plan: &Plan,
    teacher: &Folder,
    heldout: &Heldout,
    opened: &Opened,
    stop: &AtomicBool,
) -> Result<(Profile, bool), CliError> {
    let room = Room::of(opened);
    room.require_model(teacher.name(), &plan.teacher)?;
    let longest = heldout.batches.iter().map(|batch| batch.ids.len()).max();
    let taps = (3 * plan.teacher.num_hidden_layers * plan.teacher.hidden_size) as f64;
    // On the device, and as they are read from there.
    let bytes = 2.0 * memory::FLOAT * taps * longest.unwrap_or(0) as f64;
    let what = "reading every layer of the teacher";
    room.require(what, (bytes, 0.0), "Lower max_length in the recipe")?;
    let mut encoder = Encoder::from_folder(teacher, &opened.device)?;
    encoder.set_kernels(device::tested_kernels(
        &opened.device,
        &checks(encoder.config()),
    ));
    encoder.set_tap(plan.recipe.tap);
    let global = plan.teacher.global_layers();
    let progress = Progress::new(false).named(Some("teacher"));
    progress.expect(heldout.batches.len() as u64);
    let mut profile = Profile::new(&global);
    for batch in &heldout.batches {
        if stop.load(Ordering::SeqCst) {
            progress.finish();
            return Ok((profile, true));
        }
        let lines = projections(&encoder, teacher.name(), batch, &opened.device)?;
        let of_line = |line| Profile::of_line(line, &global, plan.relation_heads);
        let lines: Vec<Profile> = lines.par_iter().map(of_line).collect::<Result<_, _>>()?;
        profile = lines.iter().fold(profile, Profile::with);
        progress.advance();
    }
    progress.finish();
    match profile.lines() {
        0 => Err(CliError::Usage(
            "no line that was looked at has two tokens, so there are no relations. Name other text"
                .to_owned(),
        )),
        _ => Ok((profile, false)),
    }
}

/// What the teacher makes of each line of a batch, without the padding.
fn projections(
    encoder: &Encoder,
    name: &str,
    batch: &Batch,
    device: &Device,
) -> Result<Vec<Projections>, CliError> {
    let tokens = TokenBatch::of(batch, device)?;
    let mut layers = Vec::new();
    for (index, taps) in encoder.taps(&tokens)?.iter().enumerate() {
        layers.push(finite_taps(("teacher", name), taps, index + 1)?);
    }
    let of_line = |(line, length): (usize, &usize)| {
        let of_vector = |vector: &Vec<f32>| {
            let width = vector.len() / batch.ids.len();
            let start = line * batch.padded * width;
            vector[start..start + length * width].to_vec()
        };
        let layers = layers
            .iter()
            .map(|vectors| vectors.each_ref().map(of_vector).concat());
        Ok(Projections::of(
            encoder.config(),
            *length,
            layers.collect(),
        )?)
    };
    batch.lengths.iter().enumerate().map(of_line).collect()
}
