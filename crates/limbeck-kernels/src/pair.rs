//! Queries, keys and values of a layer, as tensors.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType};
use burn::tensor::Tensor;
use limbeck_recipe::Vector;

/// What self-attention of one layer projects: queries, keys and values, biases included, each (B, S, H). Where heads of queries share keys
/// and values, those are narrower, until they are [`widened`](Taps::widened).
#[derive(Clone, Debug)]
pub struct Taps {
    /// Queries (B, S, H).
    pub q: Tensor<3>,
    /// Keys (B, S, H).
    pub k: Tensor<3>,
    /// Values (B, S, H).
    pub v: Tensor<3>,
}

impl Taps {
    /// One of the three.
    pub fn get(&self, vector: Vector) -> &Tensor<3> {
        match vector {
            Vector::Q => &self.q,
            Vector::K => &self.k,
            Vector::V => &self.v,
        }
    }

    /// Keys and values as wide as queries: each of their heads, `head` wide, is repeated for the heads of queries that share it.
    #[must_use]
    pub fn widened(self, head: usize) -> Self {
        let [b, s, wide] = self.q.dims();
        let widen = |x: Tensor<3>| {
            let width = x.dims()[2];
            if width == wide {
                return x;
            }
            let heads = b * s * width / head;
            let repeated = x
                .reshape([heads, 1, head])
                .expand([heads, wide / width, head]);
            repeated.reshape([b, s, wide])
        };
        Self {
            k: widen(self.k),
            v: widen(self.v),
            ..self
        }
    }

    /// The same values as constants.
    pub(crate) fn without_autodiff(&self) -> Self {
        let constant = |tensor: &Tensor<3>| tensor.clone().without_autodiff();
        Self {
            q: constant(&self.q),
            k: constant(&self.k),
            v: constant(&self.v),
        }
    }
}

/// [`Taps`] as a backend has them.
#[derive(Clone, Debug, ExtensionType)]
pub(crate) struct RawTaps<B: Backend> {
    pub q: FloatTensor<B>,
    pub k: FloatTensor<B>,
    pub v: FloatTensor<B>,
}

impl<B: Backend> RawTaps<B> {
    pub fn get(&self, vector: Vector) -> &FloatTensor<B> {
        match vector {
            Vector::Q => &self.q,
            Vector::K => &self.k,
            Vector::V => &self.v,
        }
    }

    /// Queries, keys and values of one layer.
    pub fn new([q, k, v]: [FloatTensor<B>; 3]) -> Self {
        Self { q, k, v }
    }

    /// In the order of [`Vector::ALL`].
    pub fn into_array(self) -> [FloatTensor<B>; 3] {
        [self.q, self.k, self.v]
    }

    /// The same of another backend, tensor by tensor.
    pub fn map<C: Backend>(self, each: impl FnMut(FloatTensor<B>) -> FloatTensor<C>) -> RawTaps<C> {
        RawTaps::new(self.into_array().map(each))
    }
}

impl From<Taps> for RawTaps<Dispatch> {
    fn from(taps: Taps) -> Self {
        Self {
            q: taps.q.into_dispatch(),
            k: taps.k.into_dispatch(),
            v: taps.v.into_dispatch(),
        }
    }
}
