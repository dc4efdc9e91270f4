//! Encoders and tokenizers against `transformers`, on the models of `golden/`.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use it::{cpu, gpu, read};
use limbeck_model::{
    Dropout, Encoder, Folder, MOST_BYTES, ModelError, Named, Precision, TokenBatch, Tokenizer,
};
use limbeck_recipe::{Config, Rng, Shape, StudentSize, Tap, parameter_count};
use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::golden::Golden;

macro_rules! folder {
    ($name:literal, $($file:literal),*) => {
        Folder::from_files($name, BTreeMap::from([
            $(($file.to_owned(), include_bytes!(concat!("../golden/", $name, "/", $file)).to_vec())),*
        ]))
    };
}

pub fn tiny_bert() -> Folder {
    folder!(
        "tiny-bert",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt"
    )
}

pub fn tiny_xlmr() -> Folder {
    folder!(
        "tiny-xlmr",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json"
    )
}

fn tiny_distilbert() -> Folder {
    folder!("tiny-distilbert", "config.json", "model.safetensors")
}

pub fn tiny_electra() -> Folder {
    folder!("tiny-electra", "config.json", "model.safetensors")
}

pub fn tiny_modernbert() -> Folder {
    folder!("tiny-modernbert", "config.json", "model.safetensors")
}

pub fn tiny_mpnet() -> Folder {
    folder!("tiny-mpnet", "config.json", "model.safetensors")
}

pub fn tiny_nomic() -> Folder {
    folder!("tiny-nomic", "config.json", "model.safetensors")
}

pub fn tiny_gte() -> Folder {
    folder!("tiny-gte", "config.json", "model.safetensors")
}

pub fn tiny_jina() -> Folder {
    folder!("tiny-jina", "config.json", "model.safetensors")
}

pub fn tiny_eurobert() -> Folder {
    folder!("tiny-eurobert", "config.json", "model.safetensors")
}

fn tiny_qwen3() -> Folder {
    folder!("tiny-qwen3", "config.json", "model.safetensors")
}

fn tiny_gemma3() -> Folder {
    folder!("tiny-gemma3", "config.json", "model.safetensors")
}

fn tiny_gemma3_causal() -> Folder {
    folder!("tiny-gemma3-causal", "config.json", "model.safetensors")
}

fn tiny_deberta() -> Folder {
    folder!("tiny-deberta", "config.json", "model.safetensors")
}

fn tiny_deberta_apart() -> Folder {
    folder!("tiny-deberta-apart", "config.json", "model.safetensors")
}

/// One of each family, those whose models are only teachers included.
fn every_family() -> impl Iterator<Item = Folder> {
    let only_teachers = [
        tiny_eurobert(),
        tiny_qwen3(),
        tiny_gemma3(),
        tiny_gemma3_causal(),
        tiny_deberta(),
        tiny_deberta_apart(),
    ];
    one_of_each_family().into_iter().chain(only_teachers)
}

/// A model with a config.json in the keys that its kind had before transformers 5.
fn in_older_keys(folder: &Folder, config: &Value) -> Folder {
    let weights = folder.get("model.safetensors").unwrap();
    let files = BTreeMap::from([
        ("config.json".to_owned(), config.to_string().into_bytes()),
        ("model.safetensors".to_owned(), weights.to_vec()),
    ]);
    Folder::from_files("older", files)
}

fn older_modernbert() -> Folder {
    let config = json!({
        "model_type": "modernbert", "vocab_size": 113, "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 3,
        "intermediate_size": 20, "max_position_embeddings": 40, "norm_eps": 7e-4, "global_attn_every_n_layers": 3,
        "local_attention": 5, "global_rope_theta": 600.0, "local_rope_theta": 30.0, "pad_token_id": 0,
    });
    in_older_keys(&tiny_modernbert(), &config)
}

/// As the code says it that Nomic's models came with.
pub fn older_nomic() -> Folder {
    let config = json!({
        "model_type": "nomic_bert", "vocab_size": 113, "n_embd": 24, "n_layer": 3, "n_head": 3, "n_inner": 20, "n_positions": 40,
        "activation_function": "swiglu", "layer_norm_epsilon": 5e-4, "type_vocab_size": 2, "rotary_emb_base": 50,
        "rotary_emb_fraction": 1.0, "qkv_proj_bias": false, "mlp_fc1_bias": false, "mlp_fc2_bias": false,
    });
    in_older_keys(&tiny_nomic(), &config)
}

/// As the code says it that GTE's models came with: a factor of 1.1^4 makes angles of heads of 8 dimensions 1.1 times slower, and their
/// base as many times larger as it is.
pub fn older_gte() -> Folder {
    let config = json!({
        "model_type": "new", "vocab_size": 113, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 20, "max_position_embeddings": 40, "hidden_act": "gelu", "layer_norm_eps": 4e-4,
        "layer_norm_type": "layer_norm", "type_vocab_size": 1, "pad_token_id": 0, "position_embedding_type": "rope",
        "pack_qkv": true, "rope_theta": 40.0 / 1.4641, "rope_scaling": {"type": "ntk", "factor": 1.4641},
    });
    in_older_keys(&tiny_gte(), &config)
}

