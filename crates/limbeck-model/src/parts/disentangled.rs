//! Disentangled attention, as plain operations: only teachers have it.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use limbeck_kernels::{Ids, Taps, embedding};
use limbeck_recipe::Disentangled;
use limbeck_recipe::layout::{Block, Linear};

use super::Pass;

/// Added to the scores of padded keys: exp of it is 0.
const MASKED: f32 = -1.0e30;

impl Pass<'_> {
    /// The table of distances, normalised where it has a norm, if attention is disentangled.
    pub(crate) fn distance_vectors(&self) -> Option<Tensor<2>> {
        self.shape.disentangled()?;
        let layout = self.parameters.layout();
        let table = self.parameters.matrix(layout.distances?);
        Some(match layout.distances_norm {
            Some(norm) => self.norm(norm, table.unsqueeze(), None).squeeze_dim(0),
            None => table,
        })
    }

    /// What the tokens of each sequence attend to, (B, S, H): softmax((q_i k_j + q_i K_r + k_j Q_r) / sqrt(terms D)) v_j, where r is the
    /// distance i - j, and K and Q are its vectors. As many sequences at once as [`Disentangled::at_once`] says.
    pub(super) fn disentangled(&self, at: &Block, taps: Taps, how: Disentangled) -> Tensor<3> {
        let ([b, s, h], heads) = (taps.q.dims(), self.shape.num_attention_heads);
        let d = h / heads;
        let scale = 1.0 / ((how.terms() * d) as f64).sqrt();
        // Column c of scores with keys of distances is key j of query i at c = S - 1 - i + j; with queries of distances, query i of key j
        // at c = S - 1 - j + i.
        let of_distances = |linear: Option<Linear>, sign| {
            Some(self.of_distances(linear?, how, sign)?.mul_scalar(scale))
        };
        let keys = of_distances(at.attention.distance_key, -1);
        let queries = of_distances(at.attention.distance_query, 1);
        let mask = self.lengths.mask(0.0, MASKED);
        let at_once = how.at_once(heads, s);
        let attended = (0..b).step_by(at_once).map(|from| {
            let range = from..b.min(from + at_once);
            let n = range.len();
            let split = |x: &Tensor<3>| {
                let part = x.clone().slice([range.clone(), 0..s, 0..h]);
                part.reshape([n, s, heads, d]).permute([2, 0, 1, 3])
            };
            let [q, k, v] = [&taps.q, &taps.k, &taps.v].map(split);
            let content = q.clone().mul_scalar(scale);
            let mut scores = content.matmul(k.clone().swap_dims(2, 3));
            if let Some(keys) = &keys {
                scores = scores + by_distance(q, keys.clone());
            }
            if let Some(queries) = &queries {
                scores = scores + by_distance(k, queries.clone()).swap_dims(2, 3);
            }
            let mask = mask.clone().slice([range.clone(), 0..s]);
            let probabilities = softmax(scores + mask.reshape([1, n, 1, s]), 3);
            let attended = probabilities.matmul(v).permute([1, 2, 0, 3]);
            attended.reshape([n, s, h])
        });
        Tensor::cat(attended.collect(), 0)
    }

    /// What a projection makes of the distances `sign` * (c - S + 1), for c from 0 to 2S - 1: (A, D, 2S).
    fn of_distances(&self, linear: Linear, how: Disentangled, sign: isize) -> Option<Tensor<3>> {
        let table = self.distance_vectors.clone()?;
        let s = self.lengths.padded() as isize;
        let rows: Vec<u32> = (1 - s..=s).map(|c| how.row(sign * c) as u32).collect();
        let columns = rows.len();
        let x = embedding(self.kernels, vec![(table, Ids::new(rows, [1, columns]))]);
        let heads = self.shape.num_attention_heads;
        let x = self.linear(linear, x);
        let d = x.dims()[2] / heads;
        Some(x.reshape([columns, heads, d]).permute([1, 2, 0]))
    }
}

/// Scores (A, N, S, S) of vectors (A, N, S, D) with those of distances (A, D, 2S): row i begins in column S - 1 - i, so that side by side
/// rows of 2S - 1 columns, from column S - 1 of the first on, begin where they should.
fn by_distance(x: Tensor<4>, distances: Tensor<3>) -> Tensor<4> {
    let [a, n, s, d] = x.dims();
    let scores = x.reshape([a, n * s, d]).matmul(distances);
    let scores = scores.reshape([a, n, 2 * s * s]);
    let scores = scores.slice([0..a, 0..n, s - 1..s - 1 + s * (2 * s - 1)]);
    scores
        .reshape([a, n, s, 2 * s - 1])
        .slice([0..a, 0..n, 0..s, 0..s])
}
