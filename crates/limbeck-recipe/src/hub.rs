//! Models on the Hugging Face hub: how they are named, and what the hub says of their files. No network here.

use std::fmt;

use serde::Deserialize;

/// Letters of a commit.
const COMMIT: usize = 40;
/// The hub's own limit for an owner and a name.
const LONGEST: usize = 96;

/// A model on the hub: `org/name`, or `org/name@revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    /// `org/name`.
    pub model: String,
    /// A branch, a tag or a commit; `main` if none is given.
    pub revision: Option<String>,
}

impl HubId {
    /// Reads an id; none if it is not one, as `name`, `a/b/c` and `./a/b`, which can only be folders.
    pub fn parse(text: &str) -> Option<Self> {
        let (model, revision) = match text.split_once('@') {
            Some((model, revision)) => (model, Some(revision)),
            None => (text, None),
        };
        let (owner, name) = model.split_once('/')?;
        let is_name = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let ends = |c: char| "-.".contains(c);
            !name.is_empty()
                && name.chars().all(plain)
                && !name.starts_with(ends)
                && !name.ends_with(ends)
                && !["--", ".."].iter().any(|twice| name.contains(twice))
        };
        // It becomes part of an address, and the path of a file.
        let is_revision = |revision: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let parts = || revision.split('/');
            parts()
                .all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain))
        };
        let fits = model.len() <= LONGEST && is_name(owner) && is_name(name);
        (fits && revision.is_none_or(is_revision)).then(|| Self {
            model: model.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// Reads an id that names a commit: what it stands for never changes.
    pub fn pinned(text: &str) -> Option<Self> {
        Self::parse(text).filter(|id| is_commit(id.revision()))
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The same model at another revision.
    pub fn at(&self, revision: &str) -> Self {
        Self {
            model: self.model.clone(),
            revision: Some(revision.to_owned()),
        }
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.model)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// Whether a revision is a whole commit, which no branch or tag is.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == COMMIT && is_hex(revision)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What the hub says of a model at one revision.
#[derive(Clone, Debug, Deserialize)]
pub struct HubListing {
    /// The commit.
    #[serde(rename = "sha")]
    pub commit: Option<String>,
    /// All of its files.
    #[serde(default, rename = "siblings")]
    pub files: Vec<HubFile>,
}

/// A file of a model on the hub.
#[derive(Clone, Debug, Deserialize)]
pub struct HubFile {
    /// Its path in the model.
    #[serde(rename = "rfilename")]
    pub name: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Clone, Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// The checksum of a file, as the hub lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubChecksum<'a> {
    /// SHA-256 of a large file.
    Sha256(&'a str),
    /// Git's SHA-1 of any other: of `blob`, the size and the content.
    Git(&'a str),
}

impl HubListing {
    /// From the hub's answer to `/api/models/ID?blobs=true`, or the same of a revision.
    ///
    /// # Errors
    /// Not such an answer.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }
}

impl HubFile {
    /// Its size; the hub does not always say.
    pub fn size(&self) -> Option<u64> {
        let lfs = self.lfs.as_ref();
        lfs.and_then(|lfs| lfs.size).or(self.size)
    }

    /// Its SHA-256, where the hub knows it.
    pub fn sha256(&self) -> Option<&str> {
        self.lfs.as_ref()?.sha256.as_deref()
    }

    /// Its checksum, by which caches name it; none if the hub lists none that looks like one.
    pub fn checksum(&self) -> Option<HubChecksum<'_>> {
        let sha256 = self
            .sha256()
            .filter(|hash| hash.len() == 64 && is_hex(hash));
        let git = self.blob.as_deref().filter(|hash| is_commit(hash));
        match &self.lfs {
            Some(_) => sha256.map(HubChecksum::Sha256),
            None => git.map(HubChecksum::Git),
        }
    }
}

impl<'a> HubChecksum<'a> {
    /// Its digits.
    pub fn digits(self) -> &'a str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) => digits,
        }
    }
}
