//! A student that starts from its teacher: each of its layers is one of the teacher's, and a narrower student keeps a part
//! of the teacher's hidden columns, attention dimensions and feed-forward units.
//!
//! The choice follows from the teacher's weights alone and is made on the host, so it is the same on every device:
//!
//! - one set of hidden columns for the whole model, because the residual stream joins all layers: those with the largest sum
//!   of squared LayerNorm weights. Behind a LayerNorm that square is the variance of a column, up to a factor that differs
//!   little between columns;
//! - the strongest attention heads, by the norms of their values and output projections, and of each as many dimensions as a
//!   head of the student has; a student with more or wider heads keeps an equal share of each group of neighbouring heads;
//! - feed-forward units by the norms of their up and down projections, and of the gate, if there is one;
//! - where positions are rotary, dimensions of queries and keys in the pairs that turn together: for each pair of a student's head
//!   the one of the teacher's whose angles are the nearest to those that the student turns it by, and of equally near ones the
//!   strongest;
//! - where scores fall with the distance by a slope of each head, heads likewise: those whose slopes are the nearest.
//!
//! What distances add to the scores of a head is one table for all layers: a student with fewer heads has the columns of those that
//! its last layer keeps.
//!
//! Norms are taken over the hidden columns that are kept.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Device;
use limbeck_recipe::layout::{Block, Kind, Layout, Linear};
use limbeck_recipe::{Config, Positions, distance_slope};

use crate::{Encoder, ModelError, Named};

/// What the places along an axis of a parameter are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    /// Rows of a table, or the columns of one that is not as wide as the hidden states: a student keeps all.
    Whole,
    /// Dimensions of the hidden states.
    Hidden,
    /// Dimensions of queries and keys, one head after the other.
    QueryKey,
    /// Dimensions of values, one head after the other.
    Value,
    /// Units of the feed-forward part.
    Units,
    /// Attention heads.
    Heads,
}

/// A parameter of the teacher, on the host.
struct Parameter {
    named: Named,
    kind: Kind,
    /// In files; of a vector the first counts alone.
    axes: [Axis; 2],
}

impl Parameter {
    /// Rows and columns; a vector is one column.
    fn dims(&self) -> [usize; 2] {
        let shape = &self.named.shape;
        [shape[0], shape.get(1).copied().unwrap_or(1)]
    }

    /// Squared norm of each slice across an axis, over the hidden columns that are kept; none of a vector and of a matrix
    /// without this axis.
    fn squared_norms(&self, axis: Axis, hidden: &[usize]) -> Option<Vec<f64>> {
        let along = self.axes.iter().position(|own| *own == axis)?;
        if self.named.shape.len() != 2 {
            return None;
        }
        let [_, columns] = self.dims();
        let square = |place: usize, hidden: usize| {
            let [row, column] = [[place, hidden], [hidden, place]][along];
            let value = f64::from(self.named.values[row * columns + column]);
            value * value
        };
        let norm = |place| hidden.iter().map(|column| square(place, *column)).sum();
        Some((0..self.named.shape[along]).map(norm).collect())
    }
}

/// What a layer of the student keeps of one of the teacher's: places along three axes, in increasing order, but where heads have
/// slopes, and of queries and keys that turn: there as the student has them.
struct Kept {
    query_key: Vec<usize>,
    value: Vec<usize>,
    units: Vec<usize>,
    /// For each head of the student one of the teacher's that it has dimensions of.
    heads: Vec<usize>,
}

impl Kept {
    fn of(layer: &[&Parameter], hidden: &[usize], teacher: &Config, student: &Config) -> Self {
        let norms = |axis| norms(layer, axis, hidden);
        let (query_key, value) = (norms(Axis::QueryKey), norms(Axis::Value));
        let (groups, each) = groups(&value, teacher, student);
        let choose = |scores: &[f64]| {
            let in_group = |group: &Range<usize>| {
                let start = group.start;
                let chosen = largest(&scores[group.clone()], each).into_iter();
                chosen.map(move |place| start + place)
            };
            groups.iter().flat_map(in_group).collect()
        };
        let [from, to] = [teacher, student].map(Width::of);
        Self {
            query_key: match teacher.is_rotary() {
                true => {
                    let places = groups
                        .iter()
                        .map(|group| pairs(&query_key, group, from, to, each));
                    places.flatten().collect()
                }
                false => choose(&query_key),
            },
            value: choose(&value),
            units: largest(&norms(Axis::Units), student.intermediate_size),
            heads: heads(&groups, teacher, student),
        }
    }
}

