//! A temporary folder with a teacher, a corpus and a recipe, and what the binary does in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

/// A text, packed.
pub fn gzip(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).expect("memory");
    packed.finish().expect("memory")
}

/// Hidden size H of the teacher.
pub const TEACHER_HIDDEN: usize = 24;
/// Lines of the corpus.
pub const CORPUS_LINES: usize = 40;

/// Three steps of a student so small that a whole run takes a few milliseconds.
const RECIPE: &str = r#"
teacher = "teacher"
corpus = ["corpus.txt"]
max_length = 16
batch = 4
steps = 3
learning_rate = 0.01
device = "cpu"

[student]
layers = 1
hidden = 12
heads = 3
"#;

/// The current folder of the binary: `teacher` (the tiny BERT of the goldens), `corpus.txt` and `recipe.toml`.
pub struct Scene {
    folder: TempDir,
}

impl Scene {
    /// With every file of its own.
    pub fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        scene.copy_golden("tiny-bert", "teacher");
        scene.write("corpus.txt", corpus(CORPUS_LINES));
        scene.write("recipe.toml", RECIPE);
        scene
    }

    /// Where a file or folder of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders that it is in.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        let parent = path.parent().expect("every name is in the folder");
        fs::create_dir_all(parent).expect("making a folder");
        fs::write(&path, bytes).unwrap_or_else(|e| panic!("writing {name}: {e}"));
    }

    /// The bytes of a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("reading {name}: {e}"))
    }

    /// The text of a file.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("a text file")
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap_or_else(|e| panic!("removing {name}: {e}"));
    }

    /// The files below a folder, sorted, with `/` between folders.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let mut files = Vec::new();
        list(&self.path(folder), "", &mut files);
        files.sort();
        files
    }

    /// Layers, hidden size, heads and feed-forward units of the model in a folder.
    pub fn sizes(&self, folder: &str) -> [u64; 4] {
        let config = self.json(&format!("{folder}/config.json"));
        [
            "num_hidden_layers",
            "hidden_size",
            "num_attention_heads",
            "intermediate_size",
        ]
        .map(|size| config[size].as_u64().expect("a size"))
    }

    /// Copies a folder of goldens over a folder of this name.
    pub fn copy_golden(&self, golden: &str, name: &str) {
        let source = golden_folder().join(golden);
        let mut files = Vec::new();
        list(&source, "", &mut files);
        for file in files {
            let bytes = fs::read(source.join(&file)).expect("reading a golden");
            self.write(&format!("{name}/{file}"), bytes);
        }
    }

    /// Changes one field of the teacher's config.json.
    pub fn set_config(&self, field: &str, value: impl Into<Value>) {
        self.set_field("teacher/config.json", &format!("/{field}"), value);
    }

    /// Changes one field, by its JSON pointer, of a JSON file that has it or whose root may get it.
    pub fn set_field(&self, name: &str, pointer: &str, value: impl Into<Value>) {
        let mut json = self.json(name);
        match json.pointer_mut(pointer) {
            Some(field) => *field = value.into(),
            None => json[pointer.trim_start_matches('/')] = value.into(),
        }
        self.write(name, json.to_string());
    }

    /// Has the teacher's tokens made by tokenizer.json as it stands, and not anew by BERT's class.
    pub fn keep_tokenizer_json(&self) {
        let file = "teacher/tokenizer_config.json";
        self.set_field(file, "/tokenizer_class", "PreTrainedTokenizerFast");
    }

    /// Leaves the teacher's tokenizer without the tokens that it puts around a text.
    pub fn drop_special_tokens(&self) {
        self.keep_tokenizer_json();
        let mut tokenizer = self.json("teacher/tokenizer.json");
        tokenizer["post_processor"] = Value::Null;
        self.write("teacher/tokenizer.json", tokenizer.to_string());
    }

    /// A file as JSON.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).expect("a JSON file")
    }

    /// The step lines of a metrics file.
    pub fn steps(&self, name: &str) -> Vec<String> {
        let text = self.text(name);
        let steps = text
            .lines()
            .filter(|line| line.contains(r#""event":"step""#));
        steps.map(str::to_owned).collect()
    }

    /// The binary, ready to start in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limbeck"));
        command.current_dir(self.folder.path()).args(arguments);
        set_hang_up(&mut command, false);
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.command(arguments)
            .output()
            .expect("starting limbeck")
            .into()
    }

    /// Runs the binary to its end in so many KiB of addresses.
    #[cfg(target_os = "linux")]
    pub fn run_within(&self, kib: u64, arguments: &[&str]) -> Outcome {
        let mut limited = Command::new("sh");
        let limit = format!("ulimit -v {kib}; exec \"$@\"");
        limited
            .current_dir(self.folder.path())
            .args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_limbeck")])
            .args(arguments);
        limited.output().expect("starting sh").into()
    }

    /// Starts the binary with its input and outputs piped.
    pub fn piped(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("starting limbeck")
    }

    /// `limbeck distill` with the small recipe and more flags.
    pub fn distill(&self, flags: &[&str]) -> Outcome {
        self.run(&[&["distill", "--config", "recipe.toml"], flags].concat())
    }

    /// `limbeck encode` of the teacher, or of the model that the flags name, with text on standard input.
    pub fn encode(&self, flags: &[&str], input: impl AsRef<[u8]>) -> Outcome {
        let model: &[&str] = match flags.contains(&"--model") {
            true => &[],
            false => &["--model", "teacher"],
        };
        let mut child = self.piped(&[&["encode", "--device", "cpu"], model, flags].concat());
        let mut stdin = child.stdin.take().expect("a piped input");
        // A refusal may come before the input is read.
        stdin.write_all(input.as_ref()).ok();
        drop(stdin);
        child.wait_with_output().expect("the end of limbeck").into()
    }
}

