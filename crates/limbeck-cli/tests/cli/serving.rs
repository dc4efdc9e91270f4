//! `limbeck serve`: who gets in, what a page is given, and what becomes of a run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use limbeck_protocol::{
    Command, Control, EngineKind, Event, Export, Halt, Message, RunState, VERSION,
};
use limbeck_recipe::Recipe;
use tungstenite::client::{IntoClientRequest, client_with_config};
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message as Frame, WebSocket};

use crate::hub::set_hub;
use crate::scene::{CORPUS_LINES, Outcome, Scene, golden_folder};
use crate::server::{COMMIT, MODEL, Server};

/// A small page: HTML, and a file that is named by its content.
const INDEX: &str =
    "<!doctype html><title>limbeck</title><script src=\"./page-0123456789abcdef.js\"></script>";
const SCRIPT: &str = "page-0123456789abcdef.js";
/// Longer than anything here takes; a test that waits for what never comes fails by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that serves.
struct Serving {
    child: Child,
    address: String,
    token: String,
}

impl Serving {
    fn start(scene: &Scene, flags: &[&str]) -> Self {
        Self::begin(&mut Self::command(scene, &[&["--no-open"], flags].concat()))
    }

    fn command(scene: &Scene, flags: &[&str]) -> Program {
        scene.write("page/index.html", INDEX);
        scene.write(&format!("page/{SCRIPT}"), "start()");
        let usual = "serve --port 0 --page page --keep kept".split(' ');
        let arguments: Vec<&str> = usual.chain(flags.iter().copied()).collect();
        scene.command(&arguments)
    }

