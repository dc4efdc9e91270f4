//! Runs: against PyTorch, against themselves, and where they must stop.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Tensor};
use it::{cpu, gpu};
use limbeck_kernels::testing::{launches, skip_launches};
use limbeck_model::{Dropout, Encoder, Named, Precision, TokenBatch};
use limbeck_oracle::judge::{assert_as_good_as_within, relative_l2};
use limbeck_recipe::batching::{Batch, DataPosition};
use limbeck_recipe::{
    Compute, Estimate, Init, KernelChoice, Mixed, Objective, Operation, OutputRecipe, Pair, Part,
    Plan, Recipe, Step, StudentRecipe,
};
use limbeck_train::{
    Checkpoint, Event, Gradients, Lesson, Reading, Run, TrainError, check_kernels,
};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::encoder::tiny_bert;
use crate::golden::Golden;

pub fn golden() -> Golden {
    Golden::parse(include_bytes!("../golden/training.safetensors"))
}

/// The recipe of `golden/training.py`.
pub fn recipe() -> Recipe {
    Recipe {
        student: StudentRecipe {
            layers: 2,
            hidden: 12,
            heads: 3,
            ffn: Some(48),
            dropout: 0.0,
            init: Init::Random,
            from_layers: None,
            vocabulary: None,
        },
        relation_heads: Some(6),
        corpus: vec!["golden".into()],
        max_length: 12,
        batch: 4,
        steps: 10,
        learning_rate: 5e-3,
        warmup: Some(3),
        clip: 0.15,
        output: OutputRecipe::none(),
        ..Recipe::default()
    }
}

pub fn plan(recipe: &Recipe) -> Plan {
    Plan::new(recipe, &tiny_bert().config().unwrap()).unwrap()
}

pub fn teacher(device: &Device) -> Encoder {
    Encoder::from_folder(&tiny_bert(), device).unwrap()
}

pub fn golden_batch(golden: &Golden, index: usize) -> Batch {
    let ids = golden.ids(&format!("batch.{index}.ids"));
    let lengths = golden.lengths(&format!("batch.{index}.lengths"));
    let sources = (0..lengths.len())
        .map(|line| (0, line as u64 + 1))
        .collect();
    Batch {
        padded: ids.len() / lengths.len(),
        ids,
        types: Vec::new(),
        lengths,
        sources,
    }
}

pub fn golden_run(golden: &Golden, recipe: &Recipe, device: &Device) -> Run {
    golden_run_of(golden, plan(recipe), device)
}

pub fn golden_run_of(golden: &Golden, plan: Plan, device: &Device) -> Run {
    let student = Encoder::from_values(&plan.student, device, |name, _, shape| {
        let name = format!("init.{name}");
        assert_eq!(golden.shape(&name), shape);
        Ok(golden.f32(&name))
    });
    Run::with_student(plan, teacher(device), student.unwrap())
}

/// A batch as several, of `sizes` sequences, padded to the longest of them.
pub fn split(batch: &Batch, sizes: &[usize]) -> Vec<Batch> {
    assert_eq!(sizes.iter().sum::<usize>(), batch.lengths.len());
    let sequence = |row: usize| &batch.ids[row * batch.padded..][..batch.lengths[row]];
    let mut start = 0;
    let part = |size: &usize| {
        let rows = start..start + size;
        start = rows.end;
        let sequences: Vec<&[u32]> = rows.clone().map(sequence).collect();
        let sources = batch.sources[rows].to_vec();
        Batch::pad(&sequences, sources, 0, 1, batch.padded)
    };
    sizes.iter().map(part).collect()
}

pub async fn step(run: &mut Run, batch: &Batch) -> Step {
    step_of(run, std::slice::from_ref(batch)).await
}

async fn step_of(run: &mut Run, batches: &[Batch]) -> Step {
    match run.step(batches).await.unwrap() {
        Event::Step(event) => event,
        skipped => panic!("{skipped:?}"),
    }
}

pub fn near(got: f64, expected: f64, relative: f64, what: &str) {
    assert!(
        (got - expected).abs() <= relative * expected.abs(),
        "{what}: {got} and {expected}"
    );
}

