//! `cargo xtask attack`: the built program under kills, damaged files, random recipes and hostile clients.
//!
//! One thread a kind, until the time is up. Everything random in a try follows from the seed, the kind and the number of
//! the try, so `--seed S --only KIND --first N` takes the same try again; when a signal arrives is up to the machine. What
//! a try did is kept if it found something: its folder, and in it a file with the commands.

mod corruptions;
mod damage;
mod folders;
mod kills;
mod oracle;
mod process;
mod recipes;
mod scene;
mod serving;
mod socket;
mod tasks;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use fastrand::Rng;

use crate::places::Places;
use crate::shell::{self, Error, Result};
use oracle::{Fault, Finding};
use scene::{Scene, Source};

/// Minutes of the gate's attack, and of one that nobody gives a time.
const MINUTES: f64 = 5.0;
/// Seed of the gate's attack: the same tries each time, so that a change decides and not the draw.
const SEED: u64 = 1;

/// Flags of `cargo xtask attack`.
#[derive(Args)]
pub struct Options {
    /// How long to attack
    #[arg(long, value_name = "N", default_value_t = MINUTES)]
    pub minutes: f64,
    /// Seed of everything random [default: a random one, which is printed first]
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Only this kind
    #[arg(long)]
    pub only: Option<Kind>,
    /// Number of the first try, to repeat one
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub first: u64,
}

/// Those of the gate.
impl Default for Options {
    fn default() -> Self {
        Self {
            minutes: MINUTES,
            seed: Some(SEED),
            only: None,
            first: 1,
        }
    }
}

/// Kinds of attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Runs that are killed, interrupted, out of disk or started twice, and resumed
    Kills,
    /// Damaged files of every kind that the program reads
    Corruptions,
    /// Random recipes and flags
    Recipes,
    /// Hostile clients of `limbeck serve`
    Serve,
    /// Damaged labelled text and lines, and fine-tuning that is killed
    Tasks,
    /// Damaged folders of every form in which a model may lie, and damaged packed texts
    Folders,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Corruptions => "corruptions",
            Self::Recipes => "recipes",
            Self::Serve => "serve",
            Self::Tasks => "tasks",
            Self::Folders => "folders",
        }
    }
}

