//! Recipes by name: the papers', each with its source in a comment, and one for minutes.

/// A recipe that comes with limbeck. It names neither teacher nor corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedRecipe {
    /// Its name.
    pub name: &'static str,
    /// The recipe as TOML; a comment of its first lines says what it is for and where it is from.
    pub toml: &'static str,
}

impl NamedRecipe {
    /// What it is for, in one sentence: the first line of its comment.
    pub fn sentence(&self) -> &'static str {
        let line = self.toml.lines().next().unwrap_or_default();
        line.trim_start_matches(['#', ' '])
    }
}

macro_rules! named {
    ($($name:literal),* $(,)?) => {
        /// All of them, the first choice first.
        pub const NAMED: &[NamedRecipe] = &[$(NamedRecipe {
            name: $name,
            toml: include_str!(concat!("../recipes/", $name, ".toml")),
        }),*];
    };
}

named!(
    "quick",
    "paper-6x384-base",
    "paper-6x768-base",
    "paper-6x384-large",
    "paper-12x384-large",
    "multilingual-6x384",
    "multilingual-12x384",
    "multilingual-6x768",
    "v1",
    "v1-assistant",
);

/// The recipe of a name.
pub fn named(name: &str) -> Option<&'static NamedRecipe> {
    NAMED.iter().find(|recipe| recipe.name == name)
}
