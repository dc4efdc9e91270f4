//! The fields of a recipe as texts: one table for the controls of the form and for the keys of a link.

use std::collections::BTreeMap;

use limbeck_recipe::{
    Config, DeviceChoice, Init, KernelChoice, Objective, Pair, Plan, Recipe, StudentRecipe,
    WeightPrecision, common_relation_heads, usual_ffn, usual_from_layers,
};
use wasm_bindgen::JsValue;

/// What a field without a value is called in a link.
const AUTOMATIC: &str = "auto";

/// Pairs of which none is chosen.
const NONE: &str = "none";

/// Numbers of heads that people ask for; those that do not fit are shown with the reason.
const USUAL_HEADS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// How a field is edited.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A whole number.
    Whole,
    /// A number with a point.
    Decimal,
    /// One of a list, which may depend on the rest of the recipe and on the teacher.
    Choice(fn(&Recipe, Option<&Config>) -> Vec<Choice>),
    /// The nine pairs with their weights.
    Pairs,
    /// Layers, from 1, with commas between.
    Layers,
}

/// Part of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Its size.
    Student,
    /// What is compared.
    Relations,
    /// How long and how fast.
    Training,
    /// What few people change.
    More,
}

/// One field of a recipe.
pub struct Field {
    /// The recipe's name of it.
    pub key: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// What it does.
    pub hint: &'static str,
    /// Where it stands.
    pub group: Group,
    /// How it is edited.
    pub kind: Kind,
    /// What an empty control means; none if it must have a value.
    pub automatic: Option<fn(&Recipe, Option<&Config>) -> String>,
    read: fn(&Recipe) -> String,
    write: fn(&mut Recipe, &str) -> Result<(), String>,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The field's text.
    pub value: String,
    /// For people.
    pub text: String,
    /// Why it cannot be chosen, if so.
    pub refused: Option<String>,
}

impl Field {
    /// The value of a recipe; empty if it is automatic.
    pub fn text(&self, recipe: &Recipe) -> String {
        (self.read)(recipe)
    }

    /// Sets the value from what somebody wrote. The recipe stays as it is if that is no value of this kind; whether the
    /// value fits the rest is for [`Plan`] to say.
    ///
    /// # Errors
    /// Why it is not a value, for people.
    pub fn set(&self, recipe: &mut Recipe, text: &str) -> Result<(), String> {
        let text = text.trim();
        let empty = text.is_empty() || text == AUTOMATIC && self.automatic.is_some();
        if empty && self.automatic.is_none() {
            return Err("this field needs a value".into());
        }
        (self.write)(recipe, if empty { "" } else { text })
    }

    /// The text for a link, which has no empty values.
    pub fn link_text(&self, recipe: &Recipe) -> String {
        let text = self.text(recipe);
        if text.is_empty() {
            AUTOMATIC.into()
        } else {
            text
        }
    }
}

/// Whether two recipes agree in every field of the form; names of teacher, texts and output are not among them.
pub fn agree(one: &Recipe, other: &Recipe) -> bool {
    FIELDS
        .iter()
        .all(|field| field.text(one) == field.text(other))
}

/// The field of a key.
pub fn field(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

/// `field.key` as the id of its control.
pub fn control_id(key: &str) -> String {
    format!("field-{}", key.replace(['.', '_'], "-"))
}

fn whole<T: TryFrom<u64>>(text: &str, most: u64) -> Result<T, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let only_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !only_digits {
        let shown = shorten(text);
        return Err(match float(text) {
            Some(number) if number < 0.0 => format!("`{shown}` is below 0"),
            Some(number) if number.is_finite() => {
                format!("`{shown}` is not a whole number in plain digits")
            }
            _ => format!("`{shown}` is not a number"),
        });
    }
    let value = digits.parse().ok().filter(|value| *value <= most);
    value
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| format!("`{}` is too large: at most {most}", shorten(text)))
}

/// The same limit in a browser, whose sizes have 32 bits, and natively.
fn size(text: &str) -> Result<usize, String> {
    whole(text, u64::from(u32::MAX))
}

