//! Who may speak to the engine: only pages of this program, opened by its link.
//!
//! Every program of this machine and every page of the web can send requests to 127.0.0.1. So the name that was asked for
//! is checked (a foreign name may be made to point here), the origin of the asking page, and a random token.
//!
//! The token is printed for the person at the terminal. The program that opens the browser gets a code instead: whatever
//! stands in its arguments can be read by every user of this machine for as long as it runs, and a browser that it starts
//! runs for hours. So the code is good for one request within a minute, and that request gets the token as a cookie.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};

use crate::error::CliError;

/// Bytes of a secret: 128 bits.
const SECRET_BYTES: usize = 16;
/// How long the code for the browser is good: a browser that has to start first may take half a minute.
const CODE_TIME: Duration = Duration::from_secs(60);

/// What a request must show.
pub struct Guard {
    port: u16,
    token: String,
    code: Mutex<Option<Code>>,
}

/// Good for one request in place of the token.
struct Code {
    text: String,
    made: Instant,
}

/// How a request showed the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the link: it gets a cookie for what follows.
    Link,
    /// By the code that opens the browser: it gets the cookie, and then an address without the code.
    Code,
    /// By the cookie.
    Cookie,
    /// It needs none.
    Public,
}

impl Guard {
    /// With a new token.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(port: u16) -> Result<Self, CliError> {
        Ok(Self {
            port,
            token: secret()?,
            code: Mutex::default(),
        })
    }

    /// What a person opens.
    pub fn link(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    /// What the program that opens the browser is given. It takes the place of any before.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn link_for_opener(&self) -> Result<String, CliError> {
        let text = secret()?;
        let link = format!("http://127.0.0.1:{}/?code={text}", self.port);
        let made = Instant::now();
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(Code { text, made });
        Ok(link)
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// A text for people: the request names another host, comes from another page, or lacks the token.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<Way, String> {
        let host = headers.get(HOST).map_or("", text);
        if !self.hosts().iter().any(|ours| ours == host) {
            return Err(format!(
                "limbeck serve answers only on 127.0.0.1:{}, but the request was for `{host}`. Open the link that it printed.",
                self.port
            ));
        }
        if let Some(origin) = headers.get(ORIGIN).map(text)
            && origin.strip_prefix("http://") != Some(host)
        {
            return Err(format!(
                "limbeck serve answers only its own page, but the request came from a page of `{origin}`."
            ));
        }
        if is_public(uri) {
            return Ok(Way::Public);
        }
        if query(uri, "token").is_some_and(|token| self.knows(token)) {
            return Ok(Way::Link);
        }
        if query(uri, "code").is_some_and(|code| self.takes(code)) {
            return Ok(Way::Code);
        }
        if cookies(headers).any(|(name, token)| name == self.cookie_name() && self.knows(token)) {
            return Ok(Way::Cookie);
        }
        Err(
            "This link has no token, or one from an earlier start, or it has opened a browser once already. Open the link \
             that limbeck serve printed."
                .to_owned(),
        )
    }

    /// The cookie that carries the token after the first request. Cookies of all ports of a host lie together, so the port
    /// is in its name.
    pub fn cookie(&self) -> Option<HeaderValue> {
        let cookie = format!(
            "{}={}; HttpOnly; SameSite=Strict; Path=/",
            self.cookie_name(),
            self.token
        );
        HeaderValue::from_str(&cookie).ok()
    }

    fn cookie_name(&self) -> String {
        format!("limbeck-{}", self.port)
    }

    /// What a page may load and speak to: this program, and the hub that teachers come from. No script may stand within
    /// the HTML.
    pub fn content_policy(&self) -> String {
        let sockets: Vec<String> = self
            .hosts()
            .iter()
            .map(|host| format!("ws://{host}"))
            .collect();
        format!(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self' {} https://huggingface.co \
             https://*.huggingface.co https://*.hf.co; object-src 'none'; base-uri 'self'; form-action 'none'; \
             frame-ancestors 'self'",
            sockets.join(" ")
        )
    }

    fn hosts(&self) -> Vec<String> {
        let names = ["127.0.0.1", "localhost"];
        let mut hosts: Vec<String> = names.map(|name| format!("{name}:{}", self.port)).into();
        // Browsers leave the usual port out.
        if self.port == 80 {
            hosts.extend(names.map(str::to_owned));
        }
        hosts
    }

    fn knows(&self, token: &str) -> bool {
        is_same(&self.token, token)
    }

    /// Whether this is the code, which is good no more then.
    fn takes(&self, code: &str) -> bool {
        let mut ours = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |ours: &mut Code| ours.made.elapsed() < CODE_TIME && is_same(&ours.text, code);
        ours.take_if(good).is_some()
    }
}

/// Takes the same time wherever the first wrong letter is, so that nobody can guess letter by letter.
fn is_same(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (ours.as_bytes(), theirs.as_bytes());
    let difference = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
    ours.len() == theirs.len() && std::hint::black_box(difference) == 0
}

/// A browser asks for the web manifest without cookies, and it tells nothing.
fn is_public(uri: &Uri) -> bool {
    uri.path().ends_with(".webmanifest") || uri.path() == "/manifest.json"
}

/// Random hex digits from the system.
///
/// # Errors
/// The system gives none.
fn secret() -> Result<String, CliError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|e| CliError::Serve(format!("this system gives no random numbers: {e}")))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("")
}

fn query<'a>(uri: &'a Uri, key: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name == key).then_some(value))
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| text(value).split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}
