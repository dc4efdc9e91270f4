//! What the hub says of a model, and how its files are fetched in parts. No network here.

use std::ops::Range;

use limbeck_recipe::HubListing;
use serde::{Deserialize, Serialize};

use super::check;
use crate::words;

/// The hub that is asked unless the address names another.
pub const HUGGING_FACE: &str = "https://huggingface.co";
/// Bytes of a part: few requests, and little lost when one breaks.
pub const PART: u64 = 4 << 20;

/// A file of a model on the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, where the hub knows it.
    pub sha256: Option<String>,
}

/// A model on the hub at one revision; also what is stored of it in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubModel {
    /// Such as `sentence-transformers/all-MiniLM-L6-v2`.
    pub id: String,
    /// The commit.
    pub revision: String,
    /// The files that are needed.
    pub files: Vec<HubFile>,
}

impl HubModel {
    /// From the hub's answer to `/api/models/ID?blobs=true`.
    ///
    /// # Errors
    /// Not such an answer, or the model has no files that a browser can read.
    pub fn parse(id: &str, json: &str) -> Result<Self, String> {
        let answer = HubListing::parse(json.as_bytes())
            .map_err(|e| format!("the hub's answer for {id} cannot be parsed: {e}"))?;
        let names: Vec<String> = answer.files.iter().map(|file| file.name.clone()).collect();
        let needed = check::model_in(id, &names)?;
        if !needed.iter().any(|(_, name)| *name == "model.safetensors") {
            return Err(format!(
                "{id} has its weights in several files. Download the folder and drop it here"
            ));
        }
        let mut files = Vec::new();
        for (at, file) in answer.files.iter().enumerate() {
            let is_needed = needed.iter().any(|(other, _)| *other == at);
            if !is_needed && !check::is_of_head(&file.name) {
                continue;
            }
            let bytes = file.size().ok_or_else(|| {
                format!("the hub does not say how large {} of {id} is. Download the folder and drop it here", file.name)
            })?;
            check::size(&file.name, bytes)?;
            files.push(HubFile {
                name: file.name.clone(),
                bytes,
                sha256: file.sha256().map(str::to_owned),
            });
        }
        let revision = answer.commit.unwrap_or_else(|| "main".into());
        Ok(Self {
            id: id.into(),
            revision,
            files,
        })
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Where a file is.
    pub fn url(&self, hub: &str, file: &HubFile) -> String {
        format!("{hub}/{}/resolve/{}/{}", self.id, self.revision, file.name)
    }

    /// Under which address a part is stored.
    pub fn key(&self, hub: &str, file: &HubFile, part: &Range<u64>) -> String {
        format!("{}?part={}-{}", self.url(hub, file), part.start, part.end)
    }

    /// Under which address this description is stored; it begins like those of the parts.
    pub fn manifest(&self, hub: &str) -> String {
        format!("{hub}/{}/resolve/{}/{MANIFEST}", self.id, self.revision)
    }

    /// What the addresses of all that is stored of this model begin with.
    pub fn prefix(&self, hub: &str) -> String {
        format!("{hub}/{}/resolve/{}/", self.id, self.revision)
    }

    /// The files, for people.
    pub fn listing(&self) -> String {
        let files = self
            .files
            .iter()
            .map(|f| format!("{} ({})", f.name, words::bytes(f.bytes)));
        files.collect::<Vec<_>>().join(", ")
    }
}

/// How the addresses of descriptions end.
pub const MANIFEST: &str = "limbeck-manifest.json";

/// The parts of a file. An empty file has none.
pub fn parts(bytes: u64) -> impl Iterator<Item = Range<u64>> {
    (0..bytes.div_ceil(PART)).map(move |part| part * PART..((part + 1) * PART).min(bytes))
}

/// A model's id, from an id or an address of the hub.
///
/// # Errors
/// It is neither.
pub fn id(text: &str) -> Result<String, String> {
    let text = text.trim();
    let path = text
        .strip_prefix("https://huggingface.co/")
        .or_else(|| text.strip_prefix("https://hf.co/"))
        .unwrap_or(text);
    let names: Vec<&str> = path.trim_matches('/').split('/').collect();
    // An address may go on: /tree/main.
    let names = if path == text {
        &names[..]
    } else {
        &names[..names.len().min(2)]
    };
    let fits = |name: &&str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    if names.len() > 2 || !names.iter().all(fits) {
        return Err(format!(
            "`{text}` is not a model id. An id is an owner and a name, such as sentence-transformers/all-MiniLM-L6-v2"
        ));
    }
    Ok(names.join("/"))
}

/// The hub to ask, from `?hub=` of the address; only an origin, since requests go there.
///
/// # Errors
/// Not an http or https origin.
pub fn base(asked: Option<&str>) -> Result<String, String> {
    let Some(asked) = asked else {
        return Ok(HUGGING_FACE.into());
    };
    let base = asked.trim_end_matches('/');
    let host = base
        .strip_prefix("https://")
        .or_else(|| base.strip_prefix("http://"));
    let fits = |host: &str| {
        !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c))
    };
    if host.is_some_and(fits) {
        return Ok(base.into());
    }
    Err(format!(
        "hub={asked} in the address is not a server: write http://HOST:PORT or https://HOST"
    ))
}

