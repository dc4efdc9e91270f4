//! `limbeck relations`: what teacher and student relate in a sentence, drawn, or as numbers.

mod raster;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use burn::tensor::Device;
use clap::Args;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use limbeck_engine::Opened;
use limbeck_kernels::Taps;
use limbeck_model::{Encoder, Folder, TokenBatch, Tokenizer, Tokens, checks, to_host};
use limbeck_recipe::batching::Batch;
use limbeck_recipe::{
    Config, DeviceChoice, Pair, Plan, Recipe, Tap, Vector, common_relation_heads, counted,
    relation_widths, usual_relation_heads, usual_teacher_layer,
};
use limbeck_relations::{
    Large, Lines, PairMaps, Projections, Relations, Theme, Token, View, clip, number, page, png,
    sheet, svg,
};

use crate::config::{self, Base};
use crate::device;
use crate::error::CliError;
use crate::inputs::require_free;
use crate::memory::{self, Room};
use crate::models::{self, Found};
use crate::output::write_whole;
use crate::terminal;

/// Flags of `limbeck relations`.
#[derive(Args)]
pub struct Arguments {
    /// The teacher: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    teacher: PathBuf,
    /// The student: its folder, or its id on the Hugging Face hub; it must have the teacher's tokenizer
    #[arg(long, value_name = "MODEL")]
    student: PathBuf,
    /// The sentence; truncated if it is longer than the models allow
    #[arg(long, allow_hyphen_values = true)]
    text: String,
    /// A second text, which both models read after the first as cross-encoders do
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    second: Option<String>,
    /// Pairs, from qq,qk,qv,kq,kk,kv,vq,vk,vv [default: those of the student's recipe, else qq,kk,vv]
    #[arg(long, value_delimiter = ',', value_parser = Pair::from_str)]
    pairs: Vec<Pair>,
    /// Number of relation heads A_r; must divide both hidden sizes [default: from the student's recipe]
    #[arg(long, value_name = "A")]
    heads: Option<usize>,
    /// Teacher layer, from 1 [default: from the student's recipe, else the usual one]
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// Student layer, from 1 [default: the last]
    #[arg(long, value_name = "N")]
    student_layer: Option<usize>,
    /// Draw only this relation head, from 1 [default: the one with the largest KL, and small maps of all]
    #[arg(long, value_name = "H")]
    head: Option<usize>,
    /// Instead of maps, draw lines from each token to the three that it relates to most
    #[arg(long)]
    lines: bool,
    /// File to write; its extension (.html, .svg, .png, .json or .csv) chooses the format
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    overwrite: bool,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
}

