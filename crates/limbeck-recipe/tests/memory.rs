//! Which number of a recipe is named when a run does not fit into memory.

use limbeck_recipe::{
    Config, Estimate, Init, Plan, Recipe, StudentRecipe, StudentSize, beyond_memory, memory,
    parameter_count,
};

fn plan(recipe: Recipe) -> Plan {
    let json = include_bytes!("../../../assets/teacher/config.json");
    let teacher = Config::parse("config.json", json).expect("the bundled config");
    let corpus = vec!["text.txt".into()];
    Plan::new(&Recipe { corpus, ..recipe }, &teacher).expect("a plan")
}

fn student(change: impl FnOnce(&mut StudentRecipe)) -> Recipe {
    let mut recipe = Recipe {
        batch: 1,
        max_length: 8,
        ..Recipe::default()
    };
    recipe.student = StudentRecipe {
        init: Init::Random,
        layers: 1,
        hidden: 64,
        heads: 2,
        ..recipe.student
    };
    change(&mut recipe.student);
    recipe
}

#[test]
fn a_run_that_fits_is_not_refused() {
    let plan = plan(student(|_| ()));
    let bytes = Estimate::of(&plan).peak;
    assert_eq!(beyond_memory(&plan, bytes), None);
    assert!(beyond_memory(&plan, bytes - 1.0).is_some());
}

#[test]
fn sizes_of_a_model_that_the_student_starts_from_cannot_be_lowered() {
    let json = include_bytes!("../../../assets/teacher/config.json");
    let teacher = Config::parse("config.json", json).expect("the bundled config");
    let start = StudentSize {
        layers: 3000,
        hidden: 64,
        heads: 2,
        ffn: 256,
        dropout: 0.1,
    };
    let start = teacher.student(start);
    let mut recipe = student(|s| s.layers = 3000);
    recipe.corpus.push("text.txt".into());
    let random = Plan::new(&recipe, &teacher).expect("a plan");
    recipe.student.init = Init::Folder("former".into());
    let plan = Plan::with_start(&recipe, &teacher, Some(&start)).expect("a plan");
    let [once, more] = [random, plan.clone()].map(|plan| Estimate::of(&plan).bytes);
    let copy = 4.0 * parameter_count(&start) as f64;
    assert!((more - once - copy).abs() < 1.0, "{more} - {once}, {copy}");
    let mistake = beyond_memory(&plan, 50e6).expect("too large");
    assert_eq!(mistake.field, "max_length", "{}", mistake.message);
}

#[test]
fn the_number_that_contributes_most_is_named() {
    for (recipe, field, now) in [
        (student(|s| s.hidden = 8192), "student.hidden", 8192),
        (student(|s| s.layers = 3000), "student.layers", 3000),
        (
            student(|s| s.ffn = Some(1_000_000)),
            "student.ffn",
            1_000_000,
        ),
        (
            Recipe {
                batch: 65_536,
                max_length: 8,
                ..student(|_| ())
            },
            "batch",
            65_536,
        ),
    ] {
        let plan = plan(recipe);
        let (bytes, free) = (Estimate::of(&plan).peak, 50e6);
        let mistake = beyond_memory(&plan, free).expect("too large");
        let message = format!(
            "a run takes about {} of memory, and 50 MB are free here. Lower {field} (now {now}): it is what most of that is for",
            memory(bytes)
        );
        assert_eq!((mistake.field, mistake.message), (field, message));
    }
}
