//! A graph that grows node by node: every operation returns the name of its result. The numbers of fields are those of
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>.

use std::collections::BTreeSet;

use half::f16;

use crate::wire::Message;

/// LayerNormalization came with it.
const OPSET: i64 = 17;
/// The version of the file format that came with that opset.
const IR_VERSION: i64 = 8;

/// The name of a value in the graph.
pub type Value = String;

/// What a setting of an operation holds.
pub enum Setting<'a> {
    /// A whole number.
    Int(i64),
    /// Several.
    Ints(&'a [i64]),
    /// A number.
    Float(f32),
}

/// `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Float = 1,
    Int8 = 3,
    Int64 = 7,
    Float16 = 10,
}

/// The type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
}

impl Float {
    fn data_type(self) -> DataType {
        match self {
            Self::F32 => DataType::Float,
            Self::F16 => DataType::Float16,
        }
    }
}

/// An axis of an input or output.
#[derive(Clone, Copy)]
pub enum Axis {
    /// It may differ from call to call.
    Named(&'static str),
    /// It is always the same.
    Of(usize),
}

/// (B, S).
pub const TOKENS: [Axis; 2] = [Axis::Named("batch_size"), Axis::Named("sequence_length")];

/// A tensor of the file: all that stands before its bytes, and these.
struct Tensor {
    head: Message,
    values: Vec<u8>,
}

/// A graph on its way.
pub struct Builder {
    /// Nodes, inputs and outputs.
    graph: Message,
    tensors: Vec<Tensor>,
    names: BTreeSet<String>,
    nodes: usize,
    /// The type of its weights and of what is computed of them.
    pub float: Float,
    /// Where the graph is, such as `layer.0/attention`: names of nodes begin with it.
    pub place: String,
    /// The first tensor that holds a number beyond what 16 bits can say.
    pub beyond: Option<String>,
}

impl Builder {
    pub fn new(float: Float) -> Self {
        let mut graph = Message::default();
        graph.text(2, "encoder");
        Self {
            graph,
            tensors: Vec::new(),
            names: BTreeSet::new(),
            nodes: 0,
            float,
            place: String::new(),
            beyond: None,
        }
    }

    /// The file of a model with this graph, or its size where that is not below `limit`.
    pub fn finish(self, limit: usize) -> Result<Vec<u8>, usize> {
        let mut opset = Message::default();
        opset.int(2, OPSET);
        let mut model = Message::default();
        model.int(1, IR_VERSION);
        model.text(2, "limbeck");
        model.text(3, env!("CARGO_PKG_VERSION"));
        model.message(8, &opset);
        let before = |tensor: &Tensor| {
            let mut field = Message::default();
            field.length(5, tensor.head.bytes().len() + tensor.values.len());
            field
        };
        let fields: Vec<Message> = self.tensors.iter().map(before).collect();
        let sizes = self.tensors.iter().zip(&fields).map(|(tensor, field)| {
            field.bytes().len() + tensor.head.bytes().len() + tensor.values.len()
        });
        let size = self.graph.bytes().len() + sizes.sum::<usize>();
        model.length(7, size);
        let mut file = model.bytes().to_vec();
        if file.len() + size >= limit {
            return Err(file.len() + size);
        }
        file.reserve_exact(size);
        file.extend(self.graph.bytes());
        for (tensor, field) in self.tensors.into_iter().zip(fields) {
            file.extend(field.bytes());
            file.extend(tensor.head.bytes());
            file.extend(tensor.values);
        }
        Ok(file)
    }

    /// An operation of one result.
    pub fn op(&mut self, kind: &str, inputs: &[&Value], settings: &[(&str, Setting)]) -> Value {
        let name = self.name_of(kind);
        self.node(&name, kind, inputs, std::slice::from_ref(&name), settings);
        name
    }

    /// An operation of several results.
    pub fn ops<const N: usize>(&mut self, kind: &str, inputs: &[&Value]) -> [Value; N] {
        let name = self.name_of(kind);
        let outputs = std::array::from_fn(|index| format!("{name}:{index}"));
        self.node(&name, kind, inputs, &outputs, &[]);
        outputs
    }

    fn name_of(&self, kind: &str) -> String {
        format!("{}/{kind}_{}", self.place, self.nodes)
    }

