//! The parameters of an encoder on a device. Everything here follows the one walk over them, [`Layout`].

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use limbeck_recipe::layout::{Kind, Layout, Matrix, Vector};
use limbeck_recipe::{Config, Rng};

use crate::weights::Named;
use crate::{ModelError, to_host};

/// Standard deviation of initial weights, as BERT and the students of MiniLM have it (method: N(0, 0.02)).
pub(crate) const INITIAL_STD: f64 = 0.02;

/// Keeps the random numbers of initial weights apart from the others of a seed.
const INITIAL: u64 = 0x1417;

/// A parameter in place.
pub enum ParameterMut<'a> {
    /// A table (rows, width), or the weights of a linear layer (in, out).
    Matrix(&'a mut Tensor<2>),
    /// A vector.
    Vector(&'a mut Tensor<1>),
}

/// All tensors of an encoder, in the order of its layout.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    layout: Arc<Layout>,
    matrices: Vec<Tensor<2>>,
    vectors: Vec<Tensor<1>>,
}

impl Parameters {
    /// From values in the layout of files: (name, kind, shape) -> values.
    pub fn from_values(
        config: &Config,
        device: &Device,
        mut provide: impl FnMut(&str, Kind, &[usize]) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Self, ModelError> {
        let layout = config.layout();
        let (mut matrices, mut vectors) = (Vec::new(), Vec::new());
        for parameter in &layout.parameters {
            let mut shape = parameter.shape.clone();
            let mut values = provide(&parameter.name, parameter.kind, &shape)?;
            if parameter.kind == Kind::Linear {
                values = transposed(&values, shape[0], shape[1]);
                shape.reverse();
            }
            let data = TensorData::new(values, shape);
            match parameter.kind {
                Kind::Embedding | Kind::Linear => {
                    matrices.push(Tensor::from_data(data, device));
                }
                Kind::Bias | Kind::NormWeight | Kind::NormBias => {
                    vectors.push(Tensor::from_data(data, device));
                }
            }
        }
        Ok(Self {
            layout: Arc::new(layout),
            matrices,
            vectors,
        })
    }

    /// Matrices and tables from N(0, 0.02), LayerNorms 1 and 0, biases 0.
    pub fn random(config: &Config, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let mut rng = Rng::keyed(&[seed, INITIAL]);
        Self::from_values(config, device, |_, kind, shape| {
            let count = shape.iter().product();
            Ok(match kind {
                Kind::Embedding | Kind::Linear => (0..count)
                    .map(|_| (INITIAL_STD * rng.normal()) as f32)
                    .collect(),
                Kind::NormWeight => vec![1.0; count],
                Kind::Bias | Kind::NormBias => vec![0.0; count],
            })
        })
    }

    /// Which parameter belongs where.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The table (rows, width) or weights (in, out) of this place.
    pub fn matrix(&self, at: Matrix) -> Tensor<2> {
        self.matrices[at.0].clone()
    }

    /// The vector of this place.
    pub fn vector(&self, at: Vector) -> Tensor<1> {
        self.vectors[at.0].clone()
    }

    /// Every parameter in place.
    pub fn list_mut(&mut self) -> Vec<(String, Kind, ParameterMut<'_>)> {
        let mut matrices = self.matrices.iter_mut();
        let mut vectors = self.vectors.iter_mut();
        let list = self.layout.parameters.iter().filter_map(|parameter| {
            let tensor = match parameter.kind {
                Kind::Embedding | Kind::Linear => ParameterMut::Matrix(matrices.next()?),
                Kind::Bias | Kind::NormWeight | Kind::NormBias => {
                    ParameterMut::Vector(vectors.next()?)
                }
            };
            Some((parameter.name.clone(), parameter.kind, tensor))
        });
        list.collect()
    }

    /// Name, shape and values of every parameter, as files have them.
    pub async fn values(&self) -> Result<Vec<Named>, ModelError> {
        let mut named = Vec::new();
        for (name, kind, tensor) in self.clone().list_mut() {
            let (mut shape, mut values) = match tensor {
                ParameterMut::Matrix(tensor) => {
                    let tensor = tensor.clone().without_autodiff();
                    (tensor.dims().to_vec(), to_host(tensor).await?)
                }
                ParameterMut::Vector(tensor) => {
                    let tensor = tensor.clone().without_autodiff();
                    (tensor.dims().to_vec(), to_host(tensor).await?)
                }
            };
            if kind == Kind::Linear {
                values = transposed(&values, shape[0], shape[1]);
                shape.reverse();
            }
            named.push(Named {
                name,
                shape,
                values,
            });
        }
        Ok(named)
    }
}

/// (rows, columns) row-major -> (columns, rows) row-major.
pub(crate) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}
