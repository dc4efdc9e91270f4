//! Two texts as one sequence.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use limbeck_tokenizer::Tokenizer;
use tokenizers::{TruncationDirection, TruncationParams};

/// What is cut of two texts, on whichever side, is what the library cuts when it gets both.
#[test]
fn pairs_are_cut_as_the_library_cuts_them() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let words = "the small model reads two words of a large teacher and one more layer ";
    let text = |count: usize| -> String {
        let words = words.split_inclusive(' ').cycle();
        words.take(count).collect()
    };
    let texts = [0, 1, 3, 5, 6, 7, 12, 40].map(text);
    for folder in ["tiny-bert", "tiny-xlmr", "tiny-roberta-tokenizer"] {
        let json = std::fs::read_to_string(goldens.join(folder).join("tokenizer.json")).unwrap();
        for (side, direction) in [
            ("right", TruncationDirection::Right),
            ("left", TruncationDirection::Left),
        ] {
            let config = format!(
                "{{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"truncation_side\": \"{side}\"}}"
            );
            let files = BTreeMap::from([
                ("tokenizer.json", json.clone()),
                ("tokenizer_config.json", config),
            ]);
            let file = |name: &str| files.get(name).map(String::as_bytes);
            for max_length in [5, 8, 9, 14, 15, 40] {
                let ours = Tokenizer::from_files(&file).unwrap();
                let ours = ours.truncating(max_length).unwrap();
                let mut library: tokenizers::Tokenizer = json.parse().unwrap();
                let truncation = TruncationParams {
                    direction,
                    max_length,
                    ..TruncationParams::default()
                };
                library.with_truncation(Some(truncation)).unwrap();
                library.with_padding(None);
                for (a, b) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
                    let case = format!("{folder}, {side}, {max_length}: {a:?} and {b:?}");
                    let found = ours.encode_pairs(&[(a, b)]).unwrap().remove(0);
                    let expected = library.encode((a.as_str(), b.as_str()), true).unwrap();
                    assert_eq!(found.ids, expected.get_ids(), "{case}");
                    let is_cut = !expected.get_overflowing().is_empty();
                    assert_eq!(found.truncated, is_cut, "{case}");
                    let types = expected.get_type_ids();
                    match found.types.is_empty() {
                        true => assert!(types.iter().all(|of| *of == 0), "{case}"),
                        false => assert_eq!(found.types, types, "{case}"),
                    }
                }
            }
        }
    }
}

/// A template that has only the first text would have a run learn from half of its pairs.
#[test]
fn a_template_that_drops_a_text_is_refused() {
    let golden = "../../tests/golden/tiny-bert/tokenizer.json";
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
    let json = std::fs::read_to_string(golden).unwrap();
    let mut wrong: serde_json::Value = serde_json::from_str(&json).unwrap();
    wrong["post_processor"]["pair"] = wrong["post_processor"]["single"].clone();
    let wrong = wrong.to_string();
    let file = |name: &str| (name == "tokenizer.json").then_some(wrong.as_bytes());
    let tokenizer = Tokenizer::from_files(&file).unwrap();
    let told = tokenizer.encode_pairs(&[("the word", "of words")]);
    let told = told.expect_err("one text").to_string();
    assert!(told.contains("leaves out one of the two texts"), "{told}");
}
