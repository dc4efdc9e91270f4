//! Goldens made by PyTorch (`cargo xtask golden`), compiled in so that a browser has them too.

use std::collections::BTreeMap;

use limbeck_oracle::judge::relative_l2;
use limbeck_oracle::relation::{Dims, Pair, Side, Vector, backward, forward};
use safetensors::{Dtype, SafeTensors};
use wasm_bindgen_test::wasm_bindgen_test;

/// Tensors of a golden file by name.
pub struct Golden(BTreeMap<String, (Vec<usize>, Vec<f64>)>);

impl Golden {
    pub fn parse(bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).unwrap();
        let read = |(name, view): (&str, safetensors::tensor::TensorView)| {
            (
                name.to_owned(),
                (view.shape().to_vec(), numbers(view.dtype(), view.data())),
            )
        };
        Self(file.iter().map(read).collect())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn shape(&self, name: &str) -> &[usize] {
        &self
            .0
            .get(name)
            .unwrap_or_else(|| panic!("no golden {name}"))
            .0
    }

    pub fn get(&self, name: &str) -> &[f64] {
        &self
            .0
            .get(name)
            .unwrap_or_else(|| panic!("no golden {name}"))
            .1
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.get(name).iter().map(|x| *x as f32).collect()
    }

    pub fn lengths(&self, name: &str) -> Vec<usize> {
        self.get(name).iter().map(|x| *x as usize).collect()
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.get(name).iter().map(|x| *x as u32).collect()
    }
}

fn numbers(dtype: Dtype, data: &[u8]) -> Vec<f64> {
    match dtype {
        Dtype::F64 => data
            .as_chunks()
            .0
            .iter()
            .map(|b| f64::from_le_bytes(*b))
            .collect(),
        Dtype::F32 => data
            .as_chunks()
            .0
            .iter()
            .map(|b| f64::from(f32::from_le_bytes(*b)))
            .collect(),
        Dtype::I64 => data
            .as_chunks()
            .0
            .iter()
            .map(|b| i64::from_le_bytes(*b) as f64)
            .collect(),
        other => panic!("a golden of type {other:?}"),
    }
}

fn vector_name(vector: Vector) -> &'static str {
    match vector {
        Vector::Q => "q",
        Vector::K => "k",
        Vector::V => "v",
    }
}

/// Rung 2: the oracle means what PyTorch means, in f64, whole tensors.
#[wasm_bindgen_test(unsupported = test)]
fn the_oracle_agrees_with_pytorch() {
    let golden = Golden::parse(include_bytes!("../golden/relation.safetensors"));
    let mut compared = 0;
    for case in (0..).take_while(|n| golden.has(&format!("case{n}.heads"))) {
        let name = |part: &str| format!("case{case}.{part}");
        let lengths = golden.lengths(&name("lengths"));
        let a = golden.get(&name("heads"))[0] as usize;
        let [b, s, hs] = golden.shape(&name("student.q")).try_into().unwrap();
        let dims = Dims {
            b,
            s,
            a,
            ds: hs / a,
            dt: golden.shape(&name("teacher.q"))[2] / a,
        };
        for pair in Pair::ALL {
            let (row, column) = (vector_name(pair.row), vector_name(pair.column));
            let side = |of: &str| Side {
                row: golden.get(&name(&format!("{of}.{row}"))),
                column: golden.get(&name(&format!("{of}.{column}"))),
            };
            let (student, teacher) = (side("student"), side("teacher"));
            let loss = forward(student, teacher, &dims, &lengths).value;
            let expected = golden.get(&name(&format!("loss.{}", pair.name())));
            assert!(
                relative_l2(&[loss], expected) < 1e-12,
                "case {case}, {}: {loss} and {expected:?}",
                pair.name()
            );
            let gradient = backward(student, teacher, &dims, &lengths);
            let of = |vector: &str| golden.get(&name(&format!("grad.{}.{vector}", pair.name())));
            let checks = match pair.is_self() {
                true => vec![(gradient.of_self_pair(), of(row))],
                false => vec![(gradient.row, of(row)), (gradient.column, of(column))],
            };
            for (got, exact) in checks {
                assert!(
                    relative_l2(&got, exact) < 1e-12,
                    "case {case}, gradient of {}",
                    pair.name()
                );
                compared += 1;
            }
        }
    }
    assert!(compared >= 45, "only {compared} gradients were compared");
}
