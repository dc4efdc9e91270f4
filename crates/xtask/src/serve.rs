//! A web server for the built page, with the headers that a real host should send.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};

use crate::places::Places;
use crate::shell::{self, Error, Result};
use crate::web;

/// Bytes that the head of a request has at most.
const LONGEST_HEAD: usize = 16 << 10;
/// Headers that a request has at most.
const MOST_HEADERS: usize = 64;

/// What the page may do. Styles in attributes are allowed because the page positions things with them; the foreign
/// addresses are those of the Hugging Face hub and the servers that its files lie on, and mirrors on this machine.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' blob: data:; \
                      connect-src 'self' http://127.0.0.1:* https://huggingface.co https://*.huggingface.co https://*.hf.co; \
                      object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Serves [`Places::dist`] as the folder `under` of a site until it is stopped. Port 0 takes any free one; the first line of
/// standard output is the address.
pub fn page(places: &Places, port: u16, under: &str) -> Result<()> {
    let folder = places.dist();
    if !(under.starts_with('/') && under.ends_with('/')) {
        return Err(Error::Wrong(format!(
            "--under {under} is no folder of a site: it begins and ends with a slash, as /projects/limbeck/ does"
        )));
    }
    if !folder.join("index.html").is_file() {
        return Err(Error::Wrong(format!(
            "{} holds no page; build it with `cargo xtask web`",
            folder.display()
        )));
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|cause| {
        Error::Wrong(format!(
            "cannot listen on port {port} of 127.0.0.1: {cause}. Choose another with --port, or 0 for any"
        ))
    })?;
    if let Ok(address) = listener.local_addr() {
        println!("http://{address}{under}");
        // Whoever started this through a pipe waits for the line.
        std::io::stdout()
            .flush()
            .map_err(shell::file_error(Path::new("standard output")))?;
    }
    eprintln!("Serving {}; ctrl-c stops it.", folder.display());
    std::thread::scope(|scope| {
        for connection in listener.incoming().flatten() {
            let folder = &folder;
            // A thread a connection, because a browser opens some on which it asks for nothing. One that it closes early
            // is no failure of the server.
            scope.spawn(move || answer(connection, folder, under).ok());
        }
    });
    Ok(())
}

/// Answers one request and closes the connection.
fn answer(mut connection: TcpStream, folder: &Path, under: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut some = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = connection.read(&mut some)?;
        if count == 0 || head.len() + count > LONGEST_HEAD {
            return Ok(());
        }
        head.extend_from_slice(&some[..count]);
    }
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let answer = match request.parse(&head) {
        Ok(_) => Answer::to(&request, folder, under),
        Err(error) => Answer::plain(400, &error.to_string()),
    };
    answer.send(&mut connection, request.method == Some("HEAD"))
}

/// What is sent back, without the connection.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn to(request: &httparse::Request, folder: &Path, under: &str) -> Self {
        if !matches!(request.method, Some("GET" | "HEAD")) {
            return Self::plain(405, "only GET and HEAD");
        }
        let header = |name: &'static str| {
            let found = request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).into_owned())
        };
        let Some(path) = path_of(request.path.unwrap_or_default(), under) else {
            return Self::plain(404, "there is no such file");
        };
        Self::file(
            folder,
            &path,
            &header("Accept-Encoding").unwrap_or_default(),
            header("Range").as_deref(),
            header("If-None-Match").as_deref(),
        )
    }

    fn file(
        folder: &Path,
        path: &str,
        accepted: &str,
        range: Option<&str>,
        had: Option<&str>,
    ) -> Self {
        // A range counts bytes of the file as it is.
        let (file, encoding) = match range {
            Some(_) => (folder.join(path), None),
            None => smallest(folder, path, accepted),
        };
        let Ok(bytes) = std::fs::read(&file) else {
            return Self::plain(404, "there is no such file");
        };
        let tag = format!("\"{}\"", web::fingerprint(&bytes));
        let mut headers = vec![
            ("Content-Type", kind(path).to_owned()),
            ("Cache-Control", lifetime(path).to_owned()),
            ("Vary", "Accept-Encoding".to_owned()),
            ("Accept-Ranges", "bytes".to_owned()),
            ("ETag", tag.clone()),
            ("Content-Security-Policy", POLICY.to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("Referrer-Policy", "no-referrer".to_owned()),
        ];
        headers.extend(encoding.map(|name| ("Content-Encoding", name.to_owned())));
        if had.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag)) {
            return Self {
                status: 304,
                headers,
                body: Vec::new(),
            };
        }
        match range.map(|range| part(range, bytes.len())) {
            None | Some(Part::Whole) => Self {
                status: 200,
                headers,
                body: bytes,
            },
            Some(Part::Bytes(from, to)) => {
                let whole = bytes.len();
                headers.push(("Content-Range", format!("bytes {from}-{to}/{whole}")));
                Self {
                    status: 206,
                    headers,
                    body: bytes[from..=to].to_vec(),
                }
            }
            Some(Part::Outside) => {
                headers.push(("Content-Range", format!("bytes */{}", bytes.len())));
                Self {
                    status: 416,
                    headers,
                    body: Vec::new(),
                }
            }
        }
    }

    fn plain(status: u16, text: &str) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
            body: text.as_bytes().to_vec(),
        }
    }

    fn send(&self, connection: &mut TcpStream, head_only: bool) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!(
            "Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.body.len()
        );
        connection.write_all(head.as_bytes())?;
        if !head_only {
            connection.write_all(&self.body)?;
        }
        connection.flush()
    }
}

