//! The layers of a teacher by themselves, before there is a student: how much the relations of each single out, and how far those of
//! the next layer are from them. Drawn, too, beside what students came to that learnt from some of them.

use limbeck_recipe::Pair;

use crate::colours::{Rgb, Theme};
use crate::drawing::{Anchor, Drawing, Item, Words};
use crate::page::document;
use crate::projections::Projections;
use crate::relation::{MapError, PairMaps};
use crate::sheet::{MARGIN, along, scale};
use crate::svg::svg;
use crate::words::{clip, escape, number, visible};

/// What is looked at: the three pairs that MiniLMv2 trains, and what a layer attends by.
pub const PROFILED: [Pair; 4] = [Pair::QQ, Pair::KK, Pair::VV, Pair::QK];

/// One layer and one pair, each number a mean over heads and rows, then over lines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerPair {
    /// Entropy of a row in nats: 0 if it is all on one token, ln S if it is uniform.
    pub entropy: f64,
    /// The same as a share of ln S.
    pub share: f64,
    /// KL(this layer || next layer) of a row in nats; 0 of the last one.
    pub to_next: f64,
}

impl LayerPair {
    fn each(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            entropy: of(self.entropy, other.entropy),
            share: of(self.share, other.share),
            to_next: of(self.to_next, other.to_next),
        }
    }
}

/// Some layers of a teacher, over lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    layers: Vec<usize>,
    lines: usize,
    /// Sums over the lines: a row for each layer.
    sums: Vec<[LayerPair; 4]>,
}

impl Profile {
    /// Of layers, from 1 and in increasing order, without a line yet.
    pub fn new(layers: &[usize]) -> Self {
        Self {
            layers: layers.to_vec(),
            lines: 0,
            sums: vec![Default::default(); layers.len()],
        }
    }

    /// Of one line in A relation heads. A line of one token has nothing to relate, and does not count.
    ///
    /// # Errors
    /// [`MapError`] if the line has no such layer, or A does not divide the hidden size.
    pub fn of_line(taps: &Projections, layers: &[usize], heads: usize) -> Result<Self, MapError> {
        let mut profile = Self::new(layers);
        let size = taps.size();
        if size < 2 {
            return Ok(profile);
        }
        profile.lines = 1;
        for (at, pair) in PROFILED.into_iter().enumerate() {
            let maps = layers.iter().map(|layer| taps.map(*layer, pair, heads));
            let maps: Vec<Vec<f32>> = maps.collect::<Result<_, _>>()?;
            for (index, map) in maps.iter().enumerate() {
                let next = maps.get(index + 1).unwrap_or(map);
                let both = PairMaps::new(pair, (heads, size), map.clone(), next.clone())?;
                let cell = both.summary();
                profile.sums[index][at] = LayerPair {
                    entropy: cell.entropy,
                    share: cell.entropy / (size as f64).ln(),
                    to_next: cell.kl,
                };
            }
        }
        Ok(profile)
    }

    /// With the lines of another profile of the same layers.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.lines += other.lines;
        let cells = self.sums.iter_mut().flatten();
        for (cell, other) in cells.zip(other.sums.iter().flatten()) {
            *cell = cell.each(*other, |a, b| a + b);
        }
        self
    }

    /// Lines that count.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Each layer, from 1, with its numbers in the order of [`PROFILED`].
    pub fn rows(&self) -> impl Iterator<Item = (usize, [LayerPair; 4])> {
        let lines = self.lines as f64;
        let mean = move |cell: LayerPair| cell.each(cell, |sum, _| sum / lines);
        let rows = self.layers.iter().zip(&self.sums);
        rows.map(move |(layer, sums)| (*layer, sums.map(mean)))
    }

    /// Each layer but the last, with the one after it and the KL of the pairs from the one to the other, in nats.
    pub fn steps(&self) -> impl Iterator<Item = ([usize; 2], [f64; 4])> {
        let next = self.layers.iter().skip(1);
        let steps = self.rows().zip(next);
        steps.map(|((layer, cells), next)| ([layer, *next], cells.map(|cell| cell.to_next)))
    }
}

/// How near the student of a layer came to its teacher: a number up to 1, which is all the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbedLayer {
    /// From 1.
    pub layer: usize,
    /// Before the first step.
    pub before: f64,
    /// After the last.
    pub after: f64,
    /// The 95 % interval of the latter.
    pub interval: [f64; 2],
}

