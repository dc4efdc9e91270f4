//! Weight files as the tests change them: tensors by name, whatever their type.

use std::collections::{BTreeMap, HashMap};

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::scene::Scene;

const TEACHER: &str = "teacher/model.safetensors";

/// A tensor as a file holds it.
#[derive(Clone)]
pub struct Stored {
    /// Element type.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, row-major and little-endian.
    pub bytes: Vec<u8>,
}

/// The tensors of a file by name.
pub type Tensors = BTreeMap<String, Stored>;

impl Stored {
    fn f32(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect()
    }

    /// The same values in another type, rounded.
    pub fn cast(&self, dtype: Dtype) -> Self {
        let values = self.f32().into_iter();
        let bytes = match dtype {
            Dtype::F16 => values
                .flat_map(|x| f16::from_f32(x).to_le_bytes())
                .collect(),
            Dtype::BF16 => values
                .flat_map(|x| bf16::from_f32(x).to_le_bytes())
                .collect(),
            Dtype::F64 => values.flat_map(|x| f64::from(x).to_le_bytes()).collect(),
            Dtype::I32 => values.flat_map(|x| (x as i32).to_le_bytes()).collect(),
            _ => panic!("no test needs {dtype:?}"),
        };
        Self {
            dtype,
            bytes,
            ..self.clone()
        }
    }

    /// The values that `cast` leaves, as f32 again.
    pub fn rounded(&self, dtype: Dtype) -> Self {
        let round = |x: f32| match dtype {
            Dtype::F16 => f16::from_f32(x).to_f32(),
            Dtype::BF16 => bf16::from_f32(x).to_f32(),
            _ => x,
        };
        self.map(|_, x| round(x))
    }

    /// Each value from its index and what it was.
    pub fn map(&self, value: impl Fn(usize, f32) -> f32) -> Self {
        let values = self.f32().into_iter().enumerate();
        let bytes = values
            .flat_map(|(at, x)| value(at, x).to_le_bytes())
            .collect();
        Self {
            bytes,
            ..self.clone()
        }
    }
}

/// The tensors of a safetensors file.
pub fn read(scene: &Scene, file: &str) -> Tensors {
    let bytes = scene.read(file);
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let stored = |view: TensorView| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), stored(view)))
        .collect()
}

/// The metadata of a safetensors file.
pub fn metadata(scene: &Scene, file: &str) -> HashMap<String, String> {
    let bytes = scene.read(file);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    metadata.metadata().clone().unwrap_or_default()
}

/// Writes a safetensors file, as PyTorch's are.
pub fn write(scene: &Scene, file: &str, tensors: &Tensors) {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_with(scene, file, tensors, metadata);
}

/// Writes a safetensors file with this metadata.
pub fn write_with(scene: &Scene, file: &str, tensors: &Tensors, metadata: HashMap<String, String>) {
    let view = |stored: &Stored| {
        let Stored {
            dtype,
            shape,
            bytes,
        } = stored.clone();
        (dtype, shape, bytes)
    };
    let parts: Vec<_> = tensors
        .iter()
        .map(|(name, stored)| (name, view(stored)))
        .collect();
    let views = parts.iter().map(|(name, (dtype, shape, bytes))| {
        (
            name.as_str(),
            TensorView::new(*dtype, shape.clone(), bytes).expect("bytes of that shape"),
        )
    });
    scene.write(
        file,
        safetensors::serialize(views, Some(metadata)).expect("serialising"),
    );
}

/// Changes the teacher's weights.
pub fn edit(scene: &Scene, change: impl FnOnce(&mut Tensors)) {
    let mut tensors = read(scene, TEACHER);
    change(&mut tensors);
    write(scene, TEACHER, &tensors);
}

/// Replaces each tensor of the teacher.
pub fn edit_each(scene: &Scene, change: impl Fn(&Stored) -> Stored) {
    edit(scene, |tensors| {
        tensors
            .values_mut()
            .for_each(|stored| *stored = change(stored))
    });
}

/// Renames each tensor of the teacher.
pub fn rename_each(scene: &Scene, name: impl Fn(&str) -> String) {
    edit(scene, |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(old, stored)| (name(&old), stored))
            .collect();
    });
}

/// Splits the teacher's weights into two shards with an index, as large models are published.
pub fn shard(scene: &Scene) -> [&'static str; 2] {
    const SHARDS: [&str; 2] = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let mut first = read(scene, TEACHER);
    let middle = first.keys().nth(first.len() / 2).expect("tensors").clone();
    let second = first.split_off(&middle);
    let mut places = serde_json::Map::new();
    for (file, tensors) in SHARDS.iter().zip([first, second]) {
        places.extend(tensors.keys().map(|name| (name.clone(), (*file).into())));
        write(scene, &format!("teacher/{file}"), &tensors);
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": places });
    scene.write("teacher/model.safetensors.index.json", index.to_string());
    scene.remove(TEACHER);
    SHARDS
}
