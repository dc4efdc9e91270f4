//! Positions: how an encoder learns the order of its tokens.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Tensor, TensorData};
use limbeck_kernels::{Ids, Rotation, embedding};
use limbeck_recipe::layout::Matrix;
use limbeck_recipe::{Angles, Positions, distance_bucket, distance_slope};

use super::Pass;
use crate::TokenBatch;

impl Pass<'_> {
    /// The table of positions, and those of a batch: consecutive ones, unless a token that is not counted stands among them
    /// (`create_position_ids_from_input_ids` of transformers). None where positions are no table.
    pub(super) fn positions(
        &self,
        at: Option<Matrix>,
        batch: &TokenBatch,
    ) -> Option<(Tensor<2>, Ids)> {
        let at = at?;
        let (first, uncounted) = match self.shape.positions {
            Positions::Learned {
                first, uncounted, ..
            } => (first, uncounted),
            Positions::Rotary { .. } | Positions::Slopes { .. } | Positions::Disentangled(_) => {
                return None;
            }
        };
        let positions = uncounted.and_then(|token| batch.positions_without(token, first));
        let positions = positions.unwrap_or_else(|| batch.positions(first));
        Some((self.parameters.matrix(at), positions))
    }

    /// By which angles a layer turns queries and keys, if it does.
    pub(super) fn rotation(&self, layer: usize) -> Option<Rotation> {
        let features = self.shape.head_width();
        let angles = self.shape.angles(layer)?;
        let longest = self.shape.max_length();
        let length = self.lengths.padded().next_power_of_two().min(longest);
        Some(self.rotations.of(angles, length, features))
    }
}

impl Pass<'_> {
    /// What distances add to the scores of each head, (A, 2S - 1) as attention takes it, if they add anything by
    /// themselves.
    pub(crate) fn distances(&self) -> Option<Tensor<2>> {
        let last = self.lengths.padded() as isize - 1;
        match self.shape.positions {
            Positions::Slopes { .. } => return Some(self.slopes(last)),
            Positions::Disentangled(_) => return None,
            Positions::Learned { .. } | Positions::Rotary { .. } => {}
        }
        let at = self.parameters.layout().distances?;
        let bucket = |distance| distance_bucket(distance, self.shape.distance_buckets) as u32;
        let buckets: Vec<u32> = (-last..=last).map(bucket).collect();
        let table = self.parameters.matrix(at);
        let shape = [1, buckets.len()];
        let ids = Ids::new(buckets, shape);
        let rows = embedding(self.kernels, vec![(table, ids)]);
        Some(rows.squeeze_dim::<2>(0).transpose())
    }

    /// The slope of each head times the distance, up to `last` on either side: (A, 2S - 1).
    fn slopes(&self, last: isize) -> Tensor<2> {
        let heads = self.shape.num_attention_heads;
        let of_head = |head| {
            let slope = distance_slope(head, heads);
            (-last..=last).map(move |distance| (-slope * distance.abs() as f64) as f32)
        };
        let values: Vec<f32> = (0..heads).flat_map(of_head).collect();
        let shape = [heads, values.len() / heads];
        let device = self
            .parameters
            .matrix(self.parameters.layout().embeddings.word)
            .device();
        Tensor::from_data(TensorData::new(values, shape), &device)
    }
}

/// Angles that an encoder has used. Most texts are far shorter than the longest that it has positions for, so tables are made as
/// long as is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotations(Arc<Mutex<Vec<Known>>>);

#[derive(Debug)]
struct Known {
    angles: Angles,
    length: usize,
    rotation: Rotation,
}

impl Rotations {
    fn of(&self, angles: Angles, length: usize, features: usize) -> Rotation {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |known: &&Known| known.angles == angles && known.length >= length;
        if let Some(known) = known.iter().find(fits) {
            return known.rotation.clone();
        }
        known.retain(|known| known.angles != angles);
        let rotation = Rotation::new(angles, length, features);
        known.push(Known {
            angles,
            length,
            rotation: rotation.clone(),
        });
        rotation
    }
}
