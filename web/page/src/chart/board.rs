//! The four charts together: what they draw of the runs, and the crosshair that they share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use leptos::html::{Canvas, Div};
use leptos::prelude::*;

use super::differences::differences;
use super::plot::{Curve, DASHES, Frame, Palette, Plot, dot, draw};
use super::scale::{grouped, number};
use super::series::Series;
use super::surface::{Redraw, Surface};
use crate::colours;
use crate::live::effect;
use crate::state::{Page, RunLog};

/// Width below which the large chart is lower.
const NARROW: i32 = 560;
/// Height of a small chart.
const SMALL: f64 = 116.0;
/// Name of the weighted sum of the parts.
pub const SUM: &str = "sum";

/// What the reader has chosen to see.
#[derive(Clone, Copy)]
pub struct View {
    /// Logarithmic loss.
    pub log: RwSignal<bool>,
    /// Values are smoothed over about 2 to the power of this.
    pub smoothing: RwSignal<u32>,
    /// Lines of the present run that are off, by name.
    pub hidden: RwSignal<BTreeSet<String>>,
    /// Earlier runs that are off, by [`key`].
    pub hidden_runs: RwSignal<BTreeSet<u64>>,
    /// The step under the crosshair.
    pub cursor: RwSignal<Option<f64>>,
    /// The numbers under the crosshair, or the last ones.
    pub readout: RwSignal<Readout>,
    /// Last learning rate, gradient norm, tokens a second.
    pub latest: RwSignal<[String; 3]>,
}

impl View {
    /// Everything on, linear, smoothed over 8 steps.
    pub fn new() -> Self {
        Self {
            log: RwSignal::new(false),
            smoothing: RwSignal::new(3),
            hidden: RwSignal::default(),
            hidden_runs: RwSignal::default(),
            cursor: RwSignal::new(None),
            readout: RwSignal::default(),
            latest: RwSignal::default(),
        }
    }

    /// Reads all that a drawing depends on, so that an effect runs when it changes.
    pub fn track(&self) {
        self.log.track();
        self.smoothing.track();
        self.hidden.track();
        self.hidden_runs.track();
    }

    fn over(&self) -> f64 {
        f64::from(1_u32 << self.smoothing.get_untracked())
    }
}

/// The numbers of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readout {
    /// Such as `step 1,200`.
    pub title: String,
    /// Each line.
    pub rows: Vec<Row>,
    /// Where the crosshair is, in pixels from the left of the large chart, and the width of that.
    pub place: Option<(f64, f64)>,
    /// How far along the run the crosshair is, in percent; none where it is away, and the numbers are the newest.
    pub percent: Option<usize>,
}

/// One line of a readout.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is drawn.
    pub name: String,
    /// CSS colour of its line, if that is in the large chart.
    pub colour: Option<String>,
    /// Dashes of its line, for SVG.
    pub dash: String,
    /// The value.
    pub value: String,
}

impl Readout {
    /// As the text of a chart's value: of the large chart, which is the first, all numbers, of a small one its own. Without a crosshair
    /// it names no number: a screen reader that rests there would read each step of a run.
    pub fn text(&self, sheet: usize) -> String {
        if self.title.is_empty() {
            return "no step yet".to_owned();
        }
        if self.percent.is_none() {
            return "the newest step".to_owned();
        }
        // The last three rows are those of the small charts.
        let own = (self.rows.len() + sheet).saturating_sub(4);
        let rows = match sheet {
            0 => &self.rows[..],
            _ => self.rows.get(own..=own).unwrap_or_default(),
        };
        let rows = rows.iter().map(|row| format!("{} {}", row.name, row.value));
        format!("{}: {}", self.title, rows.collect::<Vec<_>>().join(", "))
    }
}

/// A line of the present run.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name of a part of the loss, or [`SUM`].
    pub name: String,
    /// Which part: its place among the run's, and that of its colour.
    pub part: Option<(usize, usize)>,
}

impl Entry {
    /// The lines of a run: the sum first, unless it is the only part's.
    pub fn of(run: &RunLog) -> Vec<Self> {
        let parts = &run.info.parts;
        let each = parts.iter().zip(colours::of_parts(parts)).enumerate();
        let each = each.map(|(i, (part, colour))| Self {
            name: part.to_string(),
            part: Some((i, colour)),
        });
        let sum = (parts.len() != 1).then(|| Self {
            name: SUM.into(),
            part: None,
        });
        sum.into_iter().chain(each).collect()
    }

    /// Its colour in CSS.
    pub fn css(&self) -> String {
        self.part.map_or_else(
            || "var(--ink)".into(),
            |(_, colour)| format!("var(--c{colour})"),
        )
    }