/// Groups of the teacher's attention dimensions, and how many dimensions the student keeps of each: of its strongest heads,
/// or, if the student has more or wider heads, of as many groups of heads as divide both.
fn groups(value: &[f64], teacher: &Config, student: &Config) -> (Vec<Range<usize>>, usize) {
    let (from, to) = (teacher.num_attention_heads, student.num_attention_heads);
    let (width, kept) = (teacher.hidden_size / from, student.hidden_size / to);
    if to <= from && kept <= width {
        let strengths: Vec<f64> = value.chunks(width).map(|head| head.iter().sum()).collect();
        let heads = match teacher.positions {
            Positions::Slopes { .. } => sloped(&strengths, to),
            Positions::Learned { .. } | Positions::Rotary { .. } | Positions::Disentangled(_) => {
                largest(&strengths, to)
            }
        };
        return (
            heads
                .into_iter()
                .map(|head| head * width..(head + 1) * width)
                .collect(),
            kept,
        );
    }
    let divides = |n: &usize| from.is_multiple_of(*n) && to.is_multiple_of(*n);
    let groups = (1..=from.min(to)).rev().find(divides).unwrap_or(1);
    let width = teacher.hidden_size / groups;
    let group = |index: usize| index * width..(index + 1) * width;
    (
        (0..groups).map(group).collect(),
        student.hidden_size / groups,
    )
}

/// For each head of the student one of the teacher's, where the student's lie in these groups of the teacher's dimensions.
fn heads(groups: &[Range<usize>], teacher: &Config, student: &Config) -> Vec<usize> {
    let (from, to) = (teacher.num_attention_heads, student.num_attention_heads);
    match groups.len() == to {
        true => groups
            .iter()
            .map(|group| group.start / Width::of(teacher).0)
            .collect(),
        false => (0..to).map(|head| head * from / to).collect(),
    }
}

/// The width of a model's heads.
#[derive(Clone, Copy)]
struct Width(usize);

impl Width {
    fn of(config: &Config) -> Self {
        Self(config.hidden_size / config.num_attention_heads)
    }

    /// The dimension that turns together with dimension `pair` of a head.
    fn partner(self, pair: usize) -> usize {
        pair + self.0 / 2
    }

    fn pairs(self) -> usize {
        self.0 / 2
    }
}

/// The dimensions of a group of the teacher's heads that `count` dimensions of the student's heads take, in the student's order.
/// Pair i of a head of D dimensions turns by theta^(-2i/D) a token, divided by what is the same for all.
fn pairs(scores: &[f64], group: &Range<usize>, from: Width, to: Width, count: usize) -> Vec<usize> {
    let heads = group.clone().step_by(from.0);
    let mut left: Vec<(usize, usize)> = heads
        .flat_map(|head| (0..from.pairs()).map(move |pair| (head, pair)))
        .collect();
    let strength =
        |(head, pair): (usize, usize)| scores[head + pair] + scores[head + from.partner(pair)];
    let mut places = vec![0; count];
    for head in (0..count).step_by(to.0) {
        for pair in 0..to.pairs() {
            // In shares of a pair of the student's: D' i - D j.
            let distance = |found: (usize, usize)| (to.0 * found.1).abs_diff(from.0 * pair) as f64;
            let Some((of_head, of_pair)) = take_nearest(&mut left, distance, strength) else {
                continue;
            };
            places[head + pair] = of_head + of_pair;
            places[head + to.partner(pair)] = of_head + from.partner(of_pair);
        }
    }
    places
}

/// The teacher's heads, of these strengths, that so many heads of the student take, in the student's order.
fn sloped(strengths: &[f64], count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..strengths.len()).collect();
    let slope = |head, heads| distance_slope(head, heads).log2();
    let nearest = (0..count).filter_map(|head| {
        let distance = |found| (slope(found, strengths.len()) - slope(head, count)).abs();
        take_nearest(&mut left, distance, |found| strengths[found])
    });
    nearest.collect()
}

/// Takes the nearest of what is left, and of equally near ones the strongest.
fn take_nearest<T: Copy>(
    left: &mut Vec<T>,
    distance: impl Fn(T) -> f64,
    strength: impl Fn(T) -> f64,
) -> Option<T> {
    let nearest = left.iter().enumerate().min_by(|(_, a), (_, b)| {
        let nearer = distance(**a).total_cmp(&distance(**b));
        nearer.then(strength(**b).total_cmp(&strength(**a)))
    });
    let (place, _) = nearest?;
    Some(left.remove(place))
}