/// Ten steps follow PyTorch: loss by pair, norm, schedule, and at the end every weight. The bounds are what tells a missing
/// weight decay or a wrong epsilon from rounding (`golden/training.py` has the table). Each step takes a
/// batch as micro-batches of `sizes` sequences.
async fn follow_pytorch(device: &Device, sizes: &[usize], losses: f64, norms: f64, weights: f64) {
    let golden = golden();
    let mut run = golden_run(&golden, &recipe(), device);
    let names = run.plan().parts().into_iter().map(|part| part.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["Q-Q", "K-K", "V-V"]);
    for index in 0..10 {
        let whole = golden_batch(&golden, index);
        let event = step_of(&mut run, &split(&whole, sizes)).await;
        assert_eq!(event.tokens, whole.tokens() as u64);
        let what = |name: &str| format!("{name} of step {}", index + 1);
        near(event.loss, golden.get("loss")[index], losses, &what("loss"));
        for (kl, pair) in event.parts.values().zip(["qq", "kk", "vv"]) {
            near(
                *kl,
                golden.get(&format!("loss.{pair}"))[index],
                losses,
                &what(pair),
            );
        }
        near(
            event.gradient_norm,
            golden.get("norm")[index],
            norms,
            &what("norm"),
        );
        near(
            event.learning_rate,
            golden.get("learning_rate")[index],
            1e-12,
            &what("learning rate"),
        );
    }
    for Named { name, values, .. } in run.student().values().await.unwrap() {
        for (got, expected) in values.iter().zip(golden.get(&format!("final.{name}"))) {
            assert!(
                (f64::from(*got) - expected).abs() <= weights,
                "{name}: {got} and {expected}"
            );
        }
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn ten_steps_follow_pytorch_on_the_cpu() {
    follow_pytorch(&cpu(), &[4], 5e-6, 2e-5, 1e-5).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn ten_steps_follow_pytorch_on_the_gpu() {
    follow_pytorch(&gpu().await, &[4], 1e-4, 1e-3, 1e-4).await;
}

/// A step of one and three sequences is the step of all four: losses, norm and weights follow within the same bounds. That a
/// GPU's gradients add up is seen by `accumulated_batches_equal_the_whole_batch`, in one step.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn accumulated_steps_follow_pytorch() {
    follow_pytorch(&cpu(), &[1, 3], 5e-6, 2e-5, 1e-5).await;
}

fn gradients(run: &mut Run, batches: &[Batch]) -> Gradients {
    let lessons: Vec<Lesson> = batches.iter().map(Lesson::from).collect();
    run.gradients(&lessons, &mut |_| ()).unwrap()
}

/// A bias of keys adds the same number to all scores of a row, which softmax does not see: the exact gradient is 0, and f32
/// has nothing but rounding to compare. The last layer's has one, through K-K.
const NO_GRADIENT: &str = "encoder.layer.0.attention.self.key.bias";

/// The gradient of parts of a batch is as good as that of the whole batch, parameter by parameter. The exact answer is the
/// mean, in f64, of the gradient of each sequence.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn accumulated_batches_equal_the_whole_batch() {
    let golden = golden();
    let whole = golden_batch(&golden, 0);
    for (device, factor) in [(cpu(), 2.0), (gpu().await, 8.0)] {
        let mut run = golden_run(&golden, &recipe(), &device);
        let mut exact: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for alone in split(&whole, &[1; 4]) {
            let alone = gradients(&mut run, &[alone]);
            for Named { name, values, .. } in alone.read().await.unwrap() {
                let mean = exact.entry(name).or_insert_with(|| vec![0.0; values.len()]);
                let terms = mean.iter_mut().zip(values);
                terms.for_each(|(mean, value)| *mean += f64::from(value) / 4.0);
            }
        }
        let naive = gradients(&mut run, std::slice::from_ref(&whole));
        let naive = naive.read().await.unwrap();
        assert_eq!(naive.len(), exact.len());
        for sizes in [&[2, 2][..], &[1, 3], &[2, 1, 1]] {
            let got = gradients(&mut run, &split(&whole, sizes));
            let got = got.read().await.unwrap();
            assert_eq!(got.len(), naive.len());
            for (got, naive) in got.iter().zip(&naive) {
                assert_eq!((&got.name, &got.shape), (&naive.name, &naive.shape));
                if got.name == NO_GRADIENT {
                    continue;
                }
                let (name, exact) = (&naive.name, &exact[&naive.name]);
                assert_as_good_as_within(factor, name, &got.values, &naive.values, exact);
            }
        }
    }
}

/// Micro-batches drop different values. The first of a step drops what a step dropped before there were micro-batches.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn each_micro_batch_has_its_own_masks() {
    for (micro_batch, bits) in [(0, 0xdaa5_4437), (1, 0x37b8_eab6), (2, 0x69e5_65a3)] {
        let ones = Tensor::<1>::ones([32], &cpu());
        let dropped = Dropout::new(3, 4, micro_batch).apply(ones, 0.5);
        let dropped: Vec<f32> = dropped
            .into_data_async()
            .await
            .unwrap()
            .try_to_vec()
            .unwrap();
        let kept = dropped
            .iter()
            .rev()
            .fold(0u32, |bits, x| bits << 1 | u32::from(*x > 0.0));
        assert_eq!(kept, bits, "micro-batch {micro_batch}");
    }
    // Half of a gradient twice is that gradient, bit for bit, unless the masks differ.
    let golden = golden();
    let batch = golden_batch(&golden, 0);
    for (recipe, equal) in [(recipe(), true), (with_dropout(), false)] {
        let mut run = golden_run(&golden, &recipe, &cpu());
        let once = gradients(&mut run, std::slice::from_ref(&batch))
            .read()
            .await
            .unwrap();
        let twice = gradients(&mut run, &[batch.clone(), batch.clone()])
            .read()
            .await
            .unwrap();
        assert_eq!(once == twice, equal, "dropout {}", recipe.student.dropout);
    }
}

