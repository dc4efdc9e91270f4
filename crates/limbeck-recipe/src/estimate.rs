//! What a run will cost, estimated from its sizes alone: for a page where a recipe is being edited, and before a run starts.

use crate::config::{Config, parameter_count};
use crate::init::Init;
use crate::kernels::{Kernels, Operation};
use crate::plan::{Mistake, Plan, student_of};
use crate::recipe::Recipe;
use crate::shape::Disentangled;

/// Bytes of an f32.
const FLOAT: f64 = 4.0;

/// What a run costs, with batches of the longest sequences that its recipe allows. Rough: within a factor of two of what is
/// measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Parameters of the student.
    pub student_parameters: u128,
    /// Parameters of the teacher.
    pub teacher_parameters: u128,
    /// Bytes on the device while training: weights of both, gradients and moments of the student, activations of one batch.
    pub bytes: f64,
    /// Bytes at the most where the program's memory is the device's, too: `bytes`, or weights and moments while a checkpoint is
    /// made of them.
    pub peak: f64,
    /// Floating-point operations of one step, all of its batches: the teacher forward, the student forward and backward
    /// (counted as twice forward), the relations of every pair.
    pub flops: f64,
}

impl Estimate {
    /// Estimates a plan.
    pub fn of(plan: &Plan) -> Self {
        let (student, teacher) = (&plan.student, &plan.teacher);
        let tokens = plan.recipe.batch as f64 * plan.recipe.max_length as f64;
        let length = plan.recipe.max_length as f64;
        let student_parameters = parameter_count(student);
        let teacher_parameters = parameter_count(teacher);
        // Weights, gradient and two moments; while batches are accumulated, the gradient of one beside their sum.
        let mut copies = if plan.recipe.accumulate > 1 { 5.0 } else { 4.0 };
        if starts_from_folder(plan) {
            // The weights that it starts from stay, to measure it as it was.
            copies += 1.0;
        }
        let state = FLOAT * (copies * student_parameters as f64 + teacher_parameters as f64);
        // A checkpoint's tensors, their bytes and the file: 9 more, of which the gradient's place and pages of before give 2.
        let saving = FLOAT * 7.0 * student_parameters as f64;
        let layers = student.num_hidden_layers as f64;
        let mut kept = layers * (layer_values(student) + scores(plan.kernels, student, length));
        kept += layer_values(teacher) + scores(plan.kernels, teacher, length);
        if !plan.kernels.has(Operation::Relation) {
            // Probabilities of teacher and student, and their difference.
            kept += 4.0 * plan.relation_heads as f64 * length;
        }
        let forward = |config: &Config, layers: std::ops::Range<usize>| {
            tokens
                * layers
                    .map(|layer| layer_flops(config, layer, length))
                    .sum::<f64>()
        };
        let relations = plan.pairs.len() as f64
            * 3.0
            * 2.0
            * tokens
            * length
            * (student.hidden_size + teacher.query_width()) as f64;
        let (tapped, last) = (plan.teacher_layer, teacher.num_hidden_layers);
        let flops = forward(teacher, 0..tapped)
            + output_share(plan) * forward(teacher, tapped..last)
            + 3.0 * forward(student, 0..student.num_hidden_layers)
            + relations;
        let compared = compared_with_distances(teacher, plan.recipe.batch, length);
        let activations = FLOAT * (tokens * kept + 4.0 * compared);
        Self {
            student_parameters,
            teacher_parameters,
            bytes: state + activations,
            peak: state + activations.max(saving),
            flops: flops * plan.recipe.accumulate as f64,
        }
    }
}

/// Why a run of this plan does not fit into so many bytes of memory, if so: both figures, and what to lower.
pub fn beyond_memory(plan: &Plan, available: f64) -> Option<Mistake> {
    let peak = |plan: &Plan| Estimate::of(plan).peak;
    let bytes = peak(plan);
    if bytes <= available {
        return None;
    }
    let figures = format!(
        "a run takes about {} of memory, and {} are free here",
        memory(bytes),
        memory(available)
    );
    mistake(plan, &peak, available, &figures)
}

/// Why the largest tensor of a run does not fit into a buffer of so many bytes, the most that a GPU gives, if so: both figures, and
/// what to lower.
pub fn beyond_buffer(plan: &Plan, most: f64) -> Option<Mistake> {
    let (bytes, what) = largest_tensor(plan);
    if bytes <= most {
        return None;
    }
    let figures = format!(
        "{what} take {}, and a buffer of this GPU holds {}",
        memory(bytes),
        memory(most)
    );
    let largest = |plan: &Plan| largest_tensor(plan).0;
    mistake(plan, &largest, most, &figures)
}

/// The number to lower of a plan that costs more than there is, or the model that is too large whatever the numbers.
fn mistake(plan: &Plan, cost: &dyn Fn(&Plan) -> f64, most: f64, figures: &str) -> Option<Mistake> {
    match least(plan, cost) > most {
        true => Some(too_large_model(plan, figures)),
        false => to_lower(plan, cost, figures),
    }
}

