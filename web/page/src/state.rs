//! What the page knows, as signals, and how events of an engine change it.

use std::sync::Arc;

use js_sys::{Float32Array, Uint8Array};
use leptos::prelude::*;
use limbeck_protocol::{
    Control, EngineInfo, Event, Figure, Found, RunInfo, RunState, SavedRun, Stage, TeacherInfo,
    TextInfo,
};
use limbeck_recipe::{Config, Evaluation, Mistake, Plan, Recipe, Step, Vector};
use limbeck_relations::{Projections, ProjectionsError, Similarity, Token};

use crate::live::memo;
use crate::stopwatch::Stopwatch;

/// Runs that stay for comparison, the present one counted.
pub const RUNS: usize = 5;

/// The way to an engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Connection {
    /// The engine is fetched and started: bytes so far, of all (0 if not known).
    Loading(u64, u64),
    /// It answers.
    Open,
    /// It is gone; the page tries again. Why, for people.
    Lost(String),
    /// It cannot be had in this browser. Why, and what to do.
    Impossible(String),
}

/// Something to fix.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The control that fixes it.
    pub control: Control,
    /// What was wrong and what to do.
    pub message: String,
}

/// A sentence, and what the teacher makes of it.
#[derive(Debug, PartialEq)]
pub struct Taught {
    /// The S tokens.
    pub tokens: Vec<Token>,
    /// Tokens that were cut off.
    pub left_out: u64,
    /// The teacher's queries, keys and values.
    pub taps: Projections,
}

/// What the student makes of that sentence at a step.
#[derive(Debug)]
pub struct Learnt {
    /// Steps taken before.
    pub step: u64,
    /// The student's queries, keys and values.
    pub taps: Projections,
    /// The sentences side by side at that step; none in a run that was recorded without them.
    pub similarity: Option<Arc<Similarity>>,
}

/// What stays of a run when another begins: its student on the sentence that was looked at last, to be set beside the next one.
#[derive(Debug)]
pub struct Former {
    /// The S tokens.
    pub tokens: Vec<Token>,
    /// Steps that the student had taken.
    pub step: u64,
    /// A of the run.
    pub relation_heads: usize,
    /// The student's last layer alone.
    pub taps: Projections,
}

/// A run as the page has seen it.
#[derive(Clone, Debug)]
pub struct RunLog {
    /// What it is.
    pub info: RunInfo,
    /// Whether it is the recorded one that plays while the engine loads.
    pub recorded: bool,
    /// How long it has taken; a recorded one takes as long as its steps.
    pub watch: Stopwatch,
    /// Oldest first.
    pub steps: Vec<Step>,
    /// Oldest first.
    pub evaluations: Vec<Evaluation>,
    /// The sentence that is looked at.
    pub from_teacher: Option<Arc<Taught>>,
    /// The student on it, at the last step that the engine sent.
    pub from_student: Option<Arc<Learnt>>,
    /// The sentences side by side, which come before it.
    pub similarity: Option<Arc<Similarity>>,
    /// What was searched for last; none once the engine refuses it.
    pub sought: Option<String>,
    /// What both models found last.
    pub found: Option<Found>,
    /// Of the run before the present one, its student.
    pub former: Option<Arc<Former>>,
}

impl RunLog {
    /// A run of which nothing was seen yet.
    pub fn new(info: RunInfo, recorded: bool) -> Self {
        Self {
            watch: Stopwatch::at(info.step),
            info,
            recorded,
            steps: Vec::new(),
            evaluations: Vec::new(),
            from_teacher: None,
            from_student: None,
            similarity: None,
            sought: None,
            found: None,
            former: None,
        }
    }

