//! Relations as lines from token to token, both models side by side, in the grammar of BertViz.

use crate::colours::Theme;
use crate::drawing::{Anchor, Curve, Drawing, Item, Words};
use crate::relation::{Relation, Token};
use crate::words::{clip, visible};

/// Height of a token.
const LINE: f32 = 20.0;
const TOP: f32 = 26.0;
/// Width below which the second picture is below the first.
const NARROW: f32 = 560.0;
const GAP: f32 = 28.0;
/// Size of the labels, and the width of a column of their text.
const FONT: f32 = 12.0;
const COLUMN: f32 = 7.2;
/// Room for `100 %` at the end of a line.
const SHARE: f32 = 40.0;

/// Which lines are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// Tokens whose lines alone are drawn and summed, from 0; none are all.
    pub tokens: Vec<usize>,
    /// Lines of a token at most.
    pub most: usize,
    /// Probability below which there is no line.
    pub least: f32,
    /// Whether special tokens are left out on both sides. The others keep their probabilities: nothing is made to sum to 1
    /// again.
    pub no_special: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            most: 3,
            least: 0.05,
            no_special: false,
        }
    }
}

/// A line from a token to another, with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    from: usize,
    to: usize,
    p: f32,
}

impl Lines {
    fn hides(&self, tokens: &[Token], token: usize) -> bool {
        self.no_special && tokens.get(token).is_some_and(|token| token.special)
    }

    /// Of each row of a map (S, S) the strongest.
    fn of(&self, relation: &Relation, map: &[f32], tokens: &[Token]) -> Vec<Line> {
        let hidden = |token: usize| self.hides(tokens, token);
        let all = (0..relation.size).filter(|row| !hidden(*row));
        let rows = all.filter(|row| self.tokens.is_empty() || self.tokens.contains(row));
        rows.flat_map(|from| {
            let strongest = relation.strongest(map, from, self.most, hidden).into_iter();
            let shown = strongest.filter(|(to, p)| *p >= self.least && !hidden(*to));
            shown.map(move |(to, p)| Line { from, to, p })
        })
        .collect()
    }

    /// What the rows of the tokens give to each token together, as a share of their mass.
    fn sums(&self, map: &[f32], size: usize) -> Vec<f32> {
        let mut sums = vec![0.0; size];
        for row in &self.tokens {
            let row = map.get(row * size..(row + 1) * size).unwrap_or_default();
            for (sum, p) in sums.iter_mut().zip(row) {
                *sum += p / self.tokens.len() as f32;
            }
        }
        sums
    }
}

/// Where one of the two pictures is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    left: f32,
    top: f32,
    width: f32,
}

fn places(width: f32, size: usize) -> ([Place; 2], f32) {
    let tall = TOP + LINE * size as f32 + 10.0;
    let stacked = width < NARROW;
    let each = if stacked { width } else { (width - GAP) / 2.0 };
    let (left, top) = match stacked {
        true => (0.0, tall),
        false => (each + GAP, 0.0),
    };
    let place = |left, top| Place {
        left,
        top,
        width: each,
    };
    let height = if stacked { 2.0 * tall } else { tall };
    ([place(0.0, 0.0), place(left, top)], height)
}

/// The token at a point of a drawing of this width.
pub fn token_at((x, y): (f32, f32), width: f32, size: usize) -> Option<usize> {
    let (places, _) = places(width, size);
    places.iter().find_map(|place| {
        let row = ((y - place.top - TOP) / LINE).floor();
        let inside = (place.left..place.left + place.width).contains(&x);
        (inside && row >= 0.0 && row < size as f32).then_some(row as usize)
    })
}

/// The lines of a relation in a drawing of this width; `names` are those of its two maps. The thicker and the darker a line,
/// the greater its probability; of chosen tokens it stands in numbers, too.
pub fn lines(
    (relation, tokens): (&Relation, &[Token]),
    names: &[String; 2],
    lines: &Lines,
    width: f32,
    theme: &Theme,
) -> Drawing {
    let (places, height) = places(width, relation.size);
    let mut drawing = Drawing {
        width,
        height,
        ..Drawing::default()
    };
    let maps = [&relation.teacher, &relation.student];
    for ((name, map), place) in names.iter().zip(maps).zip(places) {
        let title = Words::new(
            (place.left, place.top + 14.0),
            name.clone(),
            13.0,
            theme.ink,
        );
        drawing.items.push(Item::Text(title.bold()));
        let found = lines.of(relation, map, tokens);
        let sums = lines.sums(map, relation.size);
        side(
            &mut drawing.items,
            (tokens, lines),
            (&found, &sums),
            place,
            theme,
        );
    }
    drawing
}

