//! The parts of the output stage: what comes out of student and teacher, compared.

use burn::tensor::{Device, Tensor, TensorData};
use limbeck_kernels::{Lengths, Taps, matmul, relation_loss};
use limbeck_model::{Encoder, ModelError, pool};
use limbeck_recipe::{Kernels, Pair, Part, Plan, Pooling};

use crate::TrainError;

/// The name of the map among the parameters that are trained.
pub(crate) const MAP: &str = "output.map";

/// Added to squared norms, so that a vector of zeros has a direction, and a gradient, of 0.
const SMALLEST: f32 = 1e-12;

/// What comes out of both models.
pub(crate) struct Outputs<'a> {
    /// Last hidden states, (B, S, H of the student).
    states: &'a Tensor<3>,
    /// The teacher's.
    of_teacher: Tensor<3>,
    /// The sentences' vectors, pooled from them: (B, modes x H).
    vectors: Tensor<2>,
    /// The teacher's.
    teacher_vectors: Tensor<2>,
    map: Option<&'a Tensor<2>>,
    lengths: &'a Lengths,
}

impl<'a> Outputs<'a> {
    /// Of last hidden states, (B, S, H); the teacher's are constants. Texts of a run have no prompt.
    pub fn new(
        student: &'a Tensor<3>,
        teacher: &Tensor<3>,
        map: Option<&'a Tensor<2>>,
        lengths: &'a Lengths,
        pooling: &Pooling,
    ) -> Self {
        let of_teacher = teacher.clone().without_autodiff();
        Self {
            states: student,
            vectors: pool(student.clone(), lengths, pooling, 0),
            teacher_vectors: pool(of_teacher.clone(), lengths, pooling, 0),
            of_teacher,
            map,
            lengths,
        }
    }

    /// (1): a part of the loss, averaged over the batch; differentiable in the student and in the map.
    pub fn part(
        &self,
        part: Part,
        kernels: Kernels,
        heads: usize,
    ) -> Result<Tensor<1>, TrainError> {
        match part {
            Part::SentenceRelation => self.sentence_relation(kernels, heads),
            Part::Cosine => Ok(self.cosine(kernels)),
            Part::L2 => Ok(self.l2(kernels)),
            Part::Similarity => Ok(self.similarity(kernels)),
            Part::Hidden => Ok(self.hidden(kernels)),
            Part::Relation(_) => Err(TrainError::NoPart),
        }
    }

    /// The batch is the one sequence of a relation loss, and the vectors are its tokens.
    fn sentence_relation(&self, kernels: Kernels, heads: usize) -> Result<Tensor<1>, TrainError> {
        let tokens = |vectors: &Tensor<2>| {
            let v: Tensor<3> = vectors.clone().unsqueeze_dim(0);
            let (q, k) = (v.clone(), v.clone());
            Taps { q, k, v }
        };
        let (student, teacher) = (tokens(&self.vectors), tokens(&self.teacher_vectors));
        let count = self.lengths.batch();
        let length = Lengths::new(&[count], count, &self.vectors.device());
        let length = length.map_err(ModelError::from)?;
        let pairs = [(Pair::VV, 1.0)];
        let loss = relation_loss(kernels, &student, &teacher, &pairs, &length, heads);
        Ok(loss.map_err(ModelError::from)?.total)
    }

    fn cosine(&self, kernels: Kernels) -> Tensor<1> {
        let student = directions(self.mapped(kernels, self.vectors.clone()));
        let teacher = directions(self.teacher_vectors.clone());
        let cosines = (student * teacher).sum_dim(1);
        cosines.mean().neg() + 1.0
    }

    fn l2(&self, kernels: Kernels) -> Tensor<1> {
        let student = self.mapped(kernels, self.vectors.clone());
        (student - self.teacher_vectors.clone()).square().mean()
    }

    fn similarity(&self, kernels: Kernels) -> Tensor<1> {
        let student = cosines(kernels, directions(self.vectors.clone()));
        let teacher = cosines(kernels, directions(self.teacher_vectors.clone()));
        (student - teacher).square().mean()
    }

    /// Each sequence weighs the same, and within it each real token.
    fn hidden(&self, kernels: Kernels) -> Tensor<1> {
        let rows = |x: Tensor<3>| {
            let [b, s, h] = x.dims();
            x.reshape([b * s, h])
        };
        let student = self.mapped(kernels, rows(self.states.clone()));
        let difference = student - rows(self.of_teacher.clone());
        let by_token = difference.square().mean_dim(1);
        let weights = self.lengths.row_weights(1);
        let count = by_token.dims()[0];
        (by_token * weights.reshape([count, 1])).sum()
    }

    /// (N, modes x H of the student) to (N, modes x H of the teacher), what each mode of pooling gave by itself.
    fn mapped(&self, kernels: Kernels, x: Tensor<2>) -> Tensor<2> {
        let Some(map) = self.map else { return x };
        let ([n, width], [from, to]) = (x.dims(), map.dims());
        let modes = width / from;
        let x = x.reshape([n * modes, from]);
        matmul(kernels, x, map.clone()).reshape([n, modes * to])
    }
}

/// Each row divided by its norm.
fn directions(x: Tensor<2>) -> Tensor<2> {
    let norms = (x.clone().square().sum_dim(1) + SMALLEST).sqrt();
    x / norms
}

/// (B, H) to (B, B): products of all rows with each other.
fn cosines(kernels: Kernels, directions: Tensor<2>) -> Tensor<2> {
    let columns = directions.clone().transpose();
    matmul(kernels, directions, columns)
}

/// First values of the map of a plan, (H of the student, H of the teacher), where it needs one: each column of the student goes
/// to the teacher's that it was taken from, or, if it was taken from none, to the teacher's of the same place.
pub(crate) async fn first_map(
    plan: &Plan,
    teacher: &Encoder,
    device: &Device,
) -> Result<Option<Tensor<2>>, TrainError> {
    let narrower = plan.student.hidden_size < plan.teacher.hidden_size;
    if !needs_map(plan) || plan.from_layers.is_none() || !narrower {
        return Ok(plain_map(plan, device));
    }
    let columns = teacher.kept_columns(plan.student.hidden_size).await?;
    Ok(Some(selection(plan, columns, device)))
}

/// First values of the map of a plan whose student has nothing of its teacher.
pub(crate) fn plain_map(plan: &Plan, device: &Device) -> Option<Tensor<2>> {
    let columns = plan.student.hidden_size.min(plan.teacher.hidden_size);
    needs_map(plan).then(|| selection(plan, 0..columns, device))
}

fn needs_map(plan: &Plan) -> bool {
    plan.output.as_ref().is_some_and(|stage| stage.has_map)
}

/// 1 where a column of the student meets its column of the teacher, else 0.
fn selection(plan: &Plan, columns: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<2> {
    let (from, to) = (plan.student.hidden_size, plan.teacher.hidden_size);
    let mut values = vec![0.0; from * to];
    for (row, column) in columns.into_iter().enumerate() {
        values[row * to + column] = 1.0;
    }
    map(values, [from, to], device)
}

/// A map of given values, row-major.
pub(crate) fn map(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
