//! A student's first weights: its teacher's layers, what a narrower one keeps of them, and what cannot be.

use std::collections::BTreeMap;

use burn::tensor::Device;
use it::{cpu, gpu, read};
use limbeck_model::{Encoder, Folder, ModelError, Named, TokenBatch};
use limbeck_recipe::batching::{Batch, DataPosition};
use limbeck_recipe::{
    Config, Init, Pair, Part, Plan, Recipe, StudentRecipe, StudentSize, Tap, usual_from_layers,
};
use limbeck_train::{Checkpoint, Event, Run};
use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::encoder::{
    one_of_each_family, tiny_bert, tiny_electra, tiny_gte, tiny_jina, tiny_modernbert, tiny_mpnet,
    tiny_nomic,
};

/// A student of the tiny BERT's own size (2 x 24, 3 heads, 40 units), without dropout.
fn recipe() -> Recipe {
    Recipe {
        student: StudentRecipe {
            layers: 2,
            hidden: 24,
            heads: 3,
            dropout: 0.0,
            ..StudentRecipe::default()
        },
        relation_heads: Some(6),
        pairs: Some(Pair::all().map(|pair| (pair.key(), 1.0)).into()),
        corpus: vec!["none".into()],
        max_length: 12,
        batch: 2,
        steps: 10,
        ..Recipe::default()
    }
}

fn plan(recipe: &Recipe) -> Plan {
    Plan::new(recipe, &tiny_bert().config().unwrap()).unwrap()
}

fn teacher(device: &Device) -> Encoder {
    Encoder::from_folder(&tiny_bert(), device).unwrap()
}

fn batch() -> Batch {
    let ids = vec![2, 7, 9, 11, 3, 0, 2, 15, 8, 21, 30, 3];
    Batch {
        padded: 6,
        ids,
        types: Vec::new(),
        lengths: vec![5, 6],
        sources: vec![(0, 1), (0, 2)],
    }
}

fn size(config: &Config) -> StudentSize {
    StudentSize {
        layers: config.num_hidden_layers,
        hidden: config.hidden_size,
        heads: config.num_attention_heads,
        ffn: config.intermediate_size,
        dropout: 0.0,
    }
}

async fn by_name(encoder: &Encoder) -> BTreeMap<String, Named> {
    let values = encoder.values().await.unwrap().into_iter();
    values.map(|named| (named.name.clone(), named)).collect()
}

/// Hidden states of all layers, then queries, keys and values of all.
async fn outputs(encoder: &Encoder) -> Vec<Vec<f32>> {
    let batch = batch();
    let tokens = TokenBatch::new(&batch.ids, &batch.lengths, encoder.device()).unwrap();
    let taps = encoder.taps(&tokens).unwrap().into_iter();
    let states = encoder.hidden_states(&tokens).unwrap().into_iter();
    let mut outputs = Vec::new();
    for tensor in states.chain(taps.flat_map(|taps| [taps.q, taps.k, taps.v])) {
        outputs.push(read(tensor).await);
    }
    outputs
}

async fn copy(folder: &Folder, device: &Device) {
    let teacher = Encoder::from_folder(folder, device).unwrap();
    let config = teacher.config().student(size(teacher.config()));
    let layers: Vec<usize> = (1..=config.num_hidden_layers).collect();
    let student = Encoder::from_teacher(&teacher, &config, &layers, device).await;
    let student = student.unwrap();
    assert_eq!(
        student.values().await.unwrap(),
        teacher.values().await.unwrap()
    );
    assert_eq!(outputs(&student).await, outputs(&teacher).await);
}

/// All layers and all columns: the same bits in weights, hidden states and projections.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_full_copy_is_the_teacher() {
    for device in [cpu(), gpu().await] {
        for folder in one_of_each_family() {
            copy(&folder, &device).await;
        }
    }
}

