//! Errors of a folder's JSON files: each names the file and the key, and a key that is missing is not one that is null.

use std::collections::BTreeMap;

use limbeck_recipe::{Config, SentenceHead, json_line, shards};
use serde_json::{Value, json};

/// A config.json of each family, with its keys for the activation and for the two dropouts.
fn families() -> Vec<(Value, [&'static str; 3])> {
    let common = json!({
        "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 10,
    });
    let of = |model_type: &str| {
        let mut config = common.clone();
        config["model_type"] = model_type.into();
        config
    };
    let mut electra = of("electra");
    electra["embedding_size"] = 8.into();
    let distilbert = json!({
        "model_type": "distilbert", "vocab_size": 50, "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16,
        "max_position_embeddings": 10,
    });
    let keys = [
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
    ];
    vec![
        (of("bert"), keys),
        (of("roberta"), keys),
        (of("xlm-roberta"), keys),
        (of("camembert"), keys),
        (electra, keys),
        (distilbert, ["activation", "dropout", "attention_dropout"]),
    ]
}

fn parse(config: &Value) -> Result<Config, String> {
    let text = config.to_string();
    Config::parse("m/config.json", text.as_bytes()).map_err(|e| e.to_string())
}

fn with(config: &Value, key: &str, value: Value) -> Value {
    let mut config = config.clone();
    config[key] = value;
    config
}

fn refusal(config: &Value, key: &str, value: Value) -> String {
    let text = value.to_string();
    let Err(message) = parse(&with(config, key, value)) else {
        panic!("{} with {key} = {text} is read", config["model_type"]);
    };
    message
}

#[test]
fn a_size_is_an_integer_in_every_family() {
    const INTEGER: &str = "an integer from 0, such as 12 (not 12.0)";
    for (config, [activation, ..]) in families() {
        let sizes = config.as_object().expect("an object").keys();
        for key in sizes.filter(|key| *key != "model_type" && *key != activation) {
            for value in [json!(null), json!(8.0), json!("8"), json!(-1), json!(true)] {
                let start = format!("m/config.json: {key} is {value}, and must be {INTEGER}");
                let message = refusal(&config, key, value);
                assert!(message.starts_with(&start), "{message}");
            }
            let mut without = config.clone();
            without.as_object_mut().expect("an object").remove(key);
            // What ELECTRA's config leaves out, it says by its default.
            if key != "embedding_size" {
                let message = parse(&without).expect_err("a config without a size");
                assert_eq!(message, format!("m/config.json: `{key}` is missing"));
            }
        }
    }
}

/// As in `transformers`, a key that may be left out may not be null; but a model without padding is one.
#[test]
fn null_is_not_the_default() {
    for (config, [activation, dropout, of_attention]) in families() {
        let of_bert: &[&str] = match config["model_type"] == "distilbert" {
            true => &[],
            false => &["layer_norm_eps", "type_vocab_size"],
        };
        for key in of_bert.iter().chain(&[activation, dropout, of_attention]) {
            assert!(parse(&config).is_ok(), "{key} may be left out");
            let message = refusal(&config, key, json!(null));
            let start = format!("m/config.json: {key} is null, and must be ");
            assert!(message.starts_with(&start), "{message}");
            let end = ". Leave the key out for its default";
            assert!(message.ends_with(end), "{message}");
        }
        let padding = parse(&with(&config, "pad_token_id", json!(null)));
        let counts = ["roberta", "xlm-roberta", "camembert"];
        match counts.iter().any(|family| config["model_type"] == *family) {
            true => assert!(padding.is_err_and(|e| e.contains("pad_token_id is null"))),
            false => assert_eq!(padding.expect("no padding").pad_token_id, 0),
        }
        let message = refusal(&config, "pad_token_id", json!(-1));
        let expected =
            "m/config.json: pad_token_id is -1, and must be an integer from 0 to 4294967295";
        assert_eq!(message, expected);
    }
}

#[test]
fn what_would_be_another_encoder_is_refused_by_its_key() {
    for (config, [activation, dropout, of_attention]) in families() {
        for (key, value, expected) in [
            (
                "position_embedding_type",
                json!("relative_key"),
                "position_embedding_type `relative_key` is not supported; supported: absolute",
            ),
            (
                "pruned_heads",
                json!({"0": [1]}),
                "pruned_heads `{\"0\":[1]}` is not supported; supported: none ({})",
            ),
            (
                "is_decoder",
                json!(true),
                "is_decoder `true` is not supported; supported: encoders (false)",
            ),
            (
                "add_cross_attention",
                json!(true),
                "add_cross_attention `true` is not supported; supported: encoders (false)",
            ),
            (
                "is_decoder",
                json!("no"),
                "is_decoder is \"no\", and must be true or false",
            ),
        ] {
            assert_eq!(
                refusal(&config, key, value),
                format!("m/config.json: {expected}")
            );
        }
        for key in [dropout, of_attention] {
            for value in [-0.1, 1.0, 32.5] {
                let expected =
                    format!("m/config.json: {key} is {value}, and must be at least 0 and below 1");
                assert_eq!(refusal(&config, key, json!(value)), expected);
            }
        }
        let message = refusal(&config, activation, json!("mish"));
        let start = format!("m/config.json: {activation} `mish` is not supported");
        assert!(message.starts_with(&start), "{message}");
        let kinds = refusal(&config, "id2label", json!({"0": "a", "1": 2}));
        assert_eq!(
            kinds,
            "m/config.json: id2label names a class 2, which is no text"
        );
        for (key, value) in [("pruned_heads", json!({})), ("id2label", json!(null))] {
            assert!(parse(&with(&config, key, value)).is_ok(), "{key}");
        }
    }
}

#[test]
fn a_kind_of_model_that_is_missing_is_not_one_that_is_not_supported() {
    let config = json!({"vocab_size": 50});
    let message = |config: &Value| parse(config).expect_err("no model");
    assert_eq!(message(&config), "m/config.json: `model_type` is missing");
    let named = |value: Value| message(&with(&config, "model_type", value));
    let kind = "must be a text in quotation marks";
    assert_eq!(
        named(json!(null)),
        format!("m/config.json: model_type is null, and {kind}")
    );
    assert!(
        named(json!(""))
            .starts_with("m/config.json: model_type `` is not supported; supported: bert, ")
    );
}

/// A colon ends the name of a drive on Windows, where such a path replaces the folder that it is joined to.
#[test]
fn what_a_folder_names_lies_in_it() {
    for path in [
        "/tmp/1_Pooling",
        "../1_Pooling",
        "a\\b",
        "C:1_Pooling",
        "C:/1_Pooling",
    ] {
        let modules = json!([
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": path, "type": "sentence_transformers.models.Pooling"},
        ]);
        let error = SentenceHead::files("m", Some(modules.to_string().as_bytes()));
        let error = error.expect_err(path).to_string();
        let expected = format!("m/modules.json: the path `{path}` leads out of the folder");
        assert_eq!(error, expected);
        let index = json!({"weight_map": {"a": path}}).to_string();
        let error = shards("m/index.json", index.as_bytes()).expect_err(path);
        let expected = format!("m/index.json: the shard `{path}` is not a file of this folder");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_line_that_is_no_object_says_in_which_column_or_what_it_is() {
    for (line, why) in [
        (
            "{\"größe\" 1}",
            "column 10: a colon is missing between a key and its value",
        ),
        ("größe", "column 1: no JSON value is written like that"),
        (
            "{\"a\": \"ü",
            "column 9: it ends before a closing quotation mark",
        ),
        ("[1]", "it is a list, and must be an object in braces"),
        (
            "\"a\"",
            "it is a text in quotation marks, and must be an object in braces",
        ),
        ("null", "it is null, and must be an object in braces"),
    ] {
        assert_eq!(json_line(line), Err(why.to_owned()), "{line}");
    }
    assert_eq!(json_line("{\"a\": 1}\r").map(|object| object.len()), Ok(1));
}

#[test]
fn broken_json_says_where_and_what_stands_there() {
    let message = |text: &[u8]| {
        let error = Config::parse("m/config.json", text).expect_err("no JSON");
        error.to_string()
    };
    for (text, expected) in [
        (
            "{\n \"vocab_size\": 500,\n}",
            "a comma stands behind the last value (line 3, column 1), in `}`",
        ),
        (
            r#"{"model_type": "bert", "hidden_dropout_prob": NaN, "vocab_size": 50}"#,
            "no JSON value is written like that (line 1, column 47), in `l_type\": \"bert\", \"hidden_dropout_prob\": NaN, \"vocab_size`",
        ),
        (
            r#"{"a": 1"#,
            "it ends before a closing } (line 1, column 7), in `{\"a\": 1`",
        ),
        (
            "{\"a\": [1, 2\n",
            "it ends before a closing ] (line 2, column 1)",
        ),
        (
            r#"{"a": "x}"#,
            "it ends before a closing quotation mark (line 1, column 9), in `{\"a\": \"x}`",
        ),
        (
            r#"{"a" 1}"#,
            "a colon is missing between a key and its value (line 1, column 6), in `{\"a\" 1}`",
        ),
        (
            "{\"a\": 1\n \"b\": 2}",
            "a comma or a closing } is missing (line 2, column 2), in `\"b\": 2}`",
        ),
        (
            r#"{"a": [1 2]}"#,
            "a comma or a closing ] is missing (line 1, column 10), in `{\"a\": [1 2]}`",
        ),
        (
            "{'a': 1}",
            "a key must be in double quotation marks (line 1, column 2), in `{'a': 1}`",
        ),
        (
            r#"{"a": 01}"#,
            "no number is written like that (line 1, column 8), in `{\"a\": 01}`",
        ),
        (
            r#"{"a": 1e999}"#,
            "a number is too large (line 1, column 11), in `{\"a\": 1e999}`",
        ),
        (
            r#"{"a": "C:\models"}"#,
            "a backslash begins no escape that JSON knows: a backslash itself is \\\\ (line 1, column 11), in `{\"a\": \"C:\\models\"}`",
        ),
        (
            r#"{"größe": "\ud83d"}"#,
            "the escape stands for half of a character: what is beyond \\uffff takes two, as \\ud83d\\ude00 does (line 1, column 18), in \
             `{\"größe\": \"\\ud83d\"}`",
        ),
        (
            r#"{"a": "\ude00"}"#,
            "the escape stands for half of a character: what is beyond \\uffff takes two, as \\ud83d\\ude00 does (line 1, column 13), in \
             `{\"a\": \"\\ude00\"}`",
        ),
        (
            "{\"a\": \"x\ty\"}",
            "a line break or another control character stands in a text, where it must be written as an escape such as \\n (line 1, \
             column 9), in `{\"a\": \"x\ty\"}`",
        ),
        (
            "{} // a comment",
            "more stands behind the end of the JSON (line 1, column 4), in `{} // a comment`",
        ),
        (
            "// a comment\n{}",
            "no JSON value is written like that (line 1, column 1), in `// a comment`",
        ),
        ("", "the file is empty"),
        (" \n", "the file is empty"),
    ] {
        assert_eq!(
            message(text.as_bytes()),
            format!("m/config.json: not JSON: {expected}")
        );
    }
    assert_eq!(
        message(b"\xff\xfe{\0}\0"),
        "m/config.json: not JSON: it is UTF-16. Save it as UTF-8"
    );
    assert_eq!(message(b"[]"), "m/config.json: not a JSON object");
    // Cut through letters of two bytes, and bytes that are no text.
    for text in [
        format!("{{\"{}\": NaN}}", "\u{e9}".repeat(30)).as_bytes(),
        b"{\"\xc3\": \xe9\xe9}",
    ] {
        assert!(
            message(text).contains("line 1, column"),
            "{}",
            message(text)
        );
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    for (config, _) in families() {
        let text = format!("\u{feff}{config}");
        let read = Config::parse("config.json", text.as_bytes()).expect("a config");
        assert_eq!(read.shape, parse(&config).expect("a config").shape);
    }
}

/// A folder of sentence-transformers of hidden size 8: mean pooling and a Dense to 4.
fn sentence_files() -> BTreeMap<&'static str, Value> {
    let module = |path: &str, kind: &str| json!({"path": path, "type": format!("sentence_transformers.models.{kind}")});
    BTreeMap::from([
        (
            "modules.json",
            json!([
                module("", "Transformer"),
                module("1_Pooling", "Pooling"),
                module("2_Dense", "Dense")
            ]),
        ),
        (
            "1_Pooling/config.json",
            json!({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}),
        ),
        (
            "2_Dense/config.json",
            json!({"in_features": 8, "out_features": 4}),
        ),
        (
            "sentence_bert_config.json",
            json!({"max_seq_length": 6, "do_lower_case": false}),
        ),
        (
            "config_sentence_transformers.json",
            json!({"prompts": {"query": "q: "}, "default_prompt_name": null}),
        ),
        ("tokenizer_config.json", json!({"model_max_length": 1e30})),
    ])
}

fn head(files: &BTreeMap<&'static str, Value>) -> Result<SentenceHead, String> {
    let texts: BTreeMap<&str, String> = files
        .iter()
        .map(|(name, json)| (*name, format!("\u{feff}{json}")))
        .collect();
    let file = |name: &str| texts.get(name).map(|text| text.as_bytes());
    SentenceHead::read("m", &file, 8).map_err(|e| e.to_string())
}

#[test]
fn files_of_sentence_transformers_name_the_key() {
    assert!(head(&sentence_files()).is_ok());
    let integer = "must be an integer from 0, such as 12 (not 12.0)";
    let yes_or_no = "must be true or false";
    for (file, key, value, expected) in [
        (
            "1_Pooling/config.json",
            "word_embedding_dimension",
            json!(8.0),
            format!("word_embedding_dimension is 8.0, and {integer}"),
        ),
        (
            "1_Pooling/config.json",
            "word_embedding_dimension",
            json!(9),
            "word_embedding_dimension is 9, but the model's hidden size is 8".to_owned(),
        ),
        (
            "1_Pooling/config.json",
            "pooling_mode_cls_token",
            json!("yes"),
            format!("pooling_mode_cls_token is \"yes\", and {yes_or_no}"),
        ),
        (
            "1_Pooling/config.json",
            "include_prompt",
            json!(null),
            format!("include_prompt is null, and {yes_or_no}. Leave the key out for its default"),
        ),
        (
            "1_Pooling/config.json",
            "pooling_mode",
            json!(3),
            "pooling_mode is 3, and must be a text in quotation marks, or a list of such texts"
                .to_owned(),
        ),
        (
            "2_Dense/config.json",
            "out_features",
            json!("4"),
            format!("out_features is \"4\", and {integer}"),
        ),
        (
            "2_Dense/config.json",
            "bias",
            json!(1),
            format!("bias is 1, and {yes_or_no}"),
        ),
        (
            "sentence_bert_config.json",
            "max_seq_length",
            json!(6.5),
            format!("max_seq_length is 6.5, and {integer}"),
        ),
        (
            "sentence_bert_config.json",
            "do_lower_case",
            json!("no"),
            format!("do_lower_case is \"no\", and {yes_or_no}"),
        ),
        (
            "config_sentence_transformers.json",
            "truncate_dim",
            json!(-1),
            format!("truncate_dim is -1, and {integer}"),
        ),
        (
            "config_sentence_transformers.json",
            "prompts",
            json!({"query": 1}),
            "the prompt `query` is 1, which is no text".to_owned(),
        ),
        (
            "tokenizer_config.json",
            "model_max_length",
            json!("512"),
            "model_max_length is \"512\", and must be a number".to_owned(),
        ),
    ] {
        let mut files = sentence_files();
        let json = files.get_mut(file).expect("a file of the folder");
        json[key] = value;
        let message = head(&files).expect_err("a wrong field");
        assert_eq!(message, format!("m/{file}: {expected}"));
    }
    let mut files = sentence_files();
    files.insert("2_Dense/config.json", json!({"out_features": 4}));
    assert_eq!(
        head(&files),
        Err("m/2_Dense/config.json: `in_features` is missing".to_owned())
    );
    files.insert("modules.json", json!([{"path": ""}]));
    assert_eq!(
        head(&files),
        Err("m/modules.json: module 0: `type` is missing".to_owned())
    );
    files.insert("modules.json", json!({}));
    assert_eq!(
        head(&files),
        Err("m/modules.json: not a JSON list of modules".to_owned())
    );
}
