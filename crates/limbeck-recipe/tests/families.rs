//! Families of encoders: what each reads from its config.json, how its tensors are called, and what a student of it writes.

use limbeck_recipe::layout::Kind;
use limbeck_recipe::{
    Activation, Config, HeadChoice, Positions, Shape, StudentSize, parameter_count,
};
use serde_json::{Value, json};

const SIZE: StudentSize = StudentSize {
    layers: 1,
    hidden: 12,
    heads: 3,
    ffn: 20,
    dropout: 0.25,
};

fn parse(config: &Value) -> Config {
    Config::parse("config.json", config.to_string().as_bytes()).expect("a config that we run")
}

fn bert() -> Value {
    json!({
        "model_type": "bert", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 10, "type_vocab_size": 2, "layer_norm_eps": 1e-3,
        "hidden_act": "relu", "id2label": {"0": "task"},
    })
}

fn distilbert() -> Value {
    json!({
        "model_type": "distilbert", "vocab_size": 50, "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16,
        "max_position_embeddings": 10, "activation": "relu", "dropout": 0.3, "attention_dropout": 0.2,
        "sinusoidal_pos_embds": true, "qa_dropout": 0.1, "layer_norm_eps": 1e-3,
    })
}

fn electra() -> Value {
    let mut config = bert();
    config["model_type"] = "electra".into();
    config["embedding_size"] = 16.into();
    config
}

/// Name and shape of each parameter, in order.
fn parameters(config: &Config) -> Vec<(String, Vec<usize>)> {
    let layout = config.layout();
    let list = layout.parameters.into_iter();
    list.map(|parameter| (parameter.name, parameter.shape))
        .collect()
}

fn assert_parameters(config: &Value, expected: &[(&str, &[usize])]) {
    let config = parse(config);
    let found = parameters(&config);
    let found: Vec<(&str, &[usize])> = found
        .iter()
        .map(|(name, shape)| (name.as_str(), shape.as_slice()))
        .collect();
    assert_eq!(found, expected);
    let count: usize = expected
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    assert_eq!(parameter_count(&config), count as u128);
}

/// The order is the one in which initial values are drawn: another one changes what a seed means.
#[test]
fn parameters_of_bert() {
    assert_parameters(
        &bert(),
        &[
            ("embeddings.word_embeddings.weight", &[50, 8]),
            ("embeddings.position_embeddings.weight", &[10, 8]),
            ("embeddings.token_type_embeddings.weight", &[2, 8]),
            ("embeddings.LayerNorm.weight", &[8]),
            ("embeddings.LayerNorm.bias", &[8]),
            ("encoder.layer.0.attention.self.query.weight", &[8, 8]),
            ("encoder.layer.0.attention.self.query.bias", &[8]),
            ("encoder.layer.0.attention.self.key.weight", &[8, 8]),
            ("encoder.layer.0.attention.self.key.bias", &[8]),
            ("encoder.layer.0.attention.self.value.weight", &[8, 8]),
            ("encoder.layer.0.attention.self.value.bias", &[8]),
            ("encoder.layer.0.attention.output.dense.weight", &[8, 8]),
            ("encoder.layer.0.attention.output.dense.bias", &[8]),
            ("encoder.layer.0.attention.output.LayerNorm.weight", &[8]),
            ("encoder.layer.0.attention.output.LayerNorm.bias", &[8]),
            ("encoder.layer.0.intermediate.dense.weight", &[16, 8]),
            ("encoder.layer.0.intermediate.dense.bias", &[16]),
            ("encoder.layer.0.output.dense.weight", &[8, 16]),
            ("encoder.layer.0.output.dense.bias", &[8]),
            ("encoder.layer.0.output.LayerNorm.weight", &[8]),
            ("encoder.layer.0.output.LayerNorm.bias", &[8]),
        ],
    );
}

#[test]
fn parameters_of_distilbert() {
    assert_parameters(
        &distilbert(),
        &[
            ("embeddings.word_embeddings.weight", &[50, 8]),
            ("embeddings.position_embeddings.weight", &[10, 8]),
            ("embeddings.LayerNorm.weight", &[8]),
            ("embeddings.LayerNorm.bias", &[8]),
            ("transformer.layer.0.attention.q_lin.weight", &[8, 8]),
            ("transformer.layer.0.attention.q_lin.bias", &[8]),
            ("transformer.layer.0.attention.k_lin.weight", &[8, 8]),
            ("transformer.layer.0.attention.k_lin.bias", &[8]),
            ("transformer.layer.0.attention.v_lin.weight", &[8, 8]),
            ("transformer.layer.0.attention.v_lin.bias", &[8]),
            ("transformer.layer.0.attention.out_lin.weight", &[8, 8]),
            ("transformer.layer.0.attention.out_lin.bias", &[8]),
            ("transformer.layer.0.sa_layer_norm.weight", &[8]),
            ("transformer.layer.0.sa_layer_norm.bias", &[8]),
            ("transformer.layer.0.ffn.lin1.weight", &[16, 8]),
            ("transformer.layer.0.ffn.lin1.bias", &[16]),
            ("transformer.layer.0.ffn.lin2.weight", &[8, 16]),
            ("transformer.layer.0.ffn.lin2.bias", &[8]),
            ("transformer.layer.0.output_layer_norm.weight", &[8]),
            ("transformer.layer.0.output_layer_norm.bias", &[8]),
        ],
    );
}

