//! Puts the built page (`cargo xtask web`) into the program, for `limbeck serve`.
//!
//! Every file becomes gzip bytes in a table that `src/serve/page.rs` includes. Left out are `.br` files, and names that
//! contain `worker`: an engine for the browser, which a page that is driven by this program does not need. Without a built
//! page, as in a package of this crate, the table is empty.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fmt::Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIMBECK_DIST");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut table = String::from("&[\n");
    if let Some(dist) = dist()? {
        println!("cargo:rerun-if-changed={}", dist.display());
        let mut names = Vec::new();
        if dist.join("index.html").is_file() {
            list(&dist, "", &mut names)?;
        }
        names.sort();
        for (number, name) in names.iter().enumerate() {
            let packed = out.join(format!("page-{number}.gz"));
            fs::write(&packed, gzip(&dist, name)?)?;
            writeln!(table, "    ({name:?}, include_bytes!({packed:?})),")?;
        }
    }
    table.push(']');
    fs::write(out.join("page.rs"), table)?;
    Ok(())
}

/// The folder of the built page; none in a package, outside of which nothing belongs to this crate.
///
/// Cargo runs a build script anew at every build while a file that it watches is missing, and then links this program
/// anew. So the folder is made; its old date tells cargo that nothing came after this run.
fn dist() -> Result<Option<PathBuf>, Box<dyn Error>> {
    let own = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let dist = match env::var_os("LIMBECK_DIST") {
        Some(named) => PathBuf::from(named),
        // Cargo puts it into every package.
        None if own.join("Cargo.toml.orig").is_file() => return Ok(None),
        None => own.join("../../dist"),
    };
    if !dist.exists() && fs::create_dir_all(&dist).is_ok() {
        // Where folders have no settable date, the cost is one needless build.
        let _ = File::open(&dist).and_then(|folder| folder.set_modified(SystemTime::UNIX_EPOCH));
    }
    Ok(Some(dist))
}

fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let base = path.file_name().ok_or("a file without a name")?;
        let base = base.to_str().ok_or("a file name that is not Unicode")?;
        let name = format!("{prefix}{base}");
        if path.is_dir() {
            list(&path, &format!("{name}/"), names)?;
        } else if is_wanted(&path, &name) {
            names.push(name);
        }
    }
    Ok(())
}

fn is_wanted(path: &Path, name: &str) -> bool {
    let packs_another = name.ends_with(".gz") && path.with_extension("").is_file();
    !(name.ends_with(".br") || name.contains("worker") || packs_another)
}

/// `X.gz` if it lies beside X, else X packed now.
fn gzip(dist: &Path, name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let packed = dist.join(format!("{name}.gz"));
    if packed.is_file() {
        return Ok(fs::read(packed)?);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&fs::read(dist.join(name))?)?;
    Ok(encoder.finish()?)
}
