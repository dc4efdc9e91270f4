//! What a device does at most, and how much of that something reaches.

use serde::Serialize;

/// What the device does at most; null is what was not measured.
#[derive(Default, Serialize)]
pub struct Ceilings {
    pub copy_gb_per_s: Option<f64>,
    pub copy_bytes: usize,
    /// The best product that was measured: of some squares, and of the linear layers.
    pub matmul_gflops: Option<f64>,
    /// Its rows, depth and columns.
    pub matmul_of: Option<String>,
    /// The best one in mixed precision; null where there is none.
    pub mixed_gflops: Option<f64>,
    /// Microseconds of an operation on one number, among many.
    pub launch_us: Option<f64>,
    /// The same, waited for.
    pub launch_and_wait_us: Option<f64>,
}

/// What limits a kernel, and how much of that it reaches.
#[derive(Clone, Copy, Serialize)]
pub struct Share {
    /// `matmul`, `mixed matmul` or `copy`.
    pub ceiling: &'static str,
    /// 1 is all of it.
    pub share: f64,
}

impl Share {
    fn of(rate: Option<f64>, most: Option<f64>, ceiling: &'static str) -> Option<Self> {
        let share = rate? / most?;
        Some(Self { ceiling, share })
    }
}

impl Ceilings {
    /// Hears of a product that was measured.
    pub fn raise(&mut self, gflops: Option<f64>, of: &str) {
        if gflops > self.matmul_gflops {
            (self.matmul_gflops, self.matmul_of) = (gflops, Some(of.to_owned()));
        }
    }

    /// Hears of one in mixed precision.
    pub fn raise_mixed(&mut self, gflops: Option<f64>) {
        if gflops > self.mixed_gflops {
            self.mixed_gflops = gflops;
        }
    }

    /// Of a kernel, the ceiling that its rates come nearer to.
    pub fn of_kernel(&self, gflops: Option<f64>, gb_per_s: f64, is_mixed: bool) -> Option<Share> {
        let matmul = match is_mixed {
            true => Share::of(gflops, self.mixed_gflops, "mixed matmul"),
            false => Share::of(gflops, self.matmul_gflops, "matmul"),
        };
        let copy = Share::of(Some(gb_per_s), self.copy_gb_per_s, "copy");
        let both = matmul.into_iter().chain(copy);
        both.max_by(|a, b| a.share.total_cmp(&b.share))
    }

    /// Of a step. None if its teacher is in mixed precision: its products have two ceilings then.
    pub fn of_step(&self, gflops: f64, is_mixed: bool) -> Option<Share> {
        let f32_ceiling = self.matmul_gflops.filter(|_| !is_mixed);
        Share::of(Some(gflops), f32_ceiling, "matmul")
    }

    /// Seconds of so many operations and bytes at the ceilings; none if neither was measured.
    pub fn seconds(&self, flops: Option<f64>, bytes: f64) -> Option<f64> {
        let products = flops.zip(self.matmul_gflops);
        let products = products.map(|(flops, most)| flops / most / 1e9);
        let traffic = self.copy_gb_per_s.map(|most| bytes / most / 1e9);
        [products, traffic]
            .into_iter()
            .flatten()
            .max_by(f64::total_cmp)
    }
}
