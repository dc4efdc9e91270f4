//! A recipe, checked against its teacher. The check finds all mistakes at once, each with its field.

use serde::Serialize;

use crate::Part;
use crate::config::{Config, StudentSize, parameter_count};
use crate::counted;
use crate::init::Init;
use crate::kernels::{Kernels, Mixed};
use crate::pair::{Pair, Vector, common_relation_heads};
use crate::recipe::{Compute, KernelChoice, Objective, OutputRecipe, Recipe, StudentRecipe, Tap};
use crate::sentence::Pooling;

/// Parameters of the largest student: 8 GiB of weights.
const MOST_PARAMETERS: u128 = 1 << 31;

/// Batches of the longest step: a driver holds the token ids of all of them while it takes the step.
const MOST_ACCUMULATED: usize = 4096;

/// A field of a recipe with a value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The recipe's field, such as `student.heads`.
    pub field: &'static str,
    /// What is wrong, with the values, and what would be valid.
    pub message: String,
}

/// A run that can start. Whoever holds a plan checks nothing again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the user asked for.
    pub recipe: Recipe,
    /// Teacher layer, from 1.
    pub teacher_layer: usize,
    /// Number of relation heads, A_r.
    pub relation_heads: usize,
    /// Pairs with their weights (alpha in eq. 5), without those of weight 0.
    pub pairs: Vec<(Pair, f64)>,
    /// The output stage, if there is one.
    pub output: Option<OutputStage>,
    /// What computes the relation loss, embeddings, attention, GELU, LayerNorm, linear layers and AdamW: what the recipe says, without the kernels that fail
    /// the self-test on a device.
    pub kernels: Kernels,
    /// What multiplies in the teacher's linear layers in mixed precision, once the device is known: see [`Compute::on`].
    pub mixed: Option<Mixed>,
    /// Steps of warm-up.
    pub warmup: u64,
    /// The teacher's config.
    pub teacher: Config,
    /// The student's config.
    pub student: Config,
    /// The teacher's layer, from 1, that each layer of the student starts from; none if its weights start random, or as those of
    /// the model in a folder.
    pub from_layers: Option<Vec<usize>>,
    /// What is left of the teacher's vocabulary, once it is known: see [`Plan::pruned`].
    pub vocabulary: Option<Vocabulary>,
}

/// The tokens that teacher and student read, where the vocabulary is pruned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vocabulary {
    /// How many the teacher has rows for.
    pub of: usize,
    /// How many are kept.
    pub kept: usize,
    /// The share of the corpus's tokens that they are.
    pub share: f64,
}

/// The steps of a run that train every layer.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputStage {
    /// Its first step, from 1; it lasts to the end.
    pub from: u64,
    /// What the weights of the pairs are multiplied by.
    pub relations: f64,
    /// Its other parts with their weights, without those of weight 0; at least one.
    pub parts: Vec<(Part, f64)>,
    /// How the hidden states of a sentence become its vector, in both models: see [`Plan::pooled`].
    pub pooling: Pooling,
    /// Whether a part compares vectors of different widths, through a map that is trained with the student.
    pub has_map: bool,
}

/// All mistakes of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct PlanError(pub Vec<Mistake>);

fn list(mistakes: &[Mistake]) -> String {
    let mut text = match mistakes.len() {
        1 => "the recipe has a mistake:".to_owned(),
        n => format!("the recipe has {n} mistakes:"),
    };
    for mistake in mistakes {
        text.push_str(&format!("\n  {}: {}", mistake.field, mistake.message));
    }
    text
}

#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push(Mistake {
            field,
            message: message.into(),
        });
    }

    fn demand(&mut self, holds: bool, field: &'static str, message: impl FnOnce() -> String) {
        if !holds {
            self.add(field, message());
        }
    }
}

impl Plan {
    /// Checks a recipe against the teacher's config. Of one with an assistant, that is the assistant's: see [`Plan::stages`].
    ///
    /// # Errors
    /// [`PlanError`] with every mistake.
    pub fn new(recipe: &Recipe, teacher: &Config) -> Result<Self, PlanError> {
        let mut mistakes = Mistakes::default();
        if matches!(recipe.student.init, Init::Folder(_)) {
            let message = "only `limbeck distill` starts a student from a folder; set student.init to `teacher` or `random`";
            mistakes.add("student.init", message);
        }
        Self::of(recipe, teacher, None, mistakes)
    }

