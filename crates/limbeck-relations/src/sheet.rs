//! Where everything is: teacher, student and difference of one head with the KL of each row beside them, or its lines from
//! token to token, and below them small maps of all heads.

use std::borrow::Cow;

use crate::colours::{Colours, Rgb, Scales, Theme};
use crate::drawing::{Anchor, Drawing, Item, Pixels, Words};
use crate::lines::{Lines, lines};
use crate::relation::{PairMaps, Reference, Relation, Relations, Token, kl_part};
use crate::words::{clip, columns, number, visible};

/// Most columns of a label.
const LABEL: usize = 12;
/// Width of a column of text, relative to the size of the font.
const COLUMN: f32 = 0.6;
pub(crate) const MARGIN: f32 = 24.0;
const GAP: f32 = 18.0;
/// Room for bars of the KL.
const KL: f32 = 96.0;
/// Side of a small map.
const THUMB: f32 = 56.0;
const THUMB_CAPTION: f32 = 17.0;
const LEAST_WIDTH: f32 = 820.0;

/// What of each pair is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What is drawn large.
    pub large: Large,
    /// A row and a column, from 0, whose cell is framed and given in numbers.
    pub cell: Option<(usize, usize)>,
    /// Lines from token to token instead of maps.
    pub lines: Option<Lines>,
}

/// What of the heads of a pair is drawn large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Large {
    /// The one that is farthest from the teacher, and all heads below it.
    #[default]
    Worst,
    /// The mean of all heads, and all heads below it.
    Mean,
    /// This one alone, from 0; where there is none, the worst.
    Head(usize),
}

impl Large {
    /// Its head, from 0, none for the mean, and its maps.
    pub fn of(self, pair: &PairMaps) -> (Option<usize>, Relation) {
        let head = match self {
            Self::Mean => return (None, pair.mean()),
            Self::Head(head) if head < pair.heads() => head,
            _ => pair.by_kl().first().copied().unwrap_or(0),
        };
        (Some(head), pair.head(head))
    }
}

/// `relation head 3 of 12`, or `mean of 12 relation heads`.
pub(crate) fn head_name(head: Option<usize>, heads: usize) -> String {
    match head {
        Some(head) => format!("relation head {} of {heads}", head + 1),
        None => format!("mean of {heads} relation heads"),
    }
}

/// A square of (S, S) cells on a drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Side of a cell.
    pub cell: f32,
    /// S.
    pub size: usize,
}

impl Map {
    /// Width and height.
    pub fn side(&self) -> f32 {
        self.cell * self.size as f32
    }

    /// The cells in their colours; `part` tells the place of a value on the scale. Of a map with more cells than it has
    /// pixels, the strongest of those that share one is shown.
    pub fn image(&self, values: &[f32], colours: &Colours, part: impl Fn(f32) -> f32) -> Item {
        let most = (self.side().ceil() as usize).max(1);
        let (columns, values) = fitted(values, self.size, most);
        Item::Image {
            place: [self.x, self.y, self.side(), self.side()],
            pixels: Pixels {
                columns,
                cells: colours.of(&values, part),
            },
        }
    }

    fn font(&self) -> f32 {
        (self.cell * 0.74).clamp(6.0, 12.0)
    }

    /// Every how many tokens there is room for a label.
    fn every(&self) -> usize {
        (self.font() * 1.1 / self.cell).ceil().max(1.0) as usize
    }

    /// The labels' room beside a map with such cells.
    fn gutter(&self, labels: &[String]) -> f32 {
        let longest = labels.iter().map(|label| columns(label)).max().unwrap_or(0);
        longest as f32 * COLUMN * self.font() + 8.0
    }

    /// Token labels left of the rows.
    pub fn row_labels(&self, labels: &[String], fill: Rgb) -> Vec<Item> {
        self.labels(labels, fill, |middle, words| {
            let at = (self.x - 5.0, self.y + middle);
            Words { at, ..words }.anchored(Anchor::End)
        })
    }

