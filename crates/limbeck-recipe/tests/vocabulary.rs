//! Configs and plans of students with fewer tokens than their teacher.

use limbeck_recipe::{Config, Estimate, Plan, Recipe, Vocabulary, as_toml, parameter_count};
use serde_json::{Value, json};

fn config(model_type: &str, more: &Value) -> Config {
    let mut config = json!({
        "model_type": model_type, "vocab_size": 1000, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 40,
    });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    Config::parse("config.json", config.to_string().as_bytes()).expect("a config")
}

fn recipe(vocabulary: Option<f64>) -> Recipe {
    let mut recipe = Recipe {
        corpus: vec!["text.txt".into()],
        max_length: 8,
        ..Recipe::default()
    };
    (
        recipe.student.layers,
        recipe.student.hidden,
        recipe.student.heads,
    ) = (1, 8, 2);
    recipe.student.vocabulary = vocabulary;
    recipe
}

#[test]
fn ids_in_config_json_are_those_of_the_tokens_that_are_kept() {
    let ids =
        json!({"pad_token_id": 4, "bos_token_id": 7, "eos_token_id": 9, "sep_token_id": null});
    let pruned = config("bert", &ids)
        .pruned(&[0, 4, 7, 500])
        .expect("a config");
    let json: Value = serde_json::from_str(&pruned.to_json("float32")).expect("JSON");
    assert_eq!((pruned.vocab_size, pruned.pad_token_id), (4, 1));
    assert_eq!(
        (
            &json["vocab_size"],
            &json["pad_token_id"],
            &json["bos_token_id"]
        ),
        (&json!(4), &json!(1), &json!(2))
    );
    // It names no token that is gone.
    assert!(json.get("eos_token_id").is_none(), "{json}");
    // A config that leaves padding to its family says it where it moves.
    let silent = config("bert", &json!({"pad_token_id": 0}))
        .pruned(&[0, 5])
        .expect("a config");
    assert_eq!(silent.pad_token_id, 0);
    let gone = config("bert", &ids)
        .pruned(&[0, 7])
        .expect_err("no padding");
    assert_eq!(
        gone,
        "its padding token, 4, is not among those that are kept"
    );
}

#[test]
fn positions_that_count_from_padding_keep_its_id() {
    let roberta = config("roberta", &json!({"pad_token_id": 1}));
    let kept = roberta.pruned(&[0, 1, 2, 700]).expect("a config");
    assert_eq!(
        (kept.pad_token_id, kept.max_length()),
        (1, roberta.max_length())
    );
    let moved = roberta.pruned(&[1, 2, 700]).expect_err("another id");
    assert!(
        moved.contains("counts positions from the id of its padding token, 1"),
        "{moved}"
    );
}

#[test]
fn a_plan_knows_the_size_of_the_table_as_soon_as_it_can() {
    let teacher = config("bert", &json!({"pad_token_id": 0}));
    let plan = |vocabulary| Plan::new(&recipe(vocabulary), &teacher).expect("a plan");
    let parameters = |plan: &Plan| Estimate::of(plan).student_parameters;
    let (all, few) = (plan(None), plan(Some(100.0)));
    assert_eq!(parameters(&all) - parameters(&few), 900 * 8);
    let share = plan(Some(0.9));
    assert!(
        share.has_open_vocabulary() && !few.has_open_vocabulary() && !all.has_open_vocabulary()
    );
    assert_eq!(parameters(&share), parameters(&all));
    let kept: Vec<u32> = (0..70).collect();
    let vocabulary = Vocabulary {
        of: 1000,
        kept: 70,
        share: 0.91,
    };
    let pruned = share.pruned(teacher.pruned(&kept).expect("a config"), vocabulary);
    assert!(!pruned.has_open_vocabulary());
    assert_eq!(
        (pruned.student.vocab_size, pruned.teacher.vocab_size),
        (70, 70)
    );
    assert_eq!(
        parameter_count(&pruned.whole_teacher()),
        parameter_count(&teacher)
    );
}

/// The assistant is pruned, and the student that learns from it is as the assistant is.
#[test]
fn an_assistant_is_pruned_and_its_student_is_not() {
    let teacher = config("bert", &json!({"pad_token_id": 0}));
    let recipe = Recipe {
        assistant_steps: 2,
        ..recipe(Some(0.9))
    };
    let (assistant, student) = Plan::stages(&recipe, &teacher, None).expect("plans");
    let assistant = assistant.expect("an assistant");
    assert!(assistant.recipe.prunes() && !student.recipe.prunes());
    assert!(!student.has_open_vocabulary());
}

#[test]
fn a_vocabulary_is_written_as_it_was() {
    for (vocabulary, text) in [
        (32000.0, "vocabulary = 32000\n"),
        (0.9995, "vocabulary = 0.9995\n"),
        (1.0, "vocabulary = 1.0\n"),
    ] {
        let recipe = recipe(Some(vocabulary));
        assert!(recipe.to_toml().contains(text), "{}", recipe.to_toml());
        let json = as_toml::serialize(&recipe, serde_json::value::Serializer).expect("JSON");
        assert_eq!(as_toml::deserialize(json).expect("a recipe"), recipe);
    }
    assert!(!recipe(None).to_toml().contains("vocabulary"));
}
