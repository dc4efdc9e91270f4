//! A recipe in TOML: refused, or written and read again without a change, and planned or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbeck_recipe::{Config, Estimate, Plan, Recipe};

/// Small, so that recipes for it are easily found.
const TEACHER: &[u8] = br#"{
    "model_type": "bert", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48,
    "vocab_size": 60, "max_position_embeddings": 32, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"
}"#;

fuzz_target!(|text: &str| {
    let Ok(recipe) = toml::from_str::<Recipe>(text) else {
        return;
    };
    let written = recipe.to_toml();
    let again: Recipe = toml::from_str(&written).expect("what was written can be read");
    // Not the recipes: NaN is not itself.
    assert_eq!(again.to_toml(), written);
    let teacher = Config::parse("config.json", TEACHER).expect("a config");
    let Ok(plan) = Plan::new(&recipe, &teacher) else {
        return;
    };
    Estimate::of(&plan);
    for step in [1, plan.warmup, plan.warmup.saturating_add(1), recipe.steps] {
        let rate = plan.learning_rate(step);
        assert!(
            (0.0..=recipe.learning_rate).contains(&rate),
            "{rate} at step {step}"
        );
    }
});