/// What the teacher makes of a batch may come from elsewhere; then the run does not ask its own.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_lesson_may_bring_the_teachers_taps() {
    let golden = golden();
    let batch = golden_batch(&golden, 0);
    for device in [cpu(), gpu().await] {
        let mut run = golden_run(&golden, &recipe(), &device);
        let tokens = TokenBatch::new(&batch.ids, &batch.lengths, &device).unwrap();
        let mut losses = Vec::new();
        for layer in [None, Some(2), Some(1)] {
            let reading = layer.map(|layer| Reading {
                taps: teacher(&device).tap(&tokens, layer, None).unwrap(),
                states: None,
            });
            let lesson = Lesson {
                batch: &batch,
                teacher: reading,
            };
            let gradients = run.gradients(&[lesson], &mut |_| ()).unwrap();
            losses.push(gradients.numbers().await.unwrap());
        }
        assert_eq!(losses[0], losses[1]);
        assert_ne!(losses[0].parts, losses[2].parts);
    }
}

/// Rung 9: our kernels and plain operations train alike, dropout included.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn both_kernels_train_alike() {
    let golden = golden();
    for (device, count) in [(cpu(), 5), (gpu().await, 2)] {
        let mut losses = Vec::new();
        for kernel in [KernelChoice::Fused, KernelChoice::Naive] {
            let recipe = Recipe {
                kernel,
                ..with_dropout()
            };
            let mut run = golden_run(&golden, &recipe, &device);
            let events = steps(&mut run, &golden, 0..count).await;
            losses.push(events.iter().map(|e| e.loss).collect::<Vec<f64>>());
        }
        for (fused, naive) in losses[0].iter().zip(&losses[1]) {
            near(*fused, *naive, 1e-4, "loss");
        }
    }
}

/// A loss that leaves a projection out trains with both kernels, and alike.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn any_pairs_train() {
    let golden = golden();
    let sets: [&[&str]; 4] = [&["vv"], &["qq"], &["kk", "qk"], &["qq", "vv"]];
    for (device, sets) in [(cpu(), &sets[..]), (gpu().await, &sets[..1])] {
        for names in sets {
            let mut losses = Vec::new();
            for kernel in [KernelChoice::Fused, KernelChoice::Naive] {
                let weights = names.iter().map(|name| ((*name).to_owned(), 1.0));
                let recipe = Recipe {
                    kernel,
                    pairs: Some(weights.collect()),
                    ..recipe()
                };
                let mut run = golden_run(&golden, &recipe, &device);
                let events = steps(&mut run, &golden, 0..3).await;
                losses.push(events.iter().map(|e| e.loss).collect::<Vec<f64>>());
            }
            for (fused, naive) in losses[0].iter().zip(&losses[1]) {
                near(*fused, *naive, 1e-4, "loss");
            }
        }
    }
}

/// Kernels that work are used; kernels that a device does not run are noticed before the run, and plain operations take over.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn kernels_are_tested_before_a_run() {
    for device in [cpu(), gpu().await] {
        let mut plan = plan(&recipe());
        assert_eq!(check_kernels(&mut plan, &device).await, None);
        assert_eq!(plan.kernels, KernelChoice::Fused.into());
    }
    let (plan, failure) = without_launches_of("").await;
    assert!(failure.contains("Relation { student: 2"), "{failure}");
    for operation in Operation::ALL {
        assert!(!plan.kernels.has(operation), "{operation:?}");
    }
}

/// A teacher in mixed precision teaches what one in f32 does: the loss of each step, up to 2 %. Another loss than that of f32 it is.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn mixed_precision_of_the_teacher_changes_little() {
    let (golden, device) = (golden(), gpu().await);
    let mut losses = Vec::new();
    for mixed in [None, Some(Mixed::Portable)] {
        let mut plan = plan(&Recipe {
            compute: Compute::Mixed,
            ..recipe()
        });
        plan.mixed = mixed;
        assert_eq!(check_kernels(&mut plan, &device).await, None);
        assert_eq!(plan.teacher_kernels().mixed(), mixed);
        let mut run = golden_run_of(&golden, plan, &device);
        assert_eq!(run.student().kernels().mixed(), None);
        let events = steps(&mut run, &golden, 0..6).await;
        losses.push(events.iter().map(|e| e.loss).collect::<Vec<f64>>());
    }
    assert_ne!(losses[0], losses[1]);
    for (mixed, plain) in losses[1].iter().zip(&losses[0]) {
        near(*mixed, *plain, 0.02, "loss");
    }
}

