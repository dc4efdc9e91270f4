//! The student as a Hugging Face folder that `transformers` and `sentence-transformers` open as it is.

use limbeck_model::{Encoder, Folder, ModelError, Precision};
use limbeck_recipe::{Init, Plan, SentenceHead, WeightPrecision};

/// Names (`/` separates sub-folders) and contents of all files of the folder but README.md, in the order in which they
/// are to be written: the weights last. `head` is the [`student_head`].
///
/// # Errors
/// The teacher's tokenizer cannot be written as tokenizer.json, or a tensor not be read back.
pub async fn student_files(
    plan: &Plan,
    student: &Encoder,
    teacher: &Folder,
    head: &SentenceHead,
) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
    let precision = match plan.recipe.precision {
        WeightPrecision::F32 => Precision::F32,
        WeightPrecision::F16 => Precision::F16,
    };
    let mut files = teacher.tokenizer_files(&teacher.tokenizer_of_transformers()?)?;
    let mut add = |name: &str, bytes: Vec<u8>| files.push((name.to_owned(), bytes));
    let config = plan.student.to_json(precision.torch_name());
    add("config.json", config.into_bytes());
    for (name, content) in head.to_files(plan.student.hidden_size, plan.student.max_length()) {
        add(&name, format!("{content:#}\n").into_bytes());
    }
    for dense in head.dense() {
        for file in ["config.json", "model.safetensors", "pytorch_model.bin"] {
            let name = format!("{}/{file}", dense.folder);
            if let Some(bytes) = teacher.get(&name) {
                add(&name, bytes.to_vec());
            }
        }
    }
    add("recipe.toml", plan.recipe.to_toml().into_bytes());
    add(
        "model.safetensors",
        student.to_safetensors(precision).await?,
    );
    Ok(files)
}

/// How the student makes one vector of a text: as its teacher does, but for what its width rules out. A student that starts from
/// the model in a folder (`start`) reads as many tokens as that model does, where its folder says so. Positions that a student with
/// random weights was never trained on are not read.
///
/// # Errors
/// The file that says how many tokens the model in the folder reads is damaged.
pub fn student_head(
    plan: &Plan,
    teacher: &SentenceHead,
    start: Option<&Folder>,
) -> Result<SentenceHead, ModelError> {
    let (from, to) = (plan.teacher.hidden_size, plan.student.hidden_size);
    let mut head = teacher.of_student(from, to);
    if plan.recipe.student.init == Init::Random {
        let length = head.length(plan.student.max_length());
        head.max_length = Some(length.min(plan.recipe.max_length));
    }
    if let Some(own) = start.map(Folder::sentence_length).transpose()?.flatten() {
        head.max_length = Some(own);
    }
    Ok(head)
}

/// The same in words, with what is left out of the teacher's and why.
pub fn vectors_in_words(plan: &Plan, teacher: &SentenceHead, head: &SentenceHead) -> String {
    let length = head.length(plan.student.max_length());
    let mut words = format!("{}, of up to {length} tokens", head.words());
    let (left_out, kept) = (teacher.dense().count(), head.dense().count());
    if let Some(dense) = teacher.dense().next().filter(|_| left_out > kept) {
        let width = head.width(plan.student.hidden_size);
        words.push_str(&format!(
            "; without the teacher's Dense, which takes vectors of {} columns and not the student's {width}",
            dense.inputs
        ));
    }
    words
}
