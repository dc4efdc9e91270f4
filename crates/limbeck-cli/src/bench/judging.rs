//! Whether kernels are right: set beside the CPU's answers, as the self-test of a run does.

use std::cell::RefCell;

use burn::tensor::Device;
use limbeck_kernels::{Check, SelfTestError, self_test};
use limbeck_model::to_host;
use serde::Serialize;

use super::kernels::{Compared, Judge};

/// Relative L2 distance that different roundings explain, as in the self-test.
const ALLOWED: f64 = 1e-4;

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
    pub fn verdict(&self, judge: Judge) -> Verdict {
        if self.device == Device::flex() {
            return Verdict::Reference;
        }
        match judge {
            Judge::SelfTest(check) => {
                let mut seen = self.seen.borrow_mut();
                if let Some((_, verdict)) = seen.iter().find(|seen| seen.0 == check) {
                    return verdict.clone();
                }
                let verdict = self.tested(check);
                seen.push((check, verdict.clone()));
                verdict
            }
            Judge::Compare(of) => self.compared(of),
        }
    }

    fn tested(&self, check: Check) -> Verdict {
        match pollster::block_on(self_test(&self.device, &[check])) {
            Ok(()) => Verdict::Right,
            Err(SelfTestError::Disagrees { what, off_by }) => Verdict::Wrong { what, off_by },
            Err(error @ SelfTestError::Device(_)) => Verdict::Failed {
                reason: error.to_string(),
            },
        }
    }

    fn compared(&self, of: Compared) -> Verdict {
        let (Some(got), Some(expected)) = (of(&self.device), of(&Device::flex())) else {
            let reason = "a gradient is missing".to_owned();
            return Verdict::Failed { reason };
        };
        let pairs = got.into_iter().zip(expected);
        for (number, (got, expected)) in pairs.enumerate() {
            let [got, expected] = match [got, expected].map(|of| pollster::block_on(to_host(of))) {
                [Ok(got), Ok(expected)] => [got, expected],
                [Err(error), _] | [_, Err(error)] => {
                    let reason = error.to_string();
                    return Verdict::Failed { reason };
                }
            };
            let off_by = distance(&got, &expected);
            if off_by > ALLOWED {
                let what = format!("result {} of a small case", number + 1);
                return Verdict::Wrong { what, off_by };
            }
        }
        Verdict::Right
    }
}

/// Relative L2 distance; infinite where a number is not finite.
fn distance(got: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let off: f64 = got.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    let size: f64 = expected.iter().copied().map(square).sum();
    let off_by = (off / size).sqrt();
    match off_by.is_finite() {
        true => off_by,
        false => f64::INFINITY,
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
