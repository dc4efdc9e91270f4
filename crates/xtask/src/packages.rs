//! The crates that are published, packed as crates.io would get them, and looked into: what a crate takes in with `include_str!` must
//! be among its files.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::places::Places;
use crate::shell::{self, Error, Result};

/// Macros that take in a file by its path from the source that names it.
const MACROS: [&str; 3] = ["include_str!(", "include_bytes!(", "include!("];
const LICENSE: &str = "LICENSE";

/// Packs every crate that is published, fails if a package lacks a file, and has cargo publish all of them but for the upload.
///
/// Cargo would compile each package again, burn with it: 18 minutes for what the gate's build shows of the same sources. What
/// that cannot show, a file from outside the crate's folder, is looked for here.
pub fn check(places: &Places) -> Result<()> {
    let crates = published(places)?;
    let licence = shell::read(&places.root.join(LICENSE))?;
    pack(places, &crates, &places.target)?;
    for (name, version) in &crates {
        let file = format!("package/{name}-{version}.crate");
        let files = unpacked(&places.target.join(file))?;
        if let Some(lost) = lost(&files).first() {
            return Err(Error::Wrong(format!(
                "the package of {name} has no {lost}, which its sources include: a crate can only bring files of its own folder"
            )));
        }
        let has_licence =
            |(path, text): &(PathBuf, String)| path == Path::new(LICENSE) && *text == licence;
        if !files.iter().any(has_licence) {
            return Err(Error::Wrong(format!(
                "the package of {name} has no copy of the repository's {LICENSE}: put one into the crate's folder"
            )));
        }
    }
    rehearse(places)?;
    eprintln!("{} crates can be published.", crates.len());
    Ok(())
}

/// Publishes all crates in their order, without the upload: cargo asks the registry for what they need of others.
fn rehearse(places: &Places) -> Result<()> {
    let mut cargo = places.cargo(&["publish", "--workspace", "--dry-run", "--quiet"]);
    let outcome = shell::run(cargo.args(["--no-verify", "--allow-dirty"]));
    let ask = ["info", "--quiet", "--registry", "crates-io", "serde"];
    if outcome.is_err() && shell::ask("cargo", &ask).is_none() {
        eprintln!("No registry can be reached, so `cargo publish --dry-run` has shown nothing.");
        return Ok(());
    }
    outcome
}

/// Packs these crates into `package` under a build folder, as crates.io would get them.
fn pack(places: &Places, crates: &[(String, String)], target: &Path) -> Result<()> {
    // What crates of others it names has been downloaded for the lints. No address of the repository is known yet, and a warning
    // about it in each package says nothing new.
    let mut cargo = places.cargo(&["package", "--quiet", "--offline", "--no-metadata"]);
    cargo
        .args(["--no-verify", "--allow-dirty", "--target-dir"])
        .arg(target);
    for (name, _) in crates {
        cargo.args(["--package", name]);
    }
    shell::run(&mut cargo)
}

/// Names and versions of the crates without `publish = false`.
fn published(places: &Places) -> Result<Vec<(String, String)>> {
    let mut cargo = places.cargo(&["metadata", "--format-version=1", "--no-deps"]);
    let text = shell::output(&mut cargo)?;
    let metadata: Value = serde_json::from_str(&text)
        .map_err(|e| Error::Wrong(format!("`cargo metadata` gives no JSON: {e}")))?;
    let packages = metadata["packages"].as_array();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // A list of registries: none is nowhere.
    let published = packages
        .into_iter()
        .flatten()
        .filter(|package| package["publish"].is_null());
    let published: Vec<_> = published
        .map(|package| (text(&package["name"]), text(&package["version"])))
        .collect();
    match published.is_empty() {
        true => Err(Error::Wrong(
            "`cargo metadata` names no crate to publish".to_owned(),
        )),
        false => Ok(published),
    }
}

/// The files of a package, without its outermost folder: each with its text, where it has one.
fn unpacked(package: &Path) -> Result<Vec<(PathBuf, String)>> {
    let bytes = shell::read_bytes(package)?;
    let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
    let mut read = || -> std::io::Result<Vec<(PathBuf, String)>> {
        let mut files = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.components().skip(1).collect();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
        Ok(files)
    };
    read().map_err(shell::file_error(package))
}

/// What sources take in that is not among the files. Tests may look elsewhere: nobody runs those of a package.
fn lost(files: &[(PathBuf, String)]) -> Vec<String> {
    let there: BTreeSet<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    let mut lost = Vec::new();
    let sources = files.iter().filter(|(path, _)| {
        path.extension().is_some_and(|end| end == "rs") && !path.starts_with("tests")
    });
    for (path, text) in sources {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let rests = MACROS.iter().flat_map(|start| code.split(start).skip(1));
        for name in rests.filter_map(included) {
            let file = joined(path.parent().unwrap_or(Path::new("")), &name);
            if !file.is_some_and(|file| there.iter().any(|path| fits(path, &file))) {
                lost.push(name);
            }
        }
    }
    lost
}

