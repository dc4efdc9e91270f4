//! The relation loss, streaming: forward and backward go over the relations of each head without ever holding S x S of
//! them. One operation of every backend, for all pairs of a step at once. Derivation: `shaders/README.md`.

mod shader;
mod streaming;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use limbeck_recipe::{Pair, Vector};

use crate::pair::RawTaps;
use crate::{Dims, Lengths, Taps};

pub use shader::RelationSpec;

/// What one call is about, beside its tensors.
#[derive(Clone, Debug)]
struct Call {
    dims: Dims,
    lengths: Vec<usize>,
    pairs: Vec<Pair>,
}

impl Call {
    /// (P, B, A, S).
    fn rows(&self) -> [usize; 4] {
        let Dims {
            batch,
            heads,
            length,
            ..
        } = self.dims;
        [self.pairs.len(), batch, heads, length]
    }

    /// Whether a projection is in any pair.
    fn uses(&self, vector: Vector) -> bool {
        let has = |pair: &Pair| pair.row == vector || pair.column == vector;
        self.pairs.iter().any(has)
    }
}

/// Statistics of rows are (P, N, B, A, S): KL first, then what the implementation's backward pass wants to know again.
#[backend_extension(Cube, Flex, Autodiff)]
trait RelationOps: Backend {
    fn relation_statistics(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// Gradients of the student's projections, given the statistics and the gradient (P, B, A, S) of each row's KL. One that
    /// no pair uses has no meaning.
    fn relation_gradients(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self>;

    /// KL(teacher row || student row), (P, B, A, S); differentiable in the student.
    fn relation_rows(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        rows_of::<Self>(
            Self::relation_statistics(student, teacher, call.clone()),
            &call,
        )
    }
}

/// The first of the statistics, without their axis.
fn rows_of<B: Backend>(statistics: FloatTensor<B>, call: &Call) -> FloatTensor<B> {
    let [p, b, a, s] = call.rows();
    let ranges = [0..p, 0..1, 0..b, 0..a, 0..s].map(|range| range.into());
    let kl = B::float_slice(statistics, &ranges);
    B::float_reshape(kl, call.rows().into())
}

impl RelationOps for Flex {
    fn relation_statistics(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        streaming::statistics(student, teacher, &call)
    }

    fn relation_gradients(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self> {
        streaming::gradients(student, teacher, &statistics, upstream, &call)
    }
}

impl RelationOps for CubeBackend {
    fn relation_statistics(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        shader::statistics(student, teacher, &call)
    }

    fn relation_gradients(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self> {
        shader::gradients(student, teacher, &statistics, upstream, &call)
    }
}

#[derive(Debug)]
struct RelationBackward;

#[derive(Clone, Debug)]
struct Saved<B: Backend> {
    /// The student's projections.
    nodes: [NodeId; 3],
    teacher: RawTaps<B>,
    statistics: FloatTensor<B>,
    call: Call,
}

impl<B: Backend + RelationOps> Backward<B, 3> for RelationBackward {
    type State = Saved<B>;

    fn backward(
        self,
        ops: Ops<Saved<B>, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let upstream = gradients.consume::<B>(&ops.node);
        let saved = ops.state;
        let [q, k, v] = saved
            .nodes
            .map(|node| checkpointer.retrieve_node_output(node));
        let of = B::relation_gradients(
            RawTaps { q, k, v },
            saved.teacher,
            saved.statistics,
            upstream,
            saved.call.clone(),
        );
        for (vector, parent) in Vector::ALL.into_iter().zip(ops.parents) {
            if let Some(node) = parent {
                gradients.register::<B>(node.id, of.get(vector).clone());
            }
        }
    }
}

impl<B: Backend + RelationOps, C: CheckpointStrategy> RelationOps for Autodiff<B, C> {
    fn relation_statistics(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let student = student.map(|tensor| tensor.into_primitive());
        let teacher = teacher.map(|tensor| tensor.into_primitive());
        Self::from_inner(B::relation_statistics(student, teacher, call))
    }

    fn relation_gradients(
        _: RawTaps<Self>,
        _: RawTaps<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Call,
    ) -> RawTaps<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn relation_rows(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let teacher = teacher.map(|tensor| tensor.into_primitive());
        let student = only_used::<B, C>(student, &call);
        match RelationBackward
            .prepare::<C>([student.q.node(), student.k.node(), student.v.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let nodes = [&student.q, &student.k, &student.v].map(|t| prep.checkpoint(t));
                let student = student.map(|tensor| tensor.into_primitive());
                let statistics = B::relation_statistics(student, teacher.clone(), call.clone());
                let rows = rows_of::<B>(statistics.clone(), &call);
                let saved = Saved {
                    nodes,
                    teacher,
                    statistics,
                    call,
                };
                prep.finish(saved, rows)
            }
            OpsKind::UnTracked(prep) => {
                let student = student.map(|tensor| tensor.into_primitive());
                prep.finish(B::relation_rows(student, teacher, call))
            }
        }
    }
}

/// A projection that no pair uses is no parent of the loss: it has no gradient, which is not a gradient of 0 (it does not
/// decay either), and burn requires one for each parent.
fn only_used<B: Backend, C: CheckpointStrategy>(
    taps: RawTaps<Autodiff<B, C>>,
    call: &Call,
) -> RawTaps<Autodiff<B, C>> {
    let of = |vector, tensor: FloatTensor<Autodiff<B, C>>| {
        if call.uses(vector) {
            tensor
        } else {
            Autodiff::<B, C>::from_inner(tensor.into_primitive())
        }
    };
    RawTaps {
        q: of(Vector::Q, taps.q),
        k: of(Vector::K, taps.k),
        v: of(Vector::V, taps.v),
    }
}

/// KL by row of each pair, (P, B, A, S), by the streaming implementation; differentiable in the student.
pub(crate) fn rows(
    student: &Taps,
    teacher: &Taps,
    pairs: &[Pair],
    lengths: &Lengths,
    dims: Dims,
) -> Tensor<4> {
    let call = Call {
        dims,
        lengths: lengths.as_slice().to_vec(),
        pairs: pairs.to_vec(),
    };
    Tensor::from_dispatch(<Dispatch as RelationOps>::relation_rows(
        student.clone().into(),
        teacher.without_autodiff().into(),
        call,
    ))
}
