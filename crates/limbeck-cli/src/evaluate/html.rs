//! An evaluation as one self-contained page: the tables, and a bar with its interval for each score.

use limbeck_relations::escape;
use limbeck_score::Score;

use super::{Evaluation, Outcome, table};

const STYLE: &str = "\
:root{color-scheme:light dark;--bar:#2a78b5;--first:#8a8f98;--line:#8884}\
@media(prefers-color-scheme:dark){:root{--bar:#5aa9e6}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line)}\
th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere}\
.scroll{overflow-x:auto}figure{margin:1rem 0 2.5rem}svg{display:block;width:100%;height:auto}\
text{font-size:13px;fill:currentColor}p{opacity:.8}";

/// Width of a picture, and where its bars begin, in its own units.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 260.0;
const ROW: f64 = 30.0;
/// Of a model's name, as many letters as fit before the bars.
const LETTERS: usize = 34;

/// The page: it needs no network and no script.
pub fn page(evaluation: &Evaluation) -> String {
    let section = |outcome: &Outcome| {
        let rows = table::rows(evaluation, outcome);
        let row = |tag: &str, row: &Vec<String>| {
            let cells = row
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let body: String = rows[1..].iter().map(|cells| row("td", cells)).collect();
        format!(
            "<section><h2>{}</h2><div class=\"scroll\"><table><thead>{}</thead><tbody>{body}</tbody></table></div>\
             <figure>{}</figure></section>",
            escape(&outcome.heading),
            row("th", &rows[0]),
            bars(evaluation, outcome)
        )
    };
    let sections: String = evaluation.outcomes.iter().map(section).collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>limbeck evaluate</title><style>{STYLE}</style></head><body>\
         <h1>Models compared</h1>{sections}<p>{}</p></body></html>\n",
        escape(&table::note(evaluation))
    )
}

/// A bar from 0 to 100 for each model by the first metric, with its interval.
fn bars(evaluation: &Evaluation, outcome: &Outcome) -> String {
    let x = |value: f64| LEFT + (WIDTH - LEFT - 60.0) * value.clamp(0.0, 1.0);
    let bar = |(at, score): (usize, &Score)| {
        let top = ROW * at as f64;
        let colour = if at == 0 { "--first" } else { "--bar" };
        let name: String = evaluation.models[at]
            .name
            .chars()
            .rev()
            .take(LETTERS)
            .collect();
        let name: String = name.chars().rev().collect();
        let mut marks = format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            top + 20.0,
            escape(&name)
        );
        if let Some(value) = score.value {
            marks.push_str(&format!(
                "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\" fill=\"var({colour})\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{:.1}</text>",
                top + 6.0,
                x(value) - LEFT,
                x(score.interval.map_or(value, |[_, high]| high)) + 6.0,
                top + 20.0,
                100.0 * value
            ));
        }
        if let Some([low, high]) = score.interval {
            let (low, high, middle) = (x(low), x(high), top + 15.0);
            marks.push_str(&format!(
                "<path d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {0}v10M{high:.1} {0}v10\" stroke=\"currentColor\" \
                 stroke-width=\"1.5\"/>",
                middle - 5.0
            ));
        }
        marks
    };
    let firsts = outcome.scores.iter().map(|scores| &scores[0]);
    let bars: String = firsts.enumerate().map(bar).collect();
    let metric = outcome.metrics[0];
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{metric} of each model\">{bars}</svg>",
        ROW * evaluation.models.len() as f64 + 6.0
    )
}