/// TOML, which holds recipes, has no larger ones.
fn count(text: &str) -> Result<u64, String> {
    whole(text, i64::MAX as u64)
}

/// The number that a text is. In a browser, the browser reads it: the tables that Rust does it with are 10 kB that do not shrink.
fn float(text: &str) -> Option<f64> {
    if !cfg!(target_arch = "wasm32") {
        return text.parse().ok();
    }
    // It takes an empty text for a number, and hexadecimal digits.
    let is_decimal = |b: u8| b.is_ascii_digit() || b".+-eE".contains(&b);
    let is_text = text.is_empty() || !text.bytes().all(is_decimal);
    let number = JsValue::from_str(text).unchecked_into_f64();
    (!is_text && !number.is_nan()).then_some(number)
}

/// A finite number with a point.
pub fn decimal(text: &str) -> Result<f64, String> {
    match float(text.trim()) {
        Some(number) if number.is_finite() => Ok(number),
        Some(_) => Err(format!("`{}` is not a finite number", shorten(text))),
        None if text.contains(',') => Err(format!(
            "`{}` is not a number: use a decimal point, as in 0.001",
            shorten(text)
        )),
        None => Err(format!("`{}` is not a number", shorten(text))),
    }
}

/// The shortest text that gives this number back bit for bit.
pub fn decimal_text(number: f64) -> String {
    let plain = number.to_string();
    if plain.len() <= 12 {
        plain
    } else {
        let short = format!("{number:?}");
        if short.len() < plain.len() {
            short
        } else {
            plain
        }
    }
}

/// What somebody wrote, short enough for a message.
pub fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST)
        .collect();
    if text.chars().count() > MOST {
        format!("{clean}…")
    } else {
        clean
    }
}

fn given<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some)
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn one_of<T: Clone>(text: &str, names: &[(&str, T)]) -> Result<T, String> {
    let found = names.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        let known = names.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        format!("`{}` is not one of {}", shorten(text), known.join(", "))
    })
}

