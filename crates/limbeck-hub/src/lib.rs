//! A model's files from the Hugging Face hub, or from the cache that Python's huggingface_hub shares.
//!
//! The hub is asked once for what a model has at a revision. What limbeck reads of it, and the cache does not have, is
//! downloaded: each file goes on from where an earlier download broke off, and gets its name only after its checksum was
//! compared.
//!
//! This is not the crate `hf-hub`. Its version 1.0 has 221 crates below it, reqwest, tokio and xet among them, where this
//! one has 57; it compares no checksum, and begins anew what broke off. The synchronous client of 0.5 opens its own
//! connections without any time limit, appends whatever is answered to a part, compares no checksum either, and shows the
//! token in its `Debug`. Neither can be told otherwise, so the requests are made here, over ureq.

mod ask;
mod cache;
mod download;
mod error;
mod files;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use limbeck_recipe::{HubFile, HubId, HubListing, is_commit, json_in_words};

use ask::{Asker, Refusal, Token, Trouble};
use cache::{Cache, Kept, Place};
use download::{Download, Listed, size_of};
pub use error::HubError;
pub use files::MODULES;

/// The hub that is asked unless the environment names another.
const HUGGING_FACE: &str = "https://huggingface.co";
/// Seconds without anything that an answer may take.
const PATIENCE: u64 = 30;
/// What is asked for first.
const LIST: &str = "the list of files";
/// More than any list of files has.
const LONGEST_LISTING: u64 = 64 << 20;

/// What happens on the way, for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// Files are missing, and their download begins.
    Begin {
        /// The model, with its commit.
        id: &'a HubId,
        /// How many.
        files: usize,
        /// Their size.
        bytes: u64,
        /// What there is of them from an earlier download.
        from: u64,
        /// Where they go.
        cache: &'a Path,
    },
    /// So many of these bytes are there.
    Reached(u64),
    /// The hub is busy or failed, and is asked again.
    Waiting {
        /// After so long.
        wait: Duration,
        /// What it said.
        why: String,
    },
    /// Another program writes this file, and is waited for.
    Shared(&'a str),
    /// All are there.
    Done,
}

/// The value of a variable of the environment.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Whoever hears of events.
pub type Tell<'a> = &'a mut dyn FnMut(Event<'_>);

/// A model in the cache.
#[derive(Debug)]
pub struct Snapshot {
    /// Where its files are.
    pub folder: PathBuf,
    /// Its id, with the commit.
    pub id: HubId,
    /// Why the hub could not be asked whether this is still what the revision is.
    pub unasked: Option<String>,
    /// Files that the cache has not, of which nothing here says whether the model has them, and with which limbeck may compute
    /// something else.
    pub doubtful: Vec<String>,
}

/// A model at a commit.
struct Model<'a> {
    id: &'a HubId,
    commit: &'a str,
}

/// The hub and the cache, as the environment has them.
pub struct Hub {
    endpoint: String,
    cache: Cache,
    offline: bool,
    asker: Asker,
}

impl Hub {
    /// Reads the variables that huggingface_hub reads: HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE, HF_TOKEN,
    /// HF_TOKEN_PATH, HF_HUB_DOWNLOAD_TIMEOUT; and SSL_CERT_FILE.
    ///
    /// # Errors
    /// One of them has no value that can be used.
    pub fn from_env() -> Result<Self, HubError> {
        Self::with(&|name| std::env::var(name).ok())
    }