    /// Takes in what models make of a sentence; no other events. Says whether the student was seen.
    ///
    /// # Errors
    /// The taps do not fit the sentence.
    pub fn see(&mut self, event: Event, blobs: &[Uint8Array]) -> Result<bool, ProjectionsError> {
        let taps =
            |size, heads| Projections::grouped(size, heads, blobs.iter().map(floats).collect());
        match event {
            Event::Sentence {
                tokens,
                special,
                left_out,
                attention_heads,
                key_value_heads,
            } => {
                let heads = (attention_heads, key_value_heads.unwrap_or(attention_heads));
                let token = |(text, special)| Token { text, special };
                let tokens: Vec<Token> = tokens.into_iter().zip(special).map(token).collect();
                let from_teacher = Taught {
                    taps: taps(tokens.len(), heads)?,
                    tokens,
                    left_out,
                };
                // After a lost connection the same sentence comes again: its film goes on.
                if self.from_teacher.as_deref() != Some(&from_teacher) {
                    self.from_teacher = Some(Arc::new(from_teacher));
                    self.from_student = None;
                }
            }
            Event::Taps {
                step,
                attention_heads,
            } => {
                let from_teacher = self.from_teacher.as_ref();
                let size = from_teacher.map_or(0, |from_teacher| from_teacher.tokens.len());
                self.from_student = Some(Arc::new(Learnt {
                    step,
                    taps: taps(size, (attention_heads, attention_heads))?,
                    similarity: self.similarity.clone(),
                }));
                return Ok(true);
            }
            Event::Similarity { step, texts } => {
                self.similarity = similarity(step, texts, blobs);
            }
            _ => {}
        }
        Ok(false)
    }

    /// What may stay of it.
    pub fn to_former(&self) -> Option<Former> {
        let (from_teacher, now) = (self.from_teacher.as_ref()?, self.from_student.as_ref()?);
        Some(Former {
            tokens: from_teacher.tokens.clone(),
            step: now.step,
            relation_heads: self.info.relation_heads,
            taps: now.taps.alone(now.taps.layers(), &Vector::ALL)?,
        })
    }

    /// The last step that was taken.
    pub fn step(&self) -> u64 {
        self.steps.last().map_or(self.info.step, |step| step.step)
    }
}

/// Where the last checkpoint is; see [`Event::Kept`].
#[derive(Clone, Debug, PartialEq)]
pub struct SavedCheckpoint {
    /// Its step.
    pub step: u64,
    /// Bytes.
    pub bytes: u64,
    /// Why it is in memory only, if it is.
    pub only_in_memory: Option<String>,
    /// Bytes of storage in use.
    pub used: u64,
    /// Bytes of storage that there are.
    pub quota: u64,
}

/// Files that the engine has sent: a name for all, and path and content of each.
pub type Files = (String, Vec<(String, Uint8Array)>);

/// Is called with a run whose student has just been seen.
type Listener = Box<dyn Fn(&RunLog)>;

/// What an engine has sent, and the recipe for it. It is in the context: [`page`]. What a panel shows beside that is the panel's.
#[derive(Clone, Copy)]
pub struct Page {
    /// The way to the engine.
    pub connection: RwSignal<Connection>,
    /// The engine, once it has answered.
    pub engine: RwSignal<Option<EngineInfo>>,
    /// What takes its time: done, of how much.
    pub stage: RwSignal<(Stage, u64, u64)>,
    /// The teacher at hand.
    pub teacher: RwSignal<Option<TeacherInfo>>,
    /// The texts at hand.
    pub texts: RwSignal<Vec<TextInfo>>,
    /// The run that can be taken up.
    pub saved: RwSignal<Option<SavedRun>>,
    /// The recipe as it is edited.
    pub recipe: RwSignal<Recipe>,
    /// Key of the preset that it began from: what "changed" means, and the base of its link.
    pub preset: RwSignal<&'static str>,
    /// The recipe checked against the teacher at hand: a plan or every mistake; none without a teacher.
    pub plan: Memo<Option<Result<Plan, Vec<Mistake>>>>,
    /// What the run does.
    pub state: RwSignal<RunState>,
    /// Whether the run was told to pause and still takes its step.
    pub pausing: RwSignal<bool>,
    /// The last runs, the present one last.
    pub runs: RwSignal<Vec<RunLog>>,
    /// A run has begun or gone on: nothing else changes what a run is, while `runs` change with every step.
    pub begun: Trigger,
    /// Where the last checkpoint is.
    pub checkpoint: RwSignal<Option<SavedCheckpoint>>,
    /// Things to fix, newest last; an entry goes when its control is used with success.
    pub problems: RwSignal<Vec<Problem>>,
    /// The report on numbers.
    pub figures: RwSignal<Vec<Figure>>,
    /// Files that were asked for and not yet handed to the user.
    pub files: RwSignal<Option<Files>, LocalStorage>,
    /// The last thing that a screen reader should say.
    pub announcement: RwSignal<String>,
    /// What is called with every student that arrives.
    listeners: StoredValue<Vec<Listener>, LocalStorage>,
}

