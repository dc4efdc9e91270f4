//! What an engine sends to a page.

use limbeck_recipe::{Evaluation, Init, Part, Recipe, Step};
use serde::{Deserialize, Serialize};

/// What must be known of a fresh student. Without an output stage the loss does not reach the end of its last layer, which
/// keeps the values that it started with (<https://github.com/microsoft/unilm/issues/525>).
pub fn before_use(recipe: &Recipe) -> &'static str {
    if recipe.output.share > 0.0 {
        return "The output stage compared the student's output with that of the model that it learnt from, so every layer was \
                trained. Sentence vectors are pooled as in that model, and compared by their cosine. They can be used as \
                they are; fine-tune the student for a task.";
    }
    match recipe.student.init {
        Init::Teacher => {
            "The loss reads the queries, keys and values of the student's last layer. What comes after them in that layer \
             (attention output, feed-forward, LayerNorms) gets no gradient and is still as it was copied at the start, while \
             everything before it was trained. The student's vectors can be used as they are; fine-tune it for a task."
        }
        Init::Folder(_) => {
            "The loss reads the queries, keys and values of the student's last layer. What comes after them in that layer \
             (attention output, feed-forward, LayerNorms) gets no gradient and is still that of the model that the student started \
             from, while everything before it was trained. The student's vectors can be used as they are only if that model's could: \
             if the end of its last layer was never trained, as in a student of relations alone from random weights, fine-tune this \
             student before you use it."
        }
        Init::Random => {
            "The loss reads the queries, keys and values of the student's last layer. What comes after them in that layer \
             (attention output, feed-forward, LayerNorms) gets no gradient and keeps its random initial values. Fine-tune the \
             student before you use it: as it is, its scores are those of an untrained last block."
        }
    }
}