/// Cooperative matrices are right where the GPU has them; where it refuses them, as software adapters do, the teacher is computed in f32,
/// and nothing else changes. A browser refuses nothing aloud.
#[cfg(not(target_family = "wasm"))]
#[pollster::test]
async fn cooperative_matrices_are_right_or_not_used() {
    let device = gpu().await;
    let mut plan = plan(&recipe());
    plan.mixed = Some(Mixed::Cooperative);
    let Some(failure) = check_kernels(&mut plan, &device).await else {
        assert_eq!(plan.teacher_kernels().mixed(), Some(Mixed::Cooperative));
        return;
    };
    assert!(
        failure.starts_with("mixed precision (the device failed"),
        "{failure}"
    );
    assert_eq!(plan.teacher_kernels().mixed(), None);
    for operation in Operation::ALL {
        assert_eq!(plan.kernels.has(operation), operation != Operation::Mixed);
    }
}

/// Only the kernel that fails is replaced.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_kernel_that_fails_falls_back_alone() {
    let (plan, failure) = without_launches_of("GeluSpec").await;
    assert!(failure.contains("of Gelu"), "{failure}");
    for operation in Operation::ALL {
        assert_eq!(plan.kernels.has(operation), operation != Operation::Gelu);
    }
}

/// The plan of a GPU that does not run these shaders, and why it is as it is. A step of it is right.
async fn without_launches_of(shader: &'static str) -> (Plan, String) {
    let (golden, device) = (golden(), gpu().await);
    let student = golden_run(&golden, &recipe(), &device).student().clone();
    let mut plan = plan(&recipe());
    plan.mixed = Some(Mixed::Portable);
    skip_launches(Some(shader));
    let failure = check_kernels(&mut plan, &device).await;
    // The golden's teacher is f32.
    plan.mixed = None;
    // The shaders stay broken: what follows must not need them.
    let mut run = Run::with_student(plan, teacher(&device), student);
    let event = step(&mut run, &golden_batch(&golden, 0)).await;
    skip_launches(None);
    near(event.loss, golden.get("loss")[0], 1e-4, "loss");
    let failure = failure.expect("a device that runs no kernel passed");
    assert!(failure.contains("differs from the CPU's"), "{failure}");
    (run.plan().clone(), failure)
}

/// MiniLM v1: attention and value relation over the attention heads.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn minilm_v1_follows_pytorch() {
    let golden = golden();
    let recipe = Recipe {
        objective: Objective::MinilmV1,
        relation_heads: None,
        ..recipe()
    };
    let mut run = golden_run(&golden, &recipe, &cpu());
    let event = step(&mut run, &golden_batch(&golden, 0)).await;
    near(
        event.parts[&Part::Relation(Pair::QK)],
        golden.get("v1.loss.qk")[0],
        5e-6,
        "Q-K",
    );
    near(
        event.parts[&Part::Relation(Pair::VV)],
        golden.get("v1.loss.vv")[0],
        5e-6,
        "V-V",
    );
    near(event.gradient_norm, golden.get("v1.norm")[0], 2e-5, "norm");
}

pub async fn steps(run: &mut Run, golden: &Golden, range: Range<usize>) -> Vec<Step> {
    accumulated_steps(run, golden, range, 1).await
}

/// Steps of `accumulate` batches each, from a range of the golden's batches.
async fn accumulated_steps(
    run: &mut Run,
    golden: &Golden,
    range: Range<usize>,
    accumulate: usize,
) -> Vec<Step> {
    let batches: Vec<Batch> = range.map(|index| golden_batch(golden, index)).collect();
    let mut events = Vec::new();
    for batches in batches.chunks(accumulate) {
        events.push(step_of(run, batches).await);
    }
    events
}

pub fn with_dropout() -> Recipe {
    let recipe = recipe();
    Recipe {
        student: StudentRecipe {
            dropout: 0.1,
            ..recipe.student.clone()
        },
        ..recipe
    }
}

/// Same seed, same losses, bit for bit, dropout included; another seed, other losses.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_seed_means_one_run() {
    let golden = golden();
    let mut losses = Vec::new();
    for seed in [1, 1, 2] {
        let recipe = Recipe {
            seed,
            ..with_dropout()
        };
        let mut run = Run::new(plan(&recipe), teacher(&cpu())).await.unwrap();
        losses.push(steps(&mut run, &golden, 0..4).await);
    }
    assert_eq!(losses[0], losses[1]);
    assert_ne!(losses[0], losses[2]);
}

