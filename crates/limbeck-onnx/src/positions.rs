//! What positions do in attention: they turn queries and keys, add to scores by distance, and end how far a token sees.

use limbeck_recipe::{Angles, FARTHEST_BUCKET, Positions, Reach, distance_bucket, distance_slope};

use crate::graph::{Builder, Float, Setting, Value};
use crate::writer::Writer;

/// Where these operations are in the graph.
const POSITIONS: &str = "positions";
/// [`FARTHEST_BUCKET`] as a distance.
const FARTHEST: i64 = FARTHEST_BUCKET as i64;

/// By how much each token turns the dimensions of a head, (S, D) each.
#[derive(Clone)]
pub struct Rotation {
    cosines: Value,
    /// Those of the first half are negative.
    sines: Value,
}

/// What the attention of a layer has beside its vectors.
#[derive(Clone)]
pub struct Attending {
    /// What is added to the scores: it broadcasts to (B, A, S, S).
    pub added: Value,
    /// By how much queries and keys are turned, if they are.
    pub rotation: Option<Rotation>,
}

/// The tokens' places in their texts, and what has been made of them.
pub struct Places {
    /// The ids (B, S).
    ids: Value,
    /// What is added to the scores of every layer.
    added: Value,
    /// 0 to S - 1, (S).
    order: Option<Value>,
    rotations: Vec<(Angles, Rotation)>,
    windows: Vec<(Reach, Value)>,
}

impl Places {
    /// Those of ids (B, S), where this is added to the scores of every layer.
    pub fn new(ids: &Value, added: Value) -> Self {
        Self {
            ids: ids.clone(),
            added,
            order: None,
            rotations: Vec::new(),
            windows: Vec::new(),
        }
    }
}

impl<E> Writer<'_, '_, E> {
    /// What attention of a layer, from 0, has beside its vectors.
    pub fn attending(&mut self, layer: usize, places: &mut Places) -> Attending {
        self.graph.place = POSITIONS.to_owned();
        let angles = self.config.angles(layer);
        Attending {
            added: self.window(self.config.reach(layer), places),
            rotation: angles.map(|angles| self.rotation(angles, places)),
        }
    }

    /// What distances add to the scores (A, S, S), by a table of buckets (rows of A numbers) or by slopes, if they add anything.
    pub fn by_distance(&mut self, places: &mut Places, table: Option<&[f32]>) {
        self.graph.place = POSITIONS.to_owned();
        let heads = self.config.num_attention_heads;
        let added = match (table, self.config.positions) {
            (Some(table), _) => {
                let bucket = |distance: i64| {
                    distance_bucket(distance as isize, self.config.distance_buckets)
                };
                let rows = (-FARTHEST..=FARTHEST)
                    .flat_map(|distance| &table[bucket(distance) * heads..][..heads]);
                let rows: Vec<f32> = rows.copied().collect();
                let rows = self
                    .graph
                    .weights("distances", &[rows.len() / heads, heads], &rows);
                let distances = self.distances(places);
                let [least, most] = [-FARTHEST, FARTHEST].map(|far| self.graph.integer(far));
                let distances = self.graph.op("Max", &[&distances, &least], &[]);
                let distances = self.graph.op("Min", &[&distances, &most], &[]);
                let row = self.graph.op("Add", &[&distances, &most], &[]);
                let numbers = self.graph.op("Gather", &[&rows, &row], &[]);
                let by_head = [("perm", Setting::Ints(&[2, 0, 1]))];
                self.graph.op("Transpose", &[&numbers], &by_head)
            }
            (None, Positions::Slopes { .. }) => {
                let slopes = (0..heads).map(|head| -distance_slope(head, heads) as f32);
                let slopes: Vec<f32> = slopes.collect();
                let distances = self.distances(places);
                let [added] = self.in_f32(|graph| {
                    let far = graph.as_float(&distances);
                    let far = graph.op("Abs", &[&far], &[]);
                    let slopes = graph.weights("slopes", &[heads, 1, 1], &slopes);
                    [graph.op("Mul", &[&far, &slopes], &[])]
                });
                added
            }
            (None, Positions::Learned { .. } | Positions::Rotary { .. }) => return,
            // No model with such attention is exported.
            (None, Positions::Disentangled(_)) => return,
        };
        places.added = self.graph.op("Add", &[&places.added, &added], &[]);
    }

