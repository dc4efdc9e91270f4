//! The numbers of a run by column, updated as the run grows.

use limbeck_recipe::{Part, Recipe, Step};

use super::columns::Smoother;
use crate::state::RunLog;

/// One line: its values and their exponential mean.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// As they came.
    pub raw: Vec<f32>,
    /// Smoothed.
    pub smooth: Vec<f32>,
    smoother: Smoother,
}

impl Line {
    fn push(&mut self, value: f64, over: f64) {
        let value = value as f32;
        self.raw.push(value);
        self.smooth.push(self.smoother.next(value, over));
    }

    fn smooth_again(&mut self, over: f64) {
        self.smoother = Smoother::default();
        self.smooth.clear();
        let smoother = &mut self.smoother;
        self.smooth
            .extend(self.raw.iter().map(|value| smoother.next(*value, over)));
    }
}

/// The lines of a run. Appending what is new costs as much as what is new; only another smoothing goes over all of it.
#[derive(Clone, Debug)]
pub struct Series {
    recipe: Recipe,
    last: Option<(u64, u64)>,
    over: f64,
    /// Step numbers.
    pub steps: Vec<f64>,
    /// The weighted sum of the parts.
    pub loss: Line,
    /// Each part of the loss, in the order of the run; a step that lacks one has no number there.
    pub parts: Vec<(Part, Line)>,
    /// Learning rate.
    pub rate: Line,
    /// Norm of the gradient.
    pub norm: Line,
    /// Tokens a second.
    pub speed: Line,
}

impl Series {
    /// Of a run, smoothed over about this number of steps.
    pub fn new(run: &RunLog, over: f64) -> Self {
        let mut series = Self {
            recipe: run.info.recipe.clone(),
            last: None,
            over,
            steps: Vec::new(),
            loss: Line::default(),
            parts: (run.info.parts.iter())
                .map(|part| (*part, Line::default()))
                .collect(),
            rate: Line::default(),
            norm: Line::default(),
            speed: Line::default(),
        };
        series.extend(&run.steps);
        series
    }

    /// Brings the series of all runs up to date, reusing those that are known already.
    pub fn follow(all: &mut Vec<Self>, runs: &[RunLog], over: f64) {
        let mut known = std::mem::take(all);
        for run in runs {
            let same = known.iter().position(|series| series.is_start_of(run));
            let series = same.map(|i| {
                let mut series = known.swap_remove(i);
                series.smooth_over(over);
                series.extend(&run.steps[series.steps.len()..]);
                series
            });
            all.push(series.unwrap_or_else(|| Self::new(run, over)));
        }
    }

    /// Whether the run begins with just these steps. The last of them stands for all: losses are exact.
    fn is_start_of(&self, run: &RunLog) -> bool {
        let here = self
            .steps
            .len()
            .checked_sub(1)
            .map(|i| run.steps.get(i).map(mark));
        let same = match here {
            None => self.last.is_none(),
            Some(there) => there.is_some() && there == self.last,
        };
        same && self.recipe == run.info.recipe && self.parts.len() == run.info.parts.len()
    }

    fn extend(&mut self, steps: &[Step]) {
        for step in steps {
            self.steps.push(step.step as f64);
            self.loss.push(step.loss, self.over);
            for (part, line) in &mut self.parts {
                line.push(step.parts.get(part).copied().unwrap_or(f64::NAN), self.over);
            }
            self.rate.push(step.learning_rate, 1.0);
            self.norm.push(step.gradient_norm, self.over);
            self.speed
                .push(step.tokens as f64 / step.seconds, self.over);
        }
        self.last = steps.last().map(mark).or(self.last);
    }

    fn smooth_over(&mut self, over: f64) {
        if self.over == over {
            return;
        }
        self.over = over;
        let parts = self.parts.iter_mut().map(|(_, line)| line);
        for line in parts.chain([&mut self.loss, &mut self.norm, &mut self.speed]) {
            line.smooth_again(over);
        }
    }

    /// Index of the step nearest to an x.
    pub fn nearest(&self, x: f64) -> Option<usize> {
        let after = self.steps.partition_point(|step| *step < x);
        let before = after.saturating_sub(1);
        let away = |i: usize| {
            self.steps
                .get(i)
                .map_or(f64::INFINITY, |step| (step - x).abs())
        };
        let best = if away(before) <= away(after) {
            before
        } else {
            after
        };
        (best < self.steps.len()).then_some(best)
    }
}

fn mark(step: &Step) -> (u64, u64) {
    (step.step, step.loss.to_bits())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::examples;

    pub fn run(losses: &[f64]) -> RunLog {
        let steps = losses.iter().zip(1..);
        RunLog {
            steps: steps
                .map(|(loss, n)| examples::step(n, *loss, 0.5))
                .collect(),
            ..examples::run()
        }
    }

    #[test]
    fn a_grown_run_equals_one_read_at_once() {
        let losses = [4.0, 2.0, 3.0, 1.0];
        let mut all = vec![Series::new(&run(&losses[..2]), 4.0)];
        Series::follow(&mut all, &[run(&losses)], 4.0);
        let whole = Series::new(&run(&losses), 4.0);
        assert_eq!(all[0].steps, whole.steps);
        assert_eq!(all[0].loss.smooth, whole.loss.smooth);
        assert_eq!(whole.speed.raw, [200.0; 4]);
        Series::follow(&mut all, &[run(&losses)], 1.0);
        assert_eq!(all[0].loss.smooth, all[0].loss.raw);
    }

    #[test]
    fn other_runs_do_not_mix() {
        let mut all = Vec::new();
        Series::follow(&mut all, &[run(&[1.0, 2.0])], 1.0);
        Series::follow(&mut all, &[run(&[1.0, 2.0]), run(&[])], 1.0);
        Series::follow(&mut all, &[run(&[]), run(&[5.0, 6.0, 7.0])], 1.0);
        assert!(all[0].steps.is_empty());
        assert_eq!(all[1].loss.raw, [5.0, 6.0, 7.0]);
        Series::follow(&mut all, &[run(&[5.0])], 1.0);
        assert_eq!(
            all[0].loss.raw,
            [5.0],
            "a run that went back to a checkpoint"
        );
    }

    #[test]
    fn the_nearest_step_is_found() {
        let series = Series::new(&run(&[1.0, 2.0, 3.0]), 1.0);
        let at = |x| series.nearest(x);
        assert_eq!(
            [at(-5.0), at(1.4), at(1.6), at(99.0)],
            [Some(0), Some(0), Some(1), Some(2)]
        );
        assert_eq!(Series::new(&run(&[]), 1.0).nearest(1.0), None);
    }
}