/// Products of the squared norms that the matrices of a layer have along an axis: a dimension counts as much as what writes
/// it and what reads it.
fn norms(layer: &[&Parameter], axis: Axis, hidden: &[usize]) -> Vec<f64> {
    let each = layer.iter().filter_map(|p| p.squared_norms(axis, hidden));
    let product = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).collect();
    each.reduce(product).unwrap_or_default()
}

/// The hidden columns that a student of this width keeps.
fn columns(parameters: &BTreeMap<String, Parameter>, teacher: &Config, width: usize) -> Vec<usize> {
    let mut scores = vec![0.0; teacher.hidden_size];
    for parameter in parameters.values() {
        let scale = &parameter.named.values;
        if parameter.kind == Kind::NormWeight && scale.len() == scores.len() {
            let squares = scale.iter().map(|s| f64::from(*s) * f64::from(*s));
            scores
                .iter_mut()
                .zip(squares)
                .for_each(|(sum, s)| *sum += s);
        }
    }
    largest(&scores, width)
}

/// Places of the largest scores, in increasing order; of equal scores the first ones.
fn largest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    places.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    places.truncate(count);
    places.sort_unstable();
    places
}

/// Axes in files of the parameters of two axes, and the axis of those of one, by place.
struct Axes {
    matrices: Vec<[Axis; 2]>,
    vectors: Vec<Axis>,
}

impl Axes {
    fn of(layout: &Layout, config: &Config) -> Self {
        let [one, two] = [1, 2].map(|axes| {
            let has = layout.parameters.iter().filter(|p| p.shape.len() == axes);
            has.count()
        });
        let of_tables = match config.embedding_width() == config.hidden_size {
            true => [Axis::Whole, Axis::Hidden],
            false => [Axis::Whole, Axis::Whole],
        };
        let mut axes = Self {
            matrices: vec![of_tables; two],
            vectors: vec![Axis::Hidden; one],
        };
        if let Some(projection) = &layout.embeddings.projection {
            axes.set(projection, [Axis::Hidden, Axis::Whole]);
        }
        if let Some(distances) = layout.distances {
            axes.matrices[distances.0] = [Axis::Whole, Axis::Heads];
        }
        for Block {
            attention,
            feed_forward,
            ..
        } in &layout.blocks
        {
            axes.set(&attention.query, [Axis::QueryKey, Axis::Hidden]);
            axes.set(&attention.key, [Axis::QueryKey, Axis::Hidden]);
            axes.set(&attention.value, [Axis::Value, Axis::Hidden]);
            axes.set(&attention.output, [Axis::Hidden, Axis::Value]);
            for up in [Some(feed_forward.up), feed_forward.gate]
                .into_iter()
                .flatten()
            {
                axes.set(&up, [Axis::Units, Axis::Hidden]);
            }
            axes.set(&feed_forward.down, [Axis::Hidden, Axis::Units]);
        }
        axes
    }

    /// Sets the axes (out, in) of a linear layer.
    fn set(&mut self, linear: &Linear, axes: [Axis; 2]) {
        self.matrices[linear.weight.0] = axes;
        if let Some(bias) = linear.bias {
            self.vectors[bias.0] = axes[0];
        }
    }
}

/// The teacher's parameters by name.
async fn parameters(teacher: &Encoder) -> Result<BTreeMap<String, Parameter>, ModelError> {
    let layout = teacher.config().layout();
    let Axes { matrices, vectors } = Axes::of(&layout, teacher.config());
    let (mut matrices, mut vectors) = (matrices.into_iter(), vectors.into_iter());
    let values = teacher.values().await?.into_iter();
    let with_axes = values.zip(layout.parameters).map(|(named, parameter)| {
        let axes = match named.shape.len() {
            2 => matrices.next(),
            _ => vectors.next().map(|axis| [axis, Axis::Whole]),
        };
        let axes = axes.unwrap_or([Axis::Whole; 2]);
        let kind = parameter.kind;
        (parameter.name, Parameter { named, kind, axes })
    });
    Ok(with_axes.collect())
}

/// The layer that a parameter belongs to, from 0: the number in its name.
fn layer_of(name: &str) -> Option<usize> {
    name.split('.').find_map(|part| part.parse().ok())
}

