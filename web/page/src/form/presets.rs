//! Recipes to begin with, for the bundled teacher (4 layers of 128, 4 attention heads) and the bundled texts.

use std::collections::BTreeMap;

use limbeck_recipe::{Objective, OutputRecipe, Recipe, StudentRecipe};

/// The preset of a page that knows nothing of its device yet.
pub const FIRST: &str = "first-look";

/// The preset for a CPU in a browser.
const SMALLEST: &str = "tiny";

/// A recipe to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name in a link; it never changes.
    pub key: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// What it is good for, in one sentence.
    pub sentence: &'static str,
    /// The recipe.
    pub recipe: fn() -> Recipe,
}

/// All presets, the first choice first.
pub fn presets() -> [Preset; 5] {
    [
        Preset {
            key: FIRST,
            name: "First look",
            sentence: "300 short steps: on a GPU the loss falls within a minute or two.",
            recipe: first_look,
        },
        Preset {
            key: SMALLEST,
            name: "Tiny, for a CPU",
            sentence: "A student of 2 x 64, 120 steps of small batches: for a browser without a GPU.",
            recipe: tiny,
        },
        Preset {
            key: "demo",
            name: "The command line's demo",
            sentence: "The recipe of `cargo xtask demo`: 1,200 steps, the best student of these presets.",
            recipe: demo,
        },
        Preset {
            key: "values-only",
            name: "One relation only",
            sentence: "V-V alone: see which relations improve when only values are trained.",
            recipe: values_only,
        },
        Preset {
            key: "minilm-v1",
            name: "MiniLM v1",
            sentence: "The 2020 paper: attention and V-V relations of the last layer, one attention head at a time.",
            recipe: minilm_v1,
        },
    ]
}

/// The preset of a key.
pub fn preset(key: &str) -> Option<Preset> {
    presets().into_iter().find(|preset| preset.key == key)
}

/// The preset that fits a device, if nobody has chosen one.
pub fn first_choice(on_gpu: bool) -> &'static str {
    if on_gpu { FIRST } else { SMALLEST }
}

/// What all presets share: relations alone, as in the papers, and a checkpoint every tenth of the steps, which is what a reload
/// can cost.
fn bundled(layers: usize, hidden: usize, heads: usize, steps: u64) -> Recipe {
    Recipe {
        teacher: "assets/teacher".into(),
        corpus: vec!["assets/wiki.txt".into(), "assets/glosses.txt".into()],
        student: StudentRecipe {
            layers,
            hidden,
            heads,
            ..StudentRecipe::default()
        },
        steps,
        checkpoint_every: steps / 10,
        learning_rate: 2e-3,
        seed: 1,
        output: OutputRecipe::none(),
        ..Recipe::default()
    }
}

fn first_look() -> Recipe {
    Recipe {
        relation_heads: Some(16),
        batch: 16,
        max_length: 48,
        ..bundled(2, 64, 4, 300)
    }
}

/// Width, steps and learning rate as measured: docs/benchmarks.md has the table.
fn tiny() -> Recipe {
    Recipe {
        relation_heads: Some(8),
        batch: 8,
        max_length: 32,
        learning_rate: 4e-3,
        ..bundled(2, 64, 4, 120)
    }
}

fn demo() -> Recipe {
    Recipe {
        relation_heads: Some(16),
        batch: 32,
        max_length: 64,
        ..bundled(2, 64, 4, 1200)
    }
}

fn values_only() -> Recipe {
    Recipe {
        pairs: Some(BTreeMap::from([("vv".into(), 1.0)])),
        ..first_look()
    }
}

fn minilm_v1() -> Recipe {
    Recipe {
        objective: Objective::MinilmV1,
        relation_heads: None,
        ..first_look()
    }
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::{Config, DeviceChoice, Plan};

    use super::*;

    /// Lines of the bundled texts, assets/README.md.
    const LINES: f64 = 9694.0;

    #[test]
    fn every_preset_is_a_plan_with_the_bundled_teacher() {
        let json = include_bytes!("../../../../assets/teacher/config.json");
        let teacher = Config::parse("config.json", json).expect("the bundled config");
        for preset in presets() {
            let recipe = (preset.recipe)();
            let plan = Plan::new(&recipe, &teacher).expect(preset.key);
            assert!(LINES * recipe.heldout > 20.0, "{}", preset.key);
            assert_eq!(plan.recipe.checkpoint_every, recipe.steps / 10);
            assert_eq!(recipe.device, DeviceChoice::Auto);
            assert_eq!(recipe.out, "student");
        }
    }

    #[test]
    fn the_demo_has_the_numbers_of_the_command_line() {
        let text = include_str!("../../../../assets/demo.toml");
        let recipe: Recipe = toml::from_str(text).expect("the demo's recipe");
        let ours = demo();
        let from_the_root = |path: &String| format!("assets/{path}");
        let same = Recipe {
            teacher: from_the_root(&recipe.teacher),
            corpus: recipe.corpus.iter().map(from_the_root).collect(),
            out: ours.out.clone(),
            device: ours.device,
            checkpoint_every: ours.checkpoint_every,
            ..recipe
        };
        assert_eq!(ours, same);
    }

    #[test]
    fn first_choices_are_presets() {
        for on_gpu in [true, false] {
            assert!(preset(first_choice(on_gpu)).is_some());
        }
        assert_eq!(first_choice(true), presets()[0].key);
    }
}
