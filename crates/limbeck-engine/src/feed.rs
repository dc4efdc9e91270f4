//! The batches of a plan: the same ones wherever the run computes.

use limbeck_corpus::{CorpusError, Loaded, LoaderSettings};
use limbeck_model::Tokenizer;
use limbeck_recipe::Plan;
use limbeck_recipe::batching::{Batch, DataPosition, Encoded};

use crate::heldout::{PAD_TO, limits};

/// How lines become the batches of a run. A CPU takes any S as it comes, so padding fills no more than the gaps in a batch.
pub fn settings(plan: &Plan, on_gpu: bool) -> LoaderSettings {
    let recipe = &plan.recipe;
    LoaderSettings {
        batch: recipe.batch,
        max_length: recipe.max_length,
        pad_id: plan.teacher.pad_token_id,
        pad_to_multiple: if on_gpu { PAD_TO } else { 1 },
        held_out: recipe.heldout,
        keep_last: false,
        seed: recipe.seed,
        limits: limits(recipe),
    }
}

/// The batches of one step, and where the corpus continues after the last of them; none once `batches` have ended. An
/// error leaves the step untaken, so a run is saved at the end of the step before.
pub fn next_step(
    plan: &Plan,
    batches: impl Iterator<Item = Result<Loaded, CorpusError>>,
) -> Option<Result<(Vec<Batch>, DataPosition), CorpusError>> {
    let accumulate = plan.recipe.accumulate;
    let loaded: Result<Vec<Loaded>, CorpusError> = batches.take(accumulate).collect();
    match loaded {
        Ok(loaded) if loaded.len() < accumulate => None,
        Ok(loaded) => {
            let next = loaded.last()?.next.clone();
            Some(Ok((loaded.into_iter().map(|l| l.batch).collect(), next)))
        }
        Err(error) => Some(Err(error)),
    }
}

/// Turns lines into token ids; `tokenizer` must truncate at the recipe's `max_length`.
pub fn tokenise(
    tokenizer: Tokenizer,
) -> impl Fn(&[&str]) -> Result<Vec<Encoded>, String> + Send + 'static {
    move |lines| {
        let tokens = tokenizer.encode(lines).map_err(|e| e.to_string())?;
        let encoded = tokens.into_iter().map(|tokens| Encoded {
            ids: tokens.ids,
            types: tokens.types,
            truncated: tokens.truncated,
        });
        Ok(encoded.collect())
    }
}
