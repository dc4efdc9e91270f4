//! How an operation enters the graph of gradients.

use std::fmt::Debug;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

/// The gradients of N inputs, given the inputs, what the forward pass kept, the gradient of the output, and which gradients
/// are wanted. One that is not wanted may be left out if it costs something.
pub(crate) type BackwardPass<B, S, const N: usize> =
    fn([FloatTensor<B>; N], S, FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N];

/// Makes `forward` differentiable: it returns the output, and what `backward` wants to know again beside the inputs. Where no
/// input is tracked, that is dropped at once.
pub(crate) fn differentiable<B, C, S, const N: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: impl FnOnce([FloatTensor<B>; N]) -> (FloatTensor<B>, S),
    backward: BackwardPass<B, S, N>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    S: Clone + Debug + Send + 'static,
{
    let nodes = inputs.each_ref().map(|input| input.node());
    let step = Step(backward).prepare::<C>(nodes).compute_bound();
    match step.stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = inputs.each_ref().map(|input| prep.checkpoint(input));
            let (output, kept) = forward(inputs.map(|input| input.into_primitive()));
            prep.finish((nodes, kept), output)
        }
        OpsKind::UnTracked(prep) => {
            let (output, _) = forward(inputs.map(|input| input.into_primitive()));
            prep.finish(output)
        }
    }
}

/// A backward pass as burn's graph holds it.
#[derive(Debug)]
struct Step<B: Backend, S, const N: usize>(BackwardPass<B, S, N>);

impl<B: Backend, S, const N: usize> Backward<B, N> for Step<B, S, N>
where
    S: Clone + Debug + Send + 'static,
{
    type State = ([NodeId; N], S);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let upstream = gradients.consume::<B>(&ops.node);
        let (nodes, kept) = ops.state;
        let inputs = nodes.map(|node| checkpointer.retrieve_node_output(node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let of_inputs = (self.0)(inputs, kept, upstream, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(of_inputs) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Makes an operation of one input differentiable whose gradient depends on nothing but the gradient of its output: the graph
/// keeps no tensor but those in `kept`.
pub(crate) fn differentiable_linear<B, C, S>(
    input: FloatTensor<Autodiff<B, C>>,
    kept: S,
    forward: fn(FloatTensor<B>, S) -> FloatTensor<B>,
    backward: fn(FloatTensor<B>, S) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    S: Clone + Debug + Send + 'static,
{
    let step = LinearStep(backward).prepare::<C>([input.node()]);
    match step.compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let output = forward(input.into_primitive(), kept.clone());
            prep.finish(kept, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(input.into_primitive(), kept)),
    }
}

/// The same as burn's graph holds it.
#[derive(Debug)]
struct LinearStep<B: Backend, S>(fn(FloatTensor<B>, S) -> FloatTensor<B>);

impl<B: Backend, S> Backward<B, 1> for LinearStep<B, S>
where
    S: Clone + Debug + Send + 'static,
{
    type State = S;

    fn backward(self, ops: Ops<S, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let upstream = gradients.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, (self.0)(upstream, ops.state));
        }
    }
}
