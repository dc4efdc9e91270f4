//! Whether kernels are right: set beside the CPU's answers, as the self-test of a run does.

use std::cell::RefCell;

use burn::tensor::Device;
use limbeck_kernels::{Check, SelfTestError, self_test};
use serde::Serialize;

/// What came of judging.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The CPU, which the others are compared with.
    Reference,
    /// As the CPU computes it.
    Right,
    /// Another answer than the CPU's.
    Wrong {
        /// Which result.
        what: String,
        /// Relative L2 distance; null if a number is not finite.
        off_by: f64,
    },
    /// No answer.
    Failed {
        /// What the device said.
        reason: String,
    },
}

/// Judges kernels on a device, each check once.
pub struct Judging {
    device: Device,
    seen: RefCell<Vec<(Check, Verdict)>>,
}

impl Judging {
    /// Of a device.
    pub fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            seen: RefCell::default(),
        }
    }

    /// What is to be said of a kernel.
    pub fn verdict(&self, check: Check) -> Verdict {
        if self.device == Device::flex() {
            return Verdict::Reference;
        }
        let mut seen = self.seen.borrow_mut();
        if let Some((_, verdict)) = seen.iter().find(|seen| seen.0 == check) {
            return verdict.clone();
        }
        let verdict = self.tested(check);
        seen.push((check, verdict.clone()));
        verdict
    }

    fn tested(&self, check: Check) -> Verdict {
        match pollster::block_on(self_test(&self.device, check)) {
            Ok(()) => Verdict::Right,
            Err(SelfTestError::Disagrees { what, off_by }) => Verdict::Wrong { what, off_by },
            Err(error @ SelfTestError::Device(_)) => Verdict::Failed {
                reason: error.to_string(),
            },
        }
    }
}

impl Verdict {
    /// For a table.
    pub fn in_words(&self) -> String {
        match self {
            Self::Reference => "the reference".to_owned(),
            Self::Right => "right".to_owned(),
            Self::Wrong { what, off_by } => format!("WRONG by {off_by:.1e}: {what}"),
            Self::Failed { reason } => format!("FAILED: {reason}"),
        }
    }
}