    /// Token labels above the columns, running upwards.
    pub fn column_labels(&self, labels: &[String], fill: Rgb) -> Vec<Item> {
        self.labels(labels, fill, |middle, words| {
            let at = (self.x + middle, self.y - 5.0);
            Words { at, ..words }.upwards()
        })
    }

    fn labels(
        &self,
        labels: &[String],
        fill: Rgb,
        place: impl Fn(f32, Words) -> Words,
    ) -> Vec<Item> {
        let named = labels.iter().enumerate().step_by(self.every());
        let words = |(index, label): (usize, &String)| {
            let middle = (index as f32 + 0.5) * self.cell + self.font() * 0.35;
            let words = Words::new((0.0, 0.0), label.clone(), self.font(), fill);
            Item::Text(place(middle, words))
        };
        named.map(words).collect()
    }

    /// A cell, with a rim that shows on any colour.
    pub(crate) fn around(&self, (row, column): (usize, usize), theme: &Theme) -> [Item; 2] {
        let place = [
            self.x + column as f32 * self.cell,
            self.y + row as f32 * self.cell,
            self.cell,
            self.cell,
        ];
        [(theme.page, 4.0), (theme.ink, 2.0)].map(|(stroke, width)| Item::Frame {
            place,
            stroke,
            width,
        })
    }

    /// A thin line around it, so that an empty map is seen as one.
    pub fn frame(&self, stroke: Rgb, width: f32) -> Item {
        Item::Frame {
            place: [self.x, self.y, self.side(), self.side()],
            stroke,
            width,
        }
    }
}

/// A map (S, S) with at most `most` columns, and how many it has then: of the cells that share one, the value with the
/// greatest magnitude.
pub fn fitted(values: &[f32], size: usize, most: usize) -> (usize, Cow<'_, [f32]>) {
    if size <= most {
        return (size, values.into());
    }
    let mut reduced = vec![0.0_f32; most * most];
    let places: Vec<usize> = (0..size).map(|at| at * most / size).collect();
    for (row, values) in values.chunks_exact(size).enumerate() {
        let line = &mut reduced[places[row] * most..][..most];
        for (value, place) in values.iter().zip(&places) {
            // NaN is greater than all: it must be seen.
            if value.abs().total_cmp(&line[*place].abs()).is_gt() {
                line[*place] = *value;
            }
        }
    }
    (most, reduced.into())
}

/// All pairs, one below the other.
pub fn sheet(relations: &Relations, view: &View, theme: &Theme) -> Drawing {
    let mut sheet = Drawing::default();
    let drawings: Vec<Drawing> = relations
        .pairs
        .iter()
        .map(|maps| pair(relations, maps, view, theme))
        .collect();
    let names = relations.pairs.iter().map(|maps| maps.pair().to_string());
    let names: Vec<String> = names.collect();
    sheet.title = format!("{} {}", names.join(", "), relations.subject());
    let descriptions: Vec<&str> = drawings.iter().map(|d| d.description.as_str()).collect();
    sheet.description = descriptions.join(" ");
    drawings
        .into_iter()
        .for_each(|drawing| sheet.append(drawing));
    let page = Item::Rect {
        place: [0.0, 0.0, sheet.width, sheet.height],
        fill: theme.page,
    };
    sheet.items.insert(0, page);
    sheet
}

impl Relations {
    /// `relations of teacher and student`.
    pub(crate) fn subject(&self) -> String {
        format!("relations of {} and student", self.reference.word())
    }

    /// What each of the two maps is called.
    fn names(&self) -> [String; 2] {
        let layer = match self.reference {
            Reference::StudentNow => self.student_layer,
            _ => self.teacher_layer,
        };
        let step = self
            .step
            .map_or_else(String::new, |step| format!(", step {step}"));
        [
            format!("{}, layer {layer}", self.reference.title()),
            format!(
                "{}, layer {}{step}",
                self.reference.student(),
                self.student_layer
            ),
        ]
    }

