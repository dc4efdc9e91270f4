//! A distillation run as a state machine without a world: a [`Recipe`](limbeck_recipe::Recipe) says what is wanted, a [`Plan`](limbeck_recipe::Plan) is the recipe
//! checked against the teacher, a [`Run`] takes batches and yields [`Event`]s. It opens no file, asks for no time and
//! starts no thread; the fronts (command line, page) bring bytes and clocks.
//!
//! ```text
//! corpus line -> token ids -> Batch -> teacher taps, student taps -> relation loss by pair -> backward -> AdamW -> Event
//! ```
#![warn(missing_docs)]

mod checkpoint;
mod error;
mod optimizer;
mod run;

pub use checkpoint::{Checkpoint, CheckpointHeader};
pub use error::TrainError;
pub use optimizer::AdamW;
pub use run::{Event, Phase, Run, check_kernels};