/// Where the goldens are.
pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry of the folder").path();
        let name = path
            .file_name()
            .expect("entries have names")
            .to_string_lossy();
        match path.is_dir() {
            true => list(&path, &format!("{prefix}{name}/"), files),
            false => files.push(format!("{prefix}{name}")),
        }
    }
}

/// Different lines of 3 to 8 words of the teacher's vocabulary.
pub fn corpus(lines: usize) -> String {
    let words: Vec<&str> = "the teacher student layer small large model token words head relation attention read query \
                            key value between two all one"
        .split_whitespace()
        .collect();
    let word = |line: usize, at: usize| words[(line * 7 + at * (1 + line % 5)) % words.len()];
    let line = |line: usize| {
        (0..3 + line % 6)
            .map(|at| word(line, at))
            .collect::<Vec<_>>()
            .join(" ")
    };
    (0..lines).map(|number| line(number) + "\n").collect()
}

/// How the binary ended and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("limbeck prints UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Outcome {
    /// Requires success.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Requires that nothing but this message was printed.
    #[track_caller]
    pub fn refused(&self, code: i32, message: &str) {
        assert_eq!(self.stderr.trim_end(), format!("limbeck: {message}"));
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""));
    }

    /// Requires this message at the end, after whatever a run told before.
    #[track_caller]
    pub fn failed(&self, message: &str) {
        let message = format!("limbeck: {message}");
        assert!(
            self.stderr.trim_end().ends_with(&message),
            "{message}\nis not at the end of\n{}",
            self.stderr
        );
        assert_eq!(self.code, Some(1));
    }

    /// Requires a message of the parser of flags, which goes on with how to use the command.
    #[track_caller]
    pub fn misused(&self, message: &str) {
        assert!(
            self.stderr.starts_with(&format!("error: {message}\n")),
            "{}",
            self.stderr
        );
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""));
    }

    /// The JSON objects of standard output, one a line and nothing else.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        let object = |line: &str| match serde_json::from_str(line) {
            Ok(Value::Object(object)) => Value::Object(object),
            other => panic!("`{line}` is not a JSON object: {other:?}"),
        };
        self.stdout.lines().map(object).collect()
    }

    /// The objects of one kind of event.
    #[track_caller]
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.objects()
            .into_iter()
            .filter(|object| object["event"] == kind)
            .collect()
    }
}

/// Has the program ignore SIGHUP from its start, or not: `nohup` around the tests must not decide.
#[cfg(unix)]
pub fn set_hang_up(command: &mut Command, ignored: bool) {
    use std::os::unix::process::CommandExt;
    let action = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    let set = move || {
        // SAFETY: signal is async-signal-safe, and no handler of ours is installed.
        match unsafe { libc::signal(libc::SIGHUP, action) } {
            libc::SIG_ERR => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec only signal is called.
    unsafe { command.pre_exec(set) };
}

/// Elsewhere there is no SIGHUP.
#[cfg(not(unix))]
pub fn set_hang_up(_: &mut Command, _: bool) {}
