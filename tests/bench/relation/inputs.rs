//! One call of the relation loss: its tensors, its answer, its times.

use std::collections::BTreeSet;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use it::read;
use limbeck_kernels::{Lengths, Taps, relation, relation_loss};
use limbeck_oracle::cases::{self, SIGNAL};
use limbeck_oracle::relation::Vector as OracleVector;
use limbeck_oracle::rng::Rng;
use limbeck_recipe::{KernelChoice, Pair, Vector};

/// Sizes of one call; every sequence is full.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// B.
    pub batch: usize,
    /// A.
    pub heads: usize,
    /// S.
    pub length: usize,
    /// Dt.
    pub teacher: usize,
    /// Ds.
    pub student: usize,
}

impl Sizes {
    /// B * A * S.
    pub fn rows(&self) -> usize {
        self.batch * self.heads * self.length
    }
}

pub struct Inputs {
    student: Taps,
    teacher: Taps,
    lengths: Lengths,
    pairs: Vec<(Pair, f64)>,
    heads: usize,
    pub device: Device,
}

/// The loss, and the gradient of each projection that a pair uses.
pub struct Answer {
    pub loss: f32,
    pub gradients: Vec<Vec<f32>>,
}

/// Milliseconds until the loss was read, and from there until a number of each gradient was.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub forward: f64,
    pub backward: f64,
}

impl Times {
    pub fn total(self) -> f64 {
        self.forward + self.backward
    }
}

impl Inputs {
    /// The same values each time; the student's tensors are tracked.
    pub fn new(sizes: Sizes, pairs: &[Pair], device: Device) -> Self {
        let mut rng = Rng::new(1);
        let teacher = drawn(&mut rng, sizes, sizes.teacher, &device);
        let Taps { q, k, v } = drawn(&mut rng, sizes, sizes.student, &device.clone().autodiff());
        let [q, k, v] = [q, k, v].map(Tensor::require_grad);
        Self {
            student: Taps { q, k, v },
            teacher,
            lengths: Lengths::new(&vec![sizes.length; sizes.batch], sizes.length, &device).unwrap(),
            pairs: pairs.iter().map(|pair| (*pair, 1.0)).collect(),
            heads: sizes.heads,
            device,
        }
    }

    fn loss(&self, kernel: KernelChoice) -> Tensor<1> {
        let (student, teacher) = (&self.student, &self.teacher);
        let loss = relation_loss(
            kernel,
            student,
            teacher,
            &self.pairs,
            &self.lengths,
            self.heads,
        );
        loss.unwrap().total
    }

    /// The projections that some pair uses.
    pub fn projections(&self) -> BTreeSet<Vector> {
        let pairs = self.pairs.iter();
        pairs
            .flat_map(|(pair, _)| [pair.row, pair.column])
            .collect()
    }

    pub async fn answer(&self, kernel: KernelChoice) -> Answer {
        let loss = self.loss(kernel);
        let all = loss.backward();
        let mut gradients = Vec::new();
        for vector in self.projections() {
            gradients.push(read(self.student.get(vector).grad(&all).unwrap()).await);
        }
        let loss = read(loss).await[0];
        Answer { loss, gradients }
    }

    /// Forward and backward once. A GPU computes behind our back, so the clock stops at numbers that were read.
    pub async fn timed(&self, kernel: KernelChoice) -> Times {
        let start = Instant::now();
        let loss = self.loss(kernel);
        read(loss.clone()).await;
        let forward = start.elapsed().as_secs_f64() * 1e3;
        let all = loss.backward();
        for vector in self.projections() {
            let gradient = self.student.get(vector).grad(&all).unwrap();
            read(gradient.slice([0..1, 0..1, 0..1])).await;
        }
        let total = start.elapsed().as_secs_f64() * 1e3;
        Times {
            forward,
            backward: total - forward,
        }
    }

    /// Whether rows of the teacher's relations are neither one-hot nor uniform; this holds S x S.
    pub async fn carries_signal(&self) -> bool {
        for (pair, _) in &self.pairs {
            let p = relation(&self.teacher, *pair, &self.lengths, self.heads).unwrap();
            let longest = (self.lengths.padded() as f64).ln();
            let entropy = -(p.clone() * p.add_scalar(1e-30).log()).sum_dim(3).mean();
            if !SIGNAL.contains(&(f64::from(read(entropy).await[0]) / longest)) {
                return false;
            }
        }
        true
    }
}

/// Taps of random numbers with the oracle's spread of scores; `d` is the width of a relation head.
fn drawn(rng: &mut Rng, sizes: Sizes, d: usize, device: &Device) -> Taps {
    let (tokens, h) = (sizes.batch * sizes.length, sizes.heads * d);
    let vectors = cases::drawn_vectors(rng, tokens, sizes.heads, d, 1.0);
    let of = |vector| {
        let values = vectors.get(vector).to_vec();
        Tensor::from_data(
            TensorData::new(values, [sizes.batch, sizes.length, h]),
            device,
        )
    };
    Taps {
        q: of(OracleVector::Q),
        k: of(OracleVector::K),
        v: of(OracleVector::V),
    }
}
