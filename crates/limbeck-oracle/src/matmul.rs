//! Matrix multiplication, also of factors that are rounded to 16 bits, sums of rows, and mistakes in either.

/// a (M, K) times b (K, N): (M, N), row after row. Twin of `matmul_tiles.wgsl` and `matmul_threads.wgsl`.
///
/// # Panics
/// If the lengths are not those of the shape.
pub fn matmul(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    assert_eq!(
        (a.len(), b.len()),
        (m * k, k * n),
        "lengths of ({m}, {k}) and ({k}, {n})"
    );
    let mut product = vec![0.0; m * n];
    for i in 0..m {
        for at in 0..k {
            for j in 0..n {
                product[i * n + j] += a[i * k + at] * b[at * n + j];
            }
        }
    }
    product
}

/// [`matmul`] of factors that are rounded to f16 first. Twin of `matmul_matrices.wgsl`.
///
/// # Panics
/// As [`matmul`].
pub fn mixed(a: &[f64], b: &[f64], shape: [usize; 3]) -> Vec<f64> {
    let rounded = |values: &[f64]| values.iter().copied().map(rounded).collect::<Vec<f64>>();
    matmul(&rounded(a), &rounded(b), shape)
}

/// The nearest number that an f16 holds (IEEE 754 binary16: 11 bits, the last of which is 2^-24 at least), of two that are as near the
/// one that is even in its last bit; beyond them all the largest, 65504.
pub fn rounded(x: f64) -> f64 {
    let near = x.clamp(-65_504.0, 65_504.0);
    let power = near.abs().log2().floor().max(-14.0);
    let unit = (power - 10.0).exp2();
    (near / unit).round_ties_even() * unit
}

/// A matrix with rows of `width`, transposed.
pub fn transposed(values: &[f64], width: usize) -> Vec<f64> {
    let rows = values.len() / width;
    (0..values.len())
        .map(|at| values[at % rows * width + at / rows])
        .collect()
}

/// The sum of the rows of x, (rows, width): (width). Twin of `sum_rows.wgsl`.
///
/// # Panics
/// If x is not whole rows.
pub fn sum_rows(x: &[f64], width: usize) -> Vec<f64> {
    assert!(
        width > 0 && x.len().is_multiple_of(width),
        "{} numbers are not whole rows of {width}",
        x.len()
    );
    let mut sums = vec![0.0; width];
    for (at, x) in x.iter().enumerate() {
        sums[at % width] += x;
    }
    sums
}

/// What a product in tiles and parts gets wrong when it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The last of K is missing, where K is not whole fours or whole tiles.
    LastOfK,
    /// The first of K counts twice, where two parts overlap.
    FirstOfKTwice,
    /// The last row is that before it, which a read past the end was moved to.
    LastRowRepeated,
    /// The last column is 0: nobody wrote it.
    LastColumnMissing,
    /// B is read as it lies, although it is stored transposed.
    Transposed,
}

