//! A score with its intervals.

/// A mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The mean.
    pub mean: f64,
    /// Half of the 95 % interval of the mean, where there are several seeds.
    pub spread: Option<f64>,
    /// The 95 % interval over the rows of the task, where there is one.
    pub rows: Option<[f64; 2]>,
}

impl Score {
    /// The interval to draw: over the rows of the task where there is one, and else over seeds.
    pub fn interval(&self) -> Option<[f64; 2]> {
        self.rows
            .or_else(|| self.spread.map(|half| [self.mean - half, self.mean + half]))
    }
}
