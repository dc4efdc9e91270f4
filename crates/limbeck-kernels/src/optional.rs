//! A tensor that may be missing, as burn's dispatch takes one.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType};

/// A tensor, or none.
#[derive(Clone, Debug, ExtensionType)]
pub(crate) enum Optional<B: Backend> {
    Nothing,
    Is(FloatTensor<B>),
}

impl<B: Backend> From<Option<FloatTensor<B>>> for Optional<B> {
    fn from(tensor: Option<FloatTensor<B>>) -> Self {
        match tensor {
            Some(tensor) => Self::Is(tensor),
            None => Self::Nothing,
        }
    }
}

impl<B: Backend> Optional<B> {
    /// The same as the standard library has it.
    pub fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Nothing => None,
            Self::Is(tensor) => Some(tensor),
        }
    }
}
