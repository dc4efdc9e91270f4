//! Random numbers that are the same on every machine and backend: initial weights, the order of lines and dropout come from
//! here, keyed by seed and place, so that a seed means one run and a resumed run needs no saved generator.

/// SplitMix64: 64 bits of state, passes BigCrush, three lines. Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014, with the constants of Vigna's public-domain `splitmix64.c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

/// 2^64 divided by the golden ratio, made odd: the step of SplitMix64.
const GOLDEN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// A generator with `seed` as its state.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator whose stream depends on every number of `keys` and on their order.
    pub fn keyed(keys: &[u64]) -> Self {
        let state = keys
            .iter()
            .fold(0, |state, key| mix(state ^ key).wrapping_add(GOLDEN_STEP));
        Self { state }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_STEP);
        mix(self.state)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A number in `0 .. bound`, each equally likely (numbers from the incomplete last round of `bound` are redrawn).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        let whole_rounds = u64::MAX - u64::MAX % bound;
        loop {
            let bits = self.next_u64();
            if bits < whole_rounds {
                return bits % bound;
            }
        }
    }

    /// Puts `items` into an order in which every permutation is equally likely (Fisher-Yates, from the end).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// The finaliser of SplitMix64 (variant 13 of Stafford): every input bit changes about half of the output bits.
pub fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