    fn begin(command: &mut Program) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starting limbeck");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a piped output");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("reading limbeck's output");
        let link = line.split_whitespace().next();
        let parts = link
            .and_then(|link| link.strip_prefix("http://"))
            .and_then(|link| link.split_once("/?token="));
        let Some((address, token)) = parts else {
            let mut stderr = String::new();
            let mut source = child.stderr.take().expect("a piped output");
            source.read_to_string(&mut stderr).ok();
            panic!("`{line}` begins with no link: {stderr}");
        };
        let (address, token) = (address.to_owned(), token.to_owned());
        Self {
            child,
            address,
            token,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("connecting");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// A request with these headers in place of the usual `Host` and cookie.
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        let mut stream = self.connect();
        let sent = stream.write_all((request + "\r\n").as_bytes());
        sent.expect("sending a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("reading an answer");
        let answer = String::from_utf8(answer).expect("an answer in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        Answer {
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn cookie(&self) -> String {
        let port = self.address.split(':').next_back().expect("a port");
        format!("limbeck-{port}={}", self.token)
    }

    /// A request of the page.
    fn get_as_page(&self, path: &str) -> Answer {
        self.get(path, &[("Host", &self.address), ("Cookie", &self.cookie())])
    }

    /// A WebSocket with these headers more.
    fn socket(&self, query: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
        let url = format!("ws://{}/engine{query}", self.address);
        let mut request = url.into_client_request().expect("a request");
        let more: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                (name, HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        request.headers_mut().extend(more);
        // A student's weights are one frame.
        let config = WebSocketConfig::default().max_frame_size(None);
        let config = config.max_message_size(None);
        match client_with_config(request, self.connect(), Some(config)) {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A page that has said hello and read all that it is told of the present state.
    fn page(&self) -> Socket {
        let origin = format!("http://{}", self.address);
        let headers = [("Origin", origin.as_str()), ("Cookie", &self.cookie())];
        let mut socket = self.socket("", &headers).expect("a WebSocket");
        socket.hello();
        socket.until(|event| matches!(event, Event::State { .. }));
        socket
    }

    fn interrupt(self) -> Outcome {
        let id = self.child.id().to_string();
        let mut kill = Program::new("kill");
        let sent = kill.args(["-INT", &id]).status().expect("running kill");
        assert!(sent.success());
        self.end()
    }

    fn end(mut self) -> Outcome {
        let mut stderr = String::new();
        let mut source = self.child.stderr.take().expect("a piped output");
        source
            .read_to_string(&mut stderr)
            .expect("reading limbeck's messages");
        let code = self.child.wait().expect("the end of limbeck").code();
        let stdout = String::new();
        Outcome {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        let status = self
            .head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        status.unwrap_or_else(|| panic!("{self:?}"))
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        let value = pairs.rfind(|(key, _)| key.eq_ignore_ascii_case(name));
        value.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
}

struct Socket(WebSocket<TcpStream>);

impl Socket {
    fn send(&mut self, body: Command, blobs: &[&[u8]]) {
        let blobs_count = blobs.len();
        let message = Message {
            body,
            blobs: blobs_count,
        };
        self.send_raw(&message.encode().expect("a message"));
        for blob in blobs {
            self.0.send(Frame::binary(blob.to_vec())).expect("sending");
        }
    }

    fn send_raw(&mut self, text: &str) {
        self.0.send(Frame::text(text)).expect("sending");
    }

    fn hello(&mut self) {
        let hello = Command::Hello {
            version: VERSION,
            since_step: 0,
        };
        self.send(hello, &[]);
    }

    /// The next event, after its binary parts; none if the connection is closed.
    fn next(&mut self) -> Option<Event> {
        let message = self.next_text()?;
        self.take_parts(message.blobs);
        Some(message.body)
    }

    fn next_text(&mut self) -> Option<Message<Event>> {
        let text = loop {
            match self.0.read() {
                Ok(Frame::Text(text)) => break text,
                Ok(Frame::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return None;
                }
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        };
        Some(Message::<Event>::decode(&text).expect("an event"))
    }

    fn take_parts(&mut self, count: usize) {
        for _ in 0..count {
            let part = self.0.read().expect("a part");
            assert!(part.is_binary(), "{part:?}");
        }
    }

    /// One of the exported files, as text.
    fn exported(&mut self, wanted: &str) -> String {
        loop {
            let message = self.next_text().expect("an event");
            let Event::Files { files, .. } = message.body else {
                self.take_parts(message.blobs);
                continue;
            };
            let at = files.iter().position(|file| file == wanted);
            let at = at.unwrap_or_else(|| panic!("no {wanted} in {files:?}"));
            self.take_parts(at);
            let part = self.0.read().expect("a part").into_data();
            self.take_parts(message.blobs - at - 1);
            return String::from_utf8(part.to_vec()).expect("text");
        }
    }

    /// Reads until exported files follow; says how many.
    fn until_files_begin(&mut self) -> usize {
        loop {
            let message = self.next_text().expect("an event");
            if matches!(message.body, Event::Files { .. }) {
                return message.blobs;
            }
            self.take_parts(message.blobs);
        }
    }

    #[track_caller]
    fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            match self.next() {
                Some(event) if wanted(&event) => return event,
                Some(_) => {}
                None => panic!("closed before what was waited for"),
            }
        }
    }

    /// Requires a refusal with this message, and then the end of the connection.
    #[track_caller]
    fn expect_refusal_and_end(mut self, message: &str) {
        let refused = self.until(|event| matches!(event, Event::Refused { .. }));
        let message = message.to_owned();
        let control = Control::Run;
        assert_eq!(refused, Event::Refused { control, message });
        assert_eq!(self.next(), None);
    }
}

fn texts(name: &str) -> Command {
    let names = vec![name.to_owned()];
    Command::Texts { names }
}

type Headers<'a> = &'a [(&'a str, &'a str)];

#[test]
fn strangers_are_kept_out() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let ours = serving.address.as_str();
    let cookie = serving.cookie();
    let with_token = format!("/?token={}", serving.token);
    let short_token = &with_token[..with_token.len() - 1];
    let host = ("Host", ours);
    let token = ("Cookie", cookie.as_str());
    let other_port = ("Host", "127.0.0.1:1");
    let strangers: [(&str, Headers, &str); 9] = [
        (
            &with_token,
            &[("Host", "evil.example")],
            "the request was for `evil.example`",
        ),
        (
            &with_token,
            &[other_port],
            "the request was for `127.0.0.1:1`",
        ),
        (
            "/",
            &[host, token, ("Origin", "http://evil.example")],
            "from a page of `http://evil.example`",
        ),
        (
            "/",
            &[host, token, ("Origin", "null")],
            "from a page of `null`",
        ),
        ("/", &[host], "This link has no token"),
        ("/?token=", &[host], "This link has no token"),
        (short_token, &[host], "This link has no token"),
        (
            "/engine.json",
            &[host, ("Cookie", "limbeck-1=0")],
            "This link has no token",
        ),
        (SCRIPT_PATH, &[host], "This link has no token"),
    ];
    for (path, headers, message) in strangers {
        let answer = serving.get(path, headers);
        assert_eq!(answer.status(), 403, "{path} {headers:?}");
        assert!(answer.body.contains(message), "{message}: {answer:?}");
        assert!(
            !answer.head.to_lowercase().contains("set-cookie"),
            "{answer:?}"
        );
    }
}

const SCRIPT_PATH: &str = "/page-0123456789abcdef.js";

#[test]
fn strangers_get_no_socket() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let cookie = serving.cookie();
    let token = ("Cookie", cookie.as_str());
    assert_eq!(serving.socket("", &[]).err(), Some(403));
    assert_eq!(serving.socket("?token=0", &[]).err(), Some(403));
    let evil = ("Origin", "http://evil.example");
    assert_eq!(serving.socket("", &[token, evil]).err(), Some(403));
    // Another program of this machine, whose pages share our cookies.
    let neighbour = ("Origin", "http://127.0.0.1:1");
    assert_eq!(serving.socket("", &[token, neighbour]).err(), Some(403));
    let query = format!("?token={}", serving.token);
    assert!(serving.socket(&query, &[]).is_ok());
}

#[test]
fn the_link_opens_the_page_and_its_cookie_the_rest() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let link = format!("/?token={}", serving.token);
    let page = serving.get(&link, &[("Host", &serving.address)]);
    assert_eq!(page.status(), 200);
    let cookie = format!("{}; HttpOnly; SameSite=Strict; Path=/", serving.cookie());
    assert_eq!(page.header("Set-Cookie"), cookie);
    assert_eq!(page.header("Content-Type"), "text/html; charset=utf-8");
    assert_eq!(page.header("Cache-Control"), "no-cache");
    assert_eq!(page.header("X-Content-Type-Options"), "nosniff");
    assert_eq!(page.header("Referrer-Policy"), "no-referrer");
    let policy = page.header("Content-Security-Policy");
    // No script may stand within the HTML, which is what the page build made.
    let scripts = "script-src 'self' 'wasm-unsafe-eval'; ";
    assert!(policy.contains(scripts), "{policy}");
    // The sheet of experiments shows the page in a frame; no other site may.
    assert!(policy.ends_with("; frame-ancestors 'self'"), "{policy}");
    assert_eq!(page.body, INDEX);
    assert!(
        policy.contains(&format!("ws://{}", serving.address)),
        "{policy}"
    );

    let script = serving.get_as_page(SCRIPT_PATH);
    assert_eq!((script.status(), script.body.as_str()), (200, "start()"));
    assert_eq!(
        script.header("Content-Type"),
        "text/javascript; charset=utf-8"
    );
    assert!(script.header("Cache-Control").contains("immutable"));

    let engine = serving.get_as_page("/engine.json");
    assert_eq!(engine.header("Content-Type"), "application/json");
    let reported: serde_json::Value = serde_json::from_str(&engine.body).expect("JSON");
    let wanted = serde_json::json!({ "kind": "native", "protocol": VERSION });
    assert_eq!(reported, wanted);
}

/// Every user of the machine can read what a program was started with.
#[cfg(target_os = "linux")]
#[test]
fn the_program_that_opens_the_browser_never_has_the_token() {
    let scene = Scene::new();
    // The first one that is tried on Linux. It is renamed when it is whole.
    scene.write(
        "bin/xdg-open",
        "#!/bin/sh\necho \"$@\" > opening\nmv opening opened\n",
    );
    let opener = scene.path("bin/xdg-open");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(opener, executable).expect("making it executable");
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}:{path}", scene.path("bin").display());
    let serving = Serving::begin(Serving::command(&scene, &[]).env("PATH", path));
    let start = Instant::now();
    while !scene.path("opened").exists() {
        assert!(start.elapsed() < PATIENCE, "no browser is opened");
        std::thread::sleep(Duration::from_millis(10));
    }
    let arguments = scene.text("opened");
    assert!(!arguments.contains(&serving.token), "{arguments}");
    let start = format!("http://{}", serving.address);
    let path = arguments.trim_end().strip_prefix(&start);
    let path = path.unwrap_or_else(|| panic!("{arguments}"));
    let host = ("Host", serving.address.as_str());

    // A stranger that guesses, or has made the browser ask, spoils nothing.
    let guessed = serving.get("/?code=00000000000000000000000000000000", &[host]);
    assert_eq!(guessed.status(), 403);
    let foreign = serving.get(path, &[host, ("Origin", "http://evil.example")]);
    assert_eq!(foreign.status(), 403);

    let first = serving.get(path, &[host]);
    assert_eq!((first.status(), first.header("Location")), (303, "/"));
    let cookie = format!("{}; HttpOnly; SameSite=Strict; Path=/", serving.cookie());
    assert_eq!(first.header("Set-Cookie"), cookie);
    assert_eq!(first.header("Cache-Control"), "no-store");
    assert_eq!(serving.get_as_page("/").status(), 200);

    let second = serving.get(path, &[host]);
    assert_eq!(second.status(), 403, "{second:?}");
    assert!(!second.head.to_lowercase().contains("set-cookie"));
}

/// More connections than files may be open, and none of them says anything.
#[test]
fn idle_connections_keep_nobody_waiting() {
    let scene = Scene::new();
    let command = Serving::command(&scene, &["--no-open"]);
    let mut limited = Program::new("sh");
    limited
        .args(["-c", "ulimit -n 128; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(scene.path(""));
    let serving = Serving::begin(&mut limited);
    let mut before = serving.page();
    let idle: Vec<TcpStream> = (0..200).map(|_| serving.connect()).collect();
    let start = Instant::now();
    assert_eq!(serving.get_as_page("/").status(), 200);
    let mut after = serving.page();
    for page in [&mut before, &mut after] {
        page.hello();
        page.until(|event| matches!(event, Event::Hello { .. }));
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(idle);
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let mut silent = serving.connect();
    let mut slow = serving.connect();
    slow.write_all(b"GET / HT").expect("sending");
    let mut rest = serving.connect();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", serving.address);
    rest.write_all(request.as_bytes()).expect("sending");
    for connection in [&mut silent, &mut slow, &mut rest] {
        // It fails if nothing comes within the patience.
        connection
            .read_to_end(&mut Vec::new())
            .expect("the end of the connection");
    }
}

/// Browsers answer pings by themselves; what does not is gone, though its connection may stay open for hours.
#[test]
fn a_page_that_answers_no_ping_is_let_go() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let mut gone = serving.connect();
    let request = format!(
        "GET /engine?token={} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        serving.token, serving.address
    );
    gone.write_all(request.as_bytes()).expect("sending");
    let mut answering = serving.page();
    let answering = std::thread::spawn(move || {
        let mut pings = 0;
        while pings < 5 {
            pings += u32::from(answering.0.read().expect("a frame").is_ping());
        }
        answering.hello();
        answering.until(|event| matches!(event, Event::Hello { .. }));
    });
    let mut received = Vec::new();
    gone.read_to_end(&mut received)
        .expect("the end of the connection");
    assert!(received.starts_with(b"HTTP/1.1 101 "), "{received:?}");
    assert!(received.ends_with(&[0x89, 0]), "{received:?}");
    answering.join().expect("a page that is kept");
}

#[test]
fn nothing_outside_the_page_is_served() {
    let scene = Scene::new();
    scene.write("page/.hidden", "hidden");
    let serving = Serving::start(&scene, &[]);
    for path in [
        "/../recipe.toml",
        "/%2e%2e/recipe.toml",
        "/.hidden",
        "//etc/passwd",
        "/nothing.js",
    ] {
        let answer = serving.get_as_page(path);
        assert_eq!(answer.status(), 404, "{path}: {answer:?}");
    }
}

#[test]
fn without_a_page_there_is_nothing_to_serve() {
    let scene = Scene::new();
    scene.write("empty/file", "");
    let outcome = scene.run(&["serve", "--no-open", "--page", "empty"]);
    outcome.refused(
        2,
        "empty holds no page: it has no index.html. Name a folder that `cargo xtask web` built with --page",
    );
}

#[test]
fn a_taken_port_is_named() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let port = serving.address.split(':').next_back().expect("a port");
    let flags = [
        "serve",
        "--no-open",
        "--page",
        "page",
        "--keep",
        "other",
        "--port",
        port,
    ];
    let outcome = scene.run(&flags);
    assert_eq!(outcome.code, Some(1));
    let message = format!("limbeck: cannot listen on 127.0.0.1:{port}: ");
    assert!(outcome.stderr.starts_with(&message), "{outcome:?}");
}

#[test]
fn a_folder_of_somebody_else_is_not_taken() {
    let scene = Scene::new();
    scene.write("page/index.html", INDEX);
    scene.write("mine/run/diary.txt", "dear diary");
    let outcome = scene.run(&["serve", "--no-open", "--page", "page", "--keep", "mine"]);
    outcome.refused(
        2,
        "mine/run exists and was not made by limbeck serve. Choose another folder with --keep",
    );
    assert_eq!(scene.text("mine/run/diary.txt"), "dear diary");
}

#[test]
fn hello_is_answered_to_the_one_that_said_it() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let mut silent = serving
        .socket(&format!("?token={}", serving.token), &[])
        .expect("a socket");
    let mut page = serving
        .socket(&format!("?token={}", serving.token), &[])
        .expect("a socket");
    page.hello();
    let Some(Event::Hello { version, engine }) = page.next() else {
        panic!("no hello");
    };
    assert_eq!((version, engine.kind), (VERSION, EngineKind::Native));
    assert_eq!(engine.keeps, "kept");
    // What goes to all waits for a page's hello; this one's comes only now.
    page.send(texts("a"), &[b"one\n"]);
    page.until(|event| matches!(event, Event::Texts { .. }));
    silent.hello();
    assert!(matches!(silent.next(), Some(Event::Hello { .. })));
}

#[test]
fn every_page_is_told() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let (mut one, mut two) = (serving.page(), serving.page());
    one.send(texts("mine"), &[b"one\ntwo\n"]);
    let reported = |socket: &mut Socket| match socket.until(|e| matches!(e, Event::Texts { .. })) {
        Event::Texts { texts } => (texts[0].name.clone(), texts[0].bytes, texts[0].lines),
        other => panic!("{other:?}"),
    };
    let wanted = ("mine".to_owned(), 8, 2);
    assert_eq!(
        (reported(&mut one), reported(&mut two)),
        (wanted.clone(), wanted)
    );
}

#[test]
fn what_flags_name_is_there_for_every_page() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &DATA);
    let mut page = serving
        .socket(&format!("?token={}", serving.token), &[])
        .expect("a socket");
    page.hello();
    let Event::Teacher { teacher } = page.until(|e| matches!(e, Event::Teacher { .. })) else {
        unreachable!("it was waited for");
    };
    assert_eq!(teacher.name, "teacher");
    let Event::Texts { texts } = page.until(|e| matches!(e, Event::Texts { .. })) else {
        unreachable!("it was waited for");
    };
    assert_eq!(
        (texts[0].name.as_str(), texts[0].lines),
        ("corpus.txt", CORPUS_LINES as u64)
    );
}

