//! Classifiers against `transformers`: the logits of each family's heads, and the loss and gradient of fine-tuning.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, gpu, read, wide};
use limbeck_model::{Classifier, Encoder, Folder, ParameterMut, TokenBatch, Weights};
use limbeck_recipe::HeadChoice;
use limbeck_train::{Targets, Tuning, TuningRecipe};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::encoder::{older_gte, older_nomic, one_of_each_family};
use crate::golden::Golden;

const FAMILIES: [&str; 9] = [
    "bert",
    "xlmr",
    "distilbert",
    "electra",
    "modernbert",
    "mpnet",
    "nomic",
    "gte",
    "jina",
];

fn goldens() -> Golden {
    Golden::parse(include_bytes!("../golden/heads.safetensors"))
}

/// A classifier of 3 classes without dropout, its head as in the golden.
fn classifier(
    golden: &Golden,
    name: &str,
    folder: &Folder,
    choice: HeadChoice,
    device: &Device,
) -> Classifier {
    let mut config = folder.config().unwrap();
    config.shape.hidden_dropout = 0.0;
    config.shape.attention_dropout = 0.0;
    let weights = Weights::open(folder).unwrap();
    let get = |name: &str, _, shape: &[usize]| weights.get(name, shape);
    let encoder = Encoder::from_values(&config, device, get).unwrap();
    let mut classifier = Classifier::new(encoder, &weights, choice, 3, 1).unwrap();
    let mut set = 0;
    for (tensor, _, parameter) in classifier.parameters_mut() {
        let alone = match choice {
            HeadChoice::First => None,
            HeadChoice::Mean => tensor.strip_prefix("linear."),
            HeadChoice::Tokens => tensor.strip_prefix("classifier."),
        };
        let tensor = match alone {
            Some(part) => format!("{}.{part}", config.head().output),
            None => tensor,
        };
        let key = format!("{name}.head.{tensor}");
        if !golden.has(&key) {
            continue;
        }
        set += 1;
        let values = golden.f32(&key);
        match parameter {
            ParameterMut::Matrix(place) => {
                let [from, to] = place.dims();
                // (out, in) in the golden, (in, out) in memory.
                let at = |index: usize| values[index % to * from + index / to];
                let values: Vec<f32> = (0..from * to).map(at).collect();
                let data = TensorData::new(values, [from, to]);
                *place = Tensor::from_data(data, &place.device());
            }
            ParameterMut::Vector(place) => {
                let data = TensorData::new(values, place.dims());
                *place = Tensor::from_data(data, &place.device());
            }
        }
    }
    let own = match (choice, name) {
        (HeadChoice::First, "bert") | (HeadChoice::Mean, _) => 2,
        (HeadChoice::First, _) | (HeadChoice::Tokens, "modernbert") => 4,
        (HeadChoice::Tokens, _) => 2,
    };
    assert_eq!(set, own, "{name}");
    classifier
}

fn batch(golden: &Golden, name: &str, device: &Device) -> TokenBatch {
    let (ids, lengths) = (format!("{name}.ids"), format!("{name}.lengths"));
    let batch = TokenBatch::new(&golden.ids(&ids), &golden.lengths(&lengths), device).unwrap();
    let types = golden.ids(&format!("{name}.types"));
    match types.iter().any(|id| *id > 0) {
        true => batch.with_types(&types),
        false => batch,
    }
}

