//! Which number of a recipe is named when a run does not fit into memory.

use limbeck_recipe::{
    Config, Estimate, Init, KernelChoice, Plan, Recipe, StudentRecipe, StudentSize, beyond_buffer,
    beyond_memory, file_size, memory, parameter_count, widest_row,
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
    assert_eq!(mistake.field, "student.init", "{}", mistake.message);
    let weights = memory(copy);
    let why = format!(
        "The weights of the model that the student starts from alone take {weights}, and no number of the recipe changes that. \
         Start from a smaller one, or use a machine with more memory"
    );
    assert!(mistake.message.ends_with(&why), "{}", mistake.message);
    // Where they would fit, what can be lowered is.
    recipe.batch = 65_536;
    let plan = Plan::with_start(&recipe, &teacher, Some(&start)).expect("a plan");
    let free = Estimate::of(&plan).peak - 1.0;
    let mistake = beyond_memory(&plan, free).expect("too large");
    assert_eq!(mistake.field, "batch", "{}", mistake.message);
}

#[test]
fn a_teacher_that_is_too_large_itself_is_named() {
    let plan = plan(student(|_| ()));
    let weights = 4.0 * parameter_count(&plan.teacher) as f64;
    let mistake = beyond_memory(&plan, weights).expect("too large");
    assert_eq!(mistake.field, "teacher");
    let why = format!(
        "The weights of the teacher alone take {}, and no number of the recipe changes that. Take a smaller one, or use a \
         machine with more memory",
        memory(weights)
    );
    assert!(mistake.message.ends_with(&why), "{}", mistake.message);
}

#[test]
fn a_tensor_that_no_buffer_holds_is_refused_with_the_number_to_lower() {
    let recipe = Recipe {
        batch: 65_536,
        max_length: 512,
        ..student(|_| ())
    };
    let plan = plan(recipe);
    let widest = widest_row(&plan.teacher, plan.kernels, false);
    assert_eq!(widest, plan.teacher.intermediate_size);
    let bytes = 4.0 * (65_536 * 512 * widest) as f64;
    assert_eq!(beyond_buffer(&plan, bytes), None);
    let mistake = beyond_buffer(&plan, 1e9).expect("too large");
    let figures = format!(
        "the values of one batch in a layer of the teacher take {}, and a buffer of this GPU holds 1.0 GB. Lower batch (now 65536)",
        memory(bytes)
    );
    assert_eq!(mistake.field, "batch");
    assert!(mistake.message.starts_with(&figures), "{}", mistake.message);
    // Its table of embeddings is as large as it is.
    let mistake = beyond_buffer(&plan, 1e3).expect("too large");
    assert_eq!(mistake.field, "teacher", "{}", mistake.message);
    // Without our kernels the relations are tensors, too.
    let naive = Recipe {
        kernel: KernelChoice::Naive,
        batch: 1,
        max_length: 512,
        ..student(|_| ())
    };
    let naive = self::plan(naive);
    let mistake = beyond_buffer(&naive, 1e6);
    assert!(mistake.is_some_and(|m| m.message.starts_with("the relations of one batch")));
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

#[test]
fn the_size_of_a_small_file_is_in_kilobytes() {
    for (bytes, size) in [
        (0, "0.0 kB"),
        (412, "0.4 kB"),
        (57_272, "57 kB"),
        (999_999, "1000 kB"),
        (1_000_000, "1.0 MB"),
        (90_868_376, "90.9 MB"),
        (1_240_000_000, "1240.0 MB"),
    ] {
        assert_eq!(file_size(bytes), size);
    }
}