/// One message of an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "a few messages a second")]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Answer to `Hello`.
    Hello {
        /// [`crate::VERSION`] of the engine.
        version: u32,
        /// Where it runs and on what.
        engine: EngineInfo,
    },
    /// The engine is busy with something other than a step. `Stage::Ready` ends it.
    Stage {
        /// What it is busy with.
        stage: Stage,
        /// Units of work that are done.
        done: u64,
        /// Units of work in all; 0 if unknown.
        total: u64,
    },
    /// The teacher at hand.
    Teacher {
        /// Its name, its config and its size.
        teacher: TeacherInfo,
    },
    /// The texts at hand, in the order of `recipe.corpus`.
    Texts {
        /// One entry per text.
        texts: Vec<TextInfo>,
    },
    /// The run that `Restore` would resume, if there is one.
    Saved {
        /// Its recipe and its progress.
        run: Option<SavedRun>,
    },
    /// A run begins, or continues from a checkpoint.
    Started {
        /// Its recipe, and what follows from it.
        run: RunInfo,
    },
    /// Steps that were taken, oldest first: those of a twentieth of a second, or one that took longer, while training; many
    /// after `Hello` or `Restore`.
    Steps {
        /// Each.
        steps: Vec<Step>,
    },
    /// A step whose loss was not a number: nothing was updated.
    Skipped {
        /// Number of the step, from 1.
        step: u64,
        /// The lines of its batch, for people.
        lines: String,
    },
    /// The student measured on lines that it never saw.
    Evaluated {
        /// The parts of the loss on those lines.
        evaluation: Evaluation,
    },
    /// A sentence and the teacher's projections of it. The blobs are f32, little endian, one for each layer of the teacher:
    /// its queries, keys and values, (3, S, H) row-major; keys and values are narrower where heads of queries share them. A page
    /// computes any relation from them by itself.
    Sentence {
        /// The S tokens, as the vocabulary writes them.
        tokens: Vec<String>,
        /// Of each token, whether the tokenizer puts it around every text, such as `[CLS]`.
        special: Vec<bool>,
        /// Tokens beyond the most that are drawn, which were truncated.
        left_out: u64,
        /// Attention heads of the teacher.
        attention_heads: usize,
        /// Its heads of keys and of values, where they are fewer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_value_heads: Option<usize>,
    },
    /// The student's projections of that sentence now: blobs as in `Sentence`, one for each layer of the student.
    Taps {
        /// Steps that the student had taken; 0 for a fresh one.
        step: u64,
        /// Attention heads of the student.
        attention_heads: usize,
    },
    /// Some sentences side by side: held-out lines, then those of the reader's own. The two blobs are f32, little endian, (N, N)
    /// row-major: the cosines of the teacher's vectors of each two, and of the student's now. Comes before the `Taps` of the
    /// same step.
    Similarity {
        /// Steps that the student had taken; 0 for a fresh one.
        step: u64,
        /// The N sentences, the own ones last.
        texts: Vec<String>,
    },
    /// The run has changed its state.
    State {
        /// The state that it has entered.
        state: RunState,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// The step after which it was written.
        step: u64,
        /// Its size in bytes.
        bytes: u64,
        /// Why it is only in memory, if it is: because the storage is full, say. The run continues, but a reload would lose it.
        only_in_memory: Option<String>,
        /// Bytes of storage in use; 0 if the browser does not say.
        used: u64,
        /// Bytes of storage that this site may use; 0 if the browser does not say.
        quota: u64,
    },
    /// Exported files; the blobs are their contents.
    Files {
        /// A name for all of them, such as `student`.
        name: String,
        /// Paths, `/` separates folders, in the order of the blobs.
        files: Vec<String>,
    },
    /// Answer to `Search`.
    Found {
        /// What both models find.
        found: Found,
    },
    /// Answer to `Numbers`: the device report.
    Numbers {
        /// The lines of the report.
        figures: Vec<Figure>,
    },
    /// The engine is about to end by a failure that it cannot survive: a lost GPU, no memory, a panic. The page starts
    /// another, which finds the saved run.
    Failing {
        /// What happened, and what may help.
        reason: String,
    },
    /// A command cannot be carried out, or the run has failed.
    Refused {
        /// The control of the page that fixes it.
        control: Control,
        /// What was wrong, with the values, and what to do.
        message: String,
    },
}

/// Where an engine runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Whether a worker of the page or a program runs it.
    pub kind: EngineKind,
    /// Version of the software.
    pub software: String,
    /// The GPU that `gpu` would take, if there is any.
    pub adapter: Option<Adapter>,
    /// The CPU in words: `1 core, wasm with SIMD`.
    pub cpu: String,
    /// Where checkpoints are saved, in words: `this browser's storage`, or a folder.
    pub keeps: String,
}

/// Kinds of engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// A worker of the page.
    Worker,
    /// `limbeck serve`.
    Native,
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Its name, as the driver or the browser reports it.
    pub name: String,
    /// Whether it is emulated on the CPU: far slower than the CPU backend, so `auto` does not take it.
    pub software: bool,
    /// Whether shaders can compute in 16 bits.
    pub f16: bool,
    /// Limits that matter to us, by name.
    pub limits: Vec<(String, u64)>,
}

/// What an engine is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing: commands are answered at once.
    Ready,
    /// Reading teacher and texts.
    Reading,
    /// Shaders are compiled and the kernels set beside the CPU's; not counted in the speed of a run.
    Compiling,
    /// Measuring on held-out lines; bytes are lines here.
    Evaluating,
    /// Writing a checkpoint.
    Saving,
    /// Benchmarking.
    Measuring,
    /// Reading the lines that are searched; bytes are lines here.
    Searching,
}

/// A teacher at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherInfo {
    /// Its name: a folder or a hub id.
    pub name: String,
    /// Its config.json, for [`limbeck_recipe::Config::parse`].
    pub config: String,
    /// Bytes of its files.
    pub bytes: u64,
}

