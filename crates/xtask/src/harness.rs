//! Test harnesses, watched while they run. A run has no limit of its own, so a slow machine passes; it fails when no
//! test finishes for a while, and then the test that hangs is named. The slowest tests are listed at the end.

use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::shell::{self, Error, Result};

/// How long no test may start or finish.
#[derive(Clone, Copy)]
pub enum Patience {
    /// For tests that only compute. The first one in a browser waits for a module of 20 MB besides.
    Computing,
    /// For tests that drive a page: they consist of many waits, each with a limit that goes by the page's progress.
    Driving,
}

impl Patience {
    fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Computing => 600,
            Self::Driving => 1800,
        })
    }
}

/// As long as cargo compiles, nothing is written to standard output, and there is no limit.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the harnesses of one command have told.
#[derive(Default)]
pub struct Report {
    /// Tests that passed in runs that passed as a whole.
    pub passed: usize,
    running: Vec<(String, Instant)>,
    finished: Vec<(String, Option<Duration>)>,
}

/// What one line of a harness says.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    /// The only test that runs now.
    Started(&'a str),
    /// One of several that run, and slow.
    Slow(&'a str),
    Finished(&'a str, Option<Duration>),
    Passed(usize),
}

impl<'a> Line<'a> {
    /// Understands libtest, which writes `test NAME ... ` when it runs one test at a time, and the harness of wasm-bindgen.
    fn read(line: &'a str) -> Option<Self> {
        if let Some(name) = line.strip_prefix("Invoking test: ") {
            return Some(Self::Started(name.trim_end()));
        }
        if let Some(rest) = line.strip_prefix("test result: ok. ") {
            return rest.split(' ').next()?.parse().ok().map(Self::Passed);
        }
        let rest = line.strip_prefix("test ")?;
        if let Some((name, _)) = rest.split_once(" has been running for over ") {
            return Some(Self::Slow(name));
        }
        let (name, outcome) = rest.split_once(" ... ")?;
        let is_over = ["ok", "FAIL", "ignored"]
            .iter()
            .any(|end| outcome.starts_with(end));
        if !is_over {
            return Some(Self::Started(name));
        }
        let time = outcome
            .trim_end()
            .strip_suffix("s>")
            .and_then(|rest| rest.rsplit('<').next()?.parse().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Some(Self::Finished(name, time))
    }
}

impl Report {
    /// Notes a line; `true` if it shows progress.
    fn note(&mut self, line: &str, now: Instant) -> bool {
        match Line::read(line) {
            Some(Line::Started(name)) => {
                self.running.retain(|(running, _)| running == name);
                self.runs(name, now)
            }
            Some(Line::Slow(name)) => self.runs(name, now),
            Some(Line::Finished(name, time)) => {
                let place = self.running.iter().position(|(running, _)| running == name);
                let start = place.map(|place| self.running.remove(place).1);
                let time = time.or_else(|| Some(now.duration_since(start?)));
                self.finished.push((name.to_owned(), time));
                true
            }
            Some(Line::Passed(count)) => {
                self.passed += count;
                true
            }
            None => false,
        }
    }

    fn runs(&mut self, name: &str, now: Instant) -> bool {
        let is_new = self.running.iter().all(|(running, _)| running != name);
        if is_new {
            self.running.push((name.to_owned(), now));
        }
        is_new
    }

    /// Says which tests hang, as far as the harness told.
    fn unfinished(&self) -> String {
        let names: Vec<&str> = self.running.iter().map(|(name, _)| name.as_str()).collect();
        match (names.as_slice(), self.finished.last()) {
            ([], None) => "no test had started".to_owned(),
            ([], Some((last, _))) => {
                format!("the harness did not say which test ran; the last that finished was {last}")
            }
            (names, _) => format!("not finished: {}", names.join(", ")),
        }
    }
}

/// The ten slowest tests.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timed = self
            .finished
            .iter()
            .filter_map(|(name, time)| Some((name, (*time)?)));
        let mut slowest: Vec<_> = timed.collect();
        slowest.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let total: Duration = slowest.iter().map(|(_, time)| *time).sum();
        slowest.truncate(10);
        let shown: Duration = slowest.iter().map(|(_, time)| *time).sum();
        writeln!(
            f,
            "\nslowest tests: {} of {} take {:.1} of {:.1} s",
            slowest.len(),
            self.finished.len(),
            shown.as_secs_f64(),
            total.as_secs_f64()
        )?;
        for (name, time) in slowest {
            writeln!(f, "{:>8.1} s  {name}", time.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Runs a command that ends in test harnesses, shows their output as it comes, and lists the slowest tests.
pub fn run(command: &mut Command, patience: Patience) -> Result<Report> {
    watch(command, patience.time(), &mut io::stdout())
}

fn watch(command: &mut Command, patience: Duration, echo: &mut dyn Write) -> Result<Report> {
    let shown = shell::show(command);
    let failed = |cause| Error::NotStarted {
        command: shown.clone(),
        cause,
    };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let (send, chunks) = mpsc::channel();
    if let Some(mut output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut some) {
                if send.send(some[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    let mut report = Report::default();
    let mut text = Vec::new();
    let mut progress = None;
    loop {
        let left = progress.map_or(A_DAY, |last: Instant| {
            patience.saturating_sub(last.elapsed())
        });
        let chunk = match chunks.recv_timeout(left) {
            Ok(chunk) if !left.is_zero() => chunk,
            Err(RecvTimeoutError::Disconnected) => break,
            _ => {
                shell::end_all(&mut child);
                eprint!("{report}");
                return Err(Error::Wrong(format!(
                    "no test finished for {} s, so `{shown}` was ended; {}",
                    patience.as_secs(),
                    report.unfinished()
                )));
            }
        };
        let echoed = echo.write_all(&chunk).and_then(|()| echo.flush());
        echoed.map_err(failed)?;
        text.extend(chunk);
        if take(&mut report, &mut text) || progress.is_none() {
            progress = Some(Instant::now());
        }
    }
    let status = child.wait().map_err(failed)?;
    if !report.finished.is_empty() {
        eprint!("{report}");
    }
    shell::succeeded(shown, status)?;
    Ok(report)
}

/// Moves the whole lines of `text` into the report; `true` if one of them shows progress. What is left is the beginning
/// of a line, which may tell that a test has started.
fn take(report: &mut Report, text: &mut Vec<u8>) -> bool {
    let now = Instant::now();
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let lines: Vec<u8> = text.drain(..whole).collect();
    let mut progress = false;
    for line in String::from_utf8_lossy(&lines).lines() {
        progress |= report.note(line, now);
    }
    let rest = String::from_utf8_lossy(text);
    if matches!(Line::read(&rest), Some(Line::Started(_))) && rest.contains(" ... ") {
        progress |= report.note(&rest, now);
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::{Line, Report, take};
    use std::time::{Duration, Instant};

    fn seconds(time: f64) -> Option<Duration> {
        Some(Duration::from_secs_f64(time))
    }

    #[test]
    fn lines_of_both_harnesses_are_understood() {
        let lines = [
            ("Invoking test: a::b", Some(Line::Started("a::b"))),
            ("test a::b ... ", Some(Line::Started("a::b"))),
            ("test a::b ... printed", Some(Line::Started("a::b"))),
            ("test a::b ... ok", Some(Line::Finished("a::b", None))),
            ("test a::b ... FAIL", Some(Line::Finished("a::b", None))),
            (
                "test a::b ... ok <1.250s>",
                Some(Line::Finished("a::b", seconds(1.25))),
            ),
            (
                "test a - should panic ... FAILED <0.500s>",
                Some(Line::Finished("a - should panic", seconds(0.5))),
            ),
            (
                "test a::b has been running for over 60 seconds",
                Some(Line::Slow("a::b")),
            ),
            (
                "test result: ok. 12 passed; 0 failed; 0 ignored",
                Some(Line::Passed(12)),
            ),
            ("test result: FAILED. 3 passed; 1 failed", None),
            ("running 80 tests", None),
            ("no tests to run!", None),
        ];
        for (text, meaning) in lines {
            assert_eq!(Line::read(text), meaning, "{text}");
        }
    }

    #[test]
    fn a_test_is_timed_from_its_start_in_pieces_of_any_size() {
        let text = "Invoking test: é\ntest é ... ok\nInvoking test: b\ntest b ... ok\n\ntest result: ok. 2 passed; 0 failed\n";
        for size in [1, 7, 1000] {
            let mut report = Report::default();
            let mut rest = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                rest.extend(piece);
                take(&mut report, &mut rest);
            }
            let names: Vec<_> = report.finished.iter().map(|test| &test.0).collect();
            assert_eq!(names, ["é", "b"]);
            assert!(report.finished.iter().all(|test| test.1.is_some()));
            assert_eq!(report.passed, 2);
            assert!(report.running.is_empty());
        }
    }

    #[test]
    fn what_a_test_prints_is_no_progress() {
        let now = Instant::now();
        let mut report = Report::default();
        assert!(report.note("test slow ... ", now));
        assert!(!report.note("still here", now));
        assert!(!report.note("test slow ... ", now), "known already");
        assert_eq!(report.unfinished(), "not finished: slow");
        assert!(report.note("test next ... ", now));
        assert_eq!(report.unfinished(), "not finished: next");
    }

    #[test]
    fn the_ten_slowest_come_first() {
        let mut report = Report::default();
        for time in 1..=20 {
            let line = format!("test t{time} ... ok <{time}.0s>");
            report.note(&line, Instant::now());
        }
        let table = report.to_string();
        let names: Vec<_> = table
            .lines()
            .filter_map(|line| line.split(" s  ").nth(1))
            .collect();
        assert_eq!(names.len(), 10);
        assert_eq!((names[0], names[9]), ("t20", "t11"));
        assert!(table.contains("10 of 20 take 155.0 of 210.0 s"), "{table}");
    }

    #[cfg(unix)]
    #[test]
    fn a_run_that_hangs_is_ended_with_its_programs_and_the_test_named() {
        let folder = std::env::temp_dir().join(format!("limbeck-hang-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = std::process::Command::new("sh");
        command
            .current_dir(&folder)
            .args(["-c", "sh -c 'echo $$ > id; echo; printf \"test hangs ... \"; while :; do sleep 1; echo x; done'; true"]);
        let start = Instant::now();
        let error = super::watch(&mut command, Duration::from_secs(2), &mut std::io::sink()).err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("not finished: hangs"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(30));
        let id = std::fs::read_to_string(folder.join("id")).expect("the program ran");
        std::fs::remove_dir_all(&folder).ok();
        let alive = || {
            let mut kill = std::process::Command::new("sh");
            kill.args(["-c", &format!("kill -0 {}", id.trim())]);
            kill.output().is_ok_and(|output| output.status.success())
        };
        // Its parent is gone, too, so whoever adopts it has to notice its end first.
        for _ in 0..50 {
            if !alive() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("process {id} outlived the run");
    }
}
