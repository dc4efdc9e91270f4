//! Where vectors go: standard output, or a file that is there whole or not at all.

use std::io::{Seek, SeekFrom, Write};

use half::f16;

use super::{Arguments, Format, Precision};
use crate::error::CliError;
use crate::interrupt::on_interrupt;
use crate::output::Whole;

/// Bytes before the numbers of an .npy file, a multiple of 64 as the format asks for; room for any number of rows.
const HEADER: usize = 128;
/// The format's name and version, and two bytes that say how long the rest of the header is.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Takes the bytes of one text after the other.
pub enum Sink {
    Standard(std::io::Stdout),
    File(File),
}

pub struct File {
    whole: Whole,
    replaces: bool,
    /// Of an array.
    array: Option<Array>,
}

struct Array {
    precision: Precision,
    width: usize,
}

impl Sink {
    /// What the flags name, for vectors of this width.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(arguments: &Arguments, width: usize) -> Result<Self, CliError> {
        let Some(path) = &arguments.out else {
            return Ok(Self::Standard(std::io::stdout()));
        };
        let whole = Whole::create(path)?;
        let begun = whole.begun.to_path_buf();
        on_interrupt(move || {
            let _ = std::fs::remove_file(&begun);
            std::process::exit(1);
        })?;
        let array = (arguments.format == Format::Npy).then_some(Array {
            precision: arguments.precision,
            width,
        });
        let mut file = File {
            whole,
            replaces: arguments.overwrite,
            array,
        };
        if let Some(array) = &file.array {
            let header = array.header(0);
            file.put(&header)?;
        }
        Ok(Self::File(file))
    }

    /// Adds the bytes of a text.
    ///
    /// # Errors
    /// The disk is full, say, or the reader has gone.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        match self {
            Self::Standard(out) => Ok(out.write_all(bytes)?),
            Self::File(file) => file.put(bytes),
        }
    }

    /// All texts are there, so many.
    ///
    /// # Errors
    /// See [`Self::write`].
    pub fn keep(self, texts: u64) -> Result<(), CliError> {
        match self {
            Self::Standard(mut out) => Ok(out.flush()?),
            Self::File(mut file) => {
                if let Some(array) = &file.array {
                    let header = array.header(texts);
                    let start = file.whole.file.seek(SeekFrom::Start(0));
                    start.map_err(CliError::file("write", &file.whole.path))?;
                    file.put(&header)?;
                }
                file.whole.keep(file.replaces)
            }
        }
    }
}

impl File {
    fn put(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let put = self.whole.file.write_all(bytes);
        put.map_err(CliError::file("write", &self.whole.path))
    }
}

impl Array {
    /// The header of version 1.0 (numpy.lib.format): a Python dictionary, filled up with spaces to a line.
    fn header(&self, rows: u64) -> Vec<u8> {
        let floats = match self.precision {
            Precision::F32 => "<f4",
            Precision::F16 => "<f2",
        };
        let width = self.width;
        let dictionary = format!(
            "{{'descr': '{floats}', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
        );
        let length = HEADER - MAGIC.len() - 2;
        let mut header = MAGIC.to_vec();
        header.extend((length as u16).to_le_bytes());
        header.extend(format!("{dictionary:<0$}\n", length - 1).into_bytes());
        header
    }
}

/// A vector as floats of 16 bits; none if one of its numbers is beyond them.
pub fn narrow(vector: &[f32]) -> Option<Vec<u8>> {
    let narrow: Vec<f16> = vector.iter().map(|x| f16::from_f32(*x)).collect();
    let fits = narrow.iter().all(|x| x.is_finite());
    fits.then(|| narrow.iter().flat_map(|x| x.to_le_bytes()).collect())
}
