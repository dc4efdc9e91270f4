//! What an encoder reads: token ids and lengths, on a device.

use burn::tensor::Device;
use limbeck_kernels::{Ids, Lengths};
use limbeck_recipe::batching::Batch;

use crate::ModelError;

/// Token ids and lengths of a batch, on a device.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    ids: Ids,
    lengths: Lengths,
    types: Option<Ids>,
}

impl TokenBatch {
    /// From ids (B, S) row-major, padded on the right, and the real length of each sequence.
    ///
    /// # Errors
    /// A length that is 0 or beyond S.
    pub fn new(ids: &[u32], lengths: &[usize], device: &Device) -> Result<Self, ModelError> {
        let b = lengths.len().max(1);
        let s = ids.len() / b;
        let lengths = Lengths::new(lengths, s, device)?;
        Ok(Self {
            ids: Ids::new(ids, [b, s]),
            lengths,
            types: None,
        })
    }

    /// From a batch, with its token types if it has some.
    ///
    /// # Errors
    /// See [`TokenBatch::new`].
    pub fn of(batch: &Batch, device: &Device) -> Result<Self, ModelError> {
        let tokens = Self::new(&batch.ids, &batch.lengths, device)?;
        Ok(match batch.types.is_empty() {
            true => tokens,
            false => tokens.with_types(&batch.types),
        })
    }

    /// The same with the token type of each id, (B, S) row-major; without them every token is of type 0.
    #[must_use]
    pub fn with_types(mut self, types: &[u32]) -> Self {
        self.types = Some(Ids::new(types, self.ids.dims()));
        self
    }

    /// The ids, (B, S).
    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The token types, (B, S), for a table of so many rows: one row is that of all tokens.
    pub(crate) fn types(&self, rows: usize) -> Ids {
        let zeros = || Ids::new(vec![0; self.ids.as_slice().len()], self.ids.dims());
        self.types
            .clone()
            .filter(|_| rows > 1)
            .unwrap_or_else(zeros)
    }

    /// The length of each sequence.
    pub fn lengths(&self) -> &Lengths {
        &self.lengths
    }

    /// The highest id.
    pub(crate) fn highest(&self) -> u32 {
        self.ids.highest()
    }

    /// The highest token type.
    pub(crate) fn highest_type(&self) -> u32 {
        self.types.as_ref().map_or(0, Ids::highest)
    }

    /// The position of each token in its sequence, (B, S), counted on from `first`.
    pub(crate) fn positions(&self, first: usize) -> Ids {
        let [b, s] = self.ids.dims();
        let positions = (0..b).flat_map(|_| (first..first + s).map(|position| position as u32));
        Ids::new(positions.collect::<Vec<u32>>(), [b, s])
    }

    /// The same, but the token `uncounted` is not counted and has the position before `first`. None if no text has that token.
    pub(crate) fn positions_without(&self, uncounted: u32, first: usize) -> Option<Ids> {
        let [b, s] = self.ids.dims();
        let host = self.ids.as_slice();
        let mut sequences = host.chunks(s.max(1)).zip(self.lengths.as_slice());
        if !sequences.any(|(ids, length)| ids[..*length].contains(&uncounted)) {
            return None;
        }
        let positions = host.chunks(s).flat_map(|ids| {
            let mut counted = 0;
            ids.iter().map(move |id| {
                let counts = u32::from(*id != uncounted);
                counted += counts;
                counted * counts + first as u32 - 1
            })
        });
        let positions: Vec<u32> = positions.collect();
        Some(Ids::new(positions, [b, s]))
    }
}
