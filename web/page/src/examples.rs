//! Runs to test with.

use limbeck_protocol::RunInfo;
use limbeck_recipe::{Pair, Part, Recipe, Step};

use crate::state::RunLog;

/// A run of the default recipe on the CPU.
pub fn info() -> RunInfo {
    RunInfo {
        recipe: Recipe::default(),
        pairs: vec!["Q-Q".into()],
        parts: vec![Part::Relation(Pair::QQ)],
        relation_heads: 8,
        teacher_layer: 6,
        device: "CPU".into(),
        on_gpu: false,
        self_test_failure: None,
        step: 0,
        parameters: 10,
    }
}

/// It, before its first step.
pub fn run() -> RunLog {
    RunLog::new(info(), false)
}

/// A step of it.
pub fn step(step: u64, loss: f64, seconds: f64) -> Step {
    Step {
        step,
        loss,
        parts: [(Part::Relation(Pair::QQ), loss / 2.0)].into(),
        learning_rate: 1e-3,
        gradient_norm: 1.0,
        tokens: 100,
        padding: 0,
        seconds,
        memory: 0,
    }
}
