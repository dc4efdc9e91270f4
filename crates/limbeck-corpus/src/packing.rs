//! Packed texts: known by their first bytes, whatever their names, and unpacked while they are read.

use std::io::{self, BufRead, BufReader, Cursor, Read};

#[cfg(not(target_family = "wasm"))]
use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
#[cfg(not(target_family = "wasm"))]
use lzma_rust2::XzReader;
#[cfg(not(target_family = "wasm"))]
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// What a text is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

/// No UTF-8 text begins like gzip, zstd or xz, and none that makes sense like bzip2.
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// A frame of zstd that is no data, in front of others; the low half of its first byte is free.
const ZSTD_SKIPPED: (u8, &[u8]) = (0x50, b"\x2a\x4d\x18");
const XZ: &[u8] = b"\xfd7zXZ\0";
const BZIP2: &[u8] = b"BZh";
/// What follows a digit there: a block, or the end of a file without any.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"];
/// Bytes that tell all of them apart: those of bzip2, of which none ends a line.
const LONGEST_MAGIC: u64 = 10;
/// The most that xz may ask for, in KiB: `xz -9` takes a fifth. zstd has a limit of its own.
#[cfg(not(target_family = "wasm"))]
const XZ_MEMORY: u32 = 320 << 10;

impl Packing {
    /// Of a text that begins with `head`.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        let (byte, rest) = ZSTD_SKIPPED;
        let is_skipped =
            head.first().is_some_and(|first| first & 0xf0 == byte) && head[1..].starts_with(rest);
        let is_bzip2 = head.starts_with(BZIP2)
            && head
                .get(BZIP2.len() + 1..)
                .is_some_and(|blocks| BZIP2_BLOCKS.iter().any(|begin| blocks.starts_with(begin)));
        if head.starts_with(GZIP) {
            Some(Self::Gzip)
        } else if head.starts_with(ZSTD) || is_skipped {
            Some(Self::Zstd)
        } else if head.starts_with(XZ) {
            Some(Self::Xz)
        } else if is_bzip2 {
            Some(Self::Bzip2)
        } else {
            None
        }
    }

    /// What the end of a name promises.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        match end.to_ascii_lowercase().as_str() {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            "xz" => Some(Self::Xz),
            "bz2" => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// The program that packs like this, and tests with `-t`.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// Whether this build reads it: a browser's reads gzip alone.
    pub(crate) fn is_read(self) -> bool {
        self == Self::Gzip || cfg!(not(target_family = "wasm"))
    }
}

/// A file's name without the end by which it says that it is packed: `train.tsv` of `train.tsv.gz`.
pub fn unpacked_name(name: &str) -> &str {
    match (Packing::of_name(name), name.rsplit_once('.')) {
        (Some(_), Some((before, _))) => before,
        _ => name,
    }
}

/// Packed bytes as they are on disk.
pub(crate) type Packed = Box<dyn BufRead + Send>;

/// A text that is unpacked while it is read, if its first bytes say that it is packed. No more of them are waited for than the first
/// line has.
///
/// # Errors
/// It cannot be read.
pub fn unpacked(mut text: Packed) -> io::Result<Packed> {
    let mut head = Vec::new();
    // A pipe gives as little at once as was written into it.
    text.by_ref()
        .take(LONGEST_MAGIC)
        .read_until(b'\n', &mut head)?;
    let packing = Packing::of(&head);
    let text: Packed = Box::new(Cursor::new(head).chain(text));
    Ok(match packing {
        Some(packing) => Box::new(BufReader::new(Unpacked::new(packing, text))),
        None => text,
    })
}

/// The same text as a whole; none if it has more than so many bytes.
///
/// # Errors
/// It cannot be read or unpacked.
pub fn unpacked_whole(text: Packed, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    unpacked(text)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// A packed text: one member, stream or frame after another, with zeros behind the last as tapes and block devices leave them.
pub(crate) struct Unpacked {
    packing: Packing,
    state: State,
}

enum State {
    /// In a member.
    Within(Member),
    /// Before the first member, or behind one.
    Between(Packed, Behind),
    Ended,
    /// Behind what failed: a decoder must not be asked again.
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    AMember,
}

impl Unpacked {
    pub(crate) fn new(packing: Packing, packed: Packed) -> Self {
        Self {
            packing,
            state: State::Between(Box::new(Uninterrupted(packed)), Behind::Nothing),
        }
    }

    fn step(&mut self, state: State, into: &mut [u8]) -> io::Result<Option<usize>> {
        match state {
            State::Failed => return Err(io::Error::other("it could not be read before")),
            State::Ended => {
                self.state = State::Ended;
                return Ok(Some(0));
            }
            State::Between(mut packed, behind) => {
                if behind == Behind::AMember && is_at_end(&mut packed)? {
                    self.state = State::Ended;
                    return Ok(Some(0));
                }
                self.state = match Member::open(self.packing, packed)? {
                    Opened::Member(member) => State::Within(member),
                    #[cfg(not(target_family = "wasm"))]
                    Opened::Nothing(packed) => State::Between(packed, Behind::AMember),
                };
            }
            State::Within(mut member) => match member.read(into)? {
                0 => self.state = State::Between(member.end()?, Behind::AMember),
                bytes => {
                    self.state = State::Within(member);
                    return Ok(Some(bytes));
                }
            },
        }
        Ok(None)
    }
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let state = std::mem::replace(&mut self.state, State::Failed);
            if let Some(bytes) = self.step(state, into)? {
                return Ok(bytes);
            }
        }
    }
}

