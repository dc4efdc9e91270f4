//! Every chore of limbeck as one command: `cargo xtask <chore>`.

mod archive;
#[cfg(unix)]
mod attack;
mod chores;
mod harness;
mod packages;
mod places;
mod serve;
mod setup;
mod shell;
mod stages;
mod study;
mod wasm;
mod web;
mod wheel;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use places::Places;
use setup::Part;

/// Every chore of limbeck as one command.
///
/// Each chore first finds or installs what it needs, and shows every command that it runs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Find or install what the chores need
    ///
    /// On Debian as root missing packages are installed with apt-get; elsewhere the chore stops and says exactly what
    /// to install. The other chores do this by themselves, each for its own part.
    Setup {
        /// Only this part
        #[arg(long)]
        only: Option<Part>,
    },
    /// Format, spelling, lints, docs and native tests: what to run before every commit
    Check,
    /// All tests: native, in headless Chromium, and of the page
    Test {
        /// For the test harnesses, such as a part of a test's name or --nocapture
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// The tests in browsers alone: of the libraries, and of the page
    Browser {
        /// For the test harnesses, such as a part of a test's name or --nocapture
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Build the program with the page inside, as users have it
    Build,
    /// Build the program for publishing, and pack it as an archive with a checksum and as a wheel for pip
    Dist,
    /// Build the program with the page inside, pack it as a wheel for pip, and try it in a fresh virtual environment
    Wheel,
    /// Build the page into `dist`, and fail if it is larger than its budget
    Web,
    /// Serve `dist` as a real host should
    Serve {
        /// The port on 127.0.0.1; 0 takes any free one
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// The folder of the site that it seems to lie in, such as /projects/limbeck/; outside of it there is nothing
        #[arg(long, default_value = "/")]
        under: String,
    },
    /// Make the goldens of tests/golden anew with PyTorch and show which changed
    Golden,
    /// Run the benchmarks; one JSON object a line on standard output
    Bench {
        /// Only this benchmark
        name: Option<String>,
        /// For the benchmark itself, such as --only
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Distil a student from the bundled teacher on this machine's CPU, without any network
    ///
    /// In an empty build folder it compiles a program without the GPU crates, in a fraction of the time.
    Demo {
        /// Leave the results of earlier demos alone and write to a new folder
        #[arg(long)]
        keep: bool,
    },
    /// Attack the built program for some minutes: kills, damaged files, random recipes, hostile clients
    ///
    /// Any panic, hang, silent difference or touched file fails it, and leaves a folder with what led to it.
    #[cfg(unix)]
    Attack(attack::Options),
    /// Study which choices make a good student: distil arms, score them on tasks, and render docs/study.md
    ///
    /// Nothing is downloaded: teacher, texts and tasks are yours. Stop it when you like; the same command goes on.
    Study(Box<study::Options>),
    /// The whole gate: format, spelling, lints, licences, docs, the page and its size, and all tests, with the time of each stage
    Ci,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match Places::find().and_then(|places| start(cli.chore, &places)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(chore: Chore, places: &Places) -> shell::Result<()> {
    match chore {
        Chore::Setup { only } => chores::set_up(places, only),
        Chore::Check => chores::check(places),
        Chore::Test { args } => chores::test(places, &args),
        Chore::Browser { args } => chores::browser(places, &args),
        Chore::Build => chores::program(places),
        Chore::Dist => chores::dist(places),
        Chore::Wheel => chores::wheel(places),
        Chore::Web => chores::web(places),
        Chore::Serve { port, under } => serve::page(places, port, &under),
        Chore::Golden => chores::golden(places),
        Chore::Bench { name, args } => chores::bench(places, name.as_deref(), &args),
        Chore::Demo { keep } => chores::demo(places, keep),
        #[cfg(unix)]
        Chore::Attack(options) => chores::attack(places, &options),
        Chore::Study(options) => chores::study(places, &options),
        Chore::Ci => chores::ci(places),
    }
}
