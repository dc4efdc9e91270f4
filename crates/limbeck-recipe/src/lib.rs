//! What can be asked for, and whether it can be: recipes, encoder configs, pairs, and the plan that comes of them; and what
//! follows from a seed alone: random numbers and the order of batches. No tensors and no files, so that a page can check a
//! recipe while it is typed.
#![warn(missing_docs)]

pub mod batching;
mod config;
mod estimate;
mod families;
pub mod layout;
mod pair;
mod plan;
mod recipe;
mod rng;
mod shape;

pub use config::{Config, ConfigError, StudentSize, TOKENIZER_FILES};
pub use estimate::Estimate;
pub use layout::parameter_count;
pub use pair::{Pair, Vector, common_relation_heads};
pub use plan::{
    Mistake, Plan, PlanError, learning_rate, usual_relation_heads, usual_teacher_layer,
    usual_warmup,
};
pub use recipe::{
    DeviceChoice, KernelChoice, Objective, Recipe, StudentRecipe, WeightPrecision, as_toml,
};
pub use rng::{Rng, mix};
pub use shape::{Activation, Positions, Shape};