    /// The plan of the teacher assistant, if the recipe has one, and the student's.
    ///
    /// # Errors
    /// See [`Plan::with_start`].
    pub fn stages(
        recipe: &Recipe,
        teacher: &Config,
        start: Option<&Config>,
    ) -> Result<(Option<Self>, Self), PlanError> {
        let Some(of_assistant) = recipe.of_assistant(teacher) else {
            return Ok((None, Self::with_start(recipe, teacher, start)?));
        };
        if let Init::Folder(folder) = &recipe.student.init {
            let message = format!(
                "an assistant, as deep as the teacher, cannot start from the model in {folder}; leave assistant_steps out, or \
                 set student.init to `teacher` or `random`"
            );
            let field = "student.init";
            return Err(PlanError(vec![Mistake { field, message }]));
        }
        let assistant = Self::new(&of_assistant, teacher)?;
        let student = Self::new(recipe, &assistant.student)?;
        Ok((Some(assistant), student))
    }

    /// Checks a recipe against the teacher's config and, of a student that starts from a folder, that of the model there.
    ///
    /// # Errors
    /// [`PlanError`] with every mistake.
    pub fn with_start(
        recipe: &Recipe,
        teacher: &Config,
        start: Option<&Config>,
    ) -> Result<Self, PlanError> {
        let (Init::Folder(folder), Some(start)) = (&recipe.student.init, start) else {
            return Self::new(recipe, teacher);
        };
        let mut mistakes = Mistakes::default();
        check_start(recipe, teacher, (folder, start), &mut mistakes);
        let student = start.trained_with(recipe.student.dropout);
        Self::of(recipe, teacher, Some(student), mistakes)
    }

    /// A plan, if what is wrong already and what is found here comes to nothing.
    fn of(
        recipe: &Recipe,
        teacher: &Config,
        student: Option<Config>,
        mut mistakes: Mistakes,
    ) -> Result<Self, PlanError> {
        check_numbers(recipe, teacher, &mut mistakes);
        check_student(recipe, &mut mistakes);
        check_vocabulary(recipe, teacher, &mut mistakes);
        check_rotation(recipe, teacher, &mut mistakes);
        let teacher_layer = teacher_layer(recipe, teacher, &mut mistakes);
        let from_layers = from_layers(recipe, teacher, teacher_layer, &mut mistakes);
        let relation_heads = relation_heads(recipe, teacher, &mut mistakes);
        let pairs = pairs(recipe, &mut mistakes);
        let output = output(recipe, teacher, &mut mistakes);
        let warmup = recipe.warmup.unwrap_or(usual_warmup(recipe.steps));
        mistakes.demand(warmup <= recipe.steps, "warmup", || {
            format!(
                "a warm-up of {warmup} steps is longer than the run of {}",
                recipe.steps
            )
        });
        if !mistakes.0.is_empty() {
            return Err(PlanError(mistakes.0));
        }
        let derived = || student_of(recipe, teacher, teacher_layer, from_layers.as_deref());
        let student = student.unwrap_or_else(derived);
        let parameters = parameter_count(&student);
        if parameters > MOST_PARAMETERS {
            return Err(PlanError(vec![Mistake {
                field: "student",
                message: format!(
                    "{parameters} parameters exceed the limit of {MOST_PARAMETERS}; reduce layers, hidden or ffn"
                ),
            }]));
        }
        Ok(Self {
            recipe: recipe.clone(),
            teacher_layer,
            relation_heads,
            pairs,
            output,
            kernels: recipe.kernel.into(),
            mixed: None,
            warmup,
            teacher: teacher.clone(),
            student,
            from_layers,
            vocabulary: None,
        })
    }

    /// The same run with the pooling that the teacher's folder states. A config.json does not say it, so without this the
    /// output stage compares means.
    #[must_use]
    pub fn pooled(mut self, pooling: &Pooling) -> Self {
        if let Some(stage) = &mut self.output {
            stage.pooling.clone_from(pooling);
        }
        self
    }

    /// The same run with what is left of the vocabulary: `teacher` is the teacher's config with these tokens alone. Which tokens the
    /// corpus has most, nothing says but the corpus.
    #[must_use]
    pub fn pruned(self, teacher: Config, vocabulary: Vocabulary) -> Self {
        let from_layers = self.from_layers.as_deref();
        let student = student_of(&self.recipe, &teacher, self.teacher_layer, from_layers);
        let student = student.with_rows(teacher.vocab_size);
        Self {
            student,
            teacher,
            vocabulary: Some(vocabulary),
            ..self
        }
    }

