//! What an evaluation says, and what a plan takes from the teacher's folder.

use limbeck_recipe::{Config, Evaluation, Pair, Part, Plan, Pooling, PoolingMode, Recipe};
use serde_json::json;

#[test]
fn an_evaluation_knows_every_pair_that_was_measured() {
    let record = json!({
        "step": 3, "parts": { "Q-Q": 0.5, "cosine": 0.25 }, "untrained": { "Q-K": 0.125 },
    });
    let evaluation: Evaluation = serde_json::from_value(record.clone()).expect("a record");
    assert_eq!(evaluation.kl(Pair::QQ), Some(0.5));
    assert_eq!(evaluation.kl(Pair::QK), Some(0.125));
    assert_eq!(evaluation.kl(Pair::VV), None);
    assert_eq!(json!(evaluation), record);
    let all_trained = Evaluation {
        untrained: [].into(),
        ..evaluation
    };
    assert_eq!(json!(all_trained)["untrained"], json!(null));
    assert!(all_trained.parts.contains_key(&Part::Cosine));
}

#[test]
fn an_evaluation_may_have_a_record_of_each_file() {
    let files = json!([{ "file": "de.txt", "lines": 12, "parts": { "Q-Q": 0.75 } }]);
    let record = json!({ "step": 3, "parts": { "Q-Q": 0.5 }, "files": files });
    let evaluation: Evaluation = serde_json::from_value(record.clone()).expect("a record");
    assert_eq!(evaluation.files[0].file, "de.txt");
    assert_eq!(json!(evaluation), record);
    let whole = Evaluation {
        files: Vec::new(),
        ..evaluation
    };
    assert_eq!(json!(whole).get("files"), None);
}

#[test]
fn a_plan_pools_by_the_mean_until_a_folder_says_otherwise() {
    let json = include_bytes!("../../../assets/teacher/config.json");
    let teacher = Config::parse("config.json", json).expect("the bundled config");
    let mut recipe = Recipe {
        corpus: vec!["none".to_owned()],
        ..Recipe::default()
    };
    recipe.student.hidden = 64;
    recipe.student.heads = 4;
    let cls = Pooling {
        modes: vec![PoolingMode::Cls],
        include_prompt: true,
    };
    let plan = Plan::new(&recipe, &teacher).expect("a plan");
    let pooling = |plan: Plan| plan.output.map(|stage| stage.pooling);
    assert_eq!(pooling(plan.clone()), Some(Pooling::default()));
    assert_eq!(pooling(plan.pooled(&cls)), Some(cls.clone()));
    recipe.output.share = 0.0;
    let plan = Plan::new(&recipe, &teacher).expect("a plan");
    assert_eq!(pooling(plan.pooled(&cls)), None);
}
