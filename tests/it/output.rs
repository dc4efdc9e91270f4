//! The output stage: against PyTorch, what it trains, and across a stop.

use std::collections::BTreeMap;

use burn::tensor::Device;
use it::{cpu, gpu, read, wide};
use limbeck_model::{Encoder, Named, TokenBatch};
use limbeck_recipe::batching::{Batch, DataPosition};
use limbeck_recipe::{
    Estimate, Init, KernelChoice, OutputRecipe, Part, Pooling, PoolingMode, Recipe, StudentRecipe,
};
use limbeck_train::{Checkpoint, Lesson, Run};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::golden::Golden;
use crate::training::{
    golden, golden_batch, golden_run, golden_run_of, near, plan, recipe, split, step, steps,
    teacher, with_dropout,
};

/// The output stage of `golden/output.py`.
fn stage() -> OutputRecipe {
    OutputRecipe {
        share: 0.6,
        relations: 0.5,
        sentence_relation: 0.7,
        cosine: 1.0,
        l2: 0.3,
        similarity: 2.0,
        hidden: 0.2,
    }
}

fn goldens() -> (Golden, Golden) {
    let of_stage = Golden::parse(include_bytes!("../golden/output.safetensors"));
    (golden(), of_stage)
}

/// The stage alone, for all steps, with one part.
fn only(part: Part) -> OutputRecipe {
    let weight = |of: Part| if part == of { 1.0 } else { 0.0 };
    OutputRecipe {
        share: 1.0,
        relations: 0.0,
        sentence_relation: weight(Part::SentenceRelation),
        cosine: weight(Part::Cosine),
        l2: weight(Part::L2),
        similarity: weight(Part::Similarity),
        hidden: weight(Part::Hidden),
    }
}

