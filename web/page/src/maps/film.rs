//! The student's maps of earlier steps, one byte a probability.

use limbeck_recipe::Recipe;

use crate::state::{Maps, RunLog};

/// Bytes that a film may hold.
const MOST: usize = 64 << 20;

/// The student's maps of one step.
#[derive(Clone, Debug)]
struct Frame {
    step: u64,
    pairs: Vec<Vec<u8>>,
}

/// The student's maps of a run on one sentence, by step.
#[derive(Clone, Debug, Default)]
pub struct Film {
    recipe: Option<Recipe>,
    tokens: Vec<String>,
    shape: (Vec<String>, usize),
    frames: Vec<Frame>,
    thinned: bool,
}

impl Film {
    /// Takes in the present maps of a run; says whether they are new. Another run or sentence begins another film.
    pub fn take(&mut self, run: &RunLog, maps: &Maps) -> bool {
        let same = self.recipe.as_ref() == Some(&run.info.recipe)
            && self.tokens == maps.tokens
            && self.shape.1 == maps.heads
            && self.shape.0 == maps.pairs;
        if same
            && self
                .frames
                .last()
                .is_some_and(|frame| frame.step == maps.step)
        {
            return false;
        }
        if !same {
            *self = Self {
                recipe: Some(run.info.recipe.clone()),
                tokens: maps.tokens.clone(),
                shape: (maps.pairs.clone(), maps.heads),
                ..Self::default()
            };
        }
        // A run that went back to a checkpoint takes these steps again.
        self.frames.retain(|frame| frame.step < maps.step);
        let pairs = maps
            .student
            .iter()
            .map(|values| values.iter().map(|p| quantised(*p)).collect());
        self.frames.push(Frame {
            step: maps.step,
            pairs: pairs.collect(),
        });
        self.thin(MOST);
        true
    }

    /// Leaves every other frame out, the first and the last kept, until the rest fits.
    fn thin(&mut self, most: usize) {
        let each: usize = self
            .frames
            .last()
            .map_or(0, |frame| frame.pairs.iter().map(Vec::len).sum());
        while self.frames.len() > 2 && self.frames.len() * each > most {
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

    /// Steps of the frames.
    pub fn steps(&self) -> Vec<u64> {
        self.frames.iter().map(|frame| frame.step).collect()
    }

    /// Whether frames were left out.
    pub fn thinned(&self) -> bool {
        self.thinned
    }

    /// The student's (A, S, S) of a pair at a frame.
    pub fn student(&self, frame: usize, pair: usize) -> Option<Vec<f32>> {
        let bytes = self.frames.get(frame)?.pairs.get(pair)?;
        let table: [f32; 256] = std::array::from_fn(|q| (q as f32 / 255.0).powi(2));
        Some(bytes.iter().map(|q| table[usize::from(*q)]).collect())
    }
}

/// Finer for small probabilities, which the maps show by their square root too.
fn quantised(p: f32) -> u8 {
    (p.max(0.0).sqrt() * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::run;

    fn maps(step: u64) -> Maps {
        Maps {
            step,
            tokens: vec!["a".into(), "b".into()],
            pairs: vec!["Q-Q".into()],
            heads: 1,
            teacher: vec![vec![0.5; 4]],
            student: vec![vec![0.0, 1.0, 0.3, 0.7]],
        }
    }

    #[test]
    fn a_film_keeps_steps_and_their_values() {
        let mut film = Film::default();
        assert!(film.take(&run(), &maps(10)) && film.take(&run(), &maps(20)));
        assert!(!film.take(&run(), &maps(20)));
        assert_eq!(film.steps(), [10, 20]);
        let back = film.student(0, 0).expect("it was taken");
        let worst = back
            .iter()
            .zip(&maps(0).student[0])
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst < 4e-3, "{worst}");
        assert!(film.student(9, 0).is_none() && film.student(0, 9).is_none());
        assert!(film.take(&run(), &maps(10)));
        assert_eq!(film.steps(), [10], "steps are taken again");
    }

    #[test]
    fn another_sentence_or_recipe_begins_anew() {
        let mut film = Film::default();
        film.take(&run(), &maps(10));
        let mut other = maps(20);
        other.tokens[0] = "c".into();
        film.take(&run(), &other);
        assert_eq!(film.steps(), [20]);
        let mut longer = run();
        longer.info.recipe.steps = 7;
        film.take(&longer, &other);
        assert_eq!(film.steps(), [20]);
    }

    #[test]
    fn a_long_film_is_thinned() {
        let mut film = Film::default();
        (0..10).for_each(|step| assert!(film.take(&run(), &maps(step))));
        assert!(!film.thinned());
        film.thin(20);
        assert_eq!(film.steps(), [0, 4, 8, 9]);
        assert!(film.thinned());
    }
}
