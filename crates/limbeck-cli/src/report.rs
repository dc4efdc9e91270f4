//! One self-contained HTML page about a finished run, and one SVG picture of it for a README.
//!
//! Both are pure functions of a [`Report`]: nothing is read, written or fetched. The page embeds its numbers as JSON;
//! its tables are plain HTML, and the picture stands in for the charts where scripts are off.

use std::collections::{BTreeMap, BTreeSet};

use limbeck_recipe::{Evaluation, FileEvaluation, Pair, Part, Step, Vector};
use limbeck_relations::{
    DARK, LIGHT, Similarity, Stops, Theme, base64, escape, number, row_kl, svg,
};
use serde::Serialize;
use serde_json::json;

// The path is given because a test includes this file from another folder.
#[path = "report/picture.rs"]
mod picture;
pub use picture::picture;

/// Everything that the page and the picture show.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Headline, such as "wiki-3x192 from all-MiniLM-L6-v2".
    pub title: String,
    /// Name and value of what was run: teacher, student, pairs, A_r, data, steps, seed, machine, device, time.
    pub facts: Vec<(String, String)>,
    /// One row for each training step, oldest first.
    pub steps: Vec<Step>,
    /// Every part that the loss has at any step, in the order of tables and colours.
    pub parts: Vec<Part>,
    /// Evaluations on held-out lines: the first is "before", the last is "after".
    pub evaluations: Vec<Evaluation>,
    /// What the student learnt from: `teacher`, or `assistant`.
    pub taught_by: String,
    /// Whether the student was a copy of parts of its teacher before the first step.
    pub copied: bool,
    /// Which lines were held out, in one sentence.
    pub heldout_note: String,
    /// "held-out lines" or "training lines".
    pub measured_on: String,
    /// Relations of one sentence, if they were recorded.
    pub relations: Option<RelationMaps>,
    /// The similarity of a few sentences, before the first step and after the last.
    pub sentences: Option<[Similarity; 2]>,
    /// What a reader must know: warnings, skipped steps, truncated lines.
    pub notes: Vec<String>,
}

/// Relations of one sentence of S tokens. Each map is (A, S, S), row-major; a row is a probability distribution.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RelationMaps {
    /// The S tokens of the sentence.
    pub tokens: Vec<String>,
    /// Names of the pairs shown.
    pub pairs: Vec<String>,
    /// A, the number of relation heads.
    pub heads: usize,
    /// The teacher's map of each pair.
    pub teacher: Vec<Vec<f32>>,
    /// The student's map of each pair before the first step.
    pub before: Vec<Vec<f32>>,
    /// The student's map of each pair after the last step.
    pub after: Vec<Vec<f32>>,
}

impl RelationMaps {
    /// Why these maps cannot be drawn, if they cannot.
    fn problem(&self) -> Option<String> {
        let (heads, tokens, pairs) = (self.heads, self.tokens.len(), self.pairs.len());
        if heads == 0 || tokens == 0 || pairs == 0 {
            return Some(format!("{heads} heads, {tokens} tokens and {pairs} pairs"));
        }
        let wanted = heads * tokens * tokens;
        for (who, maps) in [
            ("teacher", &self.teacher),
            ("before", &self.before),
            ("after", &self.after),
        ] {
            if maps.len() != pairs {
                return Some(format!(
                    "{who} has maps of {} pairs instead of {pairs}",
                    maps.len()
                ));
            }
            if let Some(map) = maps.iter().find(|map| map.len() != wanted) {
                return Some(format!(
                    "a map of {who} has {} numbers instead of {wanted}",
                    map.len()
                ));
            }
        }
        None
    }

    /// KL(teacher ‖ student) of each row in nats, (A, S) row-major.
    fn row_kl(&self, student: &[Vec<f32>], pair: usize) -> Vec<f32> {
        let size = self.tokens.len();
        let rows = self.teacher[pair]
            .chunks(size)
            .zip(student[pair].chunks(size));
        rows.map(|(teacher, student)| row_kl(teacher, student) as f32)
            .collect()
    }
}

