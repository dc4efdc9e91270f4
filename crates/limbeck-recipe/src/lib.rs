//! What a user can ask for, and whether it is possible: recipes, encoder configs, pairs, and the plan they result in;
//! and what follows from a seed alone: random numbers and the order of batches. No tensors and no files, so that a page
//! can check a recipe while it is typed.
#![warn(missing_docs)]

pub mod batching;
mod config;
mod error;
mod estimate;
mod families;
mod head;
pub mod layout;
mod pair;
mod plan;
mod recipe;
mod rng;
mod shape;
mod step;

pub use config::{Config, StudentSize, TOKENIZER_FILES, parameter_count};
pub use error::ConfigError;
pub use estimate::Estimate;
pub use head::{FamilyHead, HeadActivation, HeadChoice};
pub use pair::{Pair, Vector, common_relation_heads};
pub use plan::{
    Mistake, Plan, PlanError, learning_rate, usual_ffn, usual_from_layers, usual_relation_heads,
    usual_teacher_layer, usual_warmup,
};
pub use recipe::{
    DeviceChoice, Init, KernelChoice, Objective, Recipe, StudentRecipe, WeightPrecision, as_toml,
};
pub use rng::{Rng, mix};
pub use shape::{Activation, Positions, Shape};
pub use step::{Evaluation, Step};