    /// A token as it can be shown.
    fn shown(&self, token: usize) -> String {
        let token = self.tokens.get(token);
        token.map_or_else(String::new, |token| visible(&token.text))
    }
}

/// One pair.
pub fn pair(relations: &Relations, maps: &PairMaps, view: &View, theme: &Theme) -> Drawing {
    let (head, relation) = view.large.of(maps);
    let mut drawing = match &view.lines {
        Some(lines) => bipartite(relations, &relation, lines, theme),
        None => panes(relations, &relation, view.cell, theme),
    };
    drawing.items.push(heading(maps, head, &relation, theme));
    drawing.title = format!("{} {}", maps.pair(), relations.subject());
    drawing.description = description(relations, maps, (head, &relation));
    if !matches!(view.large, Large::Head(_)) && maps.heads() > 1 {
        thumbs(&mut drawing, (relations, maps), head, theme);
    }
    drawing.height += MARGIN;
    drawing
}

fn description(
    relations: &Relations,
    maps: &PairMaps,
    (head, relation): (Option<usize>, &Relation),
) -> String {
    let (row, column) = relation.worst();
    let reference = relations.reference.word();
    format!(
        "{}, {}: KL {} nats, mean of {} rows. The row of the student that is farthest from the {reference}'s is “{}”, {} nats; \
         the {reference}'s strongest token there is “{}”.",
        maps.pair(),
        head_name(head, maps.heads()),
        number(relation.total()),
        relation.size,
        relations.shown(row),
        number(relation.kl.get(row).copied().unwrap_or(0.0)),
        relations.shown(column)
    )
}

/// Lines from token to token instead of maps, below a heading.
fn bipartite(relations: &Relations, relation: &Relation, choice: &Lines, theme: &Theme) -> Drawing {
    let names = relations.names();
    let both = (relation, relations.tokens.as_slice());
    let width = LEAST_WIDTH - 2.0 * MARGIN;
    let mut drawing = lines(both, &names, choice, width, theme);
    let by = (MARGIN, MARGIN + 24.0);
    let items = drawing.items.into_iter().map(|item| item.moved(by));
    drawing.items = items.collect();
    let note = format!(
        "For each token, the {} strongest of at least {:.0} %{}; thicker and darker means stronger.{}",
        choice.most,
        100.0 * choice.least,
        if choice.no_special {
            ", special tokens left out"
        } else {
            ""
        },
        if choice.tokens.is_empty() {
            ""
        } else {
            " Bars and numbers: the share of the marked tokens together."
        }
    );
    let under = by.1 + drawing.height + 8.0;
    let note = Words::new((MARGIN, under), note, 11.0, theme.muted);
    drawing.items.push(Item::Text(note));
    Drawing {
        width: LEAST_WIDTH,
        height: under + 12.0,
        ..drawing
    }
}

