//! The README's picture: plain SVG, no script, no style sheet.

use std::fmt::Write as _;

use limbeck_recipe::Part;
use limbeck_relations::{
    Map, Relation, Scales, Theme, capitalised, clip, escape, number, visible, write_items,
};

use super::{
    PairKl, RelationMaps, Report, all_pairs, before, before_and_after, change, decimate,
    has_other_units, largest_of, smooth, tick_label, value_of,
};

const PAIR_COLOURS: [&str; 9] = [
    "#2b63c9", "#c2570c", "#0b7f76", "#7d4bc0", "#b8336a", "#66750f", "#8a5a2b", "#4c6478",
    "#0b7fac",
];
/// Draws the README's picture, 1200 x 560: loss curves and held-out KL on the left; on the right the relation maps of
/// the first pair, mean of heads, above small maps of single heads. Below stand the KL of all nine pairs, if they are known.
pub fn picture(report: &Report) -> String {
    let pairs = all_pairs(report);
    let height = if pairs.is_some() { 692 } else { 560 };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1200 {height}\" width=\"1200\" height=\"{height}\" role=\"img\" \
         font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\">"
    );
    let _ = write!(
        svg,
        "<title>{}</title><rect x=\".5\" y=\".5\" width=\"1199\" height=\"{}\" rx=\"16\" fill=\"#fff\" stroke=\"#dde3e9\"/>",
        escape(&report.title),
        height - 1
    );
    text(
        &mut svg,
        (36.0, 52.0),
        "font-size=\"23\" font-weight=\"650\" fill=\"#15202b\"",
        &clip(&report.title, 84),
    );
    let maps = report
        .relations
        .as_ref()
        .filter(|maps| maps.problem().is_none());
    draw_curves(
        &mut svg,
        report,
        if maps.is_some() { 372.0 } else { 1128.0 },
    );
    draw_bars(&mut svg, report);
    if let Some(maps) = maps {
        draw_maps(&mut svg, maps, report);
    }
    if let Some(pairs) = pairs {
        draw_pairs(&mut svg, &pairs, before(report));
    }
    svg.push_str("</svg>");
    svg
}

fn text(svg: &mut String, (x, y): (f32, f32), attributes: &str, content: &str) {
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{}</text>",
        escape(content)
    );
}

const SMALL: &str = "font-size=\"12.5\" fill=\"#536170\"";
const HEADING: &str = "font-size=\"15\" font-weight=\"600\" fill=\"#15202b\"";

/// The box of the loss curves: left, right, top and bottom edge.
struct Plot {
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
}

/// The parts of the loss over steps, `width` wide, with its heading at y = 92.
fn draw_curves(svg: &mut String, report: &Report, width: f32) {
    let plot = Plot {
        left: 76.0,
        right: width - 4.0,
        top: 112.0,
        bottom: 330.0,
    };
    text(svg, (36.0, 92.0), HEADING, "Loss by part");
    let steps = &report.steps;
    let curve = |part: &Part| {
        steps
            .iter()
            .map(|row| value_of(&row.parts, *part))
            .collect::<Vec<f32>>()
    };
    let curves: Vec<Vec<f32>> = report.parts.iter().map(curve).collect();
    let finite = curves.iter().flatten().copied().filter(|x| x.is_finite());
    let high = finite.fold(0.0_f32, f32::max);
    let Some((first, last)) = steps.first().zip(steps.last()).filter(|_| high > 0.0) else {
        return text(svg, (plot.left, 220.0), SMALL, "No steps were recorded.");
    };
    let y = |value: f32| plot.bottom - (plot.bottom - plot.top) * (value / high).clamp(0.0, 1.0);
    draw_axes(svg, &plot, high, (first.step, last.step));
    let span = last.step.saturating_sub(first.step).max(1) as f32;
    let x = |at: usize| {
        let done = steps[at].step.saturating_sub(first.step) as f32 / span;
        plot.left + (plot.right - plot.left) * done
    };
    let losses: Vec<f32> = steps.iter().map(|row| row.loss as f32).collect();
    let kept = decimate(&losses, 400);
    let mut ends = Vec::new();
    for (place, curve) in curves.iter().enumerate() {
        let colour = PAIR_COLOURS[place % PAIR_COLOURS.len()];
        let smoothed = smooth(curve);
        let faint = "stroke-width=\"1\" opacity=\".25\"";
        for (values, style) in [(curve, faint), (&smoothed, "stroke-width=\"2.4\"")] {
            let points = kept.iter().map(|&at| (x(at), values[at]));
            let path = path(points.map(|(x, value)| value.is_finite().then(|| (x, y(value)))));
            let _ = write!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-linecap=\"round\" \
                 stroke-linejoin=\"round\" {style}/>"
            );
        }
        if let Some(&end) = smoothed.iter().rev().find(|x| x.is_finite()) {
            ends.push((y(end), colour, report.parts[place].to_string()));
        }
    }
    label_ends(svg, &plot, ends);
}

