//! Colours of the page's maps, and maps as images of one pixel a cell.

use limbeck_relations::{Colours, Pixels, Relation, Scales, fitted};
use web_sys::{Element, HtmlCanvasElement};

use super::paint::raster;
use crate::chart::plot::Palette;
use crate::chart::surface::css;

/// Colours of the maps.
#[derive(PartialEq)]
pub struct Ink {
    /// Of the page.
    pub palette: Palette,
    /// Of probabilities.
    pub sequential: Colours,
    /// Of differences.
    pub diverging: Colours,
    /// Of the crosshair and of the chosen head.
    pub focus: String,
}

impl Ink {
    /// As they are at an element.
    pub fn of(element: &Element) -> Self {
        let all = css(
            element,
            &[
                "--map-stops",
                "--map-minus",
                "--map-zero",
                "--map-plus",
                "--focus",
            ],
        );
        let stops: Vec<&str> = all[0].split_whitespace().collect();
        Self {
            palette: Palette::of(element),
            sequential: Colours::between(&stops),
            diverging: Colours::between(&[&all[1], &all[2], &all[3]]),
            focus: all[4].clone(),
        }
    }
}

/// A CSS gradient; `part` tells the place on the scale of each place in the gradient.
pub fn gradient(colours: &Colours, part: impl Fn(f32) -> f32) -> String {
    let stops = (0..13).map(|i| {
        let [r, g, b] = colours.at(part(i as f32 / 12.0));
        format!("rgb({r} {g} {b})")
    });
    let stops: Vec<_> = stops.collect();
    format!("linear-gradient(90deg,{})", stops.join(","))
}

/// Teacher, student and difference, one below the other in a picture of one pixel a cell, with at most `most` cells in a row.
pub fn three(
    relation: &Relation,
    most: usize,
    scales: Scales,
    ink: &Ink,
) -> Option<HtmlCanvasElement> {
    let part = scales.probability();
    let probability = |values: &[f32]| {
        let (_, values) = fitted(values, relation.size, most);
        ink.sequential.of(&values, &part)
    };
    let difference = relation.difference();
    let (columns, less) = fitted(&difference, relation.size, most);
    let less = ink.diverging.of(&less, scales.difference());
    let cells = [
        probability(&relation.teacher),
        probability(&relation.student),
        less,
    ];
    raster(&Pixels {
        columns,
        cells: cells.concat(),
    })
}

#[cfg(test)]
mod tests {
    use limbeck_relations::{DARK, LIGHT};

    use super::*;

    #[test]
    fn colours_become_gradients() {
        let colours = Colours::between(&["#000000", "#ffffff", "#ff0000"]);
        assert!(gradient(&colours, |v| v).starts_with("linear-gradient(90deg,rgb(0 0 0),"));
    }

    #[test]
    fn the_style_sheet_has_the_colours_of_all_our_pictures() {
        let sheet = include_str!("../../style/chart.css");
        for stops in [LIGHT, DARK] {
            let [minus, zero, plus] = stops.difference;
            let difference =
                format!("--map-minus: {minus}; --map-zero: {zero}; --map-plus: {plus};");
            assert!(sheet.contains(&difference), "{difference}");
            let map = format!("--map-stops: {};", stops.map.join(" "));
            assert!(sheet.contains(&map), "{map}");
        }
    }
}