/// The name of the same parameter in another layer.
fn in_layer(name: &str, layer: usize) -> String {
    let part = |part: &str| match part.parse::<usize>() {
        Ok(_) => layer.to_string(),
        Err(_) => part.to_owned(),
    };
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// The teacher's parameters, and what the student keeps of them.
struct Inheritance {
    parameters: BTreeMap<String, Parameter>,
    hidden: Vec<usize>,
    /// Whether positions turn queries and keys.
    turns: bool,
    /// For each layer of the student, the teacher's, from 0.
    layers: Vec<(usize, Kept)>,
}

impl Inheritance {
    async fn of(teacher: &Encoder, student: &Config, layers: &[usize]) -> Result<Self, ModelError> {
        let config = teacher.config();
        if layers.len() != student.num_hidden_layers {
            let (layer, layers) = (student.num_hidden_layers, layers.len());
            return Err(ModelError::NoLayer { layer, layers });
        }
        let parameters = parameters(teacher).await?;
        let hidden = columns(&parameters, config, student.hidden_size);
        let layer = |layer: &usize| {
            let (layer, layers) = (*layer, config.num_hidden_layers);
            if !(1..=layers).contains(&layer) {
                return Err(ModelError::NoLayer { layer, layers });
            }
            let of_layer = |p: &&Parameter| layer_of(&p.named.name) == Some(layer - 1);
            let of_layer: Vec<&Parameter> = parameters.values().filter(of_layer).collect();
            Ok((layer - 1, Kept::of(&of_layer, &hidden, config, student)))
        };
        let layers = layers.iter().map(layer).collect::<Result<_, _>>()?;
        Ok(Self {
            parameters,
            hidden,
            turns: config.is_rotary(),
            layers,
        })
    }

    /// First values of a parameter of the student.
    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let layer = layer_of(name);
        let kept = layer.and_then(|index| self.layers.get(index));
        let source = kept.map_or_else(|| name.to_owned(), |(layer, _)| in_layer(name, *layer));
        let kept = kept.map(|(_, kept)| kept);
        let Some(parameter) = self.parameters.get(&source) else {
            return Err(ModelError::NoTensor {
                name: source,
                count: self.parameters.len(),
                example: self.parameters.keys().next().cloned().unwrap_or_default(),
            });
        };
        let [rows, columns] = parameter.dims();
        let [of_rows, of_columns] = parameter.axes;
        let rows = self.places(of_rows, kept, rows, shape[0]);
        let kept_columns = match shape.get(1) {
            Some(wanted) => self.places(of_columns, kept, columns, *wanted),
            None => vec![0],
        };
        let wanted: usize = shape.iter().product();
        if rows.len() * kept_columns.len() != wanted {
            return Err(ModelError::WrongShape {
                name: source,
                found: parameter.named.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let values = &parameter.named.values;
        let row = |row: usize| kept_columns.iter().map(move |c| values[row * columns + c]);
        Ok(rows.into_iter().flat_map(row).collect())
    }

    /// The places along an axis that the student keeps: all if it is as long as the student's. Queries and keys that turn are always
    /// those that were chosen: heads of another width turn by other angles.
    fn places(&self, axis: Axis, kept: Option<&Kept>, all: usize, wanted: usize) -> Vec<usize> {
        let chosen = match axis {
            Axis::Whole => None,
            Axis::Hidden => Some(&self.hidden),
            Axis::QueryKey => kept.map(|kept| &kept.query_key),
            Axis::Value => kept.map(|kept| &kept.value),
            Axis::Units => kept.map(|kept| &kept.units),
            // All layers share what heads have: those of the layer that is compared count.
            Axis::Heads => self.layers.last().map(|(_, kept)| &kept.heads),
        };
        match chosen {
            Some(chosen) if all != wanted || axis == Axis::QueryKey && self.turns => chosen.clone(),
            _ => (0..all).collect(),
        }
    }
}

impl Encoder {
    /// The hidden columns of this teacher that a student of `width` keeps when it starts from it, in increasing order.
    ///
    /// # Errors
    /// The teacher's weights cannot be read back.
    pub async fn kept_columns(&self, width: usize) -> Result<Vec<usize>, ModelError> {
        Ok(columns(&parameters(self).await?, self.config(), width))
    }

    /// A model whose layers start as the given layers of a teacher, counted from 1. Embeddings, LayerNorms and biases are the
    /// teacher's, too. A student as wide as its teacher has the teacher's values bit for bit. While this runs, the host holds
    /// the weights of both.
    ///
    /// # Errors
    /// The teacher's weights cannot be read back, it has no such layer, or it is narrower than the student.
    pub async fn from_teacher(
        teacher: &Encoder,
        config: &Config,
        layers: &[usize],
        device: &Device,
    ) -> Result<Self, ModelError> {
        let inheritance = Inheritance::of(teacher, config, layers).await?;
        Self::from_values(config, device, |name, _, shape| {
            inheritance.values(name, shape)
        })
    }
}