/// A text at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextInfo {
    /// Name of the file.
    pub name: String,
    /// Size in bytes, compressed if the text is.
    pub bytes: u64,
    /// Lines that are not blank.
    pub lines: u64,
}

/// A saved run that can be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedRun {
    /// The recipe of the run.
    pub recipe: Recipe,
    /// Steps taken.
    pub step: u64,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Whether all its steps are taken.
    pub finished: bool,
}

/// A run that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The recipe of the run.
    pub recipe: Recipe,
    /// Names of its pairs, such as `Q-Q`.
    pub pairs: Vec<String>,
    /// Every part that its loss has at any step: the pairs, then those of the output stage.
    pub parts: Vec<Part>,
    /// Number of relation heads, A_r.
    pub relation_heads: usize,
    /// Teacher layer, from 1.
    pub teacher_layer: usize,
    /// Name of the device that computes it.
    pub device: String,
    /// Whether that is a GPU.
    pub on_gpu: bool,
    /// Why some of our kernels are not used on this device, if so.
    pub self_test_failure: Option<String>,
    /// Steps that were taken before.
    pub step: u64,
    /// Numbers that the student has.
    pub parameters: u64,
}

/// What a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// There is no run.
    Idle,
    /// Reads, compiles, measures before the first step.
    Preparing,
    /// It is taking steps.
    Running,
    /// It waits between two steps.
    Paused,
    /// It is over; another may start.
    Ended {
        /// Why it ended.
        halt: Halt,
    },
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// All steps are taken.
    Finished,
    /// The user stopped it ([`crate::Command::Stop`]).
    Stopped,
    /// By an error; [`Event::Refused`] says which. What was saved before is still there.
    Failed,
}

/// The part of a page where something is fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The teacher.
    Teacher,
    /// The texts.
    Texts,
    /// A field of the recipe, such as `student.heads`.
    Field(String),
    /// The checkpoint.
    Checkpoint,
    /// The device.
    Device,
    /// Storage.
    Storage,
    /// The sentence of the maps.
    Sentence,
    /// The search.
    Search,
    /// Start, pause and the like: the command does not fit the state.
    Run,
}

/// What teacher and student find for a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Steps that the student had taken; 0 for a fresh one.
    pub step: u64,
    /// What was searched for, or the beginning of a long text.
    pub text: String,
    /// Tokens of the text that were cut off.
    pub left_out: u64,
    /// Lines that were searched.
    pub lines: u64,
    /// Which lines these are: "held-out lines" or "training lines".
    pub kind: String,
    /// The lines that are nearest for the teacher, the nearest first; ten at most.
    pub teacher: Vec<Hit>,
    /// The same for the student.
    pub student: Vec<Hit>,
}

/// A line that a model has found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The line, or the beginning of a long one.
    pub text: String,
    /// The cosine of its vector and that of the text.
    pub cosine: f32,
    /// At which place the other model has it, from 1; none if its vector has no cosine there.
    pub other: Option<u64>,
}

/// One line of the device report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The value with its unit.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::OutputRecipe;

    use super::*;

    #[test]
    fn a_student_of_a_folder_is_promised_no_more_than_that_model_was() {
        let said = |init, share| {
            let mut recipe = Recipe::default();
            recipe.student.init = init;
            recipe.output = OutputRecipe {
                share,
                ..OutputRecipe::default()
            };
            before_use(&recipe)
        };
        let usable = "vectors can be used as they are; fine-tune it for a task";
        assert!(said(Init::Teacher, 0.0).contains(usable));
        let of_folder = said(Init::Folder("former".to_owned()), 0.0);
        assert!(!of_folder.contains(usable), "{of_folder}");
        assert!(of_folder.contains("as they are only if that model's could"));
        // Here every layer was trained, whatever it began as.
        let trained = said(Init::Folder("former".to_owned()), 1.0);
        assert_eq!(trained, said(Init::Random, 1.0));
    }
}
