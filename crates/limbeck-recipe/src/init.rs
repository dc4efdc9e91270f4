//! What a student starts from.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Which weights a student has before the first step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Those of the teacher's layers that `from_layers` names, and the teacher's embeddings; a narrower student gets a
    /// part of their columns.
    #[default]
    Teacher,
    /// Random ones, as in the papers.
    Random,
    /// Those of the model in a folder: a former student, or another model of the teacher's family with the teacher's tokens.
    /// Its sizes are the student's.
    Folder(String),
}

/// By hand: what serde says of an enum helps nobody who wrote a bare path.
impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InitVisitor)
    }
}

struct InitVisitor;

impl<'de> Visitor<'de> for InitVisitor {
    type Value = Init;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`teacher`, `random` or { folder = \"DIR\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Init, E> {
        let of_folder = |folder: &str| {
            format!("init = {{ folder = \"{folder}\" }}, or --set student.init.folder={folder}")
        };
        match text {
            "teacher" => Ok(Init::Teacher),
            "random" => Ok(Init::Random),
            "folder" => Err(E::custom(format!(
                "`folder` must name the folder of the model to start from: {}",
                of_folder("DIR")
            ))),
            other => Err(E::custom(format!(
                "`{other}` is neither `teacher` nor `random`; to start from the model in a folder of that name: {}",
                of_folder(other)
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Init, A::Error> {
        let mut folder: Option<String> = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "folder" {
                return Err(de::Error::unknown_field(&key, &["folder"]));
            }
            folder = Some(map.next_value()?);
        }
        match folder {
            Some(folder) if folder.is_empty() => Err(de::Error::custom(
                "the name of the folder is empty; name the folder of the model to start from",
            )),
            Some(folder) => Ok(Init::Folder(folder)),
            None => Err(de::Error::missing_field("folder")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;

    fn read(init: &str) -> Result<Init, String> {
        let recipe = toml::from_str::<Recipe>(&format!("[student]\ninit = {init}\n"));
        recipe
            .map(|recipe| recipe.student.init)
            .map_err(|e| e.message().to_owned())
    }

    #[test]
    fn every_start_is_read_as_it_is_written() {
        for init in [
            Init::Teacher,
            Init::Random,
            Init::Folder("a/b c".to_owned()),
        ] {
            let json = serde_json::to_string(&init).expect("JSON");
            assert_eq!(serde_json::from_str::<Init>(&json).expect("a start"), init);
            // A string, or an inline table of TOML.
            let text = toml::Value::try_from(&init).expect("TOML").to_string();
            assert_eq!(read(&text), Ok(init));
        }
    }

    #[test]
    fn a_start_that_is_none_says_how_to_name_a_folder() {
        for (init, message) in [
            (
                "\"folder\"",
                "`folder` must name the folder of the model to start from: init = { folder = \"DIR\" }, or --set \
                 student.init.folder=DIR",
            ),
            (
                "\"f1\"",
                "`f1` is neither `teacher` nor `random`; to start from the model in a folder of that name: init = { folder = \
                 \"f1\" }, or --set student.init.folder=f1",
            ),
            (
                "{ folder = \"\" }",
                "the name of the folder is empty; name the folder of the model to start from",
            ),
            (
                "{ path = \"f1\" }",
                "unknown field `path`, expected `folder`",
            ),
            ("{}", "missing field `folder`"),
        ] {
            assert_eq!(read(init), Err(message.to_owned()), "{init}");
        }
        let number = read("3").expect_err("a number");
        assert!(
            number.contains("expected `teacher`, `random` or { folder = \"DIR\" }"),
            "{number}"
        );
    }
}
