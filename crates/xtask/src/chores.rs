//! One function per chore.
//!
//! Whatever links burn is selected with `--workspace`: another selection may unify features differently, and building
//! burn a second time costs 18 minutes on two cores.

use std::path::Path;

use crate::places::Places;
use crate::setup::{self, Part};
use crate::shell::{self, Error, Result};
use crate::stages::Stages;

/// Installs what the chores need, or only one part of it.
pub fn set_up(places: &Places, only: Option<Part>) -> Result<()> {
    let parts = only.map_or_else(
        || vec![Part::Native, Part::Browser, Part::Golden],
        |part| vec![part],
    );
    for part in parts {
        setup::set_up(part, places)?;
    }
    eprintln!("Everything that was asked for is there.");
    Ok(())
}

/// Format, lints and native tests.
pub fn check(places: &Places) -> Result<()> {
    format_is_right(places)?;
    setup::vulkan()?;
    lint(places)?;
    native_tests(places, &[])
}

/// All tests, native and in the browser; `args` go to both test harnesses.
pub fn test(places: &Places, args: &[String]) -> Result<()> {
    setup::vulkan()?;
    let browser = setup::browser(places)?;
    native_tests(places, args)?;
    browser.test(places, args)
}

/// The browser tests alone.
pub fn browser(places: &Places, args: &[String]) -> Result<()> {
    setup::browser(places)?.test(places, args)
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

/// Runs the benchmarks, or the one named. With the release profile it reuses what the tests have built.
pub fn bench(places: &Places, name: Option<&str>, args: &[String]) -> Result<()> {
    setup::vulkan()?;
    let mut cargo = places.cargo(&[
        "bench",
        "--profile",
        "release",
        "--workspace",
        "--bench",
        "bench",
        "--",
    ]);
    // The peer in PyTorch is timed in the same run where the goldens' Python is installed.
    let python = setup::golden_python_path(places);
    if python.is_file() && std::env::var_os("LIMBECK_PYTHON").is_none() {
        cargo.env("LIMBECK_PYTHON", python);
    }
    shell::run(cargo.args(name).args(args))
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
fn demo_into(places: &Places, out: &Path, flags: &[&str]) -> Result<()> {
    build(places, "--bins")?;
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
    Ok(())
}

/// The whole gate, cheap failures first; ends with the time of each stage.
pub fn ci(places: &Places) -> Result<()> {
    let mut stages = Stages::new(&[
        "format",
        "setup",
        "lint",
        "build",
        "test",
        "memory gate",
        "browser build",
        "browser test",
        "short demo",
    ]);
    let outcome = gate(places, &mut stages);
    eprint!("{stages}");
    outcome
}

fn gate(places: &Places, stages: &mut Stages) -> Result<()> {
    stages.run(|| format_is_right(places))?;
    let browser = stages.run(|| {
        setup::vulkan()?;
        setup::browser(places)
    })?;
    stages.run(|| lint(places))?;
    stages.run(|| build(places, "--all-targets"))?;
    stages.run(|| native_tests(places, &[]))?;
    stages.run(|| bench(places, Some("relation"), &["--gate".to_owned()]))?;
    stages.run(|| browser.build(places))?;
    stages.run(|| browser.test(places, &[]))?;
    // The first command of the README, with enough steps to see that the bundled files are all there.
    let out = places.target.join("demo-short");
    stages.run(|| demo_into(places, &out, &["--set", "steps=50"]))
}

fn format_is_right(places: &Places) -> Result<()> {
    shell::run(&mut places.cargo(&["fmt", "--all", "--check"]))
}

fn lint(places: &Places) -> Result<()> {
    shell::run(&mut places.cargo(&[
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn build(places: &Places, targets: &str) -> Result<()> {
    shell::run(&mut places.cargo(&["build", "--release", "--workspace", targets]))
}

fn native_tests(places: &Places, args: &[String]) -> Result<()> {
    // `cargo test` alone would not build the `limbeck` binary, which tests start as a person does.
    build(places, "--all-targets")?;
    let mut cargo = places.cargo(&["test", "--release", "--workspace"]);
    if let Some(driver) = setup::lavapipe_if_alone() {
        cargo.env("VK_DRIVER_FILES", driver);
    }
    if !args.is_empty() {
        cargo.arg("--").args(args);
    }
    shell::run(&mut cargo)
}