    /// The same of variables that are read by `variable`.
    ///
    /// # Errors
    /// See [`Hub::from_env`].
    pub fn with(variable: Variable<'_>) -> Result<Self, HubError> {
        let variable = &|name: &str| variable(name).filter(|value| !value.is_empty());
        let home = home(variable)?;
        let root = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        let root = root.map_or_else(|| home.join("hub"), |root| expanded(root, variable));
        let root = std::path::absolute(&root).map_err(HubError::file("find", &root))?;
        let patience = match variable("HF_HUB_DOWNLOAD_TIMEOUT") {
            Some(seconds) => seconds.trim().parse().ok().filter(|seconds| *seconds > 0),
            None => Some(PATIENCE),
        };
        let patience = patience.ok_or_else(|| HubError::Setting {
            name: "HF_HUB_DOWNLOAD_TIMEOUT",
            why: "it must be a whole number of seconds, 1 or more".to_owned(),
        })?;
        let is_yes = |value: String| {
            let value = value.trim().to_ascii_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        Ok(Self {
            endpoint: endpoint(variable)?,
            cache: Cache { root },
            offline: variable("HF_HUB_OFFLINE").is_some_and(is_yes),
            asker: Asker::new(
                token(&home, variable)?,
                Duration::from_secs(patience),
                variable(ask::CERTIFICATES),
            )?,
        })
    }

    /// A model, with all that limbeck reads of it in the cache.
    ///
    /// # Errors
    /// There is none, or it cannot be had; what there is of it stays in the cache, and the next call goes on from there.
    pub fn model(&self, id: &HubId, tell: Tell<'_>) -> Result<Snapshot, HubError> {
        let kept = self.cache.kept(id);
        // What a commit is never changes.
        let is_settled = |kept: &Kept| is_commit(id.revision()) && kept.is_settled;
        match kept {
            Some(kept) if self.offline || is_settled(&kept) => return Ok(as_kept(id, kept, None)),
            None if self.offline => {
                return Err(HubError::Offline {
                    id: id.to_string(),
                    cache: self.cache.root.display().to_string(),
                });
            }
            _ => {}
        }
        let trouble = match self.listing(id, tell) {
            Ok((commit, files)) => return self.fetch(id, &commit, &files, tell),
            Err(trouble) => trouble,
        };
        let is_final = matches!(&trouble, Trouble::Status(no) if no.is_final());
        match kept.filter(|_| !is_final) {
            Some(kept) => Ok(as_kept(id, kept, Some(trouble.to_string()))),
            None => Err(self.no_list(trouble, id)),
        }
    }

    /// Why there is neither a list of a model's files nor a copy of them.
    fn no_list(&self, trouble: Trouble, id: &HubId) -> HubError {
        match trouble {
            Trouble::Status(no) => self.refusal(no, id, LIST),
            Trouble::Network { why, .. } => HubError::Unreachable {
                id: id.to_string(),
                cache: self.cache.root.display().to_string(),
                host: self.host().to_owned(),
                why,
            },
            Trouble::Other { why } => self.no_listing(id, why),
        }
    }

    /// What the hub says of a model's files, and the commit that they are of.
    fn listing(&self, id: &HubId, tell: Tell<'_>) -> Result<(String, Vec<HubFile>), Trouble> {
        let revision = id.revision().replace('/', "%2F");
        let (endpoint, model) = (&self.endpoint, &id.model);
        let url = format!("{endpoint}/api/models/{model}/revision/{revision}?blobs=true");
        let answer = self.asker.get(&url, 0, tell)?;
        let body = answer.into_body().into_with_config();
        let json = body.limit(LONGEST_LISTING).read_to_vec();
        let json = json.map_err(|error| Trouble::Network {
            why: self.asker.broken(error.into_io()),
            again: false,
        })?;
        let other = |why: String| Trouble::Other { why };
        let listing = HubListing::parse(&json).map_err(|error| {
            other(match json.trim_ascii_start().starts_with(b"<") {
                true => "a web page came instead, as where a network asks to log in".to_owned(),
                false => format!("the answer cannot be read: {}", json_in_words(&error)),
            })
        })?;
        let commit = listing.commit.filter(|commit| is_commit(commit));
        let commit = commit.ok_or_else(|| other("the answer names no commit".to_owned()))?;
        Ok((commit, listing.files))
    }

    /// Brings what is missing into the cache.
    fn fetch(
        &self,
        id: &HubId,
        commit: &str,
        files: &[HubFile],
        tell: Tell<'_>,
    ) -> Result<Snapshot, HubError> {
        let (pinned, place) = (id.at(commit), self.cache.place(id));
        let model = &Model {
            id: &pinned,
            commit,
        };
        let folder = place.snapshot(commit);
        let read = |file: &str| fs::read(folder.join(file)).ok();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let has = |file: &str| names.contains(&file);
        let listed = |wanted: &[String]| -> Result<Vec<Listed>, HubError> {
            let is_wanted = |file: &&HubFile| wanted.contains(&file.name);
            let files = files.iter().filter(is_wanted);
            files.map(|file| self.listed(id, file)).collect()
        };
        // A few small files say what else is needed.
        for file in listed(&files::modules(&has))? {
            self.bring(model, &place, &[file], None)?;
        }
        let (encoder, head) = files::head(&pinned.to_string(), &read)?;
        for file in listed(&files::index(&has, &encoder))? {
            self.bring(model, &place, &[file], None)?;
        }
        let wanted = files::needed((id, self.host()), &names, &encoder, head.clone(), &read)?;
        let mut needed = listed(&wanted)?;
        needed.sort_by_key(|file| wanted.iter().position(|name| name == file.name));
        self.bring(model, &place, &needed, Some(tell))?;
        let mut absent = files::possible(&has, &encoder, head);
        absent.retain(|file| !has(file));
        for file in &absent {
            place.lacks(commit, file);
        }
        place.refer(id.revision(), commit);
        Ok(Snapshot {
            folder,
            id: pinned,
            unasked: None,
            doubtful: Vec::new(),
        })
    }

    /// Downloads those of these files that the cache does not have; told only if somebody is to hear of it.
    fn bring(
        &self,
        model: &Model<'_>,
        place: &Place,
        files: &[Listed<'_>],
        tell: Option<Tell<'_>>,
    ) -> Result<(), HubError> {
        let mut nobody = |_: Event<'_>| {};
        let tell = tell.unwrap_or(&mut nobody);
        let snapshot = place.snapshot(model.commit);
        let is_missing = |file: &&Listed<'_>| size_of(&snapshot.join(file.name)) != Some(file.size);
        let mut missing = Vec::new();
        for file in files.iter().filter(is_missing) {
            let blob = place.blob(file.checksum);
            match size_of(&blob) {
                Some(size) if size == file.size => {
                    place.link(model.commit, file.name, file.checksum)?
                }
                // It has its name, but is not what it should be.
                Some(_) => {
                    fs::remove_file(&blob).map_err(HubError::file("remove", &blob))?;
                    missing.push(file);
                }
                None => missing.push(file),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let parts = missing
            .iter()
            .filter_map(|file| size_of(&place.part(file.checksum)).map(|part| part.min(file.size)));
        tell(Event::Begin {
            id: model.id,
            files: missing.len(),
            bytes: missing.iter().map(|file| file.size).sum(),
            from: parts.sum(),
            cache: &self.cache.root,
        });
        let mut before = 0;
        for file in missing {
            let download = Download {
                hub: self,
                model,
                place,
                file: *file,
            };
            download.run(&mut |event| match event {
                Event::Reached(bytes) => tell(Event::Reached(before + bytes)),
                event => tell(event),
            })?;
            before += file.size;
        }
        tell(Event::Done);
        Ok(())
    }

    fn listed<'a>(&self, id: &HubId, file: &'a HubFile) -> Result<Listed<'a>, HubError> {
        match (file.size(), file.checksum()) {
            (Some(size), Some(checksum)) => Ok(Listed {
                name: &file.name,
                size,
                checksum,
            }),
            _ => Err(self.no_listing(id, format!("it has no size or checksum of {}", file.name))),
        }
    }

    fn no_listing(&self, id: &HubId, why: String) -> HubError {
        HubError::NoListing {
            id: id.to_string(),
            host: self.host().to_owned(),
            why,
        }
    }

    /// What a status means.
    fn refusal(&self, no: Refusal, id: &HubId, what: &str) -> HubError {
        let (status, code) = (no.status.as_u16(), no.code);
        let host = self.host().to_owned();
        let (model, name) = (id.model.clone(), id.to_string());
        match (status, code.as_str()) {
            (404, "RevisionNotFound") => HubError::NoRevision {
                model,
                host,
                revision: id.revision().to_owned(),
            },
            (403, _) | (_, "GatedRepo") => HubError::Refused {
                id: model,
                host,
                status,
            },
            (401, _) => {
                let (asked, what_now) = match self.asker.has_token() {
                    true => (
                        "with the token in HF_TOKEN or the cache",
                        "set HF_TOKEN to a token that may read it",
                    ),
                    false => ("without a token", "set HF_TOKEN to a token of yours"),
                };
                HubError::Hidden {
                    id: model,
                    host,
                    asked,
                    what_now,
                }
            }
            (404, "" | "RepoNotFound") if what == LIST => HubError::NoModel { id: name, host },
            (429, _) => HubError::Busy {
                id: name,
                host,
                wait: no
                    .wait
                    .map_or("a while".to_owned(), |wait| format!("{} s", wait.as_secs())),
            },
            _ => HubError::Status {
                host,
                status,
                what: format!("{what} of {name}"),
            },
        }
    }

    /// The hub, for people: without scheme, and without the user and password that an address may have.
    fn host(&self) -> &str {
        let address = self.endpoint.split_once("://");
        let address = address.map_or(self.endpoint.as_str(), |(_, address)| address);
        let host = address.split('/').next().unwrap_or(address);
        host.rsplit_once('@').map_or(host, |(_, host)| host)
    }
}

/// A model as the cache has it.
fn as_kept(id: &HubId, kept: Kept, unasked: Option<String>) -> Snapshot {
    Snapshot {
        id: id.at(&kept.commit),
        folder: kept.folder,
        unasked,
        doubtful: kept.doubtful,
    }
}

/// The folder of all that has to do with the hub.
fn home(variable: Variable<'_>) -> Result<PathBuf, HubError> {
    if let Some(home) = variable("HF_HOME") {
        return Ok(expanded(home, variable));
    }
    let caches = variable("XDG_CACHE_HOME").map(|caches| expanded(caches, variable));
    let caches = caches.or_else(|| Some(home_folder(variable)?.join(".cache")));
    let caches = caches.ok_or_else(|| HubError::Setting {
        name: "HF_HOME",
        why: "it is not set, and there is no home folder that could hold the cache".to_owned(),
    })?;
    Ok(caches.join("huggingface"))
}

/// The path in a variable, with the home folder for a leading `~`.
fn expanded(path: String, variable: Variable<'_>) -> PathBuf {
    let path = PathBuf::from(path);
    let rest = path.strip_prefix("~").ok();
    let expanded = rest.and_then(|rest| Some(home_folder(variable)?.join(rest)));
    expanded.unwrap_or(path)
}

fn home_folder(variable: Variable<'_>) -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    variable(name)
        .map(PathBuf::from)
        .or_else(std::env::home_dir)
}

fn endpoint(variable: Variable<'_>) -> Result<String, HubError> {
    let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| HUGGING_FACE.to_owned());
    let is_address = |scheme: &str| endpoint.len() > scheme.len() && endpoint.starts_with(scheme);
    match ["http://", "https://"].into_iter().any(is_address) {
        true => Ok(endpoint.trim_end_matches('/').to_owned()),
        false => Err(HubError::Setting {
            name: "HF_ENDPOINT",
            why: "it must be an address, such as https://huggingface.co".to_owned(),
        }),
    }
}

/// The token in the environment, or that of `hf auth login`.
fn token(home: &Path, variable: Variable<'_>) -> Result<Option<Token>, HubError> {
    let path = variable("HF_TOKEN_PATH");
    let path = path.map_or_else(|| home.join("token"), |path| expanded(path, variable));
    let (name, token) = match variable("HF_TOKEN") {
        Some(token) => ("HF_TOKEN", token),
        None => (
            "the token in the cache",
            fs::read_to_string(path).unwrap_or_default(),
        ),
    };
    let token = token.trim();
    match token {
        "" => Ok(None),
        token if token.chars().all(|c| c.is_ascii_graphic()) => Ok(Some(Token(token.to_owned()))),
        _ => Err(HubError::Setting {
            name,
            why: "it is no token: it has spaces, or letters that no token has".to_owned(),
        }),
    }
}