#[track_caller]
fn agree(got: &[f32], exact: &[f64], what: &str) {
    assert_eq!(got.len(), exact.len(), "{what}");
    for (got, exact) in got.iter().zip(exact) {
        let difference = (f64::from(*got) - exact).abs();
        assert!(difference < 1e-4, "{what}: {got} instead of {exact}");
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn heads_agree_with_transformers() {
    let golden = goldens();
    for device in [cpu(), gpu().await] {
        for (name, folder) in FAMILIES.into_iter().zip(one_of_each_family()) {
            let batch = batch(&golden, name, &device);
            for (choice, key) in [
                (HeadChoice::First, "logits"),
                (HeadChoice::Mean, "mean_logits"),
            ] {
                let classifier = classifier(&golden, name, &folder, choice, &device);
                let logits = classifier.logits(&batch, None).unwrap();
                let key = format!("{name}.{key}");
                agree(&read(logits).await, golden.get(&key), &key);
            }
            let classifier = classifier(&golden, name, &folder, HeadChoice::Tokens, &device);
            let logits = read(classifier.logits(&batch, None).unwrap()).await;
            let key = format!("{name}.token_logits");
            let exact = golden.get(&key);
            let padded = batch.lengths().padded();
            for (row, length) in batch.lengths().as_slice().iter().enumerate() {
                // What padding gives is nobody's business.
                let real = row * padded * 3..(row * padded + length) * 3;
                agree(&logits[real.clone()], &exact[real], &key);
            }
        }
    }
}

/// The code that models came with has other names before those of the encoder, the dense layer of the head among them.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn heads_of_older_code_are_read() {
    let golden = goldens();
    for (name, folder, [prefix, older], class) in [
        (
            "nomic",
            older_nomic(),
            ["nomic_bert.", "bert."],
            "NomicBertForSequenceClassification",
        ),
        (
            "gte",
            older_gte(),
            ["gte.", "new."],
            "NewForSequenceClassification",
        ),
    ] {
        let named = |tensor: &str| match tensor.strip_prefix(prefix) {
            Some(own) => format!("{older}{own}"),
            None => tensor.to_owned(),
        };
        let file = SafeTensors::deserialize(folder.get("model.safetensors").unwrap()).unwrap();
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
            .iter()
            .map(|(tensor, view)| (named(tensor), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        for layer in [format!("{prefix}pooler.dense"), "classifier".to_owned()] {
            for part in ["weight", "bias"] {
                let tensor = format!("{layer}.{part}");
                let key = format!("{name}.head.{tensor}");
                let values = golden.f32(&key).into_iter().flat_map(f32::to_le_bytes);
                let shape = golden.shape(&key).to_vec();
                tensors.push((named(&tensor), shape, values.collect()));
            }
        }
        let views = tensors.iter().map(|(tensor, shape, data)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), data);
            (tensor, view.unwrap())
        });
        let weights = safetensors::serialize(views, None).unwrap();
        let mut config: Value = serde_json::from_slice(folder.get("config.json").unwrap()).unwrap();
        config["architectures"] = json!([class]);
        config["id2label"] = json!({"0": "a", "1": "b", "2": "c"});
        let files = BTreeMap::from([
            ("config.json".to_owned(), config.to_string().into_bytes()),
            ("model.safetensors".to_owned(), weights),
        ]);
        let tuned = Folder::from_files("tuned", files);
        let (classifier, head) = Classifier::from_folder(&tuned, &cpu()).unwrap().unwrap();
        assert_eq!((head.choice, head.outputs()), (HeadChoice::First, 3));
        let logits = classifier.logits(&batch(&golden, name, &cpu()), None);
        let key = format!("{name}.logits");
        agree(&read(logits.unwrap()).await, golden.get(&key), &key);
    }
}

