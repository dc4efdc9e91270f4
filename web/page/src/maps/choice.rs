//! What a reader has chosen to see of the relations, as plain data and as a part of a link.

use limbeck_recipe::Pair;

/// The key of the picture that is shown unless another is chosen.
pub const FIRST: &str = "maps";

/// What a reader has chosen. What is not chosen follows the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Rows and columns.
    pub pair: Option<Pair>,
    /// A.
    pub heads: Option<usize>,
    /// From 1.
    pub teacher_layer: Option<usize>,
    /// From 1.
    pub student_layer: Option<usize>,
    /// Relation head, from 0; none is the mean of all.
    pub head: Option<usize>,
    /// Whether that head is shown alone.
    pub alone: bool,
    /// Whether heads are ordered by their KL.
    pub by_kl: bool,
    /// A step of the film; none is what is now.
    pub step: Option<u64>,
    /// Whether the student is set beside itself now, instead of the teacher.
    pub beside_now: bool,
    /// The key of the picture that shows them.
    pub picture: &'static str,
    /// Tokens whose lines are summed, from 0.
    pub tokens: Vec<usize>,
    /// The locked row and column, from 0.
    pub cell: Option<(usize, usize)>,
    /// Lines of a token at most.
    pub most: usize,
    /// Percent below which there is no line.
    pub over: usize,
    /// Whether special tokens are left out.
    pub no_special: bool,
    /// How many times larger than the whole; 1 shows all tokens.
    pub zoom: usize,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            pair: None,
            heads: None,
            teacher_layer: None,
            student_layer: None,
            head: None,
            alone: false,
            by_kl: false,
            step: None,
            beside_now: false,
            picture: FIRST,
            tokens: Vec::new(),
            cell: None,
            most: 3,
            over: 5,
            no_special: false,
            zoom: 1,
        }
    }
}

impl Choice {
    /// Whether a cell is locked that a grid of this size does not have.
    pub fn is_locked_beyond(&self, size: usize) -> bool {
        self.cell
            .is_some_and(|(row, column)| row.max(column) >= size)
    }

    /// As the value of `see` in a link: only what is chosen. Numbers count from 1.
    pub fn text(&self) -> String {
        let usual = Self::default();
        let mut parts: Vec<String> = Vec::new();
        let mut number = |name: &str, value: Option<usize>| {
            parts.extend(value.map(|value| format!("{name}:{value}")));
        };
        number("heads", self.heads);
        number("teacher", self.teacher_layer);
        number("student", self.student_layer);
        number("head", self.head.map(|head| head + 1));
        number("step", self.step.map(|step| step as usize));
        number("most", (self.most != usual.most).then_some(self.most));
        number("over", (self.over != usual.over).then_some(self.over));
        number("zoom", (self.zoom != usual.zoom).then_some(self.zoom));
        let mut word = |name: &str, value: Option<String>| {
            parts.extend(value.map(|value| format!("{name}:{value}")));
        };
        word("pair", self.pair.map(Pair::key));
        let picture = (self.picture != usual.picture).then(|| self.picture.to_owned());
        word("view", picture);
        let tokens: Vec<String> = self.tokens.iter().map(|t| (t + 1).to_string()).collect();
        word("tokens", (!tokens.is_empty()).then(|| tokens.join("+")));
        let cell = self
            .cell
            .map(|(row, column)| format!("{}+{}", row + 1, column + 1));
        word("cell", cell);
        for (name, set) in self.switches() {
            word(name, set.then(|| "yes".to_owned()));
        }
        parts.join(",")
    }