    /// The teacher's config, with all of its tokens.
    pub fn whole_teacher(&self) -> Config {
        let pruned = self.vocabulary.as_ref();
        pruned.map_or_else(
            || self.teacher.clone(),
            |pruned| self.teacher.with_rows(pruned.of),
        )
    }

    /// Whether nothing says yet how many tokens the student has.
    pub fn has_open_vocabulary(&self) -> bool {
        let share = self.recipe.student.vocabulary.filter(|v| *v <= 1.0);
        share.is_some() && self.recipe.prunes() && self.vocabulary.is_none()
    }

    /// Tokens that teacher and student both have positions for.
    pub fn positions(&self) -> usize {
        self.teacher.max_length().min(self.student.max_length())
    }

    /// What computes the teacher: what computes the student, but perhaps in mixed precision.
    pub fn teacher_kernels(&self) -> Kernels {
        self.kernels.mixing(self.mixed)
    }

    /// Learning rate of a step, from 1.
    pub fn learning_rate(&self, step: u64) -> f64 {
        learning_rate(
            step,
            self.recipe.learning_rate,
            self.warmup,
            self.recipe.steps,
        )
    }

    /// Every part that the loss has at any step: the pairs, then those of the output stage.
    pub fn parts(&self) -> Vec<Part> {
        let pairs = self.pairs.iter().map(|(pair, _)| Part::Relation(*pair));
        let output = self.output.iter().flat_map(|stage| &stage.parts);
        pairs.chain(output.map(|(part, _)| *part)).collect()
    }

    /// The parts that the loss of a step, from 1, adds up from, with their weights.
    pub fn weights(&self, step: u64) -> Vec<(Part, f64)> {
        let stage = self.output.as_ref().filter(|stage| step >= stage.from);
        let factor = stage.map_or(1.0, |stage| stage.relations);
        let pairs = self.pairs.iter().filter(|_| factor > 0.0);
        let pairs = pairs.map(|(pair, weight)| (Part::Relation(*pair), factor * weight));
        let output = stage.iter().flat_map(|stage| stage.parts.iter().copied());
        pairs.chain(output).collect()
    }
}

/// The config of a student that is not a model of its own. What a share of the corpus comes to is not known here: until then, it
/// has all tokens.
pub(crate) fn student_of(
    recipe: &Recipe,
    teacher: &Config,
    teacher_layer: usize,
    from_layers: Option<&[usize]>,
) -> Config {
    let size = &recipe.student;
    let usual = usual_from_layers(size.layers, teacher_layer);
    let shape = StudentSize {
        layers: size.layers,
        hidden: size.hidden,
        heads: size.heads,
        ffn: size.ffn.unwrap_or(usual_ffn(size, teacher)),
        dropout: size.dropout,
    };
    let student = teacher.student_of(shape, from_layers.unwrap_or(&usual));
    match size.vocabulary.filter(|_| recipe.prunes()) {
        Some(tokens) if tokens > 1.0 => student.with_rows(teacher.vocab_size.min(tokens as usize)),
        _ => student,
    }
}

/// Steps of warm-up unless a recipe names them: a tenth of the steps, at most 4000.
pub fn usual_warmup(steps: u64) -> u64 {
    (steps / 10).min(4000)
}

/// Learning rate of a step (from 1): linear warm-up to `peak` over `warmup` steps, then a linear decay that reaches 0
/// one step after the last.
pub fn learning_rate(step: u64, peak: f64, warmup: u64, steps: u64) -> f64 {
    if step <= warmup {
        return peak * step as f64 / warmup as f64;
    }
    let left = (steps + 1).saturating_sub(step) as f64;
    peak * left / (steps + 1 - warmup.min(steps)) as f64
}