/// The page of this context.
pub fn page() -> Page {
    expect_context::<Page>()
}

impl Page {
    /// A page that knows nothing yet, with a recipe to edit and the key of its preset.
    pub fn new(recipe: Recipe, preset: &'static str) -> Self {
        let teacher = RwSignal::new(None::<TeacherInfo>);
        let recipe = RwSignal::new(recipe);
        let plan = memo(move || {
            let teacher = teacher.get()?;
            let config = Config::parse("config.json", teacher.config.as_bytes()).ok()?;
            Some(recipe.with(|recipe| Plan::new(recipe, &config).map_err(|e| e.0)))
        });
        Self {
            connection: RwSignal::new(Connection::Loading(0, 0)),
            engine: RwSignal::new(None),
            stage: RwSignal::new((Stage::Ready, 0, 0)),
            teacher,
            texts: RwSignal::new(Vec::new()),
            saved: RwSignal::new(None),
            recipe,
            preset: RwSignal::new(preset),
            plan,
            state: RwSignal::new(RunState::Idle),
            pausing: RwSignal::new(false),
            runs: RwSignal::new(Vec::new()),
            begun: Trigger::new(),
            checkpoint: RwSignal::new(None),
            problems: RwSignal::new(Vec::new()),
            figures: RwSignal::new(Vec::new()),
            files: RwSignal::new_local(None),
            announcement: RwSignal::new(String::new()),
            listeners: StoredValue::new_local(Vec::new()),
        }
    }

    /// Has `listener` called with the run whenever an engine has sent what the student makes of the sentence.
    pub fn on_step(&self, listener: impl Fn(&RunLog) + 'static) {
        self.listeners
            .update_value(|listeners| listeners.push(Box::new(listener)));
    }

    /// Says something to a screen reader. One reads changes alone, so what was said last is said again with a space at its end: a key at
    /// the edge of a map is heard, too.
    pub fn announce(&self, text: impl Into<String>) {
        let mut text = text.into();
        if self.announcement.with_untracked(|last| *last == text) {
            text.push('\u{a0}');
        }
        self.announcement.set(text);
    }

    /// The mistakes of one field of the recipe, for its control; reactive.
    pub fn mistakes_of(&self, field: &str) -> Vec<String> {
        self.plan.with(|plan| match plan {
            Some(Err(mistakes)) => mistakes
                .iter()
                .filter(|m| m.field == field)
                .map(|m| m.message.clone())
                .collect(),
            _ => Vec::new(),
        })
    }

    /// What is wrong at a control; reactive.
    pub fn problems_of(&self, control: &Control) -> Vec<String> {
        self.problems.with(|problems| {
            let of = problems.iter().filter(|p| p.control == *control);
            of.map(|p| p.message.clone()).collect()
        })
    }

    /// Takes the problems of a control away.
    pub fn solved(&self, control: &Control) {
        self.problems
            .update(|problems| problems.retain(|p| p.control != *control));
    }

