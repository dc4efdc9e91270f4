//! Rows of a table by ids, and the gradient of the table, against the oracle.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, gpu, normals, read, wide};
use limbeck_kernels::testing::fill_outputs_with;
use limbeck_kernels::{Ids, embedding};
use limbeck_oracle::embedding::backward;
use limbeck_oracle::judge::assert_as_good_as_within;
use limbeck_oracle::rng::Rng;
use limbeck_recipe::KernelChoice;
use wasm_bindgen_test::wasm_bindgen_test;

/// As for other kernels on a GPU.
const FACTOR: f64 = 8.0;

struct Case {
    name: &'static str,
    ids: Vec<u32>,
    rows: usize,
    width: usize,
    table: Vec<f32>,
    upstream: Vec<f32>,
}

impl Case {
    fn new(name: &'static str, ids: Vec<u32>, rows: usize, width: usize) -> Self {
        let mut rng = Rng::new((rows + width) as u64);
        Self {
            name,
            rows,
            width,
            table: normals(&mut rng, rows * width),
            upstream: normals(&mut rng, ids.len() * width),
            ids,
        }
    }

    /// The rows, and the gradient of the table.
    async fn computed(&self, kernel: KernelChoice, device: &Device) -> [Vec<f32>; 2] {
        let shape = [1, self.ids.len()];
        let table = TensorData::new(self.table.clone(), [self.rows, self.width]);
        let table = Tensor::<2>::from_data(table, &device.clone().autodiff()).require_grad();
        let ids = Ids::new(&self.ids[..], shape, device);
        let rows = embedding(kernel, table.clone(), &ids);
        let upstream = TensorData::new(self.upstream.clone(), [1, shape[1], self.width]);
        let upstream = Tensor::<3>::from_data(upstream, device);
        let gradients = (rows.clone() * upstream).sum().backward();
        [
            read(rows).await,
            read(table.grad(&gradients).unwrap()).await,
        ]
    }
}

/// Ids at either end of the table, one in a place alone, in as many as one list holds, in one more, and in most of all.
fn cases() -> Vec<Case> {
    let of = |counts: &[(u32, usize)]| -> Vec<u32> {
        let mut left = counts.to_vec();
        let mut ids = Vec::new();
        // They take turns.
        while left.iter().any(|(_, count)| *count > 0) {
            for (id, count) in left.iter_mut().filter(|(_, count)| *count > 0) {
                ids.push(*id);
                *count -= 1;
            }
        }
        ids
    };
    let mut rng = Rng::new(21);
    let random = (0..700).map(|_| rng.below(300) as u32).collect();
    vec![
        Case::new("one place", vec![0], 1, 1),
        Case::new("each once", of(&[(4, 1), (0, 1), (2, 1)]), 5, 3),
        Case::new("a whole list", of(&[(0, 32), (6, 1)]), 7, 4),
        Case::new("one more", of(&[(1, 33), (3, 32), (6, 64)]), 7, 12),
        Case::new("padding", of(&[(0, 1_500), (99, 65), (50, 1)]), 100, 77),
        Case::new("random", random, 301, 384),
    ]
}

/// What a kernel forgets to write is a NaN.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_gradient_of_a_table_is_as_good_as_that_of_burn() {
    for case in cases() {
        let exact = backward(&case.ids, &wide(&case.upstream), case.rows);
        let naive = case.computed(KernelChoice::Naive, &cpu()).await;
        for device in [cpu(), gpu().await] {
            fill_outputs_with(Some(f32::NAN));
            let got = case.computed(KernelChoice::Fused, &device).await;
            fill_outputs_with(None);
            let name = format!("{} on {device:?}", case.name);
            assert_eq!(got[0], naive[0], "rows of {name}");
            assert_as_good_as_within(FACTOR, &name, &got[1], &naive[1], &exact);
        }
    }
}

/// The order of additions depends on the ids alone.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_embedding_gives_the_same_bits_twice() {
    for case in cases() {
        for device in [cpu(), gpu().await] {
            let first = case.computed(KernelChoice::Fused, &device).await;
            let second = case.computed(KernelChoice::Fused, &device).await;
            assert!(first == second, "{}, {device:?}", case.name);
        }
    }
}
