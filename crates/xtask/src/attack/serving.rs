//! `limbeck serve` among hostile clients: whatever they send, a client that behaves gets its answer, and the run takes the
//! steps that it would take alone.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::oracle::{Done, Fault};
use super::process::{PATIENCE, Running};
use super::recipes::{self, Field};
use super::scene::{INPUTS, START, Scene, Source};
use super::socket::{self, BINARY, Link, Socket, TEXT, frame};
use super::{Attack, write};
use crate::shell::{self, Result};

/// How long a hostile client waits for an answer that it may not get.
const IMPATIENCE: Duration = Duration::from_millis(30);
/// Frames whose clients look away: no more than this is sent at once.
const LARGEST: usize = 1 << 20;
/// Steps of the run among hostile clients: more than they have time for.
const STEPS: u64 = 20_000;
/// So many losses are known, if the machine is quick enough, and so many are compared at least.
const KNOWN: u64 = 3000;
const COMPARED: u64 = 200;
/// Of a run that takes other steps than it should.
const LOSS: &str = "has the loss";
/// How often a run is begun again that somebody else has stopped.
const TRIES: usize = 4;
/// Steps between checkpoints, as others set it and as the client sets it that behaves.
const CHECKPOINTS: u64 = 500;
const OURS: u64 = 977;

/// The line of what a run of serve reads: a teacher, texts, a page, and a folder to keep the run in.
pub const SERVE: [&str; 8] = [
    "serve",
    "--no-open",
    "--port",
    "0",
    "--page",
    "page",
    "--keep",
    "kept",
];
/// What it offers to every page.
pub const OFFER: [&str; 4] = ["--teacher", "teacher", "--corpus", "corpus.txt"];

/// Starts serving, and waits for the link.
///
/// # Errors
/// It cannot be started.
pub fn serve(scene: &mut Scene, more: &[&str]) -> Result<(Running, Option<Link>)> {
    let index = "<!doctype html><title>limbeck</title>";
    write(&scene.path("page/index.html"), index.as_bytes())?;
    let mut running = scene.start(&[&SERVE[..], more].concat())?;
    let first_line = |text: &str| {
        text.split_once('\n')
            .and_then(|(line, _)| Link::parse(line))
    };
    let link = running.until(PATIENCE, first_line)?;
    Ok((running, link))
}

/// Somebody who behaves, and has read what the engine says of itself.
pub fn greet(link: &Link) -> Option<Socket> {
    let mut socket = link.socket(PATIENCE)?;
    socket.send(&hello(link)?, &[]);
    socket.until("hello")?;
    Some(socket)
}

