//! What the student made of the sentence at earlier steps. The film keeps queries, keys and values, not maps: from these every
//! pair and any number of relation heads follow.

use std::sync::Arc;

use limbeck_recipe::{Pair, Recipe};
use limbeck_relations::{Projections, Quantised, Similarity};

use super::seen::first_pair;
use crate::state::{Learnt, RunLog, Taught};

/// Bytes that a film may hold.
const MOST: usize = 64_000_000;

/// The student's last layer at one step.
#[derive(Clone, Debug)]
struct Frame {
    step: u64,
    taps: Quantised,
    /// Whole: they are small.
    similarity: Option<Arc<Similarity>>,
}

/// The student's last layer on one sentence, by step.
#[derive(Clone, Debug, Default)]
pub struct Film {
    /// How many films there were: another run or sentence begins another.
    epoch: u64,
    recipe: Option<Recipe>,
    from_teacher: Option<Arc<Taught>>,
    frames: Vec<Frame>,
    thinned: bool,
    error: f32,
}

impl Film {
    /// Takes in what the student makes of the sentence now. Another run or sentence begins another film. The quantisation
    /// error is measured in the first pair of the run, in some of the frames.
    pub fn take(&mut self, run: &RunLog) {
        let (Some(from_teacher), Some(from_student)) = (&run.from_teacher, &run.from_student)
        else {
            return;
        };
        let (pair, heads) = (first_pair(&run.info.pairs), run.info.relation_heads);
        let same = self.recipe.as_ref() == Some(&run.info.recipe)
            && self
                .from_teacher
                .as_ref()
                .is_some_and(|t| Arc::ptr_eq(t, from_teacher));
        let last = self.frames.last().map(|frame| frame.step);
        if same && last == Some(from_student.step) {
            return;
        }
        if !same {
            *self = Self {
                epoch: self.epoch + 1,
                recipe: Some(run.info.recipe.clone()),
                from_teacher: Some(from_teacher.clone()),
                ..Self::default()
            };
        }
        // A run that went back to a checkpoint takes these steps again.
        self.frames.retain(|frame| frame.step < from_student.step);
        let layers = from_student.taps.layers();
        let values = from_student.taps.layer(layers).unwrap_or_default();
        let taps = Quantised::of(values, from_student.taps.hidden());
        // Two whole maps a frame would be felt at 128 tokens; frames 1, 2, 4, 8 and so on tell enough.
        if (self.frames.len() + 1).is_power_of_two() {
            self.error = self
                .error
                .max(error(&from_student.taps, &taps, pair, heads));
        }
        self.frames.push(Frame {
            step: from_student.step,
            taps,
            similarity: from_student.similarity.clone(),
        });
        self.thin(MOST);
    }

    /// Leaves every other frame out, but never the first and the last, until the rest fits.
    fn thin(&mut self, most: usize) {
        while self.frames.len() > 2 && self.bytes() > most {
            let last = self.frames.len() - 1;
            let mut i = 0;
            self.frames.retain(|_| {
                let keep = i % 2 == 0 || i == last;
                i += 1;
                keep
            });
            self.thinned = true;
        }
    }

    /// Bytes of all frames.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.taps.bytes()).sum()
    }

    /// How many films there were, this one among them.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Steps of the frames.
    pub fn steps(&self) -> Vec<u64> {
        self.frames.iter().map(|frame| frame.step).collect()
    }

    /// Whether frames were left out.
    pub fn thinned(&self) -> bool {
        self.thinned
    }

    /// The largest change of a probability by the quantisation, in what was measured.
    pub fn error(&self) -> f32 {
        self.error
    }

    /// The student at the last frame that is not after a step, or at the first: as it is now, but for its last layer.
    pub fn student(&self, step: u64, now: &Learnt) -> Option<Learnt> {
        let before = self.frames.iter().rfind(|frame| frame.step <= step);
        let frame = before.or(self.frames.first())?;
        let mut taps = now.taps.clone();
        taps.replace(taps.layers(), frame.taps.values());
        Some(Learnt {
            step: frame.step,
            taps,
            similarity: frame.similarity.clone(),
        })
    }
}

