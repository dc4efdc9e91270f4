//! The paths of a recipe in what a run leaves: relative to its folder, and nothing of the machine.

#[path = "../src/paths.rs"]
mod paths;

use std::path::Path;

use limbeck_recipe::{Init, Recipe, StudentRecipe};
use paths::{Away, Looked, People, join, join_glob, on_hub, relative_to, seen_from};

fn people(home: &str, name: &str) -> People {
    People {
        home: Some(home.into()),
        names: vec![name.to_owned()],
    }
}

#[test]
#[cfg(unix)]
fn a_path_tells_no_name_and_no_top_of_the_disk() {
    let anna = people("/nowhere/home/anna", "anna");
    for (path, out, expected) in [
        (
            "/nowhere/home/anna/m/t",
            "/nowhere/home/anna/s/one",
            "../../m/t",
        ),
        ("/nowhere/home/anna/t", "/nowhere/home/anna", "t"),
        (
            "/nowhere/home/anna/texts/*.txt",
            "/nowhere/home/anna/s",
            "../texts/*.txt",
        ),
        (
            "/nowhere/home/anna/t",
            "/nowhere/home/shared/s",
            "elsewhere/t",
        ),
        ("/nowhere/home/ben/t", "/nowhere/home/anna/s", "elsewhere/t"),
        (
            "/nowhere/data/anna/*.txt",
            "/nowhere/data/s",
            "elsewhere/*.txt",
        ),
        ("/models/t/", "/data/s", "elsewhere/t"),
    ] {
        assert_eq!(
            anna.seen_from(path, Path::new(out)),
            expected,
            "{path} from {out}"
        );
    }
    let root = people("/nowhere/root", "root");
    let data = root.seen_from("/nowhere/data/t", Path::new("/nowhere/data/s"));
    assert_eq!(data, "../t");
}

#[test]
fn a_path_in_a_file_is_relative_to_the_folder_of_the_file() {
    for (base, path, expected) in [
        ("", "teacher", "teacher"),
        ("runs", "teacher", "runs/teacher"),
        ("runs/one", "../../teacher", "teacher"),
        ("..", "../t", "../../t"),
        (".", "t", "t"),
        ("runs", "..", "."),
        ("runs", "", ""),
    ] {
        assert_eq!(Path::new(&join(Path::new(base), path)), Path::new(expected));
    }
    assert_eq!(join_glob(Path::new("a[1]"), "*.txt"), "a[[]1[]]/*.txt");
    assert_eq!(join_glob(Path::new("a[1]"), "b.txt"), "a[1]/b.txt");
}

/// What cannot be named is kept apart, and the rest is found from wherever the program is started.
#[test]
fn a_run_finds_what_its_recipe_does_not_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let out = folder.path().join("student");
    std::fs::create_dir(&out).expect("a folder");
    let recipe = Recipe {
        teacher: path("teacher"),
        student: StudentRecipe {
            init: Init::Folder("/limbeck-is-not-here/start".to_owned()),
            ..StudentRecipe::default()
        },
        corpus: vec![path("texts/*.txt"), "/limbeck-is-not-here/a.txt".to_owned()],
        ..Recipe::default()
    };
    let mut seen = seen_from(&recipe, &out);
    assert_eq!(
        (seen.teacher.as_str(), seen.out.as_str()),
        ("../teacher", ".")
    );
    assert_eq!(seen.corpus, ["../texts/*.txt", "elsewhere/a.txt"]);
    assert_eq!(
        seen.student.init,
        Init::Folder("elsewhere/start".to_owned())
    );
    let away = toml::to_string(&Away::of(&recipe, &out)).expect("TOML");
    assert!(!away.contains("teacher"), "the recipe names it: {away}");
    relative_to(&mut seen, &out);
    let away: Away = toml::from_str(&away).expect("what was written");
    away.put_into(&mut seen);
    assert_eq!((seen.teacher, seen.corpus), (recipe.teacher, recipe.corpus));
    assert_eq!(seen.student.init, recipe.student.init);
}

#[test]
fn an_id_of_the_hub_stays_what_it_is_unless_a_folder_has_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path();
    std::fs::create_dir_all(base.join("org/folder")).expect("a folder");
    let mut looked = Looked::default();
    let mut join_model = |base, named| looked.join_model(base, named);
    assert_eq!(join_model(base, "org/model"), "org/model");
    assert_eq!(join_model(base, "org/model@v1"), "org/model@v1");
    for path in [
        "org/folder",
        "teacher",
        "a/b/c",
        "./org/model",
        "elsewhere/x",
    ] {
        assert!(on_hub(path, base).is_none(), "{path}");
        assert_eq!(join_model(base, path), join(base, path));
    }
    // The tests start where `src/main.rs` is: for a file elsewhere that names no folder beside it.
    assert_eq!(join_model(base, "src/main.rs"), "src/main.rs@main");

    let pinned = format!("org/model@{}", "0".repeat(40));
    let recipe = Recipe {
        teacher: pinned.clone(),
        student: StudentRecipe {
            init: Init::Folder(pinned.clone()),
            ..StudentRecipe::default()
        },
        ..Recipe::default()
    };
    let mut seen = seen_from(&recipe, base);
    assert_eq!(seen.teacher, pinned);
    assert_eq!(Away::of(&recipe, base), Away::default());
    let looked = relative_to(&mut seen, base);
    // Where a folder of that name would be, for whoever meant one.
    assert_eq!(looked.place(&pinned), join(base, &pinned));
    assert_eq!(looked.place("org/other"), "org/other");
    assert_eq!(
        (seen.teacher, seen.student.init),
        (pinned.clone(), Init::Folder(pinned))
    );
}
