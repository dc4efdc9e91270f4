//! Whole folders: the tokens of `AutoTokenizer`, of hard texts and of every kind of folder that is read; what is refused; and what
//! a copy of a folder says.
#![allow(clippy::unwrap_used)]

mod folder;

use std::path::Path;

use limbeck_tokenizer::Tokenizer;
use serde_json::{Value, json};

use folder::{Files, folder, golden, ids, names, read};

fn refused(files: &Files) -> String {
    read(files).err().unwrap()
}

/// The folder of a student: the same files, and over them those that the tokenizer changes.
fn copied(tokenizer: &Tokenizer, files: &Files) -> Files {
    let changed = tokenizer.changed_files(&|name| files.get(name).map(String::as_bytes));
    let mut copy = files.clone();
    for (name, content) in changed.unwrap() {
        copy.insert(name, String::from_utf8(content).unwrap());
    }
    copy
}

fn with(files: &Files, name: &str, content: &Value) -> Files {
    let mut files = files.clone();
    files.insert(name.to_owned(), content.to_string());
    files
}

fn without(files: &Files, names: &[&str]) -> Files {
    let mut files = files.clone();
    files.retain(|name, _| !names.contains(&name.as_str()));
    files
}

#[test]
fn tokens_are_those_of_transformers() {
    let texts: Vec<String> = serde_json::from_value(golden("texts")).unwrap();
    assert!(texts.len() >= 300, "{}", texts.len());
    let names = names();
    assert!(names.len() >= 34, "{names:?}");
    for name in names {
        let (files, expected) = folder(&name);
        assert_eq!(expected.len(), texts.len(), "{name}");
        let tokenizer = read(&files).unwrap();
        for (index, expected) in &expected {
            let text = &texts[*index];
            assert_eq!(
                ids(&tokenizer, text),
                *expected,
                "{name}: text {index}, {text:?}"
            );
        }
    }
}

/// A student's folder makes the same tokens, and its tokenizer.json alone does, too.
#[test]
fn copies_make_the_same_tokens_and_so_does_their_tokenizer_json() {
    let texts: Vec<String> = serde_json::from_value(golden("texts")).unwrap();
    for name in names() {
        let (files, _) = folder(&name);
        let tokenizer = read(&files).unwrap();
        let copy = copied(&tokenizer, &files);
        let again = read(&copy).unwrap();
        let alone = Tokenizer::from_json(copy["tokenizer.json"].as_bytes()).unwrap();
        let is_split = name.ends_with("split-special");
        for text in &texts {
            let expected = ids(&tokenizer, text);
            assert_eq!(ids(&again, text), expected, "{name}: {text:?}");
            // No tokenizer.json can say `split_special_tokens`.
            assert!(
                is_split || ids(&alone, text) == expected,
                "{name}: {text:?}"
            );
        }
        assert_eq!(copied(&again, &copy), copy, "{name}: a copy of a copy");
    }
}

/// Whoever reads a copy that needs no class gives token types to the models that have some, and to no other.
#[test]
fn a_copy_that_stands_alone_says_whether_there_are_token_types() {
    let (files, _) = folder("bert-json");
    for (model, has_types) in [
        (json!({"model_type": "bert"}), true),
        (json!({"model_type": "bert", "type_vocab_size": 1}), false),
        (json!({"model_type": "nomic_bert"}), true),
        (json!({"model_type": "new", "type_vocab_size": 2}), true),
        (
            json!({"model_type": "roberta", "type_vocab_size": 1}),
            false,
        ),
        (json!({"model_type": "modernbert"}), false),
    ] {
        let files = with(&files, "config.json", &model);
        let copy = copied(&read(&files).unwrap().alone(), &files);
        let config: Value = serde_json::from_str(&copy["tokenizer_config.json"]).unwrap();
        let inputs = match has_types {
            true => Value::Null,
            false => json!(["input_ids", "attention_mask"]),
        };
        assert_eq!(config["model_input_names"], inputs, "{model}");
        let pairs = read(&copy).unwrap().encode_pairs(&[("one", "two")]);
        assert_eq!(pairs.unwrap()[0].types.contains(&1), has_types, "{model}");
    }
}

/// What agrees with its class is copied byte by byte.
#[test]
fn a_tokenizer_json_that_holds_is_copied_as_it_is() {
    for name in ["roberta-json", "bert-json-as-file", "sentencepiece-bpe"] {
        let (files, _) = folder(name);
        assert_eq!(copied(&read(&files).unwrap(), &files), files, "{name}");
    }
    // Models as they are published, with templates and added tokens.
    for folder in [
        "assets/teacher",
        "tests/golden/tiny-bert",
        "tests/golden/tiny-xlmr",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(folder);
        let names = [
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ];
        let files = names.map(|name| (name.to_owned(), std::fs::read_to_string(folder.join(name))));
        let there = files
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.ok()?)));
        let files: Files = there.collect();
        assert_eq!(copied(&read(&files).unwrap(), &files), files, "{folder:?}");
    }
}

