//! What an encoder reads: token ids and lengths, on a device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use limbeck_kernels::Lengths;

use crate::ModelError;

/// Token ids and lengths of a batch, on a device.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    ids: Tensor<2, Int>,
    lengths: Lengths,
    highest: u32,
    types: Option<Tensor<2, Int>>,
}

impl TokenBatch {
    /// From ids (B, S) row-major, padded on the right, and the real length of each sequence.
    ///
    /// # Errors
    /// A length that is 0 or beyond S.
    pub fn new(ids: &[u32], lengths: &[usize], device: &Device) -> Result<Self, ModelError> {
        let b = lengths.len().max(1);
        let s = ids.len() / b;
        let device = device.clone().without_autodiff();
        let lengths = Lengths::new(lengths, s, &device)?;
        let data: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let highest = ids.iter().copied().max().unwrap_or(0);
        Ok(Self {
            ids: Tensor::from_data(TensorData::new(data, [b, s]), &device),
            lengths,
            highest,
            types: None,
        })
    }

    /// The same with the token type of each id, (B, S) row-major; without them every token is of type 0.
    #[must_use]
    pub fn with_types(mut self, types: &[u32]) -> Self {
        let data: Vec<i32> = types.iter().map(|id| *id as i32).collect();
        let data = TensorData::new(data, self.ids.dims());
        self.types = Some(Tensor::from_data(data, &self.ids.device()));
        self
    }

    /// The ids, (B, S).
    pub(crate) fn ids(&self) -> Tensor<2, Int> {
        self.ids.clone()
    }

    /// The token types, (B, S), unless all are 0.
    pub(crate) fn types(&self) -> Option<Tensor<2, Int>> {
        self.types.clone()
    }

    /// The length of each sequence.
    pub fn lengths(&self) -> &Lengths {
        &self.lengths
    }

    /// The highest id.
    pub(crate) fn highest(&self) -> u32 {
        self.highest
    }
}
