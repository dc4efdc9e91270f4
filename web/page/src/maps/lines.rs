//! Relations as lines from token to token, teacher and student side by side, in the grammar of BertViz.

use std::cell::Cell;
use std::rc::Rc;

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_relations::Relation;

use super::choices::check;
use super::picture::Ink;
use super::seen::Seen;
use super::view::{MOST_LINES, View};
use crate::chart::surface::{Redraw, Surface, watch};
use crate::state::page;

/// Height of a token.
const LINE: f64 = 20.0;
const TOP: f64 = 26.0;
/// Width below which the student is drawn below the teacher.
const NARROW: f64 = 560.0;
const GAP: f64 = 28.0;

/// A line from a token to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// From 0.
    pub from: usize,
    /// From 0.
    pub to: usize,
    /// Probability.
    pub p: f32,
}

/// The lines of the rows `from` of a map (S, S): of each row the `most` strongest of at least `least`. What `hidden` names is
/// left out on both sides.
pub fn lines(
    relation: &Relation,
    map: &[f32],
    from: impl Iterator<Item = usize>,
    (most, least): (usize, f32),
    hidden: impl Fn(usize) -> bool,
) -> Vec<Line> {
    let rows = from.filter(|row| !hidden(*row));
    rows.flat_map(|from| {
        let strongest = relation.strongest(map, from, most, &hidden);
        let shown = strongest
            .into_iter()
            .filter(|(to, p)| *p >= least && !hidden(*to));
        shown.map(move |(to, p)| Line { from, to, p })
    })
    .collect()
}

/// What the rows `from` give to each token together, as a share of their mass.
pub fn sums(map: &[f32], size: usize, from: &[usize]) -> Vec<f32> {
    let mut sums = vec![0.0; size];
    for row in from {
        let row = map.get(row * size..(row + 1) * size).unwrap_or_default();
        for (sum, p) in sums.iter_mut().zip(row) {
            *sum += p / from.len() as f32;
        }
    }
    sums
}

/// Where the two pictures are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    left: f64,
    top: f64,
    width: f64,
}

fn places(width: f64, size: usize) -> ([Place; 2], f64) {
    let tall = TOP + LINE * size as f64 + 10.0;
    let stacked = width < NARROW;
    let each = if stacked { width } else { (width - GAP) / 2.0 };
    let second = match stacked {
        true => (0.0, tall),
        false => (each + GAP, 0.0),
    };
    let place = |(left, top)| Place {
        left,
        top,
        width: each,
    };
    let height = if stacked { 2.0 * tall } else { tall };
    ([place((0.0, 0.0)), place(second)], height)
}

/// The token at a pixel.
fn token_at(x: f64, y: f64, width: f64, size: usize) -> Option<usize> {
    let (places, _) = places(width, size);
    places.iter().find_map(|place| {
        let row = ((y - place.top - TOP) / LINE).floor();
        let inside = (place.left..place.left + place.width).contains(&x);
        (inside && row >= 0.0 && row < size as f64).then_some(row as usize)
    })
}