/// transformers would give special tokens ids that the model has no rows for; and its tokenizer.json would be read by nobody.
#[test]
fn a_class_that_does_not_fit_leaves_tokenizer_json_as_it_stands() {
    let (files, _) = folder("bert-json-without-settings");
    let renamed = files["tokenizer.json"]
        .replace("[UNK]", "<?>")
        .replace("[SEP]", "<S>");
    let mut files = files;
    files.insert("tokenizer.json".into(), renamed);
    let tokenizer = read(&files).unwrap();
    assert_eq!(tokenizer.unknown(), Some(1));
    assert_eq!(tokenizer.token(1), "<?>");
    let expected = ids(&tokenizer, "The fox <S> \u{16ff}");
    assert_eq!(
        expected.iter().filter(|id| **id == 3).count(),
        2,
        "{expected:?}"
    );
    assert!(expected.contains(&1), "{expected:?}");
    let copy = copied(&tokenizer, &files);
    let config: Value = serde_json::from_str(&copy["tokenizer_config.json"]).unwrap();
    assert_eq!(
        config,
        json!({"tokenizer_class": "PreTrainedTokenizerFast"})
    );
    assert_eq!(ids(&read(&copy).unwrap(), "The fox <S> \u{16ff}"), expected);
}

/// The unknown token has the name that the files give it, or none.
#[test]
fn the_unknown_token_is_that_of_the_model() {
    let unknown = |name: &str| read(&folder(name).0).unwrap().unknown();
    assert_eq!(unknown("bert-vocab"), Some(1));
    assert_eq!(unknown("xlmr-json"), Some(3));
    assert_eq!(unknown("xlmr-as-file"), Some(3));
    assert_eq!(unknown("sentencepiece-bpe"), Some(0));
    assert_eq!(unknown("roberta-json"), None);
    let (files, _) = folder("bert-vocab");
    let config = json!({"tokenizer_class": "BertTokenizer", "unk_token": "[PAD]"});
    let files = with(&files, "tokenizer_config.json", &config);
    assert_eq!(read(&files).unwrap().unknown(), Some(0));
}

/// It would fail on the first word that it does not know, in the middle of a run.
#[test]
fn a_wordpiece_without_its_unknown_token_is_refused() {
    for name in ["bert-json", "bert-json-as-file"] {
        let (files, _) = folder(name);
        let mut file: Value = serde_json::from_str(&files["tokenizer.json"]).unwrap();
        let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
        let id = vocabulary.remove("[UNK]").unwrap();
        let files = with(&files, "tokenizer.json", &file);
        let expected = "tokenizer: the vocabulary in tokenizer.json has no `[UNK]`, its token for words that it lacks. Add that \
                        token, or name the one that it has for them as `unk_token`";
        assert_eq!(refused(&files), expected, "{name}");
        file["model"]["vocab"]["<?>"] = id;
        file["model"]["unk_token"] = "<?>".into();
        let tokenizer = Tokenizer::from_json(file.to_string().as_bytes()).unwrap();
        assert_eq!(tokenizer.unknown(), Some(1));
    }
}

/// Tokens that a class alone knows are not added where the model has no row for them; those that files name are.
#[test]
fn no_token_is_invented_beyond_the_models_table() {
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n";
    let sized = |rows: u32| {
        let config = json!({"model_type": "bert", "vocab_size": rows}).to_string();
        let files = [
            ("vocab.txt", vocabulary.to_owned()),
            ("config.json", config),
        ];
        files
            .map(|(name, content)| (name.to_owned(), content))
            .into_iter()
            .collect::<Files>()
    };
    let sizes = [5, 6].map(|rows| read(&sized(rows)).unwrap().vocabulary());
    assert_eq!(sizes, [5, 6]);
    let named = with(
        &sized(5),
        "tokenizer_config.json",
        &json!({"mask_token": "[MASK]"}),
    );
    let tokenizer = read(&named).unwrap();
    assert_eq!(tokenizer.beyond(5), Some((5, "[MASK]".to_owned())));
    assert_eq!(tokenizer.beyond(6), None);
}