/// The file that an address means, or nothing if it leads out of the folder, which is `under` on this site.
fn path_of(address: &str, under: &str) -> Option<String> {
    let path = address.split(['?', '#']).next()?.strip_prefix(under)?;
    let plain = |part: Component| matches!(part, Component::Normal(_));
    if path.contains('\\') || !Path::new(path).components().all(plain) {
        return None;
    }
    if path.is_empty() {
        return Some("index.html".to_owned());
    }
    Some(path.to_owned())
}

/// The compressed version that the browser takes, or the file itself.
fn smallest(folder: &Path, path: &str, accepted: &str) -> (PathBuf, Option<&'static str>) {
    for (name, ending) in [("br", "br"), ("gzip", "gz")] {
        let file = folder.join(format!("{path}.{ending}"));
        if takes(accepted, name) && file.is_file() {
            return (file, Some(name));
        }
    }
    (folder.join(path), None)
}

/// Whether an `Accept-Encoding` names this encoding, other than to refuse it.
fn takes(accepted: &str, name: &str) -> bool {
    accepted.split(',').any(|choice| {
        let (choice, weight) = choice.split_once(';').unwrap_or((choice, "q=1"));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        choice.trim().eq_ignore_ascii_case(name) && weight.is_ok_and(|weight| weight > 0.0)
    })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}

/// A file that has the name of its contents never changes; any other may, so a browser asks each time.
fn lifetime(path: &str) -> &'static str {
    if web::is_hashed(path) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// From the first to the last of these bytes, both included.
    Bytes(usize, usize),
    /// It is not of the one form that is understood, and then the answer is the whole file.
    Whole,
    /// No byte of the file.
    Outside,
}

fn part(range: &str, length: usize) -> Part {
    let Some((from, to)) = range
        .strip_prefix("bytes=")
        .and_then(|bytes| bytes.split_once('-'))
    else {
        return Part::Whole;
    };
    let last = length.saturating_sub(1);
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) if from <= to => (from, to.min(last)),
        (Ok(from), Err(_)) if to.is_empty() => (from, last),
        (Err(_), Ok(count)) if from.is_empty() && count > 0 => (length.saturating_sub(count), last),
        _ => return Part::Whole,
    };
    if from < length {
        Part::Bytes(from, to)
    } else {
        Part::Outside
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, lifetime, part, takes};

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!(part("bytes=0-3", 10), Part::Bytes(0, 3));
        assert_eq!(part("bytes=4-", 10), Part::Bytes(4, 9));
        assert_eq!(part("bytes=-4", 10), Part::Bytes(6, 9));
        assert_eq!(part("bytes=4-99", 10), Part::Bytes(4, 9));
        assert_eq!(part("bytes=10-", 10), Part::Outside);
        assert_eq!(part("bytes=3-1", 10), Part::Whole);
        assert_eq!(part("bytes=0-1,4-5", 10), Part::Whole);
        assert_eq!(part("lines=0-1", 10), Part::Whole);
        assert_eq!(part("bytes=0-", 0), Part::Outside);
    }

    #[test]
    fn no_address_leads_out_of_the_folder() {
        let path_of = |address| super::path_of(address, "/");
        assert_eq!(path_of("/").as_deref(), Some("index.html"));
        assert_eq!(path_of("/?hide=form").as_deref(), Some("index.html"));
        assert_eq!(
            path_of("/data/index.json").as_deref(),
            Some("data/index.json")
        );
        for out in [
            "/../secret",
            "/data/../../secret",
            "//etc/passwd",
            "/..\\secret",
            "x",
        ] {
            assert_eq!(path_of(out), None, "{out}");
        }
    }

    #[test]
    fn a_page_in_a_folder_of_a_site_is_nowhere_else() {
        let path_of = |address| super::path_of(address, "/some/folder/");
        assert_eq!(path_of("/some/folder/").as_deref(), Some("index.html"));
        assert_eq!(path_of("/some/folder/sw.js").as_deref(), Some("sw.js"));
        for out in ["/", "/sw.js", "/some/folder", "/some/folder/../x"] {
            assert_eq!(path_of(out), None, "{out}");
        }
    }

    #[test]
    fn encodings_are_chosen_by_the_browser() {
        assert!(takes("gzip, deflate, br", "br"));
        assert!(takes("br;q=0.5", "br"));
        assert!(!takes("br;q=0, gzip", "br"));
        assert!(!takes("", "gzip"));
    }

    #[test]
    fn only_named_contents_are_kept_for_good() {
        assert!(lifetime("page-0123456789abcdef.js").contains("immutable"));
        assert_eq!(lifetime("index.html"), "no-cache");
        assert_eq!(lifetime("data/teacher/model.safetensors"), "no-cache");
    }
}