/// No relation of a full copy differs from its teacher's, trained or not, nor does its vector.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_full_copy_has_nothing_to_learn() {
    for device in [cpu(), gpu().await] {
        let copied = Recipe {
            pairs: None,
            ..recipe()
        };
        let random = Recipe {
            student: StudentRecipe {
                init: Init::Random,
                ..recipe().student
            },
            ..copied.clone()
        };
        for (recipe, is_copy) in [(copied, true), (random, false)] {
            let run = Run::new(plan(&recipe), teacher(&device)).await.unwrap();
            let measured = run.evaluate(&[batch()]).await.unwrap();
            assert_eq!((measured.parts.len(), measured.untrained.len()), (4, 6));
            let is_right = |kl: &f64| match is_copy {
                true => kl.abs() < 1e-6,
                false => *kl > 1e-3,
            };
            let mut values = measured.parts.values().chain(measured.untrained.values());
            assert!(values.all(is_right), "{measured:?}");
        }
    }
}

/// A student of one layer has the one that is named, whole, and the embeddings.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn layers_are_those_that_are_named() {
    let teacher = teacher(&cpu());
    let of_teacher = by_name(&teacher).await;
    let one = StudentSize {
        layers: 1,
        ..size(teacher.config())
    };
    for layer in 1..=2 {
        let config = teacher.config().student(one);
        let student = Encoder::from_teacher(&teacher, &config, &[layer], &cpu()).await;
        for (name, Named { values, .. }) in by_name(&student.unwrap()).await {
            let source = name.replace("layer.0", &format!("layer.{}", layer - 1));
            assert_eq!(values, of_teacher[&source].values, "{name}");
        }
    }
    let config = teacher.config().student(one);
    let missing = Encoder::from_teacher(&teacher, &config, &[3], &cpu()).await;
    assert!(matches!(
        missing,
        Err(ModelError::NoLayer {
            layer: 3,
            layers: 2
        })
    ));
    let unnamed = Encoder::from_teacher(&teacher, &config, &[], &cpu()).await;
    assert!(matches!(unnamed, Err(ModelError::NoLayer { layer: 1, .. })));
    let wide = teacher.config().student(StudentSize { hidden: 27, ..one });
    let refused = Encoder::from_teacher(&teacher, &wide, &[1], &cpu()).await;
    assert!(matches!(refused, Err(ModelError::WrongShape { .. })));
}

fn config(hidden: usize, heads: usize, ffn: usize) -> Config {
    let config = json!({
        "model_type": "bert", "vocab_size": 3, "hidden_size": hidden, "num_hidden_layers": 1, "num_attention_heads": heads,
        "intermediate_size": ffn, "max_position_embeddings": 2, "type_vocab_size": 1,
    });
    Config::parse("config.json", config.to_string().as_bytes()).unwrap()
}

const LAYER: &str = "encoder.layer.0";

/// A teacher of one layer whose values are all different. `weak` divides one row or column of a weight by 1,000: name, axis,
/// place. `scales` are the weights of the last LayerNorm.
fn made(config: &Config, scales: &[f32], weak: &[(&str, usize, usize)]) -> Encoder {
    let mut next = 0.0f32;
    let made = Encoder::from_values(config, &cpu(), |name, _, shape| {
        let columns = shape.get(1).copied().unwrap_or(1);
        let mut values = Vec::new();
        for index in 0..shape.iter().product() {
            let place = [index / columns, index % columns];
            let is_weak = weak.iter().any(|(part, axis, at)| {
                name == format!("{LAYER}.{part}.weight") && place[*axis] == *at
            });
            let divisor = if is_weak { 1000.0 } else { 1.0 };
            next += 1.0;
            values.push((1.0 + next / 4096.0) / divisor);
        }
        match name.ends_with("LayerNorm.weight") {
            true if name == format!("{LAYER}.output.LayerNorm.weight") => Ok(scales.to_vec()),
            true => Ok(vec![1.0; shape[0]]),
            false => Ok(values),
        }
    });
    made.unwrap()
}

/// What the student must hold: rows and columns of the teacher's parameter.
fn cut(named: &Named, rows: &[usize], columns: &[usize]) -> Vec<f32> {
    let width = named.shape.get(1).copied().unwrap_or(1);
    let places = rows
        .iter()
        .flat_map(|row| columns.iter().map(move |column| row * width + column));
    places.map(|place| named.values[place]).collect()
}