    fn switches(&self) -> [(&'static str, bool); 4] {
        [
            ("alone", self.alone),
            ("sorted", self.by_kl),
            ("now", self.beside_now),
            ("plain", self.no_special),
        ]
    }

    /// Reads the value of `see` in a link, with the keys of all pictures; says what of it is not understood.
    pub fn read(text: &str, pictures: &[&'static str]) -> (Self, Vec<String>) {
        let mut choice = Self::default();
        let mut unknown = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let taken = part
                .split_once(':')
                .and_then(|(name, value)| choice.take(name, value, pictures));
            if taken.is_none() {
                let part: String = part.chars().take(40).collect();
                unknown.push(format!(
                    "the page does not know `{part}`, which the link asks to see"
                ));
            }
        }
        (choice, unknown)
    }

    fn take(&mut self, name: &str, value: &str, pictures: &[&'static str]) -> Option<()> {
        let number = || {
            value
                .parse::<usize>()
                .ok()
                .filter(|n| (1..=1 << 20).contains(n))
        };
        // A `+` in a query is a space.
        let numbers = || -> Option<Vec<usize>> {
            let parts = value.split(['+', ' ']);
            parts
                .map(|part| part.parse::<usize>().ok()?.checked_sub(1))
                .collect()
        };
        let yes = value == "yes";
        match name {
            "heads" => self.heads = Some(number()?),
            "teacher" => self.teacher_layer = Some(number()?),
            "student" => self.student_layer = Some(number()?),
            "head" => self.head = Some(number()? - 1),
            "step" => self.step = Some(value.parse().ok()?),
            "most" => self.most = number()?.min(MOST_LINES),
            "over" => self.over = value.parse().ok().filter(|over| *over <= 100)?,
            "zoom" => self.zoom = number()?.min(MOST_ZOOM),
            "pair" => self.pair = Some(value.to_ascii_lowercase().parse().ok()?),
            "view" => self.picture = pictures.iter().find(|key| **key == value)?,
            "tokens" => self.tokens = numbers()?,
            "cell" => {
                let [row, column] = numbers()?.try_into().ok()?;
                self.cell = Some((row, column));
            }
            "alone" => self.alone = yes,
            "sorted" => self.by_kl = yes,
            "now" => self.beside_now = yes,
            "plain" => self.no_special = yes,
            _ => return None,
        }
        Some(())
    }
}

/// Lines of a token at most.
pub const MOST_LINES: usize = 10;
/// The largest zoom.
pub const MOST_ZOOM: usize = 16;

#[cfg(test)]
mod tests {
    use limbeck_recipe::Vector;

    use super::*;

    const PICTURES: [&str; 2] = [FIRST, "lines"];

    #[test]
    fn a_link_gives_the_whole_view_back() {
        let choice = Choice {
            pair: Some(Pair {
                row: Vector::K,
                column: Vector::V,
            }),
            heads: Some(16),
            teacher_layer: Some(3),
            student_layer: Some(1),
            head: Some(4),
            alone: true,
            by_kl: true,
            step: Some(120),
            beside_now: true,
            picture: "lines",
            tokens: vec![2, 5],
            cell: Some((3, 0)),
            most: 7,
            over: 0,
            no_special: true,
            zoom: 4,
        };
        let text = choice.text();
        assert_eq!(Choice::read(&text, &PICTURES), (choice.clone(), vec![]));
        assert_eq!(
            Choice::read(&text.replace('+', " "), &PICTURES),
            (choice, vec![])
        );
        assert_eq!(Choice::default().text(), "");
        assert_eq!(Choice::read("", &PICTURES).0, Choice::default());
    }

    #[test]
    fn a_cell_can_be_locked_beyond_a_grid() {
        for (cell, is_beyond) in [
            (None, false),
            (Some((2, 3)), false),
            (Some((4, 0)), true),
            (Some((0, 9)), true),
        ] {
            let choice = Choice {
                cell,
                ..Choice::default()
            };
            assert_eq!(choice.is_locked_beyond(4), is_beyond, "{cell:?}");
        }
    }

    #[test]
    fn what_a_link_says_wrongly_is_named() {
        for wrong in [
            "pair:qx",
            "pair:qkv",
            "head:0",
            "heads:-1",
            "colour:red",
            "cell:3",
            "view:",
            "view:pie",
            "over:101",
            "x",
        ] {
            let (choice, unknown) = Choice::read(wrong, &PICTURES);
            assert_eq!((choice, unknown.len()), (Choice::default(), 1), "{wrong}");
            assert!(unknown[0].contains(wrong));
        }
        assert_eq!(Choice::read("zoom:99", &PICTURES).0.zoom, MOST_ZOOM);
    }
}
