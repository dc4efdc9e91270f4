//! The three maps with one crosshair, and nothing else.

use leptos::prelude::IntoAny;
use limbeck_relations::View as Sheet;

use crate::maps::choice::{Choice, FIRST};
use crate::maps::picture::{Files, Picture};
use crate::maps::seen::Seen;

/// Teacher, student and difference of one head.
pub const MAPS: Picture = Picture {
    key: FIRST,
    name: "Maps",
    of_head: true,
    of_pair: true,
    panes: true,
    title: Seen::title,
    body: |_, _| ().into_any(),
    files: Files::Relations(sheet),
};

/// The maps, with a frame around the locked cell.
pub fn sheet(choice: &Choice, seen: &Seen) -> Sheet {
    Sheet {
        large: seen.large(choice.head),
        cell: choice.cell,
        lines: None,
    }
}
