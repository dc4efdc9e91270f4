//! Where things lie: the workspace, the build folder, and the tools that `setup` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Error, Result};

/// The checkout this chore works on, and the folder its builds go to.
pub struct Places {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// `CARGO_TARGET_DIR` if it is set, else `target` in the workspace; always absolute.
    pub target: PathBuf,
}

impl Places {
    /// Reads both from the environment that `cargo xtask` gives.
    pub fn find() -> Result<Self> {
        // cargo sets it when it runs us; the compiled value serves a binary that was started by hand.
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own.ancestors().nth(2).unwrap_or(&own).to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => std::path::absolute(&dir).map_err(|cause| Error::File {
                path: PathBuf::from(dir),
                cause,
            })?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// Cargo in the workspace, building into [`Places::target`].
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = Command::new(cargo_program());
        cargo
            .args(args)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    /// Any other program, started in the workspace.
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// What `setup` installs for this project alone.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Where everything for wasm32 is built.
    pub fn web_target(&self) -> PathBuf {
        self.target.join("web")
    }

    /// The built page, as a web server takes it and as the `limbeck` binary holds it.
    pub fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// An executable that `cargo build --release` made.
    pub fn release_binary(&self, name: &str) -> PathBuf {
        self.target
            .join("release")
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// An example that `cargo build --release --all-targets` made.
    pub fn example(&self, name: &str) -> PathBuf {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        self.target.join("release/examples").join(file)
    }

    /// Whether the GPU crates have been compiled into this build folder.
    pub fn has_gpu_crates(&self) -> bool {
        let files = shell::list(&self.target.join("release/deps")).unwrap_or_default();
        files
            .iter()
            .filter_map(|file| file.file_name()?.to_str())
            .any(|name| name.starts_with("libburn_wgpu-") && name.ends_with(".rlib"))
    }

    /// The version of a package in `Cargo.lock`.
    pub fn locked_version(&self, package: &str) -> Result<String> {
        let lock = self.root.join("Cargo.lock");
        locked_version(&shell::read(&lock)?, package).ok_or_else(|| {
            Error::Wrong(format!(
                "{} names no package `{package}`; run `cargo metadata` to write it anew",
                lock.display()
            ))
        })
    }
}

/// The cargo that runs us, so that every build uses one tool-chain.
pub fn cargo_program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn locked_version(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::locked_version;

    const LOCK: &str = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.80\"\n\n\
                        [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\nsource = \"registry\"\n";

    #[test]
    fn the_locked_version_is_that_of_the_very_package() {
        assert_eq!(
            locked_version(LOCK, "wasm-bindgen").as_deref(),
            Some("0.2.130")
        );
        assert_eq!(locked_version(LOCK, "wasm"), None);
    }
}