    /// Adds a problem, once.
    pub fn problem(&self, control: Control, message: impl Into<String>) {
        let message = message.into();
        self.announce(message.clone());
        self.problems.update(|problems| {
            problems.retain(|p| p.control != control || p.message != message);
            problems.push(Problem { control, message });
        });
    }

    /// The present run (the last of `runs`), if there is one that is not recorded.
    pub fn with_run<T>(&self, read: impl FnOnce(&RunLog) -> T) -> Option<T> {
        self.runs
            .with(|runs| runs.last().filter(|run| !run.recorded).map(read))
    }

    /// The same, not reactive.
    pub fn with_run_untracked<T>(&self, read: impl FnOnce(&RunLog) -> T) -> Option<T> {
        untrack(|| self.with_run(read))
    }

    /// Takes in an event of an engine.
    pub fn apply(&self, event: Event, blobs: Vec<Uint8Array>) {
        match event {
            Event::Hello { engine, .. } => {
                self.engine.set(Some(engine));
                self.connection.set(Connection::Open);
            }
            Event::Stage { stage, done, total } => self.stage.set((stage, done, total)),
            Event::Teacher { teacher } => {
                self.solved(&Control::Teacher);
                self.recipe.update(|r| r.teacher.clone_from(&teacher.name));
                self.teacher.set(Some(teacher));
            }
            Event::Texts { texts } => {
                self.solved(&Control::Texts);
                let names = texts.iter().map(|t| t.name.clone()).collect();
                self.recipe.update(|r| r.corpus = names);
                self.texts.set(texts);
            }
            Event::Saved { run } => self.saved.set(run),
            Event::Started { run } => self.begin(run, false),
            Event::Steps { steps } => self.update_run(|run| take_steps(run, steps)),
            Event::Skipped { step, lines } => self.skipped(step, &lines),
            Event::Evaluated { evaluation } => self.update_run(|run| {
                run.evaluations.retain(|e| e.step != evaluation.step);
                run.evaluations.push(evaluation);
            }),
            event @ (Event::Sentence { .. } | Event::Taps { .. } | Event::Similarity { .. }) => {
                self.see(event, &blobs);
            }
            Event::State { state } => self.turn(state),
            Event::Checkpoint {
                step,
                bytes,
                only_in_memory,
                used,
                quota,
            } => self.checkpoint.set(Some(SavedCheckpoint {
                step,
                bytes,
                only_in_memory,
                used,
                quota,
            })),
            Event::Files { name, files } => {
                let files = files.into_iter().zip(blobs).collect();
                self.files.set(Some((name, files)));
            }
            Event::Found { found } => self.update_run(|run| run.found = Some(found)),
            Event::Numbers { figures } => self.figures.set(figures),
            Event::Failing { reason } => self.connection.set(Connection::Lost(reason)),
            Event::Refused { control, message } => self.refused(control, message),
        }
    }

    fn skipped(&self, step: u64, lines: &str) {
        let message = format!("step {step} was skipped: its loss was not a number, on {lines}");
        self.problem(Control::Run, message);
    }

    /// What a search was refused for is not searched for again.
    fn refused(&self, control: Control, message: String) {
        if control == Control::Search {
            self.update_run(|run| run.sought = None);
        }
        self.problem(control, message);
    }

    /// The run does something else now.
    fn turn(&self, state: RunState) {
        self.pausing.set(false);
        let busy = is_busy(&state);
        self.update_run(|run| run.watch.turn(busy && !run.recorded, now()));
        self.state.set(state);
    }

    /// What models make of a sentence; what does not fit is a problem of the sentence.
    fn see(&self, event: Event, blobs: &[Uint8Array]) {
        let mut wrong = None;
        self.update_run(|run| match run.see(event, blobs) {
            Ok(false) => {}
            Ok(true) => self
                .listeners
                .with_value(|listeners| listeners.iter().for_each(|listen| listen(run))),
            Err(error) => wrong = Some(error.to_string()),
        });
        if let Some(wrong) = wrong {
            self.problem(Control::Sentence, wrong);
        }
    }