/// Each part and its gradient, then ten steps with all of them: losses, norms, and at the end every weight.
async fn follow_pytorch(device: &Device, kernel: KernelChoice, losses: f64, weights: f64) {
    let (data, golden) = goldens();
    for part in Part::OUTPUT {
        let recipe = Recipe {
            output: only(part),
            kernel,
            ..recipe()
        };
        let mut run = golden_run(&data, &recipe, device);
        let batch = golden_batch(&data, 0);
        let evaluated = run.evaluate(std::slice::from_ref(&batch)).await.unwrap();
        let event = step(&mut run, &batch).await;
        let expected = golden.get(&format!("part.{part}"))[0];
        assert_eq!(event.parts.len(), 1);
        near(event.parts[&part], expected, losses, &part.to_string());
        near(evaluated.parts[&part], expected, losses, "evaluation");
        let norm = golden.get(&format!("part.norm.{part}"))[0];
        near(event.gradient_norm, norm, 10.0 * losses, "norm of a part");
    }
    let recipe = Recipe {
        output: stage(),
        kernel,
        ..recipe()
    };
    let mut run = golden_run(&data, &recipe, device);
    for index in 0..10 {
        let event = step(&mut run, &golden_batch(&data, index)).await;
        let what = |name: &str| format!("{name} of step {}", index + 1);
        near(event.loss, golden.get("loss")[index], losses, &what("loss"));
        let norm = golden.get("norm")[index];
        near(event.gradient_norm, norm, 10.0 * losses, &what("norm"));
        assert_eq!(event.parts.len(), if index < 4 { 3 } else { 8 });
        for part in Part::OUTPUT {
            if let Some(value) = event.parts.get(&part) {
                let expected = golden.get(&part.to_string())[index - 4];
                near(*value, expected, losses, &what(&part.to_string()));
            }
        }
    }
    for Named { name, values, .. } in run.student().values().await.unwrap() {
        for (got, expected) in values.iter().zip(golden.get(&format!("final.{name}"))) {
            let off = (f64::from(*got) - expected).abs();
            assert!(off <= weights, "{name}: {got} and {expected}");
        }
    }
    let checkpoint = checkpoint_of(&run).await;
    let map = tensor(&checkpoint, "output.map");
    for (got, expected) in map.iter().zip(golden.get("final.output.map")) {
        let off = (f64::from(*got) - expected).abs();
        assert!(off <= weights, "map: {got} and {expected}");
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_output_stage_follows_pytorch_on_the_cpu() {
    follow_pytorch(&cpu(), KernelChoice::Fused, 3e-5, 5e-5).await;
    follow_pytorch(&cpu(), KernelChoice::Naive, 3e-5, 5e-5).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_output_stage_follows_pytorch_on_the_gpu() {
    follow_pytorch(&gpu().await, KernelChoice::Fused, 1e-4, 1e-4).await;
}

async fn checkpoint_of(run: &Run) -> Vec<u8> {
    let position = DataPosition::default();
    run.checkpoint(&position, &BTreeMap::new()).await.unwrap()
}

fn tensor(checkpoint: &[u8], name: &str) -> Vec<f32> {
    let file = safetensors::SafeTensors::deserialize(checkpoint).unwrap();
    let view = file.tensor(name).unwrap();
    let values = view.data().as_chunks::<4>().0.iter();
    values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Names of the parameters that differ.
fn changed(before: &[Named], after: &[Named]) -> Vec<String> {
    let pairs = before
        .iter()
        .zip(after)
        .filter(|(b, a)| b.values != a.values);
    pairs.map(|(before, _)| before.name.clone()).collect()
}

/// Before the stage the end of the last layer stays as it was; in the stage every parameter changes. The map is no parameter of
/// the student.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_stage_trains_every_layer() {
    let data = golden();
    for device in [cpu(), gpu().await] {
        let recipe = Recipe {
            output: stage(),
            ..recipe()
        };
        let mut run = golden_run(&data, &recipe, &device);
        let fresh = run.student().values().await.unwrap();
        steps(&mut run, &data, 0..4).await;
        let before = run.student().values().await.unwrap();
        let untrained = |name: &String| !changed(&fresh, &before).contains(name);
        let names: Vec<String> = fresh.iter().map(|named| named.name.clone()).collect();
        let end = "encoder.layer.1.";
        let left: Vec<&String> = names.iter().filter(|name| untrained(name)).collect();
        assert_eq!(left.len(), 10, "{left:?}");
        assert!(
            left.iter()
                .all(|name| name.starts_with(end) && !name.contains("self"))
        );
        steps(&mut run, &data, 4..5).await;
        let after = run.student().values().await.unwrap();
        assert_eq!(changed(&before, &after), names);
        assert!(!names.iter().any(|name| name.contains("map")));
    }
}

/// What is compared sentence by sentence does not depend on how a step is split into batches; what compares the sentences of a
/// batch does.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn parts_by_sentence_accumulate() {
    let data = golden();
    let whole = golden_batch(&data, 0);
    let recipe = Recipe {
        output: OutputRecipe {
            share: 1.0,
            ..stage()
        },
        ..recipe()
    };
    let mut run = golden_run(&data, &recipe, &cpu());
    let mut parts = async |batches: &[Batch]| {
        let lessons: Vec<Lesson> = batches.iter().map(Lesson::from).collect();
        let gradients = run.gradients(&lessons, &mut |_| ()).unwrap();
        gradients.numbers().await.unwrap().parts
    };
    let (one, three) = (
        parts(std::slice::from_ref(&whole)).await,
        parts(&split(&whole, &[1, 3])).await,
    );
    for (part, value) in one {
        let split = three[&part];
        match part {
            Part::Similarity | Part::SentenceRelation => {
                assert!(
                    (split / value - 1.0).abs() > 0.05,
                    "{part}: {split} and {value}"
                );
            }
            _ => near(split, value, 1e-5, &part.to_string()),
        }
    }
}

/// Stopped before the stage and in the middle of it, written, read and resumed: the same steps, weights and map, bit for bit.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_resumed_around_its_output_stage_is_the_same_run() {
    let data = golden();
    // A step takes a software adapter in a browser three seconds.
    for (device, stops, end) in [(cpu(), &[3, 6][..], 8), (gpu().await, &[5], 6)] {
        let recipe = Recipe {
            output: stage(),
            ..with_dropout()
        };
        let mut whole = Run::new(plan(&recipe), teacher(&device)).await.unwrap();
        let expected = steps(&mut whole, &data, 0..end).await;
        for &stop in stops {
            let mut first = Run::new(plan(&recipe), teacher(&device)).await.unwrap();
            steps(&mut first, &data, 0..stop).await;
            let bytes = checkpoint_of(&first).await;
            drop(first);
            let checkpoint = Checkpoint::parse(&bytes).unwrap();
            let plan = plan(&checkpoint.header.recipe);
            let mut second = Run::resume(plan, teacher(&device), &checkpoint).unwrap();
            let resumed = steps(&mut second, &data, stop..end).await;
            assert_eq!(resumed, expected[stop..]);
            let [second, whole] = [&second, &whole].map(checkpoint_of);
            assert_eq!(checksum(&second.await), checksum(&whole.await));
        }
    }
}

/// The checksum of a checkpoint, which covers all that it says; the order of its metadata is any.
fn checksum(checkpoint: &[u8]) -> String {
    let text = String::from_utf8_lossy(checkpoint);
    let (_, rest) = text.split_once(r#""crc32":""#).unwrap();
    rest[..8].to_owned()
}

/// The map of a narrower student from its teacher starts at the columns that it kept; a student as wide as its teacher has none,
/// and what it starts with is as near as can be.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_map_starts_where_the_student_does() {
    let data = golden();
    let batch = golden_batch(&data, 0);
    let student = |hidden, layers| Recipe {
        student: StudentRecipe {
            hidden,
            layers,
            heads: 3,
            ffn: None,
            init: Init::Teacher,
            ..recipe().student
        },
        output: OutputRecipe {
            l2: 1.0,
            ..OutputRecipe::default()
        },
        ..recipe()
    };
    let narrow = Run::new(plan(&student(12, 2)), teacher(&cpu()))
        .await
        .unwrap();
    let map = tensor(&checkpoint_of(&narrow).await, "output.map");
    let columns: Vec<usize> = (map.chunks(24))
        .map(|row| {
            assert_eq!(row.iter().sum::<f32>(), 1.0);
            row.iter().position(|value| *value == 1.0).unwrap()
        })
        .collect();
    assert_eq!(columns, teacher(&cpu()).kept_columns(12).await.unwrap());
    assert_ne!(columns, (0..12).collect::<Vec<_>>());

    let copy = Run::new(plan(&student(24, 2)), teacher(&cpu()))
        .await
        .unwrap();
    let bytes = checkpoint_of(&copy).await;
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.tensor("output.map").is_err());
    for (part, value) in copy.evaluate(&[batch]).await.unwrap().parts {
        assert!(value.abs() < 1e-6, "{part}: {value}");
    }
}

