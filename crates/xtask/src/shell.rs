//! Running other programs: every command is shown before it runs, and a failure says which one it was.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Why a chore stopped.
#[derive(Debug)]
pub enum Error {
    /// A program could not be started at all.
    NotStarted {
        /// The command as a person would type it.
        command: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A program ran and reported failure.
    Failed {
        /// The command as a person would type it.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A file could not be read, written or listed.
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Something that the chore needs is not on this machine.
    Missing {
        /// What is missing, and what needs it.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// The commands ran, but what they left behind is wrong.
    Wrong(String),
}

/// What every chore returns.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { command, cause } => {
                write!(f, "could not start `{command}`: {cause}")
            }
            Self::Failed { command, status } => write!(f, "`{command}` failed ({status})"),
            Self::File { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::Missing { what, remedy } => {
                write!(f, "{what}\nTo get it:\n{}", indented(remedy))
            }
            Self::Wrong(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// Shows the command, runs it with this terminal, and fails if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let line = show(command);
    let status = command.status().map_err(|cause| Error::NotStarted {
        command: line.clone(),
        cause,
    })?;
    succeeded(line, status)
}

/// The standard output of a command, and fails if it fails. What it says on standard error is seen.
pub fn output(command: &mut Command) -> Result<String> {
    let line = show(command);
    let answer = command.stderr(Stdio::inherit()).output();
    let answer = answer.map_err(|cause| Error::NotStarted {
        command: line.clone(),
        cause,
    })?;
    succeeded(line, answer.status)?;
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Ends a program at once, with everything that it has started.
pub fn end_all(child: &mut Child) {
    if cfg!(windows) {
        let id = child.id().to_string();
        ask("taskkill", &["/F", "/T", "/PID", &id]);
    } else if let Some(table) = ask("ps", &["-A", "-o", "pid=,ppid="]) {
        let ids: Vec<String> = descendants(&table, child.id())
            .iter()
            .map(u32::to_string)
            .collect();
        ask("sh", &["-c", &format!("kill -KILL {}", ids.join(" "))]);
    }
    // Both fail only for a process that has ended.
    child.kill().ok();
    child.wait().ok();
}

/// The processes below `root` in a table with the id of a process and that of its parent on each line.
fn descendants(table: &str, root: u32) -> Vec<u32> {
    let pair = |line: &str| -> Option<(u32, u32)> {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    let pairs: Vec<(u32, u32)> = table.lines().filter_map(pair).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = pairs.iter().filter(|(id, of)| *of == parent && *id != root);
        found.extend(children.map(|(id, _)| *id));
        next += 1;
    }
    found.remove(0);
    found
}

/// The trimmed standard output of a question that costs nothing, or `None` if the program is absent or says no.
pub fn ask(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let answer = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    answer.status.success().then_some(text)
}

/// Where `program` lies in `PATH`.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(&file))
        .find(|candidate| candidate.is_file())
}

/// Names the file or folder that an operation failed on.
pub fn file_error(path: &Path) -> impl Fn(io::Error) -> Error {
    |cause| Error::File {
        path: path.to_owned(),
        cause,
    }
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(file_error(path))
}

/// The bytes of a file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(file_error(path))
}

/// Makes a file hold exactly these bytes.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(file_error(path))
}

/// The files of a folder in the order of their names.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = file_error(folder);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(&failed)? {
        paths.push(entry.map_err(&failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The paths of all files below a folder, from there on, with `/` between their parts, sorted.
pub fn tree(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let below = tree(&path)?;
            found.extend(below.into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name.into_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// Fails if a command that ran reported failure.
pub fn succeeded(command: String, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed { command, status })
    }
}

/// How many words of a command a message repeats; tests that are left out by name can be a hundred more.
const REPEATED: usize = 24;

/// Prints the command to standard error, so that the output of `bench` stays clean, and returns it for messages.
pub fn show(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.display(), quoted(value)));
        }
    }
    let settings = words.join(" ");
    words.clear();
    words.push(quoted(command.get_program()));
    words.extend(command.get_args().map(quoted));
    let line = words.join(" ");
    if settings.is_empty() {
        eprintln!("> {line}");
    } else {
        eprintln!("> {settings} {line}");
    }
    match words.len() {
        ..=REPEATED => line,
        count => format!(
            "{} ... ({} more words)",
            words[..REPEATED].join(" "),
            count - REPEATED
        ),
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "\"'$&|;()*".contains(c)) {
        format!("'{word}'")
    } else {
        word.into_owned()
    }
}

/// Removes a folder with all that is in it, if it is there.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(file_error(folder)(cause))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{descendants, show};

    #[test]
    fn a_message_repeats_the_beginning_of_a_long_command() {
        let mut command = Command::new("cargo");
        assert_eq!(show(command.args(["test", "a b"])), "cargo test 'a b'");
        let line = show(command.args([""; 40]));
        assert!(line.starts_with("cargo test 'a b' ''"), "{line}");
        assert!(line.ends_with("'' ... (19 more words)"), "{line}");
    }

    #[test]
    fn descendants_are_children_and_theirs_and_nobody_else() {
        let table =
            "    1     0\n   10     1\n   11    10\n   12    11\n   13    10\n   20     1\n";
        assert_eq!(descendants(table, 10), [11, 13, 12]);
        assert!(descendants(table, 20).is_empty());
    }
}
