//! The facts of a run in words, and the model card.

use std::time::Duration;

use limbeck_corpus::FileSummary;
use limbeck_protocol::before_use;
use limbeck_recipe::{
    ASSISTANT, Compute, Config, Evaluation, FileEvaluation, HubId, Init, Mixed, Objective,
    Operation, OutputStage, Pair, Part, Plan, Recipe, Tap, Vector, Vocabulary, counted, file_size,
    parameter_count,
};

/// Results of a finished run: what its plan does not hold.
pub struct Outcome {
    /// The student on the held-out lines before the first step.
    pub before: Evaluation,
    /// The same after the last step.
    pub after: Evaluation,
    /// Which lines the evaluation measured, in one sentence.
    pub heldout_note: String,
    /// How the student makes one vector of a text.
    pub vectors: String,
    /// Name of the device that computed it.
    pub device: String,
    /// Spent in steps; those before a resumption are counted where their time was kept.
    pub elapsed: Duration,
    /// Steps whose loss was not a number.
    pub skipped: u64,
    /// Where the number of steps was changed: the steps taken before, and the number until then.
    pub earlier_steps: Vec<(u64, u64)>,
    /// Lines in all batches.
    pub lines: u64,
    /// Lines that were truncated at max_length.
    pub truncated: u64,
    /// Tokens of all batches, and the padding beside them.
    pub tokens: u64,
    /// See `tokens`.
    pub padding: u64,
    /// The files of the corpus.
    pub files: Vec<FileSummary>,
}

impl Outcome {
    /// The results as rows of a table: name and value.
    pub fn facts(&self) -> Vec<(String, String)> {
        let file = |file: &FileSummary| format!("{} ({})", file.name, file_size(file.bytes));
        let files: Vec<String> = self.files.iter().map(file).collect();
        let mut facts = vec![
            ("Sentence vectors".to_owned(), self.vectors.clone()),
            ("Corpus files".to_owned(), files.join(", ")),
            ("Device".to_owned(), self.device.clone()),
            (
                "Time".to_owned(),
                format!("{:.1} s", self.elapsed.as_secs_f64()),
            ),
            (
                "Lines read".to_owned(),
                format!(
                    "{}, of which {} were truncated at max_length",
                    self.lines, self.truncated
                ),
            ),
        ];
        if self.tokens > 0 {
            let share = self.padding as f64 / (self.tokens + self.padding) as f64;
            facts.push((
                "Padding".to_owned(),
                format!("{:.1} % of all places in the batches", 100.0 * share),
            ));
        }
        if !self.earlier_steps.is_empty() {
            let changes = self.earlier_steps.iter().map(|(done, steps)| {
                format!("until step {done} the learning rate was that of a run of {steps} steps")
            });
            let changes: Vec<String> = changes.collect();
            facts.push(("Steps changed".to_owned(), changes.join("; ")));
        }
        if self.skipped > 0 {
            facts.push((
                "Steps skipped".to_owned(),
                format!("{} (loss not a number)", self.skipped),
            ));
        }
        facts
    }

    /// The parts of the loss before and after, as a Markdown table.
    pub fn table(&self, plan: &Plan) -> String {
        let start = before(plan);
        let mut table = format!("| part of the loss | {start} | after |\n|---|---|---|\n");
        for part in plan.parts() {
            let name = match part {
                Part::Relation(pair) => format!("{pair}, KL in nats"),
                Part::SentenceRelation => format!("{part}, KL in nats"),
                _ => part.to_string(),
            };
            let value = |of: &Evaluation| decimals(of.parts.get(&part).copied());
            let (before, after) = (value(&self.before), value(&self.after));
            table.push_str(&format!("| {name} | {before} | {after} |\n"));
        }
        table
    }

    /// KL of the relations of all nine pairs before and after, as a Markdown table: a row of it is a pair's row.
    pub fn all_pairs(&self, plan: &Plan) -> String {
        let title = format!("KL in nats, {} → after", before(plan));
        let mut table = format!("| {title} | Q | K | V |\n|---|---|---|---|\n");
        for row in Vector::ALL {
            let cells = Vector::ALL.map(|column| {
                let pair = Pair { row, column };
                let value = |of: &Evaluation| decimals(of.kl(pair));
                let cell = format!("{} → {}", value(&self.before), value(&self.after));
                match plan.pairs.iter().any(|(trained, _)| *trained == pair) {
                    true => format!("**{cell}**"),
                    false => cell,
                }
            });
            table.push_str(&format!("| {row:?} | {} |\n", cells.join(" | ")));
        }
        table
    }

