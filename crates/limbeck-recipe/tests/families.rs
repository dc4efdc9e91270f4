//! Families of encoders: what each reads from its config.json, how its tensors are called, and what a student of it writes.

use limbeck_recipe::layout::{Kind, Layout, is_usual};
use limbeck_recipe::{
    Activation, Angles, Config, Disentangled, HeadChoice, Init, Kernels, Local, NormKind,
    NormPlace, Objective, Plan, Positions, Reach, Recipe, Shape, StudentRecipe, StudentSize, Tap,
    distance_bucket, distance_slope, encoding_bytes, parameter_count,
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

/// In the keys of transformers 4, as the hub has most models of this kind.
fn modernbert() -> Value {
    json!({
        "model_type": "modernbert", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 5, "num_attention_heads": 2,
        "intermediate_size": 6, "max_position_embeddings": 90, "hidden_activation": "gelu", "norm_eps": 1e-3,
        "norm_bias": false, "attention_bias": false, "mlp_bias": false, "pad_token_id": 3, "cls_token_id": 1,
        "local_attention": 7, "global_attn_every_n_layers": 2, "global_rope_theta": 5000.0, "local_rope_theta": 100.0,
        "position_embedding_type": "sans_pos", "classifier_pooling": "mean", "id2label": {"0": "task"},
    })
}

fn mpnet() -> Value {
    let mut config = bert();
    let fields = config.as_object_mut().expect("an object");
    fields.remove("type_vocab_size");
    config["model_type"] = "mpnet".into();
    config
}

/// In the keys of transformers.
fn nomic() -> Value {
    json!({
        "model_type": "nomic_bert", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 6, "max_position_embeddings": 90, "hidden_act": "silu", "layer_norm_eps": 1e-3,
        "type_vocab_size": 2, "pad_token_id": 3, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
        "head_dim": 4, "id2label": {"0": "task"},
    })
}

/// In the keys of the code that its models came with, as the hub has them.
fn older_nomic() -> Value {
    json!({
        "model_type": "nomic_bert", "vocab_size": 50, "pad_vocab_size_multiple": 64, "n_embd": 8, "n_layer": 2, "n_head": 2,
        "n_inner": 6, "n_positions": 90, "max_trained_positions": 70, "activation_function": "swiglu",
        "layer_norm_epsilon": 1e-3, "type_vocab_size": 2, "rotary_emb_base": 500, "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": false, "rotary_emb_scale_base": null, "rotary_scaling_factor": null, "qkv_proj_bias": false,
        "mlp_fc1_bias": false, "mlp_fc2_bias": false, "prenorm": false, "causal": false, "resid_pdrop": 0.0, "attn_pdrop": 0.0,
        "bos_token_id": null,
    })
}

fn gte() -> Value {
    json!({
        "model_type": "gte", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 6, "max_position_embeddings": 90, "hidden_act": "gelu", "layer_norm_eps": 1e-3,
        "type_vocab_size": 0, "pad_token_id": 3,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 800.0, "factor": 2.0},
    })
}

/// In the keys of the code that its models came with, as the hub has them.
fn older_gte() -> Value {
    let mut config = gte();
    let fields = config.as_object_mut().expect("an object");
    fields.remove("rope_parameters");
    config["model_type"] = "new".into();
    config["rope_theta"] = 200.0.into();
    config["rope_scaling"] = json!({"type": "ntk", "factor": 4.0});
    for (key, value) in [
        ("layer_norm_type", "layer_norm"),
        ("position_embedding_type", "rope"),
    ] {
        config[key] = value.into();
    }
    (config["pack_qkv"], config["logn_attention_scale"]) = (true.into(), false.into());
    config
}

fn jina() -> Value {
    let mut config = bert();
    config["hidden_act"] = "gelu".into();
    config["position_embedding_type"] = "alibi".into();
    config["feed_forward_type"] = "geglu".into();
    config["auto_map"] =
        json!({"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"});
    config
}

