//! The files against `transformers`, whose hidden states and logits lie in `tests/golden`, run by a runtime that is not ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use limbeck_onnx::{Export, ExportError, Failed, Format, Source, write};
use limbeck_recipe::{
    Config, Dense, DenseActivation, HeadChoice, HeadModule, Pooling, PoolingMode, SentenceHead,
    Tuned,
};
use rten::{Model, Value};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;
use safetensors::{Dtype, SafeTensors};

/// A folder of `tests/golden`, and the names of its goldens.
const FAMILIES: [(&str, &str, &str); 9] = [
    ("tiny-bert", "bert", "encoder"),
    ("tiny-xlmr", "xlmr", "encoder"),
    ("tiny-distilbert", "distilbert", "families"),
    ("tiny-electra", "electra", "families"),
    ("tiny-modernbert", "modernbert", "families"),
    ("tiny-mpnet", "mpnet", "families"),
    ("tiny-nomic", "nomic", "families"),
    ("tiny-gte", "gte", "families"),
    ("tiny-jina", "jina", "families"),
];

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

/// Tensors by name, with their shapes.
struct Tensors(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Tensors {
    fn read(path: &str) -> Self {
        let bytes = std::fs::read(golden_folder().join(path)).expect(path);
        let file = SafeTensors::deserialize(&bytes).expect(path);
        let tensors = file.iter().map(|(name, view)| {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F64 => {
                    let (values, _) = data.as_chunks();
                    values
                        .iter()
                        .map(|b| f64::from_le_bytes(*b) as f32)
                        .collect()
                }
                Dtype::I64 => {
                    let (values, _) = data.as_chunks();
                    values
                        .iter()
                        .map(|b| i64::from_le_bytes(*b) as f32)
                        .collect()
                }
                Dtype::F32 => {
                    let (values, _) = data.as_chunks();
                    values.iter().map(|b| f32::from_le_bytes(*b)).collect()
                }
                other => panic!("{name} is of type {other:?}"),
            };
            (name.to_owned(), (view.shape().to_vec(), values))
        });
        Self(tensors.collect())
    }

    fn get(&self, name: &str) -> &[f32] {
        &self.0.get(name).unwrap_or_else(|| panic!("no {name}")).1
    }

    fn integers(&self, name: &str) -> Vec<i32> {
        self.get(name).iter().map(|x| *x as i32).collect()
    }

    /// As a model's file gives them: the encoder's with any prefix, also where it is a part of a tensor.
    fn provide(&self, config: &Config, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let parameters = config.layout().parameters;
        let shared = parameters.into_iter().find(|p| p.name == name);
        let shared = shared.and_then(|parameter| parameter.shared);
        let mut whole = shape.to_vec();
        let stored = match &shared {
            Some(shared) => {
                whole[0] *= shared.parts;
                &shared.name
            }
            None => name,
        };
        let ends = |known: &&String| *known == stored || known.ends_with(&format!(".{stored}"));
        let known = self.0.keys().find(ends).ok_or(format!("no {stored}"))?;
        let (found, values) = &self.0[known];
        assert_eq!(found, &whole, "{name}");
        let count = shape.iter().product();
        let part = shared.map_or(0, |shared| shared.part);
        Ok(values.chunks(count).nth(part).expect("a part").to_vec())
    }
}

fn config(folder: &str) -> Config {
    let json = std::fs::read(golden_folder().join(folder).join("config.json")).expect(folder);
    Config::parse("config.json", &json).expect(folder)
}

fn model_of(folder: &str) -> (Config, Tensors) {
    let weights = Tensors::read(&format!("{folder}/model.safetensors"));
    (config(folder), weights)
}

/// What a file gives under a name: (shape, values).
fn run(
    file: Vec<u8>,
    ids: &[i32],
    lengths: &[i32],
    types: Option<&[i32]>,
    output: &str,
) -> (Vec<usize>, Vec<f32>) {
    let model = Model::load(file).expect("a file that opens");
    let (b, s) = (lengths.len(), ids.len() / lengths.len());
    let mask = lengths
        .iter()
        .flat_map(|length| (0..s).map(move |at| i32::from((at as i32) < *length)));
    let mask: Vec<i32> = mask.collect();
    let none = vec![0; ids.len()];
    let mut inputs = Vec::new();
    for (name, values) in [
        ("input_ids", ids),
        ("attention_mask", &mask[..]),
        ("token_type_ids", types.unwrap_or(&none)),
    ] {
        if let Ok(id) = model.node_id(name) {
            let tensor = Tensor::from_data(&[b, s], values.to_vec());
            inputs.push((id, Value::from(tensor).into()));
        }
    }
    let output = model.node_id(output).expect(output);
    let mut outputs = model.run(inputs, &[output], None).expect("a run");
    let tensor: Tensor<f32> = outputs.remove(0).try_into().expect("f32");
    (tensor.shape().to_vec(), tensor.to_vec())
}