    /// The parts of the loss on the lines of each file, before and after, as a Markdown table: a row of it is a file's. None where
    /// files are not measured by themselves.
    pub fn by_file(&self, plan: &Plan) -> Option<String> {
        if self.after.files.is_empty() {
            return None;
        }
        let parts = plan.parts();
        let names: Vec<String> = parts.iter().map(Part::to_string).collect();
        let mut table = format!(
            "| {} → after | lines | {} |\n|---|---|{}\n",
            before(plan),
            names.join(" | "),
            "---|".repeat(parts.len())
        );
        for FileEvaluation { file, lines, .. } in &self.after.files {
            let cells = parts.iter().map(|part| {
                let value = |of: &Evaluation| decimals(of.of_file(file, *part));
                format!("{} → {}", value(&self.before), value(&self.after))
            });
            let cells: Vec<String> = cells.collect();
            let row = cells.join(" | ");
            table.push_str(&format!("| {} | {lines} | {row} |\n", escape(file)));
        }
        Some(table)
    }
}

/// What the student is called before the first step.
fn before(plan: &Plan) -> &'static str {
    match plan.from_layers {
        Some(_) => "copied student",
        None => "before",
    }
}

fn decimals(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

/// What defines a run, as rows of a table: name and value.
pub fn facts(plan: &Plan) -> Vec<(String, String)> {
    let recipe = &plan.recipe;
    let pairs: Vec<String> = plan
        .pairs
        .iter()
        .map(|(pair, weight)| weighted(*weight, pair.to_string()))
        .collect();
    let Method { objective, .. } = Method::of(recipe.objective);
    let mut data: Vec<String> = recipe
        .corpus
        .iter()
        .map(|path| name(path).to_owned())
        .collect();
    if recipe.corpus_pairs {
        for name in &mut data {
            name.push_str(" (pairs)");
        }
    }
    if let Some(weights) = &recipe.corpus_weights {
        let sum: f64 = weights.iter().sum();
        for (name, weight) in data.iter_mut().zip(weights) {
            name.push_str(&format!(" ({:.1} % of the lines)", 100.0 * weight / sum));
        }
    }
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = teachers(plan);
    facts.extend([
        fact(
            match recipe.has_assistant() {
                true => "Assistant layer",
                false => "Teacher layer",
            },
            format!(
                "{} of {}",
                plan.teacher_layer, plan.teacher.num_hidden_layers
            ),
        ),
        fact("Student", size(&plan.student)),
    ]);
    facts.extend(vocabulary(plan).map(|kept| fact("Vocabulary", kept)));
    facts.extend([
        fact("Start", start(plan)),
        fact("Objective", objective.to_owned()),
        fact("Pairs", pairs.join(", ")),
        fact("Relation heads", relation_heads(plan)),
    ]);
    if recipe.tap == Tap::Rotated {
        facts.push(fact("Queries and keys", Tap::ROTATED.to_owned()));
    }
    facts.extend([
        fact("Output stage", output(plan.output.as_ref())),
        fact("Data", data.join(", ")),
        fact(
            "Steps",
            format!(
                "{} of {}, up to {} tokens",
                recipe.steps,
                counted(sequences(recipe), "sequence"),
                recipe.max_length
            ),
        ),
        fact(
            "Learning rate",
            format!(
                "{} after {} of warm-up",
                recipe.learning_rate,
                counted(plan.warmup, "step")
            ),
        ),
        fact("Seed", recipe.seed.to_string()),
    ]);
    facts.extend(precision(plan).map(|how| fact("Teacher computed", how.to_owned())));
    facts
}

/// How the teacher's linear layers multiply, where it is not in f32 because nothing else is asked for.
pub fn precision(plan: &Plan) -> Option<&'static str> {
    let asked = plan.recipe.compute == Compute::Mixed || plan.mixed.is_some();
    match plan.teacher_kernels().mixed() {
        Some(Mixed::Cooperative) => {
            Some("in mixed precision (f16 factors, f32 sums), on cooperative matrices")
        }
        Some(Mixed::Portable) => {
            Some("in mixed precision (f16 factors, f32 sums), without cooperative matrices")
        }
        None if !asked => None,
        None if !plan.kernels.has(Operation::Mixed) => {
            Some("in f32: mixed precision failed its self-test")
        }
        None => Some("in f32: compute = \"mixed\" has no effect on the CPU"),
    }
}

