//! A model's folder as ONNX files: the weights that the folder holds, in the graphs of limbeck-onnx.

use limbeck_model::{Folder, ModelError, Weights};
use limbeck_onnx::{Export, Failed, Format, Source};
use limbeck_recipe::{Config, Dense, HeadChoice, SentenceHead, Tuned};

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

/// Why a student cannot be taken away with ONNX files, and how it can.
pub(crate) fn refused(reason: String) -> String {
    format!("the student cannot be written as ONNX ({reason}). Download it without ONNX files")
}

/// The files of a student's folder, and after them its ONNX files in every format, as `limbeck export` writes them.
///
/// # Errors
/// See [`Model::file`]; in words.
pub fn with_files(files: Vec<(String, Vec<u8>)>) -> Result<Vec<(String, Vec<u8>)>, String> {
    let folder = Folder::from_files("the student", files.into_iter().collect());
    let written = all_of(&folder)?;
    Ok(folder.into_files().chain(written).collect())
}

fn all_of(folder: &Folder) -> Result<Vec<(String, Vec<u8>)>, String> {
    let model = Model::open(folder).map_err(|e| e.to_string())?;
    let write = |format: Format| {
        let file = model.file(false, format);
        let file = file.map(|bytes| (format!("{FOLDER}/{}", format.file()), bytes));
        file.map_err(|e| e.to_string())
    };
    Format::ALL.into_iter().map(write).collect()
}