/// Renders the page: one HTML file that needs no network.
pub fn render(report: &Report) -> String {
    let problem = report.relations.as_ref().and_then(RelationMaps::problem);
    let mut notes = report.notes.clone();
    notes.extend(problem.map(|why| format!("The relation maps were left out: {why}.")));
    fill(include_str!("report/page.html"), |name| match name {
        "title" => escape(&report.title),
        "style" => style(),
        "mark" => MARK.to_owned(),
        "taught-by" => escape(&report.taught_by),
        "loss-unit" => match has_other_units(report) {
            true => "KL in nats; every other part in its own unit.".to_owned(),
            false => "KL in nats.".to_owned(),
        },
        "lead" => lead_html(report),
        "notes" => notes_html(&notes),
        "evaluations" => evaluations_html(report),
        "facts" => {
            let row = |(name, value): &(String, String)| {
                format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value))
            };
            report.facts.iter().map(row).collect()
        }
        "sentences" => report
            .sentences
            .as_ref()
            .map_or_else(String::new, |both| sentences_html(both, report)),
        "picture" => picture(report),
        "data" => embedded(report),
        "script" => include_str!("report/page.js").to_owned(),
        _ => String::new(),
    })
}

/// The style sheet, with the colours of the maps: one place has them for every picture.
fn style() -> String {
    fill(include_str!("report/page.css"), |name| match name {
        "light-map" => LIGHT.map.join(" "),
        "dark-map" => DARK.map.join(" "),
        "light-difference" => difference(&LIGHT),
        "dark-difference" => difference(&DARK),
        _ => String::new(),
    })
}

fn difference(stops: &Stops) -> String {
    let [minus, zero, plus] = stops.difference;
    format!("--minus: {minus}; --zero: {zero}; --plus: {plus};")
}

/// An alembic, after which limbeck is named.
const MARK: &str = r#"<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M8 14.6C8 5 15 2.500 19 8l9.500 13M14 14.600c0-3.600 1.500-4.300 3.500-1.600L25 23.500M8 14.600a7.500 7.500 0 1 0 6 0M3.800 21.500h14.400M28 27v1.500"/></svg>"#;

/// Replaces each `{{name}}` in one pass, so that a value which holds braces is never filled again.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut parts = template.split("{{");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        page.push_str(&value(name));
        page.push_str(rest);
    }
    page
}