/// Where an objective comes from.
struct Method {
    /// The objective in words.
    objective: &'static str,
    /// Tag of the model card.
    tag: &'static str,
    /// The paper as a Markdown link, with its authors.
    paper: &'static str,
}

impl Method {
    fn of(objective: Objective) -> Self {
        match objective {
            Objective::MinilmV2 => Self {
                objective: "MiniLMv2 relations",
                tag: "minilmv2",
                paper: "[MiniLMv2](https://arxiv.org/abs/2012.15828) (Wang et al. 2021)",
            },
            Objective::MinilmV1 => Self {
                objective: "MiniLM attention and value relation",
                tag: "minilm",
                paper: "[MiniLM](https://arxiv.org/abs/2002.10957) (Wang et al. 2020)",
            },
        }
    }
}

/// Whom the student learns from: the teacher, or an assistant that has learnt from it.
fn teachers(plan: &Plan) -> Vec<(String, String)> {
    let (teacher, model) = (name(&plan.recipe.teacher), size(&plan.whole_teacher()));
    if !plan.recipe.has_assistant() {
        return vec![("Teacher".to_owned(), format!("{teacher}, {model}"))];
    }
    let steps = counted(plan.recipe.assistant_steps, "step");
    let assistant =
        format!("{model}, distilled from the teacher in {steps}, in the folder {ASSISTANT}");
    vec![
        ("Teacher".to_owned(), teacher.to_owned()),
        ("Assistant".to_owned(), assistant),
    ]
}

/// What the student keeps of the vocabulary, and what that leaves of its size; none if it keeps all.
fn vocabulary(plan: &Plan) -> Option<String> {
    let asked = plan.recipe.student.vocabulary?;
    let rows = plan.student.vocab_size;
    let kept = match &plan.vocabulary {
        Some(Vocabulary { of, kept, share }) => format!(
            "{kept} of {of} tokens, covering {:.2} % of the corpus",
            100.0 * share
        ),
        None if plan.recipe.has_assistant() => {
            return Some("the tokens of the assistant".to_owned());
        }
        None if plan.has_open_vocabulary() => {
            let percent = (1e6 * asked).round() / 1e4;
            return Some(format!("{percent} % of the corpus's tokens"));
        }
        None => format!("{rows} of {} tokens", plan.teacher.vocab_size),
    };
    let table = rows as f64 * plan.student.embedding_width() as f64 / 1e6;
    Some(format!(
        "{kept}; their table has {table:.1} M of the student's parameters"
    ))
}

/// `cosine`, or `2 x cosine` for another weight than 1.
fn weighted(weight: f64, name: String) -> String {
    match weight {
        1.0 => name,
        _ => format!("{weight} x {name}"),
    }
}

/// What the output stage trains by, and from which step on.
fn output(stage: Option<&OutputStage>) -> String {
    let Some(stage) = stage else {
        return "none".into();
    };
    let parts = stage.parts.iter();
    let mut parts: Vec<String> = parts
        .map(|(part, weight)| weighted(*weight, part.to_string()))
        .collect();
    if stage.relations > 0.0 {
        parts.insert(0, weighted(stage.relations, "relations".into()));
    }
    let (parts, pooling) = (parts.join(", "), stage.pooling.words());
    format!("{parts} from step {}, {pooling}", stage.from)
}

/// The sequences of a step: `32`, or `4 x 32` where batches are accumulated.
fn sequences(recipe: &Recipe) -> String {
    match recipe.accumulate {
        1 => recipe.batch.to_string(),
        batches => format!("{batches} x {}", recipe.batch),
    }
}

/// The last part of a path: a published card reveals nothing of the machine. An id of the hub, with its commit, stays whole.
pub fn name(path: &str) -> &str {
    if HubId::pinned(path).is_some() {
        return path;
    }
    let parts = path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']);
    parts.into_iter().next().unwrap_or(path)
}

/// How many relation heads there are; and of a teacher whose heads of queries share keys and values, how pairs of the two meet.
fn relation_heads(plan: &Plan) -> String {
    let (teacher, heads) = (&plan.teacher, plan.relation_heads);
    match teacher.is_grouped() {
        false => heads.to_string(),
        true => format!(
            "{heads}, of the teacher's queries ({} wide) and of its keys and values ({} wide), which {} heads of queries share: in pairs \
             with queries they are repeated for each",
            teacher.query_width(),
            teacher.key_width(),
            teacher.num_attention_heads / teacher.key_heads()
        ),
    }
}

