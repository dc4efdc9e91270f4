//! What a way to show the relations consists of.

use std::rc::Rc;

use leptos::prelude::AnyView;
use limbeck_relations::View as Sheet;

use super::choice::Choice;
use super::seen::Seen;
use super::stage::Stage;
use super::view::View;

/// A way to show the relations: an entry of [`super::pictures::PICTURES`].
pub struct Picture {
    /// Its name in a link (`view:lines`) and in the id of its button.
    pub key: &'static str,
    /// The label of its button.
    pub name: &'static str,
    /// Whether it shows one head, or the mean of all: then the small maps of all heads stand above it to choose from.
    pub of_head: bool,
    /// Whether it shows the chosen pair in the chosen layers, and so may show another run's student in the teacher's place.
    pub of_pair: bool,
    /// Whether teacher, student and difference with their crosshair stand above its body.
    pub panes: bool,
    /// What it shows, in words, of a head or of the mean: the heading.
    pub title: fn(&Seen, Option<usize>) -> String,
    /// The rest of it; built anew each time that it is chosen.
    pub body: fn(View, Rc<Stage>) -> AnyView,
    /// What files hold of it.
    pub files: Files,
}

/// What files hold of a picture.
#[derive(Clone, Copy)]
pub enum Files {
    /// The numbers of the pair that is seen; there are no images.
    Numbers,
    /// Those, and images that show this of them.
    Relations(fn(&Choice, &Seen) -> Sheet),
    /// The cosines of sentences, as numbers and images.
    Sentences,
}