/// What a page says first, in the engine's version of the protocol, for which it asks: the answer to another version is its own.
fn hello(link: &Link) -> Option<Value> {
    let mut stream = link.connect(PATIENCE).ok()?;
    let Link { address, token } = link;
    let request = format!(
        "GET /engine.json?token={token} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let (_, mut body) = socket::head(&mut stream)?;
    stream.read_to_end(&mut body).ok()?;
    let told: Value = serde_json::from_slice(&body).ok()?;
    let version = told["protocol"].as_u64()?;
    Some(json!({ "hello": { "version": version, "since_step": 0 } }))
}

/// The recipe of a run as a page sends it, with every field, from what `limbeck distill --json` prints first.
pub fn told_recipe(stdout: &str) -> Option<Value> {
    let start: Value = serde_json::from_str(stdout.lines().next()?).ok()?;
    start["recipe"].is_object().then(|| start["recipe"].clone())
}

/// Serves hostile clients.
pub struct Serve {
    recipe: Value,
    /// The loss of each step, undisturbed.
    losses: BTreeMap<u64, f64>,
    fields: Vec<Field>,
}

impl Serve {
    /// Learns the losses of a run that nothing disturbs.
    ///
    /// # Errors
    /// It does not get there.
    pub fn prepare(source: &Source, base: &Path) -> Result<Self> {
        let mut scene = Scene::new(source, base.to_owned())?;
        let (steps, checkpoints) = (
            format!("steps={STEPS}"),
            format!("checkpoint_every={CHECKPOINTS}"),
        );
        let flags = ["--json", "--set", &steps, "--set", &checkpoints];
        let mut running = scene.start(&[&START[..], &flags].concat())?;
        let last = format!("\"step\":{KNOWN},");
        running.until(PATIENCE, |text| text.contains(&last).then_some(()))?;
        running.signal("INT");
        let outcome = scene.end(running, Done::Nothing)?;
        let metrics = shell::read(&scene.path("student/metrics.jsonl.part"))?;
        let step = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["event"] == "step").then_some((line["step"].as_u64()?, line["loss"].as_f64()?))
        };
        let losses: BTreeMap<u64, f64> = metrics.lines().filter_map(step).collect();
        scene.require(losses.len() as u64 >= COMPARED, "steps are missing")?;
        let recipe = told_recipe(&outcome.stdout).unwrap_or_default();
        scene.require(recipe.is_object(), "no recipe was told")?;
        let fields = recipes::fields(&mut scene)?;
        Ok(Self {
            recipe,
            losses,
            fields,
        })
    }

    /// Begins the run, in place of whatever others have begun, and follows it; what went wrong, if anything did.
    fn begin(&self, link: &Link, scene: &Scene) -> std::result::Result<(), String> {
        let mut socket = greet(link).ok_or("no answer to a hello")?;
        let files = scene.files(&INPUTS).map_err(|e| e.to_string())?;
        let (names, parts): (Vec<&str>, Vec<&[u8]>) = files
            .iter()
            .filter_map(|(name, bytes)| Some((name.strip_prefix("teacher/")?, bytes.as_slice())))
            .unzip();
        socket.send(&json!("stop"), &[]);
        socket.send(
            &json!({ "teacher": { "name": "teacher", "files": names } }),
            &parts,
        );
        socket.send(
            &json!({ "texts": { "names": ["corpus.txt"] } }),
            &[&files["corpus.txt"]],
        );
        // Runs of others may be told of first. This one is known by a number that none of them has.
        let mut recipe = self.recipe.clone();
        recipe["checkpoint_every"] = json!(OURS);
        socket.send(&json!({ "start": { "recipe": recipe } }), &[]);
        let started = |event: &Value| event["started"]["run"]["recipe"]["checkpoint_every"] == OURS;
        socket.find(started).ok_or("no run could be started")?;
        self.follow(&mut socket, 1)
    }

    /// Begins the run when others are gone. What they sent last may arrive later and stop it, as they may; but not for ever.
    fn begin_again(&self, link: &Link, scene: &Scene) -> std::result::Result<(), String> {
        let mut told = self.begin(link, scene);
        for _ in 0..TRIES {
            match &told {
                Err(what) if !what.contains(LOSS) => told = self.begin(link, scene),
                _ => break,
            }
        }
        told
    }

    /// Reads steps of the run up to one of this number, and compares every loss.
    fn follow(&self, socket: &mut Socket, at_least: u64) -> std::result::Result<(), String> {
        let mut last = 0;
        // However slow the machine is: what must not be is that nothing happens.
        while last < at_least {
            let (before, mut wrong) = (last, None);
            socket.find(|event| {
                for step in event["steps"]["steps"].as_array().into_iter().flatten() {
                    let number = step["step"].as_u64().unwrap_or_default();
                    let loss = step["loss"].as_f64();
                    if let Some(known) = self.losses.get(&number)
                        && loss != Some(*known)
                    {
                        wrong = Some(format!("step {number} {LOSS} {loss:?}, not {known:?}"));
                    }
                    last = last.max(number);
                }
                let ended = &event["state"]["state"]["ended"];
                last > before || !ended.is_null()
            });
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            if last == before {
                let told = socket.heard.join("\n  ");
                return Err(format!("no step {at_least}; what was told:\n  {told}"));
            }
        }
        Ok(())
    }
}

impl Attack for Serve {
    fn attempt(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        let inputs = scene.files(&INPUTS)?;
        let (running, link) = serve(scene, &OFFER)?;
        let Some(link) = link else {
            scene.end(running, Done::Nothing)?;
            scene.found(Fault::Other, "it printed no link");
            return Ok(());
        };
        // Clients with the link may also do what a page may; the run of before is theirs to end then.
        let trusted = rng.bool();
        let mut told = Ok(());
        if !trusted {
            told = self.begin(&link, scene);
        }
        let mut open = Vec::new();
        for _ in 0..rng.usize(1..=40) {
            let (what, let_in) = match (trusted, rng.usize(..4)) {
                (_, 0) => (strange_request(&link, rng, &mut open), false),
                (_, 1) => stranger(&link, rng),
                (true, 2) => (self.command(&link, rng, &mut open), false),
                _ => (broken_frames(&link, rng, &mut open), false),
            };
            if let_in {
                scene.found(Fault::Other, format!("a stranger was let in: {what}"));
            }
            scene.note(&what);
        }
        if trusted {
            open.clear();
        }
        let told = told.and_then(|()| match trusted {
            true => self.begin_again(&link, scene),
            false => {
                let mut socket = greet(&link).ok_or("no answer to a hello")?;
                self.follow(&mut socket, COMPARED)
            }
        });
        drop(open);
        running.signal("INT");
        scene.end(running, Done::Nothing)?;
        if let Err(what) = told {
            let fault = match what.contains(LOSS) {
                true => Fault::Silent,
                false => Fault::Other,
            };
            scene.found(fault, what);
        }
        scene.untouched(&INPUTS, &inputs)
    }
}