/// Bytes of the largest tensor of a step with batches of the longest sequences, and what it is.
fn largest_tensor(plan: &Plan) -> (f64, &'static str) {
    let tokens = plan.recipe.batch as f64 * plan.recipe.max_length as f64;
    let length = plan.recipe.max_length as f64;
    let table = |config: &Config| {
        let embedding = config.shape.embedding_width();
        FLOAT * config.vocab_size as f64 * embedding as f64
    };
    let width = |config: &Config, is_trained| {
        FLOAT * tokens * widest_row(config, plan.kernels, is_trained) as f64
    };
    let (student, teacher) = (&plan.student, &plan.teacher);
    let heads = student.num_attention_heads.max(teacher.num_attention_heads);
    let of = |operation, heads| match plan.kernels.has(operation) {
        true => 0,
        false => heads,
    };
    let heads = of(Operation::Attention, heads).max(of(Operation::Relation, plan.relation_heads));
    let all = [
        (table(teacher), "the embeddings of the teacher"),
        (table(student), "the embeddings of the student"),
        (
            width(teacher, false),
            "the values of one batch in a layer of the teacher",
        ),
        (
            width(student, true),
            "the values of one batch in a layer of the student",
        ),
        (
            FLOAT * tokens * heads as f64 * length,
            "the relations of one batch",
        ),
        (
            FLOAT * compared_with_distances(teacher, plan.recipe.batch, length),
            "the scores of distances in a layer of the teacher",
        ),
    ];
    all.into_iter()
        .fold((0.0, ""), |a, b| if b.0 > a.0 { b } else { a })
}

/// Numbers that a token has in the widest tensor of a layer: kernels give several results in one, which are views of it.
pub fn widest_row(config: &Config, kernels: Kernels, is_trained: bool) -> usize {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.query_width();
    // Keys and values that are narrower than queries are never one tensor with them.
    let projected = match kernels.has(Operation::Projections) && !config.is_grouped() {
        true => 3 * queries,
        false => hidden.max(queries),
    };
    // What goes into GELU is kept for its slope.
    let has_slopes = is_trained && config.feeds_at_once() && kernels.has(Operation::FeedForward);
    let fed = if has_slopes { 2 * inner } else { inner };
    projected.max(fed)
}

/// What is left of a cost where every number of the recipe is as low as it goes: that of the models in folders.
fn least(plan: &Plan, cost: &dyn Fn(&Plan) -> f64) -> f64 {
    let lowest = sizes(plan).into_iter();
    let lowest = lowest.fold(plan.clone(), |plan, size| with(&plan, size.set, 1));
    cost(&lowest)
}

/// The mistake where no number of the recipe helps: the larger of the models that come from folders.
fn too_large_model(plan: &Plan, figures: &str) -> Mistake {
    let weights = |config: &Config| FLOAT * parameter_count(config) as f64;
    let (student, teacher) = (weights(&plan.student), weights(&plan.teacher));
    // Of a student there are gradients and moments, too.
    let is_start = starts_from_folder(plan) && 4.0 * student > teacher;
    let (field, model, bytes, advice) = match is_start {
        true => (
            "student.init",
            "the model that the student starts from",
            student,
            "Start from a smaller one",
        ),
        false => ("teacher", "the teacher", teacher, "Take a smaller one"),
    };
    Mistake {
        field,
        message: format!(
            "{figures}. The weights of {model} alone take {}, and no number of the recipe changes that. {advice}, or use a \
             machine with more memory",
            memory(bytes)
        ),
    }
}

/// The mistake that names the number that leaves the least of a cost at its usual value, or halved if none is above that.
fn to_lower(plan: &Plan, cost: &dyn Fn(&Plan) -> f64, figures: &str) -> Option<Mistake> {
    let fixed = starts_from_folder(plan);
    let sizes = sizes(plan).into_iter();
    let sizes = sizes.filter(|size| size.now > 1 && !(fixed && size.field.starts_with("student.")));
    let lowered = sizes.map(|size| {
        let left = |value| cost(&with(plan, size.set, value));
        let usual = left(size.now.min(size.usual));
        (usual, left(size.now / 2), size)
    });
    let (.., Size { field, now, .. }) =
        lowered.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
    Some(Mistake {
        field,
        message: format!("{figures}. Lower {field} (now {now}): it is what most of that is for"),
    })
}

/// Bytes that one text of so many tokens takes while it goes through an encoder, the weights aside: what a layer holds, and of each
/// layer its states if all are asked for. Rough, as an [`Estimate`].
pub fn encoding_bytes(config: &Config, kernels: Kernels, length: usize, all_states: bool) -> f64 {
    let (hidden, length) = (config.hidden_size as f64, length as f64);
    let states = match all_states {
        true => config.num_hidden_layers as f64 * hidden,
        false => 0.0,
    };
    let values = length * (layer_values(config) + scores(kernels, config, length) + states);
    FLOAT * (values + 4.0 * compared_with_distances(config, 1, length))
}

