//! wasm-opt: the same module, smaller.

use std::path::Path;

use super::{Cache, PageTools, fingerprint};
use crate::places::Places;
use crate::shell::{self, Error, Result};

/// What a module may use. All of it is in every browser with SIMD. wasm-opt's `--all-features` would write imports in
/// an encoding that Chrome refuses.
const FEATURES: [&str; 9] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-call-indirect-overlong",
];

/// What leaves the module out that only people read.
const STRIP: [&str; 2] = ["--strip-debug", "--strip-producers"];

/// For a module of a megabyte or two: everything that makes it smaller.
pub const SMALLEST: &[&str] = &[
    "-Oz",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--code-folding",
    "--simplify-locals",
    "--coalesce-locals-learning",
    "--reorder-locals",
    "--merge-similar-functions",
    "-Oz",
    "--converge",
];

/// For the worker, which is burn: of 28 MB with names they leave 15.8 in 40 s. `-Os` takes five times as long and `-Oz` longer
/// still for a few hundredths more, because most of what is too much are functions that are equal or differ in a constant only.
pub const QUICK: &[&str] = &[
    "--duplicate-function-elimination",
    "--remove-unused-module-elements",
    "--vacuum",
    "--remove-unused-brs",
    "--simplify-locals",
    "--coalesce-locals",
    "--reorder-locals",
    "--optimize-instructions",
    "--merge-blocks",
    "--code-folding",
    "--vacuum",
    "--duplicate-function-elimination",
    "--merge-similar-functions",
];

/// Replaces the module by a smaller one. An unchanged module is optimised once.
pub fn module(
    places: &Places,
    tools: &PageTools,
    cache: &Cache,
    path: &Path,
    passes: &[&str],
) -> Result<()> {
    let before = shell::read_bytes(path)?;
    let how = [&FEATURES[..], passes, &STRIP[..]].concat().join(" ");
    let name = format!(
        "{}-{}.wasm",
        fingerprint(&before),
        fingerprint(how.as_bytes())
    );
    let smaller = cache.file(name, |part| {
        let mut optimizer = places.program(&tools.node);
        optimizer
            .arg(&tools.wasm_opt)
            .args(FEATURES)
            .args(passes)
            .args(STRIP)
            .arg(path)
            .arg("-o")
            .arg(part);
        shell::run(&mut optimizer)?;
        // Node ends well also where the program that it runs was cut short.
        if !shell::read_bytes(part)?.starts_with(b"\0asm") {
            return Err(Error::Wrong(format!(
                "wasm-opt left no module in {}",
                part.display()
            )));
        }
        Ok(())
    })?;
    std::fs::copy(&smaller, path).map_err(shell::file_error(path))?;
    Ok(())
}
