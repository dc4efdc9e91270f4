//! The student that a run starts from, as a folder of its own: what is learnt is told from what is copied by comparing with it.

use burn::tensor::Device;
use limbeck_corpus::Corpus;
use limbeck_model::{Encoder, Folder};
use limbeck_recipe::{Init, Mistake, Plan, PlanError, Recipe};

use crate::RunError;
use crate::card::baseline_card;
use crate::start::{self, new_run};
use crate::student::{student_files, student_head, vectors_in_words};
use crate::vocabulary;

/// A student that was copied from its teacher, or from the model in a folder.
pub struct Baseline {
    /// What was asked for, checked.
    pub plan: Plan,
    /// How it makes one vector of a text, in words.
    pub vectors: String,
    /// Its folder: paths and contents, in the order in which they are to be written.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Copies a student as a run of this recipe would, from its teacher or from the model in the folder that the recipe names
/// (`start`), and takes no step. The recipe needs no corpus, unless its student keeps the tokens that `corpus` has most; `told` hears how
/// many bytes of it are counted.
///
/// # Errors
/// The recipe does not fit the models or starts from random weights or an assistant, or a model cannot be used.
pub async fn baseline(
    recipe: &Recipe,
    teacher: Folder,
    start: Option<&Folder>,
    (corpus, told): (Option<Corpus>, &dyn Fn(u64)),
    device: &Device,
) -> Result<Baseline, RunError> {
    let refused = |field, message: &str| {
        let message = message.to_owned();
        Err(PlanError(vec![Mistake { field, message }]).into())
    };
    if recipe.student.init == Init::Random {
        return refused(
            "student.init",
            "a baseline is copied from the teacher, and `random` copies nothing; leave it out, or set it to `teacher`",
        );
    }
    if recipe.has_assistant() {
        return refused(
            "assistant_steps",
            "a baseline is copied from the teacher, and this student starts from an assistant; leave assistant_steps out, or name \
             an assistant that is trained as the teacher",
        );
    }
    if recipe.prunes() && corpus.is_none() {
        return refused(
            "student.vocabulary",
            "the tokens that are kept are counted in the corpus; name the corpus in the recipe, or leave vocabulary out",
        );
    }
    let mut asked = recipe.clone();
    if asked.corpus.is_empty() {
        // Which text a plan reads decides nothing about its first student.
        asked.corpus.push("no text".to_owned());
    }
    let config = start.map(Folder::config).transpose()?;
    let mut plan = Plan::with_start(&asked, &teacher.config()?, config.as_ref())?;
    plan.recipe.corpus.clone_from(&recipe.corpus);
    let of_teacher = teacher.sentence_head()?;
    let head = student_head(&plan, &of_teacher, start)?;
    let vectors = vectors_in_words(&plan, &of_teacher, &head);
    if let Some(start) = start {
        start::require_same_tokens(start, &teacher.tokenizer()?)?;
    }
    let (plan, teacher) = match corpus.filter(|_| plan.recipe.prunes()) {
        Some(corpus) => {
            let kept = vocabulary::count(&plan, &teacher, &corpus, told)?;
            vocabulary::pruned(plan, teacher, &kept)?
        }
        None => (plan, teacher),
    };
    let weights = |start: &Folder| start::weights(&plan, start, device);
    let weights = start.map(weights).transpose()?;
    let encoder = Encoder::from_folder(&teacher, device)?;
    let run = new_run(plan.clone(), &encoder, weights.as_ref()).await?;
    let mut files = student_files(&plan, run.student(), &teacher, &head).await?;
    let card = baseline_card(&plan, &vectors);
    files.push(("README.md".to_owned(), card.into_bytes()));
    Ok(Baseline {
        plan,
        vectors,
        files,
    })
}