    /// Its dashes.
    pub fn dash(&self) -> &'static [f64] {
        self.part.map_or(&[], |(_, colour)| DASHES[colour])
    }

    /// Its dashes in SVG.
    pub fn svg_dash(&self) -> String {
        self.dash()
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A run before the present one.
#[derive(Clone, Debug, PartialEq)]
pub struct Earlier {
    /// See [`key`].
    pub key: u64,
    /// A letter.
    pub tag: String,
    /// What differs from the present recipe.
    pub words: String,
}

impl Earlier {
    /// All of them, oldest first.
    pub fn of(runs: &[RunLog]) -> Vec<Self> {
        let Some((present, before)) = runs.split_last() else {
            return Vec::new();
        };
        let each = before.iter().zip('a'..).map(|(run, tag)| Self {
            key: key(run),
            tag: tag.to_string(),
            words: differences(&present.info, &run.info),
        });
        each.collect()
    }
}

/// Tells runs apart, by recipe and first loss.
fn key(run: &RunLog) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{:?}", run.info.recipe).hash(&mut hasher);
    run.steps
        .first()
        .map(|step| step.loss.to_bits())
        .hash(&mut hasher);
    hasher.finish()
}

/// A chart: the lines, and above them the crosshair.
#[derive(Clone, Copy, Default)]
pub struct Sheet {
    /// The lines.
    pub lines: NodeRef<Canvas>,
    /// The crosshair.
    pub cross: NodeRef<Canvas>,
}

/// The charts.
pub struct Board {
    page: Page,
    view: View,
    host: NodeRef<Div>,
    sheets: [Sheet; 4],
    earlier: Memo<Vec<Earlier>>,
    series: RefCell<Vec<Series>>,
    frames: Cell<[Option<Frame>; 4]>,
    /// Whether the crosshair is drawn.
    crossed: Cell<bool>,
}

impl Board {
    /// Draws on these sheets: loss, learning rate, gradient norm, tokens a second.
    pub fn new(
        page: Page,
        view: View,
        host: NodeRef<Div>,
        sheets: [Sheet; 4],
        earlier: Memo<Vec<Earlier>>,
    ) -> Self {
        Self {
            page,
            view,
            host,
            sheets,
            earlier,
            series: RefCell::default(),
            frames: Cell::default(),
            crossed: Cell::default(),
        }
    }

    /// Draws some of the charts anew; with the last of them, the crosshair and the numbers.
    fn draw(&self, some: Range<usize>) {
        let are_last = some.end == self.sheets.len();
        let Some(host) = self.host.get_untracked() else {
            return;
        };
        let palette = Palette::of(&host);
        let height = if host.client_width() < NARROW {
            250.0
        } else {
            320.0
        };
        self.page.runs.with_untracked(|runs| {
            let mut all = self.series.borrow_mut();
            Series::follow(&mut all, runs, self.view.over());
            let plots = self.plots(runs, &all, &palette, height);
            let mut frames = self.frames.get();
            for i in some {
                let canvas = self.sheets[i].lines.get_untracked();
                let drawn = canvas
                    .zip(plots.get(i))
                    .and_then(|(canvas, plot)| draw(&canvas, plot, &palette));
                frames[i] = drawn;
            }
            self.frames.set(frames);
            if !are_last {
                return;
            }
            let latest = all.last().map(|series| {
                [&series.rate, &series.norm, &series.speed].map(|line| {
                    line.smooth
                        .last()
                        .map_or_else(String::new, |v| number(f64::from(*v)))
                })
            });
            self.view.latest.set(latest.unwrap_or_default());
        });
        if are_last {
            self.cross_all(&palette);
        }
    }