#[test]
fn pages_that_break_the_protocol_are_sent_away() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let watching = serving.page();

    let mut liar = serving.page();
    let message = Message {
        body: texts("a"),
        blobs: 2,
    };
    let text = message.encode().expect("a message");
    liar.send_raw(&text);
    liar.0
        .send(Frame::binary(b"one".to_vec()))
        .expect("sending");
    liar.send_raw(&text);
    liar.expect_refusal_and_end(
        "a message announced 2 binary parts, and another message came after 1; reload the page",
    );

    let mut unasked = serving.page();
    unasked
        .0
        .send(Frame::binary(b"one".to_vec()))
        .expect("sending");
    unasked.expect_refusal_and_end(
        "a binary part came that no message had announced; reload the page",
    );

    let mut greedy = serving.page();
    let blobs = usize::MAX;
    let message = Message {
        body: texts("a"),
        blobs,
    };
    greedy.send_raw(&message.encode().expect("a message"));
    greedy.expect_refusal_and_end(&format!(
        "a message announces {blobs} files; up to 4096 can be taken at once"
    ));

    let mut babbling = serving.page();
    babbling.send_raw("hello?");
    babbling.expect_refusal_and_end(
        "cannot parse a message (expected value at line 1 column 1); page and engine have different versions: \
         reload the page",
    );

    let mut watching = watching;
    watching.hello();
    watching.until(|event| matches!(event, Event::Hello { .. }));
}

