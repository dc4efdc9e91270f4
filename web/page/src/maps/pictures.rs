//! The table of pictures. Each is one file here and one line in [`PICTURES`].

mod film;
mod heads;
mod layers;
mod lines;
mod maps;
mod sentences;

use leptos::prelude::*;

pub use self::film::FILM;
pub use self::layers::LAYERS;
pub use self::lines::LINES;
pub use self::maps::MAPS;
pub use self::sentences::of as sentences_of;

use self::heads::HEADS;
use self::sentences::SENTENCES;
use super::choices::check;
use super::picture::Picture;
use super::view::View;
use crate::live::live;

/// In the order of their buttons.
pub const PICTURES: [&Picture; 6] = [&MAPS, &LINES, &FILM, &LAYERS, &HEADS, &SENTENCES];

/// The picture of a key; the first if there is none.
pub fn picture(key: &str) -> &'static Picture {
    let found = PICTURES.iter().find(|picture| picture.key == key);
    found.unwrap_or(&PICTURES[0])
}

/// The buttons that choose a picture, and the order of heads where the picture has them.
pub fn switch(view: View) -> impl IntoView {
    let now = view.of(|choice| choice.picture);
    let button = move |picture: &'static Picture| {
        let key = picture.key;
        view! {
            <button type="button" id=format!("maps-{key}-view") aria-pressed=live(move || (now.get() == key).to_string())
                on:click=move |_| view.choose(|choice| choice.picture = key)>{picture.name}</button>
        }
    };
    view! {
        <div class="maps-choices">
            <div class="switch" role="group" aria-label="Picture">{PICTURES.map(button).into_iter().collect_view()}</div>
            <span hidden=live(move || !picture(now.get()).of_head)>
                {check(view, "sort heads by KL", |choice| choice.by_kl, |choice, on| choice.by_kl = on)}
            </span>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::maps::choice::Choice;

    #[test]
    fn every_picture_has_a_key_of_its_own_and_a_link() {
        let keys = PICTURES.map(|picture| picture.key);
        assert_eq!(BTreeSet::from(keys).len(), PICTURES.len());
        assert_eq!(keys[0], Choice::default().picture);
        for key in keys {
            let choice = Choice {
                picture: key,
                ..Choice::default()
            };
            assert_eq!(Choice::read(&choice.text(), &keys), (choice, vec![]));
            assert_eq!(picture(key).key, key);
        }
    }
}