fn name_of<T: PartialEq>(value: &T, names: &[(&'static str, T)]) -> String {
    let found = names.iter().find(|(_, known)| known == value);
    found.map_or_else(String::new, |(name, _)| (*name).to_owned())
}

const OBJECTIVES: [(&str, Objective); 2] = [
    ("minilm-v2", Objective::MinilmV2),
    ("minilm-v1", Objective::MinilmV1),
];
/// A page starts no student from a folder: an engine refuses that.
const INITS: [(&str, Init); 2] = [("teacher", Init::Teacher), ("random", Init::Random)];
const DEVICES: [(&str, DeviceChoice); 3] = [
    ("auto", DeviceChoice::Auto),
    ("gpu", DeviceChoice::Gpu),
    ("cpu", DeviceChoice::Cpu),
];
const KERNELS: [(&str, KernelChoice); 2] = [
    ("fused", KernelChoice::Fused),
    ("naive", KernelChoice::Naive),
];
const LINES: [(&str, bool); 2] = [("texts", false), ("pairs", true)];
const PRECISIONS: [(&str, WeightPrecision); 2] =
    [("f32", WeightPrecision::F32), ("f16", WeightPrecision::F16)];

/// Weights of the pairs: `qq:1,vv:0.5`.
fn read_pairs(recipe: &Recipe) -> String {
    let Some(pairs) = &recipe.pairs else {
        return String::new();
    };
    if pairs.is_empty() {
        return NONE.into();
    }
    let weights = pairs
        .iter()
        .map(|(key, weight)| format!("{key}:{}", decimal_text(*weight)));
    weights.collect::<Vec<_>>().join(",")
}

fn parse_pairs(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let mut pairs = BTreeMap::new();
    if text == NONE {
        return Ok(pairs);
    }
    for part in text.split(',') {
        let (key, weight) = part
            .split_once(':')
            .ok_or_else(|| format!("`{}` is not pair:weight, as in vv:1", shorten(part)))?;
        let pair = shorten(key).parse::<Pair>()?;
        pairs.insert(pair.key(), decimal(weight)?);
    }
    Ok(pairs)
}

/// Layers with commas between: `2,4,6`.
fn list(layers: &[usize]) -> String {
    let numbers: Vec<String> = layers.iter().map(usize::to_string).collect();
    numbers.join(",")
}

fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    text.split(',').map(|part| size(part.trim())).collect()
}

/// Weights of the nine pairs as they count: those of the paper where the recipe is silent.
pub fn weights(recipe: &Recipe) -> [Option<f64>; 9] {
    let v1 = recipe.objective == Objective::MinilmV1;
    Pair::all().map(|pair| match &recipe.pairs {
        Some(pairs) => pairs.get(&pair.key()).copied(),
        None if v1 => (pair == Pair::QK || pair == Pair::VV).then_some(1.0),
        None => pair.is_self().then_some(1.0),
    })
}

/// Gives a pair a weight, or leaves it out.
pub fn set_weight(recipe: &mut Recipe, pair: Pair, weight: Option<f64>) {
    let now = Pair::all().into_iter().zip(weights(recipe));
    let mut pairs = BTreeMap::new();
    for (other, before) in now {
        let weight = if other == pair { weight } else { before };
        if let Some(weight) = weight {
            pairs.insert(other.key(), weight);
        }
    }
    recipe.pairs = Some(pairs);
}

/// Leaves to MiniLM v1 what it fixes: pairs, relation heads and the teacher layer.
pub fn leave_to_objective(recipe: &mut Recipe) {
    if recipe.objective == Objective::MinilmV1 {
        recipe.pairs = None;
        recipe.relation_heads = None;
        recipe.teacher_layer = None;
    }
}

/// The plan of a recipe that leaves everything automatic but what automatic values depend on.
fn automatic_plan(recipe: &Recipe, teacher: Option<&Config>) -> Option<Plan> {
    let teacher = teacher?;
    let v1 = recipe.objective == Objective::MinilmV1;
    let bare = Recipe {
        objective: recipe.objective,
        student: StudentRecipe {
            hidden: recipe.student.hidden,
            heads: if v1 { teacher.num_attention_heads } else { 1 },
            init: Init::Random,
            ..StudentRecipe::default()
        },
        corpus: vec![String::new()],
        max_length: teacher.max_length(),
        ..Recipe::default()
    };
    Plan::new(&bare, teacher).ok()
}

fn automatic_heads(recipe: &Recipe, teacher: Option<&Config>) -> String {
    shown(automatic_plan(recipe, teacher).map(|plan| plan.relation_heads))
}

fn automatic_layer(recipe: &Recipe, teacher: Option<&Config>) -> String {
    shown(automatic_plan(recipe, teacher).map(|plan| plan.teacher_layer))
}

fn automatic_ffn(recipe: &Recipe, teacher: Option<&Config>) -> String {
    shown(teacher.map(|teacher| usual_ffn(&recipe.student, teacher)))
}

fn automatic_from_layers(recipe: &Recipe, teacher: Option<&Config>) -> String {
    let (student, plan) = (&recipe.student, automatic_plan(recipe, teacher));
    let usual = plan.map(|plan| plan.teacher_layer);
    let fits = teacher.is_some_and(|t| (1..=t.num_hidden_layers).contains(&student.layers));
    match (&student.init, recipe.teacher_layer.or(usual)) {
        (Init::Teacher, Some(layer)) if fits => list(&usual_from_layers(student.layers, layer)),
        (Init::Teacher, _) => String::new(),
        _ => "none".into(),
    }
}

fn automatic_warmup(recipe: &Recipe, _: Option<&Config>) -> String {
    limbeck_recipe::usual_warmup(recipe.steps).to_string()
}

fn automatic_pairs(recipe: &Recipe, _: Option<&Config>) -> String {
    match recipe.objective {
        Objective::MinilmV2 => "Q-Q, K-K, V-V".into(),
        Objective::MinilmV1 => "Q-K, V-V".into(),
    }
}

fn heads_choices(recipe: &Recipe, teacher: Option<&Config>) -> Vec<Choice> {
    let (hidden, now) = (recipe.student.hidden, recipe.student.heads);
    let v1 = recipe.objective == Objective::MinilmV1;
    let needed = teacher.map(|t| t.num_attention_heads).filter(|_| v1);
    let divides = |n: usize| n > 0 && hidden.is_multiple_of(n);
    let mut numbers: Vec<usize> = (1..=hidden.min(64)).filter(|n| divides(*n)).collect();
    numbers.extend(USUAL_HEADS.iter().filter(|n| **n <= 16));
    numbers.extend(needed);
    listed(numbers, now, |n| match needed {
        _ if !divides(n) => Some(format!("does not divide {hidden}")),
        Some(needed) if n != needed => Some(format!("MiniLM v1 needs the teacher's {needed}")),
        _ => None,
    })
}

fn relation_choices(recipe: &Recipe, teacher: Option<&Config>) -> Vec<Choice> {
    let student = recipe.student.hidden;
    let width = teacher.map_or(student, |t| t.key_width());
    let most = if width >= 1024 { 64 } else { 48 };
    let fits = common_relation_heads(student.min(1 << 16), width);
    let v1 = recipe.objective == Objective::MinilmV1;
    let mut numbers = fits.clone();
    numbers.extend(USUAL_HEADS.iter().filter(|n| **n <= most));
    let divides = |n: usize, hidden: usize| n > 0 && hidden.is_multiple_of(n);
    let mut choices = vec![automatic_choice(automatic_heads(recipe, teacher))];
    choices.extend(listed(
        numbers,
        recipe.relation_heads.unwrap_or(1),
        |n| match (divides(n, student), divides(n, width)) {
            _ if v1 => Some("MiniLM v1 takes the attention heads".into()),
            (true, true) => None,
            (false, true) => Some(format!("does not divide the student's {student}")),
            (true, false) => Some(format!("does not divide the teacher's {width}")),
            (false, false) => Some(format!("divides neither {student} nor {width}")),
        },
    ));
    choices
}

fn layer_choices(recipe: &Recipe, teacher: Option<&Config>) -> Vec<Choice> {
    // The most that Config::parse lets through is more than a list can show.
    const MOST: usize = 200;
    let layers = teacher.map_or(1, |t| t.num_hidden_layers);
    let v1 = recipe.objective == Objective::MinilmV1;
    let mut choices = vec![automatic_choice(automatic_layer(recipe, teacher))];
    let numbers = (1..=layers.min(MOST)).chain([layers]).collect();
    let now = recipe.teacher_layer.unwrap_or(1);
    choices.extend(listed(numbers, now, |n| {
        if v1 && n != layers {
            return Some("MiniLM v1 uses the last layer".into());
        }
        let exists = teacher.is_none() || (1..=layers).contains(&n);
        (!exists).then(|| format!("the teacher has layers 1 to {layers}"))
    }));
    choices
}

fn automatic_choice(what: String) -> Choice {
    let text = if what.is_empty() {
        "automatic".into()
    } else {
        format!("automatic ({what})")
    };
    Choice {
        value: String::new(),
        text,
        refused: None,
    }
}

/// Numbers in order, each once, the present one among them even if it is refused. Here and elsewhere on the page a few things
/// are put in order as they come: the library's sort is 5 kB of it for every type.
fn listed(
    numbers: Vec<usize>,
    now: usize,
    refused: impl Fn(usize) -> Option<String>,
) -> Vec<Choice> {
    let mut ordered: Vec<usize> = Vec::new();
    for number in numbers.into_iter().chain([now]) {
        if let Err(at) = ordered.binary_search(&number) {
            ordered.insert(at, number);
        }
    }
    let choice = |n: usize| Choice {
        value: n.to_string(),
        text: n.to_string(),
        refused: refused(n),
    };
    ordered.into_iter().map(choice).collect()
}

fn named(names: &[(&str, &str)]) -> Vec<Choice> {
    let choice = |(value, text): &(&str, &str)| Choice {
        value: (*value).to_owned(),
        text: (*text).to_owned(),
        refused: None,
    };
    names.iter().map(choice).collect()
}

fn objective_choices(_: &Recipe, _: Option<&Config>) -> Vec<Choice> {
    named(&[
        ("minilm-v2", "MiniLMv2 (2021)"),
        ("minilm-v1", "MiniLM v1 (2020)"),
    ])
}

fn init_choices(_: &Recipe, _: Option<&Config>) -> Vec<Choice> {
    named(&[
        ("teacher", "layers of the teacher"),
        ("random", "random weights, as in the papers"),
    ])
}

fn kernel_choices(_: &Recipe, _: Option<&Config>) -> Vec<Choice> {
    named(&[
        ("fused", "fused: our kernels"),
        ("naive", "naive: plain tensor operations"),
    ])
}

fn device_choices(_: &Recipe, _: Option<&Config>) -> Vec<Choice> {
    named(&[
        ("auto", "automatic: a hardware GPU, else the CPU"),
        ("gpu", "GPU"),
        ("cpu", "CPU"),
    ])
}

fn line_choices(_: &Recipe, _: Option<&Config>) -> Vec<Choice> {
    named(&[
        ("texts", "one text"),
        ("pairs", "a pair: two texts with a tab between them"),
    ])
}

fn precision_choices(_: &Recipe, _: Option<&Config>) -> Vec<Choice> {
    named(&[("f32", "32 bits"), ("f16", "16 bits: half the file")])
}

/// A field that must have a value.
const fn required(
    (key, label, hint): (&'static str, &'static str, &'static str),
    group: Group,
    kind: Kind,
    read: fn(&Recipe) -> String,
    write: fn(&mut Recipe, &str) -> Result<(), String>,
) -> Field {
    Field {
        key,
        label,
        hint,
        group,
        kind,
        automatic: None,
        read,
        write,
    }
}

/// Every field, in the order of the form and of a link.
pub static FIELDS: [Field; 37] = [
    required(
        ("student.layers", "Layers", "Depth of the student."),
        Group::Student,
        Kind::Whole,
        |r| r.student.layers.to_string(),
        |r, text| put(&mut r.student.layers, size(text)),
    ),
    required(
        ("student.hidden", "Hidden size", "Width of the student, H."),
        Group::Student,
        Kind::Whole,
        |r| r.student.hidden.to_string(),
        |r, text| put(&mut r.student.hidden, size(text)),
    ),
    required(
        (
            "student.heads",
            "Attention heads",
            "Must divide the hidden size.",
        ),
        Group::Student,
        Kind::Choice(heads_choices),
        |r| r.student.heads.to_string(),
        |r, text| put(&mut r.student.heads, size(text)),
    ),
    Field {
        automatic: Some(automatic_ffn),
        ..required(
            (
                "student.ffn",
                "Feed-forward",
                "Its width; leave empty for four times the hidden size, at most the teacher's.",
            ),
            Group::Student,
            Kind::Whole,
            |r| shown(r.student.ffn),
            |r, text| put(&mut r.student.ffn, given(text, size)),
        )
    },
    required(
        (
            "student.dropout",
            "Dropout",
            "Fraction of values that training drops.",
        ),
        Group::Student,
        Kind::Decimal,
        |r| decimal_text(r.student.dropout),
        |r, text| put(&mut r.student.dropout, decimal(text)),
    ),
    required(
        (
            "student.init",
            "Start from",
            "The student's weights before the first step.",
        ),
        Group::Student,
        Kind::Choice(init_choices),
        |r| name_of(&r.student.init, &INITS),
        |r, text| put(&mut r.student.init, one_of(text, &INITS)),
    ),
    Field {
        automatic: Some(automatic_from_layers),
        ..required(
            (
                "student.from_layers",
                "Layers to start from",
                "For each layer of the student, one of the teacher's, separated by commas; leave empty to space them evenly.",
            ),
            Group::Student,
            Kind::Layers,
            |r| list(r.student.from_layers.as_deref().unwrap_or_default()),
            |r, text| put(&mut r.student.from_layers, given(text, parse_list)),
        )
    },
    required(
        (
            "objective",
            "Objective",
            "MiniLM v1 fixes pairs, relation heads and teacher layer; choosing it makes them automatic.",
        ),
        Group::Relations,
        Kind::Choice(objective_choices),
        |r| name_of(&r.objective, &OBJECTIVES),
        |r, text| put(&mut r.objective, one_of(text, &OBJECTIVES)),
    ),
    Field {
        automatic: Some(automatic_heads),
        ..required(
            (
                "relation_heads",
                "Relation heads",
                "A_r: how many heads queries, keys and values are split into; it must divide both hidden sizes.",
            ),
            Group::Relations,
            Kind::Choice(relation_choices),
            |r| shown(r.relation_heads),
            |r, text| put(&mut r.relation_heads, given(text, size)),
        )
    },
    Field {
        automatic: Some(automatic_layer),
        ..required(
            (
                "teacher_layer",
                "Teacher layer",
                "The layer whose relations are taught.",
            ),
            Group::Relations,
            Kind::Choice(layer_choices),
            |r| shown(r.teacher_layer),
            |r, text| put(&mut r.teacher_layer, given(text, size)),
        )
    },
    Field {
        automatic: Some(automatic_pairs),
        ..required(
            (
                "pairs",
                "Pairs and weights",
                "Which relations the student learns, and how much each counts.",
            ),
            Group::Relations,
            Kind::Pairs,
            read_pairs,
            |r, text| put(&mut r.pairs, given(text, parse_pairs)),
        )
    },
    required(
        ("steps", "Steps", "Updates of the student."),
        Group::Training,
        Kind::Whole,
        |r| r.steps.to_string(),
        |r, text| put(&mut r.steps, count(text)),
    ),
    required(
        ("batch", "Batch", "Sequences per batch."),
        Group::Training,
        Kind::Whole,
        |r| r.batch.to_string(),
        |r, text| put(&mut r.batch, size(text)),
    ),
    required(
        (
            "accumulate",
            "Accumulate",
            "Batches per step: the gradient of a larger batch in the memory of one.",
        ),
        Group::More,
        Kind::Whole,
        |r| r.accumulate.to_string(),
        |r, text| put(&mut r.accumulate, size(text)),
    ),
    required(
        (
            "max_length",
            "Longest sequence",
            "In tokens; longer lines are truncated.",
        ),
        Group::Training,
        Kind::Whole,
        |r| r.max_length.to_string(),
        |r, text| put(&mut r.max_length, size(text)),
    ),
    required(
        (
            "learning_rate",
            "Learning rate",
            "The peak, after warm-up; then it falls to 0.",
        ),
        Group::Training,
        Kind::Decimal,
        |r| decimal_text(r.learning_rate),
        |r, text| put(&mut r.learning_rate, decimal(text)),
    ),
    Field {
        automatic: Some(automatic_warmup),
        ..required(
            (
                "warmup",
                "Warm-up",
                "Steps; leave empty for a tenth of all, at most 4000.",
            ),
            Group::Training,
            Kind::Whole,
            |r| shown(r.warmup),
            |r, text| put(&mut r.warmup, given(text, count)),
        )
    },
    required(
        (
            "output.share",
            "Output stage",
            "The share of steps, counted from the end, that also train the student's output, and so every layer; 0 for none.",
        ),
        Group::Training,
        Kind::Decimal,
        |r| decimal_text(r.output.share),
        |r, text| put(&mut r.output.share, decimal(text)),
    ),
    required(
        ("seed", "Seed", "For weights, line order and dropout."),
        Group::Training,
        Kind::Whole,
        |r| r.seed.to_string(),
        |r, text| put(&mut r.seed, count(text)),
    ),
    required(
        ("device", "Device", "Where a run computes."),
        Group::Training,
        Kind::Choice(device_choices),
        |r| name_of(&r.device, &DEVICES),
        |r, text| put(&mut r.device, one_of(text, &DEVICES)),
    ),
    required(
        (
            "kernel",
            "Kernel",
            "The code that computes the relation loss, embeddings, attention, GELU, LayerNorm, linear layers and AdamW.",
        ),
        Group::Training,
        Kind::Choice(kernel_choices),
        |r| name_of(&r.kernel, &KERNELS),
        |r, text| put(&mut r.kernel, one_of(text, &KERNELS)),
    ),
    required(
        (
            "checkpoint_every",
            "Checkpoint every",
            "Steps between checkpoints; after a reload the run resumes from the last one.",
        ),
        Group::More,
        Kind::Whole,
        |r| r.checkpoint_every.to_string(),
        |r, text| put(&mut r.checkpoint_every, count(text)),
    ),
    required(
        (
            "heldout",
            "Held out",
            "Fraction of lines used only for evaluation, up to 0.5.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.heldout),
        |r, text| put(&mut r.heldout, decimal(text)),
    ),
    required(
        (
            "corpus_pairs",
            "A line is",
            "Both models read a pair as one sequence, as they read a question with its answer.",
        ),
        Group::More,
        Kind::Choice(line_choices),
        |r| name_of(&r.corpus_pairs, &LINES),
        |r, text| put(&mut r.corpus_pairs, one_of(text, &LINES)),
    ),
    required(
        (
            "shuffle",
            "Shuffle",
            "How many lines are shuffled at a time.",
        ),
        Group::More,
        Kind::Whole,
        |r| r.shuffle.to_string(),
        |r, text| put(&mut r.shuffle, size(text)),
    ),
    required(
        (
            "weight_decay",
            "Weight decay",
            "Applied to matrices; biases and LayerNorms do not decay.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.weight_decay),
        |r, text| put(&mut r.weight_decay, decimal(text)),
    ),
    required(
        (
            "clip",
            "Clip",
            "Largest norm of the gradient; 0 turns clipping off.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.clip),
        |r, text| put(&mut r.clip, decimal(text)),
    ),
    required(
        (
            "beta1",
            "Beta 1",
            "AdamW's decay rate for the mean of the gradient.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.beta1),
        |r, text| put(&mut r.beta1, decimal(text)),
    ),
    required(
        (
            "beta2",
            "Beta 2",
            "AdamW's decay rate for the mean of its square.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.beta2),
        |r, text| put(&mut r.beta2, decimal(text)),
    ),
    required(
        ("epsilon", "Epsilon", "Keeps AdamW from dividing by 0."),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.epsilon),
        |r, text| put(&mut r.epsilon, decimal(text)),
    ),
    required(
        (
            "output.relations",
            "Factor for pairs",
            "In the output stage, the weights of the pairs are multiplied by this.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.output.relations),
        |r, text| put(&mut r.output.relations, decimal(text)),
    ),
    required(
        (
            "output.cosine",
            "Cosine",
            "In the output stage: weight of 1 - cosine to the teacher's sentence vector.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.output.cosine),
        |r, text| put(&mut r.output.cosine, decimal(text)),
    ),
    required(
        (
            "output.l2",
            "L2",
            "In the output stage: weight of the squared difference of sentence vectors.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.output.l2),
        |r, text| put(&mut r.output.l2, decimal(text)),
    ),
    required(
        (
            "output.sentence_relation",
            "Sentence relation",
            "In the output stage: weight of the KL of relations among the sentences of a batch.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.output.sentence_relation),
        |r, text| put(&mut r.output.sentence_relation, decimal(text)),
    ),
    required(
        (
            "output.similarity",
            "Similarity",
            "In the output stage: weight of the squared difference of cosines among the sentences of a batch.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.output.similarity),
        |r, text| put(&mut r.output.similarity, decimal(text)),
    ),
    required(
        (
            "output.hidden",
            "Hidden states",
            "In the output stage: weight of the squared difference of the last hidden states.",
        ),
        Group::More,
        Kind::Decimal,
        |r| decimal_text(r.output.hidden),
        |r, text| put(&mut r.output.hidden, decimal(text)),
    ),
    required(
        (
            "precision",
            "Weights on disk",
            "The precision of the student that you download.",
        ),
        Group::More,
        Kind::Choice(precision_choices),
        |r| name_of(&r.precision, &PRECISIONS),
        |r, text| put(&mut r.precision, one_of(text, &PRECISIONS)),
    ),
];