/// Bytes of any kind.
fn noise(rng: &mut Rng) -> Vec<u8> {
    let most = 1 << rng.usize(..12);
    let length = rng.usize(..most);
    (0..length).map(|_| rng.u8(..)).collect()
}

/// Sends bytes and reads a little of what comes; some connections stay open.
fn send(link: &Link, bytes: &[u8], rng: &mut Rng, open: &mut Vec<TcpStream>) {
    let Ok(mut stream) = link.connect(IMPATIENCE) else {
        return;
    };
    // Whoever is sent away while he speaks has an error to expect.
    stream.write_all(bytes).ok();
    std::io::copy(&mut (&stream).take(4096), &mut std::io::sink()).ok();
    if rng.usize(..3) == 0 {
        open.push(stream);
    }
}

/// A request that is not one, or not whole, or not for us.
fn strange_request(link: &Link, rng: &mut Rng, open: &mut Vec<TcpStream>) -> String {
    let address = &link.address;
    let token = &link.token;
    let long = "a".repeat(rng.usize(..200_000));
    let request = match rng.usize(..9) {
        0 => noise(rng),
        1 => format!("GET /?token={token} HTTP/1.1\r\n").into_bytes(),
        2 => format!("GET /{long} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes(),
        3 => format!("GET / HTTP/1.1\r\nHost: {address}\r\nCookie: {long}\r\n\r\n").into_bytes(),
        4 => format!(
            "POST /engine?token={token} HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"
        )
        .into_bytes(),
        5 => format!(
            "PUT /?token={token} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 18446744073709551615\r\n\r\n"
        )
        .into_bytes(),
        6 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        7 => {
            let path: String = (0..20).map(|_| ["..", "/", "%2e", "%00", "\\", "~", "%"][rng.usize(..7)]).collect();
            format!("GET /{path}?token={token} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes()
        }
        _ => {
            let mut request = link.handshake(Some(token)).into_bytes();
            let at = rng.usize(..request.len());
            request[at] = rng.u8(..);
            request
        }
    };
    send(link, &request, rng, open);
    format!("request {}", short(&request))
}

/// Somebody without the token, or under another name; and whether he was let in.
fn stranger(link: &Link, rng: &mut Rng) -> (String, bool) {
    let Link { address, token } = link;
    let wrong = match rng.usize(..3) {
        0 => String::new(),
        1 => token[1..].to_owned(),
        _ => token.chars().rev().collect(),
    };
    let request = match rng.usize(..5) {
        0 => link.handshake(None),
        1 if wrong != *token => link.handshake(Some(&wrong)),
        2 => link
            .handshake(Some(token))
            .replace(address.as_str(), "evil.example"),
        3 => link
            .handshake(Some(token))
            .replace("\r\n\r\n", "\r\nOrigin: http://evil.example\r\n\r\n"),
        _ => format!("GET / HTTP/1.1\r\nHost: {address}\r\nCookie: limbeck={wrong}\r\n\r\n"),
    };
    let mut let_in = false;
    if let Ok(mut stream) = link.connect(PATIENCE)
        && stream.write_all(request.as_bytes()).is_ok()
    {
        let_in = socket::head(&mut stream).is_some_and(|(head, _)| {
            ["HTTP/1.1 101", "HTTP/1.1 2"]
                .iter()
                .any(|yes| head.starts_with(yes))
        });
    }
    (format!("stranger {}", short(request.as_bytes())), let_in)
}

/// Somebody with the link who breaks the protocol.
fn broken_frames(link: &Link, rng: &mut Rng, open: &mut Vec<TcpStream>) -> String {
    let (Some(mut socket), Some(hello)) = (link.socket(PATIENCE), hello(link)) else {
        return "no socket".to_owned();
    };
    let hello = socket::message(&hello, 0);
    let mut frames = Vec::new();
    for _ in 0..rng.usize(1..=4) {
        frames.extend(broken_frame(hello.as_bytes(), rng));
    }
    // Whoever is sent away while he speaks has an error to expect.
    socket.stream.write_all(&frames).ok();
    if rng.bool() {
        open.push(socket.stream);
    }
    format!("frames {}", short(&frames))
}

fn broken_frame(hello: &[u8], rng: &mut Rng) -> Vec<u8> {
    let texts = br#"{"body":{"texts":{"names":["a","b"]}},"blobs":2}"#;
    match rng.usize(..12) {
        0 => frame(TEXT, true, &noise(rng), rng),
        1 => frame(BINARY, true, &noise(rng), rng),
        2 => frame(rng.u8(..16), rng.bool(), &noise(rng), rng),
        // Announces what never comes.
        3 => frame(TEXT, true, texts, rng),
        4 => frame(TEXT, false, hello, rng),
        5 => {
            let mut cut = frame(TEXT, true, hello, rng);
            cut.truncate(rng.usize(..cut.len()));
            cut
        }
        6 => [&[0x82, 0xff][..], &rng.u64(..).to_be_bytes(), &[0; 4]].concat(),
        7 => [
            &[0x81, 0xff][..],
            &(1_u64 << 30).to_be_bytes(),
            &[0; 4],
            &noise(rng),
        ]
        .concat(),
        // Not masked, and with bits that mean nothing.
        8 => [&[0xf1, 5][..], b"hello"].concat(),
        9 => {
            let mut text = hello.to_vec();
            let at = rng.usize(..text.len());
            text[at] = rng.u8(..);
            frame(TEXT, true, &text, rng)
        }
        10 => {
            let depth = rng.usize(..LARGEST);
            frame(TEXT, true, "[".repeat(depth).as_bytes(), rng)
        }
        _ => (0..rng.usize(..300))
            .flat_map(|_| frame(9, true, b"", rng))
            .collect(),
    }
}

impl Serve {
    /// Somebody with the link who asks for anything, in any order.
    fn command(&self, link: &Link, rng: &mut Rng, open: &mut Vec<TcpStream>) -> String {
        let Some(mut socket) = link.socket(PATIENCE) else {
            return "no socket".to_owned();
        };
        let mut said = Vec::new();
        for _ in 0..rng.usize(1..=6) {
            let (body, parts) = self.any_command(rng);
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            socket.send(&body, &parts);
            said.push(short(body.to_string().as_bytes()));
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..30)));
        if rng.bool() {
            open.push(socket.stream);
        }
        format!("commands {}", said.join("; "))
    }

    fn any_command(&self, rng: &mut Rng) -> (Value, Vec<Vec<u8>>) {
        let simple = ["pause", "step", "resume", "stop", "restore", "discard"];
        let parts: Vec<Vec<u8>> = (0..rng.usize(..3)).map(|_| noise(rng)).collect();
        let names = [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "../out",
            "",
            "a\0b",
        ];
        let any: Vec<&str> = (0..rng.usize(..4))
            .map(|_| names[rng.usize(..names.len())])
            .collect();
        let body = match rng.usize(..12) {
            0..=3 => return (json!(simple[rng.usize(..simple.len())]), Vec::new()),
            4 => json!({ "hello": { "version": rng.u32(..8), "since_step": rng.u64(..) } }),
            5 => json!({ "teacher": { "name": "any", "files": any } }),
            6 => json!({ "texts": { "names": any } }),
            7 => json!({ "checkpoint": { "name": "any" } }),
            8 => {
                let what = ["student", "student_with_onnx", "checkpoint"][rng.usize(..3)];
                json!({ "export": { "what": what } })
            }
            9 => {
                let command = ["sentence", "search"][rng.usize(..2)];
                json!({ command: { "text": String::from_utf8_lossy(&noise(rng)) } })
            }
            _ => {
                let mut recipe = self.recipe.clone();
                recipes::change_json(&mut recipe, &self.fields, rng);
                return (json!({ "start": { "recipe": recipe } }), Vec::new());
            }
        };
        (body, parts)
    }
}

/// The beginning of what was sent, for the log.
fn short(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(120)];
    let dots = if bytes.len() > shown.len() { "..." } else { "" };
    format!("\"{}\"{dots} ({} bytes)", shown.escape_ascii(), bytes.len())
}
