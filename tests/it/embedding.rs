//! Rows of tables by ids, added up, and the gradients of the tables, against the oracle.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, gpu, normals, read, wide};
use limbeck_kernels::testing::{fill_outputs_with, launches};
use limbeck_kernels::{Ids, embedding};
use limbeck_oracle::embedding::{backward, forward};
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
        let ids = Ids::new(&self.ids[..], shape);
        let rows = embedding(kernel, vec![(table.clone(), ids)]);
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

/// Tables whose rows are added up, and what comes from above.
struct Sum {
    width: usize,
    shape: [usize; 2],
    tables: Vec<(Vec<f32>, Vec<u32>)>,
    upstream: Vec<f32>,
}

impl Sum {
    /// As an encoder has them: words, positions that go on by one, and types, of which one is nearly everywhere.
    fn new(shape: [usize; 2], width: usize, tables: usize) -> Self {
        let mut rng = Rng::new((shape[0] + width) as u64);
        let [b, s] = shape;
        let words: Vec<u32> = (0..b * s).map(|_| rng.below(71) as u32).collect();
        let positions: Vec<u32> = (0..b * s).map(|at| (at % s) as u32 + 2).collect();
        let types: Vec<u32> = (0..b * s).map(|at| u32::from(at == 3)).collect();
        let of = |(ids, rows): (Vec<u32>, usize)| (normals(&mut rng, rows * width), ids);
        let all = [(words, 73), (positions, s + 5), (types, 3)].map(of);
        Self {
            width,
            shape,
            tables: all.into_iter().take(tables).collect(),
            upstream: normals(&mut rng, b * s * width),
        }
    }

    /// The sum, and the gradient of each table.
    fn exact(&self) -> Vec<Vec<f64>> {
        let tables: Vec<_> = (self.tables.iter())
            .map(|(table, ids)| (wide(table), ids.clone()))
            .collect();
        let upstream = wide(&self.upstream);
        let of = |(table, ids): &(Vec<f64>, Vec<u32>)| {
            backward(ids, &upstream, table.len() / self.width)
        };
        let gradients: Vec<Vec<f64>> = tables.iter().map(of).collect();
        [vec![forward(&tables, self.width)], gradients].concat()
    }

    /// The same, computed.
    async fn computed(&self, kernel: KernelChoice, device: &Device) -> Vec<Vec<f32>> {
        let [b, s] = self.shape;
        let tracked = device.clone().autodiff();
        let of = |(table, ids): &(Vec<f32>, Vec<u32>)| {
            let shape = [table.len() / self.width, self.width];
            let table = Tensor::<2>::from_data(TensorData::new(table.clone(), shape), &tracked);
            (table.require_grad(), Ids::new(&ids[..], self.shape))
        };
        let tables: Vec<(Tensor<2>, Ids)> = self.tables.iter().map(of).collect();
        let sum = embedding(kernel, tables.clone());
        let upstream = TensorData::new(self.upstream.clone(), [b, s, self.width]);
        let upstream = Tensor::<3>::from_data(upstream, device);
        let gradients = (sum.clone() * upstream).sum().backward();
        let mut parts = vec![read(sum).await];
        for (table, _) in tables {
            parts.push(read(table.grad(&gradients).unwrap()).await);
        }
        parts
    }
}

/// Of one table to three, of widths that are whole fours or not, so that gradients of the next table begin where a binding may.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn rows_of_tables_add_up() {
    for (shape, width, tables) in [
        ([1, 7], 5, 2),
        ([3, 41], 20, 3),
        ([40, 9], 64, 3),
        ([2, 33], 12, 1),
    ] {
        let case = Sum::new(shape, width, tables);
        let exact = case.exact();
        let naive = case.computed(KernelChoice::Naive, &cpu()).await;
        for device in [cpu(), gpu().await] {
            fill_outputs_with(Some(f32::NAN));
            let got = case.computed(KernelChoice::Fused, &device).await;
            fill_outputs_with(None);
            for part in 0..=tables {
                let name = format!("part {part} of {shape:?} x {width} on {device:?}");
                assert_as_good_as_within(FACTOR, &name, &got[part], &naive[part], &exact[part]);
            }
        }
    }
}

/// One launch forward, and two for the gradients of all tables where any id is in many places.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_embedding_of_three_tables_takes_three_launches() {
    let (case, device) = (Sum::new([4, 20], 64, 3), gpu().await);
    let before = launches();
    case.computed(KernelChoice::Fused, &device).await;
    assert_eq!(launches() - before, 3);
}