/// The path in the brackets of such a macro, with a `*` for each part that is no literal; none if all of it is none, or it is of what
/// a build script made.
fn included(rest: &str) -> Option<String> {
    let literal = |text: &str| Some(text.strip_prefix('"')?.split('"').next()?.to_owned());
    let rest = rest.trim_start();
    let Some(parts) = rest.strip_prefix("concat!(") else {
        return literal(rest);
    };
    let parts = parts.split(')').next().unwrap_or_default();
    let parts = parts.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    let made = |part: &str| part.starts_with("env!(");
    let parts = parts.map(|part| (!made(part)).then(|| literal(part).unwrap_or("*".to_owned())));
    parts.collect()
}

/// Whether a file has a path with a `*` for each part that may be any.
fn fits(path: &Path, file: &Path) -> bool {
    let (path, file) = (path.to_string_lossy(), file.to_string_lossy());
    match (file.split_once('*'), file.rsplit_once('*')) {
        (Some((start, _)), Some((_, end))) => path
            .strip_prefix(start)
            .is_some_and(|rest| rest.ends_with(end)),
        _ => path == file,
    }
}

/// Where a path leads from a folder; none if out of the package.
fn joined(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut joined = folder.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir if !joined.pop() => return None,
            Component::Normal(name) => joined.push(name),
            _ => {}
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{lost, pack, published, unpacked};
    use crate::places::Places;
    use crate::shell;

    fn files(named: &[(&str, &str)]) -> Vec<(PathBuf, String)> {
        let file = |(path, text): &(&str, &str)| (PathBuf::from(path), (*text).to_owned());
        named.iter().map(file).collect()
    }

    #[test]
    fn what_a_source_includes_must_be_in_the_package() {
        let source = "const A: &str = concat!(include_str!(\"../a.wgsl\"), include_str!(\"b.wgsl\"));\n\
                      #[cfg(test)]\nmod tests { const C: &str = include_str!(\"../../c\"); }\n";
        let whole = [("src/lib.rs", source), ("a.wgsl", ""), ("src/b.wgsl", "")];
        assert_eq!(lost(&files(&whole)), [""; 0]);
        assert_eq!(lost(&files(&whole[..2])), ["b.wgsl"]);
        let outside = [
            ("src/lib.rs", "include_bytes!(\"../../a.wgsl\")"),
            ("a.wgsl", ""),
        ];
        assert_eq!(lost(&files(&outside)), ["../../a.wgsl"]);
        let named = [
            (
                "src/a.rs",
                "include_str!(concat!(\n    \"../recipes/\",\n    $name,\n    \".toml\",\n)) include!(concat!(env!(\"OUT_DIR\"), \"/page.rs\"))",
            ),
            ("recipes/one.toml", ""),
        ];
        assert_eq!(lost(&files(&named)), [""; 0]);
        assert_eq!(lost(&files(&named[..1])), ["../recipes/*.toml"]);
        let next_line = [("src/lib.rs", "include_str!(\n    \"b.wgsl\"\n)")];
        assert_eq!(lost(&files(&next_line)), ["b.wgsl"]);
        let test = [("tests/it.rs", "include_str!(\"../../golden\")")];
        assert_eq!(lost(&files(&test)), [""; 0]);
    }

    #[test]
    fn libraries_and_the_program_are_published_and_nothing_else() {
        let places = Places::find().expect("places");
        let crates = published(&places).expect("crates");
        let names: Vec<&str> = crates.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["limbeck-cli", "limbeck-model", "limbeck-shaders"] {
            assert!(names.contains(&name), "{name} is missing: {names:?}");
        }
        for name in [
            "limbeck-oracle",
            "limbeck-page",
            "limbeck-worker",
            "xtask",
            "it",
            "it-page",
        ] {
            assert!(!names.contains(&name), "{name} is not for others");
        }
    }

    /// The package of the shaders, packed by cargo, holds all of them.
    #[test]
    fn every_shader_is_in_its_package() {
        let places = Places::find().expect("places");
        let folder = std::env::temp_dir().join(format!("limbeck-packages-{}", std::process::id()));
        let mut crates = published(&places).expect("crates");
        crates.retain(|(name, _)| name == "limbeck-shaders");
        pack(&places, &crates, &folder).expect("a package");
        let package = format!("package/limbeck-shaders-{}.crate", crates[0].1);
        let package = folder.join(package);
        let packed = unpacked(&package).expect("files");
        assert_eq!(lost(&packed), [""; 0]);
        let shaders = shell::list(&places.root.join("shaders")).expect("shaders");
        let shaders = shaders
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "wgsl"));
        let mut count = 0;
        for shader in shaders {
            let name = Path::new(shader.file_name().expect("a name"));
            assert!(
                packed.iter().any(|(path, _)| path == name),
                "{}",
                name.display()
            );
            count += 1;
        }
        assert!(count > 20, "{count} shaders");
        // Without one it is noticed.
        let less: Vec<_> = packed
            .into_iter()
            .filter(|(path, _)| path != Path::new("sum_rows.wgsl"))
            .collect();
        assert_eq!(lost(&less), ["sum_rows.wgsl"]);
        shell::remove_folder(&folder).expect("room");
    }
}