/// Both models of a run read the token types of its batches, and a type of 0 is none.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn token_types_reach_both_models() {
    let golden = golden();
    let plain = golden_batch(&golden, 0);
    let typed = |of_second: u32| {
        let rows: Vec<Vec<u32>> = plain
            .lengths
            .iter()
            .map(|length| {
                (0..*length)
                    .map(|at| of_second * u32::from(2 * at > *length))
                    .collect()
            })
            .collect();
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        plain.clone().with_types(&rows)
    };
    for device in [cpu(), gpu().await] {
        let mut losses = Vec::new();
        for batch in [&plain, &typed(0), &typed(1)] {
            let mut run = Run::new(plan(&recipe()), teacher(&device)).await.unwrap();
            losses.push(step_of(&mut run, std::slice::from_ref(batch)).await.loss);
        }
        assert_eq!(losses[0], losses[1]);
        assert_ne!(losses[0], losses[2]);
        let run = Run::new(plan(&recipe()), teacher(&device)).await.unwrap();
        let (ids, types) = ([2, 7, 3, 11, 3], [0, 0, 0, 1, 1]);
        let pair = Batch::of_one(&ids, &types);
        let tokens = TokenBatch::new(&ids, &[5], &device)
            .unwrap()
            .with_types(&types);
        let taps_of = teacher(&device).tap(&tokens, 2, None).unwrap();
        let queries = it::read(taps_of.q).await;
        let taps = run.teacher_taps(&pair).await.unwrap();
        assert_eq!(taps[1][..queries.len()], queries);
        let alone = Batch::of_one(&ids, &[]);
        assert_ne!(taps, run.teacher_taps(&alone).await.unwrap());
        let taps = run.student_taps(&pair).await.unwrap();
        assert_ne!(taps, run.student_taps(&alone).await.unwrap());
    }
}

/// Looking at the student between steps changes no bit of the run, and shows the student without dropout.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn looking_changes_nothing() {
    let golden = golden();
    for device in [cpu(), gpu().await] {
        let mut unseen = Run::new(plan(&with_dropout()), teacher(&device))
            .await
            .unwrap();
        let expected = steps(&mut unseen, &golden, 0..4).await;
        let mut seen = Run::new(plan(&with_dropout()), teacher(&device))
            .await
            .unwrap();
        let ids = [2, 7, 9, 11, 3];
        let of_one = Batch::of_one(&ids, &[]);
        let mut before = seen.student_taps(&of_one).await.unwrap();
        let from_teacher = seen.teacher_taps(&of_one).await.unwrap();
        assert_eq!((from_teacher.len(), before.len()), (2, 2));
        assert!(
            from_teacher
                .iter()
                .all(|layer| layer.len() == 3 * ids.len() * 24)
        );
        for index in 0..4 {
            let step = steps(&mut seen, &golden, index..index + 1).await;
            assert_eq!(step, expected[index..=index]);
            let after = seen.student_taps(&of_one).await.unwrap();
            assert!(after.iter().all(|layer| layer.len() == 3 * ids.len() * 12));
            assert_ne!(after, before);
            assert_eq!(after, seen.student_taps(&of_one).await.unwrap());
            before = after;
        }
        assert_eq!(from_teacher, seen.teacher_taps(&of_one).await.unwrap());
        let values = seen.student().values().await.unwrap();
        assert_eq!(values, unseen.student().values().await.unwrap());
    }
}

/// Stopped, written, read and resumed: the same losses, bit for bit, as a run that was not stopped.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_resumed_run_is_the_same_run() {
    let golden = golden();
    for (device, accumulate, stop, end) in [
        (cpu(), 1, 3, 6),
        (cpu(), 2, 3, 5),
        (gpu().await, 1, 2, 3),
        (gpu().await, 2, 1, 2),
    ] {
        let recipe = Recipe {
            accumulate,
            ..with_dropout()
        };
        let (middle, end) = (stop * accumulate, end * accumulate);
        let mut whole = Run::new(plan(&recipe), teacher(&device)).await.unwrap();
        let expected = accumulated_steps(&mut whole, &golden, 0..end, accumulate).await;
        let mut first = Run::new(plan(&recipe), teacher(&device)).await.unwrap();
        accumulated_steps(&mut first, &golden, 0..middle, accumulate).await;
        let position = DataPosition {
            epoch: 3,
            lines: 17,
            ..DataPosition::default()
        };
        let bytes = first.checkpoint(&position, &BTreeMap::new()).await.unwrap();
        drop(first);
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        assert_eq!(
            (checkpoint.header.step, checkpoint.header.position.clone()),
            (stop as u64, position)
        );
        let mut second = Run::resume(
            plan(&checkpoint.header.recipe),
            teacher(&device),
            &checkpoint,
        )
        .unwrap();
        let resumed = accumulated_steps(&mut second, &golden, middle..end, accumulate).await;
        assert_eq!(resumed, expected[stop..]);
        assert_eq!(
            second.student().values().await.unwrap(),
            whole.student().values().await.unwrap()
        );
    }
}