/// Runs `limbeck relations`.
///
/// # Errors
/// Flags that do not fit the models, models that do not fit each other, a text without a token, a file that cannot be
/// written.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let format = Format::of(&arguments.out)?;
    let models = [&*arguments.teacher, &*arguments.student];
    let out = ("--out", arguments.out.as_path());
    require_free(out, arguments.overwrite, &models, &[])?;
    let (teacher, student) = (
        Side::read(&arguments.teacher)?,
        Side::read(&arguments.student)?,
    );
    let teacher = teacher.with_tokens_of(&student)?;
    let recipe = recipe(arguments, &student.found.folder, &teacher.config)?;
    let plan = plan(&teacher.config, &student.config, recipe.as_ref());
    let tap = recipe.as_ref().map(|recipe| recipe.tap).unwrap_or_default();
    let plan = plan.as_ref();
    let choice = Choice::new(arguments, &teacher.config, &student.config, plan, tap)?;
    let text = tokens(arguments, &teacher, &student)?;
    let opened = device::open_for_engine(arguments.device)?;
    require_room(
        &choice,
        (&teacher, &student),
        text.of_one.ids.len(),
        &opened,
    )?;
    let relations = compute(&choice, (&teacher, &student), &text, &opened.device)?;
    let view = View {
        large: arguments
            .head
            .map_or(Large::Worst, |head| Large::Head(head - 1)),
        lines: arguments.lines.then(Lines::default),
        ..View::default()
    };
    let facts = facts(arguments, &choice, (&teacher, &student));
    write_whole(&arguments.out, |file| {
        format.write(&relations, &view, &facts, file)
    })?;
    tell(&relations, &arguments.out)?;
    if matches!(format, Format::Png) {
        say_boxes(&raster::without_letter(&sheet(
            &relations,
            &view,
            &Theme::light(),
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is written, by the ending of the file's name.
#[derive(Clone, Copy)]
enum Format {
    Html,
    Svg,
    Png,
    Json,
    Csv,
}

impl Format {
    fn of(path: &Path) -> Result<Self, CliError> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("html") => Ok(Self::Html),
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            _ => Err(CliError::Usage(format!(
                "cannot tell the format of {} from its name: end it in .html, .svg, .png, .json or .csv",
                path.display()
            ))),
        }
    }

    fn write(
        self,
        relations: &Relations,
        view: &View,
        facts: &[(String, String)],
        file: &mut dyn Write,
    ) -> std::io::Result<()> {
        let drawing = || sheet(relations, view, &Theme::light());
        match self {
            Self::Html => file.write_all(page(relations, view, facts).as_bytes()),
            Self::Svg => file.write_all(svg(&drawing()).as_bytes()),
            Self::Png => file.write_all(&png(&raster::pixels(&drawing()), compressed)),
            Self::Json => Ok(serde_json::to_writer(file, relations)?),
            Self::Csv => file.write_all(relations.csv().as_bytes()),
        }
    }
}

/// Says which characters a PNG cannot show.
fn say_boxes(without_letter: &BTreeSet<char>) {
    let list = without_letter.iter();
    let list = list.map(|c| format!("{c} (U+{:04X})", u32::from(*c)));
    let list: Vec<String> = list.collect();
    if !list.is_empty() {
        terminal::say(format_args!(
            "{}: boxes with these numbers, because the letters of a PNG end with Unicode 14; .svg and .html have every character",
            list.join(", ")
        ));
    }
}

/// A zlib stream. Writing to memory cannot fail, but if it did, nothing would be better than half of it.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// A model whose weights are not on a device yet.
struct Side {
    found: Found,
    folder: Folder,
    config: Config,
    tokenizer: Tokenizer,
}

impl Side {
    fn read(path: &Path) -> Result<Self, CliError> {
        let found = models::find(path)?;
        let folder = found.read()?;
        Ok(Self {
            config: folder.config()?,
            tokenizer: folder.tokenizer()?,
            folder,
            found,
        })
    }

    /// The same model with the tokens of a student that has some of them: it was distilled with these alone.
    fn with_tokens_of(self, student: &Self) -> Result<Self, CliError> {
        let Some(kept) = self.tokenizer.ids_of(&student.tokenizer) else {
            return Ok(self);
        };
        let folder = self.folder.pruned(&kept)?;
        Ok(Self {
            config: folder.config()?,
            tokenizer: folder.tokenizer()?,
            folder,
            ..self
        })
    }

    fn taps(
        &self,
        batch: &TokenBatch,
        (layer, tap): (usize, Tap),
        device: &Device,
    ) -> Result<Taps, CliError> {
        let mut encoder = Encoder::from_folder(&self.folder, device)?;
        let checks = checks(encoder.config());
        encoder.set_kernels(device::tested_kernels(device, &checks));
        encoder.set_tap(tap);
        Ok(encoder.tap(batch, layer, None)?)
    }
}

/// Refuses models or maps that do not fit into memory, before it is asked for.
fn require_room(
    choice: &Choice,
    (teacher, student): (&Side, &Side),
    tokens: usize,
    opened: &Opened,
) -> Result<(), CliError> {
    let room = Room::of(opened);
    for side in [teacher, student] {
        room.require_model(side.folder.name(), &side.config)?;
    }
    // Of each pair and relation head a map of the teacher, one of the student and their difference.
    let maps = (choice.pairs.len() * choice.heads) as f64 * 3.0;
    let bytes = memory::FLOAT * maps * (tokens as f64).powi(2);
    let what = format!("drawing the relations of {tokens} tokens");
    room.require(&what, (bytes, 0.0), "Shorten --text, or name fewer --pairs")
}

/// The recipe of the student, if its folder has one and flags leave anything open, as they do for rotary positions. It decides what is
/// compared, so one that cannot be read is not passed over.
fn recipe(
    arguments: &Arguments,
    student: &Path,
    teacher: &Config,
) -> Result<Option<Recipe>, CliError> {
    let path = student.join("recipe.toml");
    let all_named =
        arguments.heads.is_some() && arguments.layer.is_some() && !arguments.pairs.is_empty();
    let is_rotary = teacher.is_rotary();
    if (all_named && !is_rotary) || !path.exists() {
        return Ok(None);
    }
    let recipe = config::load(&Base::File(&path), &[]);
    recipe.map(|(recipe, _)| Some(recipe)).map_err(|error| {
        CliError::Usage(format!(
            "{error}\n  It says which heads, layer and pairs the student was trained on. Restore the file, or name \
             them all with --heads, --layer and --pairs"
        ))
    })
}

/// What is compared.
struct Choice {
    pairs: Vec<Pair>,
    heads: usize,
    teacher_layer: usize,
    student_layer: usize,
    tap: Tap,
}

impl Choice {
    fn new(
        arguments: &Arguments,
        teacher: &Config,
        student: &Config,
        plan: Option<&Plan>,
        tap: Tap,
    ) -> Result<Self, CliError> {
        let usual = || usual_relation_heads(student.hidden_size, teacher.key_width());
        let planned = |of: fn(&Plan) -> usize| plan.map(of);
        let heads = arguments.heads.or_else(|| planned(|p| p.relation_heads));
        let heads = heads.unwrap_or_else(usual);
        let layer = arguments.layer.or_else(|| planned(|p| p.teacher_layer));
        let layer = layer.unwrap_or_else(|| usual_teacher_layer(teacher));
        let last = student.num_hidden_layers;
        let choice = Self {
            pairs: pairs(&arguments.pairs, plan),
            heads,
            teacher_layer: layer,
            student_layer: arguments.student_layer.unwrap_or(last),
            tap,
        };
        demand_layer("teacher", choice.teacher_layer, teacher)?;
        demand_layer("student", choice.student_layer, student)?;
        demand_heads(heads, student, teacher)?;
        match arguments.head {
            Some(head) if head == 0 || head > heads => Err(CliError::Usage(format!(
                "relation head {head} does not exist: there are heads 1 to {heads}; --heads sets how many"
            ))),
            _ => Ok(choice),
        }
    }
}

/// The plan of the run that made the student, if it was made from such a teacher.
fn plan(teacher: &Config, student: &Config, recipe: Option<&Recipe>) -> Option<Plan> {
    let plan = Plan::with_start(recipe?, teacher, Some(student)).ok()?;
    (plan.student.hidden_size == student.hidden_size).then_some(plan)
}

/// Each pair once, in the order in which they were named.
fn pairs(named: &[Pair], plan: Option<&Plan>) -> Vec<Pair> {
    let planned = || plan.map(|plan| plan.pairs.iter().map(|(pair, _)| *pair).collect());
    let all = match named.is_empty() {
        true => planned().unwrap_or_else(|| vec![Pair::QQ, Pair::KK, Pair::VV]),
        false => named.to_vec(),
    };
    let mut pairs = Vec::new();
    for pair in all {
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    pairs
}

/// # Errors
/// The model, a teacher or a student, has no such layer.
pub fn demand_layer(who: &str, layer: usize, config: &Config) -> Result<(), CliError> {
    let layers = config.num_hidden_layers;
    match (1..=layers).contains(&layer) {
        true => Ok(()),
        false => Err(CliError::Usage(format!(
            "layer {layer} does not exist: the {who} has layers 1 to {layers}"
        ))),
    }
}

fn demand_heads(heads: usize, student: &Config, teacher: &Config) -> Result<(), CliError> {
    let student = student.hidden_size;
    let fits = common_relation_heads(student, teacher.key_width());
    match fits.contains(&heads) {
        true => Ok(()),
        false => Err(CliError::Usage(format!(
            "{heads} relation heads do not divide {}; these do: {fits:?}",
            relation_widths(student, teacher)
        ))),
    }
}

/// The tokens of a text, or of two.
struct Text {
    of_one: Batch,
    /// What the tokenizer puts around every text, or around two.
    special: Vec<u32>,
}

/// The tokens of what is to be read, the same for both models, cut to what both take.
fn tokens(arguments: &Arguments, teacher: &Side, student: &Side) -> Result<Text, CliError> {
    let (text, second) = (&*arguments.text, arguments.second.as_deref());
    demand_one_tokenizer(teacher, student)?;
    let mut tokens = encode(&teacher.tokenizer, text, second)?;
    if tokens != encode(&student.tokenizer, text, second)? {
        return Err(other_tokens("they split this text into different tokens"));
    }
    let special = encode(&teacher.tokenizer, "", second.and(Some("")))?.ids;
    if tokens.ids.iter().all(|id| special.contains(id)) {
        return Err(CliError::Usage(
            "the text has no token to draw relations of; give --text at least one word".into(),
        ));
    }
    let longest = teacher.config.max_length().min(student.config.max_length());
    if tokens.ids.len() > longest {
        terminal::say(format_args!(
            "The text has {} tokens; truncated to {longest}, the models' limit",
            tokens.ids.len()
        ));
        let truncating = teacher.tokenizer.clone().truncating(longest)?;
        tokens = encode(&truncating, text, second)?;
    }
    let of_one = Batch::of_one(&tokens.ids, &tokens.types);
    Ok(Text { of_one, special })
}

fn encode(tokenizer: &Tokenizer, text: &str, second: Option<&str>) -> Result<Tokens, CliError> {
    let mut tokens = match second {
        Some(second) => tokenizer.encode_pairs(&[(text, second)])?,
        None => tokenizer.encode(&[text])?,
    };
    Ok(tokens.remove(0))
}

fn demand_one_tokenizer(teacher: &Side, student: &Side) -> Result<(), CliError> {
    let [from_teacher, from_student] = [teacher, student].map(|side| side.tokenizer.vocabulary());
    if from_teacher != from_student {
        return Err(other_tokens(&format!(
            "the teacher's has {from_teacher} tokens, the student's {from_student}"
        )));
    }
    let token = |side: &Side, id: u32| side.tokenizer.token(id);
    let different = (0..from_teacher as u32).find(|id| token(teacher, *id) != token(student, *id));
    match different {
        Some(id) => Err(other_tokens(&format!(
            "token {id} is `{}` for the teacher and `{}` for the student",
            token(teacher, id),
            token(student, id)
        ))),
        None => Ok(()),
    }
}

fn other_tokens(how: &str) -> CliError {
    CliError::Usage(format!(
        "teacher and student have different tokenizers: {how}. Relations are compared token by token; name a student that \
         was distilled from this teacher"
    ))
}

fn compute(
    choice: &Choice,
    (teacher, student): (&Side, &Side),
    Text { of_one, special }: &Text,
    device: &Device,
) -> Result<Relations, CliError> {
    let batch = TokenBatch::of(of_one, device)?;
    let ids = &of_one.ids;
    let of = |who, side: &Side, layer| {
        let taps = side.taps(&batch, (layer, choice.tap), device)?;
        let taps = finite_taps((who, side.folder.name()), &taps, layer)?;
        Ok::<_, CliError>(Projections::of(
            &side.config,
            ids.len(),
            vec![taps.concat()],
        )?)
    };
    let from_teacher = of("teacher", teacher, choice.teacher_layer)?;
    let from_student = of("student", student, choice.student_layer)?;
    let mut pairs = Vec::new();
    for pair in &choice.pairs {
        let of = |taps: &Projections| taps.map(1, *pair, choice.heads);
        let size = (choice.heads, ids.len());
        pairs.push(PairMaps::new(
            *pair,
            size,
            of(&from_teacher)?,
            of(&from_student)?,
        )?);
    }
    let labels = teacher.tokenizer.labels(ids).into_iter().zip(ids);
    let tokens = labels.map(|(text, id)| Token {
        text,
        special: special.contains(id),
    });
    Ok(Relations {
        tokens: tokens.collect(),
        relation_heads: choice.heads,
        teacher_layer: choice.teacher_layer,
        student_layer: choice.student_layer,
        pairs,
        ..Relations::default()
    })
}

/// What a layer, from 1, of a model of this name makes of a text or of a batch: each vector, in the order of [`Vector::ALL`].
///
/// # Errors
/// It is not a number, or the device fails.
pub fn finite_taps(
    (who, name): (&str, &str),
    taps: &Taps,
    layer: usize,
) -> Result<[Vec<f32>; 3], CliError> {
    let taps = read(taps)?;
    match taps.iter().flatten().all(|x| x.is_finite()) {
        true => Ok(taps),
        false => Err(CliError::NotFinite(format!(
            "the {who}, {name}, computes what is not a number for this text in layer {layer}: its weights are too large, and \
             there are no relations to draw"
        ))),
    }
}

/// Each vector, in the order of [`Vector::ALL`].
fn read(taps: &Taps) -> Result<[Vec<f32>; 3], CliError> {
    let [q, k, v] = Vector::ALL.map(|vector| pollster::block_on(to_host(taps.get(vector).clone())));
    Ok([q?, k?, v?])
}

fn facts(
    arguments: &Arguments,
    choice: &Choice,
    (teacher, student): (&Side, &Side),
) -> Vec<(String, String)> {
    let side = |side: &Side, layer: usize| {
        let config = &side.config;
        format!(
            "{}, layer {layer} of {}, hidden size {}",
            side.found.name, config.num_hidden_layers, config.hidden_size
        )
    };
    let mut facts = vec![
        ("Text", clip(&arguments.text, 1000)),
        ("Teacher", side(teacher, choice.teacher_layer)),
        ("Student", side(student, choice.student_layer)),
        ("Relation heads", choice.heads.to_string()),
    ];
    if choice.tap == Tap::Rotated {
        facts.push(("Queries and keys", Tap::ROTATED.to_owned()));
    }
    if let Some(second) = &arguments.second {
        facts.insert(1, ("Second text", clip(second, 1000)));
    }
    let named = |(name, value): (&str, String)| (name.to_owned(), value);
    facts.into_iter().map(named).collect()
}

/// The result in a few lines.
fn tell(relations: &Relations, path: &Path) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    for maps in &relations.pairs {
        let heads = maps.heads();
        let mean = (0..heads).map(|head| maps.total(head)).sum::<f64>() / heads as f64;
        let farthest = maps.by_kl().first().copied().unwrap_or(0);
        writeln!(
            out,
            "{}  KL {} nats, mean of {}; farthest from the teacher: head {}, {}",
            maps.pair(),
            number(mean),
            counted(heads, "relation head"),
            farthest + 1,
            number(maps.total(farthest))
        )?;
    }
    writeln!(out, "{}", path.display())?;
    Ok(())
}
