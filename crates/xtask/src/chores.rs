//! One function per chore.
//!
//! Whatever links burn is selected by [`NATIVE`]: another selection may unify features differently, and building burn a
//! second time costs 18 minutes on two cores.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::archive;
#[cfg(unix)]
use crate::attack;
use crate::harness::{self, Patience};
use crate::packages;
use crate::places::Places;
use crate::setup::{self, Part};
use crate::shell::{self, Error, Result};
use crate::stages::Stages;
use crate::study;
use crate::wasm::Browser;
use crate::web::{self, PageTools};
use crate::wheel;

/// The crates of the native build: all but those of the page, which are made for a browser, and the tests of the page,
/// which link no burn and need a built page.
const NATIVE: [&str; 7] = [
    "--workspace",
    "--exclude",
    "limbeck-page",
    "--exclude",
    "limbeck-worker",
    "--exclude",
    "it-page",
];

/// Installs what the chores need, or only one part of it.
pub fn set_up(places: &Places, only: Option<Part>) -> Result<()> {
    let parts = only.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    for part in parts {
        setup::set_up(part, places)?;
    }
    eprintln!("Everything that was asked for is there.");
    Ok(())
}

/// Format, spelling, lints, docs and native tests.
pub fn check(places: &Places) -> Result<()> {
    format_is_right(places)?;
    spelling(places)?;
    setup::vulkan()?;
    let tools = setup::page(places)?;
    lint(places, &tools)?;
    docs(places)?;
    native_tests(places, &[])
}

/// All tests: native, in the browser, and of the page; `args` go to the test harnesses.
pub fn test(places: &Places, args: &[String]) -> Result<()> {
    setup::vulkan()?;
    let browser = setup::browser(places)?;
    web(places)?;
    native_tests(places, args)?;
    browser.test(places, args)?;
    page_tests(places, &browser, args)
}

/// The tests in the browser alone.
pub fn browser(places: &Places, args: &[String]) -> Result<()> {
    let browser = setup::browser(places)?;
    web(places)?;
    browser.test(places, args)?;
    // The page's tests also drive `limbeck serve`.
    build(places, &["--bins"])?;
    page_tests(places, &browser, args)
}

/// Builds the page into `dist`.
pub fn web(places: &Places) -> Result<()> {
    web::build(places, &setup::page(places)?)
}

/// Runs every generator of `tests/golden` and shows which goldens changed.
pub fn golden(places: &Places) -> Result<()> {
    let python = setup::golden_python(places)?;
    let folder = places.root.join("tests/golden");
    let mut generators = shell::list(&folder)?;
    generators.retain(|file| file.extension().is_some_and(|ending| ending == "py"));
    if generators.is_empty() {
        return Err(Error::Wrong(format!(
            "{} holds no Python file, so no golden was made",
            folder.display()
        )));
    }
    for generator in &generators {
        shell::run(places.program(&python).arg(generator))?;
    }
    let mut git = places.program("git".as_ref());
    shell::run(git.args(["--no-pager", "diff", "--stat", "--", "tests/golden"]))?;
    eprintln!("The goldens that git lists above have changed; an empty list means none has.");
    Ok(())
}

/// Runs a benchmark. With the release profile it reuses what the tests have built.
pub fn bench(places: &Places, name: Option<&str>, args: &[String]) -> Result<()> {
    match name {
        Some("encode") => {
            return peer_bench(
                places,
                "encode",
                &["sentence_transformers", "onnxruntime"],
                args,
            );
        }
        Some("finetune") => {
            return peer_bench(places, "finetune", &["torch", "transformers"], args);
        }
        _ => {}
    }
    setup::vulkan()?;
    if name == Some("browser") {
        return browser_bench(places);
    }
    let mut cargo = places.cargo(&["bench", "--profile", "release"]);
    cargo.args(NATIVE).args(["--bench", "bench", "--"]);
    // The peer in PyTorch is timed in the same run where the goldens' Python is installed.
    let python = setup::golden_python_path(places);
    if python.is_file() && std::env::var_os("LIMBECK_PYTHON").is_none() {
        cargo.env("LIMBECK_PYTHON", python);
    }
    shell::run(cargo.args(name).args(args))
}

/// A command of limbeck beside `tests/peer/NAME.py`, which needs these modules.
fn peer_bench(places: &Places, name: &str, modules: &[&str], args: &[String]) -> Result<()> {
    let python = setup::peer_python(modules)?;
    build(places, &["--bins"])?;
    let mut peer = places.program(&python);
    peer.arg(format!("tests/peer/{name}.py"))
        .arg("--limbeck")
        .arg(places.release_binary("limbeck"));
    shell::run(peer.args(args))
}

