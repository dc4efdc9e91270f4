//! A process that is attacked: it is given a time, signals, and what it prints is kept.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::shell::{self, Error, Result};

/// How long anything may take that should take a second: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a process.
const BETWEEN: Duration = Duration::from_millis(2);
/// How long the pipes of an ended process may stay open in the hands of somebody that it started.
const PIPES: Duration = Duration::from_secs(5);

/// How a process ended, and what it printed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it had to be ended because its time was up.
    pub hung: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Whether it succeeded.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0) && !self.hung
    }
}

/// What a process has printed so far.
type Printed = Arc<Mutex<Vec<u8>>>;

/// A process in progress.
pub struct Running {
    child: Child,
    stdout: (Printed, JoinHandle<()>),
    stderr: (Printed, JoinHandle<()>),
}

impl Running {
    /// Starts it without any input.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::start_with(command, b"")
    }

    /// Starts it with this input.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(command: &mut Command, input: &[u8]) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| Error::NotStarted {
            command: command.get_program().display().to_string(),
            cause,
        })?;
        let input = input.to_vec();
        if let Some(mut stdin) = child.stdin.take() {
            // A refusal may come before the input is read.
            thread::spawn(move || stdin.write_all(&input));
        }
        let stdout = gather(child.stdout.take());
        let stderr = gather(child.stderr.take());
        Ok(Self {
            child,
            stdout,
            stderr,
        })
    }

    /// Sends a signal, such as `INT`. It may have ended already.
    pub fn signal(&self, name: &str) {
        shell::ask("kill", &["-s", name, &self.child.id().to_string()]);
    }

    /// Waits until it has ended or this time has passed; `true` if it has ended.
    ///
    /// # Errors
    /// The system does not say.
    pub fn wait(&mut self, time: Duration) -> Result<bool> {
        let start = Instant::now();
        while self.status()?.is_none() {
            if start.elapsed() >= time {
                return Ok(false);
            }
            thread::sleep(BETWEEN);
        }
        Ok(true)
    }

    /// Waits until its standard output holds what is looked for; none if it ended without, or the time was up.
    ///
    /// # Errors
    /// The system does not say how the process does.
    pub fn until<T>(
        &mut self,
        time: Duration,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let start = Instant::now();
        loop {
            // What it printed before its end must be read after its end is known.
            let ended = self.status()?.is_some();
            let found = find(&printed(&self.stdout.0));
            if found.is_some() || ended || start.elapsed() >= time {
                return Ok(found);
            }
            thread::sleep(BETWEEN);
        }
    }

    fn status(&mut self) -> Result<Option<ExitStatus>> {
        let asked = self.child.try_wait();
        asked.map_err(|e| Error::Wrong(format!("a process cannot be waited for: {e}")))
    }

    /// Waits for its end; at the end of the time it is ended by force, with everything that it has started.
    ///
    /// # Errors
    /// The system does not say how the process does.
    pub fn end(mut self, limit: Duration) -> Result<Outcome> {
        let hung = !self.wait(limit)?;
        if hung {
            shell::end_all(&mut self.child);
        }
        let status = self.status()?;
        let start = Instant::now();
        let open = |thread: &JoinHandle<()>| !thread.is_finished() && start.elapsed() < PIPES;
        while open(&self.stdout.1) || open(&self.stderr.1) {
            thread::sleep(BETWEEN);
        }
        Ok(Outcome {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            hung,
            stdout: printed(&self.stdout.0),
            stderr: printed(&self.stderr.0),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever drops it early has no use for it; it fails only for a process that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn printed(printed: &Printed) -> String {
    let bytes = printed.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> (Printed, JoinHandle<()>) {
    let printed = Printed::default();
    let kept = printed.clone();
    let thread = thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut some) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(&some[..count]);
        }
    });
    (printed, thread)
}
