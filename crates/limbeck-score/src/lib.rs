//! What models are worth on tasks, and how sure that is: their sentence vectors on tasks that need no training, and what
//! trained heads give for labelled files ([`Marks`]).
//!
//! ```text
//! text of a file --parse--> Task --texts--> (a model's vectors) --answers--> one number a row --compare--> scores
//! ```
//!
//! A [`Task`] is read from the text of a table. Each model answers every row with a number: the cosine of a pair, or the
//! reciprocal rank of a right answer. What follows are statistics of those numbers: the scores of both metrics of the task, a
//! 95 % interval over the rows, and how likely a model is as good as the first.
//!
//! Without a task, [`agreement`] says how far a student orders lines as its teacher does, and [`Verdict`] which of several does so most.
#![warn(missing_docs)]

mod agreement;
mod chunks;
mod compare;
mod marks;
mod metric;
mod quotes;
mod task;

pub use agreement::{Mean, Verdict, agreement};
pub use chunks::{are_chunks, is_chunk_tag};
pub use compare::{RESAMPLES, Score, compare, compare_marks, confidence};
pub use marks::{Counts, Marks};
pub use metric::{cosine, mean, pearson, ranks, spearman};
pub use quotes::require_closed_quotes;
pub use task::{Kind, Metric, Separator, Task, TaskError};
