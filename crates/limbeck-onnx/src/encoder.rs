//! The encoder's graph: embeddings, then layer by layer what `limbeck_model::Encoder` computes.

use limbeck_recipe::layout::{Block, FeedForward, Layout, Linear, Matrix, Norm, Vector};
use limbeck_recipe::{Activation, NormPlace, Positions};

use crate::Source;
use crate::graph::{DataType, Float, Setting, TOKENS, Value};
use crate::positions::{Attending, Places};
use crate::writer::Writer;

impl<E> Writer<'_, '_, E> {
    /// The last hidden states (B, S, H), in the graph's own type.
    pub fn encoder(&mut self) -> Result<Value, E> {
        let layout = self.config.layout();
        let names = Names::of(&layout);
        self.graph.place = "embeddings".to_owned();
        let ids = self.graph.input("input_ids", &TOKENS);
        let mask = self.graph.input("attention_mask", &TOKENS);
        let mut x = self.embeddings(&ids, &layout, &names)?;
        let mask = self.additive(&mask);
        let mut places = Places::new(&ids, mask);
        let sizes = [
            self.config.distance_buckets,
            self.config.num_attention_heads,
        ];
        let table = layout
            .distances
            .map(|at| self.table(names.matrix(at), sizes));
        self.by_distance(&mut places, table.transpose()?.as_deref());
        for block in &layout.blocks {
            let attending = self.attending(block.layer, &mut places);
            x = self.block(&x, &attending, block, &names)?;
        }
        match &layout.last_norm {
            Some(norm) => self.norm(&x, norm, &names, self.config.hidden_size),
            None => Ok(x),
        }
    }

    fn embeddings(&mut self, ids: &Value, layout: &Layout, names: &Names) -> Result<Value, E> {
        let (shape, at) = (&self.config.shape, &layout.embeddings);
        let width = shape.embedding_width();
        let mut sum = self.words(ids, names.matrix(at.word), [shape.vocab_size, width])?;
        let types = shape.type_vocab_size;
        let mut only_type = None;
        if let Some(at) = at.token_type {
            let values = self.table(names.matrix(at), [types, width])?;
            if types > 1 {
                let ids = self.graph.input("token_type_ids", &TOKENS);
                let name = names.matrix(at);
                let types = self.graph.weights(name, &[types, width], &values);
                let row = self.graph.op("Gather", &[&types, &ids], &[]);
                sum = self.graph.op("Add", &[&sum, &row], &[]);
            } else {
                only_type = Some(values);
            }
        }
        let learned = match shape.positions {
            Positions::Learned {
                rows,
                first,
                uncounted,
            } => at.position.map(|at| (at, rows, first, uncounted)),
            Positions::Rotary { .. } | Positions::Slopes { .. } | Positions::Disentangled(_) => {
                None
            }
        };
        if let Some((at, rows, first, uncounted)) = learned {
            let mut table = self.table(names.matrix(at), [rows, width])?;
            // Every token has the one row: it goes along with the position's.
            if let Some(values) = only_type.take() {
                for row in table.chunks_mut(width) {
                    row.iter_mut().zip(&values).for_each(|(x, y)| *x += y);
                }
            }
            let table = self.graph.weights(names.matrix(at), &[rows, width], &table);
            let row = self.positions(ids, &table, first, uncounted);
            sum = self.graph.op("Add", &[&sum, &row], &[]);
        }
        if let (Some(at), Some(values)) = (at.token_type, only_type) {
            let row = self.graph.weights(names.matrix(at), &[width], &values);
            sum = self.graph.op("Add", &[&sum, &row], &[]);
        }
        let mut x = match &at.norm {
            Some(norm) => self.norm(&sum, norm, names, width)?,
            None => sum,
        };
        if let Some(projection) = &at.projection {
            let sizes = [self.config.hidden_size, width];
            x = self.projected(&x, projection, names, sizes)?;
        }
        Ok(x)
    }

    /// The position's row of every token: (S, E), or (B, S, E) where one token is not counted and takes the row before the first.
    fn positions(
        &mut self,
        ids: &Value,
        table: &Value,
        first: usize,
        uncounted: Option<u32>,
    ) -> Value {
        let Some(pad) = uncounted else {
            let (axes, first) = (self.graph.integers(&[0]), first as i64);
            let from = Setting::Int(1);
            let length = self.graph.op("Shape", &[ids], &[("start", from)]);
            let start = self.graph.integers(&[first]);
            let end = self.graph.op("Add", &[&length, &start], &[]);
            return self.graph.op("Slice", &[table, &start, &end, &axes], &[]);
        };
        let pad = self.graph.integer(i64::from(pad));
        let before = self.graph.integer(first as i64 - 1);
        let one = self.graph.integer(1);
        let is_padding = self.graph.op("Equal", &[ids, &pad], &[]);
        let counts = self.graph.op("Not", &[&is_padding], &[]);
        let counts = self.graph.cast(&counts, DataType::Int64);
        let place = self.graph.op("CumSum", &[&counts, &one], &[]);
        let place = self.graph.op("Mul", &[&place, &counts], &[]);
        let place = self.graph.op("Add", &[&place, &before], &[]);
        self.graph.op("Gather", &[table, &place], &[])
    }

