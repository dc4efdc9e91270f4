//! What a fine-tuned model gives for labelled text, and how good that is.

use limbeck_model::Classifier;
use limbeck_score::{Counts, Marks};
use limbeck_train::Tuning;

use super::sequences::{Sequence, Shelf, by_length};
use super::task::{Example, Goal, Target};
use crate::error::CliError;

/// Sequences that are judged together.
const JUDGED: usize = 64;

/// The logits or score of a text; of a sentence, of each of its words, and none of a word that was cut off.
pub type Given = Vec<Option<Vec<f32>>>;

/// What a classifier gives for sequences, in their order.
///
/// # Errors
/// The device fails.
pub fn predict(
    classifier: &Classifier,
    shelf: &Shelf,
    sequences: &[Sequence],
    goal: &Goal,
) -> Result<Vec<Given>, CliError> {
    let mut predicted = vec![Given::new(); sequences.len()];
    for picked in by_length(sequences, JUDGED) {
        let batch = shelf.batch(sequences, &picked)?;
        let logits = pollster::block_on(Tuning::predict(classifier, &batch))?;
        let rows: Vec<&[f32]> = logits.chunks(goal.outputs()).collect();
        let rows_of_each = rows.len() / picked.len();
        for (rows, index) in rows.chunks(rows_of_each).zip(picked) {
            let places = sequences[index].places.iter();
            predicted[index] = places.map(|at| at.map(|at| rows[at].to_vec())).collect();
        }
    }
    Ok(predicted)
}

/// How good that is. Words that were cut off do not count.
pub fn marks(goal: &Goal, examples: &[Example], predicted: &[Given]) -> Marks {
    let pairs = examples.iter().zip(predicted);
    let classes = |(example, given): (&Example, &Given)| -> Vec<[usize; 2]> {
        let known: &[usize] = match &example.target {
            Target::Class(class) => std::slice::from_ref(class),
            Target::Tags(tags) => tags,
            Target::Score(_) => &[],
        };
        let given = given.iter().map(|logits| Some(highest(logits.as_ref()?)));
        let pairs = known.iter().zip(given);
        pairs
            .filter_map(|(known, given)| Some([*known, given?]))
            .collect()
    };
    let score = |(example, given): (&Example, &Given)| match (&example.target, given.as_slice()) {
        (Target::Score(known), [Some(given)]) => Some([f64::from(*known), f64::from(given[0])]),
        _ => None,
    };
    match goal {
        Goal::Score => Marks::Scores(pairs.filter_map(score).collect()),
        Goal::Tags(tags) if goal.has_chunks() => {
            let counts = |pairs: Vec<[usize; 2]>| {
                let side = |side: usize| -> Vec<&str> {
                    pairs.iter().map(|pair| tags[pair[side]].as_str()).collect()
                };
                Counts::of(&side(0), &side(1))
            };
            Marks::Chunks(pairs.map(classes).map(counts).collect())
        }
        Goal::Classes(_) | Goal::Tags(_) => Marks::Classes(pairs.map(classes).collect()),
    }
}

/// Index of the highest value, the first of equal ones.
pub fn highest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
