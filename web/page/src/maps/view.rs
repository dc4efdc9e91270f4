//! How the relations are looked at: what a reader has chosen, as signals, and as a part of a link.

use std::rc::Rc;

use leptos::prelude::*;
use limbeck_recipe::Pair;

use super::seen::Seen;

/// Ways to show relations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Three maps with one crosshair.
    #[default]
    Maps,
    /// Lines from token to token.
    Lines,
    /// Steps of a run side by side.
    Film,
    /// Layers of the teacher and pairs.
    Layers,
    /// What heads do.
    Heads,
}

/// Each with its key in a link and its name.
pub const KINDS: [(Kind, &str, &str); 5] = [
    (Kind::Maps, "maps", "Maps"),
    (Kind::Lines, "lines", "Lines"),
    (Kind::Film, "film", "Film"),
    (Kind::Layers, "layers", "Layers"),
    (Kind::Heads, "heads", "Roles of heads"),
];

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
    /// The way to show them.
    pub kind: Kind,
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
            kind: Kind::Maps,
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
        let kind = KINDS.iter().find(|(kind, ..)| *kind == self.kind);
        let kind = kind.filter(|_| self.kind != usual.kind);
        word("view", kind.map(|(_, key, _)| (*key).to_owned()));
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

    /// Of the value of `see` in a link, and what of it is not understood.
    pub fn read(text: &str) -> (Self, Vec<String>) {
        let mut choice = Self::default();
        let mut unknown = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let taken = part
                .split_once(':')
                .and_then(|(name, value)| choice.take(name, value));
            if taken.is_none() {
                let part: String = part.chars().take(40).collect();
                unknown.push(format!(
                    "the link's view `{part}` is not known here and was left out"
                ));
            }
        }
        (choice, unknown)
    }

    fn take(&mut self, name: &str, value: &str) -> Option<()> {
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
            "pair" => self.pair = Some(value.to_lowercase().parse().ok()?),
            "view" => self.kind = KINDS.iter().find(|(_, key, _)| *key == value)?.0,
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

/// What a reader has chosen, and what follows from it.
#[derive(Clone, Copy)]
pub struct View {
    /// What is chosen.
    pub choice: RwSignal<Choice>,
    /// The head under the pointer, while it is there: a head or the mean.
    pub preview: RwSignal<Option<Option<usize>>>,
    /// Row and column of the crosshair.
    pub cell: RwSignal<(usize, usize)>,
    /// The relations that follow.
    pub seen: RwSignal<Option<Rc<Seen>>, LocalStorage>,
    /// The sentence as it is written in its field.
    pub sentence: RwSignal<String>,
    /// Heads of words, where a parse is given.
    pub parse: RwSignal<String>,
    /// The step of the tour, from 1, while it goes on.
    pub tour: RwSignal<Option<usize>>,
    /// What was chosen before the tour began.
    pub before: StoredValue<Option<Choice>>,
}

impl View {
    /// Nothing chosen.
    pub fn new() -> Self {
        Self {
            choice: RwSignal::default(),
            preview: RwSignal::new(None),
            cell: RwSignal::new((0, 0)),
            seen: RwSignal::new_local(None),
            sentence: RwSignal::default(),
            parse: RwSignal::default(),
            tour: RwSignal::new(None),
            before: StoredValue::new(None),
        }
    }

    /// The head that is shown: the one under the pointer, or the chosen one; the mean where there is none such. Reactive.
    pub fn head(&self, seen: &Seen) -> Option<usize> {
        let chosen = || self.choice.with(|choice| choice.head);
        seen.head(self.preview.get().unwrap_or_else(chosen))
    }

    /// Frees what is locked: it belongs to a sentence that is no longer there.
    pub fn free(&self) {
        self.choose(|choice| {
            choice.cell = None;
            choice.tokens.clear();
        });
        self.parse.update(String::clear);
    }

    /// Changes what is chosen.
    pub fn choose(&self, change: impl FnOnce(&mut Choice)) {
        self.choice.update(change);
    }

    /// One part of what is chosen; reactive, and only to this part.
    pub fn of<T: PartialEq + Send + Sync + 'static>(
        &self,
        part: impl Fn(&Choice) -> T + Send + Sync + 'static,
    ) -> Memo<T> {
        let choice = self.choice;
        Memo::new(move |_| choice.with(&part))
    }

    /// Takes what a link says of the view; gives what is not understood.
    pub fn open(&self, parameters: &[(String, String)]) -> Vec<String> {
        let value = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let (choice, unknown) = Choice::read(value("see").unwrap_or_default());
        self.choice.set(choice);
        self.sentence
            .set(value("sentence").unwrap_or_default().to_owned());
        let step = value("tour").and_then(|step| step.parse().ok());
        self.tour.set(step.map(super::tour::within));
        unknown
    }
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Vector;

    use super::*;

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
            kind: Kind::Lines,
            tokens: vec![2, 5],
            cell: Some((3, 0)),
            most: 7,
            over: 0,
            no_special: true,
            zoom: 4,
        };
        let text = choice.text();
        assert_eq!(Choice::read(&text), (choice.clone(), vec![]));
        assert_eq!(Choice::read(&text.replace('+', " ")), (choice, vec![]));
        assert_eq!(Choice::default().text(), "");
        assert_eq!(Choice::read("").0, Choice::default());
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
            "over:101",
            "x",
        ] {
            let (choice, unknown) = Choice::read(wrong);
            assert_eq!((choice, unknown.len()), (Choice::default(), 1), "{wrong}");
            assert!(unknown[0].contains(wrong));
        }
        assert_eq!(Choice::read("zoom:99").0.zoom, MOST_ZOOM);
    }
}
