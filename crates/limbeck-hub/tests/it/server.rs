//! A hub on this machine: it serves the files of a folder as one model, and misbehaves as it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha1::Digest as _;
use sha2::Digest as _;

/// The model that it has.
pub const MODEL: &str = "golden/tiny";
/// Its commit.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Files from here on are kept as large ones are, under their SHA-256, behind a redirection to another host.
const LARGE: usize = 10_000;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Way {
    /// A status, and headers for it.
    Status(u16, &'static str),
    /// So many bytes, and then nothing for a long time.
    Stall(usize),
    /// So many bytes, and then the connection is closed.
    Cut(usize),
    /// A length of so many bytes more or less than the file has is announced.
    Length(i64),
    /// A byte is another one.
    Wrong,
    /// All of the file, whatever part is asked for.
    Whole,
    /// Another part than is asked for.
    OtherPart,
    /// No length, and this behind the file.
    Endless(&'static str),
    /// Something else altogether.
    Body(&'static str),
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    commit: String,
    /// A part of a path, what becomes of requests for it, and of how many.
    ways: Vec<(String, Way, usize)>,
    seen: Vec<Request>,
}

/// A hub that is there until the tests end.
#[derive(Clone)]
pub struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// With the files of some folders as its model; later ones replace those of earlier ones.
    pub fn of(folders: &[&Path]) -> Self {
        let mut files = BTreeMap::new();
        for folder in folders {
            collect(folder, "", &mut files);
        }
        // Nobody reads these.
        for other in [
            "README.md",
            "onnx/model.onnx",
            "pytorch_model.bin",
            "rust_model.ot",
        ] {
            files.insert(other.to_owned(), b"not for limbeck".to_vec());
        }
        let state = State {
            files,
            commit: COMMIT.to_owned(),
            ways: Vec::new(),
            seen: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            port: listener.local_addr().expect("an address").port(),
            state: Arc::new(Mutex::new(state)),
        };
        let state = server.state.clone();
        let port = server.port;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                thread::spawn(move || serve(&stream, port, &state));
            }
        });
        server
    }

    /// What HF_ENDPOINT is to be.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next `times` requests whose path has `part` in it, from the start of a name on, go another way.
    pub fn misbehave(&self, part: &str, way: Way, times: usize) {
        let way = (part.to_owned(), way, times);
        self.state
            .lock()
            .expect("no panic meanwhile")
            .ways
            .push(way);
    }

    /// Whatever it was told to do is over.
    pub fn behave(&self) {
        self.state.lock().expect("no panic meanwhile").ways.clear();
    }

    /// Has another commit, with some files changed.
    pub fn move_on(&self, commit: &str, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) {
        let mut state = self.state.lock().expect("no panic meanwhile");
        state.commit = commit.to_owned();
        change(&mut state.files);
    }

    /// The requests since this was last asked.
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().expect("no panic meanwhile").seen)
    }

    /// The content of a file.
    pub fn file(&self, name: &str) -> Vec<u8> {
        self.state.lock().expect("no panic meanwhile").files[name].clone()
    }

    /// Whether the model has a file.
    pub fn has(&self, name: &str) -> bool {
        let state = self.state.lock().expect("no panic meanwhile");
        state.files.contains_key(name)
    }

    /// The checksum under which a file is kept.
    pub fn checksum(&self, name: &str) -> String {
        checksum(&self.file(name))
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path() {
            path if path.is_dir() => collect(&path, &format!("{name}/"), files),
            path => drop(files.insert(name, fs::read(path).expect("a file"))),
        }
    }
}

fn checksum(bytes: &[u8]) -> String {
    match bytes.len() >= LARGE {
        true => hex(&sha2::Sha256::digest(bytes)),
        false => {
            let mut sum = sha1::Sha1::new();
            sum.update(format!("blob {}\0", bytes.len()));
            sum.update(bytes);
            hex(&sum.finalize())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a letter");
        text
    })
}

