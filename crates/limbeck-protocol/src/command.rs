//! What a page sends to an engine.

use limbeck_recipe::Recipe;
use serde::{Deserialize, Serialize};

/// One request. Those that cannot be done are answered by [`crate::Event::Refused`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "a few messages a second")]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The first message of every connection, and again after one was lost. Answered to this page alone by
    /// [`crate::Event::Hello`] and whatever describes the present state: teacher, texts, the saved run, the run with its
    /// steps after `since_step`, its evaluations, its sentence with the last taps, and its state.
    Hello {
        /// [`crate::VERSION`] of the page.
        version: u32,
        /// The last step that the page has; 0 for none.
        since_step: u64,
    },
    /// Takes a teacher; the blobs are its files. Answered by `Teacher`.
    Teacher {
        /// For people: a folder's name or a hub id. It becomes `recipe.teacher`.
        name: String,
        /// Names of the files, such as `config.json`, in the order of the blobs.
        files: Vec<String>,
    },
    /// Takes texts in place of those at hand; the blobs are their bytes: UTF-8, a document a line, or gzip. Answered by
    /// `Texts`.
    Texts {
        /// Names, in the order of the blobs. They become `recipe.corpus`.
        names: Vec<String>,
    },
    /// Takes a student of an earlier run and its teacher, to read sentences with while there is no run; the blobs are their files.
    /// Nothing answers it. While a run is at hand it changes nothing.
    Student {
        /// The recipe that the student was distilled with.
        recipe: Recipe,
        /// Names of the teacher's files, the first of the blobs; none for the teacher at hand.
        teacher: Vec<String>,
        /// Names of the student's files, the other blobs: its config.json and weights.
        files: Vec<String>,
    },
    /// Starts a run with the teacher and texts at hand, in place of any run before.
    Start {
        /// What to do; its `teacher`, `corpus` and `out` are only names here.
        recipe: Recipe,
    },
    /// Finishes the step, writes a checkpoint and pauses.
    Pause,
    /// Takes one step of a paused run.
    Step,
    /// Continues a paused run.
    Resume,
    /// Finishes the step, writes a checkpoint and ends. The run stays saved, and `Restore` resumes it.
    Stop,
    /// Opens the saved run (teacher, texts, checkpoint and steps), paused.
    Restore,
    /// Deletes the saved run.
    Discard,
    /// Opens an exported checkpoint, paused; the one blob is the file. Its teacher and texts must be loaded already.
    Checkpoint {
        /// Name of the file, for messages.
        name: String,
    },
    /// Asks for files. Answered by `Files`, to this page alone.
    Export {
        /// Which files.
        what: Export,
    },
    /// Asks for what teacher and student make of a sentence, now and from now on; an empty text means the held-out sentence
    /// that the run has chosen. Answered by `Sentence`, `Similarity` and `Taps`, and while training by further ones of the last two
    /// every few steps. Without a run, the models of `Student` read it, and this page alone hears of it.
    Sentence {
        /// The sentence.
        text: String,
    },
    /// Searches held-out lines for a text, with teacher and student. Answered by `Found`, to this page alone; unless the page
    /// searches for another text before that.
    Search {
        /// What is searched for.
        text: String,
    },
    /// Runs the self-test and a short benchmark while no run computes. Answered by `Numbers`.
    Numbers,
}

/// What can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Export {
    /// The student as the files of a Hugging Face folder.
    Student,
    /// The same, and the student as ONNX files of f32, f16 and int8 in its folder `onnx`.
    StudentWithOnnx,
    /// The checkpoint of the run as one file.
    Checkpoint,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn a_student_travels_with_its_recipe_and_the_names_of_both_models() {
        let body = Command::Student {
            recipe: Recipe::default(),
            teacher: Vec::new(),
            files: vec!["config.json".into(), "model.safetensors".into()],
        };
        let message = Message { body, blobs: 2 };
        let text = message.encode().expect("JSON holds it");
        assert!(text.contains(r#""student":{"recipe":"#), "{text}");
        assert_eq!(
            Message::decode(&text).expect("it was just written"),
            message
        );
        let without = text.replace(r#""teacher":[],"#, "");
        assert!(Message::<Command>::decode(&without).is_err(), "{without}");
    }
}
