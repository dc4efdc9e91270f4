//! The relation loss on the CPU, streaming: forward and backward go through the rows of each relation head in blocks, and
//! keep per row only the two sums of exponentials. Derivation: `shaders/README.md`.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use crate::cpu;
use crate::head::{self, Heads, ROWS, Turned};
use crate::{Dims, Lengths, Side};

/// What one call is about, beside its tensors.
#[derive(Clone, Debug)]
struct Call {
    dims: Dims,
    lengths: Vec<usize>,
    /// Rows and columns are the same vectors.
    same: bool,
}

impl Call {
    fn new(student: &Side, lengths: &Lengths, dims: Dims) -> Self {
        let lengths = lengths.as_slice().to_vec();
        Self {
            dims,
            lengths,
            same: student.is_same(),
        }
    }

    fn length(&self, task: usize) -> usize {
        self.lengths[task / self.dims.heads]
    }

    /// One relation head of one sequence, of the student and of the teacher.
    fn relations(&self, vectors: &Vectors, task: usize) -> (Relation, Relation) {
        let of = |vectors, d| Relation::new(vectors, &self.heads(d), task, self.length(task));
        (
            of(vectors.student, self.dims.student),
            of(vectors.teacher, self.dims.teacher),
        )
    }

    fn heads(&self, d: usize) -> Heads {
        Heads {
            s: self.dims.length,
            heads: self.dims.heads,
            d,
        }
    }

    /// Sequences times relation heads.
    fn tasks(&self) -> usize {
        self.dims.batch * self.dims.heads
    }

    /// 1 / (A * length * B): what a row of a sequence weighs in the loss.
    fn weight(&self, length: usize) -> f32 {
        1.0 / (self.dims.heads * length * self.dims.batch) as f32
    }
}

/// (rows, columns) of student and teacher as slices (B, S, H).
struct Vectors<'a> {
    student: [&'a [f32]; 2],
    teacher: [&'a [f32]; 2],
}

/// Rows (scaled by 1 / sqrt(D)) and columns of one relation head of one sequence.
struct Relation {
    rows: Turned,
    columns: Turned,
}

impl Relation {
    fn new([rows, columns]: [&[f32]; 2], heads: &Heads, task: usize, length: usize) -> Self {
        let scale = 1.0 / (heads.d as f32).sqrt();
        Self {
            rows: heads.turn(rows, task, length, scale),
            columns: heads.turn(columns, task, length, 1.0),
        }
    }
}

/// Per row of each relation head, (B, A, S) each; 0 at and past a length.
struct Statistics {
    kl: Vec<f32>,
    /// sum_j exp(z_j - max z): with the maximum, which is found again, closer to the probabilities than a rounded lse.
    student: Vec<f32>,
    teacher: Vec<f32>,
}

fn forward(vectors: &Vectors, call: &Call) -> Statistics {
    let s = call.dims.length;
    let count = call.tasks() * s;
    let mut out = Statistics {
        kl: vec![0.0; count],
        student: vec![0.0; count],
        teacher: vec![0.0; count],
    };
    let tasks = out
        .kl
        .chunks_mut(s)
        .zip(out.student.chunks_mut(s))
        .zip(out.teacher.chunks_mut(s))
        .enumerate();
    cpu::each(tasks, |(task, ((kl, sums_s), sums_t))| {
        let (student, teacher) = call.relations(vectors, task);
        cpu::with_simd(Forward {
            student,
            teacher,
            kl,
            sums_s,
            sums_t,
        });
    });
    out
}

/// The forward pass of one relation head of one sequence.
struct Forward<'a> {
    student: Relation,
    teacher: Relation,
    kl: &'a mut [f32],
    sums_s: &'a mut [f32],
    sums_t: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            student,
            teacher,
            kl,
            sums_s,
            sums_t,
        } = self;
        let (p, length) = (student.columns.p, student.columns.length);
        let (mut zs, mut zt) = (vec![0.0; ROWS * p], vec![0.0; ROWS * p]);
        for i in (0..length).step_by(ROWS) {
            head::scores(simd, &student.rows, i, &student.columns, &mut zs);
            head::scores(simd, &teacher.rows, i, &teacher.columns, &mut zt);
            for r in 0..ROWS.min(length - i) {
                let row = r * p..(r + 1) * p;
                (kl[i + r], sums_s[i + r], sums_t[i + r]) =
                    head::row_kl(simd, &zs[row.clone()], &zt[row]);
            }
        }
    }
}

