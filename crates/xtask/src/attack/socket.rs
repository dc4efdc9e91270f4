//! A client of `limbeck serve` by hand: HTTP and WebSocket (RFC 6455) on a bare connection, so that it can also be a bad
//! one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

/// Codes of frames.
pub const TEXT: u8 = 1;
/// See [`TEXT`].
pub const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The bit of a frame that ends a message.
const FINAL: u8 = 0x80;

/// Where a program serves, and the secret of its link.
#[derive(Clone, Debug)]
pub struct Link {
    /// Host and port.
    pub address: String,
    /// The token.
    pub token: String,
}

impl Link {
    /// From the line that `limbeck serve` prints first.
    pub fn parse(line: &str) -> Option<Self> {
        let link = line.split_whitespace().next()?.strip_prefix("http://")?;
        let (address, token) = link.split_once("/?token=")?;
        Some(Self {
            address: address.to_owned(),
            token: token.to_owned(),
        })
    }

    /// A connection whose reads and writes take at most so long.
    pub fn connect(&self, patience: Duration) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(stream)
    }

    /// A WebSocket of somebody who has the link; none if the connection is refused or silent.
    pub fn socket(&self, patience: Duration) -> Option<Socket> {
        let mut stream = self.connect(patience).ok()?;
        stream
            .write_all(self.handshake(Some(&self.token)).as_bytes())
            .ok()?;
        let (head, rest) = head(&mut stream)?;
        let upgraded = head.starts_with("HTTP/1.1 101");
        upgraded.then_some(Socket {
            stream,
            unread: rest,
            patience,
            heard: Vec::new(),
        })
    }

    /// The request for a WebSocket, with a token or without.
    pub fn handshake(&self, token: Option<&str>) -> String {
        let query = token.map_or_else(String::new, |token| format!("?token={token}"));
        format!(
            "GET /engine{query} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.address
        )
    }
}

/// The head of an answer, and the bytes after it.
pub fn head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut some = [0; 1024];
    loop {
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(end) = end {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match stream.read(&mut some) {
            Ok(count @ 1..) => bytes.extend(&some[..count]),
            _ => return None,
        }
    }
}

/// The text of a message that is followed by so many binary parts.
pub fn message(body: &Value, parts: usize) -> String {
    json!({ "body": body, "blobs": parts }).to_string()
}

/// A frame as a client sends it: masked.
pub fn frame(kind: u8, is_final: bool, payload: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![if is_final { FINAL | kind } else { kind }];
    match payload.len() {
        length @ ..126 => bytes.push(0x80 | length as u8),
        length @ ..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = rng.u32(..).to_be_bytes();
    bytes.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// An event with its binary parts.
pub type Told = (Value, Vec<Vec<u8>>);

/// A WebSocket.
pub struct Socket {
    /// The connection.
    pub stream: TcpStream,
    unread: Vec<u8>,
    patience: Duration,
    /// Every event that was read, in short.
    pub heard: Vec<String>,
}

impl Socket {
    /// Sends a command and the binary parts after it; `false` if the connection has ended.
    pub fn send(&mut self, body: &Value, parts: &[&[u8]]) -> bool {
        let rng = &mut Rng::with_seed(1);
        let text = message(body, parts.len());
        let mut bytes = frame(TEXT, true, text.as_bytes(), rng);
        for part in parts {
            bytes.extend(frame(BINARY, true, part, rng));
        }
        self.stream.write_all(&bytes).is_ok()
    }

    /// Reads events up to one of this name; none if the connection ends or the time is up.
    pub fn until(&mut self, name: &str) -> Option<Told> {
        self.find(|event| event.get(name).is_some())
    }

    /// Reads events up to one that is wanted.
    pub fn find(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Option<Told> {
        let end = Instant::now() + self.patience;
        while Instant::now() < end {
            let (kind, text) = self.message()?;
            if kind != TEXT {
                return None;
            }
            let message: Value = serde_json::from_slice(&text).ok()?;
            let mut parts = Vec::new();
            for _ in 0..message["blobs"].as_u64()? {
                parts.push(self.message()?.1);
            }
            let shown = message["body"].to_string();
            self.heard.push(shown.chars().take(80).collect());
            if wanted(&message["body"]) {
                return Some((message["body"].clone(), parts));
            }
        }
        None
    }

    /// The next message; none at the end.
    fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let (mut kind, mut message) = (CONTINUATION, Vec::new());
        loop {
            let [first, second] = self.take(2)?.try_into().ok()?;
            let length = match second & 0x7f {
                126 => u16::from_be_bytes(self.take(2)?.try_into().ok()?).into(),
                127 => u64::from_be_bytes(self.take(8)?.try_into().ok()?),
                short => u64::from(short),
            };
            let payload = self.take(usize::try_from(length).ok()?)?;
            match first & 0xf {
                CLOSE => return None,
                PING => {
                    let pong = frame(PONG, true, &payload, &mut Rng::with_seed(1));
                    self.stream.write_all(&pong).ok()?;
                    continue;
                }
                PONG => continue,
                CONTINUATION => {}
                begins => kind = begins,
            }
            message.extend(payload);
            if first & FINAL != 0 {
                return Some((kind, message));
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut some = [0; 65_536];
        while self.unread.len() < count {
            match self.stream.read(&mut some) {
                Ok(read @ 1..) => self.unread.extend(&some[..read]),
                _ => return None,
            }
        }
        let rest = self.unread.split_off(count);
        Some(std::mem::replace(&mut self.unread, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::{BINARY, Link, TEXT, frame};
    use fastrand::Rng;

    #[test]
    fn the_link_is_that_of_the_first_line() {
        let line = "http://127.0.0.1:7878/?token=0a1b  (stop with ctrl-c; a run in progress is saved first)";
        let link = Link::parse(line).expect("a link");
        assert_eq!(
            (link.address.as_str(), link.token.as_str()),
            ("127.0.0.1:7878", "0a1b")
        );
        assert!(Link::parse("limbeck: cannot listen").is_none());
    }

    #[test]
    fn frames_are_masked_and_say_their_length() {
        for (length, head) in [(5, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![7; length];
            let bytes = frame(BINARY, true, &payload, &mut Rng::with_seed(3));
            assert_eq!(bytes.len(), head + 4 + length);
            assert_eq!(bytes[0], 0x82);
            let mask = &bytes[head..head + 4];
            let sent: Vec<u8> = bytes[head + 4..]
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask)
                .collect();
            assert_eq!(sent, payload);
        }
        assert_eq!(frame(TEXT, false, b"", &mut Rng::with_seed(3))[0], 1);
    }
}
