//! Colours of values, and the scales that they stand for.

use crate::Relation;

/// Red, green and blue.
pub type Rgb = [u8; 3];

/// Of what is not a number: grey, which is on no scale, so that it is not taken for a value.
pub const NO_NUMBER: Rgb = [128; 3];

/// Steps of a table.
const STEPS: usize = 256;

/// Colours from one end of a scale to the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Colours(Vec<Rgb>);

impl Colours {
    /// Between stops such as `#dcebf2`, evenly spaced. What is no such colour is left out; without any, all is black.
    pub fn between(stops: &[&str]) -> Self {
        let stops: Vec<Rgb> = stops.iter().filter_map(|stop| parse(stop)).collect();
        let last = stops.len().saturating_sub(1);
        let colour = |step: usize| {
            let at = step as f32 / (STEPS - 1) as f32 * last as f32;
            let low = (at as usize).min(last.saturating_sub(1));
            let part = at - low as f32;
            let (from, to) = (stops.get(low)?, stops.get(low + 1)?);
            Some(std::array::from_fn(|k| mix(from[k], to[k], part)))
        };
        Self(
            (0..STEPS)
                .map(|step| colour(step).unwrap_or_default())
                .collect(),
        )
    }

    /// The colour at a part of the scale from 0 to 1; what is not a number is grey.
    pub fn at(&self, part: f32) -> Rgb {
        if part.is_nan() {
            return NO_NUMBER;
        }
        self.0[(part.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize]
    }

    /// The colour of each value; `part` tells the place of a value on the scale.
    pub fn of(&self, values: &[f32], part: impl Fn(f32) -> f32) -> Vec<Rgb> {
        values.iter().map(|value| self.at(part(*value))).collect()
    }
}

fn mix(from: u8, to: u8, part: f32) -> u8 {
    (f32::from(from) + (f32::from(to) - f32::from(from)) * part).round() as u8
}

fn parse(colour: &str) -> Option<Rgb> {
    let digits = colour
        .trim()
        .strip_prefix('#')
        .filter(|digits| digits.len() == 6)?;
    let value = u32::from_str_radix(digits, 16).ok()?;
    let [_, r, g, b] = value.to_be_bytes();
    Some([r, g, b])
}

/// The stops of a theme, as a style sheet writes them.
#[derive(Clone, Copy, Debug)]
pub struct Stops {
    /// Of probabilities from 0 up: monotone in lightness, hence safe for every kind of colour vision.
    pub map: [&'static str; 9],
    /// Of differences: the student has less, as much, more. Blue and red, which differ for every kind of colour vision, with
    /// the background between them.
    pub difference: [&'static str; 3],
}

/// On white.
pub const LIGHT: Stops = Stops {
    map: [
        "#f8fafc", "#dcebf2", "#b0d6e4", "#79bdd3", "#489fc0", "#3479ab", "#36528f", "#33305f",
        "#15101f",
    ],
    difference: ["#1f66b8", "#f3f5f7", "#c0392b"],
};

/// On a dark page.
pub const DARK: Stops = Stops {
    map: [
        "#10161d", "#271f3d", "#3b3568", "#40498e", "#366da0", "#348fa7", "#3eb4ad", "#7ad6ae",
        "#def5e5",
    ],
    difference: ["#5aa2ff", "#1a222b", "#ff7767"],
};

/// All colours of a drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    /// Behind everything.
    pub page: Rgb,
    /// Headings, and what is chosen.
    pub ink: Rgb,
    /// Labels; its contrast to the page is at least 4.5.
    pub muted: Rgb,
    /// Lines around maps.
    pub line: Rgb,
    /// Of probabilities.
    pub sequential: Colours,
    /// Of differences.
    pub diverging: Colours,
}

impl Theme {
    /// On white.
    pub fn light() -> Self {
        Self {
            page: [255, 255, 255],
            ink: [0x15, 0x20, 0x2b],
            muted: [0x53, 0x61, 0x70],
            line: [0xdd, 0xe3, 0xe9],
            sequential: Colours::between(&LIGHT.map),
            diverging: Colours::between(&LIGHT.difference),
        }
    }

    /// On a dark page.
    pub fn dark() -> Self {
        Self {
            page: [0x15, 0x1c, 0x24],
            ink: [0xe8, 0xed, 0xf2],
            muted: [0x9d, 0xac, 0xbb],
            line: [0x2a, 0x35, 0x41],
            sequential: Colours::between(&DARK.map),
            diverging: Colours::between(&DARK.difference),
        }
    }
}

/// The greatest of what is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scales {
    /// Greatest probability.
    pub peak: f32,
    /// Greatest difference, of either sign.
    pub gap: f32,
    /// Greatest KL of a row, in nats.
    pub kl: f64,
}

impl Scales {
    /// Of a relation.
    pub fn of(relation: &Relation) -> Self {
        let most = |values: &[f32]| {
            let each = values.iter();
            each.fold(1e-6_f32, |most, value| most.max(value.abs()))
        };
        Self {
            peak: most(&relation.teacher).max(most(&relation.student)),
            gap: most(&relation.difference()),
            kl: relation.kl.iter().fold(1e-6, |most: f64, kl| most.max(*kl)),
        }
    }

    /// Scales that hold both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            peak: self.peak.max(other.peak),
            gap: self.gap.max(other.gap),
            kl: self.kl.max(other.kl),
        }
    }

    /// The place of a probability from 0 to the peak. Its square root: the mean of a row of 24 is 0.04, which a linear scale
    /// would leave blank beside a 1.
    pub fn probability(self) -> impl Fn(f32) -> f32 {
        // A clamp keeps what is not a number, which `max` would make 0.
        move |p| (p / self.peak).clamp(0.0, 1.0).sqrt()
    }

    /// The place of a difference; none is in the middle.
    pub fn difference(self) -> impl Fn(f32) -> f32 {
        move |d| 0.5 + d / self.gap / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_run_from_stop_to_stop() {
        let colours = Colours::between(&["#000000", "#ffffff", "#ff0000"]);
        assert_eq!((colours.at(0.0), colours.at(1.0)), ([0, 0, 0], [255, 0, 0]));
        assert_eq!(
            (colours.at(7.0), colours.at(f32::NAN)),
            ([255, 0, 0], NO_NUMBER)
        );
        assert!(colours.at(0.5).iter().all(|c| *c > 250));
        assert_eq!(colours.of(&[0.0], |v| v), [[0, 0, 0]]);
        assert_eq!(Colours::between(&["", "red"]).at(0.5), [0, 0, 0]);
    }

    #[test]
    fn more_is_always_darker_or_lighter() {
        let light =
            |c: Rgb| 0.2126 * f32::from(c[0]) + 0.7152 * f32::from(c[1]) + 0.0722 * f32::from(c[2]);
        for (stops, sign) in [(LIGHT, -1.0), (DARK, 1.0)] {
            let stops = stops
                .map
                .map(|stop| light(parse(stop).expect("a colour")) * sign);
            assert!(stops.is_sorted(), "{stops:?}");
        }
    }

    #[test]
    fn no_difference_is_in_the_middle() {
        let scales = Scales::of(&Relation::new(1, &[1.0], &[1.0]));
        assert_eq!((scales.difference())(0.0), 0.5);
        assert_eq!((scales.probability())(1.0), 1.0);
        assert!((scales.probability())(f32::NAN).is_nan());
        assert!((scales.difference())(f32::NAN).is_nan());
    }
}
