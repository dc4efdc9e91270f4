//! Queries, keys and values of a sentence, from which every relation follows.

use std::borrow::Cow;
use std::ops::Range;

use limbeck_recipe::{Pair, Shape, Vector};

use crate::relation::{MapError, map};

/// What one model makes of a sentence of S tokens: queries, keys and values of every layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projections {
    size: usize,
    hidden: usize,
    attention_heads: usize,
    key_heads: usize,
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
        Self::grouped(size, (attention_heads, attention_heads), layers)
    }

    /// Of what a model of this shape makes of S tokens in some of its layers: see [`grouped`](Self::grouped).
    ///
    /// # Errors
    /// [`ProjectionsError`] if a layer has another number of numbers.
    pub fn of(shape: &Shape, size: usize, layers: Vec<Vec<f32>>) -> Result<Self, ProjectionsError> {
        let heads = (shape.num_attention_heads, shape.key_heads());
        Self::grouped(size, heads, layers)
    }

    /// Of layers of queries (S, H), keys and values each, row-major, with so many heads of queries, and so many of keys and of values,
    /// all of one width: where the latter are fewer, keys and values are narrower than H.
    ///
    /// # Errors
    /// [`ProjectionsError`] if a layer has another number of numbers, or the heads do not share them evenly.
    pub fn grouped(
        size: usize,
        (attention_heads, key_heads): (usize, usize),
        layers: Vec<Vec<f32>>,
    ) -> Result<Self, ProjectionsError> {
        let all_heads = attention_heads + 2 * key_heads;
        let width = layers.first().map_or(0, Vec::len) / (all_heads * size).max(1);
        let hidden = attention_heads * width;
        for (i, layer) in layers.iter().enumerate() {
            let fits = size > 0
                && width > 0
                && layer.len() == all_heads * width * size
                && key_heads > 0
                && attention_heads.is_multiple_of(key_heads);
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
            key_heads,
            layers,
        })
    }

    /// S.
    pub fn size(&self) -> usize {
        self.size
    }

    /// H, the width of queries.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Width of keys, and of values, which divides H.
    pub fn keys(&self) -> usize {
        self.key_heads * self.head()
    }

    /// Width of the vectors that a pair compares: of the wider of its two.
    pub fn width(&self, pair: Pair) -> usize {
        let widths = [pair.row, pair.column].map(|vector| self.width_of(vector));
        widths[0].max(widths[1])
    }

    fn width_of(&self, vector: Vector) -> usize {
        match vector {
            Vector::Q => self.hidden,
            Vector::K | Vector::V => self.keys(),
        }
    }

    /// Width of an attention head.
    fn head(&self) -> usize {
        self.hidden / self.attention_heads.max(1)
    }

    /// The model's own heads.
    pub fn attention_heads(&self) -> usize {
        self.attention_heads
    }

    /// L.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Queries, keys and values of a layer, from 1, one behind the other.
    pub fn layer(&self, layer: usize) -> Option<&[f32]> {
        Some(self.layers.get(layer.checked_sub(1)?)?)
    }

    /// (S, W) of a vector in a layer, from 1; empty if there is no such layer.
    pub(crate) fn vector(&self, layer: usize, vector: Vector) -> &[f32] {
        let all = self.layer(layer).unwrap_or_default();
        all.get(self.area(vector)).unwrap_or_default()
    }

    /// Where a vector stands in the numbers of a layer.
    fn area(&self, vector: Vector) -> Range<usize> {
        let before = Vector::ALL.into_iter().take(vector as usize);
        let before: usize = before.map(|vector| self.width_of(vector)).sum();
        self.size * before..self.size * (before + self.width_of(vector))
    }

    /// The same with one layer, from 1, and some of its vectors; there are no numbers for the others. None without such a layer.
    pub fn alone(&self, layer: usize, vectors: &[Vector]) -> Option<Self> {
        let mut values = self.layer(layer)?.to_vec();
        for vector in Vector::ALL {
            if !vectors.contains(&vector) {
                values[self.area(vector)].fill(f32::NAN);
            }
        }
        let heads = (self.attention_heads, self.key_heads);
        Self::of_layer(self.size, heads, (layer, self.layers()), values)
    }

    /// Of S, the heads of queries and of keys, and of the one layer, of L, that there are numbers for, as in
    /// [`grouped`](Self::grouped). None if they do not fit.
    pub(crate) fn of_layer(
        size: usize,
        heads: (usize, usize),
        (layer, layers): (usize, usize),
        values: Vec<f32>,
    ) -> Option<Self> {
        let mut one = Self::grouped(size, heads, vec![values]).ok()?;
        let mut all = vec![Vec::new(); layers];
        *all.get_mut(layer.checked_sub(1)?)? = one.layers.pop()?;
        one.layers = all;
        Some(one)
    }

    /// The one layer, from 1, that there are numbers for, if it is only one.
    pub fn only(&self) -> Option<usize> {
        let mut held = (1..=self.layers()).filter(|layer| !self.layers[layer - 1].is_empty());
        let first = held.next()?;
        held.next().is_none().then_some(first)
    }

    /// Whether there are numbers for a vector in a layer, from 1.
    pub fn holds(&self, layer: usize, vector: Vector) -> bool {
        let first = self.vector(layer, vector).first();
        first.is_some_and(|first| !first.is_nan())
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
    /// [`MapError`] if there is no such layer, or A does not divide the [`width`](Self::width) of what the pair compares.
    pub fn map(&self, layer: usize, pair: Pair, heads: usize) -> Result<Vec<f32>, MapError> {
        let [row, column] = self.compared(layer, pair);
        map(&row, &column, self.size, heads)
    }

    /// The two vectors that a pair compares in a layer, from 1, (S, W) each: of grouped queries and narrower keys or values, the heads
    /// of the latter repeated for each that attends with them. Empty if there is no such layer.
    pub fn compared(&self, layer: usize, pair: Pair) -> [Cow<'_, [f32]>; 2] {
        let wide = self.width(pair);
        [pair.row, pair.column].map(|vector| {
            let widths = (self.width_of(vector), wide);
            widened(self.vector(layer, vector), widths, self.head())
        })
    }
}

