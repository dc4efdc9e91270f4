//! Which file uses which, read from the sources: no circle of more than two files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files of this page by their module path: `maps::stage` is `maps/stage.rs`.
fn files(folder: &Path, module: &[String], found: &mut BTreeMap<Vec<String>, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        let mut inner = module.to_vec();
        inner.extend(stem.map(|stem| stem.into_owned()));
        if path.is_dir() {
            files(&path, &inner, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.insert(inner, path);
        }
    }
}

/// The text without comments, and without its tests.
fn code(text: &str) -> String {
    let code = text
        .lines()
        .take_while(|line| !line.ends_with("mod tests {"));
    let code = code.filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// All paths of a tree such as `maps::{choice::Choice, view::{View, view}}`.
fn paths(tree: &str, before: &[String], all: &mut Vec<Vec<String>>) {
    let (head, inner) = match tree.split_once('{') {
        Some((head, inner)) => (head, inner.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let names = head.split("::").map(|name| name.split(" as ").next());
    let names = names.flatten().map(str::trim);
    let mut path = before.to_vec();
    path.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
    let Some(inner) = inner else {
        all.push(path);
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                paths(&inner[start..at], &path, all);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        paths(&inner[start..], &path, all);
    }
}

/// The paths that a file names: in `use` items that begin with `crate`, `super` or `self`, and after `crate::` anywhere.
fn named(code: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for item in code.split("use ").skip(1) {
        let tree = item.split(';').next().unwrap_or_default();
        if ["crate::", "super::", "self::"]
            .iter()
            .any(|start| tree.starts_with(start))
        {
            paths(tree, &[], &mut all);
        }
    }
    for rest in code.split("crate::").skip(1) {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        paths(
            &rest[..end.unwrap_or(rest.len())],
            &["crate".to_owned()],
            &mut all,
        );
    }
    all
}

/// A path from the root of the page; the file that it leads to is that of its longest beginning.
fn target(
    from: &[String],
    path: &[String],
    files: &BTreeMap<Vec<String>, PathBuf>,
) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    let mut full = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "super" => from[..from.len().checked_sub(supers)?].to_vec(),
        _ => from.to_vec(),
    };
    full.extend_from_slice(&path[supers.max(1)..]);
    while !files.contains_key(&full) {
        full.pop()?;
    }
    Some(full)
}

#[test]
fn no_circle_has_more_than_two_files() {
    let mut all = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&root, &[], &mut all);
    let mut arrows: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (file, path) in &all {
        let text = std::fs::read_to_string(path).expect("a source");
        let named = named(&code(&text));
        let targets = named.iter().filter_map(|path| target(file, path, &all));
        arrows.insert(file, targets.filter(|target| target != file).collect());
    }
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    println!("{} files, {count} arrows", all.len());
    assert!(all.len() > 50 && count > 150, "the sources are not read");
    // What each file reaches; files that reach each other are a circle.
    let reach = |from: &Vec<String>| {
        let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
        let mut next = vec![from.clone()];
        while let Some(file) = next.pop() {
            let new = arrows[&file].iter().filter(|file| !seen.contains(*file));
            next.extend(new.cloned().collect::<Vec<_>>());
            seen.extend(arrows[&file].iter().cloned());
        }
        seen
    };
    let reached: BTreeMap<_, _> = all.keys().map(|file| (file, reach(file))).collect();
    for (file, there) in &reached {
        let circle: Vec<String> = there
            .iter()
            .filter(|other| reached[other].contains(*file))
            .map(|other| other.join("/"))
            .collect();
        if circle.len() > 1 {
            println!("{}", circle.join(" <-> "));
        }
        assert!(circle.len() <= 2, "a circle: {}", circle.join(", "));
    }
}

#[test]
fn paths_of_a_tree_are_all_found() {
    let text = "use super::{blobs, check::{self, size as s}};\nuse leptos::ev;\nfn f() { crate::engine::send(1) }";
    let found: Vec<String> = named(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "super::blobs",
            "super::check::self",
            "super::check::size",
            "crate::engine::send"
        ]
    );
}