/// The three maps of a head, their scales, and the KL of each row.
fn panes(
    relations: &Relations,
    relation: &Relation,
    cell: Option<(usize, usize)>,
    theme: &Theme,
) -> Drawing {
    let labels: Vec<String> = relations.tokens.iter().map(label).collect();
    let mut first = Map {
        x: MARGIN,
        y: 0.0,
        cell: side_of_cell(relation.size),
        size: relation.size,
    };
    let gutter = first.gutter(&labels);
    let pitch = first.side().max(190.0) + GAP;
    first.x += gutter;
    first.y = MARGIN + 42.0 + gutter;
    let mut items = Vec::new();
    let scales = Scales::of(relation);
    let [reference, student] = relations.names();
    let less = relations.reference.less();
    let names = [reference, student, less];
    let cell = cell.filter(|(row, column)| *row.max(column) < relation.size);
    let difference = relation.difference();
    for (at, name) in names.into_iter().enumerate() {
        let map = Map {
            x: first.x + at as f32 * pitch,
            ..first
        };
        let title = Words::new((map.x, MARGIN + 36.0), name, 14.0, theme.ink).bold();
        items.push(Item::Text(title));
        items.push(match at {
            0 => map.image(&relation.teacher, &theme.sequential, scales.probability()),
            1 => map.image(&relation.student, &theme.sequential, scales.probability()),
            _ => map.image(&difference, &theme.diverging, scales.difference()),
        });
        items.push(map.frame(theme.line, 1.0));
        items.extend(map.column_labels(&labels, theme.muted));
        if at == 0 {
            items.extend(map.row_labels(&labels, theme.muted));
        }
        items.extend(cell.into_iter().flat_map(|cell| map.around(cell, theme)));
    }
    let last = Map {
        x: first.x + 2.0 * pitch,
        ..first
    };
    items.extend(bars(&last, relation, &scales, theme));
    let under = first.y + first.side() + 12.0;
    items.extend(legends((first.x, last.x, under), &scales, theme));
    if let Some(cell) = cell {
        let text = in_numbers(relations, relation, cell);
        let words = Words::new((MARGIN, under + 48.0), text, 12.0, theme.ink);
        items.push(Item::Text(words));
    }
    Drawing {
        width: (last.x + first.side().max(190.0) + KL + MARGIN).max(LEAST_WIDTH),
        height: under + if cell.is_some() { 60.0 } else { 38.0 },
        items,
        ..Drawing::default()
    }
}

/// A cell in numbers.
fn in_numbers(relations: &Relations, relation: &Relation, (row, column): (usize, usize)) -> String {
    let at = row * relation.size + column;
    let (p, q) = (relation.teacher[at], relation.student[at]);
    format!(
        "“{}” → “{}”: {} {}, student {}; p ln(p/q) = {} of {} nats in this row",
        clip(&relations.shown(row), 2 * LABEL),
        clip(&relations.shown(column), 2 * LABEL),
        relations.reference.word(),
        number(p),
        number(q),
        number(kl_part(p, q)),
        number(relation.kl[row])
    )
}

/// Cells as large as three maps allow side by side on a wide screen, but never smaller than a label of 128 tokens needs. A
/// longer sentence has maps of the same size with smaller cells.
fn side_of_cell(size: usize) -> f32 {
    let size = size.max(1) as f32;
    match size <= 128.0 {
        true => (340.0 / size).clamp(8.0, 28.0),
        false => (1024.0 / size).max(2.0),
    }
}

fn label(token: &Token) -> String {
    clip(&visible(&token.text), LABEL)
}

fn heading(maps: &PairMaps, head: Option<usize>, relation: &Relation, theme: &Theme) -> Item {
    let text = format!(
        "{} · {} · KL {} nats, mean of the rows",
        maps.pair(),
        head_name(head, maps.heads()),
        number(relation.total())
    );
    Item::Text(Words::new((MARGIN, MARGIN + 8.0), text, 17.0, theme.ink).bold())
}

/// The KL of each row, right of the last map.
fn bars(last: &Map, relation: &Relation, scales: &Scales, theme: &Theme) -> Vec<Item> {
    let x = last.x + last.side() + 8.0;
    let room = KL - 20.0;
    let titles = [
        ("KL of the row".to_owned(), 14.0),
        (format!("full bar: {}", number(scales.kl)), 8.0),
    ];
    let mut items: Vec<Item> = titles
        .into_iter()
        .enumerate()
        .map(|(at, (text, above))| {
            let y = match at {
                0 => last.y - above - 7.0,
                _ => last.y - above + 2.0,
            };
            Item::Text(Words::new((x, y), text, 11.0, theme.muted))
        })
        .collect();
    for (row, kl) in relation.kl.iter().enumerate() {
        let thick = (last.cell * 0.6).max(1.0);
        let part = (kl / scales.kl) as f32;
        // NaN has no length; a bar of nothing is a hairline, so that its row is not taken for a missing one.
        let length = (part * room).clamp(1.0, room);
        let y = last.y + last.cell * (row as f32 + 0.5) - thick / 2.0;
        items.push(Item::Rect {
            place: [x, y, if length.is_nan() { room } else { length }, thick],
            fill: theme.muted,
        });
    }
    items
}

