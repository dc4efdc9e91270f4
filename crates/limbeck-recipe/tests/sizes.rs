//! Sizes that no student has: each mistake is told once, with numbers that would do.

use limbeck_recipe::{Config, Init, Plan, Recipe, StudentRecipe};

/// What is wrong with a student of the teacher in such a config.
fn mistakes(teacher: &str, [hidden, heads]: [usize; 2]) -> String {
    let teacher = Config::parse("config.json", teacher.as_bytes()).expect("a config");
    let recipe = Recipe {
        corpus: vec!["text.txt".to_owned()],
        student: StudentRecipe {
            init: Init::Random,
            layers: 1,
            hidden,
            heads,
            ..StudentRecipe::default()
        },
        ..Recipe::default()
    };
    let plan = Plan::new(&recipe, &teacher);
    plan.err()
        .map_or_else(String::new, |mistakes| mistakes.to_string())
}

#[test]
fn a_width_of_0_is_one_mistake() {
    let bert = include_str!("../../../assets/teacher/config.json");
    assert_eq!(mistakes(bert, [64, 4]), "");
    for heads in [1, 4] {
        let told = mistakes(bert, [0, heads]);
        assert!(
            told.contains("student.hidden: must be 1 to 65536, not 0"),
            "{told}"
        );
        assert!(
            !told.contains("relation_heads") && !told.contains("[]"),
            "{told}"
        );
    }
}

#[test]
fn an_odd_width_cannot_be_turned_in_pairs() {
    let modernbert = include_str!("../../../tests/golden/tiny-modernbert/config.json");
    let told = mistakes(modernbert, [9, 3]);
    let message = "student.heads: 3 attention heads of 3 dimensions each: rotary positions turn them in pairs, so the number must be \
                   even; make student.hidden, 9, even";
    assert!(told.contains(message), "{told}");
    let told = mistakes(modernbert, [12, 4]);
    assert!(told.contains("even; these do: [1, 2, 3, 6]"), "{told}");
}