fn check_numbers(recipe: &Recipe, teacher: &Config, mistakes: &mut Mistakes) {
    mistakes.demand(!recipe.corpus.is_empty(), "corpus", || {
        "no file or glob given".into()
    });
    check_weights(recipe, mistakes);
    mistakes
        .0
        .extend(recipe.documents().err().into_iter().flat_map(|e| e.0));
    mistakes.demand((1..=65_536).contains(&recipe.batch), "batch", || {
        format!("must be 1 to 65536 sequences, not {}", recipe.batch)
    });
    mistakes.demand(
        (1..=MOST_ACCUMULATED).contains(&recipe.accumulate),
        "accumulate",
        || {
            format!(
                "must be 1 to {MOST_ACCUMULATED} batches, not {}",
                recipe.accumulate
            )
        },
    );
    let is_possible = recipe.compute != Compute::Mixed || recipe.kernel == KernelChoice::Fused;
    mistakes.demand(is_possible, "compute", || {
        "`mixed` has no plain tensor operations; set kernel to `fused`, or leave compute out".into()
    });
    mistakes.demand(recipe.steps >= 1, "steps", || "must be at least 1".into());
    mistakes.demand(recipe.shuffle >= 1, "shuffle", || {
        "must be at least 1".into()
    });
    mistakes.demand(recipe.checkpoint_every >= 1, "checkpoint_every", || {
        "must be at least 1".into()
    });
    let longest = teacher.max_length();
    mistakes.demand(
        (3..=longest).contains(&recipe.max_length),
        "max_length",
        || {
            format!(
                "must be 3 to {longest} (the teacher's positions), not {}",
                recipe.max_length
            )
        },
    );
    let open_unit = |x: f64| x > 0.0 && x < 1.0;
    let at_least_0 = |x: f64| x.is_finite() && x >= 0.0;
    for (field, value, holds, range) in [
        (
            "learning_rate",
            recipe.learning_rate,
            recipe.learning_rate.is_finite() && recipe.learning_rate > 0.0,
            "above 0",
        ),
        (
            "weight_decay",
            recipe.weight_decay,
            at_least_0(recipe.weight_decay),
            "0 or more",
        ),
        (
            "clip",
            recipe.clip,
            at_least_0(recipe.clip),
            "0 (off) or more",
        ),
        (
            "beta1",
            recipe.beta1,
            open_unit(recipe.beta1),
            "between 0 and 1",
        ),
        (
            "beta2",
            recipe.beta2,
            open_unit(recipe.beta2),
            "between 0 and 1",
        ),
        (
            "epsilon",
            recipe.epsilon,
            recipe.epsilon.is_finite() && recipe.epsilon > 0.0,
            "above 0",
        ),
        (
            "heldout",
            recipe.heldout,
            (0.0..=0.5).contains(&recipe.heldout),
            "from 0 to 0.5",
        ),
        (
            "student.dropout",
            recipe.student.dropout,
            (0.0..1.0).contains(&recipe.student.dropout),
            "from 0 to below 1",
        ),
    ] {
        mistakes.demand(holds, field, || format!("must be {range}, not {value}"));
    }
}

fn check_weights(recipe: &Recipe, mistakes: &mut Mistakes) {
    let Some(weights) = &recipe.corpus_weights else {
        return;
    };
    let field = "corpus_weights";
    let paths = recipe.corpus.len();
    mistakes.demand(weights.len() == paths, field, || {
        let (given, paths) = (counted(weights.len(), "weight"), counted(paths, "path"));
        format!("{given} for {paths} of corpus; give each path or glob one")
    });
    if weights.is_empty() {
        return;
    }
    let is_weight = |weight: &f64| weight.is_finite() && *weight >= 0.0;
    match weights.iter().find(|weight| !is_weight(weight)) {
        Some(wrong) => mistakes.demand(false, field, || {
            format!("must be 0 or more, and finite, not {wrong}")
        }),
        None => mistakes.demand(weights.iter().any(|weight| *weight > 0.0), field, || {
            "no weight is above 0, so that no line would be trained on".into()
        }),
    }
}

fn check_student(recipe: &Recipe, mistakes: &mut Mistakes) {
    let student = &recipe.student;
    for (field, size) in [
        ("student.layers", student.layers),
        ("student.hidden", student.hidden),
        ("student.heads", student.heads),
    ] {
        mistakes.demand((1..=65_536).contains(&size), field, || {
            format!("must be 1 to 65536, not {size}")
        });
    }
    let ffn = student.ffn.unwrap_or(1);
    mistakes.demand((1..=1_048_576).contains(&ffn), "student.ffn", || {
        format!("must be 1 to 1048576, not {ffn}")
    });
    let (hidden, heads) = (student.hidden, student.heads);
    mistakes.demand(
        heads == 0 || hidden.is_multiple_of(heads),
        "student.heads",
        || {
            let fits = (1..=hidden.min(64))
                .filter(|n| hidden.is_multiple_of(*n))
                .collect::<Vec<_>>();
            format!(
                "{heads} attention heads do not divide the hidden size {hidden}; these do: {fits:?}"
            )
        },
    );
}