/// What a GPU has saved goes on on the CPU, and the other way round: both save the same tensors and counts.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_checkpoint_is_of_any_device() {
    let golden = golden();
    let devices = [cpu(), gpu().await];
    let mut checkpoints = Vec::new();
    for device in &devices {
        let mut run = golden_run(&golden, &recipe(), device);
        steps(&mut run, &golden, 0..2).await;
        let position = DataPosition::default();
        let bytes = run.checkpoint(&position, &BTreeMap::new()).await.unwrap();
        checkpoints.push(Checkpoint::parse(&bytes).unwrap());
    }
    assert_eq!(checkpoints[0].header, checkpoints[1].header);
    // What is behind the projections of the last layer has no gradient.
    let updates = &checkpoints[1].header.updates;
    let name = |dense: &str| format!("encoder.layer.1.{dense}.weight");
    assert!(updates.values().all(|updates| *updates == 2));
    assert!(updates.contains_key(&name("attention.self.query")));
    assert!(!updates.contains_key(&name("intermediate.dense")));
    let mut ends = Vec::new();
    for checkpoint in &checkpoints {
        for device in &devices {
            let plan = plan(&checkpoint.header.recipe);
            let mut run = Run::resume(plan, teacher(device), checkpoint).unwrap();
            let event = step(&mut run, &golden_batch(&golden, 2)).await;
            ends.push((event.loss, run.student().values().await.unwrap()));
        }
    }
    for (loss, values) in &ends[1..] {
        near(*loss, ends[0].0, 1e-4, "loss");
        for (got, expected) in values.iter().zip(&ends[0].1) {
            let pairs = got.values.iter().zip(&expected.values);
            assert!(
                pairs
                    .clone()
                    .all(|(got, expected)| (got - expected).abs() < 1e-4),
                "{}",
                got.name
            );
        }
    }
}

/// On a GPU the norm of all gradients is one launch, and the update of all parameters another.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_gpu_updates_all_parameters_in_one_launch() {
    let golden = golden();
    let mut run = golden_run(&golden, &recipe(), &gpu().await);
    for index in 0..2 {
        let batches = [golden_batch(&golden, index)];
        let gradients = gradients(&mut run, &batches);
        let before = launches();
        let event = run.apply(gradients, &batches, &mut |_| ()).await.unwrap();
        assert!(matches!(event, Event::Step(_)), "{event:?}");
        if index > 0 {
            assert_eq!(launches() - before, 2);
        }
    }
}

/// A checkpoint that was changed or cut is refused; every place of it counts.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_damaged_checkpoint_is_refused() {
    let golden = golden();
    let mut run = Run::new(plan(&recipe()), teacher(&cpu())).await.unwrap();
    steps(&mut run, &golden, 0..1).await;
    let bytes = run
        .checkpoint(&DataPosition::default(), &BTreeMap::new())
        .await
        .unwrap();
    assert!(Checkpoint::parse(&bytes).is_ok());
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let error = Checkpoint::parse(&damaged);
        assert!(
            matches!(error, Err(TrainError::Checkpoint(_))),
            "byte {at} of {} changed unseen",
            bytes.len()
        );
    }
    for length in [0, 7, 100, bytes.len() - 1] {
        assert!(
            Checkpoint::parse(&bytes[..length]).is_err(),
            "cut to {length} bytes unseen"
        );
    }
}

/// So is one whose header says something else of the same bytes: another shape of the same
/// size, another type or name, an entry more in the metadata.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_checkpoint_with_another_header_is_refused() {
    let golden = golden();
    let mut run = Run::new(plan(&recipe()), teacher(&cpu())).await.unwrap();
    steps(&mut run, &golden, 0..1).await;
    let position = DataPosition::default();
    let bytes = run.checkpoint(&position, &BTreeMap::new()).await.unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let (header, data) = bytes[8..].split_at(length);
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let with = |header: &serde_json::Value| {
        let text = header.to_string().into_bytes();
        [&(text.len() as u64).to_le_bytes()[..], &text, data].concat()
    };
    assert!(Checkpoint::parse(&with(&header)).is_ok());
    let refused = |header: &serde_json::Value, what: &str| {
        let error = Checkpoint::parse(&with(header));
        assert!(matches!(error, Err(TrainError::Checkpoint(_))), "{what}");
    };
    let tensors = header.as_object().unwrap();
    let tensors: Vec<&String> = tensors.keys().filter(|k| *k != "__metadata__").collect();
    let of_moments = tensors.iter().filter(|name| !name.starts_with("student."));
    assert!(of_moments.clone().count() > 10);
    for name in of_moments {
        let parameter = name.split_once('.').unwrap().1;
        let shape: Vec<u64> = serde_json::from_value(header[*name]["shape"].clone()).unwrap();
        let size: u64 = shape.iter().product();
        for other in [vec![size], vec![1, size], vec![1, 1, size], vec![size, 1]] {
            if other == shape {
                continue;
            }
            let mut changed = header.clone();
            for moment in ["first", "second"] {
                changed[format!("{moment}.{parameter}")]["shape"] = other.clone().into();
            }
            refused(&changed, &format!("{name} as {other:?}"));
        }
    }
    for name in &tensors {
        for (key, value) in [("dtype", "U32"), ("dtype", "I32")] {
            let mut changed = header.clone();
            changed[*name][key] = value.into();
            refused(&changed, &format!("{key} {value} of {name}"));
        }
        let mut changed = header.clone();
        let entry = changed.as_object_mut().unwrap().remove(*name).unwrap();
        changed[format!("{name}s")] = entry;
        refused(&changed, name);
    }
    let mut changed = header.clone();
    changed["__metadata__"]["format"] = "pt".into();
    refused(&changed, "an entry more");
}