/// ELECTRA has BERT's parameters, the embeddings in a width of their own, and a projection if it is not H.
#[test]
fn parameters_of_electra() {
    let found = parameters(&parse(&electra()));
    let mut expected = parameters(&parse(&bert()));
    for (_, shape) in &mut expected[..5] {
        if let Some(width) = shape.last_mut() {
            *width = 16;
        }
    }
    let projection = [("weight", vec![8, 16]), ("bias", vec![8])];
    let projection = projection.map(|(part, shape)| (format!("embeddings_project.{part}"), shape));
    expected.splice(5..5, projection);
    assert_eq!(found, expected);
    let mut narrow = electra();
    narrow["embedding_size"] = 8.into();
    assert_eq!(
        parameters(&parse(&narrow)),
        parameters(&parse(&bert())),
        "no projection"
    );
}

#[test]
fn places_belong_to_the_parameters_that_they_name() {
    let layout = parse(&electra()).layout();
    let of = |matrix: bool| {
        let list = layout.parameters.iter();
        let list = list.filter(|p| matches!(p.kind, Kind::Embedding | Kind::Linear) == matrix);
        list.map(|p| p.name.as_str()).collect::<Vec<_>>()
    };
    let (matrices, vectors) = (of(true), of(false));
    let block = &layout.blocks[0];
    let projection = layout.embeddings.projection.expect("a projection");
    for (name, linear) in [
        ("embeddings_project", projection),
        ("encoder.layer.0.attention.self.key", block.attention.key),
        ("encoder.layer.0.intermediate.dense", block.feed_forward.up),
        ("encoder.layer.0.output.dense", block.feed_forward.down),
    ] {
        assert_eq!(matrices[linear.weight.0], format!("{name}.weight"));
        let bias = linear.bias.expect("a bias");
        assert_eq!(vectors[bias.0], format!("{name}.bias"));
    }
    for (name, norm) in [
        ("embeddings.LayerNorm", layout.embeddings.norm),
        (
            "encoder.layer.0.attention.output.LayerNorm",
            block.attention_norm,
        ),
        ("encoder.layer.0.output.LayerNorm", block.norm),
    ] {
        assert_eq!(vectors[norm.weight.0], format!("{name}.weight"));
        assert_eq!(vectors[norm.bias.0], format!("{name}.bias"));
    }
}

#[test]
fn distilbert_is_read_by_its_own_keys() {
    let expected = Shape {
        vocab_size: 50,
        embedding_size: None,
        hidden_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 16,
        positions: Positions::Learned {
            rows: 10,
            first: 0,
            uncounted: None,
        },
        type_vocab_size: 0,
        layer_norm_eps: 1e-12,
        activation: Activation::Relu,
        hidden_dropout: 0.3,
        attention_dropout: 0.2,
        drops_attention_output: false,
    };
    assert_eq!(parse(&distilbert()).shape, expected);
}

#[test]
fn positions_of_roberta_begin_behind_its_padding() {
    let mut config = bert();
    config["model_type"] = "camembert".into();
    let read = parse(&config);
    assert_eq!(
        read.positions,
        Positions::Learned {
            rows: 10,
            first: 2,
            uncounted: Some(1),
        }
    );
    assert_eq!((read.max_length(), read.pad_token_id), (8, 1));
    config["pad_token_id"] = 3.into();
    assert_eq!(parse(&config).max_length(), 6);
}

/// A student's config.json has its family's keys and nothing of its teacher's task.
#[test]
fn students_are_written_in_the_keys_of_their_family() {
    let written = |teacher: &Value| {
        let student = parse(teacher).student(SIZE);
        let json = student.to_json("float32");
        let again = Config::parse("config.json", json.as_bytes()).expect("what we write we read");
        assert_eq!(again.shape, student.shape);
        serde_json::from_str::<Value>(&json).expect("JSON")
    };
    let mut expected = json!({
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 1,
        "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 10, "type_vocab_size": 2,
        "layer_norm_eps": 1e-3, "hidden_act": "relu", "hidden_dropout_prob": 0.25, "attention_probs_dropout_prob": 0.25,
        "position_embedding_type": "absolute", "torch_dtype": "float32",
    });
    assert_eq!(written(&bert()), expected);
    expected["model_type"] = "electra".into();
    expected["architectures"][0] = "ElectraModel".into();
    expected["embedding_size"] = 12.into();
    assert_eq!(written(&electra()), expected);
    let expected = json!({
        "model_type": "distilbert", "architectures": ["DistilBertModel"], "vocab_size": 50, "dim": 12, "n_layers": 1,
        "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 10, "activation": "relu", "dropout": 0.25,
        "attention_dropout": 0.25, "sinusoidal_pos_embds": false, "torch_dtype": "float32",
    });
    assert_eq!(written(&distilbert()), expected);
}

