//! `limbeck inspect`: what a model folder is.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use limbeck_model::Weights;
use limbeck_recipe::{common_relation_heads, parameter_count};
use serde_json::json;

use crate::error::CliError;
use crate::{models, terminal};

/// Flags of `limbeck inspect`.
#[derive(Args)]
pub struct Arguments {
    /// The model: its folder, or its id on the Hugging Face hub
    model: PathBuf,
    /// Hidden size of a student, to list the numbers of relation heads that fit both models
    #[arg(long)]
    student_hidden: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `limbeck inspect`.
///
/// # Errors
/// The folder is not one of a model that we run, a tensor of it is missing or damaged, or its tokenizer has more tokens than rows.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout().lock();
    let folder = models::read(&arguments.model)?;
    let config = folder.config()?;
    let weights = Weights::open(&folder)?;
    weights.check()?;
    let strays = weights.strays()?;
    folder.sentence_head()?;
    let tokenizer = folder.tokenizer()?;
    folder.require_rows(&tokenizer)?;
    let heads = common_relation_heads(
        arguments.student_hidden.unwrap_or(config.key_width()),
        config.key_width(),
    );
    let mut facts = json!({
        "model_type": config.model_type,
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "ffn": config.intermediate_size,
        "vocabulary": config.vocab_size,
        "tokenizer": tokenizer.vocabulary(),
        "max_length": config.max_length(),
        "layer_norm_eps": config.layer_norm_eps,
        "parameters": parameter_count(&config),
        "relation_heads": heads,
    });
    // What other models do not have is not listed.
    if config.is_grouped() {
        facts["key_value_heads"] = json!(config.key_heads());
    }
    if config.only_teaches() {
        facts["students"] = json!(config.student_kind().0);
    }
    if arguments.json {
        facts["not_read"] = json!(strays);
        writeln!(out, "{facts}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in facts.as_object().into_iter().flatten() {
        writeln!(
            out,
            "{name:<16} {}",
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        )?;
    }
    if let Some(strays) = models::not_read(&folder, &strays) {
        writeln!(out, "{}", terminal::harmless(strays))?;
    }
    Ok(ExitCode::SUCCESS)
}
