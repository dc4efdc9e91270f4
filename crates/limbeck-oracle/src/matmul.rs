//! Matrix multiplication.

/// a (M, K) times b (K, N): (M, N), row after row.
///
/// # Panics
/// If the lengths are not those of the shape.
pub fn matmul(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    assert_eq!(
        (a.len(), b.len()),
        (m * k, k * n),
        "lengths of ({m}, {k}) and ({k}, {n})"
    );
    let cell = |i: usize, j: usize| (0..k).map(|at| a[i * k + at] * b[at * n + j]).sum();
    (0..m * n).map(|at| cell(at / n, at % n)).collect()
}

#[cfg(test)]
mod tests {
    use super::matmul;

    #[test]
    fn of_two_small_matrices() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [7.0, 10.0, 8.0, 11.0, 9.0, 12.0];
        assert_eq!(matmul(&a, &b, [2, 3, 2]), [50.0, 68.0, 122.0, 167.0]);
        assert_eq!(matmul(&a, &b, [1, 6, 1]), [212.0]);
    }
}