/// Bytes that fine-tuning takes with batches of so many texts of so many tokens: weights, their gradient and two moments, the best
/// weights so far, the weights that each seed begins with, and activations.
pub fn tuning_bytes(config: &Config, kernels: Kernels, batch: usize, length: usize) -> f64 {
    let tokens = batch as f64 * length as f64;
    let layer = layer_values(config) + scores(kernels, config, length as f64);
    let layers = config.num_hidden_layers as f64;
    FLOAT * (6.0 * parameter_count(config) as f64 + tokens * layers * layer)
}

/// Whether the student's sizes are those of a model that it starts from.
fn starts_from_folder(plan: &Plan) -> bool {
    matches!(plan.recipe.student.init, Init::Folder(_))
}

/// A number of a recipe that decides its memory.
struct Size {
    field: &'static str,
    now: usize,
    usual: usize,
    set: fn(&mut Recipe, usize),
}

fn sizes(plan: &Plan) -> [Size; 5] {
    let usual = Recipe::default();
    let size = |field, now, usual, set| Size {
        field,
        now,
        usual,
        set,
    };
    let (recipe, student) = (&plan.recipe, &plan.student);
    [
        size(
            "student.hidden",
            student.hidden_size,
            usual.student.hidden,
            |r, value| r.student.hidden = value,
        ),
        size(
            "student.layers",
            student.num_hidden_layers,
            usual.student.layers,
            |r, value| r.student.layers = value,
        ),
        size(
            "student.ffn",
            student.intermediate_size,
            4 * student.hidden_size,
            |r, value| r.student.ffn = r.student.ffn.and(Some(value)),
        ),
        size("batch", recipe.batch, usual.batch, |r, value| {
            r.batch = value;
        }),
        size(
            "max_length",
            recipe.max_length,
            usual.max_length,
            |r, value| r.max_length = value,
        ),
    ]
}

/// The plan of a recipe that is changed in one of its sizes; good for an estimate only, because nothing checks it.
fn with(plan: &Plan, set: fn(&mut Recipe, usize), value: usize) -> Plan {
    let mut plan = plan.clone();
    set(&mut plan.recipe, value);
    if starts_from_folder(&plan) {
        return plan;
    }
    let rows = plan.student.vocab_size;
    let student = student_of(&plan.recipe, &plan.teacher, plan.teacher_layer, None);
    let student = student.with_rows(rows);
    Plan { student, ..plan }
}

/// Bytes for people: `64 MB`, `1.2 GB`.
pub fn memory(bytes: f64) -> String {
    let (number, unit) = match bytes {
        b if b >= 1e9 => (b / 1e9, "GB"),
        b if b >= 1e6 => (b / 1e6, "MB"),
        b => (b / 1e3, "kB"),
    };
    let digits = usize::from(number < 9.95);
    format!("{number:.digits$} {unit}")
}

/// The size of a file for people: `412 kB`, `90.9 MB`.
pub fn file_size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes < 1e6 {
        true => memory(bytes),
        false => format!("{:.1} MB", bytes / 1e6),
    }
}

/// Share of the steps in which the teacher runs to its end.
fn output_share(plan: &Plan) -> f64 {
    let steps = plan.recipe.steps;
    let stage = plan
        .output
        .as_ref()
        .map_or(0, |stage| steps + 1 - stage.from);
    stage as f64 / steps as f64
}

/// Values per token that one layer keeps for its backward pass: a gated feed-forward part has twice the units, and their product;
/// rotary positions give queries and keys a second time.
fn layer_values(config: &Config) -> f64 {
    let units = if config.is_gated { 4.0 } else { 2.0 };
    let hidden = if config.is_rotary() { 12.0 } else { 10.0 };
    hidden * config.hidden_size.max(config.query_width()) as f64
        + units * config.intermediate_size as f64
}

/// Attention probabilities per token; our kernels keep none.
fn scores(kernels: Kernels, config: &Config, length: f64) -> f64 {
    match kernels.has(Operation::Attention) {
        true => 0.0,
        false => 2.0 * config.num_attention_heads as f64 * length,
    }
}

/// Scores of distances of as many sequences as attend at once, where attention is disentangled: 2S for each query. With what is made of
/// them there are four times as many numbers.
fn compared_with_distances(config: &Config, batch: usize, length: f64) -> f64 {
    let heads = config.num_attention_heads;
    config.disentangled().map_or(0.0, |how| {
        let sequences = batch.min(how.at_once(heads, length as usize));
        (2 * sequences * heads) as f64 * length * length
    })
}

/// Floating-point operations per token of one layer, from 0, forward: four projections, the feed-forward part, scores and their use.
fn layer_flops(config: &Config, layer: usize, length: f64) -> f64 {
    let (h, f) = (config.hidden_size as f64, config.intermediate_size as f64);
    let matrices = if config.is_gated { 3.0 } else { 2.0 };
    let reach = config.reach(layer);
    let side = |tokens: Option<usize>| tokens.map_or(length, |tokens| tokens as f64);
    let seen = length.min(side(reach.before) + 1.0 + side(reach.after));
    let (queries, keys) = (config.query_width() as f64, config.key_width() as f64);
    // Each further term compares with 2S distances.
    let terms = config.disentangled().map_or(1, Disentangled::terms) as f64;
    2.0 * (2.0 * h * (queries + keys) + matrices * h * f) + 4.0 * seen * queries * terms
}
