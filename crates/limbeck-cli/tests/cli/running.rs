//! A run in progress, and what is done to it meanwhile.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::scene::{Outcome, Scene};

/// A run in progress, read line by line.
pub struct Running {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts it with both outputs piped.
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starting limbeck");
        let stdout = BufReader::new(child.stdout.take().expect("a piped output"));
        Self { child, stdout }
    }

    /// `limbeck distill` with the small recipe and more flags; `--json` must be among them.
    pub fn distill(scene: &Scene, flags: &[&str]) -> Self {
        Self::start(scene.command(&[&["distill", "--config", "recipe.toml"], flags].concat()))
    }

    /// Reads up to an event of this kind at this step or a later one.
    pub fn until(&mut self, kind: &str, step: u64) -> Value {
        let mut line = String::new();
        while self
            .stdout
            .read_line(&mut line)
            .expect("reading limbeck's output")
            > 0
        {
            let event: Value = serde_json::from_str(&line).expect("a JSON object");
            if event["event"] == kind && event["step"].as_u64() >= Some(step) {
                return event;
            }
            line.clear();
        }
        panic!("limbeck ended without {kind} {step}");
    }

    /// Sends a signal, such as `-INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([name, &id])
            .status()
            .expect("running kill");
        assert!(sent.success());
    }

    /// Reads what is left until the end.
    pub fn end(mut self) -> Outcome {
        let mut stdout = String::new();
        self.stdout
            .read_to_string(&mut stdout)
            .expect("reading limbeck's output");
        let outcome = self
            .child
            .wait_with_output()
            .expect("the end of limbeck")
            .into();
        Outcome { stdout, ..outcome }
    }
}
