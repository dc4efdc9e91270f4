//! What the parts of the form share: the page, the preset, and how an edit is made.

use std::time::Duration;

use leptos::prelude::*;
use limbeck_protocol::{Control, RunState};
use limbeck_recipe::{Config, DeviceChoice, Plan, Recipe};
use wasm_bindgen::JsValue;

use super::cost;
use super::fields::{FIELDS, Field, agree, field, leave_to_objective};
use super::link;
use super::presets::{self, first_choice};
use crate::live::memo;
use crate::state::Page;

/// Browsers refuse more than about a hundred changes of the address in half a minute.
const ADDRESS_PAUSE: Duration = Duration::from_millis(400);

/// A recipe, and the preset that it began from.
type Former = (Recipe, &'static str);

/// What the parts of the form share.
#[derive(Clone, Copy)]
pub struct Desk {
    /// The page.
    pub page: Page,
    /// Config of the teacher at hand.
    pub teacher: Memo<Option<Config>>,
    /// The recipe of the preset.
    pub base: Memo<Recipe>,
    /// Counts the times that all fields were set at once, so that each forgets what was typed into it.
    pub cleared: RwSignal<u32>,
    /// The edited recipe that a preset has replaced, to bring it back.
    pub replaced: RwSignal<Option<Former>>,
    /// Whether the last run tells a speed.
    is_measured: Memo<bool>,
}

/// The query of the page's address; empty outside of a browser.
pub fn search() -> String {
    if cfg!(target_arch = "wasm32") {
        window().location().search().unwrap_or_default()
    } else {
        String::new()
    }
}

/// Sets every field to a preset's; names of teacher, texts and output stay.
pub fn choose(page: Page, key: &'static str) {
    let Some(preset) = presets::preset(key) else {
        return;
    };
    page.preset.set(key);
    page.recipe.update(|recipe| {
        let names = (
            std::mem::take(&mut recipe.teacher),
            std::mem::take(&mut recipe.corpus),
        );
        *recipe = (preset.recipe)();
        (recipe.teacher, recipe.corpus) = names;
    });
}

impl Desk {
    /// For a page.
    pub fn new(page: Page) -> Self {
        let teacher = memo(move || {
            page.teacher.with(|teacher| {
                let json = teacher.as_ref()?.config.as_bytes();
                Config::parse("config.json", json).ok()
            })
        });
        let base = memo(move || {
            let preset = presets::preset(page.preset.get());
            (preset.unwrap_or(presets::presets()[0]).recipe)()
        });
        Self {
            page,
            teacher,
            base,
            cleared: RwSignal::new(0),
            replaced: RwSignal::new(None),
            is_measured: memo(move || {
                page.with_run(|run| run.steps.len() >= cost::LEAST_STEPS) == Some(true)
            }),
        }
    }

    /// Sets a field from what somebody wrote.
    pub fn write(&self, field: &Field, text: &str) -> Result<(), String> {
        let mut recipe = self.page.recipe.get_untracked();
        field.set(&mut recipe, text)?;
        if field.key == "objective" {
            leave_to_objective(&mut recipe);
        }
        self.put(field.key, recipe);
        Ok(())
    }

    /// Takes a recipe in which one field was edited.
    pub fn put(&self, key: &str, recipe: Recipe) {
        let control = Control::Field(key.into());
        self.solved(|other| *other == control);
        if key == "device" {
            self.solved(|other| *other == Control::Device);
        }
        self.replaced.set(None);
        self.page.recipe.set(recipe);
    }

    fn solved(&self, is: impl Fn(&Control) -> bool) {
        let problems = self.page.problems;
        if problems.with_untracked(|all| all.iter().any(|p| is(&p.control))) {
            problems.update(|all| all.retain(|p| !is(&p.control)));
        }
    }

    /// Everything wrong with a field; reactive.
    pub fn complaints(&self, field: &Field) -> Vec<String> {
        let mut texts = self.page.problems_of(&Control::Field(field.key.into()));
        let mut add = |more: Vec<String>| {
            for text in more {
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
        };
        add(self.page.mistakes_of(field.key));
        match field.key {
            "student.hidden" => {
                add(self.page.mistakes_of("student"));
                add(self.too_large().into_iter().collect());
            }
            "device" => {
                add(self.page.problems_of(&Control::Device));
                add(self.no_gpu().into_iter().collect());
            }
            _ => {}
        }
        texts
    }

    fn too_large(&self) -> Option<String> {
        let engine = self.page.engine.get();
        self.page.plan.with(|plan| {
            let plan = plan.as_ref()?.as_ref().ok()?;
            let on_gpu = cost::on_gpu(engine.as_ref(), plan.recipe.device);
            cost::too_large(plan, engine.as_ref(), on_gpu)
        })
    }

    fn no_gpu(&self) -> Option<String> {
        let device = self.page.recipe.with(|recipe| recipe.device);
        let engine = self
            .page
            .engine
            .get()
            .filter(|_| device == DeviceChoice::Gpu)?;
        match engine.adapter {
            None => Some("there is no GPU here: choose the CPU, or automatic".into()),
            Some(adapter) if adapter.software => Some(format!(
                "`{}` is a software GPU; the CPU backend is faster",
                adapter.name
            )),
            Some(_) => None,
        }
    }

    /// How many fields differ from the preset; reactive.
    pub fn changes(&self) -> usize {
        let base = self.base.get();
        let differs = |recipe: &Recipe| {
            let of = |field: &&Field| field.text(recipe) != field.text(&base);
            FIELDS.iter().filter(of).count()
        };
        self.page.recipe.with(differs)
    }

    /// Takes a preset in place of what was edited, which can be brought back.
    pub fn take_preset(&self, key: &'static str) {
        let changed = untrack(|| self.changes()) > 0;
        let former = (
            self.page.recipe.get_untracked(),
            self.page.preset.get_untracked(),
        );
        choose(self.page, key);
        self.clear();
        self.replaced.set(changed.then_some(former));
    }

    /// Sets every field to the preset's.
    pub fn reset_all(&self) {
        self.take_preset(self.page.preset.get_untracked());
    }

    /// Brings back what a preset replaced.
    pub fn undo(&self) {
        let Some((mut recipe, preset)) = self.replaced.get_untracked() else {
            return;
        };
        self.page.recipe.with_untracked(|now| {
            recipe.teacher.clone_from(&now.teacher);
            recipe.corpus.clone_from(&now.corpus);
        });
        self.page.preset.set(preset);
        self.page.recipe.set(recipe);
        self.clear();
        self.replaced.set(None);
    }

    fn clear(&self) {
        self.solved(|control| matches!(control, Control::Field(key) if field(key).is_some()));
        self.cleared.update(|times| *times += 1);
    }

    /// What to know while a run goes on with another recipe; reactive.
    pub fn differs_from_run(&self) -> Option<&'static str> {
        let active = matches!(
            self.page.state.get(),
            RunState::Preparing | RunState::Running | RunState::Paused
        );
        self.page.begun.track();
        let other = self.page.recipe.with(|recipe| {
            self.page.with_run_untracked(|run| {
                let theirs = &run.info.recipe;
                let inputs = (&theirs.teacher, &theirs.corpus);
                !agree(theirs, recipe) || inputs != (&recipe.teacher, &recipe.corpus)
            })
        });
        (active && other == Some(true)).then_some(
            "The current run keeps the recipe that it started with; your changes apply to the next run.",
        )
    }

    /// The plan and the speed that is known or assumed for it; reactive.
    pub fn speed(&self, plan: &Plan) -> cost::Speed {
        let engine = self.page.engine.get();
        let on_gpu = cost::on_gpu(engine.as_ref(), plan.recipe.device);
        // As the last steps were when the run did something else: not each of them makes another estimate.
        self.page.state.track();
        self.is_measured.track();
        let known = self.page.runs.with_untracked(|runs| {
            let like = |run: &&crate::state::RunLog| {
                !run.recorded
                    && run.info.on_gpu == on_gpu
                    && run.info.recipe.teacher == plan.recipe.teacher
            };
            let run = runs.iter().rev().filter(like);
            run.filter_map(|run| cost::measured(&run.info, &run.steps, &plan.teacher))
                .next()
        });
        known.unwrap_or_else(|| cost::guess(engine.as_ref(), on_gpu))
    }

    /// Writes each edit into the page's address; everything else of the address stays.
    pub fn keep_address(self) {
        let page = self.page;
        let query = move || {
            page.recipe
                .with(|recipe| link::query(recipe, page.preset.get()))
        };
        let waiting = StoredValue::new(None::<TimeoutHandle>);
        Effect::new(move |before: Option<String>| {
            let now = query();
            if before.is_some_and(|before| before != now) {
                if let Some(handle) = waiting.get_value() {
                    handle.clear();
                }
                let later = set_timeout_with_handle(move || write_address(page), ADDRESS_PAUSE);
                waiting.set_value(later.ok());
            }
            now
        });
    }
}

fn write_address(page: Page) {
    let preset = page.preset.get_untracked();
    let recipe = page.recipe.get_untracked();
    let search = search();
    // The preset that the page chose by itself is not asked for by the address: another device may get another.
    let own_choice = [true, false].map(first_choice).contains(&preset);
    let untouched = presets::preset(preset).is_some_and(|p| agree(&recipe, &(p.recipe)()));
    if !link::holds_recipe(&search) && own_choice && untouched {
        return;
    }
    let location = window().location();
    let path = location.pathname().unwrap_or_default();
    let hash = location.hash().unwrap_or_default();
    let address = format!("{path}{}{hash}", link::replaced(&search, &recipe, preset));
    let Ok(history) = window().history() else {
        return;
    };
    // A page opened from a file has no address of its own, and works without.
    let state = history.state().unwrap_or(JsValue::NULL);
    history
        .replace_state_with_url(&state, "", Some(&address))
        .unwrap_or_default();
}
