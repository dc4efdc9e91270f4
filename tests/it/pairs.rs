//! The nine pairs of relations in an evaluation, trained or not: against the oracle, and what three of them leave open.

use burn::tensor::Device;
use it::{cpu, gpu, read, wide};
use limbeck_model::{Encoder, TokenBatch};
use limbeck_oracle::relation::{Dims, Pair as Exact, Side, forward};
use limbeck_recipe::batching::Batch;
use limbeck_recipe::{Init, Pair, Part, Plan, Recipe, StudentRecipe};
use limbeck_train::Run;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::encoder::tiny_eurobert;
use crate::training::{golden, golden_batch, golden_run, near, plan, recipe, step, teacher};

/// Queries, keys and values of the last layer.
async fn taps(encoder: &Encoder, batch: &Batch) -> [Vec<f64>; 3] {
    let tokens = TokenBatch::new(&batch.ids, &batch.lengths, encoder.device()).unwrap();
    let layer = encoder.config().num_hidden_layers;
    let taps = encoder.tap(&tokens, layer, None).unwrap();
    [
        wide(&read(taps.q).await),
        wide(&read(taps.k).await),
        wide(&read(taps.v).await),
    ]
}

/// One pair is trained; of all nine the evaluation has the oracle's KL.
async fn all_nine_are_exact(device: &Device, bound: f64) {
    let data = golden();
    let batch = golden_batch(&data, 0);
    let recipe = Recipe {
        pairs: Some([("vk".to_owned(), 0.5)].into()),
        ..recipe()
    };
    let run = golden_run(&data, &recipe, device);
    let measured = run.evaluate(std::slice::from_ref(&batch)).await.unwrap();
    assert_eq!(measured.parts.len(), 1);
    assert_eq!(measured.untrained.len(), 8);
    let student = taps(&run.student().without_autodiff(), &batch).await;
    let of_teacher = taps(&teacher(device), &batch).await;
    let dims = Dims {
        b: batch.lengths.len(),
        s: batch.padded,
        a: 6,
        ds: 2,
        dt: 4,
    };
    for pair in Exact::ALL {
        let [student, of_teacher] = [&student, &of_teacher].map(|taps| Side {
            row: &taps[pair.row as usize],
            column: &taps[pair.column as usize],
        });
        let exact = forward(student, of_teacher, &dims, &batch.lengths).value;
        let kl = measured.kl(pair.name().parse().unwrap()).unwrap();
        near(kl, exact, bound, pair.name());
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_evaluation_has_all_nine_pairs_on_the_cpu() {
    all_nine_are_exact(&cpu(), 1e-5).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_evaluation_has_all_nine_pairs_on_the_gpu() {
    all_nine_are_exact(&gpu().await, 1e-4).await;
}

/// Each head of `width` numbers twice, one after the other.
fn twice(values: &[f64], width: usize) -> Vec<f64> {
    let heads = values.chunks(width);
    heads.flat_map(|head| head.repeat(2)).collect()
}

/// Of a teacher whose two heads of queries share one of keys and of values: pairs with queries have those repeated, the others have them
/// as narrow as they are.
async fn grouped_pairs_are_exact(device: &Device, bound: f64) {
    let batch = golden_batch(&golden(), 0);
    let folder = tiny_eurobert();
    let config = folder.config().unwrap();
    let plan = Plan::new(&recipe(), &config).unwrap();
    let student = Encoder::random(&plan.student, 5, device).unwrap();
    let teacher = Encoder::from_folder(&folder, device).unwrap();
    let [q, k, v] = taps(&teacher, &batch).await;
    let head = config.head_width();
    let (wide, narrow) = ([&q, &twice(&k, head), &twice(&v, head)], [&q, &k, &v]);
    let mut run = Run::with_student(plan, teacher, student);
    let measured = run.evaluate(std::slice::from_ref(&batch)).await.unwrap();
    let of_student = taps(&run.student().without_autodiff(), &batch).await;
    for pair in Exact::ALL {
        let places = [pair.row as usize, pair.column as usize];
        let (of_teacher, dt) = match places.contains(&0) {
            true => (wide, 4),
            false => (narrow, 2),
        };
        let dims = Dims {
            b: batch.lengths.len(),
            s: batch.padded,
            a: 6,
            ds: 2,
            dt,
        };
        let [row, column] = places;
        let of_student = Side {
            row: &of_student[row],
            column: &of_student[column],
        };
        let of_teacher = Side {
            row: of_teacher[row],
            column: of_teacher[column],
        };
        let exact = forward(of_student, of_teacher, &dims, &batch.lengths).value;
        let kl = measured.kl(pair.name().parse().unwrap()).unwrap();
        near(kl, exact, bound, pair.name());
    }
    // Before its first step, the loss is what was measured.
    let first = step(&mut run, &batch).await;
    let trained: f64 = measured.parts.values().sum();
    near(first.loss, trained, bound, "the loss");
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn pairs_of_grouped_queries_are_exact_on_the_cpu() {
    grouped_pairs_are_exact(&cpu(), 1e-5).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn pairs_of_grouped_queries_are_exact_on_the_gpu() {
    grouped_pairs_are_exact(&gpu().await, 1e-4).await;
}

/// Turns what a projection of the last layer gives: neighbouring columns within a relation head by one angle. `values` has a
/// row, or for a bias a number, of each column.
fn turn(values: &mut [f32], inputs: usize, angle: f64) {
    let (sin, cos) = angle.sin_cos();
    for rows in values.chunks_mut(2 * inputs) {
        let (first, second) = rows.split_at_mut(inputs);
        for (x, y) in first.iter_mut().zip(second) {
            let (a, b) = (f64::from(*x), f64::from(*y));
            (*x, *y) = ((cos * a - sin * b) as f32, (sin * a + cos * b) as f32);
        }
    }
}

/// A copy of the teacher whose queries and keys of the last layer are turned within each relation head.
async fn turned(queries: f64, keys: f64) -> Run {
    let recipe = Recipe {
        student: StudentRecipe {
            layers: 2,
            hidden: 24,
            init: Init::Teacher,
            ffn: None,
            ..recipe().student
        },
        ..recipe()
    };
    let plan = plan(&recipe);
    let copy = Run::new(plan.clone(), teacher(&cpu())).await.unwrap();
    let copied = copy.student().values().await.unwrap();
    let student = Encoder::from_values(&plan.student, &cpu(), |name, _, shape| {
        let of_name = copied.iter().find(|tensor| tensor.name == name);
        let mut values = of_name.unwrap().values.clone();
        let inputs = shape.get(1).copied().unwrap_or(1);
        for (projection, angle) in [("query", queries), ("key", keys)] {
            if name.contains(&format!("layer.1.attention.self.{projection}")) {
                turn(&mut values, inputs, angle);
            }
        }
        Ok(values)
    });
    Run::with_student(plan, teacher(&cpu()), student.unwrap())
}

/// Q-Q, K-K and V-V say nothing of how queries stand to keys: a student may have all three and another attention. What is
/// turned together stays together.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn self_pairs_leave_the_others_open() {
    let batch = golden_batch(&golden(), 0);
    let all: Vec<String> = Pair::all().map(Pair::key).into();
    for (queries, keys, open) in [
        (2.0, 0.0, &["qk", "qv", "kq", "vq"][..]),
        (0.0, 2.0, &["qk", "kq", "kv", "vk"]),
        (2.0, 2.0, &["qv", "kv", "vq", "vk"]),
        (0.0, 0.0, &[]),
    ] {
        let run = turned(queries, keys).await;
        let measured = run.evaluate(std::slice::from_ref(&batch)).await.unwrap();
        for key in &all {
            let pair: Pair = key.parse().unwrap();
            let kl = measured.kl(pair).unwrap();
            let is_right = match open.contains(&key.as_str()) {
                true => kl > 1e-3,
                false => kl.abs() < 1e-6,
            };
            assert!(is_right, "{pair}: {kl}, turned by {queries} and {keys}");
        }
        let trained: Vec<Part> = measured.parts.into_keys().collect();
        assert_eq!(trained, run.plan().parts());
    }
}