/// A path through the points, broken where one is missing. A lone point becomes a dot by its round cap.
fn path(points: impl Iterator<Item = Option<(f32, f32)>>) -> String {
    let (mut path, mut pen) = (String::new(), 'M');
    for point in points {
        if let Some((x, y)) = point {
            let _ = write!(path, "{pen}{x:.1} {y:.1}");
        }
        pen = if point.is_some() { 'L' } else { 'M' };
    }
    if !path.is_empty() {
        path.push_str("h0");
    }
    path
}

/// Grid lines from 0 to `high`, and the first and the last step.
fn draw_axes(svg: &mut String, plot: &Plot, high: f32, (first, last): (u64, u64)) {
    let right_aligned = format!("text-anchor=\"end\" {SMALL}");
    let unit = 10_f32.powf((high / 3.0).log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|m| m * unit);
    let tick = round.into_iter().find(|t| high / t < 4.5).unwrap_or(high);
    let ticks = (0..6).map(|i| i as f32 * tick);
    for value in ticks.filter(|&value| value <= high * 1.001) {
        let y = plot.bottom - (plot.bottom - plot.top) * value / high;
        let (left, right) = (plot.left, plot.right);
        let _ = write!(
            svg,
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#e6ebf0\"/>"
        );
        text(
            svg,
            (left - 10.0, y + 4.0),
            &right_aligned,
            &tick_label(value),
        );
    }
    let under = plot.bottom + 20.0;
    text(svg, (plot.left, under), SMALL, &format!("step {first}"));
    if last > first {
        text(svg, (plot.right, under), &right_aligned, &last.to_string());
    }
}

/// Names the curves at their right ends, (y, colour, name), pushed apart where they would overlap.
fn label_ends(svg: &mut String, plot: &Plot, mut ends: Vec<(f32, &str, String)>) {
    ends.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut lowest = plot.bottom + 4.0;
    for (height, colour, name) in ends {
        let at = (height + 4.0).min(lowest);
        let style = format!("font-size=\"13\" font-weight=\"600\" fill=\"{colour}\"");
        text(svg, (plot.right + 7.0, at), &style, &clip(&name, 6));
        lowest = at - 15.0;
    }
}

/// The parts of the loss on held-out lines, from y = 392 down.
fn draw_bars(svg: &mut String, report: &Report) {
    let Some((first, last)) = before_and_after(report) else {
        return;
    };
    let unit = match has_other_units(report) {
        true => "KL of pairs in nats",
        false => "KL in nats",
    };
    let heading = format!("Distance from the {}, {unit}", report.taught_by);
    text(svg, (36.0, 392.0), HEADING, &heading);
    let row = (132.0 / report.parts.len().max(1) as f32).min(42.0);
    for (place, part) in report.parts.iter().enumerate() {
        let (y, colour) = (
            410.0 + row * place as f32,
            PAIR_COLOURS[place % PAIR_COLOURS.len()],
        );
        let (before, after) = (value_of(&first.parts, *part), value_of(&last.parts, *part));
        let top = largest_of(*part, [first, last]);
        text(
            svg,
            (36.0, y + row * 0.5),
            "font-size=\"13\" font-weight=\"600\" fill=\"#15202b\"",
            &clip(&part.to_string(), 6),
        );
        for (value, fill, offset) in [(before, "#94a1ae", 0.08), (after, colour, 0.46)] {
            let width = if value.is_finite() {
                (210.0 * value / top).clamp(2.0, 210.0)
            } else {
                0.0
            };
            let (height, upper) = (row * 0.32, y + row * offset);
            let _ = write!(
                svg,
                "<rect x=\"76\" y=\"{upper:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\" fill=\"{fill}\"/>"
            );
        }
        let change = format!("{} → {}", number(before), number(after));
        text(
            svg,
            (408.0, y + row * 0.5),
            "font-size=\"13.5\" text-anchor=\"end\" fill=\"#15202b\"",
            &change,
        );
    }
}