pub fn one_of_each_family() -> [Folder; 9] {
    [
        tiny_bert(),
        tiny_xlmr(),
        tiny_distilbert(),
        tiny_electra(),
        tiny_modernbert(),
        tiny_mpnet(),
        tiny_nomic(),
        tiny_gte(),
        tiny_jina(),
    ]
}

fn goldens() -> Golden {
    Golden::parse(include_bytes!("../golden/encoder.safetensors"))
}

fn goldens_of_families() -> Golden {
    Golden::parse(include_bytes!("../golden/families.safetensors"))
}

/// Largest difference on real positions, and where.
async fn difference(got: Tensor<3>, exact: &[f64], lengths: &[usize]) -> f64 {
    let [b, s, h] = got.dims();
    let got = read(got).await;
    assert_eq!((got.len(), lengths.len()), (exact.len(), b));
    let mut worst = 0.0f64;
    for (at, (got, exact)) in got.iter().zip(exact).enumerate() {
        if at / h % s < lengths[at / h / s] {
            assert!(got.is_finite());
            worst = worst.max((f64::from(*got) - exact).abs());
        }
    }
    worst
}

async fn check(golden: &Golden, model: &str, folder: &Folder, device: &Device) {
    let encoder = Encoder::from_folder(folder, device).unwrap();
    let lengths = golden.lengths(&format!("{model}.lengths"));
    let batch = TokenBatch::new(&golden.ids(&format!("{model}.ids")), &lengths, device).unwrap();
    for (layer, state) in encoder
        .hidden_states(&batch)
        .unwrap()
        .into_iter()
        .enumerate()
    {
        let worst = difference(
            state,
            golden.get(&format!("{model}.hidden.{layer}")),
            &lengths,
        )
        .await;
        assert!(
            worst <= 2e-5,
            "{model}, hidden states of layer {layer}: off by {worst:.1e}"
        );
    }
    for layer in 1..=encoder.config().num_hidden_layers {
        let taps = encoder.tap(&batch, layer, None).unwrap();
        for (name, tap) in [("q", taps.q), ("k", taps.k), ("v", taps.v)] {
            let worst = difference(
                tap,
                golden.get(&format!("{model}.{name}.{layer}")),
                &lengths,
            )
            .await;
            assert!(
                worst <= 2e-5,
                "{model}, {name} of layer {layer}: off by {worst:.1e}"
            );
        }
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn bert_agrees_with_transformers() {
    for device in [cpu(), gpu().await] {
        check(&goldens(), "bert", &tiny_bert(), &device).await;
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn xlm_r_agrees_with_transformers() {
    for device in [cpu(), gpu().await] {
        check(&goldens(), "xlmr", &tiny_xlmr(), &device).await;
    }
}

async fn check_family(name: &str, folder: &Folder) {
    for device in [cpu(), gpu().await] {
        check(&goldens_of_families(), name, folder, &device).await;
    }
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn distilbert_agrees_with_transformers() {
    check_family("distilbert", &tiny_distilbert()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn electra_agrees_with_transformers() {
    check_family("electra", &tiny_electra()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn modernbert_agrees_with_transformers() {
    check_family("modernbert", &tiny_modernbert()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn mpnet_agrees_with_transformers() {
    check_family("mpnet", &tiny_mpnet()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn nomic_bert_agrees_with_transformers() {
    check_family("nomic", &tiny_nomic()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn gte_agrees_with_transformers() {
    check_family("gte", &tiny_gte()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn jina_bert_agrees_with_the_original() {
    check_family("jina", &tiny_jina()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn eurobert_agrees_with_transformers() {
    check_family("eurobert", &tiny_eurobert()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn qwen3_agrees_with_transformers() {
    check_family("qwen3", &tiny_qwen3()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn gemma3_agrees_with_transformers() {
    check_family("gemma3", &tiny_gemma3()).await;
}

/// Unless its config says that it attends to both sides, it looks back alone.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn gemma3_that_looks_back_agrees_with_transformers() {
    let folder = tiny_gemma3_causal();
    let config: Value = serde_json::from_slice(folder.get("config.json").unwrap()).unwrap();
    assert_eq!(config["use_bidirectional_attention"], json!(false));
    check_family("gemma3_causal", &folder).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn deberta_agrees_with_transformers() {
    check_family("deberta", &tiny_deberta()).await;
}

/// With projections of their own for distances, each of which has a row of the table.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn deberta_with_projections_apart_agrees_with_transformers() {
    check_family("deberta_apart", &tiny_deberta_apart()).await;
}

/// More sequences than attend at once are as each is alone, the first and the last of every part.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn disentangled_attention_goes_part_by_part() {
    let device = cpu();
    let encoder = Encoder::from_folder(&tiny_deberta(), &device).unwrap();
    let (length, how) = (40, encoder.config().disentangled().unwrap());
    let at_once = how.at_once(encoder.config().num_attention_heads, length);
    let lengths: Vec<usize> = (0..at_once + 2).map(|at| length - at % 7).collect();
    let tokens = |at: usize| (0..length).map(move |place| ((at * 31 + place * 7) % 100) as u32);
    let ids: Vec<u32> = (0..lengths.len()).flat_map(tokens).collect();
    let states = async |ids: &[u32], lengths: &[usize]| {
        let batch = TokenBatch::new(ids, lengths, &device).unwrap();
        read(encoder.last_hidden(&batch, None).unwrap()).await
    };
    let all = states(&ids, &lengths).await;
    let width = length * encoder.config().hidden_size;
    for at in [0, at_once - 1, at_once, at_once + 1] {
        let alone: Vec<u32> = tokens(at).collect();
        let alone = states(&alone[..lengths[at]], &lengths[at..=at]).await;
        for (got, alone) in all[at * width..].iter().zip(alone) {
            assert!(
                (got - alone).abs() < 1e-4,
                "sequence {at}: {got} and {alone}"
            );
        }
    }
}

/// In the keys of transformers 4, and of the code that models came with, they are the same models.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn models_in_older_keys_agree_with_transformers() {
    let golden = goldens_of_families();
    check(&golden, "modernbert", &older_modernbert(), &cpu()).await;
    check(&golden, "nomic", &older_nomic(), &cpu()).await;
    check(&golden, "gte", &older_gte(), &cpu()).await;
}

/// Of queries and keys that are tapped as attention compares them, the scores depend on how far apart two tokens are, and not on
/// where they are; values are not turned.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn rotated_taps_know_distances_alone() {
    let mut encoder = Encoder::from_folder(&tiny_modernbert(), &cpu()).unwrap();
    // The first layer reads the embeddings, so equal tokens have equal queries.
    let batch = TokenBatch::new(&[7; 6], &[6], &cpu()).unwrap();
    let content = encoder.tap(&batch, 1, None).unwrap();
    encoder.set_tap(Tap::Rotated);
    let rotated = encoder.tap(&batch, 1, None).unwrap();
    let all = encoder.taps(&batch).unwrap().remove(0);
    assert_eq!(read(all.q).await, read(rotated.q.clone()).await);
    assert_eq!(read(content.v).await, read(rotated.v).await);
    let (q, k) = (read(rotated.q).await, read(rotated.k).await);
    let plain = read(content.q).await;
    assert_eq!(plain[..24], plain[24..48], "one token, one query");
    assert_ne!(q[..24], q[24..48]);
    let score = |from: usize, to: usize| {
        let pairs = (0..8).map(|at| f64::from(q[24 * from + at]) * f64::from(k[24 * to + at]));
        pairs.sum::<f64>()
    };
    assert!((score(0, 2) - score(3, 5)).abs() < 1e-5);
    assert!((score(4, 1) - score(5, 2)).abs() < 1e-5);
    assert!((score(0, 2) - score(0, 3)).abs() > 1e-3);
}

/// RoBERTa gives its padding token one position wherever a text has it, and does not count it; BERT counts all of its tokens.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_padding_token_in_a_text_has_the_padding_position() {
    for device in [cpu(), gpu().await] {
        let encoder = Encoder::from_folder(&tiny_xlmr(), &device).unwrap();
        let first = async |encoder: &Encoder, ids: &[u32]| {
            let ids = [ids, &[7; 6]].concat();
            let batch = TokenBatch::new(&ids, &[6, 6], encoder.device()).unwrap();
            read(encoder.hidden_states(&batch).unwrap().remove(0)).await
        };
        let width = encoder.config().hidden_size;
        let at = |values: &[f32], place: usize| values[place * width..][..width].to_vec();
        let with = first(&encoder, &[0, 5, 1, 6, 1, 2]).await;
        let without = first(&encoder, &[0, 5, 6, 2, 8, 9]).await;
        assert_eq!(at(&with, 1), at(&without, 1));
        assert_eq!(at(&with, 3), at(&without, 2), "the second word");
        assert_eq!(at(&with, 5), at(&without, 3), "the end");
        assert_eq!(at(&with, 2), at(&with, 4), "the padding token");
        assert_eq!(at(&with, 9), at(&without, 9), "the other sequence");
        let bert = Encoder::from_folder(&tiny_bert(), &device).unwrap();
        let counted = first(&bert, &[2, 5, 0, 6, 0, 3]).await;
        assert_ne!(at(&counted, 2), at(&counted, 4));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_agree_with_transformers() {
    let expected: Value = serde_json::from_slice(include_bytes!("../golden/tokens.json")).unwrap();
    for (name, tokenizer) in tokenizers() {
        let cases = expected[name].as_array().unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let ids = &tokenizer.encode(&[text]).unwrap()[0].ids;
            assert_eq!(json!(ids), case["ids"], "{name}: {text:?}");
        }
    }
}

/// WordPiece, Unigram and byte-level BPE.
fn tokenizers() -> [(&'static str, Tokenizer); 3] {
    let roberta = include_bytes!("../golden/tiny-roberta-tokenizer/tokenizer.json");
    [
        ("tiny-bert", tiny_bert().tokenizer().unwrap()),
        ("tiny-xlmr", tiny_xlmr().tokenizer().unwrap()),
        (
            "tiny-roberta-tokenizer",
            Tokenizer::from_json(roberta).unwrap(),
        ),
    ]
}

/// vocab.txt alone gives the tokens of tokenizer.json.
#[wasm_bindgen_test(unsupported = test)]
fn a_vocabulary_is_enough_for_bert() {
    let vocab = include_bytes!("../golden/tiny-bert/vocab.txt").to_vec();
    let folder = Folder::from_files(
        "vocabulary",
        BTreeMap::from([("vocab.txt".to_owned(), vocab)]),
    );
    let (short, full) = (
        folder.tokenizer().unwrap(),
        tiny_bert().tokenizer().unwrap(),
    );
    for text in [
        "The CAT sat, twice.",
        "na\u{ef}ve caf\u{e9} \u{4f60}\u{597d}",
        "",
    ] {
        assert_eq!(
            short.encode(&[text]).unwrap(),
            full.encode(&[text]).unwrap(),
            "{text}"
        );
    }
}

/// Words that are split already become the tokens of the text with spaces between, in WordPiece, Unigram and byte-level BPE.
#[wasm_bindgen_test(unsupported = test)]
fn words_become_tokens_and_say_where_each_begins() {
    let words = vec!["the", "teacher", "\u{7f}", "unbelievable", "small"];
    for (name, tokenizer) in tokenizers() {
        let tokenizer = tokenizer.for_words();
        let each = |word: &&str| tokenizer.encode(&[*word]).unwrap()[0].ids.len() - 2;
        let lengths: Vec<usize> = words.iter().map(each).collect();
        let tokens = tokenizer
            .encode_words(std::slice::from_ref(&words))
            .unwrap();
        let mut at = 1;
        for (length, first) in lengths.iter().zip(&tokens[0].firsts) {
            assert_eq!(*first, (*length > 0).then_some(at), "{name}");
            at += length;
        }
        assert_eq!(tokens[0].ids.len(), at + 1, "{name}");
        assert!(!tokens[0].truncated);
        let whole = &tokenizer.encode(&["the teacher small"]).unwrap()[0].ids;
        let split = tokenizer.encode_words(&[vec!["the", "teacher", "small"]]);
        assert_eq!(&split.unwrap()[0].ids, whole, "{name}");
        let short = tokenizer.truncating(4).unwrap();
        let tokens = short.encode_words(std::slice::from_ref(&words)).unwrap();
        assert!(tokens[0].truncated && tokens[0].ids.len() == 4, "{name}");
        assert_eq!(tokens[0].firsts[4], None, "{name}");
    }
    // The first word of a text has no space before it, unless it is one of words.
    let [_, _, (_, plain)] = tokenizers();
    let ids = |tokenizer: &Tokenizer| tokenizer.encode(&["the teacher"]).unwrap()[0].ids.clone();
    assert!(plain.is_byte_level());
    assert_ne!(ids(&plain), ids(&plain.clone().for_words()));
}

#[wasm_bindgen_test(unsupported = test)]
fn long_texts_are_cut_and_said_so() {
    let tokenizer = tiny_bert().tokenizer().unwrap().truncating(6).unwrap();
    let tokens = tokenizer
        .encode(&["the", "the the the the the the the the"])
        .unwrap();
    assert!(!tokens[0].truncated && tokens[0].ids.len() == 3);
    assert!(tokens[1].truncated && tokens[1].ids.len() == 6);
    assert_eq!(
        tokenizer.truncating(2).err().unwrap().to_string(),
        "tokenizer: max_length 2 leaves no room beside 2 special tokens"
    );
}

/// A truncating tokenizer looks at the beginning of a text alone, and finds the tokens that the whole text begins with: whatever
/// has no spaces, no tokens, or nothing but spaces.
#[wasm_bindgen_test(unsupported = test)]
fn the_beginning_of_a_long_text_is_enough() {
    let words = "The small model, reading two words: an under-estimated café! ";
    let texts = [
        words.repeat(2_000),
        words.replace(' ', "").repeat(2_000),
        "layer".repeat(20_000),
        "模型读两个词。".repeat(5_000),
        format!("{}the model", " ".repeat(100_000)),
        format!(
            "{}the model {}",
            "\u{200b}\t \u{a0}".repeat(20_000),
            words.repeat(2_000)
        ),
        format!("the {} model {}", "x".repeat(50_000), words.repeat(500)),
        "e\u{301}\u{323}".repeat(20_000),
        "👩‍👩‍👧‍👦🇩🇪 ".repeat(3_000),
        format!("{}\u{3a3}. the", "ΣΑΣ ".repeat(10_000)),
    ];
    for (name, full) in tokenizers() {
        let special = full.special_tokens().unwrap();
        for most in [6, 200] {
            let short = full.clone().truncating(most).unwrap();
            for text in texts.iter().map(String::as_str) {
                let whole = full.encode(&[text]).unwrap().remove(0).ids;
                let found = short.encode(&[text]).unwrap().remove(0);
                let mut expected = whole.clone();
                if whole.len() > most {
                    // One special token before the text and one after it.
                    assert_eq!(special, 2);
                    expected.truncate(most - 1);
                    expected.extend(whole.last());
                }
                let shown: String = text.chars().take(40).collect();
                assert_eq!(found.ids, expected, "{name}, {most}: {shown}");
                assert_eq!(
                    found.truncated,
                    whole.len() > most,
                    "{name}, {most}: {shown}"
                );
            }
        }
    }
}

/// So it is for two texts as one sequence, whichever of them is long.
#[wasm_bindgen_test(unsupported = test)]
fn the_beginnings_of_two_long_texts_are_enough() {
    let words = "The small model, reading two words: an under-estimated café! ";
    let (beginning, whole) = (words.repeat(20), words.repeat(5_000));
    for (name, tokenizer) in tokenizers() {
        let short = tokenizer.truncating(20).unwrap();
        let [first, second] = [(&beginning, &whole), (&whole, &beginning)];
        let pairs = [first, second, (&whole, &whole), (&beginning, &beginning)];
        let pairs = pairs.map(|(a, b)| (a.as_str(), b.as_str()));
        let tokens = short.encode_pairs(&pairs).unwrap();
        for found in &tokens {
            assert!(found.truncated && found.ids.len() == 20, "{name}");
            assert_eq!(found, &tokens[3], "{name}");
        }
        let pairs = [("the", "model"), ("the", whole.as_str())];
        let tokens = short.encode_pairs(&pairs).unwrap();
        let (all, cut) = (&tokens[0], &tokens[1]);
        assert!(!all.truncated && all.ids.len() < 20, "{name}");
        assert!(cut.truncated && cut.ids.len() == 20, "{name}");
    }
}

/// Lines with a tab are the pairs that they hold, and others one text each.
#[wasm_bindgen_test(unsupported = test)]
fn a_tokenizer_for_pairs_tells_them_by_what_stands_between() {
    let mut typed = Vec::new();
    for (name, tokenizer) in tokenizers() {
        let short = tokenizer.truncating(9).unwrap();
        let long = "the small model reads ".repeat(9);
        let pairs = [
            ("the model", "reads two words"),
            ("", "the"),
            ("a b", &long),
        ];
        let mut expected = short.encode_pairs(&pairs).unwrap();
        expected.extend(short.encode(&["two words", ""]).unwrap());
        let lines = pairs.map(|(first, second)| format!("{first}\t{second}"));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = short
            .for_pairs('\t')
            .encode(&[&lines[..], &["two words", ""]].concat());
        assert_eq!(found.unwrap(), expected, "{name}");
        for tokens in &expected {
            assert!(tokens.types.is_empty() || tokens.types.len() == tokens.ids.len());
        }
        if expected.iter().any(|tokens| tokens.types.contains(&1)) {
            typed.push(name);
        }
        assert!(expected[3].types.is_empty() && !expected[3].truncated && expected[2].truncated);
    }
    assert!(typed.iter().any(|name| name.contains("bert")), "{typed:?}");
}

#[wasm_bindgen_test(unsupported = test)]
fn two_texts_need_room_beside_their_special_tokens() {
    let tokenizer = tiny_bert().tokenizer().unwrap();
    let short = tokenizer.clone().truncating(3).unwrap();
    let error = short.encode_pairs(&[("the", "model")]).err().unwrap();
    let message = "tokenizer: max_length 3 leaves no room beside 3 special tokens";
    assert_eq!(error.to_string(), message);
    // Known before a text is read.
    let for_pairs = tokenizer.for_pairs('\t');
    let error = for_pairs.clone().truncating(3).err().unwrap();
    assert_eq!(error.to_string(), message);
    let least = for_pairs.truncating(4).unwrap();
    assert_eq!(least.encode(&["the\tmodel"]).unwrap()[0].ids.len(), 4);
}

/// As transformers does: a template has token types, and `model_input_names` says whether the model hears of them.
#[wasm_bindgen_test(unsupported = test)]
fn a_tokenizer_may_keep_its_types_to_itself() {
    let types = |names: Value| {
        let settings = json!({"tokenizer_class": "BertTokenizer", "model_input_names": names});
        let tokenizer = tiny_bert().get("tokenizer.json").unwrap().to_vec();
        let files = BTreeMap::from([
            ("tokenizer.json".to_owned(), tokenizer),
            (
                "tokenizer_config.json".to_owned(),
                settings.to_string().into_bytes(),
            ),
        ]);
        let tokenizer = Folder::from_files("typed", files).tokenizer().unwrap();
        let tokens = tokenizer.encode_pairs(&[("the", "model")]).unwrap();
        tokens[0].types.clone()
    };
    let told = types(json!(["input_ids", "token_type_ids", "attention_mask"]));
    assert!(told.contains(&1), "{told:?}");
    assert_eq!(types(Value::Null), told);
    assert_eq!(types(json!(["input_ids", "attention_mask"])), [0_u32; 0]);
}

/// Beyond a MiB of text without a token, nobody looks for one.
#[wasm_bindgen_test(unsupported = test)]
fn a_text_of_a_mebibyte_without_tokens_is_cut() {
    let tokenizer = tiny_bert().tokenizer().unwrap().truncating(6).unwrap();
    let text = format!("the{}model", " ".repeat(MOST_BYTES));
    let tokens = tokenizer.encode(&[text.as_str()]).unwrap();
    assert!(
        tokens[0].truncated && tokens[0].ids.len() == 3,
        "{tokens:?}"
    );
}

fn batch(lengths: &[usize], s: usize, device: &Device) -> TokenBatch {
    let ids: Vec<u32> = (0..lengths.len() * s)
        .map(|i| (i as u32 * 7) % 100)
        .collect();
    TokenBatch::new(&ids, lengths, device).unwrap()
}

/// A training tap drops, an inference tap never; the same seed and step drop the same.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn dropout_only_where_asked() {
    let device = cpu();
    let encoder = Encoder::from_folder(&tiny_bert(), &device).unwrap();
    let batch = batch(&[6, 4], 6, &device);
    let mut taps = Vec::new();
    for dropout in [None, None, Some((1, 1)), Some((1, 1)), Some((1, 2))] {
        let mut dropout = dropout.map(|(seed, step)| Dropout::new(seed, step, 0));
        taps.push(read(encoder.tap(&batch, 2, dropout.as_mut()).unwrap().q).await);
    }
    assert_eq!(taps[0], taps[1]);
    assert_eq!(taps[2], taps[3]);
    assert_ne!(taps[0], taps[2]);
    assert_ne!(taps[2], taps[4]);
}

/// All layers in one pass are, bit for bit, what each gives by itself.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn taps_of_all_layers_are_those_of_each() {
    for device in [cpu(), gpu().await] {
        for folder in every_family() {
            let encoder = Encoder::from_folder(&folder, &device).unwrap();
            let batch = batch(&[9, 4], 9, &device);
            let all = encoder.taps(&batch).unwrap();
            assert_eq!(all.len(), encoder.config().num_hidden_layers);
            for (index, taps) in all.into_iter().enumerate() {
                let one = encoder.tap(&batch, index + 1, None).unwrap();
                for (got, alone) in [(taps.q, one.q), (taps.k, one.k), (taps.v, one.v)] {
                    assert_eq!(read(got).await, read(alone).await, "layer {}", index + 1);
                }
            }
        }
    }
}

/// Dropout keeps the mean: kept values grow by what is dropped.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn dropout_drops_its_share() {
    let ones = Tensor::<2>::ones([200, 300], &cpu());
    let dropped = Dropout::new(3, 4, 0).apply(ones, 0.25);
    let data = read(dropped).await;
    let zeros = data.iter().filter(|x| **x == 0.0).count() as f64 / data.len() as f64;
    assert!((zeros - 0.25).abs() < 0.01, "{zeros} were dropped");
    assert!(
        data.iter()
            .all(|x| *x == 0.0 || (*x - 1.0 / 0.75).abs() < 1e-6)
    );
}

/// The folder of a model: config.json and weights.
async fn written(encoder: &Encoder, precision: Precision) -> Folder {
    let config = encoder.config().to_json(precision.torch_name());
    let weights = encoder.to_safetensors(precision).await.unwrap();
    let files = BTreeMap::from([
        ("config.json".to_owned(), config.into_bytes()),
        ("model.safetensors".to_owned(), weights),
    ]);
    Folder::from_files("written", files)
}

/// Written and read again, a model gives the same bits; in half precision nearly.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn weights_survive_a_round_trip() {
    let device = cpu();
    let encoder = Encoder::from_folder(&tiny_bert(), &device).unwrap();
    let batch = batch(&[5], 5, &device);
    let expected = read(encoder.tap(&batch, 2, None).unwrap().v).await;
    for (precision, tolerance) in [(Precision::F32, 0.0), (Precision::F16, 1e-2)] {
        let again = written(&encoder, precision).await;
        let again = Encoder::from_folder(&again, &device).unwrap();
        let got = read(again.tap(&batch, 2, None).unwrap().v).await;
        for (got, expected) in got.iter().zip(&expected) {
            assert!(
                (got - expected).abs() <= tolerance,
                "{precision:?}: {got} and {expected}"
            );
        }
    }
}

fn student_of(teacher: &Config) -> Config {
    teacher.student(StudentSize {
        layers: 2,
        hidden: 18,
        heads: 3,
        ffn: 30,
        dropout: 0.1,
    })
}

/// A student of each family is read again as it was written: the same parameters and, bit for bit, the same states.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn students_of_each_family_survive_a_round_trip() {
    let device = cpu();
    for teacher in every_family() {
        let of_teacher = teacher.config().unwrap();
        let config = student_of(&of_teacher);
        let student = Encoder::random(&config, 3, &device).unwrap();
        let folder = written(&student, Precision::F32).await;
        let again = Encoder::from_folder(&folder, &device).unwrap();
        // The dropout of the distillation is not the student's.
        let expected = Shape {
            hidden_dropout: of_teacher.hidden_dropout,
            attention_dropout: of_teacher.attention_dropout,
            ..config.shape.clone()
        };
        assert_eq!(again.config().shape, expected);
        assert_eq!(
            again.values().await.unwrap(),
            student.values().await.unwrap()
        );
        let batch = batch(&[7, 3], 7, &device);
        let states = |encoder: &Encoder| encoder.hidden_states(&batch).unwrap().pop().unwrap();
        assert_eq!(read(states(&again)).await, read(states(&student)).await);
    }
}

/// Initial values are drawn in the order of the parameters, which makes a seed mean one student.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn initial_values_follow_the_order_of_the_parameters() {
    for teacher in one_of_each_family() {
        let config = student_of(&teacher.config().unwrap());
        let mut rng = Rng::keyed(&[7, 0x1417]);
        let student = Encoder::random(&config, 7, &cpu()).unwrap();
        for Named {
            name,
            values,
            shape,
        } in student.values().await.unwrap()
        {
            let norm = ["norm", "_ln"]
                .iter()
                .any(|norm| name.to_lowercase().contains(norm));
            let expected: Vec<f32> = match (shape.len(), norm && name.ends_with("weight")) {
                // In memory a linear layer is transposed; values are drawn as files have them.
                (2, _) => values
                    .iter()
                    .map(|_| (0.02 * rng.normal()) as f32)
                    .collect(),
                (_, true) => vec![1.0; values.len()],
                _ => vec![0.0; values.len()],
            };
            assert_eq!(values, expected, "{name}");
        }
    }
}

/// DistilBERT drops no values of attention's output in training, BERT does: one more mask per layer.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_output_is_dropped_where_the_family_does() {
    let device = cpu();
    let batch = batch(&[6, 4], 6, &device);
    for (teacher, masks_per_layer) in [(tiny_bert(), 3), (tiny_distilbert(), 2)] {
        let encoder = Encoder::from_folder(&teacher, &device).unwrap();
        let mut dropout = Dropout::new(5, 6, 0);
        encoder.tap(&batch, 2, Some(&mut dropout)).unwrap();
        let mut expected = Dropout::new(5, 6, 0);
        for _ in 0..1 + masks_per_layer {
            expected.mask(0.1);
        }
        let ones = || Tensor::<2>::ones([20, 20], &device);
        let (next, expected) = (dropout.apply(ones(), 0.5), expected.apply(ones(), 0.5));
        assert_eq!(read(next).await, read(expected).await);
    }
}

/// The mean is taken over the real tokens alone.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn pooling_leaves_padding_out() {
    let device = cpu();
    let encoder = Encoder::from_folder(&tiny_xlmr(), &device).unwrap();
    let pooled = |tensor: Tensor<2>| read(tensor);
    let alone = TokenBatch::new(&[0, 9, 2], &[3], &device).unwrap();
    let padded = TokenBatch::new(&[0, 9, 2, 1, 1, 0, 8, 7, 6, 2], &[3, 5], &device).unwrap();
    let alone = pooled(encoder.mean_pooled(&alone).unwrap()).await;
    let padded = pooled(encoder.mean_pooled(&padded).unwrap()).await;
    for (a, b) in alone.iter().zip(&padded) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}

fn config_with(change: &str, value: Value) -> Result<Config, ModelError> {
    let mut json: Value = serde_json::from_slice(tiny_bert().get("config.json").unwrap()).unwrap();
    json[change] = value;
    Ok(Config::parse("config.json", json.to_string().as_bytes())?)
}

#[wasm_bindgen_test(unsupported = test)]
fn wrong_configs_are_named() {
    let message = |change, value| config_with(change, value).unwrap_err().to_string();
    assert_eq!(
        message("model_type", "gpt2".into()),
        "config.json: model_type `gpt2` is not supported; supported: bert, roberta, xlm-roberta, camembert, distilbert, electra, modernbert, mpnet, nomic_bert, gte, new, eurobert, qwen3, gemma3_text, deberta-v2"
    );
    assert_eq!(
        message("hidden_act", "mish".into()),
        "config.json: hidden_act `mish` is not supported; supported: gelu, gelu_new, gelu_pytorch_tanh, relu, silu"
    );
    assert_eq!(
        message("position_embedding_type", "relative_key".into()),
        "config.json: position_embedding_type `relative_key` is not supported; supported: absolute"
    );
    assert_eq!(
        message("num_attention_heads", 5.into()),
        "config.json: num_attention_heads (5) does not divide hidden_size (24)"
    );
    let broken = Config::parse("config.json", b"{").unwrap_err().to_string();
    assert!(broken.starts_with("config.json: not JSON: "), "{broken}");
}

/// Byte-level tokens are read as the characters that they stand for, others as they are written.
#[wasm_bindgen_test(unsupported = test)]
fn labels_of_tokens_are_text() {
    let roberta = include_bytes!("../golden/tiny-roberta-tokenizer/tokenizer.json");
    let mut json: Value = serde_json::from_slice(roberta).unwrap();
    let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
    let more = vocabulary.len();
    // Two characters, of which one token has the first and the beginning of the second.
    vocabulary.insert("a\u{c3}".into(), more.into());
    // An added token is written as it is, though its letters are those of bytes.
    json["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": more + 1, "content": "\u{e9}", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": false,
    }));
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    let labels = |text: &str| {
        let ids = tokenizer.encode(&[text]).unwrap().remove(0).ids;
        tokenizer.labels(&ids)
    };
    assert_eq!(
        labels("S\u{e1} \u{732b}"),
        [
            "<s>",
            "S",
            "\u{2039}\u{e1} 1/2\u{203a}",
            "\u{2039}\u{e1} 2/2\u{203a}",
            "\u{2581}",
            "\u{2039}\u{732b} 1/3\u{203a}",
            "\u{2039}\u{732b} 2/3\u{203a}",
            "\u{2039}\u{732b} 3/3\u{203a}",
            "</s>",
        ]
    );
    assert_eq!(labels("\u{e9}"), ["<s>", "\u{e9}", "</s>"]);
    let id = |token: &str| {
        (0..more as u32 + 2)
            .find(|id| tokenizer.token(*id) == token)
            .unwrap()
    };
    assert_eq!(
        tokenizer.labels(&[id("\u{c3}"), id("<s>"), id("\u{c3}")]),
        ["\u{2039}C3\u{203a}", "<s>", "\u{2039}C3\u{203a}"]
    );
    assert_eq!(
        tokenizer.labels(&[more as u32, id("\u{a9}")]),
        ["a\u{2039}\u{e9} 1/2\u{203a}", "\u{2039}\u{e9} 2/2\u{203a}"]
    );
    let bert = tiny_bert().tokenizer().unwrap();
    let ids = bert.encode(&["a \u{e9}"]).unwrap().remove(0).ids;
    let written: Vec<String> = ids.iter().map(|id| bert.token(*id)).collect();
    assert_eq!(bert.labels(&ids), written);
}

/// What config.json leaves out is what `transformers` takes: two token types.
#[wasm_bindgen_test(unsupported = test)]
fn a_missing_type_vocabulary_is_two() {
    let mut json: Value = serde_json::from_slice(tiny_bert().get("config.json").unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("type_vocab_size");
    let config = Config::parse("config.json", json.to_string().as_bytes()).unwrap();
    assert_eq!(config.type_vocab_size, 2);
}

/// A weight that is no number, in a layer before the tapped one, is never smoothed over by attention.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_broken_weight_is_not_hidden() {
    for device in [cpu(), gpu().await] {
        let folder = tiny_bert();
        let weights = limbeck_model::Weights::open(&folder).unwrap();
        let config = folder.config().unwrap();
        let broken = Encoder::from_values(&config, &device, |name, _, shape| {
            let mut values = weights.get(name, shape)?;
            if name == "encoder.layer.0.attention.self.query.weight" {
                values[0] = f32::NAN;
            }
            Ok(values)
        });
        let taps = broken
            .unwrap()
            .tap(&batch(&[20], 20, &device), 2, None)
            .unwrap();
        assert!(read(taps.q).await.iter().all(|x| x.is_nan()));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn wrong_requests_are_named() {
    let encoder = Encoder::from_folder(&tiny_bert(), &cpu()).unwrap();
    let tap = |batch: &TokenBatch, layer| encoder.tap(batch, layer, None).unwrap_err().to_string();
    assert_eq!(
        tap(&batch(&[3], 3, &cpu()), 3),
        "layer 3 does not exist: the model has layers 1 to 2"
    );
    assert_eq!(
        tap(&batch(&[3], 3, &cpu()), 0),
        "layer 0 does not exist: the model has layers 1 to 2"
    );
    let long = TokenBatch::new(&[5; 41], &[41], &cpu()).unwrap();
    assert_eq!(
        tap(&long, 2),
        "a sequence has 41 tokens, but the model has positions for 40; set max_length to 40 or less"
    );
    let odd = TokenBatch::new(&[5, 113], &[2], &cpu()).unwrap();
    assert_eq!(
        tap(&odd, 2),
        "token id 113 is beyond the model's vocabulary of 113: this tokenizer belongs to another model"
    );
    let odd = batch(&[2], 2, &cpu()).with_types(&[0, 2]);
    assert_eq!(
        tap(&odd, 2),
        "token type 2 is beyond the model's 2: this tokenizer belongs to another model"
    );
}

/// The count of parameters is the count of values that are there.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn parameters_are_counted() {
    for folder in every_family() {
        let encoder = Encoder::from_folder(&folder, &cpu()).unwrap();
        let values: usize = encoder
            .values()
            .await
            .unwrap()
            .iter()
            .map(|t| t.values.len())
            .sum();
        assert_eq!(values as u128, parameter_count(encoder.config()));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn random_numbers_are_what_they_say() {
    let mut rng = Rng::keyed(&[5, 1, 2]);
    let normal: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
    let mean = normal.iter().sum::<f64>() / 2e4;
    let variance = normal.iter().map(|x| x * x).sum::<f64>() / 2e4;
    assert!(
        mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
        "{mean} {variance}"
    );
    assert_ne!(
        Rng::keyed(&[5, 1, 2]).next_u64(),
        Rng::keyed(&[5, 2, 1]).next_u64()
    );
}