/// The browser's engine beside the native one.
fn browser_bench(places: &Places) -> Result<()> {
    let browser = setup::browser(places)?;
    web(places)?;
    build(places, &["--bins"])?;
    let mut cargo = places.cargo(&["bench", "--profile", "release", "--package", "it-page"]);
    cargo.args(["--bench", "browser"]);
    shell::run(for_the_page(&mut cargo, places, &browser)?)
}

/// Distils a student from the bundled teacher, without any network.
pub fn demo(places: &Places, keep: bool) -> Result<()> {
    let mut out = places.target.join("demo");
    let mut number = 1;
    while keep && out.exists() {
        number += 1;
        out = places.target.join(format!("demo-{number}"));
    }
    demo_into(places, &out, &[])
}

/// The demo with its student in `out`; `flags` go to `limbeck distill`.
///
/// It computes on the CPU, so a newcomer need not wait for GPU crates. Where they have been compiled already, the whole
/// program costs less than another burn would.
fn demo_into(places: &Places, out: &Path, flags: &[&str]) -> Result<()> {
    let whole = places.has_gpu_crates();
    if whole {
        build(places, &["--bins"])?;
    } else {
        let mut cargo = places.cargo(&["build", "--release", "--package", "limbeck-cli"]);
        shell::run(cargo.args(["--no-default-features", "--bins"]))?;
    }
    let mut limbeck = places.program(&places.release_binary("limbeck"));
    limbeck
        .args([
            "distill",
            "--config",
            "assets/demo.toml",
            "--overwrite",
            "--out",
        ])
        .arg(out)
        .args(flags);
    shell::run(&mut limbeck)?;
    let report = out.join("report.html");
    if !report.is_file() {
        return Err(Error::Wrong(format!(
            "the demo ended without writing {}",
            report.display()
        )));
    }
    eprintln!("Student: {}", out.display());
    eprintln!("Report:  {}", report.display());
    if !whole {
        eprintln!(
            "This program computes on the CPU alone; `cargo xtask build` makes the whole one, for GPUs and with the page."
        );
    }
    Ok(())
}

/// Builds the program and attacks it.
#[cfg(unix)]
pub fn attack(places: &Places, options: &attack::Options) -> Result<()> {
    build(places, &["--bins"])?;
    attack::run(places, options)
}

/// Studies what makes a good student, with a given program or the one that it builds.
pub fn study(places: &Places, options: &study::Options) -> Result<()> {
    if options.needs_a_build() {
        build(places, &["--bins"])?;
    }
    study::run(places, options)
}

/// Builds the program with the page inside.
pub fn program(places: &Places) -> Result<()> {
    web(places)?;
    build(places, &["--bins"])?;
    let program = places.release_binary("limbeck");
    eprintln!("{}: {}", program.display(), megabytes(&program)?);
    Ok(())
}

/// Builds the program for publishing and packs it.
pub fn dist(places: &Places) -> Result<()> {
    let host = host()?;
    web(places)?;
    let mut cargo = places.cargo(&["build", "--profile", "dist"]);
    shell::run(cargo.args(NATIVE).args(["--bin", "limbeck"]))?;
    let file = format!("limbeck{}", std::env::consts::EXE_SUFFIX);
    let program = places.target.join("dist").join(file);
    let folder = places.target.join("archives");
    let archive = archive::pack(places, &program, &host, &folder)?;
    let wheel = wheel::pack(places, &program, &host, &folder)?;
    try_wheel(places, &wheel)?;
    for file in [program, archive, wheel] {
        eprintln!("{}: {}", file.display(), megabytes(&file)?);
    }
    Ok(())
}

/// Installs a wheel into a fresh virtual environment, and has the program that comes with it compute something.
fn try_wheel(places: &Places, wheel: &Path) -> Result<()> {
    let venv = places.target.join("wheel-venv");
    shell::remove_folder(&venv)?;
    setup::new_venv(&venv)?;
    let programs = setup::programs_of(&venv);
    let program = |name: &str| programs.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let mut pip = places.program(&program("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-index"]);
    shell::run(pip.arg("--disable-pip-version-check").arg(wheel))?;
    let mut limbeck = places.program(&program("limbeck"));
    let arguments = ["encode", "--device", "cpu", "--model", "assets/teacher"];
    shell::run(
        limbeck
            .args(arguments)
            .args(["LICENSE", "--out"])
            .arg(venv.join("vectors.jsonl")),
    )
}