/// A number on an axis: without the zeros that only say how exact it is.
fn tick_label(x: f32) -> String {
    let text = number(x);
    if text.contains('.') && !text.contains('e') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// Mean KL of the pairs, of the finite ones; NaN when there are none.
fn mean(parts: &BTreeMap<Part, f64>) -> f32 {
    let pairs = parts.iter().filter(|(part, _)| part.pair().is_some());
    let values = pairs.map(|(_, kl)| *kl as f32);
    let finite: Vec<f32> = values.filter(|x| x.is_finite()).collect();
    finite.iter().sum::<f32>() / finite.len() as f32
}

/// Value of a part, NaN where it was not computed.
fn value_of(parts: &BTreeMap<Part, f64>, part: Part) -> f32 {
    parts.get(&part).map_or(f32::NAN, |value| *value as f32)
}

/// The largest value that the bar of a part is compared with: of the pairs together, of any other part by itself.
fn largest_of(part: Part, evaluations: [&Evaluation; 2]) -> f32 {
    let together = |other: Part| other == part || (other.pair().is_some() && part.pair().is_some());
    let values = evaluations.into_iter().flat_map(|row| &row.parts);
    let values = values.filter(|(other, _)| together(**other));
    let finite = values
        .map(|(_, value)| *value as f32)
        .filter(|x| x.is_finite());
    finite.fold(f32::MIN_POSITIVE, f32::max)
}

/// Relative change, such as "−93 %".
fn change(before: f32, after: f32) -> String {
    let percent = (after / before - 1.0) * 100.0;
    if !percent.is_finite() {
        return "–".to_owned();
    }
    let digits = usize::from((99.0..100.0).contains(&percent.abs()));
    format!("{percent:+.digits$} %").replace('-', "−")
}

/// First and last evaluation, if there are two different ones.
fn before_and_after(report: &Report) -> Option<(&Evaluation, &Evaluation)> {
    report
        .evaluations
        .first()
        .zip(report.evaluations.last())
        .filter(|_| report.evaluations.len() > 1)
}

fn lead_html(report: &Report) -> String {
    let means = before_and_after(report).map(|(b, a)| (mean(&b.parts), mean(&a.parts)));
    let Some((before, after)) = means.filter(|(b, a)| b.is_finite() && a.is_finite()) else {
        return String::new();
    };
    let other = escape(&report.taught_by);
    let verdict = match after / before {
        ratio if ratio < 1.0 => format!("moved closer to the {other}’s"),
        ratio if ratio > 1.0 => format!("moved away from the {other}’s"),
        _ => format!("stayed as far from the {other}’s as they were"),
    };
    format!(
        "<p class=\"lead\">On {} the student’s token-to-token relations {verdict}: \
         from <b>{} to {} nats</b> of KL, mean over the pairs (<b>{}</b>).</p>",
        escape(&report.measured_on),
        number(before),
        number(after),
        change(before, after)
    )
}

fn notes_html(notes: &[String]) -> String {
    let items: String = notes
        .iter()
        .map(|note| format!("<li>{}</li>", escape(note)))
        .collect();
    if items.is_empty() {
        items
    } else {
        format!("<ul class=\"notes\" aria-label=\"Notes\">{items}</ul>")
    }
}

/// The headline table with its bars, and all evaluations behind a fold.
fn evaluations_html(report: &Report) -> String {
    let note = escape(&report.heldout_note);
    let Some(last) = report.evaluations.last() else {
        return format!(
            "<p class=\"muted\">No evaluation on held-out lines was recorded. {note}</p>"
        );
    };
    let unknown = Evaluation::default();
    let first = before_and_after(report).map_or(&unknown, |(first, _)| first);
    let bar = |x: f32, top: f32| {
        let width = 100.0 * x / top;
        if x.is_finite() {
            format!("<i style=\"width:{:.1}%\"></i>", width.clamp(0.0, 100.0))
        } else {
            "<i style=\"visibility:hidden\"></i>".to_owned()
        }
    };
    let row = |(place, part): (usize, &Part)| {
        let (before, after) = (value_of(&first.parts, *part), value_of(&last.parts, *part));
        let top = largest_of(*part, [first, last]);
        format!(
            "<tr style=\"--pair:var(--c{})\"><th scope=\"row\">{}<span class=\"unit muted\">{}</span></th><td class=\"number\">{}</td>\
             <td class=\"number\"><b>{}</b></td><td class=\"number change\">{}</td>\
             <td class=\"bars\">{}{}</td></tr>",
            place % 9,
            escape(&part.to_string()),
            part.unit(),
            number(before),
            number(after),
            change(before, after),
            bar(before, top),
            bar(after, top)
        )
    };
    let rows: String = report.parts.iter().enumerate().map(row).collect();
    let scales = match has_other_units(report) {
        true => {
            "<p class=\"muted\">The bars of the pairs share one scale; any other part has a scale of its own.</p>"
        }
        false => "",
    };
    format!(
        "<table><thead><tr><th>Part</th><th class=\"number\">{}</th><th class=\"number\">after</th>\
         <th class=\"number change\">change</th><th>as bars</th></tr></thead><tbody>{rows}</tbody></table>{scales}\
         <p class=\"muted\">{note}</p>{}{}{}",
        before(report),
        files_html(report, first, last),
        all_pairs_html(report),
        all_evaluations_html(report)
    )
}

/// The parts of the loss on the lines of each file; nothing unless files are measured by themselves.
fn files_html(report: &Report, first: &Evaluation, last: &Evaluation) -> String {
    if last.files.is_empty() {
        return String::new();
    }
    let value = |of: &Evaluation, file: &str, part| {
        number(
            of.of_file(file, part)
                .map_or(f32::NAN, |value| value as f32),
        )
    };
    let row = |file: &FileEvaluation| {
        let cell = |part: &Part| {
            let [before, after] = [first, last].map(|of| value(of, &file.file, *part));
            format!("<td class=\"number\">{before} → {after}</td>")
        };
        let cells: String = report.parts.iter().map(cell).collect();
        let (name, lines) = (escape(&file.file), file.lines);
        format!("<tr><th scope=\"row\">{name}</th><td class=\"number\">{lines}</td>{cells}</tr>")
    };
    let head = |part: &Part| {
        let part = escape(&part.to_string());
        format!("<th scope=\"col\" class=\"number\">{part}</th>")
    };
    let (head, rows): (String, String) = (
        report.parts.iter().map(head).collect(),
        last.files.iter().map(row).collect(),
    );
    format!(
        "<h3>File by file</h3><p class=\"muted\">The same on the lines of each file, {} → after.</p>\
         <div class=\"scroll\"><table class=\"files\"><thead><tr><th>File</th><th class=\"number\">lines</th>{head}</tr></thead>\
         <tbody>{rows}</tbody></table></div>",
        before(report)
    )
}

/// Whether a part of the loss is anything else than the KL of a pair.
fn has_other_units(report: &Report) -> bool {
    report.parts.iter().any(|part| part.pair().is_none())
}

/// What the student is called before the first step.
fn before(report: &Report) -> &'static str {
    match report.copied {
        true => "copied student",
        false => "before",
    }
}

