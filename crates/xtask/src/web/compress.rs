//! A gzip and a brotli version beside each file, for servers that send them as they are.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Cache, fingerprint};
use crate::shell::{self, Result};

/// Files that compression makes smaller. PNG is compressed already.
const ENDINGS: [&str; 9] = [
    "html",
    "js",
    "css",
    "wasm",
    "json",
    "webmanifest",
    "svg",
    "txt",
    "safetensors",
];

/// How many bytes a file has as it is and compressed.
pub struct Size {
    /// Its path in the page's folder.
    pub path: String,
    /// As it is.
    pub raw: usize,
    /// With gzip; as it is where that does not help.
    pub gzip: usize,
    /// With brotli; as it is where that does not help.
    pub brotli: usize,
}

/// Compresses all files in `stage`, each with all the effort there is: it is done once, and kept while the file is the
/// same.
pub fn all(cache: &Cache, stage: &Path) -> Result<Vec<Size>> {
    let mut paths = shell::tree(stage)?;
    // The largest first, so that no thread is left alone with it at the end.
    paths.sort_by_key(|path| {
        std::cmp::Reverse(std::fs::metadata(stage.join(path)).map_or(0, |file| file.len()))
    });
    let next = AtomicUsize::new(0);
    let sizes = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let size = one(cache, stage, path)?;
            if let Ok(mut sizes) = sizes.lock() {
                sizes.push(size);
            }
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let mut sizes = sizes.into_inner().unwrap_or_default();
    sizes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sizes)
}

fn one(cache: &Cache, stage: &Path, path: &str) -> Result<Size> {
    let bytes = shell::read_bytes(&stage.join(path))?;
    let raw = bytes.len();
    let mut size = Size {
        path: path.to_owned(),
        raw,
        gzip: raw,
        brotli: raw,
    };
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    if ENDINGS.contains(&ending) {
        // The number counts up when a compressor changes.
        let hash = format!("{}-1", fingerprint(&bytes));
        size.gzip = beside(cache, stage, path, &hash, "gz", &bytes, gzip)?;
        size.brotli = beside(cache, stage, path, &hash, "br", &bytes, brotli)?;
    }
    Ok(size)
}

/// Writes `path.ending` if that is smaller than the file itself, and returns the smaller size.
fn beside(
    cache: &Cache,
    stage: &Path,
    path: &str,
    hash: &str,
    ending: &str,
    bytes: &[u8],
    compress: fn(&[u8]) -> std::io::Result<Vec<u8>>,
) -> Result<usize> {
    let kept = cache.file(format!("{hash}.{ending}"), |part| {
        let smaller = compress(bytes).map_err(shell::file_error(part))?;
        shell::write(part, &smaller)
    })?;
    let smaller = shell::read_bytes(&kept)?;
    if smaller.len() >= bytes.len() {
        return Ok(bytes.len());
    }
    shell::write(&stage.join(format!("{path}.{ending}")), &smaller)?;
    Ok(smaller.len())
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 24,
        size_hint: bytes.len(),
        ..Default::default()
    };
    if bytes.starts_with(b"\0asm") {
        // Codes that fit 128 KiB each: the page's module is 0.4 % smaller than with those of 256.
        parameters.lgblock = 17;
    }
    let mut smaller = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut smaller, &parameters)?;
    Ok(smaller)
}
