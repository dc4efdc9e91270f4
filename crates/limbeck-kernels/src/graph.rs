//! How an operation enters the graph of gradients.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

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
    let forward = |inputs| {
        let (output, kept) = forward(inputs);
        (output, kept, ())
    };
    let (output, ()) = differentiable_beside::<B, C, S, (), N>(inputs, forward, backward);
    output
}

/// [`differentiable`] where `forward` computes something beside the output, which comes out as it is.
pub(crate) fn differentiable_beside<B, C, S, X, const N: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: impl FnOnce([FloatTensor<B>; N]) -> (FloatTensor<B>, S, X),
    backward: BackwardPass<B, S, N>,
) -> (FloatTensor<Autodiff<B, C>>, X)
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
            let (output, kept, beside) = forward(inputs.map(|input| input.into_primitive()));
            (prep.finish((nodes, kept), output), beside)
        }
        OpsKind::UnTracked(prep) => {
            let (output, _, beside) = forward(inputs.map(|input| input.into_primitive()));
            (prep.finish(output), beside)
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

/// As [`BackwardPass`], of M outputs: given the gradient of each. At least one is there; the others have no part in the loss.
pub(crate) type BackwardOfParts<B, S, const N: usize, const M: usize> =
    fn(
        [FloatTensor<B>; N],
        S,
        [Option<FloatTensor<B>>; M],
        [bool; N],
    ) -> [Option<FloatTensor<B>>; N];

/// [`differentiable`] with several outputs, whose gradients reach `backward` together: burn's graph knows one output of an operation,
/// and would add up what a slice of it gives and zeros elsewhere, slice by slice. Here the operation's own node holds no numbers of
/// its own; behind it each output is a node that leaves its gradient in a place that both know.
pub(crate) fn differentiable_parts<B, C, S, const N: usize, const M: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: impl FnOnce([FloatTensor<B>; N]) -> ([FloatTensor<B>; M], S),
    backward: BackwardOfParts<B, S, N, M>,
) -> [FloatTensor<Autodiff<B, C>>; M]
where
    B: Backend,
    C: CheckpointStrategy,
    S: Clone + Debug + Send + 'static,
{
    let gradients = Parts::<B, M>::new();
    let (whole, outputs) =
        differentiable_beside::<B, C, (S, Parts<B, M>, BackwardOfParts<B, S, N, M>), _, N>(
            inputs,
            |inputs| {
                let (parts, kept) = forward(inputs);
                let any = parts[0].clone();
                (any, (kept, gradients.clone(), backward), parts)
            },
            |inputs, (kept, gradients, backward), _, wanted| {
                backward(inputs, kept, gradients.take(), wanted)
            },
        );
    let mut places = 0;
    outputs.map(|output| {
        let place = places;
        places += 1;
        let step = Part::<B, M>(PhantomData)
            .prepare::<C>([whole.node()])
            .compute_bound();
        match step.stateful() {
            OpsKind::Tracked(prep) => prep.finish((gradients.clone(), place), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    })
}

/// The gradients of the outputs of an operation, on their way to it.
#[derive(Clone, Debug)]
struct Parts<B: Backend, const M: usize>(Arc<Mutex<[Option<FloatTensor<B>>; M]>>);

impl<B: Backend, const M: usize> Parts<B, M> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new([const { None }; M])))
    }

    fn take(&self) -> [Option<FloatTensor<B>>; M] {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.each_mut().map(Option::take)
    }

    /// Whether it is the first.
    fn put(&self, place: usize, gradient: FloatTensor<B>) -> bool {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = parts.iter().all(Option::is_none);
        parts[place] = Some(gradient);
        is_first
    }
}

/// One output of an operation that has several, as burn's graph holds it.
#[derive(Debug)]
struct Part<B: Backend, const M: usize>(PhantomData<B>);

impl<B: Backend, const M: usize> Backward<B, 1> for Part<B, M> {
    type State = (Parts<B, M>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (parts, place) = ops.state;
        if let [Some(parent)] = ops.parents {
            // burn asks for a gradient of each node; it adds up those that come after the first.
            if parts.put(place, gradient.clone()) {
                gradients.register::<B>(parent.id, gradient);
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