/// The largest change of a probability of the last layer.
fn error(taps: &Projections, quantised: &Quantised, pair: Pair, heads: usize) -> f32 {
    let layer = taps.layers();
    let mut stored = taps.clone();
    stored.replace(layer, quantised.values());
    match (taps.map(layer, pair, heads), stored.map(layer, pair, heads)) {
        (Ok(was), Ok(is)) => {
            let change = was.iter().zip(&is).map(|(was, is)| (was - is).abs());
            change.fold(0.0, f32::max)
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use limbeck_relations::Token;

    use super::*;
    use crate::examples::run;

    fn learnt(step: u64, taps: Projections) -> Learnt {
        let texts = vec!["tea".to_owned()];
        Learnt {
            step,
            taps,
            similarity: Similarity::new(step, texts, vec![1.0], vec![1.0]).map(Arc::new),
        }
    }

    fn at(run: &mut RunLog, step: u64) {
        let layer = |seed: u64| {
            (0..24)
                .map(|i| ((i + seed) as f32 * 1.7).sin() * 3.0)
                .collect()
        };
        let taps = Projections::new(2, 2, vec![layer(0), layer(step)]).expect("3 x 2 x 4 numbers");
        run.from_student = Some(Arc::new(learnt(step, taps)));
    }

    fn example() -> RunLog {
        let token = Token {
            text: "a".into(),
            special: false,
        };
        let taps = Projections::new(2, 2, vec![vec![0.5; 24]]).expect("3 x 2 x 4 numbers");
        let mut run = run();
        run.info.relation_heads = 2;
        run.from_teacher = Some(Arc::new(Taught {
            tokens: vec![token.clone(), token],
            left_out: 0,
            taps,
        }));
        run
    }

    #[test]
    fn a_film_keeps_steps_and_their_values() {
        let (mut film, mut run) = (Film::default(), example());
        film.take(&run);
        assert!(film.steps().is_empty(), "there is nothing yet");
        at(&mut run, 10);
        film.take(&run);
        film.take(&run);
        let then = run.from_student.clone().expect("it was set");
        at(&mut run, 20);
        film.take(&run);
        assert_eq!(film.steps(), [10, 20]);
        let now = run.from_student.clone().expect("it was set");
        let back = film.student(15, &now).expect("the frame before");
        assert_eq!((back.step, back.taps.layer(1)), (10, now.taps.layer(1)));
        assert_eq!(back.similarity.map(|s| s.step()), Some(10));
        let both = [&then.taps, &back.taps].map(|taps| taps.map(2, Pair::QQ, 2).expect("a map"));
        let change = both[0].iter().zip(&both[1]).map(|(a, b)| (a - b).abs());
        let change = change.fold(0.0, f32::max);
        assert!(
            change <= film.error() && film.error() < 1e-3,
            "{change} {}",
            film.error()
        );
        let first = film.student(9, &now).expect("the first frame");
        assert_eq!(first.step, 10);
        assert!(Film::default().student(9, &now).is_none());
        at(&mut run, 10);
        film.take(&run);
        assert_eq!(film.steps(), [10], "steps are taken again");
    }

    #[test]
    fn another_sentence_or_recipe_begins_anew() {
        let (mut film, mut run) = (Film::default(), example());
        at(&mut run, 10);
        film.take(&run);
        run.from_teacher = example().from_teacher;
        at(&mut run, 20);
        film.take(&run);
        assert_eq!(
            (film.steps().as_slice(), film.epoch()),
            ([20].as_slice(), 2)
        );
        run.info.recipe.steps = 7;
        film.take(&run);
        assert_eq!(
            (film.steps().as_slice(), film.epoch()),
            ([20].as_slice(), 3)
        );
        film.thin(0);
        assert_eq!(film.epoch(), 3, "a film that lost frames is the same");
    }

    #[test]
    fn a_long_film_is_thinned() {
        let (mut film, mut run) = (Film::default(), example());
        for step in 0..10 {
            at(&mut run, step);
            film.take(&run);
        }
        assert!(!film.thinned());
        let each = film.bytes() / 10;
        assert_eq!(each, 24 * 2 + 6 * 4, "two bytes a number and a scale a row");
        film.thin(each * 4);
        assert_eq!(film.steps(), [0, 4, 8, 9]);
        assert!(film.thinned());
    }

    #[test]
    fn two_hundred_steps_of_128_tokens_fit() {
        let (mut film, mut run) = (Film::default(), example());
        let layer = (0..3 * 128 * 384)
            .map(|i| (i as f32 * 1.7).sin() * 3.0)
            .collect();
        let taps = Projections::new(128, 384, vec![layer]).expect("3 x 128 x 384 numbers");
        run.info.relation_heads = 12;
        for step in 0..200 {
            let taps = taps.clone();
            run.from_student = Some(Arc::new(learnt(step, taps)));
            film.take(&run);
        }
        assert!(!film.thinned());
        assert_eq!(film.steps().len(), 200);
        assert!(film.bytes() < MOST, "{} bytes", film.bytes());
    }
}