fn check_vocabulary(recipe: &Recipe, teacher: &Config, mistakes: &mut Mistakes) {
    let Some(asked) = recipe.student.vocabulary else {
        return;
    };
    let mut demand = |holds, message: String| {
        mistakes.demand(holds, "student.vocabulary", || message);
        holds
    };
    let is_share = asked > 0.0 && asked <= 1.0;
    let is_number = asked > 1.0 && asked.fract() == 0.0;
    let is_either = demand(
        is_share || is_number,
        format!(
            "must be a whole number of tokens above 1, such as 32000, or a share of the corpus's tokens above 0 and up to 1, such as \
             0.9995, not {asked}"
        ),
    );
    let most = teacher.vocab_size;
    if is_either && recipe.prunes() {
        demand(
            asked <= most as f64,
            format!(
                "{asked} tokens are more than the teacher's {most}; take fewer, or leave it out to keep all"
            ),
        );
    }
    if let Init::Folder(folder) = &recipe.student.init {
        demand(
            false,
            format!(
                "the student starts from the model in {folder}, which has its own tokens; leave vocabulary out, or set student.init \
                 to `teacher` or `random`"
            ),
        );
    }
}

/// What rotary positions ask of a student, and what a teacher without them cannot give.
fn check_rotation(recipe: &Recipe, teacher: &Config, mistakes: &mut Mistakes) {
    let is_rotary = teacher.is_rotary();
    mistakes.demand(is_rotary || recipe.tap == Tap::Content, "tap", || {
        format!(
            "`rotated` is for models with rotary positions, and the teacher ({}) has none; leave tap out",
            teacher.model_type
        )
    });
    let compares_attention = recipe.objective == Objective::MinilmV1;
    mistakes.demand(
        !(compares_attention && is_rotary && recipe.tap == Tap::Content),
        "tap",
        || "minilm-v1 compares attention, which has queries and keys turned by their positions: set tap to `rotated`".into(),
    );
    mistakes.demand(
        !(compares_attention && teacher.adds_by_distance()),
        "objective",
        || {
            format!(
                "minilm-v1 compares attention, and that of the teacher ({}) also depends on distances, which relations leave out; use \
                 minilm-v2",
                teacher.model_type
            )
        },
    );
    mistakes.demand(
        !(compares_attention && (teacher.is_grouped() || teacher.is_causal)),
        "objective",
        || {
            format!(
                "minilm-v1 compares attention head by head, and in the teacher ({}) {}; use minilm-v2",
                teacher.model_type,
                match teacher.is_causal {
                    true => "a token attends to those before it alone",
                    false => "heads share keys and values",
                }
            )
        },
    );
    let (hidden, heads) = (recipe.student.hidden, recipe.student.heads);
    let fits = |heads: usize| hidden.is_multiple_of(2 * heads);
    let is_checked_already = heads == 0 || !hidden.is_multiple_of(heads);
    mistakes.demand(
        !is_rotary || is_checked_already || fits(heads),
        "student.heads",
        || {
            let fitting: Vec<usize> = (1..=hidden.min(64)).filter(|heads| fits(*heads)).collect();
            let advice = match fitting.is_empty() {
                true => format!("make student.hidden, {hidden}, even"),
                false => format!("these do: {fitting:?}"),
            };
            format!(
                "{} of {} dimensions each: rotary positions turn them in pairs, so the number must be even; {advice}",
                counted(heads, "attention head"),
                hidden / heads
            )
        },
    );
}