/// What one kind of attack does in a try; it notes what it finds in the scene.
trait Attack {
    /// # Errors
    /// The attack itself cannot go on: a file of its own cannot be written, say.
    fn attempt(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<()>;
}

/// Attacks the built program, and prints the figures.
///
/// # Errors
/// Something was found, or the attack could not be carried out.
pub fn run(places: &Places, options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("attack: seed {seed}, {} minutes", options.minutes);
    let source = Source::new(places)?;
    let folder = places.target.join("attack").join(seed.to_string());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(shell::file_error(&folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(shell::file_error(&folder))?;
    let end = Duration::try_from_secs_f64(options.minutes * 60.0)
        .ok()
        .and_then(|time| Instant::now().checked_add(time))
        .ok_or_else(|| Error::Wrong(format!("{} minutes are no time", options.minutes)))?;
    let kinds = options
        .only
        .map_or_else(|| Kind::value_variants().to_vec(), |kind| vec![kind]);
    let tallies = std::thread::scope(|scope| {
        let (source, folder) = (&source, folder.as_path());
        let first = options.first;
        let attack = |kind| scope.spawn(move || attack(kind, (seed, first), end, source, folder));
        // All are started before the first is waited for.
        let running: Vec<_> = kinds.into_iter().map(attack).collect();
        let ended = running.into_iter().map(|thread| {
            let failed = |_| {
                Err(Error::Wrong(
                    "the attack itself failed, see above".to_owned(),
                ))
            };
            thread.join().unwrap_or_else(failed)
        });
        ended.collect::<Result<Vec<Tally>>>()
    })?;
    let table = Table(tallies);
    eprint!("\n{table}");
    match table.findings() {
        0 => std::fs::remove_dir_all(&folder).map_err(shell::file_error(&folder)),
        count => Err(Error::Wrong(format!(
            "{count} findings; seed {seed}, and each has its folder in {}",
            folder.display()
        ))),
    }
}

/// One kind, until the time is up.
fn attack(
    kind: Kind,
    (seed, first): (u64, u64),
    end: Instant,
    source: &Source,
    folder: &Path,
) -> Result<Tally> {
    let base = folder.join(format!("{}-base", kind.name()));
    let mut attack: Box<dyn Attack> = match kind {
        Kind::Kills => Box::new(kills::Kills::prepare(source, &base)?),
        Kind::Corruptions => Box::new(corruptions::Corruptions::prepare(source, &base)?),
        Kind::Recipes => Box::new(recipes::Recipes::prepare(source, &base)?),
        Kind::Serve => Box::new(serving::Serve::prepare(source, &base)?),
        Kind::Tasks => Box::new(tasks::Tasks::prepare(source, &base)?),
        Kind::Folders => Box::new(folders::Folders::prepare(source, &base)?),
    };
    let mut tally = Tally::new(kind);
    let mut number = first;
    while Instant::now() < end {
        let place = folder.join(format!("{}-{number}", kind.name()));
        let mut scene = Scene::new(source, place)?;
        attack.attempt(&mut scene, &mut random(seed, kind, number))?;
        for finding in &scene.findings {
            tally.add(finding.fault);
            eprintln!("{} {number}: {finding}", kind.name());
        }
        scene.close(&format!(
            "--seed {seed} --only {} --first {number}",
            kind.name()
        ))?;
        tally.tries += 1;
        number += 1;
    }
    Ok(tally)
}

/// The random numbers of one try.
fn random(seed: u64, kind: Kind, number: u64) -> Rng {
    // Each draw mixes the state well, so neighbours have nothing in common.
    let of_seed = Rng::with_seed(seed).u64(..);
    let of_kind = Rng::with_seed(of_seed ^ (kind as u64 + 1)).u64(..);
    Rng::with_seed(Rng::with_seed(of_kind ^ number).u64(..))
}

/// The figures of a kind.
struct Tally {
    kind: Kind,
    tries: u64,
    faults: [u64; Fault::ALL.len()],
}

impl Tally {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            tries: 0,
            faults: [0; Fault::ALL.len()],
        }
    }

    fn add(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }
}

struct Table(Vec<Tally>);

impl Table {
    fn findings(&self) -> u64 {
        self.0.iter().flat_map(|tally| tally.faults).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14}{:>7}", "attack", "tries")?;
        for fault in Fault::ALL {
            write!(f, "{:>20}", fault.name())?;
        }
        writeln!(f)?;
        for tally in &self.0 {
            write!(f, "{:<14}{:>7}", tally.kind.name(), tally.tries)?;
            for count in tally.faults {
                write!(f, "{count:>20}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault.name(), self.what)
    }
}

/// The bytes of every file below a folder, by its path from there.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let names = shell::tree(folder)?.into_iter();
    names
        .map(|name| Ok((name.clone(), shell::read_bytes(&folder.join(name))?)))
        .collect()
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for name in shell::tree(from)? {
        write(&to.join(&name), &shell::read_bytes(&from.join(&name))?)?;
    }
    Ok(())
}

/// Writes a file and the folders that it is in.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(shell::file_error(parent))?;
    }
    shell::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::{Fault, Kind, Table, Tally, random};

    #[test]
    fn a_try_follows_from_seed_kind_and_number() {
        let draws = |seed, kind, number| random(seed, kind, number).u64(..);
        assert_eq!(draws(1, Kind::Kills, 1), draws(1, Kind::Kills, 1));
        let others = [
            draws(2, Kind::Kills, 1),
            draws(1, Kind::Serve, 1),
            draws(1, Kind::Kills, 2),
        ];
        assert!(!others.contains(&draws(1, Kind::Kills, 1)));
    }

    #[test]
    fn the_table_counts_every_fault_in_its_column() {
        let mut tally = Tally::new(Kind::Kills);
        tally.tries = 7;
        tally.add(Fault::Silent);
        tally.add(Fault::Silent);
        tally.add(Fault::Panic);
        let table = Table(vec![tally, Tally::new(Kind::Serve)]);
        assert_eq!(table.findings(), 3);
        let text = table.to_string();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["kills", "7", "1", "0", "2", "0", "0"]);
        assert_eq!(rows[1], ["serve", "0", "0", "0", "0", "0", "0"]);
    }
}
