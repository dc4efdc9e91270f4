//! Scales, their ticks, and numbers as a reader wants them.

use crate::words;

/// Places values between two pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// `low` lies at pixel `from`, `high` at pixel `to`.
    pub fn new((low, high): (f64, f64), (from, to): (f64, f64), log: bool) -> Self {
        let map = |v: f64| if log { v.ln() } else { v };
        Self {
            low: map(low),
            high: map(high),
            from,
            to,
            log,
        }
    }

    /// The pixel of a value; not a number where the scale has no place for it.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.ln() } else { value };
        let part = (value - self.low) / (self.high - self.low);
        if part.is_finite() {
            self.from + part * (self.to - self.from)
        } else {
            f64::NAN
        }
    }

    /// The value at a pixel, clamped to the scale.
    pub fn value(&self, pixel: f64) -> f64 {
        let part = ((pixel - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        let value = self.low + part * (self.high - self.low);
        if self.log { value.exp() } else { value }
    }
}

/// Round values between two bounds, about `wanted` of them.
pub fn ticks(low: f64, high: f64, log: bool, wanted: usize) -> Vec<f64> {
    if high <= low || !low.is_finite() || !high.is_finite() {
        return Vec::new();
    }
    if log && low > 0.0 {
        let round = decades(low, high, wanted);
        if round.len() > 1 {
            return round;
        }
    }
    even(low, high, wanted)
}

/// 1, 2 and 5 of each power of ten, or fewer where they would crowd.
fn decades(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all = |digits: &[f64]| -> Vec<f64> {
        let each = powers.clone().flat_map(|power| {
            let unit = 10_f64.powi(power);
            digits.iter().map(move |digit| digit * unit)
        });
        each.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let fine = all(&[1.0, 2.0, 5.0]);
    if fine.len() <= wanted + 2 {
        return fine;
    }
    let coarse = all(&[1.0]);
    let every = coarse.len().div_ceil(wanted.max(1)).max(1);
    coarse.into_iter().step_by(every).collect()
}

fn even(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(1) as f64;
    let unit = 10_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|digit| digit * unit >= rough * 0.999);
    let step = unit * digit.unwrap_or(10.0);
    let first = (low / step).ceil() as i64;
    let last = (high / step * (1.0 + 1e-9)).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A label of an axis: no more digits than it needs.
pub fn tick_label(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && !(1e-3..1e6).contains(&size) {
        return exponential(value, 1).replace(".0e", "e");
    }
    if size >= 10_000.0 {
        return grouped(value);
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.replace('-', "\u{2212}")
}

/// Three significant digits.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "\u{2013}".into();
    }
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e6).contains(&size) {
        return exponential(value, 2);
    }
    if size >= 1000.0 {
        return grouped(value);
    }
    let digits = (2 - size.log10().floor() as i32).max(0) as usize;
    format!("{value:.digits$}").replace('-', "\u{2212}")
}

/// A whole number with its thousands set apart.
pub fn grouped(value: f64) -> String {
    let mut text = words::grouped(&format!("{:.0}", value.abs()));
    if value < 0.0 {
        text.insert(0, '\u{2212}');
    }
    text
}

fn exponential(value: f64, digits: usize) -> String {
    format!("{value:.digits$e}").replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_goes_there_and_back() {
        for log in [false, true] {
            let scale = Scale::new((0.01, 10.0), (300.0, 20.0), log);
            assert_eq!(scale.place(0.01), 300.0);
            assert!((scale.place(10.0) - 20.0).abs() < 1e-9);
            assert!((scale.value(scale.place(0.7)) - 0.7).abs() < 1e-9);
            assert!((scale.value(1e9) - 0.01).abs() < 1e-9);
        }
        let log = Scale::new((0.01, 10.0), (300.0, 20.0), true);
        assert!(log.place(0.0).is_nan() && log.place(-1.0).is_nan());
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            ticks(0.0, 1.0, false, 5),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(
            ticks(0.0, 10_000.0, false, 5),
            [0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10_000.0]
        );
        assert_eq!(ticks(0.05, 2.0, true, 5).len(), 6);
        assert_eq!(ticks(1e-6, 10.0, true, 4).len(), 4);
        assert!(
            ticks(0.21, 0.24, true, 4).len() > 1,
            "a narrow range is evenly divided"
        );
        assert!(ticks(1.0, 1.0, false, 4).is_empty() && ticks(f64::NAN, 1.0, true, 4).is_empty());
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(tick_label(0.25), "0.25");
        assert_eq!(tick_label(6e-4), "6e\u{2212}4");
        assert_eq!(tick_label(10_000.0), "10,000");
        assert_eq!(tick_label(0.0), "0");
        assert_eq!(number(0.31449), "0.314");
        assert_eq!(number(31.449), "31.4");
        assert_eq!(number(1234.5), "1,234");
        assert_eq!(number(6e-4), "6.00e\u{2212}4");
        assert_eq!(number(f64::NAN), "\u{2013}");
    }
}