/// Draws the lines of what is seen.
fn draw(canvas: &web_sys::HtmlCanvasElement, view: View, seen: &Seen, hovered: Option<usize>) {
    let Some(width) = canvas.parent_element().map(|p| f64::from(p.client_width())) else {
        return;
    };
    let (places, height) = places(width, seen.size());
    let Some(surface) = Surface::of(canvas, height) else {
        return;
    };
    let ink = Ink::of(canvas);
    let choice = view.choice.get_untracked();
    let relation = seen.relation(choice.head);
    let tokens = &seen.taught.tokens;
    let hidden = |token: usize| choice.no_special && tokens[token].special;
    let mut locked = choice.tokens.clone();
    locked.retain(|token| *token < seen.size());
    if let Some(token) = hovered.filter(|token| !locked.contains(token)) {
        locked.push(token);
    }
    let from: Vec<usize> = match locked.is_empty() {
        true => (0..seen.size()).collect(),
        false => locked.clone(),
    };
    let least = choice.over as f32 / 100.0;
    let maps = [
        (seen.first(), &relation.teacher),
        ("Student", &relation.student),
    ];
    let labels = seen.labels();
    for ((name, map), place) in maps.into_iter().zip(places) {
        let context = &surface.context;
        context.set_text_baseline("middle");
        context.set_text_align("left");
        context.set_font(&ink.palette.font(600, 13.0));
        context.set_fill_style_str(&ink.palette.ink);
        surface.text(name, place.left, place.top + 10.0);
        let column = (place.width * 0.3).min(110.0);
        let (start, end) = (place.left + column, place.left + place.width - column);
        let y = |token: usize| place.top + TOP + LINE * (token as f64 + 0.5);
        context.set_stroke_style_str(&ink.palette.pairs[0]);
        for line in lines(
            relation,
            map,
            from.iter().copied(),
            (choice.most, least),
            hidden,
        ) {
            let p = f64::from(line.p);
            // A faint line must be seen, too.
            context.set_global_alpha((0.2 + 0.8 * p.sqrt()).min(1.0));
            context.set_line_width(1.0 + 5.0 * p);
            context.begin_path();
            let bend = (end - start) * 0.4;
            context.move_to(start + 4.0, y(line.from));
            context.bezier_curve_to(
                start + bend,
                y(line.from),
                end - bend,
                y(line.to),
                end - 4.0,
                y(line.to),
            );
            context.stroke();
        }
        context.set_global_alpha(1.0);
        let sums = sums(map, seen.size(), &locked);
        for (token, label) in labels.iter().enumerate() {
            if hidden(token) {
                continue;
            }
            let chosen = locked.contains(&token);
            context.set_fill_style_str(&ink.palette.ink);
            context.set_font(&ink.palette.font(if chosen { 700 } else { 400 }, 12.0));
            context.set_text_align("right");
            // The errors of these calls are positions that are not numbers.
            let _ = context.fill_text_with_max_width(label, start - 4.0, y(token), column - 8.0);
            context.set_text_align("left");
            context.set_font(&ink.palette.font(400, 12.0));
            let _ = context.fill_text_with_max_width(label, end + 4.0, y(token), column - 8.0);
            if chosen {
                context.fill_rect(start - 2.0, y(token) - 7.0, 3.0, 14.0);
            }
            if !locked.is_empty() {
                // The sum of the locked rows, as a bar below the token.
                let length = f64::from(sums[token]) * (column - 8.0);
                context.set_fill_style_str(&ink.palette.pairs[0]);
                context.fill_rect(end + 4.0, y(token) + 7.0, length, 2.5);
            }
        }
    }
}