/// The norm over all parameters is wrong if the gradient of any of them is.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn loss_and_gradient_agree_with_pytorch() {
    let golden = goldens();
    for device in [cpu(), gpu().await] {
        for (name, folder) in FAMILIES.into_iter().zip(one_of_each_family()) {
            let device = device.clone().autodiff();
            let classes = golden.lengths(&format!("{name}.targets"));
            let of_tokens = golden.lengths(&format!("{name}.token_targets"));
            for (choice, classes, of) in [
                (
                    HeadChoice::First,
                    classes.into_iter().map(Some).collect(),
                    "",
                ),
                (
                    HeadChoice::Tokens,
                    of_tokens.into_iter().map(|t| t.checked_sub(1)).collect(),
                    "token_",
                ),
            ] {
                let classifier = classifier(&golden, name, &folder, choice, &device);
                let recipe = TuningRecipe {
                    steps: 1,
                    warmup: 0,
                    learning_rate: 1e-3,
                    weight_decay: 0.0,
                    clip: 1.0,
                    seed: 1,
                    frozen_layers: None,
                };
                let mut tuning = Tuning::new(classifier, recipe, Some(vec![0.5, 1.0, 2.0]));
                let batch = batch(&golden, name, &device);
                let tuned = tuning.step(&batch, &Targets::Classes(classes)).await;
                let tuned = tuned.unwrap();
                for (got, key) in [(tuned.loss, "loss"), (tuned.gradient_norm, "norm")] {
                    let exact = golden.get(&format!("{name}.{of}{key}"))[0];
                    let difference = (got / exact - 1.0).abs();
                    assert!(
                        difference < 1e-4,
                        "{name} {of}{key}: {got} instead of {exact}"
                    );
                }
            }
        }
    }
}

/// Two steps of the head alone change it alike on every device, and nothing of the layers that are frozen.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_head_is_tuned_alike_everywhere() {
    let (golden, [folder, ..]) = (goldens(), one_of_each_family());
    let mut tuned = Vec::new();
    for device in [cpu(), gpu().await] {
        let device = device.autodiff();
        let classifier = classifier(&golden, "bert", &folder, HeadChoice::First, &device);
        let before = classifier.encoder().values().await.unwrap();
        let recipe = TuningRecipe {
            steps: 2,
            warmup: 0,
            learning_rate: 0.01,
            weight_decay: 0.1,
            clip: 0.01,
            seed: 1,
            frozen_layers: Some(classifier.encoder().config().num_hidden_layers),
        };
        let mut tuning = Tuning::new(classifier, recipe, None);
        let batch = batch(&golden, "bert", &device);
        let classes = golden.lengths("bert.targets").into_iter().map(Some);
        let targets = Targets::Classes(classes.collect());
        let untuned = Tuning::predict(&tuning.classifier(), &batch).await.unwrap();
        for _ in 0..2 {
            tuning.step(&batch, &targets).await.unwrap();
        }
        let after = tuning.classifier();
        assert_eq!(after.encoder().values().await.unwrap(), before);
        let got = Tuning::predict(&after, &batch).await.unwrap();
        assert_ne!(got, untuned);
        tuned.push(got);
    }
    agree(&tuned[1], &wide(&tuned[0]), "tuned logits");
}

/// One output and the squared error, by hand.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn scores_are_compared_by_their_squared_difference() {
    let (golden, [folder, ..]) = (goldens(), one_of_each_family());
    let device = cpu().autodiff();
    let (weights, config) = (Weights::open(&folder).unwrap(), folder.config().unwrap());
    let mut config = config;
    config.shape.hidden_dropout = 0.0;
    config.shape.attention_dropout = 0.0;
    let get = |name: &str, _, shape: &[usize]| weights.get(name, shape);
    let encoder = Encoder::from_values(&config, &device, get).unwrap();
    let classifier = Classifier::new(encoder, &weights, HeadChoice::Mean, 1, 7).unwrap();
    let recipe = TuningRecipe {
        steps: 1,
        warmup: 0,
        learning_rate: 1e-3,
        weight_decay: 0.0,
        clip: 0.0,
        seed: 1,
        frozen_layers: Some(config.num_hidden_layers),
    };
    let mut tuning = Tuning::new(classifier, recipe, None);
    let batch = batch(&golden, "bert", &device);
    let given = Tuning::predict(&tuning.classifier(), &batch).await.unwrap();
    let known = [1.0, -2.0, 0.5];
    let squares = given
        .iter()
        .zip(known)
        .map(|(given, known)| (given - known).powi(2));
    let expected = f64::from(squares.sum::<f32>()) / 3.0;
    let tuned = tuning.step(&batch, &Targets::Scores(known.to_vec())).await;
    let loss = tuned.unwrap().loss;
    assert!(
        (loss / expected - 1.0).abs() < 1e-5,
        "{loss} instead of {expected}"
    );
}