/// One request, and its answer.
fn serve(stream: &TcpStream, port: u16, state: &Mutex<State>) {
    let Some((request, host)) = read(stream) else {
        return;
    };
    let mut state = state.lock().expect("no panic meanwhile");
    state.seen.push(request.clone());
    let path = request.path.clone();
    let found = file(&path, &state).map(|(bytes, commit)| (bytes.clone(), commit.to_owned()));
    // Large files are on another host, as those of the hub are; what is to go another way is the answer there.
    if let Some((bytes, commit)) = &found
        && bytes.len() >= LARGE
        && host.starts_with("127.")
    {
        let (sum, size) = (checksum(bytes), bytes.len());
        let head = format!(
            "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: http://localhost:{port}{path}\r\nX-Repo-Commit: {commit}\r\n\
             X-Linked-Etag: \"{sum}\"\r\nX-Linked-Size: {size}\r\nContent-Length: 0\r\n\r\n"
        );
        let mut stream = stream;
        let _ = stream.write_all(head.as_bytes());
        return;
    }
    let way = state
        .ways
        .iter_mut()
        .find(|(part, _, times)| *times > 0 && has(&path, part));
    let way = way.map(|(_, way, times)| {
        *times -= 1;
        way.clone()
    });
    let api = format!("/api/models/{MODEL}/revision/");
    let answer = match (&way, path.strip_prefix(&api)) {
        (Some(Way::Status(status, headers)), _) => {
            format!("HTTP/1.1 {status} No\r\n{headers}Content-Length: 2\r\n\r\nno").into_bytes()
        }
        (Some(Way::Body(body)), _) => whole(body.as_bytes()),
        (Some(Way::Stall(most)), Some(_)) => {
            let mut answer = whole(listing(&state).as_bytes());
            answer.truncate(*most);
            answer
        }
        (_, Some(revision)) => {
            let revision = revision.split('?').next().unwrap_or_default();
            match ["main", "v1", "refs%2Fpr%2F1", &state.commit].contains(&revision) {
                true => whole(listing(&state).as_bytes()),
                false => no("RevisionNotFound"),
            }
        }
        _ => match found {
            None => no("RepoNotFound"),
            Some((bytes, commit)) => content(&bytes, &commit, &request, way.as_ref()),
        },
    };
    drop(state);
    // Or a client might send its next request to a stream that is being shut.
    let line = answer.windows(2).position(|end| end == b"\r\n");
    let (first, rest) = answer.split_at(line.unwrap_or(answer.len()));
    let close = line.map_or(&b""[..], |_| b"\r\nConnection: close");
    let mut stream = stream;
    let _ = stream.write_all(&[first, close, rest].concat());
    if let Some(Way::Stall(_)) = way {
        thread::sleep(Duration::from_secs(20));
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read(stream: &TcpStream) -> Option<(Request, String)> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut headers = BTreeMap::new();
    for line in lines {
        match line.ok()?.split_once(':') {
            None => break,
            Some((name, value)) => {
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
        }
    }
    let request = Request {
        path: first.split(' ').nth(1)?.to_owned(),
        range: headers.remove("range"),
        token: headers.remove("authorization"),
    };
    Some((request, headers.remove("host").unwrap_or_default()))
}

fn file<'a>(path: &str, state: &'a State) -> Option<(&'a Vec<u8>, &'a str)> {
    let path = path.strip_prefix(&format!("/{MODEL}/resolve/"))?;
    let (_, name) = path.split_once('/')?;
    Some((state.files.get(name)?, &state.commit))
}

fn no(code: &str) -> Vec<u8> {
    format!("HTTP/1.1 404 No\r\nX-Error-Code: {code}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn whole(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn listing(state: &State) -> String {
    let files = state.files.iter().map(|(name, bytes)| {
        let (size, sum) = (bytes.len(), checksum(bytes));
        let git = "f".repeat(40);
        match size >= LARGE {
            true => format!(
                r#"{{"rfilename":"{name}","size":{size},"blobId":"{git}","lfs":{{"sha256":"{sum}","size":{size},"pointerSize":134}}}}"#
            ),
            false => format!(r#"{{"rfilename":"{name}","size":{size},"blobId":"{sum}"}}"#),
        }
    });
    let files: Vec<String> = files.collect();
    format!(
        r#"{{"id":"{MODEL}","modelId":"{MODEL}","sha":"{}","siblings":[{}]}}"#,
        state.commit,
        files.join(",")
    )
}

/// A file, or a part of it.
fn content(bytes: &[u8], commit: &str, request: &Request, way: Option<&Way>) -> Vec<u8> {
    let size = bytes.len();
    let from = request.range.as_deref().and_then(|range| {
        let range = range.strip_prefix("bytes=")?;
        range.split('-').next()?.parse::<usize>().ok()
    });
    let from = from.filter(|_| !matches!(way, Some(Way::Whole)));
    let mut body = bytes[from.unwrap_or(0).min(size)..].to_vec();
    let (mut length, mut said) = (body.len() as i64, from.unwrap_or(0));
    match way {
        Some(Way::Stall(most) | Way::Cut(most)) => body.truncate(*most),
        Some(Way::Length(other)) => length += other,
        Some(Way::Wrong) => *body.last_mut().expect("a byte") ^= 1,
        Some(Way::OtherPart) => said += 1,
        Some(Way::Endless(more)) => body.extend(more.as_bytes()),
        _ => {}
    }
    let status = match from {
        Some(_) => format!(
            "206 Partial Content\r\nContent-Range: bytes {said}-{}/{size}",
            size - 1
        ),
        None => "200 OK".to_owned(),
    };
    let length = match way {
        Some(Way::Endless(_)) => "Connection: close\r\n".to_owned(),
        _ => format!("Content-Length: {length}\r\n"),
    };
    let sum = checksum(bytes);
    let head = format!(
        "HTTP/1.1 {status}\r\n{length}ETag: \"{sum}\"\r\nX-Repo-Commit: {commit}\r\nAccept-Ranges: bytes\r\n\r\n"
    );
    [head.as_bytes(), &body].concat()
}

/// Whether a path has this part, and not within a longer name.
fn has(path: &str, part: &str) -> bool {
    let mut found = path.match_indices(part);
    found.any(|(at, _)| part.starts_with('/') || !path[..at].ends_with('_'))
}
