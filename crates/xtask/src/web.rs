//! The page as a web server takes it, and as the `limbeck` binary holds it: compiled and gathered, its wasm optimised,
//! with the bundled data, files named by their contents, compressed and weighed.

mod budget;
mod compress;
mod data;
mod names;
mod offline;
mod optimize;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use names::is_hashed;

use sha2::{Digest, Sha256};

use crate::places::Places;
use crate::shell::{self, Result};
use crate::wasm::{Compiler, PROFILE, TARGET};

/// What the page is built with.
pub struct PageTools {
    /// Compiles for wasm32.
    pub compiler: Compiler,
    /// `wasm-bindgen`, of exactly the version in `Cargo.lock`.
    pub bindgen: PathBuf,
    /// `node`, which runs `wasm-opt`.
    pub node: PathBuf,
    /// `wasm-opt` as JavaScript.
    pub wasm_opt: PathBuf,
}

/// Builds the page into [`Places::dist`] and fails if it is larger than its budget.
pub fn build(places: &Places, tools: &PageTools) -> Result<()> {
    let stage = places.target.join("page");
    shell::remove_folder(&stage)?;
    create_folder(&stage)?;
    for module in MODULES {
        compile(places, tools, &module, &stage)?;
    }
    gather(places, &stage)?;
    let cache = Cache::of(places)?;
    for (module, passes) in [
        ("page_bg.wasm", optimize::SMALLEST),
        ("worker_bg.wasm", optimize::QUICK),
    ] {
        optimize::module(places, tools, &cache, &stage.join(module), passes)?;
    }
    names::by_contents(&stage)?;
    data::bundle(places, &stage)?;
    offline::fill(&stage)?;
    let sizes = compress::all(&cache, &stage)?;
    cache.forget_unused()?;
    mirror(&stage, &places.dist())?;
    eprintln!("{}", budget::table(&sizes));
    budget::check(&sizes)
}

/// A program of the page: (package, binary, profile of Cargo.toml). One by one, because the page's features of web-sys
/// would rebuild the worker's burn, which is that of the browser tests.
const MODULES: [[&str; 3]; 2] = [
    ["limbeck-page", "page", "page"],
    ["limbeck-worker", "worker", PROFILE],
];

/// Compiles a module and writes it into `stage`, as `NAME_bg.wasm` and `NAME.js`.
fn compile(
    places: &Places,
    tools: &PageTools,
    [package, name, profile]: &[&str; 3],
    stage: &Path,
) -> Result<()> {
    let mut cargo = places.cargo(&["build", "--package", package, "--bin", name]);
    cargo.args(["--profile", profile, "--target", TARGET]);
    tools.compiler.prepare(places, &mut cargo);
    shell::run(&mut cargo)?;
    let built = places.web_target().join(TARGET).join(profile);
    let mut bindgen = places.program(&tools.bindgen);
    bindgen
        .args(["--target", "web", "--no-typescript", "--out-name", name])
        .arg("--out-dir")
        .arg(stage)
        .arg(built.join(format!("{name}.wasm")));
    shell::run(&mut bindgen)
}

/// Copies what needs no compiler.
fn gather(places: &Places, stage: &Path) -> Result<()> {
    let page = places.root.join("web/page");
    let mut files = shell::list(&page.join("static"))?;
    files.extend(shell::list(&page.join("style"))?);
    files.push(places.root.join("index.html"));
    for file in files {
        let to = stage.join(file.file_name().unwrap_or_default());
        std::fs::copy(&file, &to).map_err(shell::file_error(&file))?;
    }
    Ok(())
}

/// Makes `to` equal to `from` and leaves alone what is equal already: the `limbeck` binary is built again when a file
/// of the page changes.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    let wanted: BTreeSet<String> = shell::tree(from)?.into_iter().collect();
    create_folder(to)?;
    for path in shell::tree(to)? {
        if !wanted.contains(&path) {
            let stale = to.join(&path);
            std::fs::remove_file(&stale).map_err(shell::file_error(&stale))?;
        }
    }
    for path in &wanted {
        let bytes = shell::read_bytes(&from.join(path))?;
        let place = to.join(path);
        if std::fs::read(&place).is_ok_and(|had| had == bytes) {
            continue;
        }
        if let Some(folder) = place.parent() {
            create_folder(folder)?;
        }
        shell::write(&place, &bytes)?;
    }
    Ok(())
}

/// What an earlier build worked out, under a name made of what it was worked out from.
struct Cache {
    folder: PathBuf,
    used: std::sync::Mutex<BTreeSet<String>>,
}

impl Cache {
    fn of(places: &Places) -> Result<Self> {
        let folder = places.target.join("page-cache");
        create_folder(&folder)?;
        Ok(Self {
            folder,
            used: std::sync::Mutex::default(),
        })
    }

    /// The file of this name, made by `make` if it is not there. `make` gets a place to write to.
    fn file(&self, name: String, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let place = self.folder.join(&name);
        if !place.is_file() {
            // Renamed when it is whole, so that an interrupted build leaves nothing that looks finished.
            let part = self.folder.join(format!("{name}.part"));
            make(&part)?;
            std::fs::rename(&part, &place).map_err(shell::file_error(&place))?;
        }
        if let Ok(mut used) = self.used.lock() {
            used.insert(name);
        }
        Ok(place)
    }

    /// Removes what this build had no use for.
    fn forget_unused(&self) -> Result<()> {
        let Ok(used) = self.used.lock() else {
            return Ok(());
        };
        for name in shell::tree(&self.folder)? {
            if !used.contains(&name) {
                let stale = self.folder.join(name);
                std::fs::remove_file(&stale).map_err(shell::file_error(&stale))?;
            }
        }
        Ok(())
    }
}

/// Sixteen hexadecimal digits that tell contents apart: the first ones of their SHA-256.
pub fn fingerprint(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(shell::file_error(folder))
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn a_fingerprint_begins_as_sha256sum() {
        assert_eq!(fingerprint(b""), "e3b0c44298fc1c14");
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea");
    }
}
