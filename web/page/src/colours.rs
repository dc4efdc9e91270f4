//! Which of the nine colours of the style sheet, `--c0` to `--c8`, a part of the loss has.

use limbeck_recipe::{Pair, Part};

/// The colour of a pair, whatever else a run trains: those of a vector with itself first, which most runs have.
pub fn of_pair(pair: Pair) -> usize {
    let (own, mixed): (Vec<Pair>, Vec<Pair>) = Pair::all().into_iter().partition(|p| p.is_self());
    let mut all = own.into_iter().chain(mixed);
    all.position(|other| other == pair).unwrap_or_default()
}

/// The colour of each part of a run: parts that are no pair take what its pairs have left.
pub fn of_parts(parts: &[Part]) -> Vec<usize> {
    let own = |part: &Part| match part {
        Part::Relation(pair) => Some(of_pair(*pair)),
        _ => None,
    };
    let taken: Vec<usize> = parts.iter().filter_map(own).collect();
    let mut free = (0..9).filter(|colour| !taken.contains(colour)).cycle();
    let each = parts.iter().map(|part| own(part).or_else(|| free.next()));
    each.map(Option::unwrap_or_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_colour_in_every_run() {
        let all = [Pair::QQ, Pair::KK, Pair::VV].map(Part::Relation);
        assert_eq!(of_parts(&all), [0, 1, 2]);
        assert_eq!(of_parts(&all[2..]), [2], "V-V alone is not drawn as Q-Q");
        assert_eq!(
            of_parts(&[all[2], Part::Cosine, Part::Relation(Pair::QK)]),
            [2, 0, 3]
        );
        let pairs: Vec<Part> = Pair::all().into_iter().map(Part::Relation).collect();
        let mut colours = of_parts(&pairs);
        colours.sort_unstable();
        assert_eq!(colours, (0..9).collect::<Vec<_>>());
    }
}
