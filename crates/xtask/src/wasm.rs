//! The wasm32 compiler, wherever it comes from, and the tests in headless Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{self, Patience};
use crate::places::Places;
use crate::shell::{self, Error, Result};

/// What browsers run.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Of Cargo.toml: small where size does not cost speed. Browser tests and worker share it, and so their burn.
pub const PROFILE: &str = "web";

/// Seconds for the whole run in the browser: a day, because [`harness`] ends a run that makes no progress, and a slow
/// machine may take as long as it needs. wasm-bindgen's own limit is 20 s.
const TEST_TIMEOUT: &str = "86400";

/// Seconds for chromedriver to open its port; wasm-bindgen's 5 s are too few beside a busy build.
const DRIVER_TIMEOUT: &str = "60";

/// A compiler for wasm32-unknown-unknown.
pub enum Compiler {
    /// The usual one: its sysroot holds the target's standard library.
    Usual,
    /// Debian's, which can be newer than its `rustc`: the standard library is built from its sources.
    FromSource {
        /// The compiler.
        rustc: PathBuf,
        /// The linker of the usual tool-chain; Debian's package has none for wasm.
        linker: PathBuf,
    },
}

/// All that the browser tests need.
pub struct Browser {
    /// Compiles the tests.
    pub compiler: Compiler,
    /// `wasm-bindgen-test-runner`, of exactly the version in `Cargo.lock`.
    pub runner: PathBuf,
    /// `chromedriver`.
    pub driver: PathBuf,
}

impl Compiler {
    /// The compiler that is there now; installs nothing.
    pub fn find() -> Option<Self> {
        let sysroot = PathBuf::from(shell::ask("rustc", &["--print", "sysroot"])?);
        let rustlib = sysroot.join("lib/rustlib");
        if rustlib.join(TARGET).join("lib").is_dir() {
            return Some(Self::Usual);
        }
        let host = shell::ask("rustc", &["--print", "host-tuple"])?;
        let linker = rustlib.join(host).join("bin/rust-lld");
        let rustc = PathBuf::from("/usr/bin/rustc");
        (linker.is_file() && has_usable_sources(&rustc))
            .then_some(Self::FromSource { rustc, linker })
    }

    /// Cargo for the wasm target. `args` begin with the subcommand.
    pub fn cargo(&self, places: &Places, args: &[&str]) -> Command {
        let mut cargo = places.cargo(args);
        cargo.args(["--profile", PROFILE, "--target", TARGET]);
        self.prepare(places, &mut cargo);
        cargo
    }

    /// Gives a command that runs cargo, or is cargo, what it needs to compile for the wasm target.
    ///
    /// The target has a build folder of its own: two compilers in one would rebuild each other's host crates, and a
    /// native build would wait for a browser build.
    pub fn prepare(&self, places: &Places, command: &mut Command) {
        command.env("CARGO_TARGET_DIR", places.web_target());
        if let Self::FromSource { rustc, linker } = self {
            command
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
}

impl Browser {
    /// Compiles the browser tests without running them.
    pub fn build(&self, places: &Places) -> Result<()> {
        shell::run(&mut self.cargo_test(places, &["--no-run"])?)
    }

    /// Runs the browser tests; `args` go to the test harness. Running no test at all is a failure, unless `args` chose so.
    ///
    /// All tests are dealt out to two browsers: one compiles shaders on a single thread, most of the time that they take.
    pub fn test(&self, places: &Places, args: &[String]) -> Result<()> {
        if !args.is_empty() {
            return self.run(places, args).map(|_| ());
        }
        let tests = self.list(places)?;
        let halves = [0, 1].map(|half| without(&tests, half));
        let passed = std::thread::scope(|scope| {
            let runs = halves
                .each_ref()
                .map(|args| scope.spawn(|| self.run(places, args)));
            // Both come to their end, so that one run tells of all tests that fail.
            let ended = runs.map(|run| {
                run.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            ended.into_iter().sum::<Result<usize>>()
        })?;
        if passed != tests.len() || passed == 0 {
            return Err(Error::Wrong(format!(
                "{passed} of {} tests passed in the browser; is `wasm_bindgen_test` still on the tests of `it`?",
                tests.len()
            )));
        }
        Ok(())
    }

    /// The names of all tests that run in the browser.
    fn list(&self, places: &Places) -> Result<Vec<String>> {
        let mut cargo = self.cargo_test(places, &[])?;
        let text = shell::output(cargo.args(["--", "--list"]))?;
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(str::to_owned).collect())
    }

    /// Runs tests in one browser and says how many passed.
    fn run(&self, places: &Places, args: &[String]) -> Result<usize> {
        let mut cargo = self.cargo_test(places, &[])?;
        // The harness then says which test it starts, at once and not at the end of the run.
        cargo.args(["--", "--nocapture"]);
        cargo.args(args.iter().filter(|arg| *arg != "--nocapture"));
        Ok(harness::run(&mut cargo, Patience::Computing)?.passed)
    }

    fn cargo_test(&self, places: &Places, args: &[&str]) -> Result<Command> {
        // The runner takes a missing file for "no options", and Chromium then has no adapter: say it here.
        let options = places.root.join("webdriver.json");
        shell::read(&options)?;
        let mut cargo = self
            .compiler
            .cargo(places, &["test", "--package", "it", "--test", "it"]);
        cargo
            .args(args)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", &self.runner)
            .env("CHROMEDRIVER", &self.driver)
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", options)
            .env("WASM_BINDGEN_TEST_TIMEOUT", TEST_TIMEOUT)
            .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", DRIVER_TIMEOUT);
        Ok(cargo)
    }
}

/// Arguments that leave out every other test, beginning with this one.
fn without(tests: &[String], first: usize) -> Vec<String> {
    let others = tests.iter().skip(first).step_by(2);
    let skips = others.flat_map(|test| ["--skip".to_owned(), test.clone()]);
    std::iter::once("--exact".to_owned()).chain(skips).collect()
}

/// Debian's plain `rustc` and its sources can be years old; `rustc-web` follows what browsers need.
fn has_usable_sources(rustc: &Path) -> bool {
    let Some(version) = shell::ask(rustc, &["--version"]) else {
        return false;
    };
    let Some(sysroot) = shell::ask(rustc, &["--print", "sysroot"]) else {
        return false;
    };
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    let version = version.strip_prefix("rustc ").unwrap_or(&version);
    sources.is_file() && major_minor(version) >= major_minor(env!("CARGO_PKG_RUST_VERSION"))
}

fn major_minor(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{major_minor, without};

    #[test]
    fn each_test_is_left_out_once() {
        let tests = ["a::b", "a::c", "a::b_d"].map(str::to_owned);
        assert_eq!(
            without(&tests, 0),
            ["--exact", "--skip", "a::b", "--skip", "a::b_d"]
        );
        assert_eq!(without(&tests, 1), ["--exact", "--skip", "a::c"]);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(major_minor("1.96.0 (hash date)") >= major_minor("1.95"));
        assert!(major_minor("1.100.0") > major_minor("1.95"));
        assert!(major_minor("1.63.0") < major_minor("1.95"));
    }
}
