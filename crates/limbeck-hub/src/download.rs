//! One file: from where its part ends, counted, compared with its checksum, and only then under its name.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use limbeck_recipe::HubChecksum;
use sha1::Digest as _;
use sha2::Digest as _;
use ureq::Body;
use ureq::http::header::CONTENT_RANGE;
use ureq::http::{Response, StatusCode};

use crate::ask::Trouble;
use crate::cache::{Place, make_folder_of};
use crate::error::HubError;
use crate::{Event, Hub, Model, Tell};

/// Tries of which nothing came, before a download is given up.
const TRIES: u32 = 3;
const PIECE: usize = 64 << 10;

/// A file of a model, as it is listed.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    pub name: &'a str,
    pub size: u64,
    pub checksum: HubChecksum<'a>,
}

/// A file on its way into the cache.
pub struct Download<'a> {
    pub hub: &'a Hub,
    pub model: &'a Model<'a>,
    pub place: &'a Place,
    pub file: Listed<'a>,
}

/// How much of an answer was taken.
enum Taken {
    All,
    /// It broke off, and why.
    Some(String),
    /// The part does not belong to the file: it is begun anew.
    Nothing,
}

impl Download<'_> {
    /// Has the file under its name in the cache.
    pub fn run(&self, tell: Tell<'_>) -> Result<(), HubError> {
        let checksum = self.file.checksum;
        let (blob, part) = (self.place.blob(checksum), self.place.part(checksum));
        let wait = || tell(Event::Shared(self.file.name));
        let _held = self.place.hold(checksum, wait)?;
        // Whoever held it may have brought it.
        if size_of(&blob) != Some(self.file.size) {
            make_folder_of(&part)?;
            let goes_on = size_of(&part).is_some_and(|size| size > 0);
            self.fill(&part, tell)?;
            // A part that was damaged, by a crash for instance, must not be gone on from for ever.
            if let Err(error) = self.check(&part) {
                remove(&part)?;
                if !goes_on {
                    return Err(error);
                }
                self.fill(&part, tell)?;
                self.check(&part).inspect_err(|_| drop(remove(&part)))?;
            }
            fs::rename(&part, &blob).map_err(HubError::file("rename", &part))?;
        }
        self.place.link(self.model.commit, self.file.name, checksum)
    }

    /// Takes answers until the part is as long as the file.
    fn fill(&self, path: &Path, tell: Tell<'_>) -> Result<(), HubError> {
        let part = File::options().create(true).append(true).open(path);
        let mut part = part.map_err(HubError::file("write", path))?;
        // How far it ever came: each try but a few has to come farther.
        let (mut most, mut tries) = (size_of(path).unwrap_or(0), 0);
        loop {
            let before = size_of(path).unwrap_or(0);
            if before > self.file.size {
                part.set_len(0).map_err(HubError::file("write", path))?;
                continue;
            }
            tell(Event::Reached(before));
            if before == self.file.size {
                return part.sync_all().map_err(HubError::file("write", path));
            }
            let taken = match self.hub.asker.get(&self.url(), before, tell) {
                Ok(answer) => self.take(answer, (&mut part, path, before), tell)?,
                Err(Trouble::Network { why, .. } | Trouble::Other { why }) => Taken::Some(why),
                Err(Trouble::Status(no)) => {
                    return Err(self.hub.refusal(no, self.model.id, self.file.name));
                }
            };
            let got = size_of(path).unwrap_or(0);
            let why = match taken {
                Taken::All => continue,
                Taken::Some(why) => why,
                Taken::Nothing => {
                    part.set_len(0).map_err(HubError::file("write", path))?;
                    "the hub does not go on from a part".to_owned()
                }
            };
            tries = if got > most { 0 } else { tries + 1 };
            most = most.max(got);
            if tries == TRIES {
                return Err(HubError::Broken {
                    id: self.model.id.to_string(),
                    file: self.file.name.to_owned(),
                    got,
                    size: self.file.size,
                    why,
                });
            }
            let wait = Duration::from_secs(tries.max(1).into());
            tell(Event::Waiting { wait, why });
            sleep(wait);
        }
    }

    /// Takes what comes of an answer.
    fn take(
        &self,
        answer: Response<Body>,
        (part, path, before): (&mut File, &Path, u64),
        tell: Tell<'_>,
    ) -> Result<Taken, HubError> {
        let size = self.file.size;
        let mut got = before;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if before > 0 => {
                let range = answer.headers().get(CONTENT_RANGE);
                let range = range
                    .and_then(|range| range.to_str().ok())
                    .unwrap_or_default();
                if !range.starts_with(&format!("bytes {before}-")) {
                    return Err(
                        self.other_size(format!("`{range}` where bytes {before}- were asked for"))
                    );
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Taken::Nothing),
            // All of it, though a part was asked for.
            _ => {
                got = 0;
                part.set_len(0).map_err(HubError::file("write", path))?;
            }
        }
        if let Some(length) = answer.body().content_length()
            && got + length != size
        {
            return Err(self.other_size((got + length).to_string()));
        }
        let mut body = answer.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let read = match body.read(&mut piece) {
                Ok(0) if got == size => return Ok(Taken::All),
                Ok(0) => return Ok(Taken::Some("the connection was closed".to_owned())),
                Ok(read) => read,
                Err(error) => return Ok(Taken::Some(self.hub.asker.broken(error))),
            };
            got += read as u64;
            if got > size {
                return Err(self.other_size("more".to_owned()));
            }
            part.write_all(&piece[..read])
                .map_err(HubError::file("write", path))?;
            tell(Event::Reached(got));
        }
    }

    fn other_size(&self, sent: String) -> HubError {
        HubError::OtherSize {
            id: self.model.id.to_string(),
            host: self.hub.host().to_owned(),
            file: self.file.name.to_owned(),
            size: self.file.size,
            sent,
        }
    }

    fn url(&self) -> String {
        let (endpoint, Model { id, commit }) = (&self.hub.endpoint, self.model);
        let name = self.file.name;
        format!("{endpoint}/{}/resolve/{commit}/{name}", id.model)
    }

    /// Compares the checksum.
    fn check(&self, path: &Path) -> Result<(), HubError> {
        let found = match self.file.checksum {
            HubChecksum::Sha256(_) => {
                let mut sum = sha2::Sha256::new();
                each_piece(path, |piece| sum.update(piece))?;
                hex(&sum.finalize())
            }
            HubChecksum::Git(_) => {
                let mut sum = sha1::Sha1::new();
                sum.update(format!("blob {}\0", self.file.size));
                each_piece(path, |piece| sum.update(piece))?;
                hex(&sum.finalize())
            }
        };
        let listed = self.file.checksum.digits();
        if found == listed {
            return Ok(());
        }
        Err(HubError::Damaged {
            id: self.model.id.to_string(),
            host: self.hub.host().to_owned(),
            file: self.file.name.to_owned(),
            found,
            listed: listed.to_owned(),
        })
    }
}

/// The size of a file; none if there is none.
pub fn size_of(path: &Path) -> Option<u64> {
    let file = path.metadata().ok()?;
    file.is_file().then_some(file.len())
}

fn remove(path: &Path) -> Result<(), HubError> {
    fs::remove_file(path).map_err(HubError::file("remove", path))
}

fn each_piece(path: &Path, mut each: impl FnMut(&[u8])) -> Result<(), HubError> {
    let mut file = File::open(path).map_err(HubError::file("read", path))?;
    let mut piece = vec![0; PIECE];
    loop {
        match file
            .read(&mut piece)
            .map_err(HubError::file("read", path))?
        {
            0 => return Ok(()),
            read => each(&piece[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
