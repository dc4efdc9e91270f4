//! The student as a Hugging Face folder that `transformers` and `sentence-transformers` open as it is.

use limbeck_model::{Encoder, Folder, ModelError, Precision, Tokenizer};
use limbeck_recipe::{Plan, WeightPrecision};
use serde_json::json;

/// Names (`/` separates sub-folders) and contents of all files of the folder but README.md, in the order in which they
/// are to be written: the weights last.
///
/// # Errors
/// The teacher's tokenizer cannot be written as tokenizer.json, or a tensor not be read back.
pub async fn student_files(
    plan: &Plan,
    student: &Encoder,
    teacher: &Folder,
) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
    let precision = match plan.recipe.precision {
        WeightPrecision::F32 => Precision::F32,
        WeightPrecision::F16 => Precision::F16,
    };
    let mut files = tokenizer_files(teacher)?;
    let mut add = |name: &str, bytes: Vec<u8>| files.push((name.to_owned(), bytes));
    let config = plan.student.to_json(precision.torch_name());
    add("config.json", config.into_bytes());
    let modules = sentence_transformers(plan.student.hidden_size, plan.recipe.max_length);
    for (name, content) in modules {
        add(name, format!("{content:#}\n").into_bytes());
    }
    add("recipe.toml", plan.recipe.to_toml().into_bytes());
    add(
        "model.safetensors",
        student.to_safetensors(precision).await?,
    );
    Ok(files)
}

/// Names and contents of a model's tokenizer files, with a tokenizer.json in any case.
///
/// # Errors
/// The tokenizer cannot be written as tokenizer.json.
pub fn tokenizer_files(model: &Folder) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
    let files = model.tokenizer_files();
    let mut files: Vec<(String, Vec<u8>)> = files
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
        .collect();
    if model.get("tokenizer.json").is_none() {
        let tokenizer = Tokenizer::from_folder(model)?.to_json()?;
        files.push(("tokenizer.json".to_owned(), tokenizer.into_bytes()));
    }
    Ok(files)
}

/// modules.json and what it names: mean pooling over the real tokens.
pub fn sentence_transformers(
    hidden_size: usize,
    max_length: usize,
) -> [(&'static str, serde_json::Value); 3] {
    let modules = json!([
        { "idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer" },
        { "idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" },
    ]);
    let pooling = json!({
        "word_embedding_dimension": hidden_size,
        "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": true,
        "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false,
    });
    let transformer = json!({ "max_seq_length": max_length, "do_lower_case": false });
    [
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("sentence_bert_config.json", transformer),
    ]
}
