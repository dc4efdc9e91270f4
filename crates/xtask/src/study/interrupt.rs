//! Ctrl-c during a study: the program that runs is asked to stop, which saves its run, and then the study ends.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::shell::{self, Error, Result};

/// Whether a signal has come, and whom it is for.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stopped: bool,
    /// The process that runs.
    running: Option<u32>,
}

impl Interrupt {
    /// Takes signals from now on. Each is passed on: a second one ends the program at once.
    ///
    /// # Errors
    /// The system takes no handler.
    pub fn watch() -> Result<Self> {
        let interrupt = Self::default();
        let seen = interrupt.clone();
        ctrlc::set_handler(move || seen.stop())
            .map_err(|e| Error::Wrong(format!("cannot handle ctrl-c: {e}")))?;
        Ok(interrupt)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the program that runs to stop, and starts none after it.
    fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        // Windows sends ctrl-c to everything in the terminal by itself.
        if let Some(id) = state.running.filter(|_| cfg!(unix)) {
            shell::ask("kill", &["-INT", &id.to_string()]);
        }
    }

    /// Runs a command to its end, with the terminal.
    ///
    /// # Errors
    /// It fails, or a signal has come.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        self.start(command).map(drop)
    }

    /// Runs a command to its end, and returns its standard output.
    ///
    /// # Errors
    /// It fails, or a signal has come.
    pub fn output(&self, command: &mut Command) -> Result<String> {
        self.start(command.stdout(Stdio::piped()))
    }

    fn start(&self, command: &mut Command) -> Result<String> {
        // A group of its own: the terminal's ctrl-c reaches us alone, and we pass it on once.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let line = shell::show(command);
        let not_started = |cause| Error::NotStarted {
            command: line.clone(),
            cause,
        };
        // A signal that comes while the program is being started waits for its number.
        let mut state = self.state();
        state.go_on()?;
        let child = command.stdin(Stdio::null()).spawn().map_err(not_started)?;
        state.running = Some(child.id());
        drop(state);
        let ended = child.wait_with_output();
        self.state().running = None;
        let ended = ended.map_err(not_started)?;
        if !ended.status.success() {
            self.go_on()?;
        }
        shell::succeeded(line, ended.status)?;
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    /// Whether nobody has asked to stop.
    ///
    /// # Errors
    /// Somebody has.
    pub fn go_on(&self) -> Result<()> {
        self.state().go_on()
    }
}

impl State {
    fn go_on(&self) -> Result<()> {
        match self.stopped {
            true => Err(Error::Wrong(
                "the study was stopped; the same command goes on from here".to_owned(),
            )),
            false => Ok(()),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::Interrupt;
    use crate::shell;

    #[test]
    fn ctrl_c_asks_the_program_to_stop_and_says_how_to_go_on() {
        let name = format!("limbeck-study-interrupt-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::remove_file(&file).ok();
        // A shell cannot trap a signal that was ignored when it started, as in a job in the background; perl can.
        let script = format!(
            "sub note {{ open(F, '>', '{}'); print F \"$_[0]\\n\"; close F }} \
             $SIG{{INT}} = sub {{ note('saved'); exit 1 }}; note(''); sleep 60",
            file.display()
        );
        let interrupt = Interrupt::default();
        let shared = interrupt.clone();
        let study =
            std::thread::spawn(move || shared.run(Command::new("perl").args(["-e", &script])));
        while !file.exists() || interrupt.state().running.is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        interrupt.stop();
        let error = study.join().expect("a thread").expect_err("it was stopped");
        let error = error.to_string();
        assert!(error.contains("the same command goes on"), "{error}");
        assert_eq!(shell::read(&file).expect("what it wrote"), "saved\n");
        // Nothing is started after that.
        let rm = interrupt.run(Command::new("rm").arg(&file));
        rm.expect_err("stopped");
        std::fs::remove_file(&file).expect("it is there");
    }
}
