//! Many values in few pixels: smoothing, and the least and greatest of each column.

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

/// Sorts values into columns of one pixel; `place` gives the pixel of an x and must not fall. Values that are not numbers
/// are left out. Nothing between the least and the greatest of a column could be seen anyway.
pub fn columns(xs: &[f64], values: &[f32], place: impl Fn(f64) -> f64, into: &mut Vec<Column>) {
    into.clear();
    let mut at = i64::MIN;
    for (x, value) in xs.iter().zip(values) {
        if !value.is_finite() {
            continue;
        }
        let pixel = place(*x);
        let here = pixel.floor() as i64;
        match into.last_mut() {
            Some(column) if here == at => {
                column.x = here as f64 + 0.5;
                column.min = column.min.min(*value);
                column.max = column.max.max(*value);
                column.last = *value;
            }
            _ => into.push(Column {
                x: pixel,
                first: *value,
                min: *value,
                max: *value,
                last: *value,
            }),
        }
        at = here;
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
        columns(xs, values, |x| x * pixels_each, &mut into);
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
        assert_eq!((spike.first, spike.min, spike.max, spike.last), (1.0, -9.0, 9.0, 1.0));
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