/// Where no file names a class it is the model's: Nomic BERT's is BERT's, and GTE's XLM-R's. tokenizer.json alone says something else.
#[test]
fn a_model_names_the_class_where_no_file_does() {
    for (name, kind) in [("bert-json-disagrees", "nomic_bert"), ("xlmr-json", "gte")] {
        let (mut files, expected) = folder(name);
        for (file, key, value) in [
            ("tokenizer_config.json", "tokenizer_class", Value::Null),
            ("config.json", "model_type", kind.into()),
        ] {
            let mut json: Value = serde_json::from_str(&files[file]).unwrap();
            json[key] = value;
            files = with(&files, file, &json);
        }
        let tokenizer = read(&files).unwrap();
        let texts: Vec<String> = serde_json::from_value(golden("texts")).unwrap();
        for (index, expected) in &expected {
            assert_eq!(
                ids(&tokenizer, &texts[*index]),
                *expected,
                "{kind}: text {index}"
            );
        }
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let (merges, _) = folder("roberta-merges");
    let python = "python -c \"from transformers import AutoTokenizer; \
                  AutoTokenizer.from_pretrained('FOLDER').save_pretrained('FOLDER')\"";
    let phobert = json!({"tokenizer_class": "PhobertTokenizer"});
    let roberta = json!({"model_type": "roberta"});
    let vocabulary = folder("bert-vocab").0["vocab.txt"].clone();
    let file = |name: &str, content: String| Files::from([(name.to_owned(), content)]);
    let unread = |what: &str, advice: &str| {
        format!(
            "tokenizer: there is no tokenizer.json, and {what}; without one, vocab.txt of BERT and MPNet is read, and RoBERTa's vocab.json \
             with merges.txt. {advice}"
        )
    };
    let make = format!("Make a tokenizer.json: {python}");
    let of_xlmr = with(
        &file("sentencepiece.bpe.model", "x".into()),
        "config.json",
        &json!({"model_type": "xlm-roberta"}),
    );
    let of_roberta = with(
        &file("vocab.txt", vocabulary.clone()),
        "config.json",
        &roberta,
    );
    let of_phobert = with(&of_roberta, "tokenizer_config.json", &phobert);
    let in_python = "That class is code in Python, of which transformers makes no tokenizer.json: take a model whose folder has one";
    for (files, expected) in [
        (
            of_xlmr,
            unread(
                "limbeck makes no XLMRobertaTokenizer of sentencepiece.bpe.model",
                &make,
            ),
        ),
        (
            of_roberta,
            unread("limbeck makes no RobertaTokenizer of vocab.txt", &make),
        ),
        (
            without(&merges, &["merges.txt"]),
            unread("limbeck makes no RobertaTokenizer of vocab.json", &make),
        ),
        (
            Files::new(),
            unread("no other file with a vocabulary", &make),
        ),
        (
            file("spiece.model", String::new()),
            unread(
                "limbeck makes no PreTrainedTokenizerFast of spiece.model",
                &make,
            ),
        ),
        (
            with(
                &file("spm.model", String::new()),
                "tokenizer_config.json",
                &json!({"tokenizer_class": "DebertaV2Tokenizer"}),
            ),
            unread("limbeck makes no DebertaV2Tokenizer of spm.model", &make),
        ),
        (
            of_phobert,
            unread("limbeck makes no PhobertTokenizer of vocab.txt", in_python),
        ),
        (
            file("vocab.txt", vocabulary.replace("[SEP]\n", "")),
            "tokenizer: vocab.txt has no [SEP]".to_owned(),
        ),
    ] {
        assert_eq!(refused(&files), expected);
    }
}

#[test]
fn a_vocabulary_in_another_encoding_is_named() {
    let vocabulary = b"[PAD]\n[UNK]\ncaf\xe9\n";
    let file = |name: &str| (name == "vocab.txt").then_some(&vocabulary[..]);
    let refusal = Tokenizer::from_files(&file).err().expect("no UTF-8");
    let expected = "tokenizer: vocab.txt cannot be read: line 3 is not UTF-8";
    assert_eq!(refusal.to_string(), expected);
    let (roberta, _) = folder("roberta-merges");
    let file = |name: &str| match name {
        "merges.txt" => Some(&b"t h\nh \xe9\n"[..]),
        name => roberta.get(name).map(String::as_bytes),
    };
    let refusal = Tokenizer::from_files(&file).err().expect("no UTF-8");
    let expected = "tokenizer: merges.txt cannot be read: line 2 is not UTF-8";
    assert_eq!(refusal.to_string(), expected);
}

/// Of a folder whose class takes tokenizer.json as it stands, so that nothing else switches it off.
#[test]
fn merges_are_not_left_out_at_random() {
    let is_bpe = |name: &String| {
        let (files, _) = folder(name);
        let file: Option<Value> = files
            .get("tokenizer.json")
            .map(|file| serde_json::from_str(file).unwrap());
        file.is_some_and(|file| file["model"]["type"] == "BPE")
    };
    let name = names().into_iter().find(is_bpe).unwrap();
    let (files, _) = folder(&name);
    let mut file: Value = serde_json::from_str(&files["tokenizer.json"]).unwrap();
    let tokens = |file: &Value| {
        let tokenizer = Tokenizer::from_json(file.to_string().as_bytes()).unwrap();
        let text = "the distillation of relations among many tokens";
        tokenizer.encode(&[text]).unwrap().remove(0).ids
    };
    let certain = tokens(&file);
    file["model"]["dropout"] = 0.9.into();
    for _ in 0..5 {
        assert_eq!(tokens(&file), certain, "{name}");
    }
}

#[test]
fn damaged_files_are_named() {
    let (bert, _) = folder("bert-vocab");
    let (roberta, _) = folder("roberta-merges");
    let config = |config: Value| with(&bert, "tokenizer_config.json", &config);
    let changed = |name: &str, content: &str| {
        let mut files = roberta.clone();
        files.insert(name.to_owned(), content.to_owned());
        files
    };
    let small = changed("merges.txt", "#version: 0.2\nt h\n");
    let twins = roberta["vocab.json"].replacen('{', "{\"twin\": 0, ", 1);
    for (files, expected) in [
        (
            config(json!([1])),
            "tokenizer: tokenizer_config.json is no JSON object",
        ),
        (
            config(json!({"added_tokens_decoder": {"x": {"content": "y"}}})),
            "tokenizer: tokenizer_config.json cannot be read: its added_tokens_decoder has {\"content\":\"y\"} for id \"x\", \
             which is no token",
        ),
        (
            config(json!({"added_tokens_decoder": [1]})),
            "tokenizer: tokenizer_config.json cannot be read: its added_tokens_decoder is not an object of tokens by their ids",
        ),
        (
            config(json!({"do_lower_case": "false"})),
            "tokenizer: tokenizer_config.json cannot be read: its do_lower_case is \"false\", and must be true or false",
        ),
        (
            config(json!({"strip_accents": 1})),
            "tokenizer: tokenizer_config.json cannot be read: its strip_accents is 1, and must be true or false",
        ),
        (
            with(&bert, "added_tokens.json", &json!({"x": -1})),
            "tokenizer: added_tokens.json cannot be read: the id of `x` is -1, not a whole number",
        ),
        (
            changed("merges.txt", "#version: 0.2\nt h\nt h e\n"),
            "tokenizer: merges.txt cannot be read: line 3 is `t h e`, not two tokens",
        ),
        (
            changed("merges.txt", "qqq zzz\n"),
            "tokenizer: merges.txt cannot be read: line 1 is `qqq zzz`, and vocab.json has no `qqq`",
        ),
        (
            changed("merges.txt", "t h\n\nh e\n"),
            "tokenizer: merges.txt cannot be read: line 2 is ``, not two tokens",
        ),
        (
            with(&small, "vocab.json", &json!({"<s>": 0, "t": 1, "h": 2})),
            "tokenizer: merges.txt cannot be read: line 2 is `t h`, and vocab.json has no `th`",
        ),
        (
            with(&small, "vocab.json", &json!({"<s>": 0, "t": -1})),
            "tokenizer: vocab.json cannot be read: the id of `t` is -1, not a whole number",
        ),
        (
            changed("vocab.json", "{"),
            "tokenizer: vocab.json is not JSON: EOF",
        ),
        (
            changed("vocab.json", &twins),
            "tokenizer: vocab.json cannot be read: `<s>` and `twin` both have the id 0; give each token its own",
        ),
    ] {
        let refusal = refused(&files);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    let words =
        |vocabulary: Value| json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": "c"});
    let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    let pair = json!({"type": "TemplateProcessing", "single": [text("A")], "pair": [text("A"), text("B"), text("B")], "special_tokens": {}});
    for (vocabulary, template, expected) in [
        (
            json!({"b": 1, "a": 1, "c": 0}),
            Value::Null,
            "`a` and `b` both have the id 1; give each token its own",
        ),
        (
            json!({"c": 0}),
            pair,
            "its template for two texts has the text B twice",
        ),
    ] {
        let file =
            json!({"version": "1.0", "model": words(vocabulary), "post_processor": template});
        let refusal = Tokenizer::from_json(file.to_string().as_bytes()).err();
        assert_eq!(
            refusal.expect("a refusal").to_string(),
            format!("tokenizer: tokenizer.json cannot be read: {expected}")
        );
    }
}
