//! The saved run: everything that is needed to take a run up after a reload or a crash, as files of a [`World`].

use std::collections::BTreeMap;
use std::sync::Arc;

use limbeck_model::Folder;
use limbeck_protocol::SavedRun;
use limbeck_recipe::{Evaluation, Recipe, Step};
use serde::{Deserialize, Serialize};

use crate::{World, seal, unseal};

const INDEX: &str = "run.json";
const CHECKPOINT: &str = "checkpoint.safetensors";

/// A text with its name.
pub type Text = (String, Arc<[u8]>);

/// What the index of a saved run says; the steps are in it, because they are small and must fit the checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Index {
    /// The recipe.
    #[serde(with = "limbeck_recipe::as_toml")]
    pub recipe: Recipe,
    /// The teacher's name, and the names of its files.
    pub teacher: (String, Vec<String>),
    /// Names of the texts.
    pub texts: Vec<String>,
    /// Steps up to the checkpoint.
    pub steps: Vec<Step>,
    /// Evaluations up to the checkpoint.
    pub evaluations: Vec<Evaluation>,
    /// Whether a byte of it has changed since it was kept: it can still be read, but its numbers may be wrong.
    #[serde(skip)]
    pub is_damaged: bool,
}

impl Index {
    /// What a page sees of it.
    pub fn summary(&self) -> SavedRun {
        let step = self.steps.last().map_or(0, |step| step.step);
        SavedRun {
            recipe: self.recipe.clone(),
            step,
            loss: self.steps.last().map(|step| step.loss),
            finished: step >= self.recipe.steps,
        }
    }

    /// What is wrong with it, for people; none if nothing is.
    pub fn damage(&self) -> Option<String> {
        self.is_damaged.then(|| {
            format!(
                "the {INDEX} of the saved run was damaged: numbers of the curves up to the checkpoint may be wrong; the student \
                 is not affected"
            )
        })
    }
}

/// The saved run if there is one, or why it cannot be read.
pub async fn index<W: World>(world: &W) -> Option<Result<Index, String>> {
    let bytes = match world.read(INDEX).await {
        Ok(bytes) => bytes?,
        Err(reason) => {
            return Some(Err(format!(
                "the run that was saved here cannot be read ({reason}); the next run will replace it"
            )));
        }
    };
    let whole = unseal(&bytes);
    let read = serde_json::from_slice(whole.as_ref().map_or(&bytes, |text| text.as_bytes()));
    let read = read.map(|index| Index {
        is_damaged: whole.is_none(),
        ..index
    });
    Some(read.map_err(|error: serde_json::Error| {
        format!(
            "a run was saved here, but its {INDEX} is damaged ({error}): it cannot be resumed, and the next run will replace it"
        )
    }))
}

/// Keeps what the run reads, in place of any run before.
pub async fn keep_inputs<W: World>(
    world: &W,
    teacher: &Folder,
    texts: &[Text],
) -> Result<(), String> {
    world.forget().await?;
    for (name, bytes) in teacher.files() {
        world.keep(&teacher_file(name), bytes).await?;
    }
    for (number, (_, bytes)) in texts.iter().enumerate() {
        world.keep(&text_file(number), bytes).await?;
    }
    Ok(())
}

/// Saves a checkpoint and the steps up to it. The index goes first, so that whatever cuts this off leaves no gap in the
/// steps: those past the checkpoint are dropped when the run is resumed. Only the first index waits for its checkpoint,
/// because alone it would offer a run that cannot be resumed.
pub async fn keep<W: World>(
    world: &W,
    index: &Index,
    checkpoint: &[u8],
    is_first: bool,
) -> Result<(), String> {
    if !is_first {
        keep_index(world, index).await?;
    }
    world.keep(CHECKPOINT, checkpoint).await?;
    if is_first {
        keep_index(world, index).await?;
    }
    Ok(())
}

/// Keeps the index alone: what was measured at the checkpoint after it was kept.
pub async fn keep_index<W: World>(world: &W, index: &Index) -> Result<(), String> {
    let text = serde_json::to_string(index).map_err(|e| e.to_string())?;
    world.keep(INDEX, seal(&text).as_bytes()).await
}

/// A saved run: its teacher, its texts, its checkpoint.
pub async fn read<W: World>(
    world: &W,
    index: &Index,
) -> Result<(Folder, Vec<Text>, Vec<u8>), String> {
    let read = async |name: &str| -> Result<Vec<u8>, String> {
        let missing = || format!("{name} of the saved run is missing; start a new run");
        world.read(name).await?.ok_or_else(missing)
    };
    let mut files = BTreeMap::new();
    for name in &index.teacher.1 {
        files.insert(name.clone(), read(&teacher_file(name)).await?);
    }
    let mut texts = Vec::new();
    for (number, name) in index.texts.iter().enumerate() {
        texts.push((name.clone(), read(&text_file(number)).await?.into()));
    }
    let teacher = Folder::from_files(&index.teacher.0, files);
    Ok((teacher, texts, read(CHECKPOINT).await?))
}

/// A browser's storage has no folders here: `teacher-1_Pooling+config.json`.
fn teacher_file(name: &str) -> String {
    format!("teacher-{}", name.replace('/', "+"))
}

fn text_file(number: usize) -> String {
    format!("text-{number}")
}
