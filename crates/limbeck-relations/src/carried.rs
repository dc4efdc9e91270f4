//! Queries, keys and values of one sentence in a few kilobytes of text, so that a link can carry what was seen.
//!
//! The text is base64url (RFC 4648, without padding). Of the bytes all numbers are little endian:
//!
//! - `Lb`, the version (u8), and how many bytes there are in all (u32);
//! - the step (u64), A (u16), which of Q, K and V are there (bits 0 to 2 of a u8), and S (u16);
//! - each token: whether it is special (u8), the length of its text (u16), and the text in UTF-8;
//! - teacher, then student: the layer from 1, L, attention heads and H (u16 each), then the rows of each vector that is there, (S, H):
//!   a scale (f32) and H numbers (i8);
//! - FNV-1a (u32) of all bytes before.
//!
//! There is no compression: deflate saves 1 to 3 % of such numbers.

use limbeck_recipe::Vector;

use crate::png::{base64, from_base64};
use crate::projections::Projections;
use crate::relation::Token;

/// What the text begins with: `Lb` in base64.
const OURS: &str = "TGI";
/// The version that is written.
const VERSION: u8 = 1;
/// Bytes before the step.
const HEAD: usize = 7;

/// One sentence as both models see it, in one layer each.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// Steps that the student had taken.
    pub step: u64,
    /// A of the run.
    pub relation_heads: usize,
    /// The S tokens.
    pub tokens: Vec<Token>,
    /// The teacher, with [one layer](Projections::alone); its keys and values are as wide as its queries.
    pub teacher: Projections,
    /// The student, with one layer.
    pub student: Projections,
}

/// A text that is no [`Carried`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarriedError {
    /// Something else.
    #[error("what follows `#seen=` is not from a limbeck page; copy the link again")]
    Foreign,
    /// Another version.
    #[error(
        "the link holds data of version {0}, which is newer than this page's version {VERSION}; reload the page to update it"
    )]
    Newer(u8),
    /// The end is missing.
    #[error("the link is cut off after {0} bytes of its data; copy the whole link")]
    Truncated(usize),
    /// Changed on the way.
    #[error("the data of the link were changed on the way; copy the link again")]
    Damaged,
}

impl Carried {
    /// As text. Numbers of a row are rounded to 1/127 of the largest.
    pub fn text(&self) -> String {
        let vectors: Vec<Vector> = self.vectors();
        let mut bytes = vec![b'L', b'b', VERSION, 0, 0, 0, 0];
        bytes.extend(self.step.to_le_bytes());
        short(&mut bytes, self.relation_heads);
        bytes.push(vectors.iter().fold(0, |bits, v| bits | 1 << *v as u8));
        short(&mut bytes, self.tokens.len());
        for token in &self.tokens {
            bytes.push(token.special.into());
            short(&mut bytes, token.text.len());
            bytes.extend(token.text.as_bytes());
        }
        for model in [&self.teacher, &self.student] {
            let layer = model.only().unwrap_or_default();
            let hidden = model.hidden();
            for number in [layer, model.layers(), model.attention_heads(), hidden] {
                short(&mut bytes, number);
            }
            for vector in &vectors {
                let rows = model.vector(layer, *vector).chunks_exact(hidden.max(1));
                rows.for_each(|row| pack(&mut bytes, row));
            }
        }
        // The checksum comes behind.
        let length = bytes.len() as u32 + 4;
        bytes[3..HEAD].copy_from_slice(&length.to_le_bytes());
        let sum = fnv(&bytes);
        bytes.extend(sum.to_le_bytes());
        base64(&bytes)
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_")
    }