const CELL: [f32; 2] = [64.0, 22.0];
/// Left of a map: the names of its rows.
const NAMES: f32 = 72.0;
const TITLE: f32 = 22.0;
const WIDTH: f32 = 2.0 * (MARGIN + NAMES + 4.0 * CELL[0]) + MARGIN;

/// Two heat maps, layers by pairs: the entropy as a share of ln S, and the KL to the next layer. Below them a bar for each layer that was
/// probed, if any was. `title` says of which teacher, `conclusion` what follows.
pub fn profile_sheet(
    profile: &Profile,
    probed: &[ProbedLayer],
    (title, conclusion): (&str, &str),
    theme: &Theme,
) -> Drawing {
    let heading = clip(&visible(title), 64);
    let heading = Words::new((MARGIN, MARGIN + 10.0), heading, 16.0, theme.ink).bold();
    let mut items = vec![Item::Text(heading)];
    let top = MARGIN + 34.0;
    let shares = profile.rows().map(|(layer, cells)| {
        let cells = cells.map(|cell| (cell.share, format!("{:.0} %", 100.0 * cell.share)));
        (format!("layer {layer}"), cells)
    });
    let shares = HeatMap {
        title: "Entropy of a row, of ln S",
        rows: shares.collect(),
        most: (1.0, "100 %".to_owned()),
    };
    let steps: Vec<([usize; 2], [f64; 4])> = profile.steps().collect();
    let most = steps.iter().flat_map(|(_, kl)| kl);
    let most = most.fold(1e-6, |most: f64, kl| most.max(*kl));
    let steps = steps.into_iter().map(|([layer, next], kl)| {
        let cells = kl.map(|kl| (kl, number(kl)));
        (format!("{layer} to {next}"), cells)
    });
    let steps = HeatMap {
        title: "KL to the next layer, nats",
        rows: steps.collect(),
        most: (most, number(most)),
    };
    let mut under = top;
    for (x, map) in [(MARGIN, &shares), (WIDTH / 2.0 + MARGIN / 2.0, &steps)] {
        under = under.max(map.draw((x, top), theme, &mut items));
    }
    if !probed.is_empty() {
        under = bars(probed, under + MARGIN, theme, &mut items);
    }
    let page = Item::Rect {
        place: [0.0, 0.0, WIDTH, under + MARGIN],
        fill: theme.page,
    };
    items.insert(0, page);
    Drawing {
        width: WIDTH,
        height: under + MARGIN,
        title: title.to_owned(),
        description: conclusion.to_owned(),
        items,
    }
}

/// Rows with a value and its text for each pair.
struct HeatMap {
    title: &'static str,
    rows: Vec<(String, [(f64, String); 4])>,
    /// The end of the scale, which begins at 0.
    most: (f64, String),
}

impl HeatMap {
    /// Draws it with this corner at the upper left; gives where it ends below.
    fn draw(&self, (x, y): (f32, f32), theme: &Theme, items: &mut Vec<Item>) -> f32 {
        let [width, height] = CELL;
        let words = |at, text: &str, fill| Words::new(at, text, 12.0, fill);
        items.push(Item::Text(words((x, y), self.title, theme.ink).bold()));
        let (left, top) = (x + NAMES, y + TITLE);
        let middle = |column: usize| left + (column as f32 + 0.5) * width;
        for (column, pair) in PROFILED.iter().enumerate() {
            let name = words((middle(column), top), &pair.to_string(), theme.muted);
            items.push(Item::Text(name.anchored(Anchor::Middle)));
        }
        let mut row_top = top + 6.0;
        for (name, cells) in &self.rows {
            let line = row_top + height * 0.5 + 4.0;
            let name = words((left - 8.0, line), name, theme.muted);
            items.push(Item::Text(name.anchored(Anchor::End)));
            for (column, (value, text)) in cells.iter().enumerate() {
                let fill = theme.sequential.at((value / self.most.0) as f32);
                let place = [left + column as f32 * width, row_top, width, height];
                items.push(Item::Rect { place, fill });
                let text = words((middle(column), line), text, on(fill));
                items.push(Item::Text(text.anchored(Anchor::Middle)));
            }
            row_top += height;
        }
        let under = row_top + 10.0;
        let ends = ["0".to_owned(), self.most.1.clone()];
        let colours = theme.sequential.of(&along(0.0, 1.0), |part| part);
        items.extend(scale((left, under), colours, ends, theme));
        under + 12.0
    }
}