    fn plots<'a>(
        &self,
        runs: &[RunLog],
        all: &'a [Series],
        palette: &'a Palette,
        height: f64,
    ) -> Vec<Plot<'a>> {
        let (Some(run), Some(series)) = (runs.last(), all.last()) else {
            return Vec::new();
        };
        let earlier = self.shown_earlier();
        let mut loss = Vec::new();
        for (place, before) in &earlier {
            if !all[*place].steps.is_empty() {
                loss.push(earlier_curve(before, &all[*place], palette));
            }
        }
        loss.extend(self.present_curves(run, series, palette));
        let held = run
            .evaluations
            .iter()
            .map(|evaluation| evaluation.step as f64);
        let ends = earlier
            .iter()
            .filter_map(|(i, _)| all[*i].steps.last().copied());
        let last = series
            .steps
            .last()
            .copied()
            .into_iter()
            .chain(ends)
            .chain(held)
            .fold(2.0, f64::max);
        let small = [&series.rate, &series.norm, &series.speed].map(|line| Plot {
            curves: vec![Curve {
                label: String::new(),
                note: String::new(),
                steps: &series.steps,
                raw: (line.raw != line.smooth).then_some(&line.raw),
                main: &line.smooth,
                colour: &palette.pairs[7],
                width: 1.6,
                dash: &[],
                alpha: 1.0,
                dots: Vec::new(),
            }],
            log: false,
            height: SMALL,
            ticks: 3,
            range: (0.0, series.steps.last().copied().unwrap_or(2.0).max(2.0)),
        });
        let loss = Plot {
            curves: loss,
            log: self.view.log.get_untracked(),
            height,
            ticks: 5,
            range: (0.0, last),
        };
        std::iter::once(loss).chain(small).collect()
    }

    /// Those that are on, with their place among the runs.
    fn shown_earlier(&self) -> Vec<(usize, Earlier)> {
        let hidden = self.view.hidden_runs.get_untracked();
        let all = self.earlier.get_untracked().into_iter().enumerate();
        all.filter(|(_, run)| !hidden.contains(&run.key)).collect()
    }

    fn shown_entries(&self, run: &RunLog) -> Vec<Entry> {
        let hidden = self.view.hidden.get_untracked();
        let all = Entry::of(run).into_iter();
        all.filter(|entry| !hidden.contains(&entry.name)).collect()
    }

    fn present_curves<'a>(
        &self,
        run: &RunLog,
        series: &'a Series,
        palette: &'a Palette,
    ) -> Vec<Curve<'a>> {
        let smooth = self.view.smoothing.get_untracked() > 0;
        let entries = self.shown_entries(run).into_iter();
        let curve = |entry: Entry| {
            let line = entry.part.map_or(&series.loss, |(i, _)| &series.parts[i].1);
            let dots = run.evaluations.iter().filter_map(|evaluation| {
                let part = run.info.parts.get(entry.part?.0)?;
                let value = evaluation.parts.get(part)?;
                Some((evaluation.step as f64, *value))
            });
            Curve {
                note: String::new(),
                steps: &series.steps,
                raw: smooth.then_some(&line.raw),
                main: &line.smooth,
                colour: entry
                    .part
                    .map_or(&palette.ink, |(_, colour)| &palette.pairs[colour]),
                width: if entry.part.is_some() { 1.8 } else { 2.2 },
                dash: entry.dash(),
                alpha: 1.0,
                dots: dots.collect(),
                label: entry.name,
            }
        };
        entries.map(curve).collect()
    }

    /// Draws the crosshair and fills the readout.
    fn draw_cross(&self) {
        let Some(host) = self.host.get_untracked() else {
            return;
        };
        self.cross_all(&Palette::of(&host));
    }

    fn cross_all(&self, palette: &Palette) {
        let all = self.series.borrow();
        let cursor = self.view.cursor.get_untracked();
        let at = all
            .last()
            .and_then(|series| cursor.and_then(|x| series.nearest(x)));
        for (i, sheet) in self.sheets.iter().enumerate() {
            let (Some(canvas), Some(frame)) = (sheet.cross.get_untracked(), self.frames.get()[i])
            else {
                continue;
            };
            if at.is_none() && !self.crossed.get() {
                // There is nothing to wipe off.
                continue;
            }
            let Some(surface) = Surface::of(&canvas, frame.height) else {
                continue;
            };
            if let (Some(series), Some(at)) = (all.last(), at) {
                self.cross(&surface, &frame, palette, (i, series, at));
            }
        }
        self.crossed.set(at.is_some());
        self.read(&all, at);
    }

    fn cross(
        &self,
        surface: &Surface,
        frame: &Frame,
        palette: &Palette,
        (sheet, series, at): (usize, &Series, usize),
    ) {
        let context = &surface.context;
        let x = frame.x.place(series.steps[at]);
        let (top, bottom) = frame.ends();
        context.set_stroke_style_str(&palette.muted);
        context.set_line_width(1.0);
        context.begin_path();
        context.move_to(x.round() + 0.5, top);
        context.line_to(x.round() + 0.5, bottom);
        context.stroke();
        let mark = |value: f32, colour: &str| {
            dot(
                context,
                x,
                frame.y.place(f64::from(value)),
                colour,
                &palette.card,
            )
        };
        if let Some(line) = [&series.rate, &series.norm, &series.speed].get(sheet.wrapping_sub(1)) {
            mark(line.smooth[at], &palette.pairs[7]);
            return;
        }
        self.page.runs.with_untracked(|runs| {
            for entry in runs
                .last()
                .map(|run| self.shown_entries(run))
                .unwrap_or_default()
            {
                match entry.part {
                    None => mark(series.loss.smooth[at], &palette.ink),
                    Some((i, colour)) => mark(series.parts[i].1.smooth[at], &palette.pairs[colour]),
                }
            }
        });
    }

    fn read(&self, all: &[Series], at: Option<usize>) {
        let Some(series) = all.last().filter(|series| !series.steps.is_empty()) else {
            self.view.readout.set(Readout::default());
            return;
        };
        let index = at.unwrap_or(series.steps.len() - 1);
        let step = series.steps[index];
        let mut rows = Vec::new();
        let entries = self
            .page
            .runs
            .with_untracked(|runs| runs.last().map(|run| self.shown_entries(run)));
        for entry in entries.unwrap_or_default() {
            let line = entry.part.map_or(&series.loss, |(i, _)| &series.parts[i].1);
            rows.push(Row {
                value: number(f64::from(line.raw[index])),
                colour: Some(entry.css()),
                dash: entry.svg_dash(),
                name: entry.name,
            });
        }
        for (place, run) in self.shown_earlier() {
            let of = &all[place];
            if let Some(i) = of.nearest(step).filter(|i| of.steps[*i] == step) {
                rows.push(plain(
                    format!("run {}", run.tag),
                    Some("var(--muted)"),
                    number(f64::from(of.loss.raw[i])),
                ));
            }
        }
        for (name, line) in [
            ("learning rate", &series.rate),
            ("gradient norm", &series.norm),
            ("tokens/s", &series.speed),
        ] {
            rows.push(plain(name.into(), None, number(f64::from(line.raw[index]))));
        }
        let place = at
            .zip(self.frames.get()[0])
            .map(|(_, frame)| (frame.x.place(step), frame.sides.1));
        let last = (series.steps.len() - 1).max(1);
        self.view.readout.set(Readout {
            title: format!("step {}", grouped(step)),
            rows,
            place,
            percent: at.map(|at| 100 * at / last),
        });
    }

    /// Moves the crosshair to a pixel of a chart.
    pub fn point(&self, sheet: usize, pixel: f64) {
        if let Some(frame) = self.frames.get()[sheet] {
            self.go_to(frame.x.value(pixel));
        }
    }

    /// Takes the crosshair away.
    pub fn leave(&self) {
        self.view.cursor.set(None);
    }

    fn go_to(&self, x: f64) {
        let all = self.series.borrow();
        let step = all
            .last()
            .and_then(|series| series.nearest(x).map(|i| series.steps[i]));
        if self.view.cursor.get_untracked() != step {
            self.view.cursor.set(step);
        }
    }

    /// Moves the crosshair by a key; says whether the key means anything here.
    pub fn press(&self, key: &str, far: bool) -> bool {
        let place = {
            let all = self.series.borrow();
            let Some(series) = all.last().filter(|series| !series.steps.is_empty()) else {
                return false;
            };
            let end = series.steps.len() - 1;
            let at = self
                .view
                .cursor
                .get_untracked()
                .and_then(|x| series.nearest(x));
            let by = if far { (end / 20).max(1) } else { 1 };
            let index = match key {
                "ArrowLeft" => at.map_or(end, |at| at.saturating_sub(by)),
                "ArrowRight" => at.map_or(end, |at| (at + by).min(end)),
                "Home" => 0,
                "End" => end,
                "Escape" if at.is_some() => {
                    self.view.cursor.set(None);
                    return true;
                }
                _ => return false,
            };
            series.steps[index]
        };
        self.go_to(place);
        true
    }

    /// Redraws lines, and crosshair alone, when what they show changes: first the large chart, then the small ones, each in a frame of
    /// its own.
    pub fn follow(self: &std::rc::Rc<Self>) -> [Redraw; 2] {
        let lines = [0..1, 1..4].map(|some| {
            let board = self.clone();
            Redraw::new(move || board.draw(some.clone()))
        });
        let (again, page, view) = (lines.clone(), self.page, self.view);
        effect(move || {
            page.runs.track();
            view.track();
            again.iter().for_each(Redraw::request);
        });
        let board = self.clone();
        effect(move || {
            view.cursor.track();
            board.draw_cross();
        });
        lines
    }
}

fn plain(name: String, colour: Option<&str>, value: String) -> Row {
    Row {
        name,
        colour: colour.map(str::to_owned),
        dash: String::new(),
        value,
    }
}

fn earlier_curve<'a>(run: &Earlier, series: &'a Series, palette: &'a Palette) -> Curve<'a> {
    Curve {
        label: run.tag.clone(),
        note: run.words.clone(),
        steps: &series.steps,
        raw: None,
        main: &series.loss.smooth,
        colour: &palette.muted,
        width: 1.0,
        dash: &[],
        alpha: 0.6,
        dots: Vec::new(),
    }
}
