//! Which number of a recipe is named when a run does not fit into memory.

use limbeck_recipe::{Config, Estimate, Init, Plan, Recipe, StudentRecipe, beyond_memory, memory};

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