/// Largest difference on real tokens of (B, S, W).
fn difference(shape: &[usize], got: &[f32], exact: &[f32], lengths: &[i32]) -> f32 {
    let [_, s, w] = shape.try_into().expect("three axes");
    assert_eq!(got.len(), exact.len());
    let is_real = |at: usize| ((at / w % s) as i32) < lengths[at / w / s];
    let places = (0..got.len()).filter(|at| is_real(*at));
    places
        .map(|at| (got[at] - exact[at]).abs())
        .fold(0.0, f32::max)
}

fn plain(config: &Config, format: Format) -> Export<'_> {
    Export {
        config,
        sentence: None,
        tuned: None,
        format,
    }
}

#[test]
fn hidden_states_agree_with_transformers() {
    for (folder, name, file) in FAMILIES {
        let (config, weights) = model_of(folder);
        let goldens = Tensors::read(&format!("{file}.safetensors"));
        let of = |part: &str| format!("{name}.{part}");
        let lengths = goldens.integers(&of("lengths"));
        let exact = goldens.get(&of(&format!("hidden.{}", config.num_hidden_layers)));
        let widest = exact.iter().fold(0.0_f32, |far, x| far.max(x.abs()));
        for (format, bound) in [(Format::F32, 1e-5), (Format::Int8, 0.15 * widest)] {
            let file = write(&plain(&config, format), &mut |source, name, shape| {
                assert_eq!(source, Source::Encoder);
                weights.provide(&config, name, shape)
            });
            let file = file.expect(name);
            let ids = goldens.integers(&of("ids"));
            let (shape, got) = run(file, &ids, &lengths, None, "last_hidden_state");
            let worst = difference(&shape, &got, exact, &lengths);
            assert!(worst <= bound, "{name} {format:?}: off by {worst:.1e}");
            // 8 bits must be seen to be 8 bits.
            assert_eq!(worst > 1e-4, format == Format::Int8, "{name}: {worst:.1e}");
        }
    }
}

#[test]
fn logits_agree_with_transformers() {
    let goldens = Tensors::read("heads.safetensors");
    for (folder, name, _) in FAMILIES {
        let (config, weights) = model_of(folder);
        let of = |part: &str| format!("{name}.{part}");
        let lengths = goldens.integers(&of("lengths"));
        let labels = Some(["a", "b", "c"].map(str::to_owned).to_vec());
        let mut provide = |source: Source, part: &str, shape: &[usize]| {
            of_model_with_head(&goldens, &weights, (name, &config), (source, part, shape))
        };
        for (choice, golden) in [
            (HeadChoice::First, "logits"),
            (HeadChoice::Mean, "mean_logits"),
            (HeadChoice::Tokens, "token_logits"),
        ] {
            let tuned = Tuned {
                choice,
                labels: labels.clone(),
            };
            let export = Export {
                tuned: Some(&tuned),
                ..plain(&config, Format::F32)
            };
            let file = write(&export, &mut provide).expect(name);
            let ids = goldens.integers(&of("ids"));
            let types = goldens.integers(&of("types"));
            let (shape, got) = run(file, &ids, &lengths, Some(&types), "logits");
            let exact = goldens.get(&of(golden));
            let worst = match choice {
                HeadChoice::Tokens => difference(&shape, &got, exact, &lengths),
                _ => {
                    assert_eq!(shape, [lengths.len(), 3]);
                    let pairs = got.iter().zip(exact);
                    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
                }
            };
            assert!(worst <= 1e-5, "{name} {golden}: off by {worst:.1e}");
        }
    }
}

/// A tensor of a model of that name with the head of the goldens, whose linear layer all heads have.
fn of_model_with_head(
    goldens: &Tensors,
    weights: &Tensors,
    (name, config): (&str, &Config),
    (source, part, shape): (Source, &str, &[usize]),
) -> Result<Vec<f32>, String> {
    let head = config.head();
    let whole = match source {
        Source::Encoder => format!("{}{part}", head.prefix),
        Source::File | Source::Module(_) => {
            let linear = ["linear.", "classifier."].into_iter();
            let mut last = linear.filter_map(|linear| part.strip_prefix(linear));
            let last = last.find(|last| !last.contains('.'));
            last.map_or(part.to_owned(), |last| format!("{}.{last}", head.output))
        }
    };
    match goldens.0.get(&format!("{name}.head.{whole}")) {
        Some((found, values)) => {
            assert_eq!(found, shape);
            Ok(values.clone())
        }
        // The encoder's, BERT's pooler among them.
        None => weights.provide(config, part, shape),
    }
}

