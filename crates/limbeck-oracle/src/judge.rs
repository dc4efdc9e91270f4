//! Is an f32 answer as good as f32 allows? The tolerance is earned from the plain formula in f32, never a constant.
//!
//! An answer may be twice as wrong as the plain formula in its worst element, plus a floor: four f32 roundings of the
//! largest exact value, and the smallest normal f32, because WGSL lets an implementation flush denormals to zero.
//! The rule is that of flash-attention's tests; unlike theirs the floor moves with the data, since our gradients are 1e-6.

/// How much more wrong than the naive answer an answer may be.
const FACTOR: f64 = 2.0;

/// `Err` says what is wrong with `got` and where; `naive` is the plain formula in f32, `exact` the oracle's answer.
///
/// # Errors
/// If `got` is not as good as `naive` allows; if any number of any argument is not finite; if the lengths differ or are 0,
/// because a comparison of nothing proves nothing.
pub fn verdict(name: &str, got: &[f32], naive: &[f32], exact: &[f64]) -> Result<(), String> {
    verdict_with_factor(FACTOR, name, got, naive, exact)
}

/// As [`verdict`], with `factor` times the naive error instead of twice. For another device's arithmetic use 8: WGSL
/// allows `exp` an error of 3 + 2|x| units in the last place.
///
/// # Errors
/// As [`verdict`].
pub fn verdict_with_factor(
    factor: f64,
    name: &str,
    got: &[f32],
    naive: &[f32],
    exact: &[f64],
) -> Result<(), String> {
    if got.is_empty() || got.len() != exact.len() || naive.len() != exact.len() {
        let (got, naive, exact) = (got.len(), naive.len(), exact.len());
        return Err(format!(
            "{name}: {got} numbers against {exact} exact and {naive} naive ones; need equal, at least 1"
        ));
    }
    let suspects = [
        ("the answer", first_bad(got)),
        ("the naive baseline", first_bad(naive)),
        ("the exact answer", first_bad(exact)),
    ];
    if let Some((whose, (at, value))) = suspects
        .into_iter()
        .find_map(|(whose, bad)| Some((whose, bad?)))
    {
        return Err(format!("{name}: {whose} is {value} at {at}"));
    }
    let (naive_error, _) = worst(naive, exact);
    let (error, at) = worst(got, exact);
    let bound = factor * naive_error + floor(exact);
    if error <= bound {
        return Ok(());
    }
    let (got, exact) = (got[at], exact[at]);
    Err(format!(
        "{name}: off by {error:.2e} at {at} (got {got:e}, exact {exact:e}), allowed {bound:.2e} (naive {naive_error:.2e})"
    ))
}

/// Panics with the reason unless [`verdict`] is favourable.
///
/// # Panics
/// If `got` is not as good as `naive` allows.
#[track_caller]
pub fn assert_as_good_as(name: &str, got: &[f32], naive: &[f32], exact: &[f64]) {
    assert_as_good_as_within(FACTOR, name, got, naive, exact);
}

/// Panics with the reason unless [`verdict_with_factor`] is favourable.
///
/// # Panics
/// If `got` is not as good as `factor` times the error of `naive` allows.
#[track_caller]
pub fn assert_as_good_as_within(
    factor: f64,
    name: &str,
    got: &[f32],
    naive: &[f32],
    exact: &[f64],
) {
    if let Err(reason) = verdict_with_factor(factor, name, got, naive, exact) {
        panic!("{reason}");
    }
}

/// |got - exact| / |exact| in the Euclidean norm, for f32 and f64 answers. Infinite where it is undefined: a number that
/// is not finite, lengths that differ, or an exact answer of zeros that is not met exactly.
pub fn relative_l2<T: Copy + Into<f64>>(got: &[T], exact: &[f64]) -> f64 {
    if got.len() != exact.len() {
        return f64::INFINITY;
    }
    let square = |x: f64| x * x;
    let off = got
        .iter()
        .zip(exact)
        .map(|(&got, exact)| square(got.into() - exact))
        .sum::<f64>()
        .sqrt();
    let size = exact.iter().map(|&x| square(x)).sum::<f64>().sqrt();
    match off / size {
        _ if off == 0.0 && size.is_finite() => 0.0,
        ratio if ratio.is_finite() => ratio,
        _ => f64::INFINITY,
    }
}

/// The smallest bound on the worst element, whatever the naive answer.
fn floor(exact: &[f64]) -> f64 {
    let largest = exact
        .iter()
        .fold(0.0, |largest: f64, x| largest.max(x.abs()));
    4.0 * f64::from(f32::EPSILON) * largest + f64::from(f32::MIN_POSITIVE)
}

/// Largest absolute difference and where it is. All numbers must be finite: `>` never sees a NaN.
fn worst(got: &[f32], exact: &[f64]) -> (f64, usize) {
    let mut worst = (0.0, 0);
    for at in 0..got.len() {
        let error = (f64::from(got[at]) - exact[at]).abs();
        if error > worst.0 {
            worst = (error, at);
        }
    }
    worst
}

