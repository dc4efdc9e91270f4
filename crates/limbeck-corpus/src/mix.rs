//! Where lines come from, block by block: from one text after the other, or, where its parts have weights, from all parts at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use limbeck_recipe::batching::{DataPosition, PartPosition, Position, next_part};

use crate::blocks::{BlockLimits, Blocks, Line, Lines};
use crate::corpus::Corpus;
use crate::error::CorpusError;

/// Where the next block starts: the fields of the same names of a [`DataPosition`].
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) start: Position,
    pub(crate) parts: Vec<PartPosition>,
}

/// The blocks of a corpus.
pub(crate) enum Source {
    /// In order, to the end of the last text.
    InOrder(Blocks),
    /// Endless.
    Mixed(Mix),
}

impl Source {
    /// The blocks from a place on where one starts.
    pub(crate) fn open(corpus: &Corpus, from: &DataPosition, limits: BlockLimits) -> Self {
        match corpus.weights() {
            None => Self::InOrder(corpus.blocks(from.start, limits)),
            Some(weights) => Self::Mixed(Mix::open(corpus, weights, &from.parts, limits)),
        }
    }

    /// Ends early, within milliseconds, once `stop` is true.
    pub(crate) fn until(self, stop: &Arc<AtomicBool>) -> Self {
        match self {
            Self::InOrder(blocks) => Self::InOrder(blocks.until(stop.clone())),
            Self::Mixed(mix) => Self::Mixed(mix.until(stop)),
        }
    }

    /// The lines of the next block, at least one, and where that ends; none at the end, and if reading was stopped.
    pub(crate) fn next(&mut self) -> Result<Option<(Vec<Line>, Reading)>, CorpusError> {
        match self {
            Self::InOrder(blocks) => Ok(blocks.next().transpose()?.map(|block| {
                let start = block.end;
                (
                    block.lines,
                    Reading {
                        start,
                        ..Reading::default()
                    },
                )
            })),
            Self::Mixed(mix) => mix.next(),
        }
    }

    /// Whether every line was read since it was opened, where that never ends: each part has ended twice.
    pub(crate) fn is_read_again(&self) -> bool {
        match self {
            Self::InOrder(_) => false,
            Self::Mixed(mix) => mix.parts.iter().all(|part| part.ends > 1),
        }
    }
}

/// Lines of all parts of a corpus, by their weights. A part that ends begins anew.
pub(crate) struct Mix {
    corpus: Corpus,
    limits: BlockLimits,
    /// Those of weight 0 are not among the parts.
    weights: Vec<f64>,
    parts: Vec<Reader>,
}

/// Reads a part, again and again.
struct Reader {
    part: usize,
    lines: Lines,
    /// See [`PartPosition::lines`].
    given: u64,
    /// How often it has come to its end.
    ends: u64,
}

impl Mix {
    fn open(
        corpus: &Corpus,
        weights: Arc<[f64]>,
        from: &[PartPosition],
        limits: BlockLimits,
    ) -> Self {
        let (mut kept, mut parts) = (Vec::new(), Vec::new());
        for (part, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let beginning = PartPosition {
                at: corpus.start_of(part),
                lines: 0,
            };
            let PartPosition { at, lines } = from.get(parts.len()).copied().unwrap_or(beginning);
            kept.push(*weight);
            parts.push(Reader {
                part,
                lines: Lines::new(corpus.clone(), at, corpus.end_of(part), limits.line_bytes),
                given: lines,
                ends: 0,
            });
        }
        Self {
            corpus: corpus.clone(),
            limits,
            weights: kept,
            parts,
        }
    }

    fn until(self, stop: &Arc<AtomicBool>) -> Self {
        let parts = self.parts.into_iter().map(|reader| Reader {
            lines: reader.lines.until(stop.clone()),
            ..reader
        });
        Self {
            parts: parts.collect(),
            ..self
        }
    }

    /// A block ends where it is full, or where most of what would follow is in it already: parts with more than half of the weights
    /// have ended in it.
    fn next(&mut self) -> Result<Option<(Vec<Line>, Reading)>, CorpusError> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        let before: Vec<u64> = self.parts.iter().map(|part| part.ends).collect();
        while self.limits.has_room(lines.len(), bytes) {
            let given = self.parts.iter().map(|part| part.given);
            let Some(due) = next_part(&self.weights, given) else {
                break;
            };
            let part = &mut self.parts[due];
            let start = self.corpus.start_of(part.part);
            let is_whole = part.lines.at == start;
            if let Some(line) = part.lines.next()? {
                part.given += 1;
                bytes += line.text.len();
                lines.push(line);
                continue;
            }
            if part.lines.is_stopped() {
                return Ok(None);
            }
            if is_whole {
                return Err(self.corpus.nothing_to_weigh(part.part));
            }
            part.ends += 1;
            part.lines.go_to(start);
            let parts = self.parts.iter().zip(&before).zip(&self.weights);
            let ended = parts.filter(|((part, before), _)| part.ends > **before);
            let ended: f64 = ended.map(|(_, weight)| weight).sum();
            if !lines.is_empty() && 2.0 * ended > self.weights.iter().sum::<f64>() {
                break;
            }
        }
        let position = |part: &Reader| PartPosition {
            at: part.lines.at,
            lines: part.given,
        };
        let parts = self.parts.iter().map(position).collect();
        let end = Reading {
            parts,
            ..Reading::default()
        };
        Ok((!lines.is_empty()).then_some((lines, end)))
    }
}