/// What is kept along each axis, worked out by hand.
struct Expected<'a> {
    hidden: &'a [usize],
    query_key: &'a [usize],
    value: &'a [usize],
    units: &'a [usize],
}

async fn keeps(teacher: &Encoder, student: &Config, expected: &Expected<'_>) {
    let made = Encoder::from_teacher(teacher, student, &[1], &cpu()).await;
    let (of_teacher, of_student) = (by_name(teacher).await, by_name(&made.unwrap()).await);
    assert_eq!(of_student.len(), 5 + 16);
    for (name, got) in &of_student {
        let (hidden, all) = (expected.hidden, (0..3).collect::<Vec<_>>());
        let is_weight = name.ends_with(".weight");
        let (rows, columns) = match name.trim_start_matches(LAYER) {
            "embeddings.word_embeddings.weight" => (&all[..3], hidden),
            "embeddings.position_embeddings.weight" => (&all[..2], hidden),
            "embeddings.token_type_embeddings.weight" => (&all[..1], hidden),
            name if name.contains("LayerNorm") => (hidden, &[0][..]),
            name if name.contains("self.query") || name.contains("self.key") => {
                (expected.query_key, hidden)
            }
            name if name.contains("self.value") => (expected.value, hidden),
            name if name.contains("attention.output.dense") => (hidden, expected.value),
            name if name.contains("intermediate.dense") => (expected.units, hidden),
            ".output.dense.weight" | ".output.dense.bias" => (hidden, expected.units),
            other => panic!("{other}"),
        };
        let columns = if is_weight { columns } else { &[0] };
        assert_eq!(got.values, cut(&of_teacher[name], rows, columns), "{name}");
    }
}

/// The columns of the largest LayerNorm weights, the heads and units that are not weak.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn whole_heads_are_kept_where_they_are_as_wide() {
    let scales = [2.0, 1.0, -3.0, 2.5, 0.5, 4.0];
    let weak = [
        ("attention.self.value", 0, 2),
        ("attention.output.dense", 1, 3),
        ("intermediate.dense", 0, 1),
        ("output.dense", 1, 4),
    ];
    let teacher = made(&config(6, 3, 5), &scales, &weak);
    let expected = Expected {
        hidden: &[0, 2, 3, 5],
        query_key: &[0, 1, 4, 5],
        value: &[0, 1, 4, 5],
        units: &[0, 2, 3],
    };
    keeps(&teacher, &config(4, 2, 3), &expected).await;
}

/// Narrower heads, as many: of each the strong dimensions, which need not be the same for values as for queries and keys.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn narrower_heads_keep_a_part_of_each() {
    let weak = [
        ("attention.self.query", 0, 0),
        ("attention.self.key", 0, 3),
        ("attention.self.value", 0, 1),
        ("attention.output.dense", 1, 2),
        ("output.dense", 1, 0),
    ];
    let teacher = made(&config(4, 2, 2), &[0.1, 1.0, 1.0, 0.2], &weak);
    let expected = Expected {
        hidden: &[1, 2],
        query_key: &[1, 2],
        value: &[0, 3],
        units: &[1],
    };
    keeps(&teacher, &config(2, 2, 1), &expected).await;
}

/// More heads than the teacher: each of its heads gives to two of the student's.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn more_heads_share_those_of_the_teacher() {
    let weak = [
        ("attention.self.query", 0, 2),
        ("attention.self.key", 0, 5),
        ("attention.self.value", 0, 0),
        ("attention.self.value", 0, 4),
    ];
    let teacher = made(&config(6, 2, 2), &[1.0; 6], &weak);
    let expected = Expected {
        hidden: &[0, 1, 2, 3],
        query_key: &[0, 1, 3, 4],
        value: &[1, 2, 3, 5],
        units: &[0, 1],
    };
    keeps(&teacher, &config(4, 4, 2), &expected).await;
}

