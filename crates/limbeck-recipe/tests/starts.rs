//! Where a student starts: what a recipe says, what an older one left out, and teachers that no student can start from.

use limbeck_recipe::{
    Compute, Config, Init, KernelChoice, Mixed, Operation, OutputRecipe, Pair, Part, Plan, Recipe,
    StudentRecipe,
};
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

fn teacher() -> Config {
    let config = json!({
        "model_type": "bert", "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 96, "max_position_embeddings": 40
    });
    Config::parse("config.json", config.to_string().as_bytes()).expect("a config")
}

/// For a student of one layer and three heads.
fn recipe(hidden: usize) -> Recipe {
    Recipe {
        corpus: vec!["corpus.txt".into()],
        max_length: 16,
        student: StudentRecipe {
            layers: 1,
            hidden,
            heads: 3,
            ..StudentRecipe::default()
        },
        ..Recipe::default()
    }
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
fn a_stored_recipe_without_output_had_no_output_stage() {
    let written = serde_json::to_value(Header {
        recipe: Recipe::default(),
    });
    let written = written.expect("JSON")["recipe"].clone();
    let today = written.as_str().expect("TOML");
    assert_eq!(stored(today), Recipe::default());
    let (before, after) = today.split_once("[output]").expect("the table");
    assert!(
        OutputRecipe::default().share > 0.0 && !after.contains('['),
        "{today}"
    );
    assert_eq!(stored(before).output.share, 0.0);
    let half = format!("{before}[output]\nl2 = 2.0\n");
    assert_eq!(stored(&half).output.share, OutputRecipe::default().share);
}

#[test]
fn a_stored_recipe_without_compute_was_computed_in_f32() {
    let today = Recipe::default().to_toml();
    assert_eq!(stored(&today).compute, Compute::Auto);
    let older = today.replace("compute = \"auto\"\n", "");
    assert_ne!(older, today);
    assert_eq!(stored(&older).compute, Compute::F32);
}

/// What a person meets: a device, and what a recipe says of it.
#[test]
fn mixed_precision_is_for_gpus() {
    let [cpu, gpu, cooperative] = [[false, false], [true, false], [true, true]];
    let on = |compute: Compute, [is_gpu, has]: [bool; 2]| compute.on(is_gpu, has);
    for compute in [Compute::Auto, Compute::F32, Compute::Mixed] {
        assert_eq!(on(compute, cpu), None);
    }
    assert_eq!(on(Compute::Auto, gpu), None);
    assert_eq!(on(Compute::Mixed, gpu), Some(Mixed::Portable));
    assert_eq!(on(Compute::F32, cooperative), None);
    assert_eq!(on(Compute::Auto, cooperative), Some(Mixed::Cooperative));
    assert_eq!(on(Compute::Mixed, cooperative), Some(Mixed::Cooperative));
}

#[test]
fn a_teacher_mixes_until_its_kernel_fails_and_a_student_never() {
    let teacher = teacher();
    let recipe = Recipe {
        compute: Compute::Mixed,
        ..recipe(12)
    };
    let mut plan = Plan::new(&recipe, &teacher).expect("a plan");
    assert_eq!(plan.teacher_kernels().mixed(), None);
    plan.mixed = Some(Mixed::Portable);
    assert_eq!(plan.teacher_kernels().mixed(), Some(Mixed::Portable));
    assert_eq!(plan.kernels.mixed(), None);
    plan.kernels.remove(Operation::Mixed);
    assert_eq!(plan.teacher_kernels().mixed(), None);
    let plain = Recipe {
        kernel: KernelChoice::Naive,
        ..recipe
    };
    let mistakes = Plan::new(&plain, &teacher)
        .expect_err("mixed needs kernels")
        .0;
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert_eq!(mistakes[0].field, "compute");
}

#[test]
fn the_stage_is_the_last_share_of_the_steps() {
    let teacher = teacher();
    let plan = |steps, share, relations| {
        let recipe = Recipe {
            steps,
            warmup: Some(0),
            pairs: Some([("qk".to_owned(), 3.0)].into()),
            output: OutputRecipe {
                share,
                relations,
                l2: 0.5,
                ..OutputRecipe::default()
            },
            ..recipe(24)
        };
        Plan::new(&recipe, &teacher).expect("a plan")
    };
    for (steps, share, from) in [(10, 0.3, 8), (10, 1.0, 1), (10, 0.01, 10), (1, 0.5, 1)] {
        let stage = plan(steps, share, 1.0).output.expect("a stage");
        assert_eq!(
            (stage.from, stage.has_map),
            (from, false),
            "{share} of {steps}"
        );
    }
    let pair = |weight| (Part::Relation(Pair::QK), weight);
    let output = [(Part::Cosine, 10.0), (Part::L2, 0.5)];
    let (with, without) = (plan(10, 0.3, 2.0), plan(10, 0.3, 0.0));
    assert_eq!(with.weights(7), [pair(3.0)]);
    assert_eq!(with.weights(8), [&[pair(6.0)], &output[..]].concat());
    assert_eq!(without.weights(7), [pair(3.0)]);
    assert_eq!(without.weights(10), output);
    assert_eq!(without.parts(), [pair(3.0).0, Part::Cosine, Part::L2]);
    let alone = plan(10, 0.0, 1.0);
    assert_eq!((alone.parts(), alone.output), (vec![pair(3.0).0], None));
}

#[test]
fn tables_wider_than_the_hidden_states_are_named() {
    let config = json!({
        "model_type": "electra", "vocab_size": 50, "embedding_size": 48, "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 96, "max_position_embeddings": 40
    });
    let teacher = Config::parse("config.json", config.to_string().as_bytes()).expect("a config");
    let mut recipe = recipe(12);
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

/// config.json keeps the dropout of the first teacher, with which nobody has distilled.
#[test]
fn a_student_of_an_assistant_is_written_with_the_dropout_of_the_teacher() {
    let config = json!({
        "model_type": "bert", "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 96, "max_position_embeddings": 40, "hidden_dropout_prob": 0.25,
        "attention_probs_dropout_prob": 0.125,
    });
    let teacher = Config::parse("config.json", config.to_string().as_bytes()).expect("a config");
    let mut recipe = recipe(24);
    recipe.assistant_steps = 2;
    recipe.student.dropout = 0.5;
    let (assistant, student) = Plan::stages(&recipe, &teacher, None).expect("plans");
    for plan in [assistant.expect("an assistant"), student] {
        assert_eq!(plan.student.hidden_dropout, 0.5, "while it learns");
        let json = plan.student.to_json("float32");
        let again = Config::parse("config.json", json.as_bytes()).expect("what we write we read");
        let dropouts = (again.hidden_dropout, again.attention_dropout);
        assert_eq!(dropouts, (0.25, 0.125));
    }
}