/// Flags that give teacher and texts.
const DATA: [&str; 4] = ["--teacher", "teacher", "--corpus", "corpus.txt"];

/// The recipe of the scene, with more steps than anybody waits for.
fn long_run(scene: &Scene) -> Command {
    let mut recipe: Recipe = toml::from_str(&scene.text("recipe.toml")).expect("a recipe");
    recipe.steps = 1_000_000;
    Command::Start { recipe }
}

/// A run whose student has 43 MB, more than sockets hold.
fn large_run(scene: &Scene) -> Command {
    let Command::Start { mut recipe } = long_run(scene) else {
        unreachable!("it starts a run");
    };
    let large = "layers = 6\nhidden = 384\nheads = 3\ninit = \"random\"";
    recipe.student = toml::from_str(large).expect("a student");
    Command::Start { recipe }
}

const EXPORT: Command = Command::Export {
    what: Export::Student,
};

/// Whether these are files, or else the refusal.
fn answer_to_export(page: &mut Socket) -> Result<(), String> {
    let is_answer = |e: &Event| matches!(e, Event::Files { .. } | Event::Refused { .. });
    match page.until(is_answer) {
        Event::Files { .. } => Ok(()),
        Event::Refused { message, .. } => Err(message),
        other => unreachable!("{other:?} was not waited for"),
    }
}

