//! Self-attention of an encoder: softmax(Q K^T / sqrt(D)) V over the real keys, with dropout of the probabilities where
//! training asks for it. It streams, forward and backward, so that nothing of size S x S is kept.

mod shader;
mod streaming;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, ExtensionType, backend_extension,
};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

pub use shader::AttentionSpec;

use crate::dropout::DropoutMask;
use crate::head::Heads;
use crate::pair::RawTaps;
use crate::relation::MASKED;
use crate::{Lengths, Taps};
use limbeck_recipe::KernelChoice;

/// What one call is about, beside its tensors.
#[derive(Clone, Debug)]
struct Call {
    heads: Heads,
    lengths: Vec<usize>,
    dropout: Option<DropoutMask>,
}

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Debug, ExtensionType)]
struct Attended<B: Backend> {
    /// (B, S, H); rows at and past a length are 0.
    output: FloatTensor<B>,
    /// (2, B, A, S): largest score of each row and log of its sum of exponentials. The CPU finds them again: (1).
    statistics: FloatTensor<B>,
}

#[backend_extension(Cube, Flex, Autodiff)]
trait AttentionOps: Backend {
    /// Queries, keys, values (B, S, H) -> (B, S, H) and statistics.
    fn streaming_attention(#[extension_type] taps: RawTaps<Self>, call: Call) -> Attended<Self>;

    /// Gradients of queries, keys and values, 0 at and past a length, from that of the output.
    fn streaming_attention_backward(
        #[extension_type] taps: RawTaps<Self>,
        #[extension_type] attended: Attended<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self>;
}

#[derive(Debug)]
struct AttentionBackward;

impl<B: Backend + AttentionOps> Backward<B, 3> for AttentionBackward {
    type State = ([NodeId; 3], Attended<B>, Call);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut grads::Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (nodes, attended, call) = ops.state;
        let [q, k, v] = nodes.map(|node| checkpointer.retrieve_node_output(node));
        let taps = RawTaps { q, k, v };
        let RawTaps { q, k, v } = B::streaming_attention_backward(taps, attended, gradient, call);
        for (node, gradient) in ops.parents.into_iter().zip([q, k, v]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Backend + AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn streaming_attention(taps: RawTaps<Self>, call: Call) -> Attended<Self> {
        let parents = [taps.q.node(), taps.k.node(), taps.v.node()];
        let prepared = AttentionBackward.prepare::<C>(parents).compute_bound();
        let (output, statistics) = match prepared.stateful() {
            OpsKind::Tracked(mut prep) => {
                let nodes = [&taps.q, &taps.k, &taps.v].map(|tap| prep.checkpoint(tap));
                let taps = taps.map(|tap| tap.into_primitive());
                let attended = B::streaming_attention(taps, call.clone());
                let (output, statistics) = (attended.output.clone(), attended.statistics.clone());
                (prep.finish((nodes, attended, call), output), statistics)
            }
            OpsKind::UnTracked(prep) => {
                let taps = taps.map(|tap| tap.into_primitive());
                let attended = B::streaming_attention(taps, call);
                (prep.finish(attended.output), attended.statistics)
            }
        };
        Attended {
            output,
            statistics: <Self as AutodiffBackend>::from_inner(statistics),
        }
    }

    fn streaming_attention_backward(
        _: RawTaps<Self>,
        _: Attended<Self>,
        _: FloatTensor<Self>,
        _: Call,
    ) -> RawTaps<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}

/// Self-attention over `heads` attention heads, which divide H: (B, S, H). Padded keys get no attention; rows at and past a
/// length carry no meaning.
pub fn attention(
    kernel: KernelChoice,
    taps: Taps,
    lengths: &Lengths,
    heads: usize,
    dropout: Option<DropoutMask>,
) -> Tensor<3> {
    if kernel == KernelChoice::Naive {
        return composed(taps, lengths, heads, dropout);
    }
    let [_, s, h] = taps.q.dims();
    let d = h / heads;
    let call = Call {
        heads: Heads { s, heads, d },
        lengths: lengths.as_slice().to_vec(),
        dropout,
    };
    let attended = <Dispatch as AttentionOps>::streaming_attention(taps.into(), call);
    Tensor::from_dispatch(attended.output)
}

/// The composition of burn operations: the baseline of the tests, which keeps S x S tensors.
fn composed(
    taps: Taps,
    lengths: &Lengths,
    heads: usize,
    dropout: Option<DropoutMask>,
) -> Tensor<3> {
    let [b, s, h] = taps.q.dims();
    let d = h / heads;
    let split = |x: Tensor<3>| x.reshape([b, s, heads, d]).swap_dims(1, 2);
    let query = split(taps.q.mul_scalar(1.0 / (d as f64).sqrt()));
    let mut scores = query.matmul(split(taps.k).swap_dims(2, 3));
    if !lengths.all_full() {
        scores = scores + lengths.mask(0.0, MASKED).reshape([b, 1, 1, s]);
    }
    let mut probabilities = softmax(scores, 3);
    if let Some(mask) = dropout {
        let factors = mask.tensor([b, heads, s, s], &probabilities.device());
        probabilities = probabilities * factors;
    }
    probabilities
        .matmul(split(taps.v))
        .swap_dims(1, 2)
        .reshape([b, s, h])
}