/// KL of the relations of a pair before and after.
struct PairKl {
    pair: Pair,
    /// Its place among the parts of the loss, which is that of its colour; none if no step trains it.
    trained: Option<usize>,
    before: f32,
    after: f32,
}

/// All nine, trained or not; none unless the run was measured twice.
fn all_pairs(report: &Report) -> Option<[PairKl; 9]> {
    let (first, last) = before_and_after(report)?;
    let kl = |of: &Evaluation, pair| of.kl(pair).map_or(f32::NAN, |kl| kl as f32);
    Some(Pair::all().map(|pair| PairKl {
        pair,
        trained: (report.parts.iter()).position(|part| part.pair() == Some(pair)),
        before: kl(first, pair),
        after: kl(last, pair),
    }))
}

/// The nine as a table of rows and columns of the relations.
fn all_pairs_html(report: &Report) -> String {
    let Some(pairs) = all_pairs(report) else {
        return String::new();
    };
    let cell = |of: &PairKl| {
        let (before, after) = (number(of.before), number(of.after));
        let change = change(of.before, of.after);
        let change = format!("<span class=\"muted change\">{change}</span>");
        match of.trained {
            Some(place) => format!(
                "<td class=\"number\" style=\"--pair:var(--c{})\"><i class=\"swatch after\"></i>\
                 <strong>{before} → {after}</strong> {change}</td>",
                place % 9
            ),
            None => format!("<td class=\"number\">{before} → {after} {change}</td>"),
        }
    };
    let row = |(vector, pairs): (&Vector, &[PairKl])| {
        let cells: String = pairs.iter().map(cell).collect();
        format!("<tr><th scope=\"row\">{vector:?}</th>{cells}</tr>")
    };
    let head = Vector::ALL.map(|v| format!("<th scope=\"col\" class=\"number\">{v:?}</th>"));
    let rows: String = Vector::ALL.iter().zip(pairs.chunks(3)).map(row).collect();
    format!(
        "<h3>All nine pairs</h3><p class=\"muted\">KL in nats, {} → after; marked: trained. Rows of a relation stand at the \
         left, columns above: Q-K is the attention.</p><div class=\"scroll\"><table class=\"pairs\"><thead><tr><td></td>{}</tr>\
         </thead><tbody>{rows}</tbody></table></div>",
        before(report),
        head.concat()
    )
}