impl Defect {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::LastOfK,
        Self::FirstOfKTwice,
        Self::LastRowRepeated,
        Self::LastColumnMissing,
        Self::Transposed,
    ];

    /// Whether the mistake changes a product of this shape.
    pub fn applies(self, [m, k, n]: [usize; 3]) -> bool {
        match self {
            Self::LastOfK | Self::FirstOfKTwice | Self::LastColumnMissing => true,
            Self::LastRowRepeated => m > 1,
            Self::Transposed => k > 1 && n > 1,
        }
    }

    /// The product with this mistake.
    ///
    /// # Panics
    /// As [`matmul`].
    pub fn product(self, a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
        let mut product = matmul(a, b, [m, k, n]);
        match self {
            Self::LastOfK | Self::FirstOfKTwice => {
                let (at, sign) = match self {
                    Self::LastOfK => (k - 1, -1.0),
                    _ => (0, 1.0),
                };
                for (place, sum) in product.iter_mut().enumerate() {
                    *sum += sign * a[place / n * k + at] * b[at * n + place % n];
                }
            }
            Self::LastRowRepeated => product.copy_within((m - 2) * n..(m - 1) * n, (m - 1) * n),
            Self::LastColumnMissing => {
                product
                    .iter_mut()
                    .skip(n - 1)
                    .step_by(n)
                    .for_each(|sum| *sum = 0.0);
            }
            Self::Transposed => {
                let across: Vec<f64> = (0..k * n).map(|at| b[at % n * k + at / n]).collect();
                product = matmul(a, &across, [m, k, n]);
            }
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::{Defect, matmul, mixed, rounded, sum_rows};
    use crate::judge::verdict_with_factor;
    use crate::rng::Rng;

    #[test]
    fn of_two_small_matrices() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [7.0, 10.0, 8.0, 11.0, 9.0, 12.0];
        assert_eq!(matmul(&a, &b, [2, 3, 2]), [50.0, 68.0, 122.0, 167.0]);
        assert_eq!(matmul(&a, &b, [1, 6, 1]), [212.0]);
    }

    /// The numbers of an f16 by their bits, from 0 to the largest.
    fn halves() -> impl Iterator<Item = f64> {
        (0..0x7c00u32).map(|bits| {
            let (exponent, fraction) = (bits >> 10, f64::from(bits & 0x3ff));
            match exponent {
                0 => fraction * (-24f64).exp2(),
                _ => (1024.0 + fraction) * (f64::from(exponent) - 25.0).exp2(),
            }
        })
    }

    #[test]
    fn a_number_is_rounded_to_the_nearest_of_16_bits() {
        let all: Vec<f64> = halves().collect();
        assert_eq!(all[all.len() - 1], 65_504.0);
        for (at, pair) in all.windows(2).enumerate() {
            let [below, above] = [pair[0], pair[1]];
            let (middle, little) = (f64::midpoint(below, above), (above - below) / 1e3);
            let even = if at % 2 == 0 { below } else { above };
            for sign in [1.0, -1.0] {
                assert_eq!(rounded(sign * below), sign * below);
                assert_eq!(rounded(sign * middle), sign * even, "{middle}");
                assert_eq!(rounded(sign * (middle - little)), sign * below);
                assert_eq!(rounded(sign * (middle + little)), sign * above);
            }
        }
        for beyond in [65_505.0, 65_520.0, 1e9, f64::from(f32::MAX)] {
            assert_eq!([rounded(beyond), rounded(-beyond)], [65_504.0, -65_504.0]);
        }
    }

    /// What a kernel might do instead: nothing, cut bits off, keep 8 bits, or round one factor alone.
    #[test]
    fn the_judge_sees_other_roundings() {
        let cut = |x: f64| {
            let near = rounded(x);
            if near.abs() > x.abs() {
                near - (near - x).signum() * near.abs() / 2048.0
            } else {
                near
            }
        };
        let eight = |x: f64| f64::from(f32::from_bits((x as f32).to_bits() & 0xffff_0000));
        let same = |x: f64| x;
        type Rounding<'a> = &'a dyn Fn(f64) -> f64;
        let wrong: [(Rounding, Rounding); 5] = [
            (&same, &same),
            (&cut, &cut),
            (&eight, &eight),
            (&rounded, &same),
            (&same, &rounded),
        ];
        let mut rng = Rng::new(7);
        for shape in [[1, 1, 1], [65, 3, 63], [127, 65, 129], [5, 3_000, 7]] {
            let [m, k, n] = shape;
            let mut random = |count: usize| -> Vec<f64> {
                (0..count).map(|_| f64::from(rng.normal() as f32)).collect()
            };
            let (a, b) = (random(m * k), random(k * n));
            let exact = mixed(&a, &b, shape);
            let each = |of: &[f64], by: Rounding| of.iter().map(|x| by(*x)).collect::<Vec<f64>>();
            let naive = plain(&each(&a, &rounded), &each(&b, &rounded), shape);
            for (at, (of_a, of_b)) in wrong.into_iter().enumerate() {
                let got = plain(&each(&a, of_a), &each(&b, of_b), shape);
                let verdict = verdict_with_factor(8.0, "rounding", &got, &naive, &exact);
                assert!(verdict.is_err(), "rounding {at} passes at {shape:?}");
            }
        }
    }

    #[test]
    fn sums_go_down_columns() {
        assert_eq!(sum_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2), [9.0, 12.0]);
    }

    /// With the factor that a GPU is judged with, at sizes beside those of tiles: what tests of kernels would see of a
    /// mistake.
    #[test]
    fn the_judge_sees_every_defect() {
        let mut rng = Rng::new(5);
        for shape in [[1, 1, 1], [65, 3, 63], [5, 3_000, 7], [127, 65, 129]] {
            let [m, k, n] = shape;
            let mut random = |count: usize| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>();
            let (a, b) = (random(m * k), random(k * n));
            let exact = matmul(&a, &b, shape);
            let naive = plain(&a, &b, shape);
            assert_eq!(
                verdict_with_factor(8.0, "plain", &naive, &naive, &exact),
                Ok(())
            );
            for defect in Defect::ALL
                .into_iter()
                .filter(|defect| defect.applies(shape))
            {
                let wrong: Vec<f32> = defect
                    .product(&a, &b, shape)
                    .iter()
                    .map(|x| *x as f32)
                    .collect();
                let verdict = verdict_with_factor(8.0, "defect", &wrong, &naive, &exact);
                assert!(verdict.is_err(), "{defect:?} passes at {shape:?}");
            }
        }
    }

    /// In f32, one after the other.
    fn plain(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f32> {
        let sum = |i: usize, j: usize| {
            (0..k).fold(0.0f32, |sum, at| {
                sum + a[i * k + at] as f32 * b[at * n + j] as f32
            })
        };
        (0..m * n).map(|at| sum(at / n, at % n)).collect()
    }
}