/// A student that starts from the model in a folder is that model: what the recipe says of its size must agree, and it must be of
/// the teacher's kind and know as many tokens.
fn check_start(
    recipe: &Recipe,
    teacher: &Config,
    (folder, start): (&str, &Config),
    mistakes: &mut Mistakes,
) {
    let student = &recipe.student;
    for (field, asked, found) in [
        (
            "student.layers",
            Some(student.layers),
            start.num_hidden_layers,
        ),
        ("student.hidden", Some(student.hidden), start.hidden_size),
        (
            "student.heads",
            Some(student.heads),
            start.num_attention_heads,
        ),
        ("student.ffn", student.ffn, start.intermediate_size),
    ] {
        let asked = asked.unwrap_or(found);
        mistakes.demand(asked == found, field, || {
            format!(
                "must be {found}, as in the model in {folder} that the student starts from, not {asked}; leave it out, or set it \
                 to {found}"
            )
        });
    }
    let mut demand = |holds, message| mistakes.demand(holds, "student.init", || message);
    let students = match teacher.only_teaches() {
        true => "students of this teacher",
        false => "the teacher",
    };
    let wanted = teacher.student_kind();
    let own = match start.only_teaches() {
        true => (start.model_type.clone(), ""),
        false => start.student_kind(),
    };
    let (found, of_teacher) = match own.0 == wanted.0 {
        true => (own.1, wanted.1),
        false => (own.0.as_str(), wanted.0.as_str()),
    };
    demand(
        found == of_teacher,
        format!(
            "the model in {folder} is of the kind `{found}`, and {students} of `{of_teacher}`; name a folder with a model of the kind `{of_teacher}`"
        ),
    );
    let tokens = (start.vocab_size, teacher.vocab_size);
    demand(
        tokens.0 == tokens.1,
        format!(
            "the model in {folder} has a vocabulary of {} tokens, and the teacher one of {}; name a folder with a model that has \
             the teacher's tokens",
            tokens.0, tokens.1
        ),
    );
    let last = start.num_hidden_layers;
    demand(
        !start.is_local(last - 1),
        format!(
            "the last layer of the model in {folder}, {last}, attends to near tokens alone, so it has no relations among all tokens; \
             name a folder with a model whose last layer attends to all"
        ),
    );
    let (longest, length) = (start.max_length(), recipe.max_length);
    mistakes.demand(
        length <= longest || length > teacher.max_length(),
        "max_length",
        || format!("must be 3 to {longest} (the positions of the model in {folder}), not {length}"),
    );
}

/// The teacher's layer unless a recipe names it: the last that attends to all tokens, or an upper-middle one of large teachers
/// (section 4 of MiniLMv2).
pub fn usual_teacher_layer(teacher: &Config) -> usize {
    match (teacher.num_hidden_layers, teacher.layer_of_24()) {
        (24, Some(layer)) => layer,
        (layers, _) => teacher.global_layers().last().copied().unwrap_or(layers),
    }
}

/// A_r unless a recipe names it: the largest number that divides both the student's hidden size and the teacher's, or the width of the
/// teacher's keys ([`Shape::key_width`](crate::Shape::key_width)) where that is another, up to 48, or 64 for a teacher of 1024 or
/// more, as in the paper.
pub fn usual_relation_heads(student: usize, teacher: usize) -> usize {
    let most = if teacher >= 1024 { 64 } else { 48 };
    let fits = common_relation_heads(student, teacher).into_iter();
    fits.filter(|a| *a <= most).max().unwrap_or(1)
}

fn teacher_layer(recipe: &Recipe, teacher: &Config, mistakes: &mut Mistakes) -> usize {
    let layers = teacher.num_hidden_layers;
    // What the recipe names is a layer of the assistant's teacher; the assistant has learnt it in its last.
    if recipe.has_assistant() {
        return layers;
    }
    let usual = match recipe.objective {
        Objective::MinilmV2 => usual_teacher_layer(teacher),
        Objective::MinilmV1 => layers,
    };
    let layer = recipe.teacher_layer.unwrap_or(usual);
    mistakes.demand((1..=layers).contains(&layer), "teacher_layer", || {
        format!("layer {layer} does not exist: the teacher has layers 1 to {layers}")
    });
    mistakes.demand(
        recipe.objective == Objective::MinilmV2 || layer == layers,
        "teacher_layer",
        || format!("minilm-v1 uses the last layer, {layers}; omit teacher_layer or use minilm-v2"),
    );
    let is_local = (1..=layers).contains(&layer) && teacher.is_local(layer - 1);
    mistakes.demand(!is_local, "teacher_layer", || {
        let of_all = match teacher.global_layers().as_slice() {
            [] => "; this teacher has no other layers, so take another one".to_owned(),
            global => format!("; these attend to all: {global:?}"),
        };
        format!(
            "layer {layer} of the teacher attends to near tokens alone, so it has no relations among all tokens that a student could \
             learn{of_all}"
        )
    });
    layer
}

/// Width of the feed-forward part where nobody names it: 4 x hidden, as in the paper; a student that starts from its teacher
/// has at most the teacher's.
pub fn usual_ffn(student: &StudentRecipe, teacher: &Config) -> usize {
    let usual = student.hidden.saturating_mul(4);
    match student.init {
        Init::Teacher => usual.min(teacher.intermediate_size),
        Init::Random | Init::Folder(_) => usual,
    }
}

