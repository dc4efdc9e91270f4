//! Where a student starts: what a recipe says, what an older one left out, and teachers that no student can start from.

use limbeck_recipe::{Config, Init, Plan, Recipe, StudentRecipe};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A recipe as checkpoints and saved runs hold it.
#[derive(Deserialize, Serialize)]
struct Header {
    #[serde(with = "limbeck_recipe::as_toml")]
    recipe: Recipe,
}

fn stored(text: &str) -> Recipe {
    let header = json!({ "recipe": text }).to_string();
    let header: Header = serde_json::from_str(&header).expect("a header");
    header.recipe
}

#[test]
fn a_stored_recipe_without_init_had_a_random_student() {
    let written = serde_json::to_value(Header {
        recipe: Recipe::default(),
    });
    let written = written.expect("JSON")["recipe"].clone();
    let today = written.as_str().expect("TOML");
    assert_eq!(stored(today).student.init, Init::Teacher);
    let older = today.replace("init = \"teacher\"\n", "");
    assert_ne!(older, today);
    assert_eq!(stored(&older).student.init, Init::Random);
    assert_eq!(stored("steps = 3").student.init, Init::Random);
}

#[test]
fn tables_wider_than_the_hidden_states_are_named() {
    let config = json!({
        "model_type": "electra", "vocab_size": 50, "embedding_size": 48, "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 96, "max_position_embeddings": 40
    });
    let teacher = Config::parse("config.json", config.to_string().as_bytes()).expect("a config");
    let mut recipe = Recipe {
        corpus: vec!["corpus.txt".into()],
        max_length: 16,
        student: StudentRecipe {
            layers: 1,
            hidden: 12,
            heads: 3,
            ..StudentRecipe::default()
        },
        ..Recipe::default()
    };
    let mistakes = Plan::new(&recipe, &teacher).expect_err("a mistake").0;
    let [mistake] = &mistakes[..] else {
        panic!("{mistakes:?}");
    };
    assert_eq!(mistake.field, "student.init");
    let message = "the teacher's embedding tables (48) are wider than its hidden states (24), and a student cannot start \
                   from such a teacher; set student.init to `random`";
    assert_eq!(mistake.message, message);
    recipe.student.init = Init::Random;
    assert!(Plan::new(&recipe, &teacher).is_ok());
}