/// Black or white, whichever can be read on a colour.
fn on([red, green, blue]: Rgb) -> Rgb {
    let light = 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue);
    if light > 140.0 { [0; 3] } else { [255; 3] }
}

/// A bar for each student from 0 to 1, with its interval, and a mark where it was before the first step; gives where they end below.
fn bars(probed: &[ProbedLayer], y: f32, theme: &Theme, items: &mut Vec<Item>) -> f32 {
    let words = |at, text: String, fill| Words::new(at, text, 12.0, fill);
    let title = "Agreement of the probe's students with the teacher, 95 % interval; the mark: before the first step";
    let title = words((MARGIN, y), title.to_owned(), theme.ink);
    items.push(Item::Text(title.bold()));
    let left = MARGIN + NAMES;
    let room = WIDTH - left - MARGIN - 64.0;
    let x = |value: f64| left + value.clamp(0.0, 1.0) as f32 * room;
    let (bar, whisker) = (theme.sequential.at(0.5), theme.ink);
    let mut top = y + 12.0;
    for layer in probed {
        let (line, middle) = (top + 15.0, top + 11.0);
        let name = words(
            (left - 8.0, line),
            format!("layer {}", layer.layer),
            theme.muted,
        );
        items.push(Item::Text(name.anchored(Anchor::End)));
        let [low, high] = layer.interval.map(x);
        let before = x(layer.before);
        for (place, fill) in [
            ([left, top + 2.0, x(layer.after) - left, 18.0], bar),
            ([low, middle - 0.75, high - low, 1.5], whisker),
            ([low - 0.75, middle - 5.0, 1.5, 10.0], whisker),
            ([high - 0.75, middle - 5.0, 1.5, 10.0], whisker),
            ([before - 1.5, top + 2.0, 3.0, 18.0], theme.muted),
        ] {
            items.push(Item::Rect { place, fill });
        }
        let value = words((high.max(left) + 8.0, line), number(layer.after), theme.ink);
        items.push(Item::Text(value));
        top += 26.0;
    }
    top
}