/// One of the two pictures: its lines, and the tokens at both of their ends.
fn side(
    items: &mut Vec<Item>,
    (tokens, lines): (&[Token], &Lines),
    (found, sums): (&[Line], &[f32]),
    place: Place,
    theme: &Theme,
) {
    let column = (place.width * 0.34).min(150.0);
    let (start, end) = (place.left + column, place.left + place.width - column);
    let middle = |token: usize| place.top + TOP + LINE * (token as f32 + 0.5);
    let stroke = theme.sequential.at(0.7);
    items.extend(found.iter().map(|line| {
        Item::Curve(Curve {
            from: (start + 4.0, middle(line.from)),
            to: (end - 4.0, middle(line.to)),
            stroke,
            width: 1.0 + 5.0 * line.p,
            // A faint line must be seen, too.
            opacity: (0.2 + 0.8 * line.p.max(0.0).sqrt()).min(1.0),
        })
    }));
    let room = |pixels: f32| ((pixels - 8.0) / COLUMN) as usize;
    for (token, text) in tokens
        .iter()
        .enumerate()
        .filter(|(i, _)| !lines.hides(tokens, *i))
    {
        let label = visible(&text.text);
        let chosen = lines.tokens.contains(&token);
        let y = middle(token) + FONT * 0.35;
        let words = |x: f32, text: String| Words::new((x, y), text, FONT, theme.ink);
        let from = words(start - 6.0, clip(&label, room(column))).anchored(Anchor::End);
        items.push(Item::Text(if chosen { from.bold() } else { from }));
        items.push(Item::Text(words(
            end + 6.0,
            clip(&label, room(column - SHARE)),
        )));
        let rect = |[x, width, height]: [f32; 3], down: f32, fill| Item::Rect {
            place: [x, middle(token) + down, width, height],
            fill,
        };
        if chosen {
            items.push(rect([start - 3.0, 3.0, 14.0], -7.0, theme.ink));
        }
        if !lines.tokens.is_empty() {
            let sum = sums.get(token).copied().unwrap_or_default();
            let share = format!("{:.0} %", 100.0 * sum);
            let share = words(end + column, share).anchored(Anchor::End);
            items.push(Item::Text(share));
            items.push(rect([end + 6.0, sum * (column - 8.0), 2.5], 7.0, stroke));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Relation, Vec<Token>) {
        let map = [0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0.4, 0.6, 0.0];
        let token = |text: &str| Token {
            text: text.into(),
            special: text == "[CLS]",
        };
        let tokens = ["[CLS]", "tea", "cup"].map(token).into();
        (Relation::new(3, &map, &map), tokens)
    }

    #[test]
    fn lines_are_the_strongest_above_a_threshold() {
        let (relation, mut tokens) = example();
        let of = |lines: Lines, tokens: &[Token]| {
            let all = lines.of(&relation, &relation.teacher, tokens);
            all.iter()
                .map(|line| (line.from, line.to))
                .collect::<Vec<_>>()
        };
        let with = |most, least, no_special| Lines {
            most,
            least,
            no_special,
            ..Lines::default()
        };
        assert_eq!(of(with(1, 0.0, false), &tokens), [(0, 0), (1, 2), (2, 1)]);
        assert_eq!(of(with(3, 0.45, false), &tokens), [(0, 0), (1, 2), (2, 1)]);
        assert_eq!(of(with(3, 0.35, true), &tokens), [(1, 2), (2, 1)]);
        assert_eq!(of(with(3, 0.9, false), &tokens), []);
        tokens.iter_mut().for_each(|token| token.special = true);
        assert_eq!(of(with(3, 0.0, true), &tokens), []);
    }

    #[test]
    fn chosen_tokens_are_summed_and_given_in_numbers() {
        let (relation, tokens) = example();
        let chosen = Lines {
            tokens: vec![0, 1],
            ..Lines::default()
        };
        for (sum, expected) in chosen
            .sums(&relation.teacher, 3)
            .iter()
            .zip([0.3, 0.2, 0.5])
        {
            assert!((sum - expected).abs() < 1e-6);
        }
        let text = |lines: &Lines| {
            let names = ["Teacher".to_owned(), "Student".to_owned()];
            let drawing = super::lines((&relation, &tokens), &names, lines, 820.0, &Theme::light());
            crate::svg(&drawing)
        };
        assert_eq!(text(&chosen).matches(">50 %<").count(), 2, "of both models");
        assert!(!text(&Lines::default()).contains(" %<"));
        assert_eq!(text(&Lines::default()).matches("<path").count(), 16);
    }

    #[test]
    fn a_point_finds_its_token() {
        for width in [320.0, 1000.0] {
            let (places, height) = places(width, 5);
            for place in places {
                let y = place.top + TOP + 3.5 * LINE;
                assert_eq!(token_at((place.left + 5.0, y), width, 5), Some(3));
                assert!(place.left + place.width <= width + 1e-3 && y < height);
            }
            assert_eq!(token_at((5.0, 3.0), width, 5), None);
        }
    }
}