/// A model's size in words: layers x hidden size, heads and parameters.
pub fn size(config: &Config) -> String {
    format!(
        "{} x {}, {}, {:.1} M parameters",
        counted(config.num_hidden_layers, "layer"),
        config.hidden_size,
        counted(config.num_attention_heads, "head"),
        parameter_count(config) as f64 / 1e6
    )
}

/// What the student learns from, for people: `teacher`, or `assistant`.
pub fn taught_by(plan: &Plan) -> &'static str {
    match plan.recipe.has_assistant() {
        true => "assistant",
        false => "teacher",
    }
}

/// What the student's weights were before the first step.
fn start(plan: &Plan) -> String {
    let Some(layers) = &plan.from_layers else {
        return match &plan.recipe.student.init {
            Init::Folder(folder) => format!("the weights of {}", name(folder)),
            _ => "random weights".into(),
        };
    };
    let (teacher, student) = (&plan.teacher, &plan.student);
    let numbers: Vec<String> = layers.iter().map(usize::to_string).collect();
    let layers = if numbers.len() == 1 {
        "layer"
    } else {
        "layers"
    };
    let mut text = format!("{layers} {} of the {}", numbers.join(", "), taught_by(plan));
    for (kept, all, what) in [
        (student.hidden_size, teacher.hidden_size, "columns"),
        (
            student.intermediate_size,
            teacher.intermediate_size,
            "feed-forward units",
        ),
    ] {
        if kept != all {
            text.push_str(&format!(", {kept} of {all} {what}"));
        }
    }
    text
}

/// A text as Markdown shows it: names of folders and files may hold what is markup there, or HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let in_word = before.is_alphanumeric() && chars.peek().is_some_and(|c| c.is_alphanumeric());
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // A new line would end the table.
            c if c.is_control() => escaped.push(' '),
            '_' if in_word => escaped.push('_'),
            c if r"\`*_[]|~$".contains(c) => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
        before = c;
    }
    escaped
}

/// README.md of the folder of a student that was copied from its teacher, and took no step.
pub fn baseline_card(plan: &Plan, vectors: &str) -> String {
    let mut card = String::from(
        "---\nlibrary_name: sentence-transformers\npipeline_tag: feature-extraction\ntags:\n- limbeck\n---\n\n\
         # A copied student, not trained\n\n\
         Copied with limbeck: what a student is before the first step of a distillation. It is here to be held beside the \
         distilled student (`limbeck evaluate`). The licence of the model that it was copied from applies.\n\n| | |\n|---|---|\n",
    );
    let copied = |(name, _): &(String, String)| {
        ["Teacher", "Student", "Vocabulary", "Start"].contains(&name.as_str())
    };
    let vectors = ("Sentence vectors".to_owned(), vectors.to_owned());
    for (name, value) in facts(plan).into_iter().filter(copied).chain([vectors]) {
        card.push_str(&format!("| {name} | {value} |\n"));
    }
    card
}

/// README.md of a student's folder.
pub fn model_card(plan: &Plan, outcome: &Outcome) -> String {
    let Method { tag, paper, .. } = Method::of(plan.recipe.objective);
    let teacher = HubId::pinned(&plan.recipe.teacher);
    let base = teacher.map_or_else(String::new, |id| format!("base_model: {}\n", id.model));
    let mut card = format!(
        "---\n{base}library_name: sentence-transformers\npipeline_tag: feature-extraction\ntags:\n- distillation\n- {tag}\n\
         - limbeck\n---\n\n# A student distilled by its self-attention relations\n\n\
         Distilled with limbeck by the method of {paper}. The licences of the teacher and of the text it was distilled on \
         apply.\n\n| | |\n|---|---|\n",
    );
    for (name, value) in facts(plan).into_iter().chain(outcome.facts()) {
        card.push_str(&format!("| {name} | {} |\n", escape(&value)));
    }
    card.push_str(&format!(
        "\n## How far it is from the {}\n\n{}\nAll nine pairs, those in bold trained:\n\n{}",
        taught_by(plan),
        outcome.table(plan),
        outcome.all_pairs(plan)
    ));
    if let Some(files) = outcome.by_file(plan) {
        card.push_str(&format!("\nThe parts of the loss file by file:\n\n{files}"));
    }
    card.push_str(&format!(
        "\n{}\n\n## Before you use it\n\n{}\n",
        outcome.heldout_note,
        before_use(&plan.recipe)
    ));
    card
}
