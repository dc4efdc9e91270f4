//! How an operation enters the graph of gradients.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

/// The output of `forward`. If an input is tracked, `backward` finds all of them again by the nodes in its state.
pub(crate) fn differentiable<B: Backend, C: CheckpointStrategy, const N: usize>(
    backward: impl Backward<B, N, State = [NodeId; N]>,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: impl FnOnce([FloatTensor<B>; N]) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = inputs.each_ref().map(|input| input.node());
    match backward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let state = inputs.each_ref().map(|input| prep.checkpoint(input));
            let output = forward(inputs.map(|input| input.into_primitive()));
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(forward(inputs.map(|input| input.into_primitive())))
        }
    }
}