    /// What is added to the scores (B, A, S, S): 0 for a token, so little for padding that nothing is left of it.
    fn additive(&mut self, mask: &Value) -> Value {
        let one = self.graph.number(1.0);
        let mask = self.graph.as_float(mask);
        let axes = self.graph.integers(&[1, 2]);
        let mask = self.graph.op("Unsqueeze", &[&mask, &axes], &[]);
        let padding = self.graph.op("Sub", &[&one, &mask], &[]);
        self.hidden(&padding)
    }

    /// What is added to scores where there is a 1, so that nothing is left of them; 0 elsewhere.
    pub fn hidden(&mut self, what: &Value) -> Value {
        let least = match self.graph.float {
            Float::F32 => -1e9,
            Float::F16 => -1e4,
        };
        let least = self.graph.number(least);
        self.graph.op("Mul", &[what, &least], &[])
    }

    fn block(
        &mut self,
        x: &Value,
        attending: &Attending,
        block: &Block,
        names: &Names,
    ) -> Result<Value, E> {
        let (h, layer) = (self.config.hidden_size, block.layer);
        let is_before = self.config.norm_place == NormPlace::Before;
        self.graph.place = format!("layer.{layer}/attention");
        let read = match &block.attention_norm {
            Some(norm) if is_before => self.norm(x, norm, names, h)?,
            _ => x.clone(),
        };
        let attended = self.attention(&read, attending, block, names)?;
        let sum = self.graph.op("Add", &[&attended, x], &[]);
        let x = match &block.attention_norm {
            Some(norm) if !is_before => self.norm(&sum, norm, names, h)?,
            _ => sum,
        };
        self.graph.place = format!("layer.{layer}/feed_forward");
        if is_before {
            let normed = self.norm(&x, &block.norm, names, h)?;
            let fed = self.feed_forward(&normed, &block.feed_forward, names)?;
            return Ok(self.graph.op("Add", &[&fed, &x], &[]));
        }
        let fed = self.feed_forward(&x, &block.feed_forward, names)?;
        let sum = self.graph.op("Add", &[&fed, &x], &[]);
        self.norm(&sum, &block.norm, names, h)
    }

    fn feed_forward(&mut self, x: &Value, at: &FeedForward, names: &Names) -> Result<Value, E> {
        let (h, f) = (self.config.hidden_size, self.config.intermediate_size);
        let up = self.projected(x, &at.up, names, [f, h])?;
        let mut units = self.activation(&up, self.config.activation);
        if let Some(gate) = &at.gate {
            let gate = self.projected(x, gate, names, [f, h])?;
            units = self.graph.op("Mul", &[&units, &gate], &[]);
        }
        self.projected(&units, &at.down, names, [h, f])
    }

    fn attention(
        &mut self,
        x: &Value,
        attending: &Attending,
        block: &Block,
        names: &Names,
    ) -> Result<Value, E> {
        let (h, heads) = (self.config.hidden_size, self.config.num_attention_heads);
        let width = h / heads;
        // 0: as the input has it.
        let split = [0, 0, heads as i64, width as i64];
        let split = self.graph.integers(&split);
        let whole = self.graph.integers(&[0, 0, h as i64]);
        let by_head: &[i64] = &[0, 2, 1, 3];
        let mut of_heads = |linear: &Linear, order: &[i64]| -> Result<Value, E> {
            let projected = self.projected(x, linear, names, [h, h])?;
            let parts = self.graph.op("Reshape", &[&projected, &split], &[]);
            let order = [("perm", Setting::Ints(order))];
            Ok(self.graph.op("Transpose", &[&parts], &order))
        };
        let (attention, rotation) = (&block.attention, &attending.rotation);
        let mut query = of_heads(&attention.query, by_head)?;
        let across: &[i64] = &[0, 2, 3, 1];
        let by_place = if rotation.is_some() { by_head } else { across };
        let mut key = of_heads(&attention.key, by_place)?;
        let value = of_heads(&attention.value, by_head)?;
        if let Some(rotation) = rotation {
            query = self.turned(&query, rotation);
            key = self.turned(&key, rotation);
            let order = [("perm", Setting::Ints(&[0, 1, 3, 2]))];
            key = self.graph.op("Transpose", &[&key], &order);
        }
        let scale = self.graph.number((1.0 / (width as f64).sqrt()) as f32);
        let query = self.graph.op("Mul", &[&query, &scale], &[]);
        let scores = self.graph.op("MatMul", &[&query, &key], &[]);
        let scores = self.graph.op("Add", &[&scores, &attending.added], &[]);
        let last = [("axis", Setting::Int(-1))];
        let probabilities = self.graph.op("Softmax", &[&scores], &last);
        let mixed = self.graph.op("MatMul", &[&probabilities, &value], &[]);
        let order = [("perm", Setting::Ints(by_head))];
        let mixed = self.graph.op("Transpose", &[&mixed], &order);
        let mixed = self.graph.op("Reshape", &[&mixed, &whole], &[]);
        self.projected(&mixed, &attention.output, names, [h, h])
    }