/// Its name goes into the student, so it must be that by which others find it: the id with the commit.
#[test]
fn a_teacher_on_the_hub_is_offered_by_its_id() {
    let scene = Scene::new();
    let server = Server::of(&[&golden_folder().join("tiny-bert")]);
    let with_teacher = |model: &str| {
        let flags = ["--no-open", "--corpus", "corpus.txt", "--teacher", model];
        let mut command = Serving::command(&scene, &flags);
        set_hub(&mut command, &scene, &server);
        command
    };
    let refused: Outcome = with_teacher("golden/none")
        .output()
        .expect("starting limbeck")
        .into();
    let message = "limbeck: there is no folder golden/none, so golden/none was taken for a model on the Hugging Face hub: ";
    assert!(refused.stderr.starts_with(message), "{refused:?}");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));

    let serving = Serving::begin(&mut with_teacher(MODEL));
    let mut page = serving.page();
    page.hello();
    let offered = page.until(|event| matches!(event, Event::Teacher { .. }));
    let Event::Teacher { teacher } = offered else {
        unreachable!("it was waited for");
    };
    let pinned = format!("{MODEL}@{COMMIT}");
    assert_eq!(teacher.name, pinned);
    let config = String::from_utf8(server.file("config.json")).expect("JSON");
    assert_eq!(teacher.config, config);
    let mut recipe: Recipe = toml::from_str(&scene.text("recipe.toml")).expect("a recipe");
    recipe.teacher = pinned;
    page.send(Command::Start { recipe }, &[]);
    page.until(|event| *event == Event::State { state: FINISHED });
    page.send(EXPORT, &[]);
    let card = page.exported("README.md");
    assert!(
        card.contains(&format!("base_model: {MODEL}\n"))
            && card.contains(&format!("| Teacher | {MODEL}@{COMMIT}, 2 layers")),
        "{card}"
    );
    drop(serving);
    // The next one has it from the cache.
    server.seen();
    let mut command = with_teacher(&format!("{MODEL}@{COMMIT}"));
    let serving = Serving::begin(&mut command);
    let mut page = serving.page();
    page.hello();
    page.until(|event| matches!(event, Event::Teacher { .. }));
    assert_eq!(server.seen().len(), 0);
}

