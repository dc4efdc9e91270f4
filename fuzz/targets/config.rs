//! config.json of a teacher: read or refused, and a student's is read again as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbeck_recipe::{Config, Estimate, Plan, Recipe, StudentSize, parameter_count};

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = Config::parse("config.json", bytes) else {
        return;
    };
    parameter_count(&config);
    let size = StudentSize {
        layers: 1,
        hidden: 12,
        heads: 3,
        ffn: 48,
        dropout: 0.1,
    };
    let student = config.student(size);
    let written = student.to_json("float32");
    let again =
        Config::parse("config.json", written.as_bytes()).expect("what was written can be read");
    assert_eq!(again.to_json("float32"), written);
    assert_eq!(parameter_count(&again), parameter_count(&student));
    let recipe = Recipe {
        corpus: vec!["corpus.txt".to_owned()],
        ..Recipe::default()
    };
    if let Ok(plan) = Plan::new(&recipe, &config) {
        Estimate::of(&plan);
    }
});