/// Lines from token to token, and what chooses them.
#[component]
pub fn Lines() -> impl IntoView {
    let page = page();
    let view = page.view;
    let (host, canvas) = (NodeRef::<Div>::new(), NodeRef::<Canvas>::new());
    let hovered = RwSignal::new(None::<usize>);
    let redraw = Redraw::new(move || {
        if let (Some(canvas), Some(seen)) = (canvas.get_untracked(), view.seen.get_untracked()) {
            draw(&canvas, view, &seen, hovered.get_untracked());
        }
    });
    let again = redraw.clone();
    Effect::new(move |_| {
        view.seen.track();
        view.choice.track();
        hovered.track();
        again.request();
    });
    watch(host, redraw);
    let at = move |event: &ev::PointerEvent| {
        let width = host.get_untracked().map_or(0, |host| host.client_width());
        let size = view.seen.get_untracked().map_or(0, |seen| seen.size());
        token_at(
            f64::from(event.offset_x()),
            f64::from(event.offset_y()),
            f64::from(width),
            size,
        )
    };
    let toggle = move |token: usize| {
        view.choose(
            |choice| match choice.tokens.iter().position(|t| *t == token) {
                Some(place) => {
                    choice.tokens.remove(place);
                }
                None => choice.tokens.push(token),
            },
        );
    };
    let cursor = Rc::new(Cell::new(0_usize));
    let press = move |event: ev::KeyboardEvent| {
        let Some(seen) = view.seen.get_untracked() else {
            return;
        };
        let last = seen.size().saturating_sub(1);
        let now = cursor.get().min(last);
        match event.key().as_str() {
            "ArrowDown" => cursor.set((now + 1).min(last)),
            "ArrowUp" => cursor.set(now.saturating_sub(1)),
            "Enter" => toggle(now),
            "Escape" => view.choose(|choice| choice.tokens.clear()),
            _ => return,
        }
        event.prevent_default();
        let token = cursor.get();
        hovered.set(Some(token));
        page.announce(strongest(
            &seen,
            view.choice.with_untracked(|c| c.head),
            token,
        ));
    };
    let choice = view.choice;
    let number = move |event: ev::Event| event_target_value(&event).parse::<usize>().ok();
    view! {
        <div class="maps-choices">
            <label>"Lines a token "
                <input type="range" min="1" max=MOST_LINES.to_string() prop:value=move || choice.with(|c| c.most.to_string())
                    on:input=move |event| if let Some(most) = number(event) { view.choose(|c| c.most = most) } />
                <output class="number">{move || choice.with(|c| c.most)}</output>
            </label>
            <label>"of at least "
                <input type="range" min="0" max="100" prop:value=move || choice.with(|c| c.over.to_string())
                    on:input=move |event| if let Some(over) = number(event) { view.choose(|c| c.over = over) } />
                <output class="number">{move || choice.with(|c| format!("{} %", c.over))}</output>
            </label>
            {check(view, "hide special tokens", |choice| choice.no_special, |choice, on| choice.no_special = on)}
            <button type="button" class="button quiet" hidden=move || choice.with(|c| c.tokens.is_empty()) on:click=move |_| view.choose(|c| c.tokens.clear())>"Unlock all tokens"</button>
        </div>
        <p class="hint">"Point at a token for its lines alone; click to lock it. Of several locked tokens the bars on the right show the sum."</p>
        <div class="maps-canvas" node_ref=host>
            <canvas node_ref=canvas id="maps-lines" tabindex="0" role="img"
                aria-label="Lines from token to token. Up and down go from token to token, Enter locks one, Escape frees all."
                on:pointermove=move |event| hovered.set(at(&event))
                on:pointerleave=move |_| hovered.set(None)
                on:click=move |event: ev::MouseEvent| {
                    let event: &ev::PointerEvent = wasm_bindgen::JsCast::unchecked_ref(&event);
                    if let Some(token) = at(event) { toggle(token) }
                }
                on:keydown=press
            ></canvas>
        </div>
    }
}

/// The strongest relations of a token, in words.
pub fn strongest(seen: &Seen, head: Option<usize>, token: usize) -> String {
    let relation = seen.relation(head);
    let labels = seen.labels();
    let of = |map: &[f32]| {
        let three = relation.strongest(map, token, 3, |_| false).into_iter();
        let named = three.map(|(to, p)| format!("{} {:.0} %", labels[to], 100.0 * p));
        named.collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}: {} {}; student {}",
        labels[token],
        seen.first().to_lowercase(),
        of(&relation.teacher),
        of(&relation.student)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation() -> Relation {
        let map = [0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0.4, 0.6, 0.0];
        Relation::new(3, &map, &map)
    }

    #[test]
    fn lines_are_the_strongest_above_a_threshold() {
        let relation = relation();
        let of = |most, least, hidden: fn(usize) -> bool| {
            let all = lines(&relation, &relation.teacher, 0..3, (most, least), hidden);
            all.iter()
                .map(|line| (line.from, line.to))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(1, 0.0, |_| false), [(0, 0), (1, 2), (2, 1)]);
        assert_eq!(of(3, 0.45, |_| false), [(0, 0), (1, 2), (2, 1)]);
        assert_eq!(of(3, 0.35, |token| token == 0), [(1, 2), (2, 1)]);
        assert_eq!(of(3, 0.9, |_| false), []);
        assert_eq!(of(3, 0.0, |_| true), []);
    }

    #[test]
    fn locked_tokens_are_summed() {
        let relation = relation();
        let sums = sums(&relation.teacher, 3, &[0, 1]);
        for (sum, expected) in sums.iter().zip([0.3, 0.2, 0.5]) {
            assert!((sum - expected).abs() < 1e-6);
        }
        assert_eq!(super::sums(&relation.teacher, 3, &[]), [0.0; 3]);
    }

    #[test]
    fn a_pixel_finds_its_token() {
        for width in [320.0, 1000.0] {
            let (places, height) = places(width, 5);
            for place in places {
                let y = place.top + TOP + 3.5 * LINE;
                assert_eq!(token_at(place.left + 5.0, y, width, 5), Some(3));
                assert!(place.left + place.width <= width + 1e-9 && y < height);
            }
            assert_eq!(token_at(5.0, 3.0, width, 5), None);
        }
    }
}
