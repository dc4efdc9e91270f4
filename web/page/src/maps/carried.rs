//! What a link carries of the view: the sentence as both models see it in one layer each, so that it is seen where the run is not.

use std::sync::Arc;

use leptos::prelude::*;
use limbeck_protocol::RunInfo;
use limbeck_recipe::{Pair, Recipe, Vector};
use limbeck_relations::{Carried, Reference, carried_bytes};

use super::seen::Seen;
use super::view::View;
use crate::state::{Learnt, Page, RunLog, Taught};
use crate::words::bytes;

/// What the data in the address begin with.
const BEGIN: &str = "#seen=";
/// Bytes of data that a link carries at most; as text they are a third more.
const MOST: usize = 8_000;

/// What a link carries of what is seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// These vectors, in so many bytes.
    Vectors(Vec<Vector>, usize),
    /// Nothing: even what the pair needs would be so many bytes.
    TooLarge(usize),
    /// Nothing: a link carries a student beside its teacher, in one layer, and no grouped queries.
    Nothing,
}

impl Load {
    /// All three vectors if they are small enough, or else those that the pair needs. `of_pair` says whether the picture shows
    /// one layer alone.
    pub fn of(seen: &Seen, of_pair: bool) -> Self {
        let models = [&seen.from_teacher.taps, &seen.from_student.taps];
        let is_grouped = models.iter().any(|taps| taps.keys() != taps.hidden());
        if !of_pair || is_grouped || seen.reference == Reference::StudentNow {
            return Self::Nothing;
        }
        let widths = models.map(|taps| taps.hidden());
        let size =
            |vectors: &[Vector]| carried_bytes(&seen.from_teacher.tokens, widths, vectors.len());
        let there = |vector: &Vector| models[0].holds(seen.how.teacher_layer, *vector);
        let all: Vec<Vector> = Vector::ALL.into_iter().filter(there).collect();
        let needed = |vector: &Vector| [seen.how.pair.row, seen.how.pair.column].contains(vector);
        let pair: Vec<Vector> = all.iter().copied().filter(needed).collect();
        let small = |vectors: &Vec<Vector>| size(vectors) <= MOST;
        match [all, pair.clone()].into_iter().find(small) {
            Some(vectors) => Self::Vectors(vectors.clone(), size(&vectors)),
            None => Self::TooLarge(size(&pair)),
        }
    }

    /// Characters that it makes a link longer.
    fn length(&self) -> usize {
        match self {
            Self::Vectors(_, bytes) => BEGIN.len() + (4 * bytes).div_ceil(3),
            Self::TooLarge(_) | Self::Nothing => 0,
        }
    }

    /// What a link of so many characters without it carries, for people.
    pub fn words(&self, link: usize, pair: Pair) -> String {
        let length = bytes((link + self.length()) as u64);
        match self {
            Self::Vectors(vectors, _) if vectors.len() == Vector::ALL.len() => format!(
                "The link is {length} long. It carries the queries, keys and values of this sentence in these layers, at 8 bits per number."
            ),
            Self::Vectors(..) => format!(
                "The link is {length} long. It carries only the vectors that {pair} needs, at 8 bits per number; with all three it would exceed {}.",
                bytes(MOST as u64)
            ),
            Self::TooLarge(size) => format!(
                "The link is {length} long and carries no numbers: {pair} of this sentence needs {}, and the limit is {}. In another browser it works only with the run.",
                bytes(*size as u64),
                bytes(MOST as u64)
            ),
            Self::Nothing => format!(
                "The link is {length} long and carries none of this view\u{2019}s numbers: in another browser it works only with the run."
            ),
        }
    }
}

/// The end of a link with what it carries; none if that is nothing.
pub fn hash(seen: &Seen, run: &RunLog, load: &Load) -> Option<String> {
    let Load::Vectors(vectors, _) = load else {
        return None;
    };
    let carried = Carried {
        step: seen.from_student.step,
        relation_heads: run.info.relation_heads,
        tokens: seen.from_teacher.tokens.clone(),
        teacher: seen
            .from_teacher
            .taps
            .alone(seen.how.teacher_layer, vectors)?,
        student: seen
            .from_student
            .taps
            .alone(seen.how.student_layer, vectors)?,
    };
    Some(format!("{BEGIN}{}", carried.text()))
}

/// Takes what the page's address carries, as a run of its recipe; says what of it cannot be read.
pub fn open(page: Page, view: View) -> Option<String> {
    let hash = window().location().hash().unwrap_or_default();
    let text = hash.strip_prefix(BEGIN)?;
    match Carried::read(text) {
        Ok(carried) => {
            let pair = view.choice.with_untracked(|choice| choice.pair);
            let recipe = page.recipe.get_untracked();
            view.link(run_of(carried, recipe, pair));
            None
        }
        Err(error) => Some(error.to_string()),
    }
}

/// Whether an address carries a view.
pub fn is_in(hash: &str) -> bool {
    hash.starts_with(BEGIN)
}