/// The mean of one token is that token's, so a text of one token has the logits that it has by its first.
#[test]
fn a_head_reads_the_mean_where_its_config_says_so() {
    let goldens = Tensors::read("heads.safetensors");
    let (config, weights) = model_of("tiny-modernbert");
    let json = config.to_json("float32");
    let json = json.replace(
        r#""classifier_pooling": "cls""#,
        r#""classifier_pooling": "mean""#,
    );
    let config = Config::parse("config.json", json.as_bytes()).expect("a config");
    let tuned = Tuned {
        choice: HeadChoice::First,
        labels: Some(["a", "b", "c"].map(str::to_owned).to_vec()),
    };
    let export = Export {
        tuned: Some(&tuned),
        ..plain(&config, Format::F32)
    };
    let name = "modernbert";
    let file = write(&export, &mut |source, part, shape| {
        of_model_with_head(&goldens, &weights, (name, &config), (source, part, shape))
    });
    let of = |part: &str| goldens.integers(&format!("{name}.{part}"));
    let lengths = of("lengths");
    let (_, got) = run(file.expect("a file"), &of("ids"), &lengths, None, "logits");
    let by_first = goldens.get(&format!("{name}.logits"));
    let texts = got.chunks(3).zip(by_first.chunks(3)).zip(lengths);
    for ((got, by_first), length) in texts {
        let far = got.iter().zip(by_first).map(|(x, y)| (x - y).abs());
        let far = far.fold(0.0, f32::max);
        assert_eq!(far < 1e-5, length == 1, "{far:.1e} of {length} tokens");
    }
}

/// Every way of pooling, a dense layer, normalising and cutting, against the same arithmetic on the file's own hidden states.
#[test]
fn sentence_vectors_are_what_the_head_says() {
    let (config, weights) = model_of("tiny-bert");
    let h = config.hidden_size;
    let goldens = Tensors::read("encoder.safetensors");
    let (ids, lengths) = (
        goldens.integers("bert.ids"),
        goldens.integers("bert.lengths"),
    );
    let hidden = goldens.get("bert.hidden.2");
    let s = ids.len() / lengths.len();
    let at = |text: usize, token: usize, column: usize| hidden[(text * s + token) * h + column];
    let mode = |mode: PoolingMode, text: usize, column: usize| -> f32 {
        let n = lengths[text] as usize;
        let all = (0..n).map(|token| at(text, token, column));
        let sum: f32 = all.clone().sum();
        let places = (n * (n + 1)) as f32 / 2.0;
        match mode {
            PoolingMode::Cls => at(text, 0, column),
            PoolingMode::LastToken => at(text, n - 1, column),
            PoolingMode::Max => all.fold(f32::MIN, f32::max),
            PoolingMode::Mean => sum / n as f32,
            PoolingMode::MeanSqrtLen => sum / (n as f32).sqrt(),
            PoolingMode::WeightedMean => {
                let weighted = all.enumerate().map(|(token, x)| (token + 1) as f32 * x);
                weighted.sum::<f32>() / places
            }
        }
    };
    let all = [
        PoolingMode::Cls,
        PoolingMode::Max,
        PoolingMode::Mean,
        PoolingMode::MeanSqrtLen,
        PoolingMode::WeightedMean,
        PoolingMode::LastToken,
    ];
    let dense = Dense {
        folder: "2_Dense".to_owned(),
        inputs: 2 * h,
        outputs: 5,
        bias: true,
        activation: DenseActivation::Tanh,
    };
    let matrix: Vec<f32> = (0..10 * h)
        .map(|n| ((n * 7 % 11) as f32 - 5.0) / 40.0)
        .collect();
    let mut provide = |source: Source, name: &str, shape: &[usize]| match (source, name) {
        (Source::Module("2_Dense"), "linear.weight") => Ok(matrix.clone()),
        (Source::Module("2_Dense"), "linear.bias") => Ok(vec![0.1; 5]),
        _ => weights.provide(&config, name, shape),
    };
    let mut check = |head: &SentenceHead, expected: &dyn Fn(usize) -> Vec<f32>| {
        let export = Export {
            sentence: Some(head),
            ..plain(&config, Format::F32)
        };
        let file = write(&export, &mut provide).expect("a file");
        let (shape, got) = run(file, &ids, &lengths, None, "sentence_embedding");
        assert_eq!(shape, [lengths.len(), head.width(h)]);
        for (text, got) in got.chunks(shape[1]).enumerate() {
            for (got, exact) in got.iter().zip(expected(text)) {
                let worst = (got - exact).abs();
                assert!(worst <= 1e-5, "{head:?}: off by {worst:.1e}");
            }
        }
    };
    let of = |modes: &[PoolingMode]| SentenceHead {
        pooling: Pooling {
            modes: modes.to_vec(),
            include_prompt: true,
        },
        ..SentenceHead::default()
    };
    for one in all {
        check(&of(&[one]), &|text| {
            (0..h).map(|c| mode(one, text, c)).collect()
        });
    }
    let two = [PoolingMode::Max, PoolingMode::Mean];
    let pooled = |text: usize| -> Vec<f32> {
        let columns = two.iter().flat_map(|m| (0..h).map(move |c| (*m, c)));
        columns.map(|(m, c)| mode(m, text, c)).collect()
    };
    let last = SentenceHead {
        modules: vec![HeadModule::Dense(dense), HeadModule::Normalize],
        truncate_dim: Some(3),
        ..of(&two)
    };
    check(&last, &|text| {
        let x = pooled(text);
        let row = |out: usize| {
            let products = x.iter().zip(&matrix[out * 2 * h..]).map(|(x, w)| x * w);
            (products.sum::<f32>() + 0.1).tanh()
        };
        let y: Vec<f32> = (0..5).map(row).collect();
        let length = y.iter().map(|x| x * x).sum::<f32>().sqrt();
        y[..3].iter().map(|x| x / length).collect()
    });
}

