//! Rotary positions (Su et al. 2021): features of queries and keys turned, in pairs, by an angle that grows with the position.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};

/// The angles by which the vectors of an attention head are turned at each position. Feature f and feature f + R / 2 of the first
/// R are a pair, which is turned by position * theta^(-2 f / R): `rotate_half` of transformers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rotation(Arc<Table>);

#[derive(Debug)]
struct Table {
    positions: usize,
    features: usize,
    /// (2, R / 2, positions): cosines, then sines. Made in f64, because `sin` of a GPU is imprecise.
    values: Vec<f32>,
    /// The same where it has been used, by device.
    tensors: Mutex<Vec<(Device, Tensor<3>)>>,
}

impl Rotation {
    /// For sequences of at most `positions` tokens, and the first `features` (R) features of each head.
    ///
    /// # Panics
    /// If `features` is odd.
    pub fn new(theta: f64, positions: usize, features: usize) -> Self {
        assert!(features.is_multiple_of(2), "{features} features in pairs");
        let pairs = features / 2;
        let angles = (0..pairs).flat_map(|pair| {
            let frequency = theta.powf(-2.0 * pair as f64 / features as f64);
            (0..positions).map(move |position| position as f64 * frequency)
        });
        let angles: Vec<f64> = angles.collect();
        let cosines = angles.iter().map(|angle| angle.cos() as f32);
        let sines = angles.iter().map(|angle| angle.sin() as f32);
        Self(Arc::new(Table {
            positions,
            features,
            values: cosines.chain(sines).collect(),
            tensors: Mutex::new(Vec::new()),
        }))
    }

    /// R, how many features of a head are turned.
    pub fn features(&self) -> usize {
        self.0.features
    }

    /// Turns the vectors (B, S, H) of `heads` heads.
    ///
    /// # Panics
    /// If S is more than the positions, or a head has fewer features than are turned.
    pub fn rotate(&self, x: Tensor<3>, heads: usize) -> Tensor<3> {
        let [b, s, h] = x.dims();
        self.check(s, h / heads);
        let (d, r) = (h / heads, self.0.features);
        let table = self.on(&x.device()).slice([0..2, 0..r / 2, 0..s]);
        let [cosines, sines] = [0, 1].map(|part| {
            let part = table.clone().slice([part..part + 1]);
            part.swap_dims(1, 2).reshape([1, s, 1, r / 2])
        });
        let x = x.reshape([b, s, heads, d]);
        let features = |range| x.clone().slice([0..b, 0..s, 0..heads, range]);
        let (first, second) = (features(0..r / 2), features(r / 2..r));
        let mut turned = vec![
            first.clone() * cosines.clone() - second.clone() * sines.clone(),
            second * cosines + first * sines,
        ];
        if r < d {
            turned.push(features(r..d));
        }
        Tensor::cat(turned, 3).reshape([b, s, h])
    }

    /// # Panics
    /// If sequences of `s` tokens are too long, or heads of `d` features too narrow.
    pub(crate) fn check(&self, s: usize, d: usize) {
        let (positions, features) = (self.0.positions, self.0.features);
        assert!(s <= positions, "{s} tokens and {positions} positions");
        assert!(features <= d, "{features} of {d} features");
    }

    /// (2, R / 2, positions) on a device.
    fn on(&self, device: &Device) -> Tensor<3> {
        let device = device.clone().without_autodiff();
        let mut tensors = self
            .0
            .tensors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = tensors.iter().find(|(on, _)| *on == device) {
            return table.clone();
        }
        let shape = [2, self.0.features / 2, self.0.positions];
        let table = Tensor::from_data(TensorData::new(self.0.values.clone(), shape), &device);
        tensors.push((device, table.clone()));
        table
    }
}