/// The teacher's weights are the same bits after training.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_teacher_is_frozen() {
    let golden = golden();
    let frozen = teacher(&cpu());
    let before = frozen.values().await.unwrap();
    // A clone shares its buffers: an update in place would show in `frozen`.
    let mut run = Run::new(plan(&recipe()), frozen.clone()).await.unwrap();
    let student = run.student().values().await.unwrap();
    steps(&mut run, &golden, 0..3).await;
    assert_eq!(frozen.values().await.unwrap(), before);
    assert_ne!(run.student().values().await.unwrap(), student);
}

/// The same batch again and again: the loss nearly vanishes.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn one_batch_is_learnt_by_heart() {
    let golden = golden();
    let wide = StudentRecipe {
        layers: 2,
        hidden: 48,
        heads: 3,
        ffn: None,
        ..recipe().student
    };
    let recipe = Recipe {
        student: wide,
        steps: 400,
        warmup: Some(20),
        clip: 1.0,
        ..recipe()
    };
    let mut run = Run::new(plan(&recipe), teacher(&cpu())).await.unwrap();
    let batch = golden_batch(&golden, 0);
    let first = step(&mut run, &batch).await.loss;
    let mut last = first;
    while !run.is_finished() {
        last = step(&mut run, &batch).await.loss;
    }
    assert!(last < 0.01 * first, "from {first} to {last}");
    let evaluated = run.evaluate(&[batch]).await.unwrap();
    let evaluated: f64 = evaluated.parts.values().sum();
    near(evaluated, last, 0.2, "evaluation");
}

/// A student of numbers that compute none.
fn overflowing(plan: &Plan) -> Encoder {
    let huge = |_: &str, _, shape: &[usize]| Ok(vec![3e38; shape.iter().product()]);
    Encoder::from_values(&plan.student, &cpu(), huge).unwrap()
}

/// A student whose weights are not numbers takes no step, and is neither saved nor exported.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_broken_student_is_not_saved() {
    let golden = golden();
    let plan = plan(&Recipe {
        learning_rate: 1e300,
        warmup: Some(0),
        ..recipe()
    });
    let mut run = Run::new(plan, teacher(&cpu())).await.unwrap();
    let batches = [golden_batch(&golden, 0)];
    let is_broken = |error: &TrainError| matches!(error, TrainError::Broken { step: 1, .. });
    run.step(&batches).await.unwrap();
    let saved = run
        .checkpoint(&DataPosition::default(), &BTreeMap::new())
        .await;
    assert!(is_broken(&saved.unwrap_err()));
    let exported = run.student().to_safetensors(Precision::F32).await;
    assert!(exported.unwrap_err().to_string().contains(" hold NaN in "));
    let error = run.step(&batches).await.unwrap_err();
    assert!(is_broken(&error), "{error:?}");
}

/// What f16 has no number for is not written as infinity.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn weights_beyond_16_bits_are_refused() {
    let plan = plan(&recipe());
    let student = Encoder::from_values(&plan.student, &cpu(), |name, _, shape| {
        let mut values = vec![0.0; shape.iter().product()];
        if name == "embeddings.LayerNorm.bias" {
            values[3] = -70_000.0;
        }
        Ok(values)
    });
    let student = student.unwrap();
    let error = student.to_safetensors(Precision::F16).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the student's weights hold -70000 in embeddings.LayerNorm.bias, first at [3]. f16 holds numbers up to 65504; write the \
         student with precision = \"f32\""
    );
    student.to_safetensors(Precision::F32).await.unwrap();
}

/// A loss that is not a number: skipped, counted, and at the third in a row the run stops and names the lines.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_loss_that_is_no_number_stops_the_run() {
    let golden = golden();
    let plan = plan(&recipe());
    let student = overflowing(&plan);
    let mut run = Run::with_student(plan, teacher(&cpu()), student);
    for expected in 1..=2 {
        let event = run.step(&[golden_batch(&golden, 0)]).await.unwrap();
        assert!(
            matches!(event, Event::Skipped { step, .. } if step == expected),
            "{event:?}"
        );
    }
    let batches = [0, 1].map(|index| golden_batch(&golden, index));
    let error = run.step(&batches).await.unwrap_err();
    assert!(
        matches!(&error, TrainError::NotFinite { lines, .. } if lines.len() == 8 && lines[3] == (0, 4)),
        "{error:?}"
    );
    assert_eq!(run.skipped(), 3);
}