    /// Of such a text.
    ///
    /// # Errors
    /// [`CarriedError`]: it is something else, newer, cut off or damaged.
    pub fn read(text: &str) -> Result<Self, CarriedError> {
        if !text.starts_with(OURS) {
            return Err(CarriedError::Foreign);
        }
        let bytes = from_base64(text).ok_or(CarriedError::Damaged)?;
        match bytes.get(2) {
            Some(&VERSION) => {}
            Some(version) if *version > VERSION => return Err(CarriedError::Newer(*version)),
            Some(_) => return Err(CarriedError::Damaged),
            None => return Err(CarriedError::Truncated(bytes.len())),
        }
        let length = bytes.get(3..HEAD).and_then(|b| b.first_chunk::<4>());
        let length = length.map_or(usize::MAX, |b| u32::from_le_bytes(*b) as usize);
        if bytes.len() < length {
            return Err(CarriedError::Truncated(bytes.len()));
        }
        let whole = bytes.split_last_chunk::<4>();
        let whole = whole
            .filter(|(all, sum)| bytes.len() == length && fnv(all) == u32::from_le_bytes(**sum));
        let body = whole.and_then(|(all, _)| all.get(HEAD..));
        body.and_then(parsed).ok_or(CarriedError::Damaged)
    }

    /// Which vectors are there.
    pub fn vectors(&self) -> Vec<Vector> {
        let layer = self.teacher.only().unwrap_or_default();
        let all = Vector::ALL.into_iter();
        all.filter(|vector| self.teacher.holds(layer, *vector))
            .collect()
    }
}

/// Bytes of a [`Carried`] before they are text: of these tokens, the H of teacher and student, and so many vectors.
pub fn carried_bytes(tokens: &[Token], hidden: [usize; 2], vectors: usize) -> usize {
    let texts: usize = tokens.iter().map(|token| 3 + token.text.len()).sum();
    let rows: usize = hidden.iter().map(|hidden| 4 + hidden).sum();
    // Step, A, vectors and S; four numbers of each model; the checksum.
    HEAD + 13 + texts + 16 + vectors * tokens.len() * rows + 4
}

/// Tells sentences apart, by their tokens.
pub fn fingerprint(tokens: &[Token]) -> u32 {
    let texts = tokens.iter().map(|token| token.text.as_str());
    fnv(texts.collect::<Vec<_>>().join("\n").as_bytes())
}

fn short(bytes: &mut Vec<u8>, number: usize) {
    // No model, and no sentence that is drawn, has as many of anything.
    bytes.extend((number.min(usize::from(u16::MAX)) as u16).to_le_bytes());
}

/// A row with something in it that is not a finite number becomes one of NaN: it must be seen.
fn pack(bytes: &mut Vec<u8>, row: &[f32]) {
    let most = match row.iter().all(|v| v.is_finite()) {
        true => row.iter().fold(0.0_f32, |most, v| most.max(v.abs())),
        false => f32::NAN,
    };
    let scale = most / f32::from(i8::MAX);
    bytes.extend(scale.to_le_bytes());
    let code = |v: &f32| match scale > 0.0 {
        true => (v / scale).round() as i8,
        false => 0,
    };
    bytes.extend(row.iter().flat_map(|v| code(v).to_le_bytes()));
}

/// What is left of the bytes.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn short(&mut self) -> Option<usize> {
        Some(u16::from_le_bytes(self.take()?).into())
    }

    fn bytes(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn token(&mut self) -> Option<Token> {
        let [special] = self.take()?;
        let length = self.short()?;
        let text = std::str::from_utf8(self.bytes(length)?).ok()?;
        Some(Token {
            text: text.to_owned(),
            special: special != 0,
        })
    }

    fn model(&mut self, size: usize, there: u8) -> Option<Projections> {
        let (layer, layers) = (self.short()?, self.short()?);
        let (heads, hidden) = (self.short()?, self.short()?);
        let mut values = Vec::new();
        for vector in Vector::ALL {
            if there & 1 << vector as u8 == 0 {
                values.extend(std::iter::repeat_n(f32::NAN, size * hidden));
                continue;
            }
            for _ in 0..size {
                let scale = f32::from_le_bytes(self.take()?);
                let row = self.bytes(hidden)?.iter();
                values.extend(row.map(|b| f32::from(b.cast_signed()) * scale));
            }
        }
        Projections::of_layer(size, (heads, heads), (layer, layers), values)
    }
}