/// The teacher's layers that `layers` layers start from where nobody names them: evenly spaced from the first, which reads
/// the embeddings, to the one whose relations are taught, so that the projections that are compared start as those that they
/// are compared with. A single layer starts from the latter; a student with more layers than that goes on beyond it.
pub fn usual_from_layers(layers: usize, teacher_layer: usize) -> Vec<usize> {
    let last = teacher_layer.max(layers);
    let steps = layers.saturating_sub(1);
    // Rounded to the nearest layer, the lower one of two.
    let evenly = |step: usize| 1 + (2 * step * (last - 1) + steps - 1) / (2 * steps);
    match steps {
        0 => vec![last; layers],
        _ => (0..layers).map(evenly).collect(),
    }
}

fn from_layers(
    recipe: &Recipe,
    teacher: &Config,
    teacher_layer: usize,
    mistakes: &mut Mistakes,
) -> Option<Vec<usize>> {
    let (student, named) = (&recipe.student, &recipe.student.from_layers);
    if student.init == Init::Teacher && teacher.only_teaches() {
        let (kind, class) = teacher.student_kind();
        let message = format!(
            "a teacher of the kind `{}` has no students of its kind here: they are of the kind `{kind}` ({class}), with the \
             teacher's tokens, and cannot start from its weights; set student.init to `random`, or to {{ folder = \"DIR\" }} with \
             such a model",
            teacher.model_type
        );
        mistakes.add("student.init", message);
        return None;
    }
    if student.init != Init::Teacher {
        let init = match &student.init {
            Init::Folder(_) => "a folder",
            _ => "`random`",
        };
        mistakes.demand(named.is_none(), "student.from_layers", || {
            format!(
                "student.init is {init}, which takes nothing from the teacher's layers; leave from_layers out, or set init to \
                 `teacher`"
            )
        });
        return None;
    }
    let ffn = student.ffn.unwrap_or(usual_ffn(student, teacher));
    for (field, size, most) in [
        ("student.layers", student.layers, teacher.num_hidden_layers),
        ("student.hidden", student.hidden, teacher.hidden_size),
        ("student.ffn", ffn, teacher.intermediate_size),
    ] {
        mistakes.demand(size <= most, field, || {
            format!(
                "{size} is more than the teacher's {most}, and the student starts from the teacher; take at most {most}, or \
                 set student.init to `random`"
            )
        });
    }
    let tables = teacher.embedding_width();
    mistakes.demand(tables <= teacher.hidden_size, "student.init", || {
        format!(
            "the teacher's embedding tables ({tables}) are wider than its hidden states ({}), and a student cannot start \
             from such a teacher; set student.init to `random`",
            teacher.hidden_size
        )
    });
    mistakes.demand(
        tables >= teacher.hidden_size || student.hidden > tables,
        "student.hidden",
        || {
            format!(
                "{} is not more than the {tables} of the teacher's embedding tables, and the student starts from the teacher, \
                 which projects them to a larger width; take more than {tables}, or set student.init to `random`",
                student.hidden
            )
        },
    );
    let Some(named) = named else {
        let fits = (1..=teacher.num_hidden_layers).contains(&student.layers);
        return fits.then(|| usual_from_layers(student.layers, teacher_layer));
    };
    let mut demand =
        |holds, message: String| mistakes.demand(holds, "student.from_layers", || message);
    demand(
        named.len() == student.layers,
        format!(
            "{named:?} names {} of the teacher's layers, and the student has {}; name one for each",
            named.len(),
            student.layers
        ),
    );
    let last = teacher.num_hidden_layers;
    if let Some(layer) = named.iter().find(|layer| !(1..=last).contains(*layer)) {
        demand(
            false,
            format!("layer {layer} does not exist: the teacher has layers 1 to {last}"),
        );
    }
    demand(
        named.is_sorted_by(|before, after| before < after),
        format!("{named:?} does not increase; name each layer once, the lower ones first"),
    );
    Some(named.clone())
}

/// What a number of relation heads divides, of a student of this width and a teacher, in words.
pub fn relation_widths(student: usize, teacher: &Config) -> String {
    let (queries, keys, hidden) = (
        teacher.query_width(),
        teacher.key_width(),
        teacher.hidden_size,
    );
    match queries == hidden && keys == hidden {
        true => format!("both hidden sizes, {student} (student) and {hidden} (teacher)"),
        false => format!(
            "the hidden size of the student, {student}, and the widths of the teacher's queries, {queries}, and of its keys and \
             values, {keys}"
        ),
    }
}