/// Without a sequence there is no step: it is refused, and not counted.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_step_needs_a_sequence() {
    let mut run = Run::new(plan(&recipe()), teacher(&cpu())).await.unwrap();
    let empty = Batch::pad(&[], Vec::new(), 0, 1, 12);
    for batches in [vec![], vec![empty]] {
        let error = run.step(&batches).await.unwrap_err();
        assert!(matches!(error, TrainError::NoSequence), "{error:?}");
    }
    assert_eq!((run.steps_taken(), run.skipped()), (0, 0));
}

fn mistakes(recipe: &Recipe) -> String {
    Plan::new(recipe, &tiny_bert().config().unwrap())
        .unwrap_err()
        .to_string()
}

/// Every mistake of a recipe at once, each with its field.
#[wasm_bindgen_test(unsupported = test)]
fn a_wrong_recipe_is_told_everything() {
    let wrong = Recipe {
        student: StudentRecipe {
            heads: 5,
            ..recipe().student
        },
        relation_heads: Some(8),
        teacher_layer: Some(3),
        pairs: Some(BTreeMap::from([("qx".to_owned(), 1.0)])),
        max_length: 100,
        learning_rate: 0.0,
        warmup: Some(11),
        ..recipe()
    };
    let expected = "the recipe has 8 mistakes:\n  \
        max_length: must be 3 to 40 (the teacher's positions), not 100\n  \
        learning_rate: must be above 0, not 0\n  \
        student.heads: 5 attention heads do not divide the hidden size 12; these do: [1, 2, 3, 4, 6, 12]\n  \
        teacher_layer: layer 3 does not exist: the teacher has layers 1 to 2\n  \
        relation_heads: 8 relation heads do not divide both hidden sizes, 12 (student) and 24 (teacher); these do: [1, 2, 3, 4, 6, 12]\n  \
        pairs: `qx` is not a pair; the nine pairs are qq, qk, qv, kq, kk, kv, vq, vk, vv\n  \
        pairs: no pair has a weight above 0\n  \
        warmup: a warm-up of 11 steps is longer than the run of 10";
    assert_eq!(mistakes(&wrong), expected);
}

/// A number of batches that no step can have is refused with its field.
#[wasm_bindgen_test(unsupported = test)]
fn absurd_accumulation_is_refused() {
    for accumulate in [0, 4097, usize::MAX] {
        let recipe = Recipe {
            accumulate,
            ..recipe()
        };
        let expected = format!(
            "the recipe has a mistake:\n  accumulate: must be 1 to 4096 batches, not {accumulate}"
        );
        assert_eq!(mistakes(&recipe), expected);
    }
}

/// Accumulated batches cost their time, and in memory one more gradient, however many they are.
#[wasm_bindgen_test(unsupported = test)]
fn accumulation_costs_time_and_one_gradient() {
    let estimate = |accumulate| {
        let recipe = Recipe {
            accumulate,
            ..recipe()
        };
        Estimate::of(&plan(&recipe))
    };
    let (one, two, eight) = (estimate(1), estimate(2), estimate(8));
    assert_eq!((two.flops, eight.flops), (2.0 * one.flops, 8.0 * one.flops));
    assert_eq!(two.bytes - one.bytes, 4.0 * one.student_parameters as f64);
    assert_eq!(two.bytes, eight.bytes);
}

/// What a recipe leaves open follows the paper.
#[wasm_bindgen_test(unsupported = test)]
fn defaults_follow_the_paper() {
    let open = Recipe {
        relation_heads: None,
        student: StudentRecipe {
            ffn: None,
            ..recipe().student
        },
        ..recipe()
    };
    let plan = plan(&open);
    assert_eq!(
        (
            plan.relation_heads,
            plan.teacher_layer,
            plan.student.intermediate_size
        ),
        (12, 2, 48)
    );
    let pairs: Vec<String> = plan
        .pairs
        .iter()
        .map(|(pair, weight)| format!("{weight} {pair}"))
        .collect();
    assert_eq!(pairs, ["1 Q-Q", "1 K-K", "1 V-V"]);
    let rates: Vec<f64> = (1..=10)
        .map(|step| plan.learning_rate(step) / 5e-3)
        .collect();
    let expected = [
        1.0 / 3.0,
        2.0 / 3.0,
        1.0,
        7.0 / 8.0,
        6.0 / 8.0,
        5.0 / 8.0,
        4.0 / 8.0,
        3.0 / 8.0,
        2.0 / 8.0,
        1.0 / 8.0,
    ];
    assert!(relative_l2(&rates, &expected) < 1e-12, "{rates:?}");
}
