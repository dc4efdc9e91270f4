//! Recipes by name: each can be run with the teacher that it is for.

use std::collections::BTreeSet;

use limbeck_recipe::{Config, Init, NAMED, Plan, Recipe, named};
use serde_json::json;

/// Layers, hidden size and type of the teacher that a recipe is for.
fn teacher(name: &str) -> (usize, usize, &'static str) {
    match name {
        "quick" => (6, 384, "bert"),
        "paper-6x384-base" | "paper-6x768-base" | "v1" | "v1-assistant" => (12, 768, "bert"),
        "paper-6x384-large" | "paper-12x384-large" => (24, 1024, "bert"),
        _ => (24, 1024, "xlm-roberta"),
    }
}

#[test]
fn every_named_recipe_runs_with_its_teacher() {
    let mut names = BTreeSet::new();
    for recipe in NAMED {
        let name = recipe.name;
        assert!(names.insert(name), "{name} stands twice");
        assert_eq!(named(name), Some(recipe));
        let (layers, hidden, kind) = teacher(name);
        let config = json!({
            "model_type": kind, "vocab_size": 1000, "hidden_size": hidden, "num_hidden_layers": layers,
            "num_attention_heads": hidden / 64, "intermediate_size": 4 * hidden, "max_position_embeddings": 514,
            "pad_token_id": 1
        });
        let config = Config::parse("config.json", config.to_string().as_bytes()).expect("a config");
        let mut asked: Recipe = toml::from_str(recipe.toml).expect(name);
        assert!(asked.teacher.is_empty() && asked.corpus.is_empty() && asked.out == "student");
        asked.teacher = "teacher".into();
        asked.corpus = vec!["texts".into()];
        // MiniLM compares head by head, so its student has as many as the teacher.
        let stages = Plan::stages(&asked, &config, None);
        let (assistant, plan) = stages.unwrap_or_else(|e| panic!("{name}: {e}"));
        let size = format!(
            "{}x{}",
            plan.student.num_hidden_layers, plan.student.hidden_size
        );
        assert!(
            recipe.toml.contains(&size.replace('x', " x ")),
            "{name}: {size}"
        );
        if name != "quick" {
            assert!(
                name.starts_with("v1") || name.contains(&size),
                "{name}: {size}"
            );
            assert_eq!(
                (asked.batch * asked.accumulate, asked.student.init),
                (256, Init::Random)
            );
            assert!(recipe.toml.contains("Source: ") && recipe.toml.contains("arXiv"));
        }
        assert_eq!(assistant.is_some(), name == "v1-assistant", "{name}");
        if let Some(Plan {
            recipe, student, ..
        }) = assistant
        {
            let size = (student.num_hidden_layers, student.hidden_size, recipe.steps);
            assert_eq!(size, (12, 384, 400_000));
            assert_eq!((plan.teacher_layer, plan.teacher.hidden_size), (12, 384));
        }
        assert!(
            recipe.sentence().ends_with('.') || recipe.sentence().ends_with(':'),
            "{name}"
        );
    }
    assert_eq!(names.len(), NAMED.len());
    assert_eq!(named("quickest"), None);
}

#[test]
fn layers_of_large_teachers_are_the_papers() {
    for (name, kind, layer) in [
        ("paper-12x384-large", "bert", 21),
        ("paper-6x384-large", "roberta", 19),
    ] {
        let config = json!({
            "model_type": kind, "vocab_size": 1000, "hidden_size": 1024, "num_hidden_layers": 24,
            "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 514, "pad_token_id": 1
        });
        let config = Config::parse("config.json", config.to_string().as_bytes()).expect("a config");
        let mut asked: Recipe = toml::from_str(named(name).expect(name).toml).expect(name);
        asked.teacher = "teacher".into();
        asked.corpus = vec!["texts".into()];
        assert_eq!(Plan::new(&asked, &config).expect(name).teacher_layer, layer);
    }
}