/// For a student of the models above.
fn small_recipe(layers: usize) -> Recipe {
    Recipe {
        corpus: vec!["corpus.txt".into()],
        max_length: 8,
        student: StudentRecipe {
            layers,
            hidden: 8,
            heads: 2,
            ..StudentRecipe::default()
        },
        ..Recipe::default()
    }
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
        (
            "embeddings.LayerNorm",
            layout.embeddings.norm.expect("a norm of the embeddings"),
        ),
        (
            "encoder.layer.0.attention.output.LayerNorm",
            block.attention_norm.expect("a post-norm layer"),
        ),
        ("encoder.layer.0.output.LayerNorm", block.norm),
    ] {
        assert_eq!(vectors[norm.weight.0], format!("{name}.weight"));
        let bias = norm.bias.expect("a shift");
        assert_eq!(vectors[bias.0], format!("{name}.bias"));
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
        head_size: None,
        key_value_heads: None,
        intermediate_size: 16,
        positions: Positions::Learned {
            rows: 10,
            first: 0,
            uncounted: None,
        },
        type_vocab_size: 0,
        distance_buckets: 0,
        local: None,
        scales_words: false,
        is_causal: false,
        norms_heads: false,
        score_width: None,
        norms_embeddings: true,
        projects_first: false,
        norm_place: NormPlace::After,
        norm_kind: NormKind::MeanVariance,
        norm_bias: true,
        attention_bias: true,
        up_bias: true,
        down_bias: true,
        layer_norm_eps: 1e-12,
        is_gated: false,
        activation: Activation::Relu,
        hidden_dropout: 0.3,
        attention_dropout: 0.2,
        drops_attention_output: false,
        drops_units: false,
        drops_fed: true,
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

/// What config.json says of a student: its shape, with the dropout of its teacher and not that of its distillation.
fn as_written(student: &Config, teacher: &Config) -> Shape {
    Shape {
        hidden_dropout: teacher.hidden_dropout,
        attention_dropout: teacher.attention_dropout,
        ..student.shape.clone()
    }
}

/// A student's config.json has its family's keys and nothing of its teacher's task.
#[test]
fn students_are_written_in_the_keys_of_their_family() {
    let written = |teacher: &Value| {
        let student = parse(teacher).student(SIZE);
        let json = student.to_json("float32");
        let again = Config::parse("config.json", json.as_bytes()).expect("what we write we read");
        assert_eq!(again.shape, as_written(&student, &parse(teacher)));
        serde_json::from_str::<Value>(&json).expect("JSON")
    };
    let mut expected = json!({
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 1,
        "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 10, "type_vocab_size": 2,
        "layer_norm_eps": 1e-3, "hidden_act": "relu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "position_embedding_type": "absolute", "torch_dtype": "float32",
    });
    assert_eq!(written(&bert()), expected);
    expected["model_type"] = "electra".into();
    expected["architectures"][0] = "ElectraModel".into();
    expected["embedding_size"] = 12.into();
    assert_eq!(written(&electra()), expected);
    let expected = json!({
        "model_type": "distilbert", "architectures": ["DistilBertModel"], "vocab_size": 50, "dim": 12, "n_layers": 1,
        "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 10, "activation": "relu", "dropout": 0.3,
        "attention_dropout": 0.2, "sinusoidal_pos_embds": false, "torch_dtype": "float32",
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

/// Layers with windows, pre-norm, gates, few biases and two thetas are all values of the shape.
#[test]
fn modernbert_is_read_by_the_keys_of_either_transformers() {
    let expected = Shape {
        vocab_size: 50,
        embedding_size: None,
        hidden_size: 8,
        num_hidden_layers: 5,
        num_attention_heads: 2,
        head_size: None,
        key_value_heads: None,
        intermediate_size: 6,
        positions: Positions::Rotary {
            longest: 90,
            angles: 5000.0.into(),
        },
        type_vocab_size: 0,
        distance_buckets: 0,
        local: Some(Local {
            reach: Reach::local(3),
            angles: 100.0.into(),
            layers: vec![1, 3],
        }),
        scales_words: false,
        is_causal: false,
        norms_heads: false,
        score_width: None,
        norms_embeddings: true,
        projects_first: false,
        norm_place: NormPlace::Before,
        norm_kind: NormKind::MeanVariance,
        norm_bias: false,
        attention_bias: false,
        up_bias: false,
        down_bias: false,
        layer_norm_eps: 1e-3,
        is_gated: true,
        activation: Activation::Gelu,
        hidden_dropout: 0.0,
        attention_dropout: 0.0,
        drops_attention_output: true,
        drops_units: true,
        drops_fed: false,
    };
    let shape = parse(&modernbert()).shape;
    assert_eq!(shape, expected);
    let angles: Vec<Option<Angles>> = (0..5).map(|layer| shape.angles(layer)).collect();
    let [global, local] = [Some(5000.0.into()), Some(100.0.into())];
    assert_eq!(angles, [global, local, global, local, global]);
    assert_eq!(shape.global_layers(), [1, 3, 5]);
    assert_eq!(
        (shape.reach(0), shape.reach(1)),
        (Reach::default(), Reach::local(3))
    );
    let mut new = modernbert();
    let keys = new.as_object_mut().expect("an object");
    for old in [
        "global_attn_every_n_layers",
        "global_rope_theta",
        "local_rope_theta",
    ] {
        keys.remove(old);
    }
    assert_eq!(
        parse(&new).global_layers(),
        [1, 4],
        "every third, unless it says otherwise"
    );
    assert_eq!(
        (parse(&new).angles(0), parse(&new).angles(1)),
        (Some(160_000.0.into()), Some(10_000.0.into()))
    );
    let [full, sliding] = ["full_attention", "sliding_attention"];
    new["layer_types"] = json!([full, sliding, full, sliding, full]);
    new["rope_parameters"] = json!({
        full: {"rope_type": "default", "rope_theta": 5000.0}, sliding: {"rope_type": "default", "rope_theta": 100.0},
    });
    assert_eq!(parse(&new).shape, expected);
}

/// A tensor of files: name and shape.
fn tensor(name: &str, shape: &[usize]) -> (String, Vec<usize>) {
    (name.to_owned(), shape.to_vec())
}

/// Name and shape of each tensor of files, in order.
fn stored(layout: &Layout) -> Vec<(String, Vec<usize>)> {
    let mut stored: Vec<(String, Vec<usize>)> = Vec::new();
    for parameter in &layout.parameters {
        let (name, shape) = parameter.stored();
        if stored.iter().all(|(before, _)| before != name) {
            stored.push((name.to_owned(), shape));
        }
    }
    stored
}

/// Queries, keys and values are one tensor in files, and so are the feed-forward part and its gate; the first layer has no norm
/// of attention.
#[test]
fn parameters_of_modernbert() {
    let mut config = modernbert();
    config["num_hidden_layers"] = 2.into();
    let layout = parse(&config).layout();
    let of_layer = |layer: usize| {
        let at =
            |part: &str, shape: &[usize]| tensor(&format!("layers.{layer}.{part}.weight"), shape);
        let mut tensors = vec![at("attn.Wqkv", &[24, 8]), at("attn.Wo", &[8, 8])];
        tensors.extend((layer > 0).then(|| at("attn_norm", &[8])));
        tensors.extend([
            at("mlp.Wi", &[12, 8]),
            at("mlp.Wo", &[8, 6]),
            at("mlp_norm", &[8]),
        ]);
        tensors
    };
    let expected = [
        vec![tensor("embeddings.tok_embeddings.weight", &[50, 8])],
        vec![tensor("embeddings.norm.weight", &[8])],
        of_layer(0),
        of_layer(1),
        vec![tensor("final_norm.weight", &[8])],
    ];
    assert_eq!(stored(&layout), expected.concat());
    let parts: Vec<_> = layout.parameters[2..5]
        .iter()
        .map(|p| p.shared.clone())
        .collect();
    let parts: Vec<usize> = parts
        .into_iter()
        .flatten()
        .map(|shared| shared.part)
        .collect();
    assert_eq!(parts, [0, 1, 2], "queries, keys, values");
    assert_eq!(layout.parameters[2].shape, [8, 8]);
    config["attention_bias"] = true.into();
    config["norm_bias"] = true.into();
    let biased = parameters(&parse(&config));
    let has = |name: &str| biased.iter().any(|(found, _)| found == name);
    for name in [
        "layers.0.attn.Wqkv.key.bias",
        "layers.1.attn_norm.bias",
        "final_norm.bias",
    ] {
        assert!(has(name), "{name}: {biased:?}");
    }
    assert!(!has("layers.0.mlp.Wi.gate.bias"));
}

#[test]
fn what_modernbert_would_compute_otherwise_is_refused() {
    for (key, value, expected) in [
        (
            "rope_scaling",
            json!({"type": "yarn"}),
            "rope_scaling `{\"type\":\"yarn\"}` is not supported; supported: none (null), or an object with a rope_type",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "yarn"}),
            "rope_type `yarn` is not supported; supported: default, linear",
        ),
        (
            "rope_parameters",
            json!({"full_attention": {"rope_type": "yarn"}}),
            "rope_type `yarn` is not supported; supported: default, linear",
        ),
        (
            "rope_parameters",
            json!({"full_attention": 7}),
            "rope_parameters.full_attention is 7, and must be an object in braces",
        ),
        (
            "global_attn_every_n_layers",
            json!(0),
            "global_attn_every_n_layers is 0, and must be 1 or more",
        ),
        (
            "layer_types",
            json!(["full_attention"]),
            "layer_types has 1 entries, and num_hidden_layers is 5",
        ),
        (
            "layer_types",
            json!(["full_attention", "causal", "", "", ""]),
            "layer_types `causal` is not supported; supported: full_attention, sliding_attention",
        ),
        (
            "global_rope_theta",
            json!(0.5),
            "the rope_theta of full_attention is 0.5, and must be a number from 1, such as 160000",
        ),
        (
            "norm_eps",
            json!(0.0),
            "norm_eps is 0, and must be a number above 0, such as 1e-12",
        ),
        (
            "classifier_activation",
            json!("relu"),
            "classifier_activation `relu` is not supported; supported: gelu",
        ),
        (
            "num_attention_heads",
            json!(8),
            "num_attention_heads (8) makes heads of 1 dimensions of hidden_size (8), and rotary positions turn them in pairs",
        ),
    ] {
        let mut config = modernbert();
        config[key] = value;
        let error = Config::parse("config.json", config.to_string().as_bytes());
        let error = error.expect_err("another encoder").to_string();
        assert_eq!(error, format!("config.json: {expected}"));
    }
}

/// A layer of a student attends as the teacher's layer that it starts from, and the last one, which is compared, to all tokens.
#[test]
fn a_student_of_modernbert_ends_with_a_layer_that_attends_to_all() {
    let teacher = parse(&modernbert());
    let plan = |change: &dyn Fn(&mut Recipe)| {
        let mut recipe = small_recipe(3);
        change(&mut recipe);
        Plan::new(&recipe, &teacher).map_err(|error| error.to_string())
    };
    let kinds =
        |change: &dyn Fn(&mut Recipe)| plan(change).expect("a plan").student.global_layers();
    assert_eq!(kinds(&|_| ()), [1, 2, 3], "1, 3 and 5 of the teacher");
    assert_eq!(
        kinds(&|r| r.student.from_layers = Some(vec![1, 2, 5])),
        [1, 3]
    );
    assert_eq!(
        kinds(&|r| r.student.from_layers = Some(vec![1, 2, 4])),
        [1, 3],
        "the last one all the same"
    );
    assert_eq!(kinds(&|r| r.student.layers = 5), [1, 3, 5]);
    assert_eq!(
        kinds(&|r| (r.student.layers, r.teacher_layer) = (4, Some(3))),
        [1, 3, 4]
    );
    let json = plan(&|r| r.student.from_layers = Some(vec![1, 2, 5]))
        .expect("a plan")
        .student
        .to_json("float32");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let [full, sliding] = ["full_attention", "sliding_attention"];
    let of = |theta: f64| json!({"rope_type": "default", "rope_theta": theta});
    let expected = json!({
        "model_type": "modernbert", "architectures": ["ModernBertModel"], "vocab_size": 50, "hidden_size": 8,
        "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 6, "max_position_embeddings": 90,
        "hidden_activation": "gelu", "norm_eps": 1e-3, "norm_bias": false, "attention_bias": false, "mlp_bias": false,
        "pad_token_id": 3, "cls_token_id": 1, "local_attention": 6, "layer_types": [full, sliding, full],
        "rope_parameters": {full: of(5000.0), sliding: of(100.0)}, "global_rope_theta": 5000.0, "local_rope_theta": 100.0,
        "global_attn_every_n_layers": 2, "mlp_dropout": 0.0, "embedding_dropout": 0.0, "attention_dropout": 0.0,
        "classifier_pooling": "cls", "torch_dtype": "float32",
    });
    assert_eq!(json, expected);
    let message = plan(&|r| r.teacher_layer = Some(4)).expect_err("a local layer");
    assert_eq!(
        message,
        "the recipe has a mistake:\n  teacher_layer: layer 4 of the teacher attends to near tokens alone, so it has no \
         relations among all tokens that a student could learn; these attend to all: [1, 3, 5]"
    );
    let message = plan(&|r| r.student.heads = 8).expect_err("heads of one dimension");
    assert!(
        message.contains("8 attention heads of 1 dimensions each"),
        "{message}"
    );
    assert!(message.ends_with("these do: [1, 2, 4]"), "{message}");
    assert!(plan(&|r| r.tap = Tap::Rotated).is_ok());
    let bert = parse(&bert());
    let rotated = Recipe {
        tap: Tap::Rotated,
        ..small_recipe(1)
    };
    let message = Plan::new(&rotated, &bert)
        .expect_err("no rotation")
        .to_string();
    let expected = "tap: `rotated` is for models with rotary positions, and the teacher (bert) has none; leave tap out";
    assert!(message.ends_with(expected), "{message}");
}

/// What transformers 4 cannot say is left out of its keys.
#[test]
fn angles_of_modernbert_are_scaled_in_the_keys_of_either_transformers() {
    let [full, sliding] = ["full_attention", "sliding_attention"];
    let of = |theta: f64, factor: f64| match factor > 1.0 {
        true => json!({"rope_type": "linear", "rope_theta": theta, "factor": factor}),
        false => json!({"rope_type": "default", "rope_theta": theta}),
    };
    let mut alike = modernbert();
    alike["rope_parameters"] = json!({full: of(5000.0, 2.0), sliding: of(100.0, 2.0)});
    let mut older = modernbert();
    older["rope_scaling"] = json!({"rope_type": "linear", "factor": 2.0});
    assert_eq!(parse(&older).shape, parse(&alike).shape);
    for config in [&alike, &older] {
        let json = student_json(config);
        assert_eq!(json["rope_parameters"], alike["rope_parameters"]);
        assert_eq!(json["rope_scaling"], older["rope_scaling"]);
        let thetas = (&json["global_rope_theta"], &json["local_rope_theta"]);
        assert_eq!(thetas, (&json!(5000.0), &json!(100.0)));
    }
    let mut apart = modernbert();
    apart["rope_parameters"] = json!({full: of(5000.0, 2.0), sliding: of(100.0, 1.0)});
    let json = student_json(&apart);
    assert_eq!(json["rope_parameters"], apart["rope_parameters"]);
    for key in ["global_rope_theta", "local_rope_theta", "rope_scaling"] {
        assert_eq!(json.get(key), None, "{key}");
    }
}

/// A head goes on reading what it has learned with, also where the model's config.json names another pooling than a student's.
#[test]
fn a_fine_tuned_config_keeps_the_pooling_of_its_head() {
    for pools in ["mean", "cls"] {
        let mut config = modernbert();
        config["classifier_pooling"] = pools.into();
        let config = parse(&config);
        let tuned = config.fine_tuned(HeadChoice::First, None);
        assert_eq!(
            tuned.head_pooling(HeadChoice::First),
            config.head_pooling(HeadChoice::First)
        );
        let json: Value = serde_json::from_str(&tuned.to_json("float32")).expect("JSON");
        assert_eq!(json["classifier_pooling"], pools);
    }
}

/// The head of transformers has a bias if config.json says so.
#[test]
fn a_config_says_whether_its_head_has_a_bias() {
    let mut config = modernbert();
    assert!(!parse(&config).head_has_bias());
    config["classifier_bias"] = true.into();
    assert!(parse(&config).head_has_bias() && parse(&bert()).head_has_bias());
}

/// transformers 4 has null for "as in the layers that attend to all".
#[test]
fn local_layers_without_angles_of_their_own_have_those_of_the_others() {
    let mut config = modernbert();
    config["local_rope_theta"] = Value::Null;
    let local = parse(&config).local.clone().expect("windows");
    assert_eq!(local.angles, 5000.0.into());
}

/// minilm-v1 promises the teacher's attention, which is not Q-K before positions come in.
#[test]
fn minilm_v1_is_refused_where_it_would_not_compare_attention() {
    let message = |teacher: &Value, tap| {
        let recipe = Recipe {
            objective: Objective::MinilmV1,
            relation_heads: Some(2),
            tap,
            ..small_recipe(1)
        };
        Plan::new(&recipe, &parse(teacher)).map_err(|error| error.to_string())
    };
    let content = message(&modernbert(), Tap::Content).expect_err("no attention");
    assert!(content.contains("set tap to `rotated`"), "{content}");
    assert!(message(&modernbert(), Tap::Rotated).is_ok());
    let distances = message(&mpnet(), Tap::Content).expect_err("no attention");
    assert!(
        distances.contains("also depends on distances"),
        "{distances}"
    );
    let slopes = message(&jina(), Tap::Content).expect_err("no attention");
    assert!(slopes.contains("also depends on distances"), "{slopes}");
    assert!(message(&bert(), Tap::Content).is_ok());
}

/// A teacher whose last layer attends to near tokens is tapped at the last that does not.
#[test]
fn the_usual_layer_is_the_last_that_attends_to_all() {
    let mut config = modernbert();
    config["global_attn_every_n_layers"] = 3.into();
    let teacher = parse(&config);
    let usual = limbeck_recipe::usual_teacher_layer(&teacher);
    assert_eq!((teacher.global_layers(), usual), (vec![1, 4], 4));
    let deep = teacher.student(StudentSize { layers: 5, ..SIZE });
    assert_eq!(deep.global_layers(), [1, 4, 5], "as deep as the teacher");
    let again = Config::parse("config.json", deep.to_json("float32").as_bytes());
    let again = again.expect("what we write we read");
    assert_eq!(again.shape, as_written(&deep, &teacher));
    let every = serde_json::from_str::<Value>(&deep.to_json("float32")).expect("JSON");
    assert!(
        every.get("global_attn_every_n_layers").is_none(),
        "no number says it"
    );
}

/// As `MPNetEncoder.relative_position_bucket` of transformers says with PyTorch: where each bucket begins.
#[test]
fn distances_are_in_the_buckets_of_pytorch() {
    let begins = [
        (-300, 15),
        (-90, 14),
        (-63, 13),
        (-45, 12),
        (-31, 11),
        (-22, 10),
        (-15, 9),
        (-11, 8),
        (-7, 7),
        (-6, 6),
        (-5, 5),
        (-4, 4),
        (-3, 3),
        (-2, 2),
        (-1, 1),
        (0, 0),
        (1, 17),
        (2, 18),
        (3, 19),
        (4, 20),
        (5, 21),
        (6, 22),
        (7, 23),
        (8, 24),
        (12, 25),
        (16, 26),
        (23, 27),
        (32, 28),
        (46, 29),
        (64, 30),
        (91, 31),
    ];
    let mut found = Vec::new();
    for distance in -300..=300 {
        let bucket = distance_bucket(distance, 32);
        if found.last().is_none_or(|(_, last)| *last != bucket) {
            found.push((distance, bucket));
        }
    }
    assert_eq!(found, begins);
}

#[test]
fn mpnet_is_read_and_written() {
    let mut config = mpnet();
    let read = parse(&config);
    let positions = Positions::Learned {
        rows: 10,
        first: 2,
        uncounted: Some(1),
    };
    assert_eq!((read.positions, read.type_vocab_size), (positions, 0));
    let names = parameters(&read);
    let has = |name: &str, shape: &[usize]| names.contains(&(name.to_owned(), shape.to_vec()));
    assert!(has("encoder.relative_attention_bias.weight", &[32, 2]));
    for part in ["q", "k", "v", "o"] {
        assert!(has(
            &format!("encoder.layer.0.attention.attn.{part}.weight"),
            &[8, 8]
        ));
    }
    assert!(has("encoder.layer.0.attention.LayerNorm.bias", &[8]));
    let json = read.student(SIZE).to_json("float32");
    let again = Config::parse("config.json", json.as_bytes()).expect("what we write we read");
    assert_eq!(again.shape, as_written(&read.student(SIZE), &read));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["relative_attention_num_buckets"], 32);
    assert_eq!(
        (
            json.get("type_vocab_size"),
            json.get("position_embedding_type")
        ),
        (None, None)
    );
    config["relative_attention_num_buckets"] = 16.into();
    let error =
        Config::parse("config.json", config.to_string().as_bytes()).expect_err("other buckets");
    let expected =
        "config.json: relative_attention_num_buckets `16` is not supported; supported: 32";
    assert_eq!(error.to_string(), expected);
}

/// What is changed in a config, with the message that refuses it.
fn assert_refused(config: &dyn Fn() -> Value, changes: &[(&str, Value, &str)]) {
    for (key, value, expected) in changes {
        let mut config = config();
        config[*key] = value.clone();
        let error = Config::parse("config.json", config.to_string().as_bytes());
        let error = error.expect_err("another encoder").to_string();
        assert_eq!(error, format!("config.json: {expected}"));
    }
}

/// A student's config.json, read again.
fn student_json(teacher: &Value) -> Value {
    let student = parse(teacher).student(SIZE);
    let json = student.to_json("float32");
    let again = Config::parse("config.json", json.as_bytes()).expect("what we write we read");
    assert_eq!(again.shape, as_written(&student, &parse(teacher)));
    assert_eq!(
        (&again.model_type, again.head()),
        (&student.model_type, student.head())
    );
    serde_json::from_str(&json).expect("JSON")
}

/// Both kinds of keys say the same, but for how many rows the table of words has, and how long a text may be.
#[test]
fn nomic_bert_is_read_in_both_kinds_of_keys() {
    let expected = Shape {
        vocab_size: 50,
        embedding_size: None,
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        head_size: None,
        key_value_heads: None,
        intermediate_size: 6,
        positions: Positions::Rotary {
            longest: 90,
            angles: 500.0.into(),
        },
        type_vocab_size: 2,
        distance_buckets: 0,
        local: None,
        scales_words: false,
        is_causal: false,
        norms_heads: false,
        score_width: None,
        norms_embeddings: true,
        projects_first: false,
        norm_place: NormPlace::After,
        norm_kind: NormKind::MeanVariance,
        norm_bias: true,
        attention_bias: false,
        up_bias: false,
        down_bias: false,
        layer_norm_eps: 1e-3,
        is_gated: true,
        activation: Activation::Silu,
        hidden_dropout: 0.0,
        attention_dropout: 0.0,
        drops_attention_output: true,
        drops_units: false,
        drops_fed: true,
    };
    assert_eq!(parse(&nomic()).shape, expected);
    let older = Shape {
        vocab_size: 64,
        ..expected.clone()
    };
    assert_eq!(parse(&older_nomic()).shape, older);
    let mut changed = older_nomic();
    changed["rotary_scaling_factor"] = 2.0.into();
    assert_eq!(parse(&changed).max_length(), 70, "what is not scaled");
    changed["activation_function"] = "geglu".into();
    assert_eq!(parse(&changed).activation, Activation::Gelu);
    let silent = |mut config: Value, keys: &[&str]| {
        let fields = config.as_object_mut().expect("an object");
        keys.iter().for_each(|key| {
            fields.remove(*key);
        });
        let shape = parse(&config).shape;
        let angles = shape.angles(1).expect("rotary positions");
        (
            shape.activation,
            angles.theta,
            shape.type_vocab_size,
            shape.layer_norm_eps,
        )
    };
    let keys = [
        "hidden_act",
        "rope_parameters",
        "type_vocab_size",
        "layer_norm_eps",
    ];
    let expected = (Activation::Silu, 1000.0, 2, 1e-12);
    assert_eq!(silent(nomic(), &keys), expected);
    let keys = ["rotary_emb_base", "type_vocab_size", "layer_norm_epsilon"];
    let expected = (Activation::Silu, 10_000.0, 2, 1e-5);
    assert_eq!(silent(older_nomic(), &keys), expected);
}

#[test]
fn tensors_of_nomic_bert() {
    let named = stored(&parse(&nomic()).layout());
    let expected = [
        tensor("embeddings.word_embeddings.weight", &[50, 8]),
        tensor("embeddings.token_type_embeddings.weight", &[2, 8]),
        tensor("emb_ln.weight", &[8]),
        tensor("emb_ln.bias", &[8]),
        tensor("encoder.layers.0.attn.Wqkv.weight", &[24, 8]),
        tensor("encoder.layers.0.attn.out_proj.weight", &[8, 8]),
        tensor("encoder.layers.0.norm1.weight", &[8]),
        tensor("encoder.layers.0.norm1.bias", &[8]),
        tensor("encoder.layers.0.mlp.fc12.weight", &[6, 8]),
        tensor("encoder.layers.0.mlp.fc11.weight", &[6, 8]),
        tensor("encoder.layers.0.mlp.fc2.weight", &[8, 6]),
        tensor("encoder.layers.0.norm2.weight", &[8]),
        tensor("encoder.layers.0.norm2.bias", &[8]),
    ];
    assert_eq!(named[..13], expected);
}

/// In the keys of transformers, and in those of other tools.
#[test]
fn students_of_nomic_bert_have_both_kinds_of_keys() {
    let mut expected = json!({
        "model_type": "nomic_bert", "architectures": ["NomicBertModel"], "vocab_size": 50, "hidden_size": 12,
        "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 90,
        "hidden_act": "silu", "layer_norm_eps": 1e-3, "type_vocab_size": 2, "pad_token_id": 3, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
        "n_embd": 12, "n_layer": 1, "n_head": 3, "n_inner": 20, "n_positions": 90, "max_trained_positions": 90,
        "activation_function": "swiglu", "layer_norm_epsilon": 1e-3, "rotary_emb_base": 500.0, "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": false, "rotary_scaling_factor": null, "qkv_proj_bias": false, "mlp_fc1_bias": false,
        "mlp_fc2_bias": false, "prenorm": false, "causal": false, "resid_pdrop": 0.0, "attn_pdrop": 0.0,
        "torch_dtype": "float32",
    });
    assert_eq!(student_json(&nomic()), expected);
    expected["vocab_size"] = 64.into();
    let fields = expected.as_object_mut().expect("an object");
    fields.remove("pad_token_id");
    fields.insert("bos_token_id".to_owned(), Value::Null);
    assert_eq!(student_json(&older_nomic()), expected);
    let mut stretched = nomic();
    stretched["rope_parameters"] =
        json!({"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0});
    let json = student_json(&stretched);
    assert_eq!(json["rope_parameters"], stretched["rope_parameters"]);
    assert!(json.get("n_embd").is_none(), "the older keys cannot say it");
}

#[test]
fn what_nomic_bert_would_compute_otherwise_is_refused() {
    assert_refused(
        &nomic,
        &[
            (
                "head_dim",
                8.into(),
                "head_dim `8` is not supported; supported: hidden_size / num_attention_heads",
            ),
            (
                "rope_parameters",
                json!({"rope_type": "yarn"}),
                "rope_type `yarn` is not supported; supported: default, linear",
            ),
            (
                "rope_parameters",
                json!({"rope_type": "linear", "factor": 0.5}),
                "the factor of rotary positions is 0.5, and must be a number from 1 to 1000000",
            ),
            (
                "rope_parameters",
                json!({"type": "linear"}),
                "`factor` is missing",
            ),
            (
                "rope_parameters",
                json!({"rope_theta": 0.5}),
                "rope_theta is 0.5, and must be a number from 1, such as 1000",
            ),
        ],
    );
}

#[test]
fn what_older_nomic_bert_would_compute_otherwise_is_refused() {
    assert_refused(
        &older_nomic,
        &[
            (
                "prenorm",
                true.into(),
                "prenorm `true` is not supported; supported: false",
            ),
            (
                "rotary_emb_interleaved",
                true.into(),
                "rotary_emb_interleaved `true` is not supported; supported: false",
            ),
            (
                "rotary_emb_fraction",
                0.5.into(),
                "rotary_emb_fraction `0.5` is not supported; supported: 1",
            ),
            (
                "rotary_emb_scale_base",
                512.into(),
                "rotary_emb_scale_base `512` is not supported; supported: none (null)",
            ),
            (
                "moe_every_n_layers",
                2.into(),
                "moe_every_n_layers `2` is not supported; supported: 0 (no experts)",
            ),
            (
                "activation_function",
                "gelu".into(),
                "activation_function `gelu` is not supported; supported: swiglu, geglu",
            ),
            (
                "rotary_emb_base",
                0.into(),
                "rotary_emb_base is 0, and must be a number from 1, such as 1000",
            ),
            ("n_head", 3.into(), "n_head (3) does not divide n_embd (8)"),
            ("n_positions", 0.into(), "n_positions is 0"),
            (
                "qkv_proj_bias",
                true.into(),
                "qkv_proj_bias `true` is not supported; supported: false",
            ),
            (
                "mlp_fc1_bias",
                true.into(),
                "mlp_fc1_bias `true` is not supported; supported: false",
            ),
            (
                "mlp_fc2_bias",
                true.into(),
                "mlp_fc2_bias `true` is not supported; supported: false",
            ),
        ],
    );
    // What the older code takes where config.json says nothing.
    let mut silent = older_nomic();
    let fields = silent.as_object_mut().expect("an object");
    fields.remove("mlp_fc2_bias");
    let refused = Config::parse("config.json", silent.to_string().as_bytes());
    let refused = refused.expect_err("biases").to_string();
    assert!(refused.contains("mlp_fc2_bias `true`"), "{refused}");
    let scaled = || {
        let mut config = older_nomic();
        config["rotary_scaling_factor"] = 2.0.into();
        config
    };
    let zero = [(
        "max_trained_positions",
        0.into(),
        "max_trained_positions is 0",
    )];
    assert_refused(&scaled, &zero);
}

/// The factor of the older keys is a larger base and a stretch, which heads of any width have.
#[test]
fn gte_is_read_in_both_kinds_of_keys() {
    let shape = parse(&gte()).shape;
    let angles = Angles {
        theta: 800.0,
        stretch: 2.0,
    };
    assert_eq!(shape.angles(0), Some(angles));
    assert_eq!(
        (
            shape.type_vocab_size,
            shape.attention_bias,
            shape.up_bias,
            shape.down_bias
        ),
        (0, true, false, true)
    );
    assert!(shape.is_gated && shape.drops_units && shape.drops_fed);
    // 4 to the power of 2 / D is 2 for heads of 4 dimensions.
    assert_eq!(parse(&older_gte()).shape, shape);
    let mut odd = older_gte();
    odd["rope_scaling"] = json!({"type": "ntk", "factor": 3.0});
    let angles_of_3 = parse(&odd).angles(0).expect("rotary positions");
    assert_eq!(
        (angles_of_3.theta, angles_of_3.stretch),
        (600.0, 1.732_050_807_57)
    );
    let read = student_json(&odd)["rope_parameters"]["factor"].as_f64();
    assert_eq!(read, Some(angles_of_3.stretch), "as it is written");
    let step = |pair: usize| 800f64.powf(-2.0 * pair as f64 / 4.0) / 2.0;
    assert_eq!([0, 1].map(|pair| angles.of(pair, 4)), [0, 1].map(step));
    for (mut config, usual) in [(gte(), 160_000.0), (older_gte(), 10_000.0)] {
        let fields = config.as_object_mut().expect("an object");
        for key in [
            "rope_parameters",
            "rope_theta",
            "rope_scaling",
            "pad_token_id",
            "type_vocab_size",
        ] {
            fields.remove(key);
        }
        let is_new = config["model_type"] == "new";
        let config = parse(&config);
        assert_eq!(config.angles(0), Some(usual.into()));
        assert_eq!(
            (config.type_vocab_size, config.pad_token_id),
            (1, u32::from(!is_new))
        );
    }
}

/// The part that the activation is applied to is the second one.
#[test]
fn tensors_of_gte() {
    let mut config = gte();
    config["type_vocab_size"] = 1.into();
    let layout = parse(&config).layout();
    let expected = [
        tensor("embeddings.word_embeddings.weight", &[50, 8]),
        tensor("embeddings.token_type_embeddings.weight", &[1, 8]),
        tensor("embeddings.LayerNorm.weight", &[8]),
        tensor("embeddings.LayerNorm.bias", &[8]),
        tensor("encoder.layer.0.attention.qkv_proj.weight", &[24, 8]),
        tensor("encoder.layer.0.attention.qkv_proj.bias", &[24]),
        tensor("encoder.layer.0.attention.o_proj.weight", &[8, 8]),
        tensor("encoder.layer.0.attention.o_proj.bias", &[8]),
        tensor("encoder.layer.0.attn_ln.weight", &[8]),
        tensor("encoder.layer.0.attn_ln.bias", &[8]),
        tensor("encoder.layer.0.mlp.up_gate_proj.weight", &[12, 8]),
        tensor("encoder.layer.0.mlp.down_proj.weight", &[8, 6]),
        tensor("encoder.layer.0.mlp.down_proj.bias", &[8]),
        tensor("encoder.layer.0.mlp_ln.weight", &[8]),
        tensor("encoder.layer.0.mlp_ln.bias", &[8]),
    ];
    assert_eq!(stored(&layout)[..15], expected);
    let part = |wanted: &str| {
        let found = layout.parameters.iter().find(|p| p.name == wanted);
        found
            .and_then(|p| p.shared.as_ref())
            .map(|shared| shared.part)
    };
    assert_eq!(
        part("encoder.layer.0.mlp.up_gate_proj.gate.weight"),
        Some(0)
    );
    assert_eq!(part("encoder.layer.0.mlp.up_gate_proj.up.weight"), Some(1));
}

/// As the family of transformers, whatever its teacher is called.
#[test]
fn students_of_gte_are_written_for_transformers() {
    let expected = json!({
        "model_type": "gte", "architectures": ["GteModel"], "vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 1,
        "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 90, "hidden_act": "gelu",
        "layer_norm_eps": 1e-3, "type_vocab_size": 0, "pad_token_id": 3, "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.0,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 800.0, "factor": 2.0}, "torch_dtype": "float32",
    });
    for teacher in [gte(), older_gte()] {
        assert_eq!(student_json(&teacher), expected);
        let tuned = parse(&teacher).fine_tuned(HeadChoice::First, None);
        assert_eq!(
            (tuned.model_type.as_str(), tuned.head().prefix),
            ("gte", "gte.")
        );
        let json: Value = serde_json::from_str(&tuned.to_json("float32")).expect("JSON");
        assert_eq!(
            json["architectures"],
            json!(["GteForSequenceClassification"])
        );
    }
}

#[test]
fn what_gte_would_compute_otherwise_is_refused() {
    assert_refused(
        &older_gte,
        &[
            (
                "layer_norm_type",
                "rms_norm".into(),
                "layer_norm_type `rms_norm` is not supported; supported: layer_norm",
            ),
            (
                "position_embedding_type",
                "absolute".into(),
                "position_embedding_type `absolute` is not supported; supported: rope",
            ),
            (
                "pack_qkv",
                false.into(),
                "pack_qkv `false` is not supported; supported: true",
            ),
            (
                "logn_attention_scale",
                true.into(),
                "logn_attention_scale `true` is not supported; supported: false",
            ),
            (
                "rope_scaling",
                json!({"type": "linear", "factor": 2.0}),
                "rope_scaling `{\"factor\":2.0,\"type\":\"linear\"}` is not supported; supported: none (null), or a factor of the \
             type ntk",
            ),
            (
                "rope_scaling",
                json!({"type": "ntk", "factor": 2.0, "mixed_b": 0.5}),
                "rope_scaling `{\"factor\":2.0,\"mixed_b\":0.5,\"type\":\"ntk\"}` is not supported; supported: none (null), or a \
             factor of the type ntk",
            ),
        ],
    );
}

/// As `get_alibi_head_slopes` of the code says with Python, for 8, 2 and 12 heads.
#[test]
fn slopes_fall_from_head_to_head() {
    let slopes = |heads: usize| {
        (0..heads)
            .map(|head| distance_slope(head, heads))
            .collect::<Vec<f64>>()
    };
    let powers = |exponents: &[f64]| exponents.iter().map(|x| (-x).exp2()).collect::<Vec<f64>>();
    assert_eq!(slopes(8), powers(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
    assert_eq!(slopes(2), powers(&[4.0, 8.0]));
    assert_eq!(
        slopes(12),
        powers(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.5, 1.5, 2.5, 3.5])
    );
}

#[test]
fn jina_bert_is_told_from_bert_by_its_slopes() {
    let config = parse(&jina());
    assert_eq!(config.positions, Positions::Slopes { longest: 10 });
    assert_eq!(
        (
            config.is_gated,
            config.activation,
            config.up_bias,
            config.down_bias
        ),
        (true, Activation::Gelu, false, true)
    );
    assert!(config.drops_units && !config.drops_fed && config.adds_by_distance());
    let named = stored(&config.layout());
    let of_bert = stored(&parse(&bert()).layout());
    // But for the positions, all of it up to the feed-forward part.
    assert_eq!(
        [&named[..1], &named[1..14]].concat(),
        [&of_bert[..1], &of_bert[2..15]].concat()
    );
    let expected = [
        tensor("encoder.layer.0.mlp.gated_layers.weight", &[32, 8]),
        tensor("encoder.layer.0.mlp.wo.weight", &[8, 16]),
        tensor("encoder.layer.0.mlp.wo.bias", &[8]),
        tensor("encoder.layer.0.mlp.layernorm.weight", &[8]),
        tensor("encoder.layer.0.mlp.layernorm.bias", &[8]),
    ];
    assert_eq!(named[14..], expected);
    let mut relu = jina();
    relu["feed_forward_type"] = "reglu".into();
    assert_eq!(parse(&relu).activation, Activation::Relu);
    for (teacher, gated) in [(jina(), "geglu"), (relu, "reglu")] {
        let expected = json!({
            "model_type": "bert", "architectures": ["JinaBertModel"], "vocab_size": 50, "hidden_size": 12,
            "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 10,
            "type_vocab_size": 2, "layer_norm_eps": 1e-3, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1, "position_embedding_type": "alibi", "feed_forward_type": gated,
            "auto_map": teacher["auto_map"], "torch_dtype": "float32",
        });
        assert_eq!(student_json(&teacher), expected);
    }
    assert_refused(
        &jina,
        &[
            (
                "feed_forward_type",
                "original".into(),
                "feed_forward_type `original` is not supported; supported: geglu, reglu",
            ),
            (
                "auto_map",
                json!({"AutoModel": "jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel"}),
                "auto_map `jina-bert-v2-qk-post-norm` is not supported; supported: jina-bert-implementation",
            ),
        ],
    );
}

/// Rows that are counted are exact, whatever the older keys round rows up to.
#[test]
fn a_model_of_so_many_rows_is_read_again_with_them() {
    for config in [older_nomic(), nomic(), bert()] {
        let fewer = parse(&config).with_rows(40);
        let again = Config::parse("config.json", fewer.to_json("float32").as_bytes());
        assert_eq!(again.expect("what we write we read").vocab_size, 40);
    }
}

/// The padding token of a student is its teacher's, also where neither config.json names it.
#[test]
fn a_student_in_another_family_pads_as_its_teacher() {
    let mut config = older_gte();
    config
        .as_object_mut()
        .expect("an object")
        .remove("pad_token_id");
    let teacher = parse(&config);
    assert_eq!(teacher.pad_token_id, 0);
    let json = teacher.student(SIZE).to_json("float32");
    let again = Config::parse("config.json", json.as_bytes()).expect("what we write we read");
    assert_eq!(again.pad_token_id, 0);
}

/// A student goes on from one that the same teacher had before, and from no model of another class.
#[test]
fn a_student_starts_from_a_student_of_its_teacher() {
    let mistake = |teacher: &Config, start: &Config| {
        let mut recipe = small_recipe(start.num_hidden_layers);
        recipe.student.init = Init::Folder("former".into());
        recipe.student.hidden = start.hidden_size;
        recipe.student.heads = start.num_attention_heads;
        recipe.student.ffn = Some(start.intermediate_size);
        let plan = Plan::with_start(&recipe, teacher, Some(start));
        plan.err().map(|error| error.to_string())
    };
    for teacher in [older_gte(), older_nomic(), jina()].map(|config| parse(&config)) {
        let json = teacher.student(SIZE).to_json("float32");
        let former = Config::parse("config.json", json.as_bytes()).expect("what we write we read");
        assert_eq!(mistake(&teacher, &former), None);
    }
    let refused = mistake(&parse(&jina()), &parse(&bert())).expect("another class");
    let kinds = "is of the kind `BertModel`, and the teacher of `JinaBertModel`";
    assert!(refused.contains(kinds), "{refused}");
}

/// As the hub has a small one: heads of queries share keys and values.
fn eurobert() -> Value {
    json!({
        "model_type": "eurobert", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 2, "intermediate_size": 6, "max_position_embeddings": 90, "hidden_act": "silu",
        "rms_norm_eps": 1e-3, "rope_theta": 250_000, "rope_scaling": null, "pad_token_id": 3, "bos_token_id": 1,
        "eos_token_id": 2, "attention_bias": false, "mlp_bias": false, "id2label": {"0": "task"},
    })
}

/// Heads are wider than their share of the hidden size.
fn qwen3() -> Value {
    json!({
        "model_type": "qwen3", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 6, "intermediate_size": 6, "max_position_embeddings": 90, "hidden_act": "silu",
        "rms_norm_eps": 1e-3, "rope_theta": 1_000_000, "pad_token_id": 3, "use_sliding_window": false, "sliding_window": null,
    })
}

/// In the keys of transformers 4, as the hub has EmbeddingGemma.
fn gemma3() -> Value {
    json!({
        "model_type": "gemma3_text", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 4, "intermediate_size": 6, "max_position_embeddings": 90,
        "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-3, "rope_theta": 5000.0, "rope_local_base_freq": 100.0,
        "rope_scaling": null, "sliding_window": 7, "sliding_window_pattern": 3, "query_pre_attn_scalar": 9,
        "use_bidirectional_attention": true, "attn_logit_softcapping": null, "pad_token_id": 0,
    })
}

#[test]
fn grouped_queries_are_wider_than_their_keys() {
    let read = parse(&eurobert());
    assert_eq!((read.query_width(), read.key_width()), (8, 4));
    assert!(read.is_grouped() && !read.is_causal && !read.norms_embeddings);
    assert_eq!(
        (read.norm_kind, read.norm_place, read.activation),
        (NormKind::MeanSquare, NormPlace::Before, Activation::Silu)
    );
    assert_eq!(read.angles(1), Some(Angles::from(250_000.0)));
    let layout = read.layout();
    let shape = |name: &str| {
        let found = layout.parameters.iter().find(|p| p.name == name);
        found.map(|p| p.shape.clone()).unwrap_or_default()
    };
    assert_eq!(shape("layers.0.self_attn.q_proj.weight"), [8, 8]);
    assert_eq!(shape("layers.1.self_attn.v_proj.weight"), [4, 8]);
    assert_eq!(shape("layers.0.input_layernorm.weight"), [8]);
    assert_eq!(shape("norm.weight"), [8]);
    // Up, gate, down and four of attention, of two layers, and the words.
    let matrices = layout.parameters.iter().filter(|p| p.kind.decays());
    assert_eq!(matrices.count(), 15);
    let mut config = eurobert();
    config["num_key_value_heads"] = 3.into();
    assert_eq!(
        Config::parse("config.json", config.to_string().as_bytes())
            .expect_err("3 of 4 heads")
            .to_string(),
        "config.json: the number of heads of keys and values (3) does not divide num_attention_heads (4)"
    );
    // Sizes that no model has are damage, and no arithmetic overflows on them.
    config["num_attention_heads"] = 90_000_000.into();
    config["head_dim"] = 90_000_000.into();
    assert_eq!(
        Config::parse("config.json", config.to_string().as_bytes())
            .expect_err("sizes of no model")
            .to_string(),
        "config.json: num_attention_heads is 90000000, and so many heads of 90000000 dimensions are more than any model has"
    );
    let mut config = eurobert();
    // Without the keys, as many as heads of queries.
    let fields = config.as_object_mut().expect("an object");
    fields.remove("num_key_value_heads");
    assert!(!parse(&config).is_grouped());
}

#[test]
fn qwen3_looks_back_alone_and_normalises_its_heads() {
    let read = parse(&qwen3());
    assert_eq!((read.query_width(), read.key_width()), (24, 12));
    assert!(read.is_causal && read.norms_heads);
    let back = Reach {
        before: None,
        after: Some(0),
    };
    assert_eq!((read.reach(0), read.global_layers()), (back, vec![1, 2]));
    let layout = read.layout();
    let norms = layout
        .parameters
        .iter()
        .filter(|p| p.name.contains("_norm."));
    let norms: Vec<_> = norms.map(|p| (p.name.as_str(), p.shape[0])).collect();
    assert_eq!(
        norms[..2],
        [
            ("layers.0.self_attn.q_norm.weight", 6),
            ("layers.0.self_attn.k_norm.weight", 6)
        ]
    );
    let mut config = qwen3();
    config["use_sliding_window"] = true.into();
    let error = Config::parse("config.json", config.to_string().as_bytes());
    assert!(
        error
            .expect_err("a window")
            .to_string()
            .contains("use_sliding_window")
    );
}

#[test]
fn gemma_looks_to_both_sides_where_its_config_says_so() {
    let read = parse(&gemma3());
    assert_eq!(
        (read.norm_kind, read.norm_place, read.score_width),
        (NormKind::MeanSquareFromOne, NormPlace::Around, Some(9.0))
    );
    assert_eq!(read.reach(0), Reach::local(3));
    assert_eq!(
        (read.reach(2), read.global_layers()),
        (Reach::default(), vec![3])
    );
    let angles = [0, 2].map(|layer| read.angles(layer));
    assert_eq!(
        angles,
        [100.0, 5000.0].map(|theta| Some(Angles::from(theta)))
    );
    // Of transformers 5: the same, and what scales it is that of the other layers alone.
    let mut config = gemma3();
    config["rope_scaling"] = json!({"rope_type": "linear", "factor": 8.0});
    let scaled = parse(&config);
    assert_eq!(scaled.angles(0), Some(Angles::from(100.0)));
    assert_eq!(scaled.angles(2).map(|angles| angles.stretch), Some(8.0));
    // A causal one sees itself and six before it.
    config["use_bidirectional_attention"] = false.into();
    let back = Reach {
        before: Some(6),
        after: Some(0),
    };
    assert_eq!(parse(&config).reach(0), back);
    config["attn_logit_softcapping"] = 50.0.into();
    assert!(Config::parse("config.json", config.to_string().as_bytes()).is_err());
}

/// As the hub has DeBERTa-v3, with what its model has beside the encoder.
fn deberta() -> Value {
    json!({
        "model_type": "deberta-v2", "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 6, "max_position_embeddings": 90, "hidden_act": "gelu", "type_vocab_size": 0,
        "relative_attention": true, "position_buckets": 6, "norm_rel_ebd": "layer_norm", "share_att_key": true,
        "pos_att_type": "p2c|c2p", "layer_norm_eps": 1e-7, "max_relative_positions": -1, "position_biased_input": false,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "id2label": {"0": "task"},
    })
}

/// With tables that are narrower than the model, and queries that meet distances, but no keys that do.
fn deberta_apart() -> Value {
    let mut config = deberta();
    config["share_att_key"] = false.into();
    config["position_buckets"] = (-1).into();
    config["max_relative_positions"] = 5.into();
    config["pos_att_type"] = json!(["c2p"]);
    config["norm_rel_ebd"] = "none".into();
    config["type_vocab_size"] = 2.into();
    config["embedding_size"] = 4.into();
    config
}

#[test]
fn deberta_shares_its_projections_with_distances() {
    let read = parse(&deberta());
    let expected = Disentangled {
        longest: 90,
        span: 6,
        farthest: Some(90),
        norms_table: true,
        has_keys: true,
        has_queries: true,
        shares_projections: true,
    };
    assert_eq!(read.disentangled(), Some(expected));
    assert_eq!(
        (read.max_length(), read.pad_token_id, read.layer_norm_eps),
        (90, 0, 1e-7)
    );
    assert!(read.adds_by_distance() && !read.is_rotary() && read.only_teaches());
    let layout = read.layout();
    let named: Vec<_> = layout
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), &p.shape[..]))
        .collect();
    assert_eq!(
        named[..8],
        [
            ("embeddings.word_embeddings.weight", &[50, 8][..]),
            ("embeddings.LayerNorm.weight", &[8]),
            ("embeddings.LayerNorm.bias", &[8]),
            ("encoder.rel_embeddings.weight", &[12, 8]),
            ("encoder.LayerNorm.weight", &[8]),
            ("encoder.LayerNorm.bias", &[8]),
            ("encoder.layer.0.attention.self.query_proj.weight", &[8, 8]),
            ("encoder.layer.0.attention.self.query_proj.bias", &[8]),
        ]
    );
    let attention = layout.blocks[1].attention;
    assert_eq!(attention.distance_key, Some(attention.key));
    assert_eq!(attention.distance_query, Some(attention.query));
    for head in [
        "lm_predictions.lm_head.dense.weight",
        "mask_predictions.dense.bias",
    ] {
        assert!(is_usual(head), "{head}");
    }
}

/// Without buckets each distance has a row, up to the farthest; projections are those that there are terms for.
#[test]
fn deberta_projects_distances_apart() {
    let mut config = deberta_apart();
    let read = parse(&config);
    let how = read.disentangled().expect("disentangled");
    assert_eq!((how.span, how.farthest, how.terms()), (5, None, 2));
    assert_eq!(
        [-90, -5, -4, 0, 1, 4, 5, 90].map(|distance| how.row(distance)),
        [0, 0, 1, 5, 6, 9, 9, 9]
    );
    let layout = read.layout();
    assert_eq!(layout.distances_norm, None);
    let attention = layout.blocks[0].attention;
    assert!(attention.distance_query.is_none() && attention.distance_key != Some(attention.key));
    let shape = |name: &str| {
        let found = layout.parameters.iter().find(|p| p.name == name);
        found.map(|p| p.shape.clone()).unwrap_or_default()
    };
    assert_eq!(shape("encoder.rel_embeddings.weight"), [10, 8]);
    assert_eq!(
        shape("encoder.layer.1.attention.self.pos_key_proj.bias"),
        [8]
    );
    assert_eq!(
        shape("encoder.layer.1.attention.self.pos_query_proj.weight"),
        [0; 0]
    );
    // The tables are projected before the norm, without a bias.
    assert_eq!(shape("embeddings.token_type_embeddings.weight"), [2, 4]);
    assert_eq!(shape("embeddings.embed_proj.weight"), [8, 4]);
    assert_eq!(shape("embeddings.embed_proj.bias"), [0; 0]);
    assert_eq!(shape("embeddings.LayerNorm.weight"), [8]);
    config["pos_att_type"] = " P2C ".into();
    assert!(
        parse(&config).layout().blocks[0]
            .attention
            .distance_key
            .is_none()
    );
}

/// Rows of transformers 5.24: `make_log_bucket_position`, to which half of the rows is added, within the table.
#[test]
fn farther_distances_share_rows_by_their_logarithm() {
    let mut config = deberta();
    let row = |config: &Value, distance| {
        parse(config)
            .disentangled()
            .expect("disentangled")
            .row(distance)
    };
    let rows = [-90, -17, -16, -4, -3, -1, 0, 3, 4, 16, 17, 90].map(|d| row(&config, d));
    assert_eq!(rows, [0, 1, 2, 2, 3, 5, 6, 9, 10, 10, 11, 11]);
    config["position_buckets"] = 256.into();
    config["max_relative_positions"] = 512.into();
    let rows = [
        -600, -511, -300, -128, 127, 128, 129, 131, 200, 300, 505, 511, 512,
    ];
    let rows = rows.map(|d| row(&config, d));
    assert_eq!(
        rows,
        [0, 1, 49, 128, 383, 384, 385, 387, 425, 463, 510, 511, 511]
    );
}

#[test]
fn deberta_with_something_else_is_refused() {
    let cases = [
        (
            "relative_attention",
            json!(false),
            "relative_attention `false` is not supported; supported: true",
        ),
        (
            "position_biased_input",
            json!(true),
            "position_biased_input `true` is not supported; supported: false",
        ),
        (
            "conv_kernel_size",
            json!(3),
            "conv_kernel_size `3` is not supported; supported: 0, models without a convolution, as those of DeBERTa-v3",
        ),
        (
            "pos_att_type",
            json!("p2c|p2p"),
            "pos_att_type `p2p` is not supported; supported: c2p, p2c",
        ),
        (
            "pos_att_type",
            json!([]),
            "pos_att_type `[]` is not supported; supported: c2p, p2c, p2c|c2p",
        ),
        (
            "pos_att_type",
            json!(""),
            "pos_att_type `[]` is not supported; supported: c2p, p2c, p2c|c2p",
        ),
        (
            "pos_att_type",
            json!(["C2P"]),
            "pos_att_type `C2P` is not supported; supported: c2p, p2c",
        ),
        (
            "norm_rel_ebd",
            json!("batch_norm"),
            "norm_rel_ebd `batch_norm` is not supported; supported: none, layer_norm",
        ),
        (
            "attention_head_size",
            json!(64),
            "attention_head_size is 64, and 2 such heads are not as wide as hidden_size (8)",
        ),
        (
            "position_buckets",
            json!(178),
            "position_buckets is 178, and must be 2 or more, and half of it below max_relative_positions - 1 (90 - 1)",
        ),
        (
            "position_buckets",
            json!(1),
            "position_buckets is 1, and must be 2 or more, and half of it below max_relative_positions - 1 (90 - 1)",
        ),
        (
            "max_relative_positions",
            json!(1_000_000_000),
            "max_relative_positions is 1000000000",
        ),
        (
            "max_position_embeddings",
            json!(1_000_000_000),
            "max_position_embeddings is 1000000000",
        ),
        (
            "position_buckets",
            json!(2.5),
            "position_buckets is 2.5, and must be an integer, such as 256 or -1",
        ),
    ];
    assert_refused(&deberta, &cases);
    // Left out, it is true in transformers.
    let mut config = deberta();
    config
        .as_object_mut()
        .expect("an object")
        .remove("position_biased_input");
    let error = Config::parse("config.json", config.to_string().as_bytes()).expect_err("positions");
    assert!(
        error.to_string().contains("position_biased_input `true`"),
        "{error}"
    );
}

/// Batches are as large as scores of distances allow, and one sequence is always computed; a run's memory counts them.
#[test]
fn disentangled_attention_takes_as_much_memory_as_it_says() {
    let how = parse(&deberta()).disentangled().expect("disentangled");
    assert_eq!(
        [(12, 128), (12, 512), (12, 2048)].map(|(heads, length)| how.at_once(heads, length)),
        [21, 1, 1]
    );
    let bytes =
        |config: &Value, length| encoding_bytes(&parse(config), Kernels::default(), length, false);
    let apart = |length| bytes(&deberta(), length) - bytes(&bert(), length);
    // 2 heads, 2S scores a query, four times as many numbers of 4 bytes.
    let expected = 4.0 * 4.0 * 2.0 * 2.0 * 64.0 * 64.0;
    let units = 2.0 * 10.0 * 64.0 * 4.0;
    assert!((apart(64) + units - expected).abs() < 1.0, "{}", apart(64));
}

#[test]
fn minilm_v1_leaves_out_what_distances_say() {
    let mut recipe = small_recipe(2);
    recipe.student.init = Init::Random;
    recipe.objective = Objective::MinilmV1;
    recipe.student.heads = 2;
    recipe.student.hidden = 16;
    let error = Plan::new(&recipe, &parse(&deberta()))
        .expect_err("another attention")
        .to_string();
    assert!(
        error.contains("that of the teacher (deberta-v2) also depends on distances"),
        "{error}"
    );
}

/// Such a teacher's student is a ModernBERT that has its tokens and positions, and nothing else of it.
#[test]
fn students_of_teachers_that_only_teach_are_modernbert() {
    for teacher in [eurobert(), qwen3(), gemma3(), deberta(), deberta_apart()] {
        let teacher = parse(&teacher);
        assert!(teacher.only_teaches());
        let student = teacher.student(SIZE);
        let json = student.to_json("float32");
        let again = parse(&serde_json::from_str(&json).expect("JSON"));
        assert_eq!(again.shape, as_written(&student, &teacher));
        assert_eq!(again.model_type, "modernbert");
        assert!(!again.only_teaches() && again.global_layers() == [1]);
        assert_eq!(
            (again.vocab_size, again.max_length(), again.pad_token_id),
            (50, 90, teacher.pad_token_id)
        );
        let refused = teacher.require_more_than_a_teacher();
        assert!(refused.expect_err("a teacher").contains("`modernbert`"));
    }
}

#[test]
fn plans_of_teachers_that_only_teach_say_what_their_students_are() {
    let teacher = parse(&eurobert());
    let mut recipe = small_recipe(1);
    recipe.student.hidden = 24;
    recipe.student.heads = 3;
    let message = |recipe: &Recipe| {
        Plan::new(recipe, &teacher)
            .expect_err("a mistake")
            .to_string()
    };
    let of_kind = message(&recipe);
    assert!(
        of_kind.contains("student.init: a teacher of the kind `eurobert` has no students of its kind here: they are of the kind `modernbert` (ModernBertModel)"),
        "{of_kind}"
    );
    recipe.student.init = Init::Random;
    let plan = Plan::new(&recipe, &teacher).expect("a plan");
    // What divides 24 and the 4 of keys and values.
    assert_eq!(
        (plan.relation_heads, plan.student.model_type.as_str()),
        (4, "modernbert")
    );
    recipe.relation_heads = Some(6);
    let of_heads = message(&recipe);
    assert!(
        of_heads.contains("6 relation heads do not divide the hidden size of the student, 24, and the widths of the teacher's queries, 8, and of its keys and values, 4; these do: [1, 2, 4]"),
        "{of_heads}"
    );
    recipe.relation_heads = None;
    recipe.objective = Objective::MinilmV1;
    recipe.student.heads = 4;
    recipe.student.hidden = 16;
    assert!(message(&recipe).contains("heads share keys and values; use minilm-v2"));
    // A student may start from a ModernBERT with the teacher's tokens, and not from a EuroBERT.
    recipe.objective = Objective::MinilmV2;
    let start = teacher.student(SIZE);
    recipe.student = StudentRecipe {
        layers: 1,
        hidden: 12,
        heads: 3,
        ffn: Some(20),
        init: Init::Folder("start".into()),
        ..StudentRecipe::default()
    };
    let plan = Plan::with_start(&recipe, &teacher, Some(&start)).expect("a start");
    assert_eq!(plan.student.model_type, "modernbert");
    let error = Plan::with_start(&recipe, &teacher, Some(&teacher)).expect_err("a EuroBERT");
    assert!(
        error
            .to_string()
            .contains("is of the kind `eurobert`, and students of this teacher of `modernbert`"),
        "{error}"
    );
}