/// Gradients of the student's rows and columns, (B, S, H) each, times `upstream`; for a pair with itself the first is their
/// sum and the second empty.
fn backward(
    vectors: &Vectors,
    (sums_s, sums_t): (&[f32], &[f32]),
    call: &Call,
    upstream: f32,
) -> (Vec<f32>, Vec<f32>) {
    let (s, heads) = (call.dims.length, call.heads(call.dims.student));
    let size = s * heads.d;
    let mut rows = vec![0.0; call.tasks() * size];
    let mut columns = vec![0.0; if call.same { 0 } else { rows.len() }];
    let column_parts: Vec<&mut [f32]> = match call.same {
        true => rows.chunks(size).map(|_| [].as_mut_slice()).collect(),
        false => columns.chunks_mut(size).collect(),
    };
    cpu::each(
        rows.chunks_mut(size).zip(column_parts).enumerate(),
        |(task, (rows, columns))| {
            let (student, teacher) = call.relations(vectors, task);
            let sums = (&sums_s[task * s..][..s], &sums_t[task * s..][..s]);
            let factor = upstream * call.weight(call.length(task));
            cpu::with_simd(Gradients {
                student,
                teacher,
                sums,
                factor,
                rows,
                columns,
            });
        },
    );
    (
        heads.join(&rows),
        if call.same {
            columns
        } else {
            heads.join(&columns)
        },
    )
}

/// The backward pass of one relation head of one sequence: dRows = scale * G columns, dColumns = G^T (scale * rows) with G =
/// factor * (P_S - P_T); (S, D) each, added up in the rows' place if there is none for the columns.
struct Gradients<'a> {
    student: Relation,
    teacher: Relation,
    sums: (&'a [f32], &'a [f32]),
    factor: f32,
    rows: &'a mut [f32],
    columns: &'a mut [f32],
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            student,
            teacher,
            sums,
            factor,
            rows,
            columns,
        } = self;
        let (p, length) = (student.columns.p, student.columns.length);
        let d = student.columns.values.len() / p;
        let scale = 1.0 / (d as f32).sqrt();
        let (mut zs, mut zt, mut part) = (
            vec![0.0; ROWS * p],
            vec![0.0; ROWS * p],
            vec![0.0; ROWS * d],
        );
        let mut turned = Turned {
            values: vec![0.0; d * p],
            p,
            length,
        };
        for i in (0..length).step_by(ROWS) {
            head::scores(simd, &student.rows, i, &student.columns, &mut zs);
            head::scores(simd, &teacher.rows, i, &teacher.columns, &mut zt);
            let real = ROWS.min(length - i);
            for r in 0..real {
                let (row, sums) = (r * p..(r + 1) * p, (sums.0[i + r], sums.1[i + r]));
                head::difference(simd, &mut zs[row.clone()], &zt[row], sums, factor);
            }
            zs[real * p..].fill(0.0);
            head::gather(simd, &zs, &student.columns, &mut part);
            for (out, part) in rows[i * d..(i + real) * d].iter_mut().zip(&part) {
                *out = scale * part;
            }
            head::scatter(simd, &student.rows, i, &zs, &mut turned);
        }
        turned.add_to(if columns.is_empty() { rows } else { columns });
    }
}

/// The four tensors of a call, contiguous.
struct Tensors([FloatTensor<Flex>; 4]);

impl Tensors {
    fn new(student: [FloatTensor<Flex>; 2], teacher: [FloatTensor<Flex>; 2]) -> Self {
        let ([a, b], [c, d]) = (student, teacher);
        Self([a, b, c, d].map(cpu::contiguous))
    }