    /// The activation of the feed-forward part.
    fn activation(&mut self, x: &Value, activation: Activation) -> Value {
        match activation {
            Activation::Gelu => self.gelu(x),
            Activation::GeluTanh => self.gelu_tanh(x),
            Activation::Relu => self.graph.op("Relu", &[x], &[]),
            Activation::Silu => self.silu(x),
        }
    }

    /// x Phi(x) = x (1 + erf(x / sqrt 2)) / 2.
    pub fn gelu(&mut self, x: &Value) -> Value {
        let root = self.graph.number(std::f32::consts::SQRT_2);
        let scaled = self.graph.op("Div", &[x, &root], &[]);
        let erf = self.graph.op("Erf", &[&scaled], &[]);
        self.half_of(x, &erf)
    }

    /// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    fn gelu_tanh(&mut self, x: &Value) -> Value {
        let cubic = self.graph.number(0.044_715);
        let root = self
            .graph
            .number((2.0 / std::f64::consts::PI).sqrt() as f32);
        let square = self.graph.op("Mul", &[x, x], &[]);
        let cube = self.graph.op("Mul", &[&square, x], &[]);
        let cube = self.graph.op("Mul", &[&cube, &cubic], &[]);
        let inner = self.graph.op("Add", &[x, &cube], &[]);
        let inner = self.graph.op("Mul", &[&inner, &root], &[]);
        let tanh = self.graph.op("Tanh", &[&inner], &[]);
        self.half_of(x, &tanh)
    }

    /// x (1 + y) / 2.
    fn half_of(&mut self, x: &Value, y: &Value) -> Value {
        let (one, half) = (self.graph.number(1.0), self.graph.number(0.5));
        let sum = self.graph.op("Add", &[y, &one], &[]);
        let both = self.graph.op("Mul", &[x, &sum], &[]);
        self.graph.op("Mul", &[&both, &half], &[])
    }

    /// x / (1 + e^-x).
    pub fn silu(&mut self, x: &Value) -> Value {
        let gate = self.graph.op("Sigmoid", &[x], &[]);
        self.graph.op("Mul", &[x, &gate], &[])
    }

    fn norm(&mut self, x: &Value, norm: &Norm, names: &Names, width: usize) -> Result<Value, E> {
        let scale = self.vector(Source::Encoder, names.vector(norm.weight), width)?;
        let shift = norm
            .bias
            .map(|bias| self.vector(Source::Encoder, names.vector(bias), width))
            .transpose()?;
        Ok(self.normed(x, &scale, shift.as_ref()))
    }

    /// A LayerNorm with the encoder's epsilon.
    pub fn normed(&mut self, x: &Value, scale: &Value, shift: Option<&Value>) -> Value {
        let eps = self.config.layer_norm_eps as f32;
        let settings = [("axis", Setting::Int(-1)), ("epsilon", Setting::Float(eps))];
        let inputs: Vec<&Value> = [x, scale].into_iter().chain(shift).collect();
        self.graph.op("LayerNormalization", &inputs, &settings)
    }

    /// A linear layer of the encoder, (out, in).
    fn projected(
        &mut self,
        x: &Value,
        linear: &Linear,
        names: &Names,
        sizes: [usize; 2],
    ) -> Result<Value, E> {
        let name = names.matrix(linear.weight);
        let name = name.strip_suffix(".weight").unwrap_or(name).to_owned();
        self.linear(x, Source::Encoder, &name, sizes, linear.bias.is_some())
    }

    fn table(&mut self, name: &str, sizes: [usize; 2]) -> Result<Vec<f32>, E> {
        (self.tensors)(Source::Encoder, name, &sizes)
    }
}

/// The names of an encoder's parameters, by their places.
struct Names {
    matrices: Vec<String>,
    vectors: Vec<String>,
}

impl Names {
    fn of(layout: &Layout) -> Self {
        let parameters = layout.parameters.iter();
        let (matrices, vectors): (Vec<_>, Vec<_>) =
            parameters.partition(|parameter| parameter.kind.decays());
        let names = |of: Vec<&limbeck_recipe::layout::Parameter>| {
            of.into_iter().map(|p| p.name.clone()).collect()
        };
        Self {
            matrices: names(matrices),
            vectors: names(vectors),
        }
    }

    fn matrix(&self, Matrix(place): Matrix) -> &str {
        &self.matrices[place]
    }

    fn vector(&self, Vector(place): Vector) -> &str {
        &self.vectors[place]
    }
}
