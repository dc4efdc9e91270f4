//! A distillation run as a state machine without a world: a [`Recipe`](limbeck_recipe::Recipe) says what is wanted, a
//! [`Plan`](limbeck_recipe::Plan) is the recipe checked against the teacher, a [`Run`] takes batches and yields
//! [`Event`]s. It opens no file, asks for no time and starts no thread; the fronts (command line, page) bring bytes and
//! clocks.
//!
//! A step is made of verbs. Fronts call [`Run::step`], which composes them:
//!
//! ```text
//! batch -> Lesson -> Reading of teacher and student -> Objective: Loss -> Gradients -> Run::apply -> Event
//! ```
#![warn(missing_docs)]

mod checkpoint;
mod error;
mod gradients;
mod lesson;
mod objective;
mod optimizer;
mod output;
mod run;
mod tuning;

pub use checkpoint::{Checkpoint, CheckpointHeader};
pub use error::TrainError;
pub use gradients::{Gradients, Numbers};
pub use lesson::Lesson;
pub use objective::{Loss, Objective, Reading};
pub use run::{Event, Phase, Run, check_kernels};
pub use tuning::{Targets, Tuned, Tuning, TuningRecipe};
