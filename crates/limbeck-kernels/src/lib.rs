//! The relation loss of MiniLMv2 for burn, on every backend, and the few operations that encoders and their training
//! need beside it because burn has none that is fast enough.
//!
//! Axes: B batch, A relation heads, S padded length, D width of a relation head, H = A * D hidden size.
//! Tensors of queries, keys and values are (B, S, H), as the projections wrote them: relation head `a` of a position is
//! the slice `a * D .. (a + 1) * D` of its row. Going there through the attention heads of the model instead would mix
//! positions with features, the classic bug.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use limbeck_kernels::{Lengths, Taps, relation_loss};
//! use limbeck_recipe::{KernelChoice, Pair};
//!
//! let device = Device::flex();
//! let taps = |h: usize| {
//!     let random = || Tensor::<3>::random([2, 5, h], Distribution::Default, &device);
//!     Taps { q: random(), k: random(), v: random() }
//! };
//! let lengths = Lengths::new(&[5, 3], 5, &device)?;
//! let pairs = [(Pair::QQ, 1.0), (Pair::VV, 0.5)];
//! let loss = relation_loss(KernelChoice::Fused, &taps(12), &taps(24), &pairs, &lengths, 6)?;
//! let total = loss.total; // (1), nats
//! # Ok::<(), limbeck_kernels::ShapeError>(())
//! ```
//!
//! The cargo feature `gpu`, on by default, compiles the implementations for GPUs and burn's wgpu backend.
#![warn(missing_docs)]

mod cpu;
mod dims;
mod dropout;
#[cfg(feature = "gpu")]
mod gpu;
mod graph;
mod ops;
mod optional;
mod pair;
mod self_test;
#[cfg(feature = "gpu")]
#[doc(hidden)]
pub mod testing;

pub use cpu::{erf, exp, keep_freed_memory};
pub use dims::{Dims, Lengths, ShapeError};
pub use dropout::DropoutMask;
pub use ops::adamw::{
    AdamWMoments, AdamWParameter, AdamWScalars, Pack, adamw, adamw_all, pack, update_all,
};
pub use ops::attention::{Attending, attention};
pub use ops::embedding::{Ids, embedding};
pub use ops::feed_forward::{Projection, feed_forward};
pub use ops::gelu::gelu;
pub use ops::layer_norm::layer_norm;
pub use ops::matmul::{linear, matmul, relaxed_simd};
pub use ops::projections::{Projections, projections};
pub use ops::relation::{RelationLoss, relation, relation_loss};
pub use ops::rotary::{Rotation, rotary};
pub use pair::Taps;
pub use self_test::{Check, SelfTestError, Tested, self_test, tested};