/// A narrower feed-forward part loses the units that write least: without dead units a model is what it was.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn units_that_do_nothing_are_left_out() {
    let folder = tiny_bert();
    let of_folder = by_name(&teacher(&cpu())).await;
    let is_dead = |unit: usize| unit.is_multiple_of(2);
    for device in [cpu(), gpu().await] {
        let teacher = Encoder::from_values(&folder.config().unwrap(), &device, |name, _, _| {
            let named = &of_folder[name];
            let mut values = named.values.clone();
            if name.ends_with("output.dense.weight") && named.shape[1] == 40 {
                let dead = values.iter_mut().enumerate();
                dead.filter(|(index, _)| is_dead(index % 40))
                    .for_each(|(_, value)| *value = 0.0);
            }
            Ok(values)
        });
        let teacher = teacher.unwrap();
        let config = teacher.config().student(StudentSize {
            ffn: 20,
            ..size(teacher.config())
        });
        let student = Encoder::from_teacher(&teacher, &config, &[1, 2], &device).await;
        let (got, expected) = (outputs(&student.unwrap()).await, outputs(&teacher).await);
        for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
            assert!((got - expected).abs() < 1e-5, "{got} and {expected}");
        }
    }
}

/// Tables that have a width of their own stay whole; the projection from them keeps rows. A student that has no projection
/// cannot start from such tables.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn tables_of_another_width_stay_whole() {
    let folder = tiny_electra();
    let teacher = Encoder::from_folder(&folder, &cpu()).unwrap();
    let narrow = StudentSize {
        hidden: 20,
        ..size(teacher.config())
    };
    let config = teacher.config().student(narrow);
    let student = Encoder::from_teacher(&teacher, &config, &[1, 2], &cpu()).await;
    let (of_teacher, of_student) = (by_name(&teacher).await, by_name(&student.unwrap()).await);
    for table in ["word", "position", "token_type"] {
        let name = format!("embeddings.{table}_embeddings.weight");
        assert_eq!(of_student[&name], of_teacher[&name]);
    }
    let rows = |of: &BTreeMap<String, Named>| -> Vec<Vec<f32>> {
        let projection = &of["embeddings_project.weight"];
        assert_eq!(projection.shape[1], 16);
        projection.values.chunks(16).map(<[f32]>::to_vec).collect()
    };
    let (kept, all) = (rows(&of_student), rows(&of_teacher));
    assert_eq!((kept.len(), all.len()), (20, 24));
    assert!(kept.iter().all(|row| all.contains(row)));

    let mut recipe = recipe();
    recipe.relation_heads = None;
    (recipe.student.hidden, recipe.student.heads) = (16, 4);
    let refused = Plan::new(&recipe, teacher.config()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the recipe has a mistake:\n  student.hidden: 16 is not more than the 16 of the teacher's embedding tables, and the \
         student starts from the teacher, which projects them to a larger width; take more than 16, or set student.init to \
         `random`"
    );
}

/// Every family gives narrower students, whose numbers are finite.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn every_family_has_narrower_students() {
    for folder in one_of_each_family() {
        let teacher = Encoder::from_folder(&folder, &cpu()).unwrap();
        let config = teacher.config().student(StudentSize {
            layers: 1,
            hidden: 18,
            heads: 3,
            ffn: 20,
            dropout: 0.0,
        });
        let student = Encoder::from_teacher(&teacher, &config, &[2], &cpu()).await;
        for values in outputs(&student.unwrap()).await {
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }
}