/// Builds the program as users have it, and packs it as a wheel.
pub fn wheel(places: &Places) -> Result<()> {
    program(places)?;
    wheel_as_built(places)
}

/// A wheel of the program that was built before.
fn wheel_as_built(places: &Places) -> Result<()> {
    let program = places.release_binary("limbeck");
    // Only this one: pip refuses several wheels of one program.
    let folder = places.target.join("wheels");
    shell::remove_folder(&folder)?;
    let wheel = wheel::pack(places, &program, &host()?, &folder)?;
    try_wheel(places, &wheel)?;
    eprintln!("{}: {}", wheel.display(), megabytes(&wheel)?);
    Ok(())
}

fn host() -> Result<String> {
    shell::ask("rustc", &["--print", "host-tuple"])
        .ok_or_else(|| Error::Wrong("rustc does not say what it compiles for".to_owned()))
}

fn megabytes(file: &Path) -> Result<String> {
    let size = file.metadata().map_err(shell::file_error(file))?.len();
    Ok(format!("{:.1} MB", size as f64 / 1e6))
}

/// The whole gate, cheap failures first; ends with the time of each stage.
pub fn ci(places: &Places) -> Result<()> {
    let mut stages = Stages::new(&[
        "format",
        "setup",
        "spelling",
        "dependencies",
        "lint",
        "docs",
        "packages",
        "page build",
        "build",
        "test",
        "memory gate",
        "browser build",
        "browser test",
        "page test",
        "short demo",
        "wheel",
        "attack",
    ]);
    let outcome = gate(places, &mut stages);
    eprint!("{stages}");
    outcome
}

fn gate(places: &Places, stages: &mut Stages) -> Result<()> {
    stages.run(|| format_is_right(places))?;
    let (browser, tools) = stages.run(|| {
        setup::vulkan()?;
        setup::set_up(Part::Checks, places)?;
        setup::firefox(places)?;
        Ok((setup::browser(places)?, setup::page(places)?))
    })?;
    stages.run(|| spelling(places))?;
    stages.run(|| dependencies(places))?;
    stages.run(|| lint(places, &tools))?;
    stages.run(|| docs(places))?;
    stages.run(|| packages::check(places))?;
    // Before the native build, whose `limbeck` holds the page. The burn that it compiles is the browser tests' own.
    stages.run(|| web::build(places, &tools))?;
    stages.run(|| build(places, &["--all-targets"]))?;
    stages.run(|| native_tests(places, &[]))?;
    stages.run(|| {
        let mut benches = ["relation", "attention"].into_iter();
        benches.try_for_each(|name| bench(places, Some(name), &["--gate".to_owned()]))
    })?;
    stages.run(|| browser.build(places))?;
    stages.run(|| browser.test(places, &[]))?;
    stages.run(|| page_tests(places, &browser, &[]))?;
    // The first command of the README, with enough steps to see that the bundled files are all there.
    let out = places.target.join("demo-short");
    stages.run(|| demo_into(places, &out, &["--set", "steps=50"]))?;
    stages.run(|| wheel_as_built(places))?;
    stages.run(|| attack_as_built(places))
}

/// The gate's share of attacks, on the program that it has built.
#[cfg(unix)]
fn attack_as_built(places: &Places) -> Result<()> {
    attack::run(places, &attack::Options::default())
}

/// The attacks are signals and system calls that Windows has not.
#[cfg(not(unix))]
fn attack_as_built(_: &Places) -> Result<()> {
    Ok(())
}

fn format_is_right(places: &Places) -> Result<()> {
    shell::run(&mut places.cargo(&["fmt", "--all", "--check"]))
}

fn spelling(places: &Places) -> Result<()> {
    shell::run(&mut places.program(&setup::typos(places)?))
}

/// Licences, sources and duplicates of all crates, as `deny.toml` wants them; advisories where their database is at hand.
fn dependencies(places: &Places) -> Result<()> {
    let program = setup::cargo_deny(places)?;
    let mut deny = places.program(&program);
    deny.args(["--all-features", "check", "--hide-inclusion-graph"]);
    shell::run(deny.args(["licenses", "bans", "sources"]))?;
    if setup::has_advisories() {
        let mut deny = places.program(&program);
        shell::run(deny.args(["--all-features", "--offline", "check", "advisories"]))?;
    }
    Ok(())
}

/// The documentation of our libraries has no broken link. With the release profile it reads what the lints have checked.
fn docs(places: &Places) -> Result<()> {
    let mut cargo = places.cargo(&["doc", "--release", "--no-deps"]);
    shell::run(cargo.args(NATIVE).env("RUSTDOCFLAGS", "-D warnings"))
}

