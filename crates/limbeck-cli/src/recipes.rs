//! `limbeck recipes`: the recipes that come with limbeck.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use limbeck_recipe::{NAMED, NamedRecipe, named};

use crate::error::CliError;

/// Flags of `limbeck recipes`.
#[derive(Args)]
pub struct Arguments {
    /// Print this one as TOML, to start from: limbeck recipes quick > run.toml
    name: Option<String>,
}

/// Runs `limbeck recipes`.
///
/// # Errors
/// There is no recipe of that name, or standard output cannot be written.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout().lock();
    if let Some(name) = &arguments.name {
        write!(out, "{}", find(name)?.toml)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = NAMED.iter().map(|recipe| recipe.name.len()).max();
    for recipe in NAMED {
        let width = width.unwrap_or_default();
        writeln!(out, "{:<width$}  {}", recipe.name, recipe.sentence())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The recipe of a name.
///
/// # Errors
/// There is none: the message lists those that there are.
pub fn find(name: &str) -> Result<&'static NamedRecipe, CliError> {
    named(name).ok_or_else(|| {
        let names: Vec<&str> = NAMED.iter().map(|recipe| recipe.name).collect();
        CliError::Usage(format!(
            "there is no recipe `{name}`; these come with limbeck: {}",
            names.join(", ")
        ))
    })
}
