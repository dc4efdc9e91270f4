//! How large the page may be, and how large it is.

use std::fmt::Write;

use super::compress::Size;
use crate::shell::{Error, Result};

/// A limit in bytes for the files that `holds` names.
struct Limit {
    what: &'static str,
    holds: fn(&str) -> bool,
    of: fn(&Size) -> usize,
    bytes: usize,
}

const LIMITS: [Limit; 5] = [
    Limit {
        what: "page with its recorded run, brotli",
        holds: is_of_page,
        of: |size| size.brotli,
        bytes: 1_500_000,
    },
    Limit {
        what: "page's wasm, brotli",
        holds: |path| path.starts_with("page_bg-"),
        of: |size| size.brotli,
        bytes: 520_000,
    },
    Limit {
        what: "worker's wasm, brotli",
        holds: |path| path.starts_with("worker_bg-"),
        of: |size| size.brotli,
        bytes: 4_000_000,
    },
    Limit {
        what: "worker's wasm, as it is",
        holds: |path| path.starts_with("worker_bg-"),
        of: |size| size.raw,
        // Of it, what writes ONNX files and searches is 0.26 MB, packed 65 kB; EuroBERT, Qwen3 and Gemma 3 and mixed precision are some 65 kB,
        // pairs of texts 13 kB.
        bytes: 17_050_000,
    },
    Limit {
        what: "all with worker, models and texts, brotli",
        holds: |_| true,
        of: |size| size.brotli,
        bytes: 15_000_000,
    },
];

/// The student of the recorded run, for those who write a sentence before they have a run.
pub const STUDENT: &str = "data/student/";

/// Whether a file belongs to the page as it is first seen, with its recorded run; the rest is for training and for sentences of a reader's own.
pub fn is_of_page(path: &str) -> bool {
    !["worker", "data/teacher/", "data/texts/", STUDENT]
        .iter()
        .any(|start| path.starts_with(start))
}

/// Every file and every limit, in bytes.
pub fn table(sizes: &[Size]) -> String {
    let mut table = format!(
        "\n{:<44}{:>12}{:>12}{:>12}\n",
        "file", "bytes", "gzip", "brotli"
    );
    for Size {
        path,
        raw,
        gzip,
        brotli,
    } in sizes
    {
        let _ = writeln!(table, "{path:<44}{raw:>12}{gzip:>12}{brotli:>12}");
    }
    let _ = writeln!(
        table,
        "\n{:<44}{:>12}{:>12}{:>12}",
        "budget", "bytes", "limit", "left"
    );
    for limit in &LIMITS {
        let used = used(limit, sizes);
        let left = limit
            .bytes
            .checked_sub(used)
            .map_or("TOO LARGE".to_owned(), |left| left.to_string());
        let _ = writeln!(
            table,
            "{:<44}{used:>12}{:>12}{left:>12}",
            limit.what, limit.bytes
        );
    }
    table
}

/// Fails if any limit is passed.
pub fn check(sizes: &[Size]) -> Result<()> {
    let passed: Vec<String> = LIMITS
        .iter()
        .filter(|limit| used(limit, sizes) > limit.bytes)
        .map(|limit| {
            format!(
                "{}: {} bytes, at most {}",
                limit.what,
                used(limit, sizes),
                limit.bytes
            )
        })
        .collect();
    if passed.is_empty() {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "the page has grown beyond its budget: {}. Find what came in (the table above), or change LIMITS in {} knowingly.",
        passed.join("; "),
        file!()
    )))
}

fn used(limit: &Limit, sizes: &[Size]) -> usize {
    let counted = sizes.iter().filter(|size| (limit.holds)(&size.path));
    counted.map(limit.of).sum()
}

#[cfg(test)]
mod tests {
    use super::{Size, check, is_of_page, table};

    fn file(path: &str, raw: usize, brotli: usize) -> Size {
        Size {
            path: path.to_owned(),
            raw,
            gzip: brotli,
            brotli,
        }
    }

    #[test]
    fn each_limit_is_kept_alone() {
        let small = || {
            vec![
                file("page_bg-1.wasm", 900_000, 300_000),
                file("worker_bg-1.wasm", 15_000_000, 3_500_000),
                file("data/teacher/model.safetensors", 9_000_000, 8_000_000),
            ]
        };
        assert!(check(&small()).is_ok());
        for too_much in [
            file("page_bg-2.wasm", 1, 250_000),
            file("data/recorded.json", 1, 1_300_000),
            file("worker_bg-2.wasm", 2_100_000, 1),
            file("worker_bg-2.wasm", 1, 600_000),
            file("data/texts/wiki.txt", 1, 4_000_000),
        ] {
            let name = too_much.path.clone();
            let mut sizes = small();
            sizes.push(too_much);
            assert!(check(&sizes).is_err(), "{name}");
            assert!(table(&sizes).contains("TOO LARGE"), "{name}");
        }
    }

    #[test]
    fn what_training_needs_is_not_of_the_page() {
        assert!(is_of_page("index.html") && is_of_page("data/recorded.json"));
        for later in [
            "worker_loader-1.js",
            "data/texts/wiki.txt",
            "data/student/config.json",
        ] {
            assert!(!is_of_page(later), "{later}");
        }
    }
}