fn relation_heads(recipe: &Recipe, teacher: &Config, mistakes: &mut Mistakes) -> usize {
    // It divides the width of the queries, too.
    let (student, keys) = (recipe.student.hidden, teacher.key_width());
    let fits = common_relation_heads(student, keys);
    if recipe.objective == Objective::MinilmV1 {
        let heads = teacher.num_attention_heads;
        mistakes.demand(recipe.student.heads == heads, "student.heads", || {
            format!(
                "minilm-v1 compares attention heads one by one: the teacher has {heads}, the student {}; make them equal \
                 or use minilm-v2",
                recipe.student.heads
            )
        });
        mistakes.demand(recipe.relation_heads.is_none_or(|a| a == heads), "relation_heads", || {
            format!("minilm-v1 uses the {heads} attention heads; omit relation_heads or use minilm-v2")
        });
        return heads;
    }
    let usual = usual_relation_heads(student, keys);
    let heads = recipe.relation_heads.unwrap_or(usual);
    // Of a width of 0, which is a mistake of its own, no number is a divisor.
    mistakes.demand(
        student == 0 || fits.contains(&heads),
        "relation_heads",
        || {
            let widths = relation_widths(student, teacher);
            format!("{heads} relation heads do not divide {widths}; these do: {fits:?}")
        },
    );
    heads
}

fn pairs(recipe: &Recipe, mistakes: &mut Mistakes) -> Vec<(Pair, f64)> {
    if recipe.objective == Objective::MinilmV1 {
        mistakes.demand(recipe.pairs.is_none(), "pairs", || {
            "minilm-v1 compares Q-K and V-V; omit pairs or use minilm-v2".into()
        });
        let vv = Pair {
            row: Vector::V,
            column: Vector::V,
        };
        return vec![(Pair::QK, 1.0), (vv, 1.0)];
    }
    let Some(table) = &recipe.pairs else {
        return vec![(Pair::QQ, 1.0), (Pair::KK, 1.0), (Pair::VV, 1.0)];
    };
    let mut pairs = Vec::new();
    for (key, weight) in table {
        match key.parse::<Pair>() {
            Err(message) => mistakes.add("pairs", message),
            Ok(_) if !weight.is_finite() || *weight < 0.0 => {
                mistakes.add(
                    "pairs",
                    format!("the weight of {key} must be 0 or more, not {weight}"),
                );
            }
            Ok(pair) if *weight > 0.0 => pairs.push((pair, *weight)),
            Ok(_) => {}
        }
    }
    // Q before K before V, as the papers list them, not as the table sorts them.
    mistakes.demand(!pairs.is_empty(), "pairs", || {
        "no pair has a weight above 0".into()
    });
    let pairs = Pair::all().map(|pair| pairs.iter().filter(move |(other, _)| *other == pair));
    pairs.into_iter().flatten().copied().collect()
}

fn output(recipe: &Recipe, teacher: &Config, mistakes: &mut Mistakes) -> Option<OutputStage> {
    let output = &recipe.output;
    let OutputRecipe {
        share, relations, ..
    } = *output;
    mistakes.demand((0.0..=1.0).contains(&share), "output.share", || {
        format!("must be from 0 (no output stage) to 1, not {share}")
    });
    let fields = [
        "output.sentence_relation",
        "output.cosine",
        "output.l2",
        "output.similarity",
        "output.hidden",
    ];
    let weights = output.weights();
    let weights_by_field = fields.into_iter().zip(weights.map(|(_, weight)| weight));
    for (field, weight) in [("output.relations", relations)]
        .into_iter()
        .chain(weights_by_field)
    {
        mistakes.demand(weight.is_finite() && weight >= 0.0, field, || {
            format!("must be 0 or more, not {weight}")
        });
    }
    let parts: Vec<(Part, f64)> = weights.into_iter().filter(|(_, w)| *w > 0.0).collect();
    mistakes.demand(share == 0.0 || !parts.is_empty(), "output.share", || {
        "no part of the output stage has a weight above 0; give one to output.cosine, or set the share to 0".into()
    });
    if share.is_nan() || share <= 0.0 || parts.is_empty() {
        return None;
    }
    let steps = ((share * recipe.steps as f64).round() as u64).clamp(1, recipe.steps.max(1));
    let through_map = [Part::Cosine, Part::L2, Part::Hidden];
    let has_map = recipe.student.hidden != teacher.hidden_size
        && parts.iter().any(|(part, _)| through_map.contains(part));
    Some(OutputStage {
        from: recipe.steps.saturating_sub(steps) + 1,
        relations,
        parts,
        pooling: Pooling::default(),
        has_map,
    })
}