/// Rows of keys or values, each with its heads repeated, so that they are as wide as queries that share them: each head of `head`
/// numbers stands as many times one after the other as heads of queries attend with it.
fn widened(values: &[f32], (width, wide): (usize, usize), head: usize) -> Cow<'_, [f32]> {
    if width == wide || head == 0 {
        return Cow::Borrowed(values);
    }
    let repeat = |head: &[f32]| head.repeat(wide / width);
    Cow::Owned(values.chunks(head).flat_map(repeat).collect())
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

    /// Two tokens; two heads of queries of two numbers each share one of keys and of values.
    #[test]
    fn grouped_queries_meet_their_keys_again() {
        let layer: Vec<f32> = (0..16).map(|i| (i as f32 * 0.7).sin()).collect();
        let taps = Projections::grouped(2, (2, 1), vec![layer.clone()]).expect("8 + 4 + 4 numbers");
        assert_eq!((taps.hidden(), taps.keys()), (4, 2));
        assert_eq!((taps.width(Pair::QK), taps.width(Pair::KK)), (4, 2));
        let (queries, keys, values) = (&layer[..8], &layer[8..12], &layer[12..]);
        let twice = [&keys[..2], &keys[..2], &keys[2..], &keys[2..]].concat();
        let attention = map(queries, &twice, 2, 2).expect("two heads");
        assert_eq!(taps.map(1, Pair::QK, 2).expect("Q-K"), attention);
        // What is as narrow is compared as it is.
        let expected = map(values, values, 2, 2).expect("two heads of one number");
        assert_eq!(taps.map(1, Pair::VV, 2).expect("V-V"), expected);
        assert!(taps.map(1, Pair::KK, 4).is_err(), "4 does not divide 2");
        assert!(Projections::grouped(2, (3, 2), vec![vec![0.0; 28]]).is_err());
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
