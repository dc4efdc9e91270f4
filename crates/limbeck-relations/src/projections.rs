//! Queries, keys and values of a sentence, from which every relation follows.

use limbeck_recipe::{Pair, Vector};

use crate::relation::{MapError, map};

/// What one model makes of a sentence of S tokens: queries, keys and values of every layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projections {
    size: usize,
    hidden: usize,
    attention_heads: usize,
    layers: Vec<Vec<f32>>,
}

/// Projections that do not fit their sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "layer {layer} has {found} numbers, which are not queries, keys and values of {size} tokens and {heads} attention heads"
)]
pub struct ProjectionsError {
    /// From 1.
    pub layer: usize,
    /// Numbers that there are.
    pub found: usize,
    /// S.
    pub size: usize,
    /// Attention heads.
    pub heads: usize,
}

impl Projections {
    /// Of layers of (3, S, H) each, row-major, the first layer first.
    ///
    /// # Errors
    /// [`ProjectionsError`] if a layer has not 3 x S x H numbers with one H for all that the attention heads divide.
    pub fn new(
        size: usize,
        attention_heads: usize,
        layers: Vec<Vec<f32>>,
    ) -> Result<Self, ProjectionsError> {
        let hidden = layers.first().map_or(0, Vec::len) / (3 * size.max(1));
        for (i, layer) in layers.iter().enumerate() {
            let fits = size > 0
                && hidden > 0
                && layer.len() == 3 * size * hidden
                && attention_heads > 0
                && hidden.is_multiple_of(attention_heads);
            if !fits {
                return Err(ProjectionsError {
                    layer: i + 1,
                    found: layer.len(),
                    size,
                    heads: attention_heads,
                });
            }
        }
        Ok(Self {
            size,
            hidden,
            attention_heads,
            layers,
        })
    }

    /// S.
    pub fn size(&self) -> usize {
        self.size
    }

    /// H.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The model's own heads.
    pub fn attention_heads(&self) -> usize {
        self.attention_heads
    }

    /// L.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// (3, S, H) of a layer, from 1.
    pub fn layer(&self, layer: usize) -> Option<&[f32]> {
        Some(self.layers.get(layer.checked_sub(1)?)?)
    }

    /// Puts others in the place of a layer, from 1; what does not fit is left out.
    pub fn replace(&mut self, layer: usize, taps: Vec<f32>) {
        let place = layer.checked_sub(1).and_then(|i| self.layers.get_mut(i));
        if let Some(place) = place.filter(|place| place.len() == taps.len()) {
            *place = taps;
        }
    }

    /// The relation of a pair in a layer, from 1, cut into A relation heads: (A, S, S).
    ///
    /// # Errors
    /// [`MapError`] if there is no such layer or A does not divide H.
    pub fn map(&self, layer: usize, pair: Pair, heads: usize) -> Result<Vec<f32>, MapError> {
        let all = self.layer(layer).unwrap_or_default();
        let area = self.size * self.hidden;
        let of = |vector: Vector| {
            let start = vector as usize * area;
            all.get(start..start + area).unwrap_or_default()
        };
        map(of(pair.row), of(pair.column), self.size, heads)
    }
}

/// Rows of numbers in 16 bits each, with a scale a row: how a film stores projections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantised {
    width: usize,
    scales: Vec<f32>,
    values: Vec<i16>,
}

impl Quantised {
    /// Of rows of `width` numbers. What is left over of a row is left out. A row with something in it that is not
    /// a finite number becomes one of NaN: it must be seen.
    pub fn of(values: &[f32], width: usize) -> Self {
        let rows = values.chunks_exact(width.max(1));
        let mut quantised = Self {
            width: width.max(1),
            scales: Vec::with_capacity(rows.len()),
            values: Vec::with_capacity(values.len()),
        };
        for row in rows {
            let most = match row.iter().all(|v| v.is_finite()) {
                true => row.iter().fold(0.0_f32, |most, v| most.max(v.abs())),
                false => f32::NAN,
            };
            let scale = most / f32::from(i16::MAX);
            quantised.scales.push(scale);
            let code = |v: &f32| {
                if scale > 0.0 {
                    (v / scale).round() as i16
                } else {
                    0
                }
            };
            quantised.values.extend(row.iter().map(code));
        }
        quantised
    }

