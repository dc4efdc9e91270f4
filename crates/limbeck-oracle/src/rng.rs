//! Random numbers that are the same on every machine and in the browser.

/// xoshiro256++, seeded by splitmix64, as its authors advise (Blackman and Vigna, <https://prng.di.unimi.it>).
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A stream of its own for each seed; any seed will do, zero too.
    pub fn new(seed: u64) -> Self {
        let mut split = seed;
        Self {
            state: std::array::from_fn(|_| splitmix64(&mut split)),
        }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in [0, 1), from the upper 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of the standard normal distribution (Box and Muller; the second of the pair is discarded).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt(); // 1 - u is never 0
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A number in 0..n. The bias of the multiplication is below n / 2^64.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "no number is below 0; ask for n >= 1");
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_its_published_numbers() {
        let mut state = 1_234_567;
        let got: Vec<u64> = (0..3).map(|_| splitmix64(&mut state)).collect();
        assert_eq!(
            got,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn xoshiro_gives_the_numbers_of_the_reference_code() {
        let mut rng = Rng {
            state: [1, 2, 3, 4],
        };
        let got: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
        assert_eq!(
            got,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386
            ]
        );
    }

    #[test]
    fn seeds_differ_and_repeat() {
        assert_eq!(Rng::new(7).next_u64(), Rng::new(7).next_u64());
        assert_ne!(Rng::new(7).next_u64(), Rng::new(8).next_u64());
    }

    #[test]
    fn moments_and_ranges_are_right() {
        const N: usize = 20_000;
        let mut rng = Rng::new(1);
        let uniform: Vec<f64> = (0..N).map(|_| rng.uniform()).collect();
        let normal: Vec<f64> = (0..N).map(|_| rng.normal()).collect();
        let mean = |xs: &[f64]| xs.iter().sum::<f64>() / N as f64;
        assert!(uniform.iter().all(|x| (0.0..1.0).contains(x)));
        assert!((mean(&uniform) - 0.5).abs() < 0.01, "{}", mean(&uniform));
        assert!(mean(&normal).abs() < 0.03, "{}", mean(&normal));
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / N as f64;
        assert!((variance - 1.0).abs() < 0.05, "{variance}");

        let mut seen = [0usize; 3];
        (0..N).for_each(|_| seen[rng.below(3)] += 1);
        assert!(seen.iter().all(|&n| n.abs_diff(N / 3) < N / 50), "{seen:?}");
    }
}
