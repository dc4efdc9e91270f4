//! The program as a Python wheel, for people who install with pip: the binary, and nothing of Python. The format is that of
//! <https://packaging.python.org/en/latest/specifications/binary-distribution-format/>; maturin would write the same, but compiles the
//! program by a selection of its own, and so burn a second time.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::places::Places;
use crate::shell::{self, Error, Result};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Packs `program` as a wheel for `host`, a target of rustc, into `folder`.
pub fn pack(places: &Places, program: &Path, host: &str, folder: &Path) -> Result<PathBuf> {
    let bytes = shell::read_bytes(program)?;
    let platform = platform(host, &bytes).ok_or_else(|| {
        Error::Wrong(format!(
            "pip has no name for programs of {host}: a wheel is made on Linux, macOS and Windows"
        ))
    })?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let info = format!("limbeck-{VERSION}.dist-info");
    let files = [
        (format!("limbeck-{VERSION}.data/scripts/{name}"), bytes),
        (
            format!("{info}/METADATA"),
            metadata(&shell::read(&places.root.join("README.md"))?),
        ),
        (format!("{info}/WHEEL"), about(&platform)),
        (
            format!("{info}/licenses/LICENSE"),
            shell::read_bytes(&places.root.join("LICENSE"))?,
        ),
    ];
    let wheel = folder.join(format!("limbeck-{VERSION}-py3-none-{platform}.whl"));
    std::fs::create_dir_all(folder).map_err(shell::file_error(folder))?;
    write(&wheel, &files, &format!("{info}/RECORD")).map_err(shell::file_error(&wheel))?;
    Ok(wheel)
}

/// What pip calls the machines that run a program for `host`; of Linux only those whose C library is new enough for it.
fn platform(host: &str, program: &[u8]) -> Option<String> {
    let (machine, system) = host.split_once('-')?;
    Some(match (system, machine) {
        ("unknown-linux-gnu", _) => format!("manylinux_2_{}_{machine}", newest_glibc(program)?),
        ("unknown-linux-musl", _) => format!("musllinux_1_2_{machine}"),
        // The oldest that Rust supports.
        ("apple-darwin", "aarch64") => "macosx_11_0_arm64".to_owned(),
        ("apple-darwin", "x86_64") => "macosx_10_12_x86_64".to_owned(),
        ("pc-windows-msvc", "x86_64") => "win_amd64".to_owned(),
        ("pc-windows-msvc", "aarch64") => "win_arm64".to_owned(),
        _ => return None,
    })
}

/// N of the newest GLIBC_2.N that a program names: a symbol that it links to has its version beside it.
fn newest_glibc(program: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"GLIBC_2.";
    let places = program.windows(NAME.len()).enumerate();
    let places = places.filter(|(_, window)| *window == NAME);
    let number = |(place, _): (usize, &[u8])| -> Option<u32> {
        let digits = program[place + NAME.len()..].iter().take(3);
        let digits = digits.take_while(|byte| byte.is_ascii_digit());
        String::from_utf8(digits.copied().collect())
            .ok()?
            .parse()
            .ok()
    };
    places.filter_map(number).max()
}

fn metadata(readme: &str) -> Vec<u8> {
    let head = format!(
        "Metadata-Version: 2.4\nName: limbeck\nVersion: {VERSION}\n\
         Summary: Distil Transformers by their self-attention relations (MiniLMv2), on any GPU or a CPU\n\
         License-Expression: Apache-2.0\nLicense-File: LICENSE\nRequires-Python: >=3.8\n\
         Description-Content-Type: text/markdown\n\n"
    );
    (head + readme).into_bytes()
}

fn about(platform: &str) -> Vec<u8> {
    format!(
        "Wheel-Version: 1.0\nGenerator: limbeck ({VERSION})\nRoot-Is-Purelib: false\nTag: py3-none-{platform}\n"
    )
    .into_bytes()
}

/// The files and a record of them, always the same bytes for the same files.
fn write(wheel: &Path, files: &[(String, Vec<u8>)], record: &str) -> io::Result<()> {
    let mut zip = ZipWriter::new(std::fs::File::create(wheel)?);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut lines = String::new();
    for (name, bytes) in files {
        let mode = if name.contains("/scripts/") {
            0o755
        } else {
            0o644
        };
        zip.start_file(name, options.unix_permissions(mode))?;
        zip.write_all(bytes)?;
        let sum = URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
        lines += &format!("{name},sha256={sum},{}\n", bytes.len());
    }
    zip.start_file(record, options.unix_permissions(0o644))?;
    writeln!(zip, "{lines}{record},,")?;
    zip.finish()?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{newest_glibc, platform, write};

    #[test]
    fn a_wheel_is_for_the_machines_that_can_run_the_program() {
        let program = b"\x7fELF GLIBC_2.2.5\0GLIBC_2.34\0memcpy@GLIBC_2.14\0GLIBC_2.\0";
        assert_eq!(newest_glibc(program), Some(34));
        for (host, expected) in [
            ("x86_64-unknown-linux-gnu", Some("manylinux_2_34_x86_64")),
            ("aarch64-unknown-linux-gnu", Some("manylinux_2_34_aarch64")),
            ("x86_64-unknown-linux-musl", Some("musllinux_1_2_x86_64")),
            ("aarch64-apple-darwin", Some("macosx_11_0_arm64")),
            ("x86_64-apple-darwin", Some("macosx_10_12_x86_64")),
            ("x86_64-pc-windows-msvc", Some("win_amd64")),
            ("riscv64gc-unknown-freebsd", None),
        ] {
            assert_eq!(platform(host, program).as_deref(), expected, "{host}");
        }
        assert_eq!(platform("x86_64-unknown-linux-gnu", b"no program"), None);
    }

    #[test]
    fn a_wheel_records_its_files_and_has_the_same_bytes_each_time() {
        let folder = std::env::temp_dir().join(format!("limbeck-wheel-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let files = [
            ("a.data/scripts/limbeck".to_owned(), b"abc".to_vec()),
            ("a.dist-info/WHEEL".to_owned(), Vec::new()),
        ];
        let wheel = |name: &str| {
            let wheel = folder.join(name);
            write(&wheel, &files, "a.dist-info/RECORD").expect("a wheel");
            std::fs::read(wheel).expect("its bytes")
        };
        let bytes = wheel("first");
        assert_eq!(bytes, wheel("second"));
        let mut zip = zip::ZipArchive::new(io::Cursor::new(bytes)).expect("a zip file");
        let program = zip.by_name("a.data/scripts/limbeck").expect("a program");
        assert_eq!(program.unix_mode().map(|mode| mode & 0o777), Some(0o755));
        drop(program);
        let mut record = String::new();
        let mut file = zip.by_name("a.dist-info/RECORD").expect("a record");
        file.read_to_string(&mut record).expect("text");
        // The sums of FIPS 180-4's example of one block, and of nothing, in base64.
        assert_eq!(
            record,
            "a.data/scripts/limbeck,sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0,3\n\
             a.dist-info/WHEEL,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\
             a.dist-info/RECORD,,\n"
        );
        std::fs::remove_dir_all(&folder).ok();
    }
}
