//! What a release offers for download: the program with its papers as one archive, and the archive's checksum.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::places::Places;
use crate::shell::{self, Result};

/// What lies beside the program.
const PAPERS: [&str; 2] = ["README.md", "LICENSE"];

/// Packs `program` as `limbeck-VERSION-HOST` into `folder` and writes the checksum beside it, in the format of `sha256sum`.
pub fn pack(places: &Places, program: &Path, host: &str, folder: &Path) -> Result<PathBuf> {
    let name = format!("limbeck-{}-{host}", env!("CARGO_PKG_VERSION"));
    let mut files = vec![program.to_owned()];
    files.extend(PAPERS.map(|paper| places.root.join(paper)));
    let ending = if cfg!(windows) { "zip" } else { "tar.gz" };
    let archive = folder.join(format!("{name}.{ending}"));
    std::fs::create_dir_all(folder).map_err(shell::file_error(folder))?;
    write(&archive, &name, &files).map_err(shell::file_error(&archive))?;
    let sum = folder.join(format!("{name}.{ending}.sha256"));
    let line = checksum_line(&shell::read_bytes(&archive)?, &format!("{name}.{ending}"));
    shell::write(&sum, line.as_bytes())?;
    Ok(archive)
}

/// The files in a folder `name` inside of the archive.
#[cfg(not(windows))]
fn write(archive: &Path, name: &str, files: &[PathBuf]) -> std::io::Result<()> {
    let out = std::fs::File::create(archive)?;
    let packed = flate2::write::GzEncoder::new(out, flate2::Compression::best());
    let mut tar = tar::Builder::new(packed);
    // Neither times nor owners of this machine.
    tar.mode(tar::HeaderMode::Deterministic);
    for path in files {
        let file = path.file_name().unwrap_or_default();
        tar.append_path_with_name(path, Path::new(name).join(file))?;
    }
    tar.into_inner()?.finish()?.sync_all()
}

#[cfg(windows)]
fn write(archive: &Path, name: &str, files: &[PathBuf]) -> std::io::Result<()> {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(archive)?);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for path in files {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        zip.start_file(format!("{name}/{file}"), options)?;
        std::io::copy(&mut std::fs::File::open(path)?, &mut zip)?;
    }
    zip.finish()?.sync_all()
}

fn checksum_line(bytes: &[u8], name: &str) -> String {
    let sum: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{sum}  {name}\n")
}

#[cfg(test)]
mod tests {
    use super::checksum_line;

    #[test]
    fn a_checksum_is_a_line_of_sha256sum() {
        // FIPS 180-4, the example of one block.
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            checksum_line(b"abc", "a.tar.gz"),
            format!("{sum}  a.tar.gz\n")
        );
    }

    #[cfg(not(windows))]
    #[test]
    fn an_archive_holds_the_files_in_one_folder_and_the_same_bytes_each_time() {
        let folder = std::env::temp_dir().join(format!("limbeck-archive-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("program");
        std::fs::write(&file, "text").expect("a file");
        let pack = |name: &str| {
            let archive = folder.join(name);
            super::write(&archive, "inside", std::slice::from_ref(&file)).expect("an archive");
            std::fs::read(archive).expect("its bytes")
        };
        let bytes = pack("first");
        assert_eq!(bytes, pack("second"));
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let names: Vec<_> = tar
            .entries()
            .expect("a tar file")
            .map(|entry| {
                let entry = entry.expect("an entry");
                entry.path().expect("a path").display().to_string()
            })
            .collect();
        assert_eq!(names, ["inside/program"]);
        std::fs::remove_dir_all(&folder).ok();
    }
}