/// Reads again what a signal interrupted: not every decoder can go on after an error.
struct Uninterrupted(Packed);

impl Read for Uninterrupted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let given = self.fill_buf()?.read(into)?;
        self.consume(given);
        Ok(given)
    }
}

impl BufRead for Uninterrupted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // The borrow of a returned buffer cannot be kept across a retry, so it is filled first and fetched then.
        while let Err(e) = self.0.fill_buf() {
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(e);
            }
        }
        self.0.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.0.consume(bytes);
    }
}

/// Passes over zeros; whether nothing else follows.
fn is_at_end(packed: &mut Packed) -> io::Result<bool> {
    loop {
        let bytes = packed.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_more = zeros < bytes.len();
        packed.consume(zeros);
        if is_more {
            return Ok(false);
        }
    }
}

/// A part that can be unpacked by itself: gzip calls it a member, xz and bzip2 a stream, zstd a frame.
enum Member {
    Gzip(Box<GzDecoder<Packed>>),
    #[cfg(not(target_family = "wasm"))]
    Zstd(Packed, Box<FrameDecoder>),
    #[cfg(not(target_family = "wasm"))]
    Xz(Box<XzReader<Packed>>),
    #[cfg(not(target_family = "wasm"))]
    Bzip2(BzDecoder<Packed>),
}

enum Opened {
    Member(Member),
    /// What holds no data was passed over.
    #[cfg(not(target_family = "wasm"))]
    Nothing(Packed),
}

impl Member {
    #[cfg(not(target_family = "wasm"))]
    fn open(packing: Packing, packed: Packed) -> io::Result<Opened> {
        Ok(Opened::Member(match packing {
            Packing::Gzip => Self::Gzip(Box::new(GzDecoder::new(packed))),
            Packing::Zstd => return Self::open_frame(packed),
            Packing::Xz => {
                let stream = XzReader::new_mem_limit(packed, false, XZ_MEMORY);
                Self::Xz(Box::new(stream))
            }
            Packing::Bzip2 => Self::Bzip2(BzDecoder::new(packed)),
        }))
    }

    /// A text that is packed otherwise was refused before: see [`Packing::is_read`].
    #[cfg(target_family = "wasm")]
    fn open(_: Packing, packed: Packed) -> io::Result<Opened> {
        Ok(Opened::Member(Self::Gzip(Box::new(GzDecoder::new(packed)))))
    }

    #[cfg(not(target_family = "wasm"))]
    fn open_frame(mut packed: Packed) -> io::Result<Opened> {
        let mut decoder = Box::new(FrameDecoder::new());
        match decoder.init(&mut packed) {
            Ok(()) => Ok(Opened::Member(Self::Zstd(packed, decoder))),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = packed.by_ref().take(length.into());
                match io::copy(&mut skipped, &mut io::sink())? == u64::from(length) {
                    true => Ok(Opened::Nothing(packed)),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// What follows it. A checksum that its decoder leaves to others is compared first.
    fn end(self) -> io::Result<Packed> {
        Ok(match self {
            Self::Gzip(member) => member.into_inner(),
            #[cfg(not(target_family = "wasm"))]
            Self::Xz(stream) => stream.into_inner(),
            #[cfg(not(target_family = "wasm"))]
            Self::Bzip2(stream) => stream.into_inner(),
            #[cfg(not(target_family = "wasm"))]
            Self::Zstd(packed, decoder) => {
                let found = decoder.get_checksum_from_data();
                if found.is_some() && found != decoder.get_calculated_checksum() {
                    return Err(io::Error::other("a checksum differs"));
                }
                packed
            }
        })
    }
}

impl Read for Member {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(member) => member.read(into),
            #[cfg(not(target_family = "wasm"))]
            Self::Zstd(packed, decoder) => {
                while decoder.can_collect() == 0 && !decoder.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    decoder
                        .decode_blocks(&mut *packed, one)
                        .map_err(io::Error::other)?;
                }
                decoder.read(into)
            }
            #[cfg(not(target_family = "wasm"))]
            Self::Xz(stream) => stream.read(into),
            #[cfg(not(target_family = "wasm"))]
            Self::Bzip2(stream) => stream.read(into),
        }
    }
}