/// The tables of an ELECTRA student are as wide as its teacher's, but never wider than the student.
#[test]
fn tables_of_a_student_are_at_most_as_wide_as_the_student() {
    let mut teacher = electra();
    for (width, expected) in [(4, 4), (12, 12), (16, 12)] {
        teacher["embedding_size"] = width.into();
        let student = parse(&teacher).student(SIZE);
        assert_eq!(student.embedding_width(), expected);
    }
    assert_eq!(parse(&bert()).student(SIZE).embedding_width(), 12);
}

/// Errors name the fields as the file has them.
#[test]
fn errors_name_the_keys_of_the_family() {
    let message = |key: &str, value: Value| {
        let mut config = distilbert();
        config[key] = value;
        Config::parse("config.json", config.to_string().as_bytes())
            .expect_err("a wrong config")
            .to_string()
    };
    assert_eq!(
        message("n_heads", 3.into()),
        "config.json: n_heads (3) does not divide dim (8)"
    );
    assert_eq!(message("dim", 0.into()), "config.json: dim is 0");
    assert_eq!(
        message("activation", "mish".into()),
        "config.json: activation `mish` is not supported; supported: gelu, gelu_new, gelu_pytorch_tanh, relu, silu"
    );
    assert_eq!(
        message("model_type", "bert".into()),
        "config.json: `hidden_size` is missing"
    );
    let mut config = electra();
    config["embedding_size"] = 0.into();
    let error = Config::parse("config.json", config.to_string().as_bytes()).expect_err("no width");
    assert_eq!(error.to_string(), "config.json: embedding_size is 0");
}

#[test]
fn a_fine_tuned_config_names_the_class_with_the_head_and_the_labels() {
    let labels = ["bad".to_owned(), "good".to_owned()];
    let json = |config: &Value, choice, labels: Option<&[String]>| -> Value {
        let tuned = parse(config).fine_tuned(choice, labels);
        serde_json::from_str(&tuned.to_json("float32")).expect("config.json is JSON")
    };
    let tuned = json(&bert(), HeadChoice::First, Some(&labels));
    assert_eq!(
        tuned["architectures"],
        json!(["BertForSequenceClassification"])
    );
    assert_eq!(tuned["id2label"], json!({ "0": "bad", "1": "good" }));
    assert_eq!(tuned["label2id"], json!({ "bad": 0, "good": 1 }));
    assert_eq!(tuned["layer_norm_eps"], 1e-3);
    let tuned = json(&electra(), HeadChoice::First, None);
    assert_eq!(
        tuned["architectures"],
        json!(["ElectraForSequenceClassification"])
    );
    assert_eq!(tuned["problem_type"], "regression");
    // Wider than the model's hidden size, and not a student's to narrow.
    assert_eq!(tuned["embedding_size"], 16);
    let tuned = json(&distilbert(), HeadChoice::Mean, Some(&labels));
    assert_eq!(tuned["architectures"], json!(["DistilBertModel"]));
    assert_eq!(tuned["dim"], 8);
}

#[test]
fn a_config_says_which_head_fine_tuning_gave_the_model() {
    let labels = ["bad".to_owned(), "good".to_owned(), "10".to_owned()];
    for config in [bert(), electra(), distilbert()] {
        assert_eq!(parse(&config).tuned(), None);
        for choice in [HeadChoice::First, HeadChoice::Mean, HeadChoice::Tokens] {
            let text = parse(&config)
                .fine_tuned(choice, Some(&labels))
                .to_json("float32");
            let read = Config::parse("config.json", text.as_bytes()).expect("a config");
            let tuned = read.tuned().expect("a head");
            assert_eq!((tuned.choice, tuned.outputs()), (choice, 3));
            assert_eq!(tuned.labels.as_deref(), Some(&labels[..]));
        }
        let scored = parse(&config).fine_tuned(HeadChoice::First, None);
        let tuned = scored.tuned().expect("a head");
        assert_eq!((tuned.labels.clone(), tuned.outputs()), (None, 1));
    }
    for (mut config, names) in [
        (bert(), &["task"][..]),
        (distilbert(), &["LABEL_0", "LABEL_1"]),
    ] {
        config["architectures"] = json!(["AnyForTokenClassification"]);
        let tuned = parse(&config).tuned().expect("a head");
        assert_eq!(tuned.choice, HeadChoice::Tokens);
        let labels = tuned.labels.expect("tags");
        assert_eq!(labels, names);
    }
}

#[test]
fn the_first_layers_are_the_first_parameters() {
    let mut config = electra();
    config["num_hidden_layers"] = 2.into();
    let layout = parse(&config).layout();
    let names = |layers: usize| &layout.parameters[layout.up_to(layers)..];
    assert_eq!(
        names(0)[0].name,
        "encoder.layer.0.attention.self.query.weight"
    );
    assert_eq!(
        names(1)[0].name,
        "encoder.layer.1.attention.self.query.weight"
    );
    assert_eq!(layout.up_to(1) - layout.up_to(0), 16);
    assert!(names(2).is_empty());
}