    fn vectors(&self) -> Vectors<'_> {
        let [a, b, c, d] = self.0.each_ref().map(cpu::values);
        Vectors {
            student: [a, b],
            teacher: [c, d],
        }
    }
}

#[backend_extension(Flex, Autodiff)]
trait FusedOps: Backend {
    /// Rows and columns (B, S, H) of student and teacher -> KL, and the sums of exponentials of student and teacher: (3, B, A, S).
    fn relation_statistics(
        student_rows: FloatTensor<Self>,
        student_columns: FloatTensor<Self>,
        teacher_rows: FloatTensor<Self>,
        teacher_columns: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// Gradients of the student's rows and columns, given those statistics and the gradient (1) of the loss.
    fn relation_gradients(
        student_rows: FloatTensor<Self>,
        student_columns: FloatTensor<Self>,
        teacher_rows: FloatTensor<Self>,
        teacher_columns: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The loss (1) of those statistics.
    fn loss_of(statistics: FloatTensor<Self>, call: Call) -> FloatTensor<Self>;

    /// The loss (1), differentiable in the student's vectors.
    fn fused_loss(
        student_rows: FloatTensor<Self>,
        student_columns: FloatTensor<Self>,
        teacher_rows: FloatTensor<Self>,
        teacher_columns: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let statistics = Self::relation_statistics(
            student_rows,
            student_columns,
            teacher_rows,
            teacher_columns,
            call.clone(),
        );
        Self::loss_of(statistics, call)
    }
}

impl FusedOps for Flex {
    fn relation_statistics(
        student_rows: FloatTensor<Self>,
        student_columns: FloatTensor<Self>,
        teacher_rows: FloatTensor<Self>,
        teacher_columns: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let tensors = Tensors::new(
            [student_rows, student_columns],
            [teacher_rows, teacher_columns],
        );
        let Statistics {
            mut kl,
            student,
            teacher,
        } = forward(&tensors.vectors(), &call);
        kl.extend(student);
        kl.extend(teacher);
        let Dims {
            batch,
            heads,
            length,
            ..
        } = call.dims;
        FloatTensor::<Self>::from_data(TensorData::new(kl, [3, batch, heads, length]))
    }

    fn relation_gradients(
        student_rows: FloatTensor<Self>,
        student_columns: FloatTensor<Self>,
        teacher_rows: FloatTensor<Self>,
        teacher_columns: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let shape = student_rows.shape();
        let tensors = Tensors::new(
            [student_rows, student_columns],
            [teacher_rows, teacher_columns],
        );
        let count = call.tasks() * call.dims.length;
        let sums = &cpu::values(&statistics)[count..];
        let upstream = cpu::values(&upstream)[0];
        let (rows, columns) = backward(&tensors.vectors(), sums.split_at(count), &call, upstream);
        let of = |values: Vec<f32>| {
            FloatTensor::<Self>::from_data(TensorData::new(values, shape.clone()))
        };
        let rows = of(rows);
        let columns = if call.same { rows.clone() } else { of(columns) };
        (rows, columns)
    }

    /// Summed in f64, always in the same order.
    fn loss_of(statistics: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        let per_sequence = call.dims.heads * call.dims.length;
        let kl = cpu::values(&statistics)[..call.dims.batch * per_sequence].chunks(per_sequence);
        let sums = kl.zip(&call.lengths).map(|(kl, length)| {
            kl.iter().map(|x| f64::from(*x)).sum::<f64>() * f64::from(call.weight(*length))
        });
        FloatTensor::<Self>::from_data(TensorData::new(vec![sums.sum::<f64>() as f32], [1]))
    }
}

#[derive(Debug)]
struct FusedBackward;

/// Nodes of the student's rows and columns; the teacher's; the statistics.
type Saved<B> = ([NodeId; 2], [FloatTensor<B>; 2], FloatTensor<B>, Call);

impl<B: Backend + FusedOps> Backward<B, 2> for FusedBackward {
    type State = Saved<B>;

    fn backward(
        self,
        ops: Ops<Saved<B>, 2>,
        grads: &mut grads::Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let upstream = grads.consume::<B>(&ops.node);
        let ([rows, columns], [teacher_rows, teacher_columns], statistics, call) = ops.state;
        let rows = checkpointer.retrieve_node_output(rows);
        let columns = checkpointer.retrieve_node_output(columns);
        let same = call.same;
        let (rows, columns) = B::relation_gradients(
            rows,
            columns,
            teacher_rows,
            teacher_columns,
            statistics,
            upstream,
            call,
        );
        let [row_node, column_node] = ops.parents;
        if let Some(node) = row_node {
            grads.register::<B>(node.id, rows);
        }
        // For a pair with itself the first gradient is the whole.
        if let Some(node) = column_node.filter(|_| !same) {
            grads.register::<B>(node.id, columns);
        }
    }
}

impl<B: Backend + FusedOps, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn relation_statistics(
        student_rows: FloatTensor<Self>,
        student_columns: FloatTensor<Self>,
        teacher_rows: FloatTensor<Self>,
        teacher_columns: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let [a, b, c, d] = [student_rows, student_columns, teacher_rows, teacher_columns]
            .map(|tensor| tensor.into_primitive());
        Self::from_inner(B::relation_statistics(a, b, c, d, call))
    }

    fn loss_of(statistics: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        Self::from_inner(B::loss_of(statistics.into_primitive(), call))
    }

    fn relation_gradients(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn fused_loss(
        student_rows: FloatTensor<Self>,
        student_columns: FloatTensor<Self>,
        teacher_rows: FloatTensor<Self>,
        teacher_columns: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let teacher = [
            teacher_rows.into_primitive(),
            teacher_columns.into_primitive(),
        ];
        let [t1, t2] = teacher.clone();
        match FusedBackward
            .prepare::<C>([student_rows.node(), student_columns.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let nodes = [
                    prep.checkpoint(&student_rows),
                    prep.checkpoint(&student_columns),
                ];
                let (s1, s2) = (
                    student_rows.into_primitive(),
                    student_columns.into_primitive(),
                );
                let statistics = B::relation_statistics(s1, s2, t1, t2, call.clone());
                let loss = B::loss_of(statistics.clone(), call.clone());
                prep.finish((nodes, teacher, statistics, call), loss)
            }
            OpsKind::UnTracked(prep) => {
                let (s1, s2) = (
                    student_rows.into_primitive(),
                    student_columns.into_primitive(),
                );
                prep.finish(B::fused_loss(s1, s2, t1, t2, call))
            }
        }
    }
}

/// The loss (1) by the streaming body; the tensors are on the CPU and the shapes checked.
pub(crate) fn loss(student: &Side, teacher: &Side, lengths: &Lengths, dims: Dims) -> Tensor<1> {
    let ((s1, s2), (t1, t2)) = (student.clone().into_parts(), teacher.clone().into_parts());
    let call = Call::new(student, lengths, dims);
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_loss(
        s1.into_dispatch(),
        s2.into_dispatch(),
        t1.without_autodiff().into_dispatch(),
        t2.without_autodiff().into_dispatch(),
        call,
    ))
}

/// KL by row, (B, A, S), by the streaming body; carries no gradient.
pub(crate) fn rows(student: &Side, teacher: &Side, lengths: &Lengths, dims: Dims) -> Tensor<3> {
    let ((s1, s2), (t1, t2)) = (student.clone().into_parts(), teacher.clone().into_parts());
    let call = Call::new(student, lengths, dims);
    let plain = [s1, s2, t1, t2].map(|tensor| tensor.without_autodiff().into_dispatch());
    let [s1, s2, t1, t2] = plain;
    let statistics: Tensor<4> = Tensor::from_dispatch(<Dispatch as FusedOps>::relation_statistics(
        s1, s2, t1, t2, call,
    ));
    let Dims {
        batch,
        heads,
        length,
        ..
    } = dims;
    statistics
        .slice([0..1, 0..batch, 0..heads, 0..length])
        .squeeze_dim(0)
}