/// KL of all nine pairs, a row for Q, K and V each, from y = 592 down. Those that were trained have a dot of their colour.
fn draw_pairs(svg: &mut String, pairs: &[PairKl; 9], start: &str) {
    let heading = format!("KL of all nine pairs, {start} → after; with a dot: trained");
    text(svg, (36.0, 592.0), HEADING, &heading);
    for (index, of) in pairs.iter().enumerate() {
        let (x, y) = ((36 + index % 3 * 388) as f32, (620 + index / 3 * 24) as f32);
        let (weight, fill) = match of.trained {
            Some(place) => {
                let colour = PAIR_COLOURS[place % PAIR_COLOURS.len()];
                let _ = write!(
                    svg,
                    "<circle cx=\"{}\" cy=\"{}\" r=\"4\" fill=\"{colour}\"/>",
                    x + 4.0,
                    y - 4.5
                );
                (600, "#15202b")
            }
            None => (400, "#536170"),
        };
        let style = format!("font-size=\"13.5\" font-weight=\"{weight}\" fill=\"{fill}\"");
        let values = format!("{} → {}", number(of.before), number(of.after));
        text(svg, (x + 16.0, y), &style, &of.pair.to_string());
        text(svg, (x + 66.0, y), &style, &values);
        text(svg, (x + 224.0, y), SMALL, &change(of.before, of.after));
    }
}

/// Teacher, student before and student after, side by side from x = 516, mean of heads.
fn draw_maps(svg: &mut String, maps: &RelationMaps, report: &Report) {
    let start = if report.copied {
        "Copied student"
    } else {
        "Student, before"
    };
    let size = maps.tokens.len();
    let mean_of = |student: &[Vec<f32>]| {
        Relation::mean(&Relation::heads(size, &maps.teacher[0], &student[0]))
    };
    let [before, after] = [&maps.before, &maps.after].map(|student| mean_of(student));
    let [first, last] = [&before, &after].map(Scales::of);
    let scales = Scales {
        peak: first.peak.max(last.peak),
        ..first
    };
    let (side, left, top) = (206.0_f32, 518.0_f32, 172.0_f32);
    let name = clip(&maps.pairs[0], 9);
    let heading = format!("{name} relations of one sentence, mean of relation heads, KL in nats");
    text(svg, (450.0, 92.0), HEADING, &heading);
    let kl = |relation: &Relation| format!("KL {}", number(relation.total()));
    let taught_by = capitalised(&report.taught_by);
    let panes = [
        (taught_by.as_str(), String::new(), &before.teacher),
        (start, kl(&before), &before.student),
        ("Student, after", kl(&after), &after.student),
    ];
    let tokens = maps.tokens.iter().map(|token| clip(&visible(token), 9));
    let labels: Vec<String> = tokens.collect();
    let theme = Theme::light();
    for (at, (caption, kl, values)) in panes.into_iter().enumerate() {
        let map = Map {
            x: left + at as f32 * (side + 18.0),
            y: top,
            cell: side / size as f32,
            size,
        };
        let mut items = map.column_labels(&labels, theme.muted);
        if at == 0 {
            items.extend(map.row_labels(&labels, theme.muted));
        }
        items.push(map.image(values, &theme.sequential, scales.probability()));
        write_items(svg, &items);
        text(
            svg,
            (map.x, top + side + 21.0),
            "font-size=\"14\" font-weight=\"600\" fill=\"#15202b\"",
            caption,
        );
        text(
            svg,
            (map.x + side, top + side + 21.0),
            &format!("text-anchor=\"end\" {SMALL}"),
            &kl,
        );
    }
    draw_heads(svg, maps, &report.taught_by, (left, 3.0 * side + 36.0));
}

/// Small maps of the first heads, the teacher's above the trained student's.
fn draw_heads(svg: &mut String, maps: &RelationMaps, taught_by: &str, (left, width): (f32, f32)) {
    const MOST: usize = 12;
    let (top, pitch, size) = (414.0, width / MOST as f32, maps.tokens.len());
    let theme = Theme::light();
    for (row, caption) in [taught_by, "after"].into_iter().enumerate() {
        let middle = top + row as f32 * pitch + 28.0;
        let style = format!("text-anchor=\"end\" {SMALL}");
        text(svg, (left - 8.0, middle), &style, caption);
    }
    let heads = Relation::heads(size, &maps.teacher[0], &maps.after[0]);
    for (at, head) in heads.iter().take(MOST).enumerate() {
        let scales = Scales::of(head);
        for (row, values) in [&head.teacher, &head.student].into_iter().enumerate() {
            let map = Map {
                x: left + at as f32 * pitch,
                y: top + row as f32 * pitch,
                cell: (pitch - 5.0) / size as f32,
                size,
            };
            let image = map.image(values, &theme.sequential, scales.probability());
            write_items(svg, &[image]);
        }
    }
    let caption = format!(
        "First {} of {} relation heads, one a column",
        heads.len().min(MOST),
        maps.heads
    );
    text(svg, (left, top + 2.0 * pitch + 13.0), SMALL, &caption);
}
