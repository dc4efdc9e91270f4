//! Weights of the parts of a corpus: which part is next, and which weights are none.

use limbeck_recipe::batching::next_part;
use limbeck_recipe::{Config, Plan, Recipe};

/// Lines of each part after every line that is given.
fn given(weights: &[f64], count: usize) -> Vec<Vec<u64>> {
    let mut lines = vec![0; weights.len()];
    let mut next = || {
        let part = next_part(weights, lines.iter().copied()).expect("a weight");
        lines[part] += 1;
        lines.clone()
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn after_any_number_of_lines_each_part_is_near_its_share() {
    for weights in [
        vec![1.0],
        vec![2.0, 1.0],
        vec![0.5, 0.25],
        vec![1.0, 0.0, 3.0],
        vec![100.0, 1.0, 7.5, 0.3],
    ] {
        let sum: f64 = weights.iter().sum();
        for (count, lines) in given(&weights, 3000).iter().enumerate() {
            for (weight, lines) in weights.iter().zip(lines) {
                let share = weight / sum * (count + 1) as f64;
                assert!(
                    (*lines as f64 - share).abs() < 2.0,
                    "{weights:?}: {lines} of {}, and not {share}",
                    count + 1
                );
            }
        }
    }
    assert_eq!(given(&[2.0, 1.0], 500), given(&[0.5, 0.25], 500));
    assert_eq!(
        next_part(&[1.0, 1.0], [4, 4]),
        Some(0),
        "the first of equals"
    );
    assert_eq!(next_part(&[0.0, 0.0], [1, 2]), None);
    assert_eq!(next_part(&[], []), None);
}

#[test]
fn weights_that_are_none_are_refused() {
    let json = include_bytes!("../../../assets/teacher/config.json");
    let teacher = Config::parse("config.json", json).expect("the bundled config");
    let refused = |weights: &[f64]| {
        let mut recipe = Recipe {
            corpus: vec!["en.txt".to_owned(), "de.txt".to_owned()],
            corpus_weights: Some(weights.to_vec()),
            ..Recipe::default()
        };
        recipe.student.hidden = 64;
        recipe.student.heads = 4;
        let plan = Plan::new(&recipe, &teacher);
        plan.err().map(|mistakes| mistakes.to_string())
    };
    assert_eq!(refused(&[2.0, 1.0]), None);
    assert_eq!(refused(&[0.0, 1e-300]), None);
    for (weights, message) in [
        (
            &[1.0][..],
            "1 weight for 2 paths of corpus; give each path or glob one",
        ),
        (&[], "0 weights for 2 paths of corpus"),
        (&[1.0, 2.0, 3.0], "3 weights for 2 paths of corpus"),
        (&[1.0, -0.5], "must be 0 or more, and finite, not -0.5"),
        (&[f64::NAN, 1.0], "must be 0 or more, and finite, not NaN"),
        (
            &[1.0, f64::INFINITY],
            "must be 0 or more, and finite, not inf",
        ),
        (
            &[0.0, 0.0],
            "no weight is above 0, so that no line would be trained on",
        ),
    ] {
        let told = refused(weights).expect("a mistake");
        assert_eq!(told.matches("corpus_weights").count(), 1, "{told}");
        assert!(
            told.contains(&format!("corpus_weights: {message}")),
            "{told}"
        );
    }
}
