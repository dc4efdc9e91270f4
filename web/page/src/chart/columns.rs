//! Many values in few pixels: smoothing, and the least and greatest of each column.

use std::ops::Range;

/// What a line does within one column of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Pixel to draw at: the value's own place if it is alone in its column.
    pub x: f64,
    /// First value.
    pub first: f32,
    /// Least.
    pub min: f32,
    /// Greatest.
    pub max: f32,
    /// Last value.
    pub last: f32,
}

/// The values that fall into one column of pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Bin {
    /// Pixel to draw at: the value's own place if it is alone in its column.
    pub x: f64,
    /// Places of the values.
    pub values: Range<usize>,
}

/// Sorts places on an axis into columns of one pixel; `place` gives the pixel of an x and must not fall. All lines of a run
/// share it, so that each costs no more than a look at its values.
pub fn bins(xs: &[f64], place: impl Fn(f64) -> f64) -> Vec<Bin> {
    let mut all: Vec<Bin> = Vec::new();
    let mut at = i64::MIN;
    for (i, x) in xs.iter().enumerate() {
        let pixel = place(*x);
        let here = pixel.floor() as i64;
        match all.last_mut() {
            Some(bin) if here == at => {
                bin.x = here as f64 + 0.5;
                bin.values.end = i + 1;
            }
            _ => all.push(Bin {
                x: pixel,
                values: i..i + 1,
            }),
        }
        at = here;
    }
    all
}

/// What a line does in each column. Values that are not numbers are left out. Nothing between the least and the greatest of
/// a column could be seen anyway.
pub fn columns(bins: &[Bin], values: &[f32], into: &mut Vec<Column>) {
    into.clear();
    for bin in bins {
        let Some(values) = values.get(bin.values.clone()) else {
            continue;
        };
        let mut finite = values.iter().copied().filter(|value| value.is_finite());
        let Some(first) = finite.next() else {
            continue;
        };
        let start = Column {
            x: bin.x,
            first,
            min: first,
            max: first,
            last: first,
        };
        into.push(finite.fold(start, |column, value| Column {
            min: column.min.min(value),
            max: column.max.max(value),
            last: value,
            ..column
        }));
    }
}

/// An exponential mean that starts without a bias to zero and skips what is not a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smoother {
    sum: f64,
    weight: f64,
}

impl Smoother {
    /// The mean after one more value; `over` is about how many values it spans, 1 for no smoothing.
    pub fn next(&mut self, value: f32, over: f64) -> f32 {
        let keep = 1.0 - 1.0 / over.max(1.0);
        if value.is_finite() {
            self.sum = keep * self.sum + (1.0 - keep) * f64::from(value);
            self.weight = keep * self.weight + (1.0 - keep);
        }
        (self.sum / self.weight) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(xs: &[f64], values: &[f32], pixels_each: f64) -> Vec<Column> {
        let mut into = Vec::new();
        columns(&bins(xs, |x| x * pixels_each), values, &mut into);
        into
    }

    #[test]
    fn a_column_keeps_the_extremes() {
        let xs: Vec<f64> = (0..1000).map(f64::from).collect();
        let mut values = vec![1.0_f32; 1000];
        (values[503], values[504]) = (9.0, -9.0);
        let columns = of(&xs, &values, 0.1);
        assert_eq!(columns.len(), 100);
        let spike = columns[50];
        assert_eq!(
            (spike.first, spike.min, spike.max, spike.last),
            (1.0, -9.0, 9.0, 1.0)
        );
        assert_eq!(spike.x, 50.5);
    }

    #[test]
    fn values_with_room_stay_where_they_are() {
        let columns = of(&[0.0, 1.0, 2.0], &[3.0, f32::NAN, 5.0], 7.3);
        let places: Vec<f64> = columns.iter().map(|c| c.x).collect();
        assert_eq!(places, [0.0, 14.6]);
        assert!(of(&[], &[], 1.0).is_empty());
    }

    #[test]
    fn a_mean_is_unbiased_from_the_first_value() {
        let mut smoother = Smoother::default();
        for _ in 0..5 {
            assert!((smoother.next(4.0, 16.0) - 4.0).abs() < 1e-6);
        }
        assert!((smoother.next(f32::NAN, 16.0) - 4.0).abs() < 1e-6);
        let mut none = Smoother::default();
        assert!(none.next(f32::NAN, 16.0).is_nan());
        assert_eq!((none.next(1.0, 1.0), none.next(2.0, 1.0)), (1.0, 2.0));
    }
}