fn lint(places: &Places, tools: &PageTools) -> Result<()> {
    const STRICT: [&str; 3] = ["--", "-D", "warnings"];
    let native = &mut places.cargo(&["clippy", "--release"]);
    shell::run(native.args(NATIVE).arg("--all-targets").args(STRICT))?;
    // What the first demo of a fresh clone is built as.
    let without_gpu = &mut places.cargo(&["clippy", "--release", "--package", "limbeck-cli"]);
    shell::run(without_gpu.arg("--no-default-features").args(STRICT))?;
    // They end browsers by process groups, which Windows has not.
    if cfg!(unix) {
        let page_tests = &mut places.cargo(&["clippy", "--release", "--package", "it-page"]);
        shell::run(page_tests.arg("--all-targets").args(STRICT))?;
    }
    // One by one: the page's features of web-sys would rebuild the worker's burn.
    for package in ["limbeck-page", "limbeck-worker"] {
        let cargo = &mut tools
            .compiler
            .cargo(places, &["clippy", "--package", package]);
        shell::run(cargo.arg("--bins").args(STRICT))?;
    }
    Ok(())
}

fn build(places: &Places, targets: &[&str]) -> Result<()> {
    let mut cargo = places.cargo(&["build", "--release"]);
    shell::run(cargo.args(NATIVE).args(targets))
}

fn native_tests(places: &Places, args: &[String]) -> Result<()> {
    // `cargo test` alone would not build the `limbeck` binary, which tests start as a person does.
    build(places, &["--all-targets"])?;
    let mut cargo = places.cargo(&["test", "--release", "--tests"]);
    cargo.args(NATIVE);
    if let Some(driver) = setup::lavapipe_if_alone() {
        cargo.env("VK_DRIVER_FILES", driver);
    }
    harness::run(timed(&mut cargo, args), Patience::Computing)?;
    // What the page computes without a browser.
    let page = &mut places.cargo(&["test", "--release", "--package", "limbeck-page"]);
    harness::run(timed(page, args), Patience::Computing)?;
    if args.is_empty() {
        examples(places)?;
    }
    Ok(())
}

/// The examples in the documentation, and the programs in `examples`.
fn examples(places: &Places) -> Result<()> {
    let mut cargo = places.cargo(&["test", "--release", "--doc"]);
    shell::run(cargo.args(NATIVE))?;
    for source in shell::list(&places.root.join("examples"))? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy();
        shell::run(&mut places.program(&places.example(&name)))?;
    }
    Ok(())
}

/// The tests that drive the built page in Chromium and Firefox, from this program and from `limbeck serve`. All must have been built.
fn page_tests(places: &Places, browser: &Browser, args: &[String]) -> Result<()> {
    let mut cargo = places.cargo(&["test", "--release", "--package", "it-page"]);
    // Two browsers at once would only wait for each other, and a test that hangs could not be told from one that waits.
    let one_by_one = [&["--test-threads=1".to_owned()], args].concat();
    let cargo = for_the_page(&mut cargo, places, browser)?;
    harness::run(timed(cargo, &one_by_one), Patience::Driving).map(|_| ())
}

/// What the programs that drive the page have to know.
fn for_the_page<'a>(
    cargo: &'a mut Command,
    places: &Places,
    browser: &Browser,
) -> Result<&'a mut Command> {
    Ok(cargo
        .env("LIMBECK_PICTURES", places.target.join("pictures"))
        .env("LIMBECK_BINARY", places.release_binary("limbeck"))
        // Not the path of this process: building the workspace may have replaced its file.
        .env("LIMBECK_XTASK", places.release_binary("xtask"))
        .env("CHROMEDRIVER", &browser.driver)
        .env("GECKODRIVER", setup::firefox(places)?))
}

/// Gives the harness its arguments and lets it tell the time of each test. libtest does so only where unstable options are
/// allowed, which its environment says; that of cargo would make it build crates anew.
fn timed<'a>(cargo: &'a mut Command, args: &[String]) -> &'a mut Command {
    cargo.arg("--");
    if let (true, Some(host)) = (cfg!(unix), shell::ask("rustc", &["--print", "host-tuple"])) {
        let host = host.to_uppercase().replace('-', "_");
        cargo
            .env(
                format!("CARGO_TARGET_{host}_RUNNER"),
                "env RUSTC_BOOTSTRAP=1",
            )
            .args(["-Z", "unstable-options", "--report-time"]);
    }
    cargo.args(args)
}