fn all_evaluations_html(report: &Report) -> String {
    let cell = |tag: &str, text: String| format!("<{tag} class=\"number\">{text}</{tag}>");
    let head: String = report
        .parts
        .iter()
        .map(|part| cell("th", escape(&part.to_string())))
        .collect();
    let row = |at: usize| {
        let row = &report.evaluations[at];
        let parts = report.parts.iter();
        let values = parts.map(|part| cell("td", number(value_of(&row.parts, *part))));
        format!(
            "<tr>{}{}</tr>",
            cell("td", row.step.to_string()),
            values.collect::<String>()
        )
    };
    let losses: Vec<f32> = report
        .evaluations
        .iter()
        .map(|row| mean(&row.parts))
        .collect();
    let rows: String = decimate(&losses, 60).into_iter().map(row).collect();
    format!(
        "<details><summary>Evaluations by step</summary><div class=\"scroll\"><table><thead><tr>\
         <th class=\"number\">step</th>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )
}

/// Cosines of sentences as pictures, for light and dark pages.
fn sentences_html(both: &[Similarity; 2], report: &Report) -> String {
    let [before, after] = both.each_ref().map(|some| number(some.gap()));
    let mut html = format!(
        "<section class=\"sentences\" aria-labelledby=\"sentences-title\"><h2 id=\"sentences-title\">Sentences, side by side</h2>\
         <p>On {} of the {}, the cosines of the student’s sentence vectors differ from the {}’s by <b>{after}</b> \
         (mean absolute difference); before the first step it was {before}.</p>",
        both[1].size(),
        escape(&report.measured_on),
        escape(&report.taught_by)
    );
    for some in both {
        html.push_str(&format!("<h3>Step {}</h3>", some.step()));
        for (class, theme) in [("light", Theme::light()), ("dark", Theme::dark())] {
            html.push_str(&format!(
                "<div class=\"{class} scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Sentences at step {}\">{}</div>",
                some.step(),
                svg(&some.maps(None, 1100.0, &theme))
            ));
        }
    }
    let sentences = (0..both[1].size()).map(|i| format!("<li>{}</li>", escape(&both[1].text(i))));
    html + "<details><summary>The sentences</summary><ol>"
        + &sentences.collect::<String>()
        + "</ol></details></section>"
}

/// Indices of at most about `keep` values: all, or the smallest and the largest of each stretch, and both ends.
/// Every kept point is a real one, and no spike is lost.
fn decimate(values: &[f32], keep: usize) -> Vec<usize> {
    let (count, stretches) = (values.len(), (keep / 2).max(1));
    if count <= keep {
        return (0..count).collect();
    }
    let mut kept = BTreeSet::from([0, count - 1]);
    for stretch in 0..stretches {
        let range = stretch * count / stretches..(stretch + 1) * count / stretches;
        let by_value = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
        let finite = || range.clone().filter(|&at| values[at].is_finite());
        kept.extend(
            finite()
                .min_by(by_value)
                .into_iter()
                .chain(finite().max_by(by_value)),
        );
    }
    kept.into_iter().collect()
}

/// Centred moving average over a twentieth of the run, without the values that are not finite. The window shrinks to a
/// third at both ends, so that the curve starts and stops near where the run did without following its noise.
fn smooth(values: &[f32]) -> Vec<f32> {
    let mut sums = vec![(0.0_f64, 0_u32)];
    for &x in values {
        let (sum, count) = sums[sums.len() - 1];
        sums.push(if x.is_finite() {
            (sum + f64::from(x), count + 1)
        } else {
            (sum, count)
        });
    }
    let average = |at: usize| {
        let last = values.len() - 1;
        let half = (values.len() / 40).min(at.min(last - at).max(values.len() / 120));
        let ((before, skipped), (upto, counted)) = (
            sums[at.saturating_sub(half)],
            sums[(at + half).min(last) + 1],
        );
        ((upto - before) / f64::from(counted - skipped)) as f32
    };
    (0..values.len()).map(average).collect()
}

/// Four significant digits: more would only make the file larger.
fn rounded(x: f32) -> f32 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

/// The numbers for the script, safe inside a script element: `<` never occurs.
fn embedded(report: &Report) -> String {
    let steps = &report.steps;
    let column = |of: &dyn Fn(&Step) -> f32| steps.iter().map(of).collect::<Vec<f32>>();
    let loss = column(&|row| row.loss as f32);
    let kept = decimate(&loss, 1200);
    let pick = |values: &[f32]| {
        kept.iter()
            .map(|&at| rounded(values[at]))
            .collect::<Vec<f32>>()
    };
    let norm = column(&|row| row.gradient_norm as f32);
    let parts = report.parts.iter();
    let parts: Vec<Vec<f32>> = parts
        .map(|part| column(&|row| value_of(&row.parts, *part)))
        .collect();
    let losses: Vec<f32> = report
        .evaluations
        .iter()
        .map(|row| mean(&row.parts))
        .collect();
    let evaluations = decimate(&losses, 200).into_iter().map(|at| {
        let row = &report.evaluations[at];
        let values = report
            .parts
            .iter()
            .map(|part| rounded(value_of(&row.parts, *part)));
        json!({ "step": row.step, "parts": values.collect::<Vec<f32>>() })
    });
    let value = json!({
        "parts": report.parts,
        "steps": {
            "step": kept.iter().map(|&at| steps[at].step).collect::<Vec<u64>>(),
            "loss": pick(&loss),
            "loss_smooth": pick(&smooth(&loss)),
            "parts": parts.iter().map(|values| pick(values)).collect::<Vec<_>>(),
            "parts_smooth": parts.iter().map(|values| pick(&smooth(values))).collect::<Vec<_>>(),
            "learning_rate": pick(&column(&|row| row.learning_rate as f32)),
            "gradient_norm": pick(&norm),
            "gradient_norm_smooth": pick(&smooth(&norm)),
        },
        "evaluations": evaluations.collect::<Vec<_>>(),
        "copied": report.copied,
        "taught_by": report.taught_by,
        "relations": report.relations.as_ref().filter(|maps| maps.problem().is_none()).map(embedded_maps),
    });
    value.to_string().replace('<', "\\u003c")
}

fn embedded_maps(maps: &RelationMaps) -> serde_json::Value {
    let packed = |maps: &[Vec<f32>]| maps.iter().map(|map| pack(map)).collect::<Vec<_>>();
    let kl = |student: &[Vec<f32>]| {
        let of = |pair| {
            maps.row_kl(student, pair)
                .into_iter()
                .map(rounded)
                .collect::<Vec<f32>>()
        };
        (0..maps.pairs.len()).map(of).collect::<Vec<_>>()
    };
    json!({
        "tokens": maps.tokens, "pairs": maps.pairs, "heads": maps.heads,
        "teacher": packed(&maps.teacher), "before": packed(&maps.before), "after": packed(&maps.after),
        "kl": { "before": kl(&maps.before), "after": kl(&maps.after) },
    })
}

/// Probabilities as little-endian u16 (65535 is 1) in base64: 2.7 bytes a number, steps of 0.000015.
fn pack(probabilities: &[f32]) -> String {
    let quantised = probabilities
        .iter()
        .map(|p| (p.clamp(0.0, 1.0) * 65535.0).round() as u16);
    let bytes: Vec<u8> = quantised.flat_map(u16::to_le_bytes).collect();
    base64(&bytes)
}