/// Queries and keys of a narrower head are the pairs of the teacher's whose angles are those of the head: of 4 pairs the first and
/// the third, each with its partner.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn rotary_heads_keep_the_pairs_that_turn_alike() {
    let teacher = Encoder::from_folder(&tiny_modernbert(), &cpu()).unwrap();
    let size = |hidden, heads| StudentSize {
        layers: 1,
        hidden,
        heads,
        ffn: 20,
        dropout: 0.0,
    };
    let of_teacher = by_name(&teacher).await;
    let rows = |named: &Named, rows: &[usize]| {
        let width = named.shape[1];
        let row = |row: &usize| named.values[row * width..][..width].to_vec();
        rows.iter().flat_map(row).collect::<Vec<f32>>()
    };
    let check = async |size, kept: &[usize]| {
        let config = teacher.config().student(size);
        let student = Encoder::from_teacher(&teacher, &config, &[1], &cpu()).await;
        let of_student = by_name(&student.unwrap()).await;
        for of in ["query", "key"] {
            let name = format!("layers.0.attn.Wqkv.{of}.weight");
            let (kept_rows, whole) = (&of_student[&name], &of_teacher[&name]);
            let columns = teacher.kept_columns(size.hidden).await.unwrap();
            let width = whole.shape[1];
            let expected: Vec<f32> = rows(whole, kept)
                .chunks(width)
                .flat_map(|row| {
                    columns
                        .iter()
                        .map(|column| row[*column])
                        .collect::<Vec<f32>>()
                })
                .collect();
            assert_eq!(kept_rows.values, expected, "{name}");
        }
    };
    // Three heads of 8 dimensions become three of 4.
    let kept = [0, 2, 4, 6].map(|at| [at, at + 8, at + 16]);
    let kept: Vec<usize> = (0..3).flat_map(|head| kept.map(|at| at[head])).collect();
    check(size(12, 3), &kept).await;
    // As wide as the teacher, with six heads of 4: each two of them share one of the teacher's, without a dimension left.
    let six = [[0, 2, 4, 6], [1, 3, 5, 7]];
    let six: Vec<usize> = (0..3)
        .flat_map(|head| six.concat().into_iter().map(move |at| 8 * head + at))
        .collect();
    check(size(24, 6), &six).await;
}

/// What distances add is a column a head: a student with fewer heads has those of the heads that its layer keeps.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn distances_belong_to_the_heads_that_are_kept() {
    let folder = tiny_mpnet();
    let weights = limbeck_model::Weights::open(&folder).unwrap();
    let config = folder.config().unwrap();
    // The second of three heads gives next to nothing.
    let teacher = Encoder::from_values(&config, &cpu(), |name, _, shape| {
        let mut values = weights.get(name, shape)?;
        if name == "encoder.layer.1.attention.attn.v.weight" {
            values[8 * 24..16 * 24].iter_mut().for_each(|x| *x /= 1e3);
        }
        Ok(values)
    });
    let teacher = teacher.unwrap();
    let student = teacher.config().student(StudentSize {
        layers: 1,
        hidden: 16,
        heads: 2,
        ffn: 20,
        dropout: 0.0,
    });
    let student = Encoder::from_teacher(&teacher, &student, &[2], &cpu()).await;
    let name = "encoder.relative_attention_bias.weight";
    let (of_teacher, of_student) = (by_name(&teacher).await, by_name(&student.unwrap()).await);
    let (whole, kept) = (&of_teacher[name].values, &of_student[name].values);
    let expected: Vec<f32> = whole.chunks(3).flat_map(|row| [row[0], row[2]]).collect();
    assert_eq!(kept, &expected);
}

/// Scores of a head fall with the distance by a slope of its own: a student has the heads whose slopes are those of its own, however
/// weak they are. Three heads have 2^-4, 2^-8 and 2^-2, two have 2^-4 and 2^-8, and one has 2^-8.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn heads_with_slopes_are_kept_by_their_slopes() {
    let folder = tiny_jina();
    let weights = limbeck_model::Weights::open(&folder).unwrap();
    let config = folder.config().unwrap();
    // The first of three heads gives next to nothing.
    let teacher = Encoder::from_values(&config, &cpu(), |name, _, shape| {
        let mut values = weights.get(name, shape)?;
        if name.ends_with("attention.self.value.weight") {
            values[..8 * 24].iter_mut().for_each(|x| *x /= 1e3);
        }
        Ok(values)
    });
    let teacher = teacher.unwrap();
    let name = "encoder.layer.0.attention.self.query.bias";
    let of_teacher = by_name(&teacher).await[name].values.clone();
    for (heads, kept) in [(2, &of_teacher[..16]), (1, &of_teacher[8..16])] {
        let student = teacher.config().student(StudentSize {
            layers: 1,
            hidden: 8 * heads,
            heads,
            ffn: 20,
            dropout: 0.0,
        });
        let student = Encoder::from_teacher(&teacher, &student, &[1], &cpu()).await;
        assert_eq!(by_name(&student.unwrap()).await[name].values, kept);
    }
}