/// The vector of a sequence by the definition of a mode: rows are the hidden states of its real tokens.
fn pooled(mode: PoolingMode, rows: &[&[f64]]) -> Vec<f64> {
    let width = rows[0].len();
    let column = |at: usize| rows.iter().map(move |row| row[at]);
    let number = rows.len() as f64;
    let of_column = |at: usize| match mode {
        PoolingMode::Cls => rows[0][at],
        PoolingMode::LastToken => rows[rows.len() - 1][at],
        PoolingMode::Max => column(at).fold(f64::NEG_INFINITY, f64::max),
        PoolingMode::Mean => column(at).sum::<f64>() / number,
        PoolingMode::MeanSqrtLen => column(at).sum::<f64>() / number.sqrt(),
        PoolingMode::WeightedMean => {
            let weighted = column(at).zip(1..).map(|(x, place)| x * f64::from(place));
            weighted.sum::<f64>() / (number * (number + 1.0) / 2.0)
        }
    };
    (0..width).map(of_column).collect()
}

/// The vectors of a batch, each mode's one behind the other and each `width` wide, with zeros at the end.
async fn vectors(
    encoder: &Encoder,
    batch: &Batch,
    modes: &[PoolingMode],
    width: usize,
) -> Vec<Vec<f64>> {
    let tokens = TokenBatch::new(&batch.ids, &batch.lengths, encoder.device()).unwrap();
    let states = encoder.last_hidden(&tokens, None).unwrap();
    let [_, s, h] = states.dims();
    let states = wide(&read(states).await);
    let sequences = states.chunks(s * h).zip(&batch.lengths);
    let vector = |(states, length): (&[f64], &usize)| {
        let rows: Vec<&[f64]> = states.chunks(h).take(*length).collect();
        let of_mode = |mode: &PoolingMode| {
            let mut vector = pooled(*mode, &rows);
            vector.resize(width, 0.0);
            vector
        };
        modes.iter().flat_map(of_mode).collect()
    };
    sequences.map(vector).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Vectors are pooled as the teacher's folder says, those of the teacher and those of the narrower student, which pass its map
/// mode by mode: the cosine is that of a plain computation, and each mode has a gradient that brings it down.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn vectors_are_pooled_as_the_folder_says() {
    use PoolingMode::{Cls, LastToken, Max, Mean, MeanSqrtLen, WeightedMean};
    let data = golden();
    let batch = golden_batch(&data, 0);
    let recipe = Recipe {
        output: only(Part::Cosine),
        ..recipe()
    };
    let mut seen: Vec<f64> = Vec::new();
    for modes in [
        &[Mean][..],
        &[Cls],
        &[Max],
        &[LastToken],
        &[WeightedMean],
        &[LastToken, Max],
    ] {
        let pooling = Pooling {
            modes: modes.to_vec(),
            include_prompt: true,
        };
        let mut run = golden_run_of(&data, plan(&recipe).pooled(&pooling), &cpu());
        let student = vectors(&run.student().without_autodiff(), &batch, modes, 24).await;
        let of_teacher = vectors(&teacher(&cpu()), &batch, modes, 24).await;
        let distances = student.iter().zip(&of_teacher).map(|(s, t)| distance(s, t));
        let expected = distances.sum::<f64>() / student.len() as f64;
        let measured = run.evaluate(std::slice::from_ref(&batch)).await.unwrap();
        let measured = measured.parts[&Part::Cosine];
        near(measured, expected, 1e-5, &pooling.words());
        assert!(seen.iter().all(|other| (other - measured).abs() > 1e-3));
        seen.push(measured);
        let first = step(&mut run, &batch).await;
        near(first.loss, expected, 1e-5, &pooling.words());
        while !run.is_finished() {
            step(&mut run, &batch).await;
        }
        let after = run.evaluate(std::slice::from_ref(&batch)).await.unwrap();
        let after = after.parts[&Part::Cosine];
        assert!(after < 0.9 * measured, "{modes:?}: {measured} to {after}");
    }
    // A direction has no length.
    let roots = Pooling {
        modes: vec![MeanSqrtLen],
        include_prompt: true,
    };
    let run = golden_run_of(&data, plan(&recipe).pooled(&roots), &cpu());
    let measured = run.evaluate(&[batch]).await.unwrap();
    near(measured.parts[&Part::Cosine], seen[0], 1e-5, "as the mean");
}

