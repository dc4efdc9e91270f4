//! What the page opens with: whose run is shown, what happens in it now, and the picture of it.

use leptos::prelude::*;
use limbeck_protocol::RunState;

use super::controls::{Buttons, Notices, StateChip};
use super::figures::doing;
use super::hide::{Hidden, Part};
use super::measure::figure;
use crate::chart::FrontLoss;
use crate::live::{live, memo};
use crate::maps::{FrontPicture, Standing};
use crate::recorded::{self, Player};
use crate::state::{Page, page};
use crate::words::count;

/// Whose run is shown, what happens in it now, and the picture of it.
#[component]
pub fn Front(
    /// What of the page is hidden.
    hidden: Hidden,
) -> impl IntoView {
    let page = page();
    let standing = RwSignal::new(None::<Standing>);
    let title = move || match whose(page) {
        Whose::Recorded => "The recorded run",
        Whose::Own => "Your run",
        Whose::Nobody => "No run yet",
    };
    let now = memo(move || sentence(&Now::of(page, standing)));
    let (buttons, maps, charts) = (
        hidden.has(Part::Run),
        hidden.has(Part::Maps),
        hidden.has(Part::Charts),
    );
    view! {
        <section class="panel front" id="front" aria-labelledby="run-title">
            <div class="front-head">
                <div class="front-words">
                    <div class="run-head">
                        <h2 id="run-title">{live(title)}</h2>
                        <StateChip/>
                        <Player/>
                    </div>
                    <p class="now number" id="now">{now}</p>
                </div>
                <div hidden=buttons><Buttons/></div>
            </div>
            <Notices/>
            <div hidden=maps><FrontPicture standing/></div>
            <p class="hint front-key" hidden=maps>{live(move || key(page, standing))}</p>
            <div hidden=charts><FrontLoss/></div>
        </section>
    }
}

/// Whose run is shown.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Recorded,
    Own,
    Nobody,
}

fn whose(page: Page) -> Whose {
    let prepares = page.state.get() == RunState::Preparing;
    page.runs.with(|runs| match runs.last() {
        _ if prepares => Whose::Own,
        Some(run) if run.recorded => Whose::Recorded,
        Some(_) => Whose::Own,
        None => Whose::Nobody,
    })
}

/// What the sentence is about.
#[derive(Clone, Debug, Default)]
struct Now {
    state: Option<RunState>,
    /// Whether the run is to pause and has not yet.
    pausing: bool,
    /// What takes its time beside the steps.
    doing: Option<String>,
    /// Steps taken, of all.
    steps: Option<(u64, u64)>,
    standing: Option<Standing>,
}

impl Now {
    fn of(page: Page, standing: RwSignal<Option<Standing>>) -> Self {
        Self {
            state: Some(page.state.get()),
            pausing: page.pausing.get(),
            doing: doing(&page),
            steps: page.runs.with(|runs| {
                let run = runs.last()?;
                Some((run.step(), run.info.recipe.steps))
            }),
            standing: standing.get(),
        }
    }
}

/// One sentence that says what happens now.
fn sentence(now: &Now) -> String {
    if now.pausing {
        return "Pausing after this step.".into();
    }
    if now.state == Some(RunState::Preparing) {
        let doing = now.doing.as_deref().unwrap_or("reading teacher and texts");
        return format!("Your run is being prepared: {doing}.");
    }
    let Some((step, of)) = now.steps else {
        return "A recorded run will appear here; press \u{201c}Distil a student\u{201d} to start your own."
            .into();
    };
    let Some(standing) = &now.standing else {
        return format!("Step {} of {}.", count(step), count(of));
    };
    let when = match standing.step {
        0 => "Before the first step".to_owned(),
        last if last >= of => format!("All {} steps are done", count(of)),
        step => format!("Step {} of {}", count(step), count(of)),
    };
    let began = match standing.kl < standing.kl_at_first {
        true => format!(", down from {}", nats(standing.kl_at_first)),
        false => String::new(),
    };
    format!(
        "{when}: on this sentence, the student\u{2019}s {} relations are {} nats from its teacher\u{2019}s{began}.",
        standing.pair,
        nats(standing.kl)
    )
}

/// Three places, so that the sentence keeps its width.
fn nats(kl: f64) -> String {
    match kl {
        kl if kl.is_finite() && kl >= 0.0005 => format!("{kl:.3}"),
        kl => figure(kl),
    }
}

/// How the picture is read.
fn key(page: Page, standing: RwSignal<Option<Standing>>) -> String {
    let whose = match recorded::is_shown(page) {
        true => {
            " Recorded on a CPU and played back faster than it ran; your own run will replace it."
        }
        false => "",
    };
    let head = standing.with(|standing| {
        standing.as_ref().map_or_else(
            || "one relation head".to_owned(),
            |now| {
                format!(
                    "relation head {} of {}, where the student differed most from its teacher at the start",
                    now.head + 1,
                    now.heads
                )
            },
        )
    });
    format!(
        "The maps show {head}: how strongly each token (row) relates to every other. Red: the student relates them more strongly than its teacher; \
         blue: less strongly.{whose}"
    )
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Pair;

    use super::*;

    fn now(step: u64, kl: f64) -> Now {
        Now {
            state: Some(RunState::Running),
            steps: Some((step + 3, 400)),
            standing: Some(Standing {
                step,
                pair: Pair::QQ,
                head: 2,
                heads: 16,
                kl,
                kl_at_first: 0.28,
            }),
            ..Now::default()
        }
    }

    #[test]
    fn the_sentence_says_what_happens_now() {
        assert_eq!(
            sentence(&now(120, 0.09)),
            "Step 120 of 400: on this sentence, the student\u{2019}s Q-Q relations are 0.090 nats from its teacher\u{2019}s, down from 0.280."
        );
        assert!(sentence(&now(0, 0.28)).starts_with("Before the first step: on"));
        assert!(sentence(&now(400, 0.04)).starts_with("All 400 steps are done: on"));
        let mut waits = now(120, 0.09);
        waits.pausing = true;
        assert_eq!(sentence(&waits), "Pausing after this step.");
        let bare = Now {
            standing: None,
            ..now(120, 0.09)
        };
        assert_eq!(sentence(&bare), "Step 123 of 400.");
    }
}
