//! A model's folder as ONNX files: the weights that the folder holds, in the graphs of limbeck-onnx.

use limbeck_model::{Folder, ModelError, Weights};
use limbeck_onnx::{Export, ExportError, Failed, Format, Source};
use limbeck_recipe::{Config, Dense, HeadChoice, SentenceHead, Tuned, memory, parameter_count};

use crate::session::free_in_wasm;

pub use limbeck_onnx::steps;

/// The folder in a model's folder that transformers.js and sentence-transformers look into for ONNX files.
pub const FOLDER: &str = "onnx";

/// A folder whose weights can be read one by one.
pub struct Model<'a> {
    folder: &'a Folder,
    weights: Weights<'a>,
    config: Config,
    /// What makes one vector of a text.
    head: SentenceHead,
    /// The head of a fine-tuned model.
    pub tuned: Option<Tuned>,
    /// Where the linear layer of a head on the mean lies.
    module: Option<Dense>,
}

impl<'a> Model<'a> {
    /// Reads what the folder says of itself, and finds its weights.
    ///
    /// # Errors
    /// It is not one of a model that we run.
    pub fn open(folder: &'a Folder) -> Result<Self, ModelError> {
        let (config, head) = (folder.config()?, folder.sentence_head()?);
        let tuned = config.tuned();
        let module = tuned.as_ref().and_then(|tuned| tuned.linear_of_mean(&head));
        let module = module.cloned();
        let tuned = tuned.filter(|tuned| tuned.choice != HeadChoice::Mean || module.is_some());
        Ok(Self {
            folder,
            weights: Weights::open(folder)?,
            config,
            head,
            tuned,
            module,
        })
    }

    fn tensor(&self, source: Source, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let module = |module: &str| Weights::of_module(self.folder, module);
        match (source, &self.module) {
            (Source::Encoder, _) => self.weights.get(name, shape),
            (Source::File, _) => self.weights.get_of_file(name, shape),
            (Source::Module(_), Some(dense)) => module(&dense.folder)?.get(name, shape),
            (Source::Module(folder), None) => module(folder)?.get(name, shape),
        }
    }

    /// The bytes of a file. If `pooled`, its graph gives the vector of a text, too.
    ///
    /// # Errors
    /// A graph cannot say what the model computes, a number does not fit the format, or the file would be too large.
    pub fn file(&self, pooled: bool, format: Format) -> Result<Vec<u8>, Failed<ModelError>> {
        let export = Export {
            config: &self.config,
            sentence: pooled.then_some(&self.head),
            tuned: self.tuned.as_ref(),
            format,
        };
        limbeck_onnx::write(&export, &mut |source, name, shape| {
            self.tensor(source, name, shape)
        })
    }
}

/// Bytes that a student and its files in every format take for each of its numbers: 4 in the folder, and 4, 2 and 1.
const BYTES: u128 = 11;

/// Checks before anything is computed that a student can be taken away with ONNX files: some format can hold it, and there is room for
/// all at once in as much memory as is free, if that is known.
///
/// # Errors
/// Why not, and what to do.
pub(crate) fn require(student: &Config, free: Option<u64>) -> Result<(), String> {
    let refused = |reason: String| {
        format!(
            "the student cannot be written as ONNX here: {reason}. Download it without ONNX files"
        )
    };
    // The smallest of them.
    limbeck_onnx::require_writable(student, Format::Int8).map_err(|e| refused(e.to_string()))?;
    let free = free.or_else(free_in_wasm);
    let bytes = BYTES * parameter_count(student);
    match free.filter(|free| bytes > u128::from(*free)) {
        Some(free) => Err(refused(format!(
            "it takes {} of memory with its ONNX files, and {} are free",
            memory(bytes as f64),
            memory(free as f64)
        )) + ", and have `limbeck export` write those"),
        None => Ok(()),
    }
}

/// Adds its ONNX files in every format to a student's folder, as `limbeck export` writes them. Gives what is left out and why, in
/// words: a number that f16 cannot hold is no reason to do without the others.
pub fn add(files: &mut Vec<(String, Vec<u8>)>) -> Vec<String> {
    let folder = Folder::from_files("the student", files.drain(..).collect());
    let (written, left_out) = all_of(&folder);
    files.extend(folder.into_files().chain(written));
    left_out
}

fn all_of(folder: &Folder) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let (mut written, mut left_out) = (Vec::new(), Vec::new());
    let model = Model::open(folder);
    for format in Format::ALL {
        let file = match &model {
            Ok(model) => model.file(false, format).map_err(|failed| match failed {
                Failed::Export(ExportError::Beyond(name)) => {
                    format!("tensor `{name}` holds a number beyond 65504, the largest that f16 has")
                }
                Failed::Export(ExportError::TooLarge { bytes, .. }) => {
                    format!("it would have {}, too much for one", memory(bytes as f64))
                }
                other => other.to_string(),
            }),
            Err(error) => Err(error.to_string()),
        };
        let path = format!("{FOLDER}/{}", format.file());
        match file {
            Ok(bytes) => written.push((path, bytes)),
            Err(reason) => left_out.push(format!(
                "the student was packed without its ONNX file in {} ({reason}); all its other files are there",
                format.name()
            )),
        }
    }
    (written, left_out)
}