/// A page that asks and asks, and takes nothing.
#[test]
fn a_page_gets_one_export_at_a_time() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &DATA);
    let mut page = serving.page();
    page.send(large_run(&scene), &[]);
    page.until(has_steps);
    for _ in 0..10 {
        page.send(EXPORT, &[]);
    }
    let answers: Vec<_> = (0..10).map(|_| answer_to_export(&mut page)).collect();
    let files = answers.iter().filter(|answer| answer.is_ok()).count();
    // The last ones may have been read when the first was sent.
    assert!((1..=3).contains(&files), "{answers:?}");
    for message in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(
            message,
            "the files of an earlier export are still on their way to this page. Ask again when they are here"
        );
    }
    page.send(EXPORT, &[]);
    assert_eq!(answer_to_export(&mut page), Ok(()));
}

/// Pages that take nothing do not fill the memory together either.
#[test]
fn exports_wait_for_few_pages_at_once() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &DATA);
    let mut first = serving.page();
    first.send(large_run(&scene), &[]);
    first.until(has_steps);
    first.send(Command::Pause, &[]);
    let state = RunState::Paused;
    first.until(|event| {
        *event
            == Event::State {
                state: state.clone(),
            }
    });
    // The files of a checkpoint are written then; nothing else goes to all pages any more.
    first.until(|event| matches!(event, Event::Checkpoint { .. }));
    let mut pages = [first, serving.page(), serving.page()];
    let mut parts = Vec::new();
    for page in &mut pages[..2] {
        page.send(EXPORT, &[]);
        // Its files are on their way, and it takes no more of them.
        parts.push(page.until_files_begin());
    }
    pages[2].send(EXPORT, &[]);
    let message = answer_to_export(&mut pages[2]).expect_err("too much waits");
    let start = "exported files of 8";
    let end = " MB are still on their way to other pages. Ask again when those pages have them, or close those pages";
    assert!(
        message.starts_with(start) && message.ends_with(end),
        "{message}"
    );
    for (page, parts) in pages.iter_mut().zip(parts) {
        page.take_parts(parts);
    }
    // The last part of the files may be here before their end is known there.
    let start = Instant::now();
    loop {
        pages[2].send(EXPORT, &[]);
        match answer_to_export(&mut pages[2]) {
            Ok(()) => break,
            Err(message) => assert!(start.elapsed() < PATIENCE, "{message}"),
        }
    }
}