    /// Queries or keys (B, A, S, D), turned: of each half of the dimensions, the other one takes part by the sine.
    pub fn turned(&mut self, x: &Value, rotation: &Rotation) -> Value {
        let width = (self.config.hidden_size / self.config.num_attention_heads) as i64;
        let axis = self.graph.integers(&[3]);
        let mut half = |from: i64, to: i64| {
            let (from, to) = (self.graph.integers(&[from]), self.graph.integers(&[to]));
            self.graph.op("Slice", &[x, &from, &to, &axis], &[])
        };
        let [first, second] = [half(0, width / 2), half(width / 2, width)];
        let swapped = self.graph.op("Concat", &[&second, &first], &[LAST]);
        let own = self.graph.op("Mul", &[x, &rotation.cosines], &[]);
        let other = self.graph.op("Mul", &[&swapped, &rotation.sines], &[]);
        self.graph.op("Add", &[&own, &other], &[])
    }

    fn rotation(&mut self, angles: Angles, places: &mut Places) -> Rotation {
        if let Some((_, known)) = places.rotations.iter().find(|(of, _)| *of == angles) {
            return known.clone();
        }
        let width = self.config.hidden_size / self.config.num_attention_heads;
        let steps: Vec<f32> = (0..width / 2)
            .map(|pair| angles.of(pair, width) as f32)
            .collect();
        let order = self.order(places);
        let axis = self.graph.integers(&[1]);
        let column = self.graph.op("Unsqueeze", &[&order, &axis], &[]);
        let name = format!("angles/{}/{}", angles.theta, angles.stretch);
        let [cosines, sines] = self.in_f32(|graph| {
            let place = graph.as_float(&column);
            let steps = graph.weights(&name, &[1, width / 2], &steps);
            let angle = graph.op("Mul", &[&place, &steps], &[]);
            let cosine = graph.op("Cos", &[&angle], &[]);
            let sine = graph.op("Sin", &[&angle], &[]);
            let negative = graph.op("Neg", &[&sine], &[]);
            [[&cosine, &cosine], [&negative, &sine]]
                .map(|halves| graph.op("Concat", &halves, &[LAST]))
        });
        let rotation = Rotation { cosines, sines };
        places.rotations.push((angles, rotation.clone()));
        rotation
    }

    /// What is added to the scores of a layer that reaches so far.
    fn window(&mut self, reach: Reach, places: &mut Places) -> Value {
        if reach == Reach::default() {
            return places.added.clone();
        }
        if let Some((_, known)) = places.windows.iter().find(|(of, _)| *of == reach) {
            return known.clone();
        }
        let distances = self.distances(places);
        let mut added = places.added.clone();
        let sides = [
            ("Less", reach.before.map(|tokens| -(tokens as i64))),
            ("Greater", reach.after.map(|tokens| tokens as i64)),
        ];
        for (comparison, end) in sides {
            let Some(end) = end else { continue };
            let end = self.graph.integer(end);
            let is_beyond = self.graph.op(comparison, &[&distances, &end], &[]);
            let beyond = self.graph.as_float(&is_beyond);
            let hidden = self.hidden(&beyond);
            added = self.graph.op("Add", &[&added, &hidden], &[]);
        }
        places.windows.push((reach, added.clone()));
        added
    }

    /// How many places each token (a column) is after each (a row), (S, S).
    fn distances(&mut self, places: &mut Places) -> Value {
        let order = self.order(places);
        let [rows, columns] = [0, 1].map(|axis| {
            let axis = self.graph.integers(&[axis]);
            self.graph.op("Unsqueeze", &[&order, &axis], &[])
        });
        self.graph.op("Sub", &[&rows, &columns], &[])
    }

    /// 0 to S - 1, (S).
    fn order(&mut self, places: &mut Places) -> Value {
        if let Some(known) = &places.order {
            return known.clone();
        }
        let [zero, one] = [0, 1].map(|number| self.graph.integer(number));
        let sizes = self.graph.op("Shape", &[&places.ids], &[]);
        let length = self.graph.op("Gather", &[&sizes, &one], &[]);
        let order = self.graph.op("Range", &[&zero, &length, &one], &[]);
        places.order = Some(order.clone());
        order
    }

    /// What is computed in f32 whatever the layers compute in, and given in their type.
    fn in_f32<const N: usize>(
        &mut self,
        compute: impl FnOnce(&mut Builder) -> [Value; N],
    ) -> [Value; N] {
        let own = std::mem::replace(&mut self.graph.float, Float::F32);
        let computed = compute(self.graph);
        self.graph.float = own;
        match own {
            Float::F32 => computed,
            Float::F16 => computed.map(|x| self.graph.as_float(&x)),
        }
    }
}

const LAST: (&str, Setting<'static>) = ("axis", Setting::Int(-1));