fn first_bad<T: Copy + Into<f64>>(values: &[T]) -> Option<(usize, f64)> {
    values
        .iter()
        .map(|&x| x.into())
        .enumerate()
        .find(|(_, x): &(usize, f64)| !x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: [f64; 4] = [1.0, -2.0, 0.5, 4.0];
    const NAIVE: [f32; 4] = [1.0, -2.0, 0.501, 4.0];

    fn changed(at: usize, value: f32) -> [f32; 4] {
        let mut got = EXACT.map(|x| x as f32);
        got[at] = value;
        got
    }

    fn reason(got: &[f32], naive: &[f32], exact: &[f64]) -> String {
        verdict("case", got, naive, exact).expect_err("the judge should have objected")
    }

    #[test]
    fn twice_the_naive_error_passes_and_more_fails_at_its_place() {
        assert_eq!(
            verdict("case", &changed(1, -2.0019), &NAIVE, &EXACT),
            Ok(())
        );
        let reason = reason(&changed(1, -2.0025), &NAIVE, &EXACT);
        assert!(
            reason.starts_with(
                "case: off by 2.50e-3 at 1 (got -2.0025e0, exact -2e0), allowed 2.00e-3"
            ),
            "{reason}"
        );
        assert!(reason.ends_with("(naive 1.00e-3)"), "{reason}");
    }

    #[test]
    fn the_factor_widens_the_bound() {
        let got = changed(1, -2.0075);
        assert_eq!(
            verdict_with_factor(8.0, "case", &got, &NAIVE, &EXACT),
            Ok(())
        );
        assert!(verdict_with_factor(7.0, "case", &got, &NAIVE, &EXACT).is_err());
    }

    #[test]
    fn a_perfect_baseline_leaves_four_roundings_of_the_largest() {
        let naive = EXACT.map(|x| x as f32);
        assert_eq!(
            verdict(
                "case",
                &changed(2, 0.5 + 15.0 * f32::EPSILON),
                &naive,
                &EXACT
            ),
            Ok(())
        );
        assert!(
            verdict(
                "case",
                &changed(2, 0.5 + 17.0 * f32::EPSILON),
                &naive,
                &EXACT
            )
            .is_err()
        );
    }

    #[test]
    fn flushed_denormals_pass() {
        assert_eq!(verdict("case", &[0.0], &[1e-40], &[1e-40]), Ok(()));
        assert!(verdict("case", &[1e-37], &[0.0], &[0.0]).is_err());
    }

    #[test]
    fn nan_and_infinity_fail_wherever_they_are() {
        assert_eq!(
            reason(&changed(3, f32::NAN), &NAIVE, &EXACT),
            "case: the answer is NaN at 3"
        );
        assert_eq!(
            reason(&changed(0, f32::INFINITY), &NAIVE, &EXACT),
            "case: the answer is inf at 0"
        );
        assert_eq!(
            reason(&NAIVE, &changed(2, f32::NAN), &EXACT),
            "case: the naive baseline is NaN at 2"
        );
        let exact = [1.0, f64::NEG_INFINITY, 0.5, 4.0];
        assert_eq!(
            reason(&NAIVE, &NAIVE, &exact),
            "case: the exact answer is -inf at 1"
        );
        assert!(verdict("both alike", &[f32::NAN], &[f32::NAN], &[f64::NAN]).is_err());
    }

    #[test]
    fn lengths_must_agree_and_not_be_zero() {
        let short = &NAIVE[..3];
        let expected = "case: 3 numbers against 4 exact and 4 naive ones; need equal, at least 1";
        assert_eq!(reason(short, &NAIVE, &EXACT), expected);
        assert!(verdict("case", &NAIVE, short, &EXACT).is_err());
        assert!(verdict("case", &NAIVE, &NAIVE, &EXACT[..3]).is_err());
        assert!(verdict("case", &[], &[], &[]).is_err());
    }

    #[test]
    #[should_panic(expected = "case: off by")]
    fn the_assertion_panics_with_the_reason() {
        assert_as_good_as("case", &changed(1, -2.5), &NAIVE, &EXACT);
    }

    #[test]
    fn relative_l2_of_known_vectors() {
        assert_eq!(relative_l2(&[3.0f64, 4.5], &[3.0, 4.0]), 0.1);
        assert_eq!(relative_l2(&[3.0f32, 4.5], &[3.0, 4.0]), 0.1);
        assert_eq!(relative_l2(&[0.0f32], &[0.0]), 0.0);
        for (got, exact) in [
            (vec![1.0], vec![0.0]),
            (vec![f64::NAN], vec![1.0]),
            (vec![1.0], vec![1.0, 2.0]),
        ] {
            assert_eq!(
                relative_l2(&got, &exact),
                f64::INFINITY,
                "{got:?} against {exact:?}"
            );
        }
    }
}