#[test]
fn a_prompt_that_does_not_count_is_refused() {
    let (config, weights) = model_of("tiny-bert");
    let head = SentenceHead {
        pooling: Pooling {
            include_prompt: false,
            ..Pooling::default()
        },
        ..SentenceHead::default()
    };
    let export = Export {
        sentence: Some(&head),
        ..plain(&config, Format::F32)
    };
    let refused = write(&export, &mut |_, name, shape| {
        weights.provide(&config, name, shape)
    });
    assert!(matches!(refused, Err(Failed::Export(ExportError::Prompt))));
}

#[test]
fn a_number_that_16_bits_cannot_hold_is_named() {
    let (config, weights) = model_of("tiny-bert");
    let mut provide = |_: Source, name: &str, shape: &[usize]| {
        let mut values = weights.provide(&config, name, shape)?;
        if name == "encoder.layer.1.output.dense.bias" {
            values[3] = 7e4;
        }
        Ok::<_, String>(values)
    };
    let refused = write(&plain(&config, Format::F16), &mut provide);
    let Err(Failed::Export(error)) = refused else {
        panic!("written")
    };
    assert!(
        error
            .to_string()
            .contains("`encoder.layer.1.output.dense.bias` holds"),
        "{error}"
    );
    assert!(write(&plain(&config, Format::F32), &mut provide).is_ok());
}

/// Of a kind that only teaches there is no graph: whoever asks for one learns what can have its tokens.
#[test]
fn kinds_that_only_teach_are_refused() {
    let json = r#"{"model_type": "eurobert", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 6, "max_position_embeddings": 16, "pad_token_id": 0}"#;
    let config = Config::parse("config.json", json.as_bytes()).expect("a config");
    let mut provide =
        |_: Source, _: &str, _: &[usize]| Err::<Vec<f32>, _>("no tensor is asked for");
    let error = write(&plain(&config, Format::F32), &mut provide).expect_err("a teacher");
    assert_eq!(
        error.to_string(),
        "models of the kind `eurobert` can be teachers here, and encode texts, but not be trained or exported; a model of the kind \
         `modernbert` can have its tokens"
    );
    assert!(limbeck_onnx::require_writable(&config, Format::F32).is_err());
}

/// Half of the bytes, and a quarter, of a model whose words outweigh its graph.
#[test]
fn fewer_bits_are_fewer_bytes() {
    let json = r#"{"model_type": "bert", "vocab_size": 9000, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 64, "hidden_act": "gelu", "max_position_embeddings": 16, "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1}"#;
    let config = Config::parse("config.json", json.as_bytes()).expect("a config");
    let mut numbers = 0;
    let mut size = |format| {
        numbers = 0;
        let mut provide = |_: Source, _: &str, shape: &[usize]| {
            let count: usize = shape.iter().product();
            numbers += count;
            Ok::<_, String>(vec![0.5; count])
        };
        write(&plain(&config, format), &mut provide)
            .expect("a file")
            .len()
    };
    let [whole, half, quarter] = Format::ALL.map(&mut size);
    let bytes = 4 * numbers;
    assert!((bytes..bytes + 20_000).contains(&whole), "{bytes} {whole}");
    assert!(
        (bytes / 2..bytes / 2 + 20_000).contains(&half),
        "{bytes} {half}"
    );
    // A scale for each word and column, and 8 bits for each number.
    assert!(
        (bytes / 4..bytes * 3 / 10 + 20_000).contains(&quarter),
        "{bytes} {quarter}"
    );
}
