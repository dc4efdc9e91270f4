//! The files of the page: inside this program, or in a folder.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::read::MultiGzDecoder;

use crate::error::CliError;

/// Name and gzip bytes of every file, made by build.rs.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Where the page comes from.
pub enum Page {
    /// From this program.
    Embedded,
    /// From a folder, read at every request.
    Folder(PathBuf),
}

impl Page {
    /// The page of this program, or of a folder.
    ///
    /// # Errors
    /// It is not there.
    pub fn find(folder: Option<&Path>) -> Result<Self, CliError> {
        match folder {
            Some(folder) if folder.join("index.html").is_file() => {
                Ok(Self::Folder(folder.to_owned()))
            }
            Some(folder) => Err(CliError::Usage(format!(
                "{} holds no page: it has no index.html. Name a folder that `cargo xtask web` built with --page",
                folder.display()
            ))),
            None if EMBEDDED.is_empty() => Err(CliError::Usage(
                "this build of limbeck contains no page. Run `cargo xtask web` and rebuild limbeck, or name a built \
                 page with --page"
                    .to_owned(),
            )),
            None => Ok(Self::Embedded),
        }
    }

    /// The answer to a request for `path`.
    pub fn answer(&self, path: &str, headers: &HeaderMap) -> Response {
        let name = match path.trim_start_matches('/') {
            "" => "index.html",
            name => name,
        };
        let Some(packed) = self.read(name) else {
            return (
                StatusCode::NOT_FOUND,
                "limbeck serve: the page has no such file",
            )
                .into_response();
        };
        let kind = content_type(name);
        let mut response = match packed {
            Packed::Gzip(bytes) if accepts_gzip(headers) => {
                ([(CONTENT_ENCODING, "gzip")], bytes).into_response()
            }
            packed => match packed.unpack() {
                Ok(bytes) => bytes.into_owned().into_response(),
                Err(error) => return damaged(&error),
            },
        };
        let kept = match has_hash(name) {
            true => "private, max-age=31536000, immutable",
            false => "no-cache",
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        response
    }

    fn read(&self, name: &str) -> Option<Packed> {
        match self {
            Self::Embedded => {
                let at = EMBEDDED
                    .binary_search_by_key(&name, |(name, _)| name)
                    .ok()?;
                Some(Packed::Gzip(EMBEDDED[at].1))
            }
            Self::Folder(folder) if stays_inside(name) => {
                std::fs::read(folder.join(name)).ok().map(Packed::Plain)
            }
            Self::Folder(_) => None,
        }
    }
}

/// A file as it is at hand.
enum Packed {
    Gzip(&'static [u8]),
    Plain(Vec<u8>),
}

impl Packed {
    fn unpack(self) -> std::io::Result<Cow<'static, [u8]>> {
        let packed = match self {
            Self::Plain(bytes) => return Ok(bytes.into()),
            Self::Gzip(packed) => packed,
        };
        let mut bytes = Vec::new();
        MultiGzDecoder::new(packed).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

fn damaged(error: &std::io::Error) -> Response {
    let text =
        format!("limbeck serve: the page in this program is damaged ({error}): build it again");
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

/// Names are made by the page build, so nothing but plain ones is needed: no `..`, no drive, no escapes.
fn stays_inside(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain))
}

/// Whether the content is named by its hash: 12 and more hex digits between `-`, `_` and `.`.
fn has_hash(name: &str) -> bool {
    let is_hash = |part: &str| part.len() >= 12 && part.bytes().all(|b| b.is_ascii_hexdigit());
    name.split(['/', '-', '_', '.']).any(is_hash)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        ["gzip", "*"].contains(&name.trim()) && weight.parse::<f32>() != Ok(0.0)
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "txt" | "toml" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