/// A run of which only this was seen. Its pairs are those of the recipe, if there are numbers for all, or else the one that was
/// chosen.
fn run_of(carried: Carried, recipe: Recipe, chosen: Option<Pair>) -> RunLog {
    let vectors = carried.vectors();
    let holds = |pair: &Pair| [pair.row, pair.column].iter().all(|v| vectors.contains(v));
    let trained: Vec<Pair> = match &recipe.pairs {
        Some(pairs) => pairs.keys().filter_map(|key| key.parse().ok()).collect(),
        None => vec![Pair::QQ, Pair::KK, Pair::VV],
    };
    let of_run = trained.into_iter().filter(holds);
    let first = chosen.into_iter().chain(Pair::all()).find(holds);
    let pairs: Vec<Pair> = match vectors.len() == Vector::ALL.len() {
        true => of_run.collect(),
        false => first.into_iter().collect(),
    };
    let info = RunInfo {
        pairs: pairs.iter().map(Pair::to_string).collect(),
        parts: Vec::new(),
        relation_heads: carried.relation_heads,
        teacher_layer: carried.teacher.only().unwrap_or_default(),
        device: String::new(),
        on_gpu: false,
        self_test_failure: None,
        step: carried.step,
        parameters: 0,
        recipe,
    };
    let mut run = RunLog::new(info, false);
    run.from_teacher = Some(Arc::new(Taught {
        tokens: carried.tokens,
        left_out: 0,
        taps: carried.teacher,
    }));
    run.from_student = Some(Arc::new(Learnt {
        step: carried.step,
        taps: carried.student,
        similarity: None,
    }));
    run
}

#[cfg(test)]
mod tests {
    use limbeck_relations::{Projections, Token};

    use super::*;
    use crate::examples;
    use crate::maps::choice::Choice;

    /// A run on so many tokens, with a teacher of 3 x 128 and a student of 2 x 64.
    fn run(size: usize) -> RunLog {
        let token = |i: usize| Token {
            text: format!("t{i}"),
            special: false,
        };
        let taps = |hidden: usize, layers: usize| {
            let layer =
                |l: usize| (0..3 * size * hidden).map(move |i| ((i * (l + 2)) as f32).sin());
            let layers = (0..layers).map(|l| layer(l).collect()).collect();
            Projections::new(size, 4, layers).expect("3 x S x H numbers")
        };
        let mut run = examples::run();
        run.info.teacher_layer = 3;
        run.from_teacher = Some(Arc::new(Taught {
            tokens: (0..size).map(token).collect(),
            left_out: 0,
            taps: taps(128, 3),
        }));
        run.from_student = Some(Arc::new(Learnt {
            step: 300,
            taps: taps(64, 2),
            similarity: None,
        }));
        run
    }

    fn choice(pair: Pair) -> Choice {
        Choice {
            pair: Some(pair),
            teacher_layer: Some(2),
            student_layer: Some(1),
            ..Choice::default()
        }
    }

    /// What is seen behind a link, by another choice.
    fn opened(run: &RunLog, made: &Choice, then: &Choice) -> Seen {
        let seen = Seen::of(run, made).expect("it fits");
        let load = Load::of(&seen, true);
        let hash = hash(&seen, run, &load).expect("it is small");
        assert_eq!(hash.len(), load.length());
        let text = hash.strip_prefix(BEGIN).expect("the beginning");
        let carried = Carried::read(text).expect("it was just written");
        let linked = run_of(carried, run.info.recipe.clone(), made.pair);
        Seen::of(&linked, then).expect("it fits")
    }

    #[test]
    fn a_link_shows_elsewhere_what_was_seen() {
        let (run, made) = (run(8), choice(Pair::QK));
        let seen = Seen::of(&run, &made).expect("it fits");
        assert!(matches!(Load::of(&seen, true), Load::Vectors(v, _) if v.len() == 3));
        let there = opened(&run, &made, &made);
        assert_eq!(there.layers(), seen.layers());
        assert_eq!((there.how.pair, &there.labels), (Pair::QK, &seen.labels));
        assert!(there.how.instead.is_empty(), "{:?}", there.how.instead);
        let off = seen.mean.student.iter().zip(&there.mean.student);
        assert!(off.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 5e-3);
        // Another pair is there, too; another layer is not, and that is said.
        let other = Choice {
            teacher_layer: Some(3),
            ..choice(Pair::VV)
        };
        let there = opened(&run, &made, &other);
        assert_eq!((there.how.pair, there.how.teacher_layer), (Pair::VV, 2));
        assert_eq!(
            there.how.instead,
            ["the link holds only teacher layer 2, so that is shown"]
        );
    }

    #[test]
    fn a_longer_sentence_has_what_its_pair_needs() {
        let (run, made) = (run(16), choice(Pair::KK));
        let seen = Seen::of(&run, &made).expect("it fits");
        let load = Load::of(&seen, true);
        assert!(
            matches!(&load, Load::Vectors(v, _) if *v == [Vector::K]),
            "{load:?}"
        );
        assert!(
            load.words(90, Pair::KK)
                .contains("the vectors that K-K needs")
        );
        let there = opened(&run, &made, &choice(Pair::QQ));
        assert_eq!(there.how.pair, Pair::KK);
        assert_eq!(
            there.how.instead,
            ["the link holds only what K-K needs, so K-K is shown"]
        );
        assert!(there.mean.total().is_finite());
    }

    #[test]
    fn what_is_too_large_or_is_no_single_layer_stays_behind() {
        let run = run(100);
        let seen = Seen::of(&run, &choice(Pair::QQ)).expect("it fits");
        let load = Load::of(&seen, true);
        assert!(matches!(load, Load::TooLarge(20_000..)), "{load:?}");
        assert!(hash(&seen, &run, &load).is_none());
        let said = load.words(90, Pair::QQ);
        assert!(
            said.contains("90 B long") && said.contains("the limit is 8.0 kB"),
            "{said}"
        );
        assert_eq!(Load::of(&seen, false), Load::Nothing);
    }
}