async fn step(run: &mut Run) -> f64 {
    match run.step(&[batch()]).await.unwrap() {
        Event::Step(step) => step.loss,
        skipped => panic!("{skipped:?}"),
    }
}

/// A run that is resumed has the weights of its checkpoint, and goes on bit for bit: nothing is inherited again.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_starts_from_its_teacher_once() {
    let narrow = Recipe {
        student: StudentRecipe {
            hidden: 12,
            dropout: 0.1,
            ..recipe().student
        },
        ..recipe()
    };
    for device in [cpu(), gpu().await] {
        let mut run = Run::new(plan(&narrow), teacher(&device)).await.unwrap();
        let fresh = run.student().values().await.unwrap();
        step(&mut run).await;
        step(&mut run).await;
        let written = run.student().values().await.unwrap();
        assert_ne!(written, fresh);
        let (position, inputs) = (DataPosition::default(), BTreeMap::new());
        let bytes = run.checkpoint(&position, &inputs).await.unwrap();
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        let plan = plan(&checkpoint.header.recipe);
        let mut resumed = Run::resume(plan, teacher(&device), &checkpoint).unwrap();
        assert_eq!(resumed.student().values().await.unwrap(), written);
        assert_eq!(step(&mut resumed).await, step(&mut run).await);
        assert_eq!(
            resumed.student().values().await.unwrap(),
            run.student().values().await.unwrap()
        );
    }
}

/// So it is where queries are turned, attention has a window, units a gate and distances a bias or a slope; and the loss falls, so that
/// gradients come through all of it.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn students_of_other_kinds_learn_and_go_on_bit_for_bit() {
    let cases = [
        (tiny_modernbert(), 3, Tap::Content),
        (tiny_modernbert(), 3, Tap::Rotated),
        (tiny_mpnet(), 2, Tap::Content),
        (tiny_nomic(), 3, Tap::Rotated),
        (tiny_gte(), 2, Tap::Content),
        (tiny_jina(), 2, Tap::Content),
    ];
    let mut beginnings = Vec::new();
    for (folder, layers, tap) in cases {
        let recipe = Recipe {
            tap,
            learning_rate: 3e-3,
            warmup: Some(0),
            student: StudentRecipe {
                layers,
                hidden: 12,
                dropout: 0.1,
                ..recipe().student
            },
            ..recipe()
        };
        let plan = Plan::new(&recipe, &folder.config().unwrap()).unwrap();
        let teacher = || Encoder::from_folder(&folder, &cpu()).unwrap();
        let mut run = Run::new(plan.clone(), teacher()).await.unwrap();
        let before = run.evaluate(&[batch()]).await.unwrap();
        beginnings.push(before.parts.clone());
        let fresh = by_name(run.student()).await;
        for _ in 0..6 {
            step(&mut run).await;
        }
        let after = run.evaluate(&[batch()]).await.unwrap();
        let loss = |parts: &BTreeMap<Part, f64>| parts.values().sum::<f64>();
        let (first, last) = (loss(&before.parts), loss(&after.parts));
        assert!(last < 0.9 * first, "{first} and then {last}");
        for (name, named) in by_name(run.student()).await {
            assert_ne!(
                named.values, fresh[&name].values,
                "{name} has learnt nothing"
            );
        }
        let (position, inputs) = (DataPosition::default(), BTreeMap::new());
        let bytes = run.checkpoint(&position, &inputs).await.unwrap();
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        let mut resumed = Run::resume(plan, teacher(), &checkpoint).unwrap();
        assert_eq!(step(&mut resumed).await, step(&mut run).await);
        assert_eq!(
            resumed.student().values().await.unwrap(),
            run.student().values().await.unwrap()
        );
    }
    let of_queries = |case: usize| beginnings[case][&Part::Relation(Pair::QQ)];
    assert_ne!(of_queries(0), of_queries(1), "queries are not turned");
}