    fn node(
        &mut self,
        name: &str,
        kind: &str,
        inputs: &[&Value],
        outputs: &[Value],
        settings: &[(&str, Setting)],
    ) {
        let mut node = Message::default();
        inputs.iter().for_each(|value| node.text(1, value));
        outputs.iter().for_each(|value| node.text(2, value));
        node.text(3, name);
        node.text(4, kind);
        for (name, setting) in settings {
            node.message(5, &attribute(name, setting));
        }
        self.graph.message(1, &node);
        self.nodes += 1;
    }

    /// A value of the graph's own type as an output of that name, in f32.
    pub fn output(&mut self, name: &str, value: &Value, dims: &[Axis]) {
        let to = ("to", Setting::Int(DataType::Float as i64));
        let (kind, settings) = match self.float {
            Float::F32 => ("Identity", &[][..]),
            Float::F16 => ("Cast", &[to][..]),
        };
        let of = self.name_of(kind);
        self.node(&of, kind, &[value], &[name.to_owned()], settings);
        let info = value_info(name, DataType::Float, dims);
        self.graph.message(12, &info);
    }

    /// An input of whole numbers.
    pub fn input(&mut self, name: &str, dims: &[Axis]) -> Value {
        let info = value_info(name, DataType::Int64, dims);
        self.graph.message(11, &info);
        name.to_owned()
    }

    /// Weights of the graph's own type.
    pub fn weights(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Value {
        let bytes = match self.float {
            Float::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Float::F16 => {
                let narrowed = values.iter().map(|x| f16::from_f32(*x));
                if self.beyond.is_none() && !narrowed.clone().all(f16::is_finite) {
                    self.beyond = Some(name.to_owned());
                }
                narrowed.flat_map(f16::to_le_bytes).collect()
            }
        };
        self.tensor(name, dims, self.float.data_type(), bytes)
    }

    /// Weights of 8 bits.
    pub fn bytes(&mut self, name: &str, dims: &[usize], values: &[i8]) -> Value {
        let bytes = values.iter().map(|x| x.cast_unsigned()).collect();
        self.tensor(name, dims, DataType::Int8, bytes)
    }

    /// A number of the graph's own type.
    pub fn number(&mut self, value: f32) -> Value {
        let name = format!("number/{:?}/{value}", self.float);
        match self.names.contains(&name) {
            true => name,
            false => self.weights(&name, &[], &[value]),
        }
    }

    /// A whole number.
    pub fn integer(&mut self, value: i64) -> Value {
        self.whole(format!("integer/{value}"), &[], &[value])
    }

    /// A list of whole numbers.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        let numbers: Vec<String> = values.iter().map(i64::to_string).collect();
        let name = format!("integers/{}", numbers.join(","));
        self.whole(name, &[values.len()], values)
    }

    fn whole(&mut self, name: String, dims: &[usize], values: &[i64]) -> Value {
        if self.names.contains(&name) {
            return name;
        }
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.tensor(&name, dims, DataType::Int64, bytes)
    }

    fn tensor(
        &mut self,
        name: &str,
        dims: &[usize],
        data_type: DataType,
        values: Vec<u8>,
    ) -> Value {
        let mut head = Message::default();
        dims.iter().for_each(|axis| head.int(1, *axis as i64));
        head.int(2, data_type as i64);
        head.text(8, name);
        head.length(9, values.len());
        self.tensors.push(Tensor { head, values });
        self.names.insert(name.to_owned());
        name.to_owned()
    }

    /// A value as another type.
    pub fn cast(&mut self, value: &Value, to: DataType) -> Value {
        self.op("Cast", &[value], &[("to", Setting::Int(to as i64))])
    }

    /// A value as the graph's own type.
    pub fn as_float(&mut self, value: &Value) -> Value {
        self.cast(value, self.float.data_type())
    }
}

/// `ValueInfoProto` of a tensor.
fn value_info(name: &str, data_type: DataType, dims: &[Axis]) -> Message {
    let mut shape = Message::default();
    for axis in dims {
        let mut dimension = Message::default();
        match axis {
            Axis::Named(name) => dimension.text(2, name),
            Axis::Of(size) => dimension.int(1, *size as i64),
        }
        shape.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.int(1, data_type as i64);
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut info = Message::default();
    info.text(1, name);
    info.message(2, &kind);
    info
}

/// `AttributeProto`.
fn attribute(name: &str, setting: &Setting) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name);
    match setting {
        Setting::Float(value) => {
            attribute.float(2, *value);
            attribute.kind(1);
        }
        Setting::Int(value) => {
            attribute.int(3, *value);
            attribute.kind(2);
        }
        Setting::Ints(values) => {
            values.iter().for_each(|value| attribute.int(8, *value));
            attribute.kind(7);
        }
    }
    attribute
}