/// The host of a hub, for people.
pub fn host(base: &str) -> &str {
    base.split_once("://").map_or(base, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_file_once() {
        assert_eq!(parts(0).count(), 0);
        assert!(parts(PART).eq(std::iter::once(0..PART)));
        assert_eq!(
            parts(PART + 1).collect::<Vec<_>>(),
            [0..PART, PART..PART + 1]
        );
        assert_eq!(
            parts(3 * PART - 1).map(|p| p.end - p.start).sum::<u64>(),
            3 * PART - 1
        );
    }

    #[test]
    fn ids_and_addresses_are_read() {
        assert_eq!(id(" bert-base-uncased "), Ok("bert-base-uncased".into()));
        assert_eq!(
            id("https://huggingface.co/a/b.c/tree/main"),
            Ok("a/b.c".into())
        );
        for wrong in [
            "",
            "a/b/c",
            "../x",
            "a b",
            "https://example.com/a/b",
            "a/?q",
        ] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hub_is_an_origin() {
        assert_eq!(base(None), Ok(HUGGING_FACE.into()));
        assert_eq!(
            base(Some("http://127.0.0.1:8100/")),
            Ok("http://127.0.0.1:8100".into())
        );
        for wrong in [
            "javascript:alert(1)",
            "ftp://x",
            "https://",
            "https://user@x",
            "https://x/path",
        ] {
            assert!(base(Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(host("https://huggingface.co"), "huggingface.co");
    }

    #[test]
    fn an_answer_is_read() {
        let json = r#"{"sha":"abc","siblings":[
            {"rfilename":"config.json","size":10},
            {"rfilename":"model.safetensors","size":134,"lfs":{"sha256":"ff","size":5000000}},
            {"rfilename":"onnx/model.onnx","size":3},
            {"rfilename":"1_Pooling/config.json","size":7},
            {"rfilename":"tokenizer.json","size":20}]}"#;
        let model = HubModel::parse("a/b", json).expect("a model");
        assert_eq!(model.bytes(), 5_000_037);
        assert_eq!(model.files[2].name, "1_Pooling/config.json");
        assert_eq!(
            model.url("https://h", &model.files[1]),
            "https://h/a/b/resolve/abc/model.safetensors"
        );
        assert!(
            model
                .key("https://h", &model.files[1], &(0..PART))
                .starts_with(&model.prefix("https://h"))
        );
        assert_eq!(model.files[1].sha256.as_deref(), Some("ff"));
    }

    #[test]
    fn models_that_a_browser_cannot_read_are_refused() {
        let json = r#"{"siblings":[{"rfilename":"config.json","size":1},{"rfilename":"pytorch_model.bin","size":1},{"rfilename":"vocab.txt","size":1}]}"#;
        assert!(
            HubModel::parse("a/b", json)
                .expect_err("PyTorch")
                .contains("pytorch_model.bin")
        );
        assert!(HubModel::parse("a/b", "<html>").is_err());
    }
}