/// The first weights are the same bits wherever they are made.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn every_device_starts_alike() {
    let narrow = Recipe {
        student: StudentRecipe {
            layers: 1,
            hidden: 12,
            ..recipe().student
        },
        ..recipe()
    };
    let mut starts = Vec::new();
    for device in [cpu(), gpu().await] {
        let run = Run::new(plan(&narrow), teacher(&device)).await.unwrap();
        starts.push(run.student().values().await.unwrap());
    }
    assert_eq!(starts[0], starts[1]);
}

/// `random` takes nothing from the teacher: the weights follow from the seed alone.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn random_weights_follow_from_the_seed() {
    let random = Recipe {
        student: StudentRecipe {
            init: Init::Random,
            ..recipe().student
        },
        seed: 7,
        ..recipe()
    };
    let plan = plan(&random);
    assert_eq!(plan.from_layers, None);
    let expected = Encoder::random(&plan.student, 7, &cpu()).unwrap();
    let run = Run::new(plan, teacher(&cpu())).await.unwrap();
    assert_eq!(
        run.student().values().await.unwrap(),
        expected.values().await.unwrap()
    );
}

/// Evenly from the first layer to the one whose relations are taught.
#[wasm_bindgen_test(unsupported = test)]
fn layers_are_evenly_spaced() {
    for (layers, last, expected) in [
        (1, 6, vec![6]),
        (2, 4, vec![1, 4]),
        (3, 6, vec![1, 3, 6]),
        (6, 12, vec![1, 3, 5, 8, 10, 12]),
        (6, 6, vec![1, 2, 3, 4, 5, 6]),
        (3, 2, vec![1, 2, 3]),
    ] {
        assert_eq!(usual_from_layers(layers, last), expected);
    }
    for layers in 2..=24 {
        for last in layers..=24 {
            let from = usual_from_layers(layers, last);
            assert_eq!((from.len(), from[0], from[layers - 1]), (layers, 1, last));
            assert!(from.is_sorted_by(|a, b| a < b), "{from:?}");
        }
    }
}

fn mistakes(change: impl FnOnce(&mut StudentRecipe)) -> String {
    let mut recipe = recipe();
    recipe.relation_heads = None;
    change(&mut recipe.student);
    let plan = Plan::new(&recipe, &tiny_bert().config().unwrap());
    plan.unwrap_err().to_string()
}

/// What cannot be is refused with the field, what was found and what would do.
#[wasm_bindgen_test(unsupported = test)]
fn a_start_that_cannot_be_is_refused() {
    let from = |layers: &[usize]| {
        let layers = layers.to_vec();
        mistakes(move |student| student.from_layers = Some(layers))
    };
    assert_eq!(
        from(&[2]),
        "the recipe has a mistake:\n  student.from_layers: [2] names 1 of the teacher's layers, and the student has 2; name one \
         for each"
    );
    assert_eq!(
        from(&[1, 3]),
        "the recipe has a mistake:\n  student.from_layers: layer 3 does not exist: the teacher has layers 1 to 2"
    );
    assert_eq!(
        from(&[2, 2]),
        "the recipe has a mistake:\n  student.from_layers: [2, 2] does not increase; name each layer once, the lower ones first"
    );
    assert_eq!(
        mistakes(|student| {
            student.init = Init::Random;
            student.from_layers = Some(vec![1, 2]);
        }),
        "the recipe has a mistake:\n  student.from_layers: student.init is `random`, which takes nothing from the teacher's \
         layers; leave from_layers out, or set init to `teacher`"
    );
    assert_eq!(
        mistakes(|student| {
            (student.layers, student.hidden, student.ffn) = (3, 48, Some(41));
        }),
        "the recipe has 3 mistakes:\n  \
         student.layers: 3 is more than the teacher's 2, and the student starts from the teacher; take at most 2, or set \
         student.init to `random`\n  \
         student.hidden: 48 is more than the teacher's 24, and the student starts from the teacher; take at most 24, or set \
         student.init to `random`\n  \
         student.ffn: 41 is more than the teacher's 40, and the student starts from the teacher; take at most 40, or set \
         student.init to `random`"
    );
    let usual = plan(&recipe());
    assert_eq!(usual.from_layers, Some(vec![1, 2]));
    assert_eq!(usual.student.intermediate_size, 40);
}