/// What compares only vectors, on real tokens, does not see what padding there is.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn padding_is_not_compared() {
    let data = golden();
    let batch = golden_batch(&data, 0);
    let recipe = Recipe {
        output: stage(),
        max_length: 24,
        ..recipe()
    };
    let run = golden_run(&data, &recipe, &cpu());
    let rows = batch.ids.chunks(batch.padded).zip(&batch.lengths);
    let rows: Vec<&[u32]> = rows.map(|(row, length)| &row[..*length]).collect();
    let longer = Batch::pad(&rows, batch.sources.clone(), 7, 20, 20);
    assert_eq!((batch.padded, longer.padded), (12, 20));
    let (short, long) = (run.evaluate(&[batch]).await, run.evaluate(&[longer]).await);
    for (part, value) in short.unwrap().parts {
        near(
            long.as_ref().unwrap().parts[&part],
            value,
            1e-5,
            &part.to_string(),
        );
    }
}

/// The stage costs time in the teacher alone, by the estimate, and no memory.
#[wasm_bindgen_test(unsupported = test)]
fn the_stage_is_estimated() {
    let estimate = |share| {
        let recipe = Recipe {
            teacher_layer: Some(1),
            output: OutputRecipe { share, ..stage() },
            ..recipe()
        };
        Estimate::of(&plan(&recipe))
    };
    let (none, half, all) = (estimate(0.0), estimate(0.5), estimate(1.0));
    assert!(none.flops < half.flops && half.flops < all.flops);
    assert_eq!(none.bytes, all.bytes);
}
