//! Requests to the hub: what is sent, how long an answer may take, and which failures are worth another try.

use std::fmt;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RANGE, RETRY_AFTER};
use ureq::http::{Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::error::HubError;
use crate::{Event, Tell};

/// Tries of a request before its failure is said.
const TRIES: u32 = 4;
/// The longest that the hub may have us wait in all.
const MOST_WAIT: Duration = Duration::from_secs(60);
/// The variable that names a file of certificates.
pub const CERTIFICATES: &str = "SSL_CERT_FILE";
const CONNECT: Duration = Duration::from_secs(10);

/// The token of a person; no message shows it.
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Whoever asks.
pub struct Asker {
    agent: Agent,
    token: Option<Token>,
    patience: Duration,
}

/// How the hub says no.
#[derive(Debug)]
pub struct Refusal {
    /// Its status.
    pub status: StatusCode,
    /// What is wrong, in the hub's words: `RevisionNotFound`, ...
    pub code: String,
    /// How long to wait, if it says that.
    pub wait: Option<Duration>,
    /// Whether it is a page for people. The hub sends none to programs: something between here and there says no.
    is_page: bool,
}

impl Refusal {
    /// Whether the same answer is to be expected when the hub is asked again.
    pub fn is_final(&self) -> bool {
        let passes = [408, 429].contains(&self.status.as_u16());
        self.status.is_client_error() && !passes && !self.is_page
    }
}

/// Why there was no answer that can be used.
#[derive(Debug)]
pub enum Trouble {
    /// The hub says no.
    Status(Refusal),
    /// The network failed.
    Network {
        /// How, for people.
        why: String,
        /// Whether another try may do better at once.
        again: bool,
    },
    /// Something answered, but not what was asked for.
    Other {
        /// What is wrong with the answer.
        why: String,
    },
}

impl Asker {
    /// Gives up on an answer of which nothing comes for `patience`.
    pub fn new(
        token: Option<Token>,
        patience: Duration,
        certificates: Option<String>,
    ) -> Result<Self, HubError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .tls_config(
                TlsConfig::builder()
                    .root_certs(roots(certificates)?)
                    .build(),
            )
            .user_agent(concat!("limbeck/", env!("CARGO_PKG_VERSION")))
            // Sizes and checksums are those of the file.
            .accept_encoding("identity")
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .timeout_per_write(Some(patience))
            .build();
        Ok(Self {
            agent: config.into(),
            token,
            patience,
        })
    }

    /// Whether a token is sent.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks for what is at an address, from a byte on.
    fn once(&self, url: &str, from: u64) -> Result<Response<Body>, Trouble> {
        let mut request = self.agent.get(url);
        if let Some(Token(token)) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request.call().map_err(|error| {
            let (why, again) = self.why(error);
            Trouble::Network { why, again }
        })?;
        let status = response.status();
        // 416: nothing is there from that byte on, which whoever asked has to know.
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let wait = header(RETRY_AFTER.as_str()).and_then(|wait| wait.trim().parse().ok());
        let kind = header(CONTENT_TYPE.as_str());
        Err(Trouble::Status(Refusal {
            status,
            code: header("x-error-code").unwrap_or_default().to_owned(),
            wait: wait.map(Duration::from_secs),
            is_page: kind.is_some_and(|kind| kind.starts_with("text/html")),
        }))
    }

    /// The same, a few times where the hub is busy or failed.
    pub fn get(&self, url: &str, from: u64, tell: Tell<'_>) -> Result<Response<Body>, Trouble> {
        let mut waited = Duration::ZERO;
        let mut tries = 1;
        loop {
            let trouble = match self.once(url, from) {
                Ok(response) => return Ok(response),
                Err(trouble) => trouble,
            };
            let wait = trouble.wait(tries);
            let Some(wait) = wait.filter(|wait| tries < TRIES && waited + *wait <= MOST_WAIT)
            else {
                return Err(trouble);
            };
            tell(Event::Waiting {
                wait,
                why: trouble.to_string(),
            });
            sleep(wait);
            waited += wait;
            tries += 1;
        }
    }

    /// What the library says of a failure, for people, and whether another try may do better at once.
    fn why(&self, error: ureq::Error) -> (String, bool) {
        use ureq::{Error, Timeout};
        match error {
            Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                let seconds = CONNECT.as_secs();
                (format!("no connection within {seconds} s"), false)
            }
            Error::Timeout(_) => {
                let seconds = self.patience.as_secs();
                (format!("nothing came for {seconds} s"), false)
            }
            Error::HostNotFound => ("no such host, or no network".to_owned(), false),
            Error::Io(error) => of_io(&error),
            error => (error.to_string(), false),
        }
    }

    /// What failed in the middle of an answer.
    pub fn broken(&self, error: impl Into<ureq::Error>) -> String {
        self.why(error.into()).0
    }
}

fn of_io(error: &io::Error) -> (String, bool) {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, UnexpectedEof};
    match error.kind() {
        ConnectionRefused => ("the connection was refused".to_owned(), false),
        ConnectionReset | UnexpectedEof => ("the connection was closed".to_owned(), true),
        _ => {
            let why = error.to_string();
            let hint = match why.contains("certificate") {
                true => format!("; {CERTIFICATES} names those to trust"),
                false => String::new(),
            };
            (why + &hint, false)
        }
    }
}

/// Mozilla's certificates, or those that a person names, as where a company reads along.
fn roots(path: Option<String>) -> Result<RootCerts, HubError> {
    let Some(path) = path else {
        return Ok(RootCerts::WebPki);
    };
    let name = CERTIFICATES;
    let refuse = |why: String| HubError::Setting { name, why };
    let pem = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    let items: Result<Vec<PemItem>, _> = parse_pem(&pem).collect();
    let items = items.map_err(|e| refuse(e.to_string()))?;
    let certificates = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    Ok(RootCerts::from(certificates))
}

impl Trouble {
    /// How long to wait before the next try; none if that is no use.
    fn wait(&self, tries: u32) -> Option<Duration> {
        let usual = Duration::from_secs(1 << (tries - 1));
        match self {
            Self::Status(no) => {
                let passes = matches!(no.status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
                passes.then(|| no.wait.unwrap_or(usual))
            }
            Self::Network { again, .. } => again.then_some(usual),
            Self::Other { .. } => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(no) => write!(f, "status {}", no.status.as_u16()),
            Self::Network { why, .. } | Self::Other { why } => f.write_str(why),
        }
    }
}
