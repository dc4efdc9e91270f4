//! The student that a run starts from, as a folder of its own: what is learnt is told from what is copied by comparing with it.

use burn::tensor::Device;
use limbeck_model::{Encoder, Folder};
use limbeck_recipe::{Init, Mistake, Plan, PlanError, Recipe};
use limbeck_train::Run;

use crate::RunError;
use crate::card::baseline_card;
use crate::student::{student_files, vectors_in_words};

/// A student that was copied from its teacher.
pub struct Baseline {
    /// What was asked for, checked.
    pub plan: Plan,
    /// How it makes one vector of a text, in words.
    pub vectors: String,
    /// Its folder: paths and contents, in the order in which they are to be written.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Copies a student from its teacher as a run of this recipe would, and takes no step. The recipe needs no corpus.
///
/// # Errors
/// The recipe does not fit the teacher or starts from random weights, or the teacher cannot be used.
pub async fn baseline(
    recipe: &Recipe,
    teacher: &Folder,
    device: &Device,
) -> Result<Baseline, RunError> {
    if recipe.student.init == Init::Random {
        let message = "a baseline is copied from the teacher, and `random` copies nothing; leave it out, or set it to `teacher`";
        return Err(PlanError(vec![Mistake {
            field: "student.init",
            message: message.to_owned(),
        }])
        .into());
    }
    let mut asked = recipe.clone();
    if asked.corpus.is_empty() {
        // Which text a plan reads decides nothing about its first student.
        asked.corpus.push("no text".to_owned());
    }
    let mut plan = Plan::new(&asked, &teacher.config()?)?;
    plan.recipe.corpus.clone_from(&recipe.corpus);
    let vectors = vectors_in_words(&plan, &teacher.sentence_head()?);
    let run = Run::new(plan.clone(), Encoder::from_folder(teacher, device)?).await?;
    let mut files = student_files(&plan, run.student(), teacher).await?;
    let card = baseline_card(&plan, &vectors);
    files.push(("README.md".to_owned(), card.into_bytes()));
    Ok(Baseline {
        plan,
        vectors,
        files,
    })
}