    /// Puts a new run at the end of the list; the same run going on keeps its steps.
    pub fn begin(&self, info: RunInfo, recorded: bool) {
        let busy = !recorded && self.state.with_untracked(is_busy);
        self.runs.update(|runs| {
            if !recorded {
                runs.retain(|run| !run.recorded);
            }
            let goes_on = info.step > 0
                && runs
                    .last()
                    .is_some_and(|run| run.info.recipe == info.recipe);
            if goes_on && let Some(run) = runs.last_mut() {
                // By number: skipped steps leave gaps.
                run.steps.retain(|step| step.step <= info.step);
                run.evaluations
                    .retain(|evaluation| evaluation.step <= info.step);
                run.info = info;
                run.watch.turn(busy, now());
                return;
            }
            // Only the last run's sentence is looked at; the student of the one before can be set beside it.
            let last = runs.len().saturating_sub(1);
            for (i, old) in runs.iter_mut().enumerate() {
                old.former = old.to_former().filter(|_| i == last).map(Arc::new);
                (old.from_teacher, old.from_student) = (None, None);
                (old.similarity, old.sought, old.found) = (None, None, None);
            }
            let mut run = RunLog::new(info, recorded);
            run.watch.turn(busy, now());
            runs.push(run);
            if runs.len() > RUNS {
                runs.remove(0);
            }
        });
        self.begun.notify();
    }

    /// Changes the last run.
    pub fn update_run(&self, change: impl FnOnce(&mut RunLog)) {
        self.runs.update(|runs| {
            if let Some(run) = runs.last_mut() {
                change(run);
            }
        });
    }
}

fn is_busy(state: &RunState) -> bool {
    matches!(state, RunState::Running | RunState::Preparing)
}

/// Seconds by the page's clock.
pub fn now() -> f64 {
    if cfg!(target_arch = "wasm32") {
        js_sys::Date::now() / 1000.0
    } else {
        0.0
    }
}

/// Steps may come twice after a lost connection.
fn take_steps(run: &mut RunLog, steps: Vec<Step>) {
    let last = run.steps.last().map_or(0, |step| step.step);
    run.steps
        .extend(steps.into_iter().filter(|s| s.step > last));
}

/// Sentences side by side; none if the numbers are not as many as the sentences say.
fn similarity(step: u64, texts: Vec<String>, blobs: &[Uint8Array]) -> Option<Arc<Similarity>> {
    let [teacher, student] = [0, 1].map(|at| blobs.get(at).map(floats).unwrap_or_default());
    Similarity::new(step, texts, teacher, student).map(Arc::new)
}

fn floats(bytes: &Uint8Array) -> Vec<f32> {
    let (start, count) = (bytes.byte_offset(), bytes.length() / 4);
    Float32Array::new_with_byte_offset_and_length(&bytes.buffer(), start, count).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn a_former_run_is_its_last_layer() {
        let layer = |by: f32| (0..3 * 2 * 4).map(move |i| i as f32 * by).collect();
        let taps = Projections::new(2, 2, vec![layer(1.0), layer(2.0)]).expect("3 x 2 x 4 numbers");
        let token = |text: &str| Token {
            text: text.into(),
            special: false,
        };
        let mut run = examples::run();
        assert!(run.to_former().is_none(), "nothing was seen");
        run.from_teacher = Some(Arc::new(Taught {
            tokens: vec![token("a"), token("b")],
            left_out: 0,
            taps: taps.clone(),
        }));
        run.from_student = Some(Arc::new(Learnt {
            step: 9,
            taps: taps.clone(),
            similarity: None,
        }));
        let former = run.to_former().expect("it was seen");
        assert_eq!((former.step, former.relation_heads), (9, 8));
        assert_eq!((former.tokens.len(), former.taps.only()), (2, Some(2)));
        assert_eq!(former.taps.layer(2), taps.layer(2));
        assert_eq!(former.taps.layer(1), Some([].as_slice()));
    }
}
