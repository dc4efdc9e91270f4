//! What is drawn of a sentence, beside PyTorch's goldens and the oracle.

use limbeck_oracle::relation::{Pair, Side, relation, row_kl, scores};
use limbeck_relations::{PairMaps, map};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::golden::Golden;

/// The first tokens of a sequence of (B, S, H): a sentence without padding.
fn sentence<'a>(golden: &'a Golden, name: &str, b: usize, length: usize) -> &'a [f64] {
    let [_, s, h] = golden.shape(name).try_into().unwrap();
    let start: usize = b * s * h;
    &golden.get(name)[start..start + length * h]
}

fn letter(vector: limbeck_oracle::relation::Vector) -> String {
    format!("{vector:?}").to_lowercase()
}

/// Maps are the oracle's but for roundings of f32. Their KL is the oracle's of the scores; averaged as in eq. 6 it is the loss that PyTorch computed.
#[wasm_bindgen_test(unsupported = test)]
fn maps_and_their_kl_are_those_of_the_oracle_and_of_pytorch() {
    let golden = Golden::parse(include_bytes!("../golden/relation.safetensors"));
    let (mut compared, mut worst, mut worst_map) = (0, 0.0_f64, 0.0_f64);
    for case in (0..).take_while(|n| golden.has(&format!("case{n}.heads"))) {
        let name = |part: &str| format!("case{case}.{part}");
        let a = golden.get(&name("heads"))[0] as usize;
        let lengths = golden.lengths(&name("lengths"));
        for pair in Pair::ALL {
            let mut loss = 0.0;
            for (b, length) in lengths.iter().copied().enumerate() {
                let tap = |who: &str, vector| {
                    sentence(
                        &golden,
                        &name(&format!("{who}.{}", letter(vector))),
                        b,
                        length,
                    )
                };
                let side = |who: &str| Side {
                    row: tap(who, pair.row),
                    column: tap(who, pair.column),
                };
                let width = |who: &str| golden.shape(&name(&format!("{who}.q")))[2] / a;
                let exact = ["teacher", "student"].map(|who| (side(who), width(who)));
                let [teacher, student] = ["teacher", "student"].map(|who| {
                    let tap = |vector| -> Vec<f32> {
                        tap(who, vector).iter().map(|x| *x as f32).collect()
                    };
                    map(&tap(pair.row), &tap(pair.column), length, a).unwrap()
                });
                for (got, exact) in [(&teacher, exact[0]), (&student, exact[1])] {
                    let exact = relation(exact.0, 1, length, a, exact.1, &[length]);
                    let gaps = got
                        .iter()
                        .zip(&exact)
                        .map(|(p, exact)| (f64::from(*p) - exact).abs());
                    worst_map = gaps.fold(worst_map, f64::max);
                }
                let key = pair.name().parse().unwrap();
                let maps = PairMaps::new(key, (a, length), teacher, student).unwrap();
                let [zt, zs] = exact.map(|(side, d)| scores(side, 1, length, a, d, &[length]));
                let rows = zt.chunks(length).zip(zs.chunks(length));
                for (got, (teacher, student)) in maps.kl().iter().zip(rows) {
                    worst = worst.max((got - row_kl(teacher, student)).abs());
                }
                loss += maps.kl().iter().sum::<f64>() / (a * length * lengths.len()) as f64;
            }
            let expected = golden.get(&name(&format!("loss.{}", pair.name())))[0];
            // Taps and probabilities are f32: each term of a row is off by a few roundings.
            assert!(
                (loss - expected).abs() < 1e-7,
                "case {case}, {}: {loss} and {expected}",
                pair.name()
            );
            compared += 1;
        }
    }
    assert!(compared >= 18, "only {compared} comparisons");
    assert!(
        worst < 1e-6 && worst_map < 1e-6,
        "off by {worst:.2e}, maps by {worst_map:.2e}"
    );
}
