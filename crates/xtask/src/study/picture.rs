//! Results as a picture: for each student and task of vectors a panel, for each arm the score and its interval.
//!
//! The axis does not begin at 0, where all arms would look alike, so a score is a mark on its interval and not the end of a
//! bar. Colours follow the reader's scheme, light or dark; the ground is left to the page.

use std::fmt::Write as _;

use super::measure::FIRST;
use super::plan::Kind;
use super::score::Score;
use super::table::Table;

const WIDTH: f64 = 860.0;
/// Where the axis begins and ends; names are left of it and numbers right of it.
const AXIS: [f64; 2] = [400.0, 790.0];
const ROW: f64 = 24.0;

const STYLE: &str = "<style>\
    text{fill:#1f2328;font:13px system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}\
    .head{font-weight:600;font-size:15px}.faint{fill:#59636e;font-size:11px}\
    .grid{stroke:#d1d9e0}.teacher{stroke:#59636e;stroke-dasharray:4 4}\
    .bar{fill:#0969da;fill-opacity:.3}.mark{fill:#0969da}.best{fill:#1a7f37}\
    @media(prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}.grid{stroke:#3d444d}\
    .teacher{stroke:#9198a1}.bar{fill:#4493f8;fill-opacity:.4}.mark{fill:#4493f8}.best{fill:#3fb950}}\
    </style>";

/// A whole SVG document.
pub fn svg(tables: &[Table]) -> String {
    let mut body = String::new();
    let mut top = 0.0;
    for table in tables {
        for at in 0..table.columns.len() {
            if FIRST.contains(&table.columns[at].1.as_str()) {
                top += panel(&mut body, table, at, top);
            }
        }
    }
    let height = top + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\"><title>Scores of the arms of the study</title>{STYLE}{body}</svg>\n"
    )
}

/// Draws a panel, and returns its height; 0 if there is nothing to draw.
fn panel(body: &mut String, table: &Table, at: usize, top: f64) -> f64 {
    let rows = table.rows.iter();
    let rows: Vec<(&str, Kind, Score)> = rows
        .filter_map(|row| Some((row.arm.title.as_str(), row.arm.kind, row.scores[at]?)))
        .collect();
    let Some(scale) = Scale::of(&rows) else {
        return 0.0;
    };
    let students = rows.iter().filter(|row| row.1 != Kind::Teacher);
    let best = students.fold(f64::NEG_INFINITY, |best, row| best.max(row.2.mean));
    let (task, metric) = &table.columns[at];
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "<text class=\"head\" x=\"8\" y=\"{:.0}\">{}</text><text class=\"faint\" x=\"8\" y=\"{:.0}\">{}</text>",
        top + 26.0,
        escape(&format!(
            "{} on {task}: {metric} x 100",
            table.student.name.replace('x', " x ")
        )),
        top + 42.0,
        escape(&format!("{}; 95 % intervals", table.budget.title)),
    );
    let first = top + 66.0;
    let end = first + ROW * rows.len() as f64;
    for number in scale.numbers() {
        let x = scale.place(number);
        let _ = write!(
            body,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{end:.1}\"/>\
             <text class=\"faint\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{:.0}</text>",
            first - 6.0,
            first - 11.0,
            100.0 * number
        );
    }
    for (number, (title, kind, score)) in rows.iter().enumerate() {
        let middle = first + ROW * (number as f64 + 0.5);
        let is_best = *kind != Kind::Teacher && score.mean >= best;
        row(body, &scale, title, score, middle, is_best);
        if *kind == Kind::Teacher {
            let x = scale.place(score.mean);
            let _ = write!(
                body,
                "<line class=\"teacher\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{middle:.1}\" y2=\"{end:.1}\"/>"
            );
        }
    }
    end + 8.0 - top
}

fn row(body: &mut String, scale: &Scale, title: &str, score: &Score, middle: f64, is_best: bool) {
    let colour = if is_best { "best" } else { "mark" };
    let text = middle + 4.5;
    let _ = write!(
        body,
        "<text text-anchor=\"end\" x=\"{:.0}\" y=\"{text:.1}\">{}</text>",
        AXIS[0] - 12.0,
        escape(title)
    );
    if let Some([low, high]) = score.interval() {
        let (x, width) = (scale.place(low), scale.place(high) - scale.place(low));
        let _ = write!(
            body,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"10\" rx=\"2\"/>",
            middle - 5.0
        );
    }
    let _ = write!(
        body,
        "<rect class=\"{colour}\" x=\"{:.1}\" y=\"{:.1}\" width=\"3\" height=\"16\" rx=\"1\"/>\
         <text x=\"{:.0}\" y=\"{text:.1}\">{:.1}</text>",
        scale.place(score.mean) - 1.5,
        middle - 8.0,
        AXIS[1] + 14.0,
        100.0 * score.mean
    );
}

/// From scores to places on the axis.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// Over all intervals, in whole steps; none without scores.
    fn of(rows: &[(&str, Kind, Score)]) -> Option<Self> {
        let ends = |row: &(&str, Kind, Score)| {
            let score = row.2;
            score.interval().unwrap_or([score.mean; 2])
        };
        let lowest = rows.iter().map(|row| ends(row)[0]).reduce(f64::min)?;
        let highest = rows.iter().map(|row| ends(row)[1]).reduce(f64::max)?;
        let step = [0.01, 0.02, 0.05, 0.1, 0.2];
        let step = step.into_iter().find(|step| highest - lowest <= 8.0 * step);
        let step = step.unwrap_or(0.5);
        let low = (lowest / step).floor() * step;
        // At least one step wide.
        let high = ((highest / step).ceil() * step).max(low + step);
        Some(Self { low, high, step })
    }

    fn place(&self, score: f64) -> f64 {
        let part = (score - self.low) / (self.high - self.low);
        AXIS[0] + part * (AXIS[1] - AXIS[0])
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as u32;
        (0..=count).map(|number| self.low + self.step * f64::from(number))
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
