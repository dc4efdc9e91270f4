//! The tokens that a run keeps of its teacher's: those that its texts have most, counted once. Teacher and student read these alone.
//! A teacher with the rows of these tokens computes of them what it computes with its whole table, and both see a text in the pieces
//! that the student will meet later.

use std::rc::Rc;

use limbeck_corpus::Corpus;
use limbeck_model::{Folder, Keep, Kept, Tokenizer};
use limbeck_recipe::batching::{Position, is_held_out};
use limbeck_recipe::{Mistake, Plan, PlanError, Vocabulary};

use crate::RunError;
use crate::front::Front;
use crate::heldout::{limits, reading};
use crate::inputs::Inputs;

/// The name under which a checkpoint keeps the tokens.
const KEPT: &str = "vocabulary";
/// Lines that are tokenised at once.
const CHUNK: usize = 1024;

/// The plan, the teacher and its tokenizer.
type Taught = (Plan, Rc<Folder>, Tokenizer);

/// The plan and the teacher with the tokens of a run: those of `before`, if it goes on, else counted. They are in `inputs` then, for
/// whoever resumes. A plan that keeps all tokens stays as it is.
///
/// # Errors
/// The texts cannot be read, the tokens cannot do without more, or the checkpoint does not name them.
pub fn of_run(
    (plan, teacher, tokenizer): Taught,
    corpus: &Corpus,
    before: Option<&Inputs>,
    (inputs, front): (&mut Inputs, &impl Front),
) -> Result<Taught, RunError> {
    if !plan.recipe.prunes() {
        return Ok((plan, teacher, tokenizer));
    }
    let kept = match before {
        Some(before) => saved(before)?,
        None => {
            let bytes = corpus.describe()?.iter().map(|file| file.bytes).sum();
            front.counting(bytes, |told| count(&plan, &teacher, corpus, told))?
        }
    };
    let text = serde_json::to_string(&kept).map_err(|e| unknown(&e.to_string()))?;
    inputs.insert(KEPT.to_owned(), text);
    let (plan, teacher) = pruned(plan, Rc::unwrap_or_clone(teacher), &kept)?;
    let tokenizer = reading(&plan.recipe, teacher.tokenizer()?);
    Ok((plan, Rc::new(teacher), tokenizer))
}

fn saved(before: &Inputs) -> Result<Kept, RunError> {
    let text = before.get(KEPT).map_or("", String::as_str);
    serde_json::from_str(text).map_err(|e| unknown(&e.to_string()))
}

fn unknown(reason: &str) -> RunError {
    RunError::Changed(format!(
        "the checkpoint does not say which tokens the run keeps ({reason}). Start a new run"
    ))
}

/// Counts the tokens of the lines that are trained on, as far as a run reads them, and chooses those to keep. What can be refused
/// is refused before; `told` hears how many bytes are done.
///
/// # Errors
/// The texts cannot be read, or the tokens cannot do without more.
pub fn count(
    plan: &Plan,
    teacher: &Folder,
    corpus: &Corpus,
    told: &dyn Fn(u64),
) -> Result<Kept, RunError> {
    let tokenizer = reading(&plan.recipe, teacher.tokenizer()?);
    let asked = plan.recipe.student.vocabulary.unwrap_or(1.0);
    let keep = match asked > 1.0 {
        true => Keep::Tokens(asked as usize),
        false => Keep::Share(asked),
    };
    let config = teacher.config()?;
    let needed: Vec<u32> = config.named_tokens().iter().map(|(_, id)| *id).collect();
    let choose = |counts: &[u64]| {
        tokenizer.keep(counts, keep, &needed).map_err(|e| {
            let message = e.reason().to_owned();
            let field = "student.vocabulary";
            PlanError(vec![Mistake { field, message }])
        })
    };
    let least = choose(&[])?;
    teacher.without_weights().pruned(&least.ids)?;
    let recipe = &plan.recipe;
    let truncating = tokenizer.clone().truncating(recipe.max_length)?;
    let mut counts = vec![0_u64; config.vocab_size];
    let mut done = 0;
    for block in corpus.blocks(Position::default(), limits(recipe)) {
        let lines = block?.lines;
        for lines in lines.chunks(CHUNK) {
            let texts = lines.iter().map(|line| line.text.as_str());
            let texts: Vec<&str> = texts
                .filter(|text| !is_held_out(text, recipe.heldout))
                .collect();
            for id in truncating.encode(&texts)?.into_iter().flat_map(|t| t.ids) {
                if let Some(count) = counts.get_mut(id as usize) {
                    *count += 1;
                }
            }
            done += lines.iter().map(|l| l.text.len() as u64 + 1).sum::<u64>();
            told(done);
        }
    }
    Ok(choose(&counts)?)
}

/// The plan and the teacher with these tokens alone.
///
/// # Errors
/// See [`Folder::pruned`].
pub fn pruned(plan: Plan, teacher: Folder, kept: &Kept) -> Result<(Plan, Folder), RunError> {
    let of = teacher.config()?.vocab_size;
    let teacher = teacher.pruned(&kept.ids)?;
    let share = match kept.counted {
        0 => 0.0,
        counted => kept.covered as f64 / counted as f64,
    };
    let vocabulary = Vocabulary {
        of,
        kept: kept.ids.len(),
        share,
    };
    Ok((plan.pruned(teacher.config()?, vocabulary), teacher))
}
