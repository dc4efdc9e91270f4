//! What an encoder reads: token ids and lengths, on a device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use limbeck_kernels::Lengths;

use crate::ModelError;

/// Token ids and lengths of a batch, on a device.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    ids: Tensor<2, Int>,
    lengths: Lengths,
    /// The ids again, where they can be looked at.
    host: Arc<[u32]>,
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
        Ok(Self {
            ids: Tensor::from_data(TensorData::new(data, [b, s]), &device),
            lengths,
            host: ids.into(),
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
        self.host.iter().copied().max().unwrap_or(0)
    }

    /// The place of each token in its sequence, (B, S), counted from 1; the token `uncounted` is not counted and has 0. None if no
    /// text has that token.
    pub(crate) fn places_without(&self, uncounted: u32) -> Option<Tensor<2, Int>> {
        let [b, s] = self.ids.dims();
        let mut sequences = self.host.chunks(s.max(1)).zip(self.lengths.as_slice());
        if !sequences.any(|(ids, length)| ids[..*length].contains(&uncounted)) {
            return None;
        }
        let places = self.host.chunks(s).flat_map(|ids| {
            let mut counted = 0;
            ids.iter().map(move |id| {
                let counts = i32::from(*id != uncounted);
                counted += counts;
                counted * counts
            })
        });
        let places = TensorData::new(places.collect::<Vec<i32>>(), [b, s]);
        Some(Tensor::from_data(places, &self.ids.device()))
    }
}
