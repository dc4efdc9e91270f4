//! The service worker's lists of files.

use std::path::Path;

use serde_json::json;

use super::{budget, fingerprint};
use crate::shell::{self, Error, Result};

/// The line of `sw.js` that the lists replace.
const EMPTY: &str = r#"const BUILD = { version: "", shell: [], later: [], asked: [] };"#;

/// Writes into `sw.js` which files there are, with hashes of their contents, and a version made of both.
pub fn fill(stage: &Path) -> Result<()> {
    let place = stage.join("sw.js");
    let script = shell::read(&place)?;
    if script.matches(EMPTY).count() != 1 {
        return Err(Error::Wrong(format!(
            "{} must hold this line once: {EMPTY}",
            place.display()
        )));
    }
    let mut shell_files = Vec::new();
    let (mut later, mut asked) = (Vec::new(), Vec::new());
    for path in shell::tree(stage)? {
        // A browser fetches the service worker around every cache. And what engine there is, only the server knows.
        if path == "sw.js" || path == "engine.json" {
            continue;
        }
        let hash = fingerprint(&shell::read_bytes(&stage.join(&path))?);
        let list = if budget::is_of_page(&path) {
            &mut shell_files
        } else if path.starts_with(budget::STUDENT) {
            &mut asked
        } else {
            &mut later
        };
        list.push((path, hash));
    }
    let lists = json!([shell_files, later, asked]).to_string();
    let version = fingerprint(format!("{lists}{script}").as_bytes());
    let build = json!({ "version": version, "shell": shell_files, "later": later, "asked": asked });
    let filled = script.replace(EMPTY, &format!("const BUILD = {build};"));
    shell::write(&place, filled.as_bytes())
}