fn has_steps(event: &Event) -> bool {
    matches!(event, Event::Steps { steps } if !steps.is_empty())
}

#[test]
fn a_run_is_saved_by_ctrl_c_and_goes_on_in_the_next_start() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &DATA);
    let (mut page, mut watcher) = (serving.page(), serving.page());
    page.send(long_run(&scene), &[]);
    page.until(has_steps);
    watcher.until(has_steps);
    // The run needs no page.
    drop((page, watcher));
    let mut page = serving.page();
    page.until(has_steps);
    let outcome = serving.interrupt();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    page.until(|event| {
        let halt = Halt::Stopped;
        *event
            == Event::State {
                state: RunState::Ended { halt },
            }
    });
    assert_eq!(page.next(), None);

    let serving = Serving::start(&scene, &[]);
    let mut page = serving
        .socket(&format!("?token={}", serving.token), &[])
        .expect("a socket");
    page.hello();
    let Event::Saved { run: Some(saved) } = page.until(|e| matches!(e, Event::Saved { .. })) else {
        panic!("no saved run");
    };
    let reported = format!("saved the run at step {} in kept", saved.step);
    assert!(outcome.stderr.contains(&reported), "{saved:?} {outcome:?}");
    page.send(Command::Restore, &[]);
    let Event::Steps { steps } = page.until(has_steps) else {
        unreachable!("it was waited for");
    };
    assert_eq!(steps.len() as u64, saved.step);
    page.send(Command::Resume, &[]);
    let next = page.until(|e| matches!(e, Event::Steps { steps } if steps[0].step > saved.step));
    let Event::Steps { steps } = next else {
        unreachable!("it was waited for");
    };
    assert_eq!(steps[0].step, saved.step + 1);
}

#[test]
fn two_programs_do_not_train_in_one_folder() {
    let scene = Scene::new();
    let first = Serving::start(&scene, &DATA);
    let mut page = first.page();
    page.send(long_run(&scene), &[]);
    page.until(has_steps);
    let second = Serving::start(&scene, &DATA);
    let mut page = second.page();
    page.send(long_run(&scene), &[]);
    let Event::Refused { control, message } = page.until(|e| matches!(e, Event::Refused { .. }))
    else {
        unreachable!("it was waited for");
    };
    assert_eq!(control, Control::Run);
    let process = first.child.id();
    let start = format!("another limbeck serve (process {process}) trains in kept; it last saved ");
    let end = " ago. End it, or start this one with another folder: --keep DIR";
    assert!(
        message.starts_with(&start) && message.ends_with(end),
        "{message}"
    );
}

/// By its name each is a part of the weights, so the engine wants to keep it.
#[test]
fn a_file_of_a_teacher_cannot_leave_the_folder() {
    for (file, reason) in [
        ("model-/../../../out.safetensors", None),
        (
            r"model-\..\..\..\out.safetensors",
            Some(r"`teacher-model-\..\..\..\out.safetensors` cannot be the name of a file"),
        ),
    ] {
        let scene = Scene::new();
        let serving = Serving::start(&scene, &["--corpus", "corpus.txt"]);
        let mut page = serving.page();
        let mut files = scene.files("teacher");
        let mut blobs: Vec<Vec<u8>> = files
            .iter()
            .map(|name| scene.read(&format!("teacher/{name}")))
            .collect();
        files.push(file.to_owned());
        blobs.push(b"out".to_vec());
        let before = scene.files("");
        let name = "odd".to_owned();
        let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
        page.send(Command::Teacher { name, files }, &blobs);
        page.send(long_run(&scene), &[]);
        let Event::Checkpoint { only_in_memory, .. } =
            page.until(|e| matches!(e, Event::Checkpoint { .. }))
        else {
            unreachable!("it was waited for");
        };
        assert_eq!(only_in_memory.as_deref(), reason);
        let mut written = scene.files("");
        written.retain(|name| !before.contains(name));
        assert!(
            written
                .iter()
                .all(|name| !name.ends_with("/out.safetensors")),
            "{written:?}"
        );
    }
}

