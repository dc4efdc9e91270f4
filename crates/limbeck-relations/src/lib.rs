//! The relations of one sentence, and the similarity of several: what teacher and student have, how far they are apart, and how
//! both are drawn.
//!
//! Numbers come in as a layer's taps or as (A, S, S) maps and go out as JSON, as a [`Drawing`] of plain shapes, as SVG or as an HTML page. A
//! drawing knows no backend: SVG is written here, other fronts walk through its [`Item`]s. Nothing here knows tensors,
//! files or a DOM, so that the command line, the report of a run and the page draw one picture from one place.
#![warn(missing_docs)]

mod carried;
mod colours;
mod drawing;
mod layers;
mod lines;
mod page;
mod png;
mod profile;
mod projections;
mod relation;
mod roles;
mod sheet;
mod similarity;
mod svg;
mod words;

pub use carried::{Carried, CarriedError, carried_bytes, fingerprint};
pub use colours::{Colours, DARK, LIGHT, Rgb, Scales, Stops, Theme};
pub use drawing::{Anchor, Curve, Drawing, Item, Pixels, Words};
pub use layers::{LayerCell, layer_cell};
pub use lines::{Lines, lines, token_at};
pub use page::page;
pub use png::{base64, from_base64, png, stored};
pub use profile::{LayerPair, PROFILED, ProbedLayer, Profile, profile_page, profile_sheet};
pub use projections::{Projections, ProjectionsError, Quantised};
pub use relation::{
    MapError, PairMaps, Reference, Relation, Relations, Token, farthest_first, kl_part, map, row_kl,
};
pub use roles::{Role, Sentence, Share};
pub use sheet::{Large, Map, View, fitted, pair, sheet};
pub use similarity::Similarity;
pub use svg::{svg, write_items};
pub use words::{capitalised, clip, columns, escape, is_right_to_left, number, visible};