/// The scales of both kinds of map, in colours and in numbers.
fn legends((left, right, y): (f32, f32, f32), scales: &Scales, theme: &Theme) -> Vec<Item> {
    let (peak, gap) = (scales.peak, scales.gap);
    let probabilities = theme.sequential.of(&along(0.0, peak), scales.probability());
    let differences = theme.diverging.of(&along(-gap, gap), scales.difference());
    let note = |x, text: &str| Item::Text(Words::new((x, y + 25.0), text, 11.0, theme.muted));
    let mut items = scale((left, y), probabilities, ["0".into(), number(peak)], theme);
    items.push(note(
        left,
        "probability, from row to column; colours by its square root",
    ));
    let ends = [number(-gap), format!("+{}", number(gap))];
    items.extend(scale((right, y), differences, ends, theme));
    items.push(note(right, "difference; blue: the student has less"));
    items
}

/// Values all along a scale, its ends among them.
pub(crate) fn along(from: f32, to: f32) -> Vec<f32> {
    let part = |i: u8| from + (to - from) * f32::from(i) / 63.0;
    (0..64).map(part).collect()
}

/// A scale in colours, with the values at its ends.
pub(crate) fn scale(
    (x, y): (f32, f32),
    cells: Vec<Rgb>,
    [low, high]: [String; 2],
    theme: &Theme,
) -> Vec<Item> {
    let after = x + columns(&low) as f32 * 7.0 + 4.0;
    let words = |x, text: String| Item::Text(Words::new((x, y + 9.0), text, 11.0, theme.muted));
    let place = [after, y, 96.0, 10.0];
    vec![
        words(x, low),
        Item::Image {
            place,
            pixels: Pixels {
                columns: cells.len(),
                cells,
            },
        },
        words(after + 101.0, high),
    ]
}

/// Small maps of all heads, the farthest from the teacher first: teacher, student and difference of each.
fn thumbs(
    drawing: &mut Drawing,
    (relations, maps): (&Relations, &PairMaps),
    large: Option<usize>,
    theme: &Theme,
) {
    let triple = 3.0 * THUMB + 6.0;
    let pitch = triple + GAP;
    let a_row = (((drawing.width - 2.0 * MARGIN + GAP) / pitch) as usize).max(1);
    let top = drawing.height + 18.0;
    let reference = relations.reference.word();
    let heading = format!(
        "All {} relation heads, the farthest from the {reference} first: {reference}, student, difference; each head has its own scale. KL in nats.",
        maps.heads()
    );
    let words = Words::new((MARGIN, top), heading, 12.0, theme.muted);
    drawing.items.push(Item::Text(words));
    for (at, head) in maps.by_kl().into_iter().enumerate() {
        let x = MARGIN + (at % a_row) as f32 * pitch;
        let y = top + 14.0 + (at / a_row) as f32 * (THUMB + THUMB_CAPTION + 12.0);
        let items = thumb(maps, head, (x, y), large == Some(head), theme);
        drawing.items.extend(items);
    }
    let rows = maps.heads().div_ceil(a_row) as f32;
    drawing.height = top + 14.0 + rows * (THUMB + THUMB_CAPTION + 12.0);
}

