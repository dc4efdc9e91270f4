//! A student that starts from the model in a folder: whether that fits the teacher, its weights, and a run that begins with them.

use burn::tensor::Device;
use limbeck_model::{Encoder, Folder, ModelError, Tokenizer};
use limbeck_recipe::{Mistake, Plan, PlanError};
use limbeck_train::{Run, TrainError};

use crate::RunError;

/// Refuses a model with other tokens than the teacher's: its embeddings would stand for other words.
///
/// # Errors
/// The first difference, or a tokenizer that cannot be read.
pub fn require_same_tokens(start: &Folder, teacher: &Tokenizer) -> Result<(), RunError> {
    let own = start.tokenizer()?;
    let Some(difference) = own.difference(teacher)? else {
        return Ok(());
    };
    let message = format!(
        "the tokenizer of the model in {} {difference}, which is the teacher's; name a folder with a model that has the \
         teacher's tokens",
        start.name()
    );
    Err(PlanError(vec![Mistake {
        field: "student.init",
        message,
    }])
    .into())
}

/// The weights that a student of this plan starts from.
///
/// # Errors
/// See [`Encoder::of_config`].
pub fn weights(plan: &Plan, start: &Folder, device: &Device) -> Result<Encoder, ModelError> {
    Encoder::of_config(start, &plan.student, &device.clone().autodiff())
}

/// A run that has not begun, of a student with these weights, or with those that the plan takes from the teacher or draws.
///
/// # Errors
/// The student cannot be built.
pub async fn new_run(
    plan: Plan,
    teacher: &Encoder,
    start: Option<&Encoder>,
) -> Result<Run, TrainError> {
    match start {
        Some(start) => Ok(Run::with_student(plan, teacher.clone(), start.clone())),
        None => Run::new(plan, teacher.clone()).await,
    }
}