    /// The numbers again, each off by at most half a step of its row.
    pub fn values(&self) -> Vec<f32> {
        let rows = self.values.chunks_exact(self.width).zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |v| f32::from(*v) * scale))
            .collect()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.scales.len() * 4 + self.values.len() * 2
    }

    /// A row after the other, little endian: its scale as f32, then its numbers as i16.
    pub fn to_bytes(&self) -> Vec<u8> {
        let rows = self.values.chunks_exact(self.width).zip(&self.scales);
        rows.flat_map(|(row, scale)| {
            let values = row.iter().flat_map(|v| v.to_le_bytes());
            scale.to_le_bytes().into_iter().chain(values)
        })
        .collect()
    }

    /// Of such bytes, in rows of `width` numbers; none if they are no whole rows.
    pub fn from_bytes(bytes: &[u8], width: usize) -> Option<Self> {
        let row = 4 + 2 * width;
        if width == 0 || !bytes.len().is_multiple_of(row) {
            return None;
        }
        let mut quantised = Self {
            width,
            ..Self::default()
        };
        for row in bytes.chunks_exact(row) {
            let (scale, values) = row.split_first_chunk::<4>()?;
            quantised.scales.push(f32::from_le_bytes(*scale));
            let values = values.as_chunks::<2>().0.iter();
            quantised
                .values
                .extend(values.map(|v| i16::from_le_bytes(*v)));
        }
        Some(quantised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_cut_into_any_relation() {
        let layer: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
        let taps =
            Projections::new(2, 2, vec![layer.clone(), layer.clone()]).expect("3 x 2 x 4 numbers");
        assert_eq!((taps.hidden(), taps.layers(), taps.size()), (4, 2, 2));
        let expected = map(&layer[..8], &layer[16..], 2, 4).expect("4 divides 4");
        let qv = Pair {
            row: Vector::Q,
            column: Vector::V,
        };
        assert_eq!(taps.map(2, qv, 4).expect("Q-V of layer 2"), expected);
        assert!(taps.map(1, Pair::QQ, 3).is_err(), "3 does not divide 4");
        assert!(taps.map(0, Pair::QQ, 1).is_err() && taps.map(3, Pair::QQ, 1).is_err());
    }

    #[test]
    fn taps_that_do_not_fit_are_refused() {
        let error =
            Projections::new(2, 2, vec![vec![0.0; 24], vec![0.0; 12]]).expect_err("12 of 24");
        assert_eq!(
            error.to_string(),
            "layer 2 has 12 numbers, which are not queries, keys and values of 2 tokens and 2 attention heads"
        );
        assert!(Projections::new(0, 1, vec![vec![]]).is_err());
        assert!(
            Projections::new(2, 3, vec![vec![0.0; 24]]).is_err(),
            "3 heads of 4"
        );
    }

    #[test]
    fn a_quantised_row_is_off_by_half_a_step_at_most() {
        let values: Vec<f32> = (0..12)
            .map(|i| (i as f32 * 1.3).cos() * 10f32.powi(i / 4))
            .collect();
        let quantised = Quantised::of(&values, 4);
        let back = quantised.values();
        for (row, (was, is)) in values.chunks(4).zip(back.chunks(4)).enumerate() {
            let most = was.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            for (was, is) in was.iter().zip(is) {
                assert!(
                    (was - is).abs() <= 0.501 * most / 32767.0,
                    "row {row}: {was} {is}"
                );
            }
        }
        assert_eq!(quantised.bytes(), 12 * 2 + 3 * 4);
        let again = Quantised::from_bytes(&quantised.to_bytes(), 4).expect("three rows");
        assert_eq!(again, quantised);
        assert!(Quantised::from_bytes(&quantised.to_bytes()[1..], 4).is_none());
        assert_eq!(Quantised::of(&[0.0, 0.0], 2).values(), [0.0, 0.0]);
        let broken = Quantised::of(&[f32::NAN, 1.0, f32::INFINITY, 2.0, 3.0, 4.0], 2).values();
        assert!(broken[..4].iter().all(|v| v.is_nan()) && broken[5] == 4.0);
    }
}