#[test]
fn ctrl_c_ends_it_while_pages_watch() {
    let scene = Scene::new();
    let serving = Serving::start(&scene, &[]);
    let mut page = serving.page();
    let outcome = serving.interrupt();
    assert_eq!(outcome.code, Some(0));
    // Graphics drivers print what they like.
    assert!(!outcome.stderr.contains("limbeck"), "{outcome:?}");
    assert_eq!(page.next(), None);
}

/// The process that was killed left the lock's file, and the next one says whose place it takes.
#[test]
fn a_folder_that_a_kill_left_is_taken_over() {
    let scene = Scene::new();
    let mut first = Serving::start(&scene, &DATA);
    let mut page = first.page();
    page.send(long_run(&scene), &[]);
    page.until(has_steps);
    let process = first.child.id();
    first.child.kill().expect("killing limbeck");
    first.child.wait().expect("the end of limbeck");
    drop(first);
    let second = Serving::start(&scene, &[]);
    let mut page = second.page();
    page.send(Command::Restore, &[]);
    let state = RunState::Paused;
    page.until(|event| {
        *event
            == Event::State {
                state: state.clone(),
            }
    });
    let outcome = second.interrupt();
    let reported =
        format!("process {process} ended without releasing kept; this one takes it over");
    assert!(outcome.stderr.contains(&reported), "{outcome:?}");
    assert_eq!(scene.text("kept/limbeck.lock"), "");
}

/// Nobody reads what it says, as when its terminal was closed: the run is saved all the same.
#[test]
fn a_run_is_saved_without_a_terminal() {
    let scene = Scene::new();
    let mut serving = Serving::start(&scene, &DATA);
    drop((serving.child.stdout.take(), serving.child.stderr.take()));
    let mut page = serving.page();
    page.send(long_run(&scene), &[]);
    let last_of = |event: &Event| match event {
        Event::Steps { steps } => steps.last().map(|step| step.step),
        _ => None,
    };
    let mut last = last_of(&page.until(has_steps)).unwrap_or(0);
    let id = serving.child.id().to_string();
    let sent = Program::new("kill").args(["-HUP", &id]).status();
    assert!(sent.expect("running kill").success());
    let code = serving.child.wait().expect("the end of limbeck").code();
    assert_eq!(code, Some(0));
    while let Some(event) = page.next() {
        last = last_of(&event).unwrap_or(last);
    }
    let next = Serving::start(&scene, &[]);
    let mut page = next
        .socket(&format!("?token={}", next.token), &[])
        .expect("a socket");
    page.hello();
    let Event::Saved { run: Some(saved) } = page.until(|e| matches!(e, Event::Saved { .. })) else {
        panic!("no saved run");
    };
    assert!(last > 0 && saved.step >= last, "{last} {saved:?}");
}

/// The page's run and the command line's are one: the same losses and evaluations to the last bit.
#[test]
fn serve_and_distill_take_the_same_steps() {
    let scene = Scene::new();
    let flags = ["--set", "steps=12", "--set", "checkpoint_every=5"];
    scene.distill(&flags).done();
    let metrics = scene.text("student/metrics.jsonl");
    let serving = Serving::start(&scene, &DATA);
    let mut page = serving.page();
    let mut recipe: Recipe = toml::from_str(&scene.text("recipe.toml")).expect("a recipe");
    (recipe.steps, recipe.checkpoint_every) = (12, 5);
    page.send(Command::Start { recipe }, &[]);
    let mut reported = Vec::new();
    loop {
        match page.next().expect("an event") {
            Event::Steps { steps } => reported.extend(steps.iter().map(|step| {
                let mut line = serde_json::json!(step.timeless());
                line["event"] = "step".into();
                line
            })),
            Event::Evaluated { evaluation } => reported.push(serde_json::json!({
                "event": "evaluated", "step": evaluation.step, "parts": evaluation.parts,
                "untrained": evaluation.untrained,
            })),
            Event::State { state } if state == FINISHED => break,
            _ => {}
        }
    }
    let kept = metrics
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let kept: Vec<serde_json::Value> = kept.collect();
    assert_eq!(kept.len(), 12 + 4);
    assert_eq!(reported, kept);
}

const FINISHED: RunState = RunState::Ended {
    halt: Halt::Finished,
};
