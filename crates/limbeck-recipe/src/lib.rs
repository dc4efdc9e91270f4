//! What a user can ask for, and whether it is possible: recipes, encoder configs, pairs, and the plan they result in;
//! and what follows from a seed alone: random numbers and the order of batches. No tensors and no files, so that a page
//! can check a recipe while it is typed.
#![warn(missing_docs)]

pub mod batching;
mod config;
mod counted;
mod documents;
mod error;
mod estimate;
mod families;
mod head;
mod hub;
mod init;
mod json;
mod kernels;
pub mod layout;
mod named;
mod pair;
mod part;
mod plan;
mod recipe;
mod rng;
mod sentence;
mod shape;
mod shards;
mod step;

pub use config::{Config, StudentSize, TOKENIZER_FILES, parameter_count};
pub use counted::counted;
pub use documents::{Documents, PAIR};
pub use error::ConfigError;
pub use estimate::{
    Estimate, beyond_buffer, beyond_memory, encoding_bytes, file_size, memory, tuning_bytes,
    widest_row,
};
pub use head::{FamilyHead, HeadActivation, HeadChoice, Tuned};
pub use hub::{HubChecksum, HubFile, HubId, HubListing, is_commit};
pub use init::Init;
pub use json::{json_in_words, json_line, kind as json_kind, parse_json};
pub use kernels::{Kernels, Mixed, Operation};
pub use named::{NAMED, NamedRecipe, named};
pub use pair::{Pair, Vector, common_relation_heads};
pub use part::Part;
pub use plan::{
    Mistake, OutputStage, Plan, PlanError, Vocabulary, learning_rate, relation_widths, usual_ffn,
    usual_from_layers, usual_relation_heads, usual_teacher_layer, usual_warmup,
};
pub use recipe::{
    ASSISTANT, Compute, DeviceChoice, KernelChoice, Objective, OutputRecipe, Recipe, StudentRecipe,
    Tap, WeightPrecision, as_toml,
};
pub use rng::{Rng, mix};
pub use sentence::{
    Dense, DenseActivation, FileOf, HeadModule, Pooling, PoolingMode, SentenceHead,
};
pub use shape::{
    Activation, Angles, Disentangled, FARTHEST_BUCKET, Local, NormKind, NormPlace, Positions,
    Reach, Shape, distance_bucket, distance_slope,
};
pub use shards::{WEIGHTS_INDEX, shards};
pub use step::{Evaluation, FileEvaluation, Step};
