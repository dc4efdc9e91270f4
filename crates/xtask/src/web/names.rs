//! Names that change with the contents, so that a browser may keep a file for good.

use std::path::Path;

use super::fingerprint;
use crate::shell::{self, Error, Result};

/// What is renamed beside the style sheets. Each stands behind all that it refers to, because its own contents change
/// with those names.
const MODULES: [&str; 6] = [
    "page_bg.wasm",
    "page.js",
    "start.js",
    "worker_bg.wasm",
    "worker.js",
    "worker_loader.js",
];

/// The code of the engine. The page fetches it ahead of the worker, to show how much is here.
const ENGINE: &str = "worker_bg.wasm";
/// Where index.html says how many bytes that is.
const NO_BYTES: &str = r#"<meta name="limbeck-worker-bytes" content="">"#;

/// Renames files by their contents, and writes the new names into whatever refers to them, teach.html too. Into index.html goes
/// the size of the engine, too.
pub fn by_contents(stage: &Path) -> Result<()> {
    let mut files = MODULES.map(str::to_owned).to_vec();
    files.extend(
        shell::tree(stage)?
            .into_iter()
            .filter(|path| path.ends_with(".css")),
    );
    let mut renamed: Vec<(String, String)> = Vec::new();
    let mut engine_bytes = 0;
    for name in files {
        let from = stage.join(&name);
        let mut bytes = shell::read_bytes(&from)?;
        if !name.ends_with(".wasm") {
            bytes = with_new_names(&shell::read(&from)?, &renamed).into_bytes();
            shell::write(&from, &bytes)?;
        }
        if name == ENGINE {
            engine_bytes = bytes.len();
        }
        let new = hashed(&name, &fingerprint(&bytes));
        let to = stage.join(&new);
        std::fs::rename(&from, &to).map_err(shell::file_error(&to))?;
        renamed.push((name, new));
    }
    let index = stage.join("index.html");
    let page = linked(&shell::read(&index)?, &renamed, engine_bytes)?;
    shell::write(&index, page.as_bytes())?;
    let more = stage.join("teach.html");
    let page = with_new_names(&shell::read(&more)?, &renamed);
    shell::write(&more, page.as_bytes())
}

/// index.html with the new names and the size of the engine.
fn linked(page: &str, renamed: &[(String, String)], engine_bytes: usize) -> Result<String> {
    if page.matches(NO_BYTES).count() != 1 {
        return Err(Error::Wrong(format!(
            "index.html must hold this line once: {NO_BYTES}"
        )));
    }
    let bytes = NO_BYTES.replace("\"\"", &format!("\"{engine_bytes}\""));
    let page = with_new_names(page, renamed).replace(NO_BYTES, &bytes);
    // The worker's script is found through its loader.
    for (name, new) in renamed.iter().filter(|(name, _)| name != "worker.js") {
        if !page.contains(new.as_str()) {
            return Err(Error::Wrong(format!(
                "index.html does not refer to {name}, so the page would not find it"
            )));
        }
    }
    Ok(page)
}

/// `page_bg.wasm` as `page_bg-0123456789abcdef.wasm`.
fn hashed(name: &str, hash: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}-{hash}.{ending}"),
        None => format!("{name}-{hash}"),
    }
}

/// Whether a file of this name has the name of its contents.
pub fn is_hashed(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.rsplit_once('-')
        .is_some_and(|(_, hash)| hash.len() == 16 && hash.bytes().all(|c| c.is_ascii_hexdigit()))
}

fn with_new_names(text: &str, renamed: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, new) in renamed {
        text = replace_whole(&text, name, new);
    }
    text
}

/// Replaces `name` where it is not a part of a longer name.
fn replace_whole(text: &str, name: &str, new: &str) -> String {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(name) {
        let (before, found) = rest.split_at(place);
        let after = &found[name.len()..];
        let whole = !before.ends_with(part_of_name) && !after.starts_with(part_of_name);
        result.push_str(before);
        result.push_str(if whole { new } else { name });
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::{ENGINE, MODULES, NO_BYTES, hashed, is_hashed, linked, replace_whole};

    const INDEX: &str = include_str!("../../../../index.html");

    fn renamed() -> Vec<(String, String)> {
        let names = MODULES.iter().map(|name| (*name).to_owned());
        names
            .map(|name| (name.clone(), hashed(&name, "0123456789abcdef")))
            .collect()
    }

    #[test]
    fn the_page_knows_name_and_size_of_the_engine() {
        let page = linked(INDEX, &renamed(), 16_123_456).expect("a page with all its files");
        for line in [
            r#"<meta name="limbeck-worker" content="./worker_loader-0123456789abcdef.js">"#,
            r#"<meta name="limbeck-worker-wasm" content="./worker_bg-0123456789abcdef.wasm">"#,
            r#"<meta name="limbeck-worker-bytes" content="16123456">"#,
        ] {
            assert!(page.contains(line), "{line}");
        }
    }

    #[test]
    fn a_page_that_does_not_name_the_engine_is_refused() {
        for part in [ENGINE, NO_BYTES] {
            let without = INDEX.replace(part, "");
            let error = linked(&without, &renamed(), 1).expect_err("something is missing");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_name_inside_a_longer_one_is_left_alone() {
        assert_eq!(
            replace_whole(
                "import('./page.js'); page.json homepage.js",
                "page.js",
                "x.js"
            ),
            "import('./x.js'); page.json homepage.js"
        );
    }

    #[test]
    fn hashed_names_are_known() {
        let name = hashed("worker_bg.wasm", "0123456789abcdef");
        assert_eq!(name, "worker_bg-0123456789abcdef.wasm");
        assert!(is_hashed(&name));
        assert!(!is_hashed("icon-192.png"));
        assert!(!is_hashed("page.js"));
    }
}