/// The same as one HTML page, light and dark, with tables. It needs no network and no script. Each table has a caption, and its first row is
/// the head.
pub fn profile_page(
    profile: &Profile,
    probed: &[ProbedLayer],
    (title, conclusion): (&str, &str),
    tables: &[(String, Vec<Vec<String>>)],
) -> String {
    let mut body = format!("<section>\n<p>{}</p>\n", escape(conclusion));
    for (class, theme) in [("light", Theme::light()), ("dark", Theme::dark())] {
        let drawing = profile_sheet(profile, probed, (title, conclusion), &theme);
        body.push_str(&format!(
            "<div class=\"{class} scroll\" style=\"--width:{:.0}px\" tabindex=\"0\" role=\"group\" aria-label=\"Heat maps of the layers\">{}</div>\n",
            drawing.width,
            svg(&drawing)
        ));
    }
    body.push_str("</section>\n");
    for (caption, rows) in tables {
        let row = |tag: &str, row: &Vec<String>| {
            let cells = row
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let (head, rest) = rows.split_at(rows.len().min(1));
        let head: String = head.iter().map(|cells| row("th", cells)).collect();
        let rest: String = rest.iter().map(|cells| row("td", cells)).collect();
        body.push_str(&format!(
            "<section>\n<div class=\"scroll\"><table><caption>{}</caption><thead>{head}</thead><tbody>{rest}</tbody></table></div>\n</section>\n",
            escape(caption)
        ));
    }
    document("Layers of a teacher", &escape(&visible(title)), &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens in one relation head of width 1. Layer 1 is all zeros: uniform rows. Layers 2 and 3 are alike, and their scores are
    /// 0 and ln 3, so that a row is 1/4, 3/4 or 1/2, 1/2.
    fn taps() -> Projections {
        let root = 3.0_f32.ln().sqrt();
        let peaked = vec![0.0, root, 0.0, root, 0.0, root];
        Projections::new(2, 1, vec![vec![0.0; 6], peaked.clone(), peaked]).expect("3 x 2 x 1")
    }

    #[test]
    fn uniform_rows_have_all_of_the_entropy_and_equal_layers_no_kl() {
        let profile = Profile::of_line(&taps(), &[1, 2, 3], 1).expect("three layers");
        let rows: Vec<(usize, [LayerPair; 4])> = profile.rows().collect();
        let ln2 = std::f64::consts::LN_2;
        // One row of two is uniform, the other has 1/4 and 3/4.
        let entropy = (ln2 + 2.0 * ln2 - 0.75 * 3.0_f64.ln()) / 2.0;
        // Half of the rows: (ln 2 + ln (2/3)) / 2.
        let kl = (ln2 + (2.0 / 3.0_f64).ln()) / 4.0;
        for at in 0..4 {
            let [first, second, third] = [0, 1, 2].map(|row| rows[row].1[at]);
            assert!((first.entropy - ln2).abs() < 1e-7 && (first.share - 1.0).abs() < 1e-7);
            assert!((first.to_next - kl).abs() < 1e-7, "{first:?}, {kl}");
            assert!(
                (second.entropy - entropy).abs() < 1e-7,
                "{second:?}, {entropy}"
            );
            assert!((second.share - entropy / ln2).abs() < 1e-7);
            assert_eq!((second.to_next, third.to_next), (0.0, 0.0));
            assert_eq!(second, third);
        }
        let steps: Vec<[usize; 2]> = profile.steps().map(|(layers, _)| layers).collect();
        assert_eq!(steps, [[1, 2], [2, 3]]);
    }

    #[test]
    fn lines_weigh_alike_and_one_of_one_token_does_not_count() {
        // Uniform rows of two tokens and of four.
        let long = Projections::new(4, 1, vec![vec![0.0; 12]; 2]).expect("3 x 4 x 1");
        let short = Projections::new(2, 1, vec![vec![0.0; 6]; 2]).expect("3 x 2 x 1");
        let one = Projections::new(1, 1, vec![vec![0.0; 3]; 2]).expect("3 x 1 x 1");
        let lines = [long, short, one].map(|taps| Profile::of_line(&taps, &[2], 1));
        let lines = lines.map(|line| line.expect("layer 2"));
        let all = lines.iter().fold(Profile::new(&[2]), Profile::with);
        assert_eq!(all.lines(), 2);
        let (layer, cells) = all.rows().next().expect("a layer");
        let mean = (4.0_f64.ln() + 2.0_f64.ln()) / 2.0;
        assert_eq!(layer, 2);
        assert!((cells[3].entropy - mean).abs() < 1e-7 && (cells[3].share - 1.0).abs() < 1e-7);
        assert!(
            Profile::of_line(&taps(), &[4], 1).is_err(),
            "there are three"
        );
        assert!(
            Profile::of_line(&taps(), &[1], 2).is_err(),
            "2 does not divide 1"
        );
    }

    #[test]
    fn a_cell_and_a_bar_for_each_number_are_drawn() {
        let profile = Profile::of_line(&taps(), &[1, 2, 3], 1).expect("three layers");
        let probed = [(2, 0.5, 0.75), (3, 0.5, -0.25)].map(|(layer, before, after)| ProbedLayer {
            layer,
            before,
            after,
            interval: [after - 0.1, after + 0.1],
        });
        let words = ("Teacher <a>", "Learn from layer 2");
        let drawing = profile_sheet(&profile, &probed, words, &Theme::light());
        let rectangles = |drawing: &Drawing| -> Vec<[f32; 4]> {
            let place = |item: &Item| match item {
                Item::Rect { place, .. } => Some(*place),
                _ => None,
            };
            drawing.items.iter().filter_map(place).collect()
        };
        // The page, three layers and two steps of four pairs, and five of each bar.
        let all = rectangles(&drawing);
        assert_eq!(all.len(), 1 + 4 * (3 + 2) + 5 * 2);
        assert_eq!(all[0][2..], [drawing.width, drawing.height]);
        for [x, y, width, height] in all {
            assert!(x >= 0.0 && x + width <= drawing.width && width >= 0.0);
            assert!(y >= 0.0 && y + height <= drawing.height && height >= 0.0);
        }
        let without = profile_sheet(&profile, &[], words, &Theme::dark());
        assert_eq!(rectangles(&without).len(), 1 + 4 * (3 + 2));
        let picture = svg(&drawing);
        for text in [
            "100 %",
            "1 to 2",
            "2 to 3",
            "0.750",
            "V-V",
            "Learn from layer 2",
        ] {
            assert!(picture.contains(text), "{text} is not in {picture}");
        }
        let table = (
            "Numbers".to_owned(),
            vec![vec!["layer".to_owned()], vec!["<b>".to_owned()]],
        );
        let page = profile_page(&profile, &probed, words, &[table]);
        assert!(page.contains("&lt;b&gt;") && page.contains("Teacher &lt;a&gt;"));
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert_eq!(page.matches("<svg ").count(), 2, "light and dark");
    }
}