fn parsed(bytes: &[u8]) -> Option<Carried> {
    let mut rest = Rest(bytes);
    let step = u64::from_le_bytes(rest.take()?);
    let relation_heads = rest.short()?;
    let [there] = rest.take()?;
    let size = rest.short()?;
    let tokens = (0..size).map(|_| rest.token()).collect::<Option<_>>()?;
    let (teacher, student) = (rest.model(size, there)?, rest.model(size, there)?);
    let whole = rest.0.is_empty() && relation_heads > 0 && (1..8).contains(&there);
    whole.then_some(Carried {
        step,
        relation_heads,
        tokens,
        teacher,
        student,
    })
}

fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, b| {
        (sum ^ u32::from(*b)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Pair;

    use super::*;

    fn taps(size: usize, hidden: usize, layers: usize, by: f32) -> Projections {
        let layer = |l: usize| (0..3 * size * hidden).map(move |i| ((i + l) as f32 * by).sin());
        let layers = (0..layers).map(|l| layer(l).collect()).collect();
        Projections::new(size, 2, layers).expect("3 x S x H numbers")
    }

    /// Layer 3 of 4 of a teacher of 128, and layer 2 of 2 of a student of 64, on 16 tokens.
    fn example(vectors: &[Vector]) -> Carried {
        let token = |i: usize| Token {
            text: if i == 0 {
                "[CLS]".into()
            } else {
                format!("t\u{e9}{i}")
            },
            special: i == 0,
        };
        let (teacher, student) = (taps(16, 128, 4, 0.7), taps(16, 64, 2, 1.3));
        Carried {
            step: 1 << 33,
            relation_heads: 8,
            tokens: (0..16).map(token).collect(),
            teacher: teacher.alone(3, vectors).expect("layer 3"),
            student: student.alone(2, vectors).expect("layer 2"),
        }
    }

    #[test]
    fn what_a_link_carries_comes_back() {
        let was = example(&Vector::ALL);
        let text = was.text();
        let web = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        assert!(text.bytes().all(web), "{text}");
        let is = Carried::read(&text).expect("it was just written");
        assert_eq!((is.step, is.relation_heads), (1 << 33, 8));
        assert_eq!(is.tokens, was.tokens);
        let bytes = from_base64(&text).expect("base64url").len();
        assert_eq!(carried_bytes(&was.tokens, [128, 64], 3), bytes);
        assert_eq!((is.teacher.only(), is.teacher.layers()), (Some(3), 4));
        assert_eq!((is.student.only(), is.student.hidden()), (Some(2), 64));
        for (was, is, layer) in [
            (&was.teacher, &is.teacher, 3),
            (&was.student, &is.student, 2),
        ] {
            assert_eq!(was.attention_heads(), is.attention_heads());
            for pair in Pair::all() {
                let maps = [was, is].map(|taps| taps.map(layer, pair, 8).expect("a map"));
                let off = maps[0].iter().zip(&maps[1]).map(|(a, b)| (a - b).abs());
                let off = off.fold(0.0, f32::max);
                assert!(off < 2e-3, "{pair}: {off}");
            }
        }
        assert_eq!(
            is.text(),
            text,
            "a link that is passed on loses nothing more"
        );
    }

    #[test]
    fn a_part_of_the_vectors_is_smaller_and_the_rest_is_not_made_up() {
        let whole = example(&Vector::ALL).text().len();
        let part = example(&[Vector::K]).text();
        assert!(3 * part.len() < whole + 1000, "{} of {whole}", part.len());
        let is = Carried::read(&part).expect("it was just written");
        assert_eq!(is.vectors(), [Vector::K]);
        assert!(is.teacher.map(3, Pair::KK, 8).expect("a map")[0].is_finite());
        assert!(is.teacher.map(3, Pair::QK, 8).expect("a map")[0].is_nan());
        assert!(is.teacher.map(4, Pair::KK, 8).is_err(), "another layer");
    }

    #[test]
    fn what_is_not_whole_is_refused_in_a_sentence() {
        let text = example(&[Vector::Q]).text();
        for end in [3, 4, 9, 12, 40, text.len() - 1] {
            let error = Carried::read(&text[..end]).expect_err("it is cut off");
            assert!(
                matches!(error, CarriedError::Truncated(_)),
                "{end}: {error:?}"
            );
        }
        for at in [10, 60, text.len() / 2, text.len() - 2] {
            let other = if text.as_bytes()[at] == b'A' {
                "B"
            } else {
                "A"
            };
            let mut changed = text.clone();
            changed.replace_range(at..=at, other);
            assert!(Carried::read(&changed).is_err(), "{at}");
        }
        let damaged = CarriedError::Damaged;
        assert_eq!(Carried::read(&format!("{text})")), Err(damaged.clone()));
        assert_eq!(Carried::read(&format!("{text}AAAA")), Err(damaged));
        for foreign in ["", "relations", "eyJhIjoxfQ", "TG"] {
            assert_eq!(
                Carried::read(foreign),
                Err(CarriedError::Foreign),
                "{foreign}"
            );
        }
        // The third byte is the version: `TGIB` is 1, `TGIC` is 2.
        let newer = text.replacen("TGIB", "TGIC", 1);
        let error = Carried::read(&newer).expect_err("version 2");
        assert_eq!(error, CarriedError::Newer(2));
        for error in [
            error,
            CarriedError::Foreign,
            CarriedError::Truncated(7),
            CarriedError::Damaged,
        ] {
            let said = error.to_string();
            assert!(said.contains(';') && !said.contains('\n'), "{said}");
        }
    }

    /// With a right checksum, as only somebody who means it can write it.
    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let bytes = from_base64(&example(&[Vector::Q]).text()).expect("base64url");
        // Each of what says how much there is, and some of the numbers.
        let numbers = (200..bytes.len() - 4).step_by(53);
        for at in (HEAD..200).chain(numbers) {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            let end = changed.len() - 4;
            let sum = fnv(&changed[..end]);
            changed[end..].copy_from_slice(&sum.to_le_bytes());
            let text = base64(&changed).replace('+', "-").replace('/', "_");
            if let Ok(read) = Carried::read(text.trim_end_matches('=')) {
                assert!(
                    read.teacher.only().is_some() && read.student.only().is_some(),
                    "{at}"
                );
            }
        }
    }

    #[test]
    fn a_broken_row_stays_broken() {
        let mut values = vec![1.0; 3 * 2 * 4];
        values[5] = f32::INFINITY;
        let student = Projections::new(2, 2, vec![values]).expect("3 x 2 x 4 numbers");
        let token = |text: &str| Token {
            text: text.into(),
            special: false,
        };
        let carried = Carried {
            step: 0,
            relation_heads: 2,
            tokens: vec![token("a"), token("b")],
            teacher: taps(2, 8, 1, 0.3),
            student,
        };
        let is = Carried::read(&carried.text()).expect("it was just written");
        let layer = is.student.layer(1).expect("one layer");
        assert!(layer[4..8].iter().all(|v| v.is_nan()) && layer[..4] == [1.0; 4]);
    }

    #[test]
    fn sentences_are_told_apart() {
        let tokens = |texts: &[&str]| -> Vec<Token> {
            let token = |text: &&str| Token {
                text: (*text).into(),
                special: false,
            };
            texts.iter().map(token).collect()
        };
        let one = fingerprint(&tokens(&["ab", "c"]));
        assert_eq!(one, fingerprint(&tokens(&["ab", "c"])));
        assert_ne!(one, fingerprint(&tokens(&["a", "bc"])));
    }
}