fn thumb(
    maps: &PairMaps,
    head: usize,
    (x, y): (f32, f32),
    large: bool,
    theme: &Theme,
) -> Vec<Item> {
    let relation = maps.head(head);
    let scales = Scales::of(&relation);
    let map = |at: f32| Map {
        x: x + at * (THUMB + 3.0),
        y: y + THUMB_CAPTION,
        cell: THUMB / relation.size.max(1) as f32,
        size: relation.size,
    };
    let name = Words::new((x, y + 12.0), format!("head {}", head + 1), 12.0, theme.ink);
    let kl = format!("KL {}", number(maps.total(head)));
    let kl = Words::new((x + 3.0 * THUMB + 6.0, y + 12.0), kl, 12.0, theme.muted);
    let probabilities = [&relation.teacher, &relation.student];
    let mut items = vec![
        Item::Text(if large { name.bold() } else { name }),
        Item::Text(kl.anchored(Anchor::End)),
    ];
    for (at, values) in probabilities.into_iter().enumerate() {
        items.push(map(at as f32).image(values, &theme.sequential, scales.probability()));
    }
    items.push(map(2.0).image(
        &relation.difference(),
        &theme.diverging,
        scales.difference(),
    ));
    let (stroke, width) = if large {
        (theme.ink, 2.0)
    } else {
        (theme.line, 1.0)
    };
    items.extend((0..3).map(|at| map(at as f32).frame(stroke, width)));
    items
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Pair;

    use super::*;
    use crate::drawing::Curve;

    /// (A, S, S) rows that differ from cell to cell.
    fn map(heads: usize, size: usize, shift: usize) -> Vec<f32> {
        let row = |row: usize| {
            let weight = move |at: usize| 1.0 + ((at * 7 + row * 3 + shift) % 11) as f32;
            let sum: f32 = (0..size).map(weight).sum();
            (0..size).map(move |at| weight(at) / sum)
        };
        (0..heads * size).flat_map(row).collect()
    }

    fn of(large: Large) -> View {
        View {
            large,
            ..View::default()
        }
    }

    fn relations(heads: usize, size: usize) -> Relations {
        let token = |at: usize| Token {
            text: format!("t{at}"),
            special: at == 0,
        };
        let maps = |pair| {
            PairMaps::new(
                pair,
                (heads, size),
                map(heads, size, 0),
                map(heads, size, 5),
            )
        };
        Relations {
            tokens: (0..size).map(token).collect(),
            relation_heads: heads,
            teacher_layer: 4,
            student_layer: 2,
            pairs: [Pair::QQ, Pair::VV]
                .into_iter()
                .filter_map(|pair| maps(pair).ok())
                .collect(),
            ..Relations::default()
        }
    }

    fn places(drawing: &Drawing) -> Vec<[f32; 4]> {
        let place = |item: &Item| match item {
            Item::Rect { place, .. } | Item::Frame { place, .. } | Item::Image { place, .. } => {
                *place
            }
            Item::Text(words) => [words.at.0, words.at.1, 0.0, 0.0],
            Item::Curve(Curve { from, to, .. }) => [from.0, from.1.min(to.1), to.0 - from.0, 0.0],
        };
        drawing.items.iter().map(place).collect()
    }

    #[test]
    fn everything_is_on_the_sheet_for_any_length() {
        for (heads, size) in [(1, 1), (3, 2), (12, 20), (2, 128), (2, 300)] {
            let relations = relations(heads, size);
            let sheet = sheet(&relations, &View::default(), &Theme::light());
            for [x, y, width, height] in places(&sheet) {
                assert!(x >= 0.0 && y >= 0.0, "{size} tokens: {x}, {y}");
                assert!(
                    x + width <= sheet.width && y + height <= sheet.height,
                    "{size} tokens"
                );
            }
        }
    }

    #[test]
    fn each_of_128_tokens_has_a_label_on_both_axes() {
        let relations = relations(2, 128);
        let one = of(Large::Head(1));
        let drawing = pair(&relations, &relations.pairs[0], &one, &Theme::light());
        let named = |name: &str| {
            let is = |item: &&Item| matches!(item, Item::Text(words) if words.text == name);
            drawing.items.iter().filter(is).count()
        };
        assert!(
            (0..128).all(|at| named(&format!("t{at}")) == 4),
            "rows once, columns of three maps"
        );
    }

    #[test]
    fn one_head_is_drawn_without_the_others() {
        let relations = relations(3, 4);
        let images = |large| {
            let drawing = pair(&relations, &relations.pairs[0], &of(large), &Theme::dark());
            drawing
                .items
                .iter()
                .filter(|i| matches!(i, Item::Image { .. }))
                .count()
        };
        assert_eq!(images(Large::Head(2)), 3 + 2);
        assert_eq!(images(Large::Worst), 3 + 2 + 3 * 3);
        assert_eq!(images(Large::Mean), 3 + 2 + 3 * 3);
    }

    #[test]
    fn the_mean_is_drawn_as_the_mean_and_said_to_be() {
        let relations = relations(3, 4);
        let maps = &relations.pairs[0];
        let drawing = pair(&relations, maps, &of(Large::Mean), &Theme::light());
        let text = crate::svg(&drawing);
        assert!(text.contains("Q-Q · mean of 3 relation heads · KL "));
        assert_eq!(Large::Mean.of(maps), (None, maps.mean()));
        assert_eq!(Large::Head(1).of(maps), (Some(1), maps.head(1)));
        assert_eq!(Large::Head(9).of(maps), Large::Worst.of(maps));
    }

    #[test]
    fn a_cell_is_framed_on_each_map_and_given_in_numbers() {
        let relations = relations(2, 4);
        let drawn = |cell| {
            let view = View {
                cell,
                ..of(Large::Head(0))
            };
            crate::svg(&pair(
                &relations,
                &relations.pairs[0],
                &view,
                &Theme::light(),
            ))
        };
        let (plain, framed) = (drawn(None), drawn(Some((1, 3))));
        let frames = |text: &str| text.matches("fill=\"none\"").count();
        assert_eq!(frames(&framed), frames(&plain) + 6);
        assert!(framed.contains("“t1” → “t3”: teacher 0.") && framed.contains("nats in this row"));
        assert_eq!(drawn(Some((4, 0))), plain, "no such cell");
    }

    #[test]
    fn lines_are_drawn_instead_of_maps_if_asked() {
        let relations = relations(2, 6);
        let view = View {
            lines: Some(Lines {
                tokens: vec![2],
                ..Lines::default()
            }),
            ..of(Large::Mean)
        };
        let sheet = sheet(&relations, &view, &Theme::light());
        let curves = |item: &&Item| matches!(item, Item::Curve(_));
        assert_eq!(sheet.items.iter().filter(curves).count(), 2 * 2 * 3);
        for [x, y, width, height] in places(&sheet) {
            assert!(x >= 0.0 && y >= 0.0 && x + width <= sheet.width && y + height <= sheet.height);
        }
        assert!(crate::svg(&sheet).contains("the share of the marked tokens together"));
    }

    #[test]
    fn a_strong_cell_survives_reduction() {
        let mut values = vec![0.1; 64];
        values[8 * 5 + 6] = -0.9;
        let (columns, reduced) = fitted(&values, 8, 3);
        assert_eq!((columns, reduced.len()), (3, 9));
        assert_eq!(reduced.iter().filter(|v| **v == -0.9).count(), 1);
        values[8 * 5 + 7] = f32::NAN;
        let (_, reduced) = fitted(&values, 8, 3);
        assert_eq!(reduced.iter().filter(|v| v.is_nan()).count(), 1);
    }

    #[test]
    fn what_is_not_a_number_has_a_full_bar() {
        let mut student = map(1, 2, 5);
        student[0] = f32::NAN;
        let maps = PairMaps::new(Pair::QQ, (1, 2), map(1, 2, 0), student);
        let relations = Relations {
            pairs: maps.into_iter().collect(),
            ..relations(1, 2)
        };
        let text = crate::svg(&sheet(&relations, &View::default(), &Theme::light()));
        assert!(!text.contains("NaN"), "{text}");
    }
}
