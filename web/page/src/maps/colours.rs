//! Colours of values.

/// Steps of a table.
const STEPS: usize = 256;

/// Colours from one end of a scale to the other.
#[derive(Clone, Debug)]
pub struct Colours(Vec<[u8; 3]>);

impl Colours {
    /// Between stops such as `#dcebf2`, evenly spaced.
    pub fn between(stops: &[&str]) -> Self {
        let stops: Vec<[u8; 3]> = stops.iter().filter_map(|stop| parse(stop)).collect();
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

    /// The colour at a part of the scale from 0 to 1.
    pub fn at(&self, part: f32) -> [u8; 3] {
        self.0[((part.clamp(0.0, 1.0)) * (STEPS - 1) as f32) as usize]
    }

    /// Pixels of values; `part` tells the place of a value on the scale.
    pub fn pixels(&self, values: &[f32], part: impl Fn(f32) -> f32) -> Vec<u8> {
        let pixel = |value: &f32| {
            let [r, g, b] = self.at(part(*value));
            [r, g, b, 255]
        };
        values.iter().flat_map(pixel).collect()
    }

    /// A CSS gradient; `part` tells the place on the scale of each place in the gradient.
    pub fn gradient(&self, part: impl Fn(f32) -> f32) -> String {
        let stops = (0..13).map(|i| {
            let [r, g, b] = self.at(part(i as f32 / 12.0));
            format!("rgb({r} {g} {b})")
        });
        format!(
            "linear-gradient(90deg,{})",
            stops.collect::<Vec<_>>().join(",")
        )
    }
}

fn mix(from: u8, to: u8, part: f32) -> u8 {
    (f32::from(from) + (f32::from(to) - f32::from(from)) * part).round() as u8
}

fn parse(colour: &str) -> Option<[u8; 3]> {
    let digits = colour
        .trim()
        .strip_prefix('#')
        .filter(|digits| digits.len() == 6)?;
    let value = u32::from_str_radix(digits, 16).ok()?;
    let [_, r, g, b] = value.to_be_bytes();
    Some([r, g, b])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_run_from_stop_to_stop() {
        let colours = Colours::between(&["#000000", "#ffffff", "#ff0000"]);
        assert_eq!((colours.at(0.0), colours.at(1.0)), ([0, 0, 0], [255, 0, 0]));
        assert_eq!(colours.at(7.0), [255, 0, 0]);
        assert!(colours.at(0.5).iter().all(|c| *c > 250));
        assert_eq!(colours.pixels(&[0.0], |v| v), [0, 0, 0, 255]);
        assert!(
            colours
                .gradient(|v| v)
                .starts_with("linear-gradient(90deg,rgb(0 0 0),")
        );
    }

    #[test]
    fn no_colours_are_black() {
        assert_eq!(Colours::between(&["", "red"]).at(0.5), [0, 0, 0]);
    }
}
