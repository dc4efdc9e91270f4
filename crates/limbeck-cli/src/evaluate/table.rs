//! An evaluation as text: for a terminal, for a document, and for programs.

use limbeck_recipe::file_size;
use limbeck_score::{Metric, RESAMPLES, Score, confidence};

use super::labelled::{Spread, Words};
use super::{Evaluation, Model, Outcome};
use crate::terminal;

/// What a table has of each model, the first column left-aligned.
pub const COLUMNS: [&str; 4] = ["model", "parameters", "on disk", "sentences/s"];

/// The column of a model's seeds in fine-tuning.
const OVER_SEEDS: &str = "over seeds";
/// The column of the words that a model does not judge.
const LEFT_OUT: &str = "words left out";

/// For a terminal: a table for each task, in columns.
pub fn text(evaluation: &Evaluation) -> String {
    let table = |outcome: &Outcome| {
        let rows = terminal::columns(&rows(evaluation, outcome));
        format!("{}\n{rows}\n", outcome.heading)
    };
    let tables: Vec<String> = evaluation.outcomes.iter().map(table).collect();
    format!("{}\n{}\n", tables.join("\n"), note(evaluation))
}

/// In Markdown.
pub fn markdown(evaluation: &Evaluation) -> String {
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let table = |outcome: &Outcome| {
        let rows = rows(evaluation, outcome);
        let (head, body) = rows.split_at(1);
        let rule = format!("|---|{}\n", "---:|".repeat(rows[0].len() - 1));
        let body: String = body.iter().map(line).collect();
        let heading = &outcome.heading;
        format!("{heading}\n\n{}{rule}{body}\n", line(&head[0]))
    };
    let tables: String = evaluation.outcomes.iter().map(table).collect();
    format!("{tables}{}\n", note(evaluation))
}

/// Comma-separated values: a line for each task, model and metric.
pub fn csv(evaluation: &Evaluation) -> String {
    let mut text = String::from(
        "task,rows,model,parameters,bytes,sentences_per_second,metric,value,low,high,share_of_first,p,seeds,seeds_mean,\
         seeds_std,words_left_out\n",
    );
    for outcome in &evaluation.outcomes {
        for (at, model) in evaluation.models.iter().enumerate() {
            for score in &outcome.scores[at] {
                let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
                let [low, high] = [0, 1].map(|end| number(score.interval.map(|ends| ends[end])));
                let spread = outcome.spreads[at].as_ref();
                let of_metric = spread.and_then(|spread| spread.of(score.metric));
                let seeds = spread.filter(|_| of_metric.is_some());
                let fields = [
                    field(&outcome.name),
                    outcome.rows.to_string(),
                    field(&model.name),
                    model.parameters.to_string(),
                    model.bytes.to_string(),
                    outcome.speeds[at].to_string(),
                    score.metric.to_string(),
                    number(score.value),
                    low,
                    high,
                    number(score.share),
                    number(score.p),
                    seeds.map_or_else(String::new, |spread| spread.seeds.to_string()),
                    number(of_metric.map(|(mean, _)| mean)),
                    number(of_metric.and_then(|(_, deviation)| deviation)),
                    left_out(outcome, at).map_or_else(String::new, |words| words.to_string()),
                ];
                text.push_str(&fields.join(","));
                text.push('\n');
            }
        }
    }
    text
}

/// The words that a model leaves out of a task of words.
fn left_out(outcome: &Outcome, model: usize) -> Option<usize> {
    let words = outcome.words.as_ref();
    words.and_then(|words| words.left_out.get(model).copied())
}

/// Whether any model leaves out words of a task.
fn are_left_out(outcome: &Outcome) -> bool {
    outcome.words.as_ref().is_some_and(Words::are_left_out)
}

fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// What the numbers mean.
pub fn note(evaluation: &Evaluation) -> String {
    let device = &evaluation.device;
    let mut note = format!(
        "Scores times 100; in brackets the 95 % interval over the rows, from {RESAMPLES} samples of them. Sentences a second on {device}."
    );
    if let [first, _, ..] = evaluation.models.as_slice() {
        note.push_str(&format!(
            " p: how likely a difference from {} as large is due to the choice of rows alone.",
            first.name
        ));
    }
    if evaluation.outcomes.iter().any(are_left_out) {
        note.push_str(&format!(
            " {LEFT_OUT}: a model makes no token of them, or cuts them off at its length. They count for no model: the scores are \
             of the words that all of them judge."
        ));
    }
    let mut spreads = evaluation
        .outcomes
        .iter()
        .flat_map(|outcome| &outcome.spreads);
    if spreads.any(Option::is_some) {
        note.push_str(&format!(
            " {OVER_SEEDS}: the same score of all seeds of limbeck finetune, mean ± deviation (seeds), on the dev file that they \
             were judged by there; a folder holds the best of them."
        ));
    }
    note
}

/// Header and rows of a task's table.
pub fn rows(evaluation: &Evaluation, outcome: &Outcome) -> Vec<Vec<String>> {
    let [first, second] = outcome.metrics;
    let mut header: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    header.extend([first.to_string(), second.to_string()]);
    let several = evaluation.models.len() > 1;
    if several {
        header.push("of the first".to_owned());
    }
    let words = are_left_out(outcome);
    if words {
        header.push(LEFT_OUT.to_owned());
    }
    let seeds = outcome.spreads.iter().any(Option::is_some);
    if seeds {
        header.push(OVER_SEEDS.to_owned());
    }
    let row = |(at, model): (usize, &Model)| {
        let mut row = vec![
            model.name.clone(),
            millions(model.parameters),
            file_size(model.bytes),
            format!("{:.0}", outcome.speeds[at]),
        ];
        let values = outcome.scores[at].iter();
        row.extend(values.map(|score| value(score, outcome.undefined)));
        if several {
            row.push(compared(&outcome.scores[at][0]));
        }
        if words {
            row.push(left_out(outcome, at).unwrap_or_default().to_string());
        }
        if seeds {
            row.push(over_seeds(outcome.spreads[at].as_ref(), first));
        }
        row
    };
    let rows = evaluation.models.iter().enumerate().map(row);
    std::iter::once(header).chain(rows).collect()
}

fn millions(parameters: u128) -> String {
    match parameters {
        0..100_000 => parameters.to_string(),
        _ => format!("{:.1} M", parameters as f64 / 1e6),
    }
}

/// A score with its interval.
fn value(score: &Score, undefined: &str) -> String {
    let Some(value) = score.value else {
        return undefined.to_owned();
    };
    match score.interval {
        Some([low, high]) => {
            format!(
                "{:.1} [{:.1}, {:.1}]",
                100.0 * value,
                100.0 * low,
                100.0 * high
            )
        }
        None => format!("{:.1} [too few rows]", 100.0 * value),
    }
}

/// Mean and deviation of a model's seeds in fine-tuning.
fn over_seeds(spread: Option<&Spread>, metric: Metric) -> String {
    let numbers = spread.and_then(|spread| Some((spread.seeds, spread.of(metric)?)));
    match numbers {
        Some((seeds, (mean, Some(deviation)))) => {
            format!("{:.1} ± {:.1} ({seeds})", 100.0 * mean, 100.0 * deviation)
        }
        Some((seeds, (mean, None))) => format!("{:.1} ({seeds})", 100.0 * mean),
        None => "–".to_owned(),
    }
}

/// Share of the first model's score, and how sure the difference is.
pub fn compared(score: &Score) -> String {
    let share = score.share.map(|share| format!("{:.1} %", 100.0 * share));
    let parts = [share, score.p.map(confidence)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "–".to_owned(),
        false => parts.join(", "),
    }
}
