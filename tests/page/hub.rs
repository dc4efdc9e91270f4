//! A hub with one model, the bundled teacher, on this machine. It can break off in the middle of a file.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

/// The model's id.
pub const MODEL: &str = "limbeck/teacher";

/// A running hub; it ends with the test program.
pub struct Hub {
    /// Its origin.
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    breaks: AtomicBool,
    ranges: Mutex<Vec<Range<usize>>>,
}

impl Hub {
    /// Starts one. While it `breaks`, no part of the weights but the first comes whole.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        state.breaks.store(true, Ordering::SeqCst);
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                // A browser that goes away in the middle is none of the hub's business.
                std::thread::spawn(move || answer(stream, &state).ok());
            }
        });
        Self { url, state }
    }

    /// From now on every part comes whole.
    pub fn mend(&self) {
        self.state.breaks.store(false, Ordering::SeqCst);
    }

    /// The parts of the weights that were asked for, in this order.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        self.state.ranges.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut range = None;
    for line in lines.map_while(Result::ok).take_while(|l| !l.is_empty()) {
        let line = line.to_ascii_lowercase();
        let bytes = line
            .strip_prefix("range: bytes=")
            .and_then(|r| r.split_once('-'));
        range =
            range.or(bytes.and_then(|(a, b)| Some(a.parse().ok()?..b.parse::<usize>().ok()? + 1)));
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    if request.starts_with("OPTIONS") {
        return reply(stream, "204 No Content", "", &[], 0);
    }
    if path.starts_with(&format!("/api/models/{MODEL}?")) {
        let body = listing();
        return reply(stream, "200 OK", "", &body, body.len());
    }
    let name = path
        .split_once("/resolve/")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(_, name)| name);
    let Ok(file) = std::fs::read(folder().join(name)) else {
        return reply(stream, "404 Not Found", "", &[], 0);
    };
    let range = range.unwrap_or(0..file.len());
    let mut sent = range.len();
    if name == "model.safetensors" {
        state.ranges.lock().unwrap().push(range.clone());
        if range.start > 0 && state.breaks.load(Ordering::SeqCst) {
            sent /= 2;
        }
    }
    let about = format!(
        "Content-Range: bytes {}-{}/{}\r\n",
        range.start,
        range.end - 1,
        file.len()
    );
    let part = &file[range];
    reply(
        stream,
        "206 Partial Content",
        &about,
        &part[..sent],
        part.len(),
    )
}

/// Announces `length` bytes and sends what it has.
fn reply(
    mut stream: TcpStream,
    status: &str,
    about: &str,
    body: &[u8],
    length: usize,
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: range\r\n{about}\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

fn folder() -> PathBuf {
    crate::root().join("assets/teacher")
}

fn listing() -> Vec<u8> {
    let files = |folder: &str| {
        let entries = std::fs::read_dir(self::folder().join(folder)).unwrap();
        let files = entries.flatten().filter(|file| file.path().is_file());
        let name = |file: &std::fs::DirEntry| format!("{folder}{}", file.file_name().display());
        let siblings: Vec<_> = files
            .map(|f| json!({ "rfilename": name(&f), "size": f.metadata().unwrap().len() }))
            .collect();
        siblings
    };
    let siblings = [files(""), files("1_Pooling/")].concat();
    json!({ "sha": "0123456789abcdef", "siblings": siblings })
        .to_string()
        .into_bytes()
}
