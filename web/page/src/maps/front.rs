//! The picture that the page opens with: teacher, student and difference of one relation head, at the newest step of the run
//! that is shown. Colours keep one scale for the whole run, so that what the student learns fills in and what it lacks fades.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_recipe::Pair;
use limbeck_relations::{MapError, PairMaps, Relation, Scales, visible};

use super::ink::Ink;
use super::panes::{Names, Panes};
use super::seen::Usual;
use crate::chart::surface::{Redraw, watch};
use crate::live::{effect, live};
use crate::state::{Learnt, Page, RunLog, Taught};

/// When the first picture was drawn, in the browser's list of performance marks.
const DRAWN: &str = "limbeck-first-picture";

/// How far the student is on the sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Steps taken before.
    pub step: u64,
    /// The pair that is drawn.
    pub pair: Pair,
    /// The head that is drawn, from 0: the farthest from the teacher at the beginning.
    pub head: usize,
    /// A.
    pub heads: usize,
    /// Nats between the relations of student and teacher, the mean of all heads.
    pub kl: f64,
    /// The same at the first step that was seen.
    pub kl_at_first: f64,
}

/// What is drawn.
struct Drawn {
    from_teacher: Arc<Taught>,
    from_student: Arc<Learnt>,
    maps: PairMaps,
    relation: Relation,
    scales: Scales,
    labels: Vec<String>,
    standing: Standing,
}

impl Drawn {
    /// What there is of a run now, after what was drawn before.
    fn after(before: Option<Self>, run: &RunLog) -> Result<Option<Self>, MapError> {
        let (Some(from_teacher), Some(from_student)) = (&run.from_teacher, &run.from_student)
        else {
            return Ok(None);
        };
        let before = before.filter(|drawn| Arc::ptr_eq(&drawn.from_teacher, from_teacher));
        if before
            .as_ref()
            .is_some_and(|drawn| Arc::ptr_eq(&drawn.from_student, from_student))
        {
            return Ok(before);
        }
        let usual = Usual::of(run);
        let layer = from_student.taps.layers();
        let student = from_student.taps.map(layer, usual.pair, usual.heads)?;
        let (teacher, first) = match before {
            Some(before) => (
                before.maps.both().0.to_vec(),
                Some((before.standing, before.scales)),
            ),
            None => {
                let taps = &from_teacher.taps;
                (
                    taps.map(usual.teacher_layer, usual.pair, usual.heads)?,
                    None,
                )
            }
        };
        let size = (usual.heads, from_teacher.tokens.len());
        let maps = PairMaps::new(usual.pair, size, teacher, student)?;
        let kl = maps.kl().iter().sum::<f64>() / maps.kl().len() as f64;
        let head = match &first {
            Some((first, _)) => first.head,
            None => maps.by_kl()[0],
        };
        let relation = maps.head(head);
        let now = Scales::of(&relation);
        let scales = first.as_ref().map_or(now, |(_, before)| before.with(now));
        let labels = from_teacher.tokens.iter();
        Ok(Some(Self {
            labels: labels.map(|token| visible(&token.text)).collect(),
            from_teacher: from_teacher.clone(),
            from_student: from_student.clone(),
            standing: Standing {
                step: from_student.step,
                pair: usual.pair,
                head,
                heads: usual.heads,
                kl,
                kl_at_first: first.map_or(kl, |(first, _)| first.kl_at_first),
            },
            maps,
            relation,
            scales,
        }))
    }

    fn names(&self, narrow: bool) -> Names {
        let student = match (narrow, self.standing.step) {
            (true, _) => "Student".to_owned(),
            (false, step) => format!("Student, step {}", crate::words::count(step)),
        };
        ["Teacher".to_owned(), student, "Difference".to_owned()]
    }
}

/// The picture; it says in `standing` how far the student is.
#[component]
pub fn FrontPicture(
    /// Is set with every picture.
    standing: RwSignal<Option<Standing>>,
) -> impl IntoView {
    let page = crate::state::page();
    let (host, canvas) = (NodeRef::<Div>::new(), NodeRef::<Canvas>::new());
    let drawn = StoredValue::new_local(RefCell::new(None::<Drawn>));
    let marked = Cell::new(false);
    let redraw = Redraw::new(move || {
        let (Some(host), Some(canvas)) = (host.get_untracked(), canvas.get_untracked()) else {
            return;
        };
        let (width, height) = (
            f64::from(host.client_width()),
            f64::from(host.client_height()),
        );
        let done = drawn.with_value(|drawn| {
            let drawn = drawn.borrow();
            let drawn = drawn.as_ref()?;
            let ink = Ink::of(&host);
            let panes = Panes::scaled(drawn.relation.clone(), drawn.scales, &ink)?;
            let names = drawn.names(width < 560.0);
            panes.fill(&canvas, (width, height), (&drawn.labels, &names), &ink)
        });
        if done.is_some() && !marked.replace(true) {
            mark_first();
        }
    });
    let again = redraw.clone();
    let scheduled = Rc::new(Cell::new(false));
    effect(move || {
        page.runs.track();
        if scheduled.replace(true) {
            return;
        }
        let (again, scheduled) = (again.clone(), scheduled.clone());
        // A task of its own: other panels compute on the same news.
        set_timeout(
            move || {
                scheduled.set(false);
                if take(page, drawn, standing) {
                    again.request();
                }
            },
            Duration::ZERO,
        );
    });
    watch(host, redraw);
    let label = move || {
        standing.with(|standing| match standing {
            Some(now) => format!(
                "Maps of {} relation head {} of {}: teacher, student at step {}, and their difference. The panel \u{201c}Relations\u{201d} \
                 has every cell.",
                now.pair,
                now.head + 1,
                now.heads,
                now.step
            ),
            None => "Maps of teacher, student and difference; they appear when the run starts".to_owned(),
        })
    };
    view! {
        <div class="front-maps" id="front-maps" node_ref=host>
            <canvas node_ref=canvas role="img" aria-label=live(label)></canvas>
        </div>
    }
}

/// Takes in what is new of the run; says whether there is anything to draw anew.
fn take(
    page: Page,
    drawn: StoredValue<RefCell<Option<Drawn>>, LocalStorage>,
    standing: RwSignal<Option<Standing>>,
) -> bool {
    let new = page.runs.with_untracked(|runs| {
        drawn.with_value(|drawn| {
            let before = drawn.take();
            let was = before.as_ref().map(|drawn| drawn.standing.clone());
            // What cannot be drawn is said where the sentence is asked for.
            let now = runs
                .last()
                .map_or(Ok(None), |run| Drawn::after(before, run));
            *drawn.borrow_mut() = now.ok().flatten();
            let is = drawn.borrow().as_ref().map(|drawn| drawn.standing.clone());
            (was != is).then_some(is)
        })
    });
    match new {
        Some(new) => {
            standing.set(new);
            true
        }
        None => false,
    }
}

fn mark_first() {
    if let Some(clock) = window().performance() {
        // A browser without it loses nothing: it is for those who measure.
        let _ = clock.mark(DRAWN);
    }
}

#[cfg(test)]
mod tests {
    use limbeck_relations::{Projections, Token};

    use super::*;
    use crate::examples;

    fn taps(seed: usize) -> Projections {
        let values = (0..3 * 2 * 8).map(|i| ((i * (seed + 2)) as f32).sin());
        Projections::new(2, 2, vec![values.collect()]).expect("2 tokens")
    }

    fn run(student: usize, step: u64, before: Option<&RunLog>) -> RunLog {
        let token = Token {
            text: "tea".into(),
            special: false,
        };
        let taught = Taught {
            tokens: vec![token.clone(), token],
            left_out: 0,
            taps: taps(0),
        };
        let mut run = examples::run();
        (run.info.relation_heads, run.info.teacher_layer) = (2, 1);
        let from_teacher = before.and_then(|run| run.from_teacher.clone());
        run.from_teacher = from_teacher.or_else(|| Some(Arc::new(taught)));
        run.from_student = Some(Arc::new(Learnt {
            step,
            taps: taps(student),
            similarity: None,
        }));
        run
    }

    #[test]
    fn a_picture_keeps_its_head_its_scales_and_its_beginning() {
        let first = run(1, 0, None);
        let drawn = Drawn::after(None, &first).expect("it fits").expect("taps");
        let (begin, head, gap) = (drawn.standing.kl, drawn.standing.head, drawn.scales.gap);
        assert!(begin > 0.0 && drawn.standing.kl_at_first == begin);
        let taught = run(0, 9, Some(&first));
        let drawn = Drawn::after(Some(drawn), &taught)
            .expect("it fits")
            .expect("taps");
        let now = drawn.standing;
        assert_eq!((now.step, now.head, now.kl_at_first), (9, head, begin));
        assert!(
            now.kl.abs() < 1e-9,
            "the student is its teacher now: {}",
            now.kl
        );
        assert_eq!(
            drawn.scales.gap, gap,
            "what has faded must not be scaled up"
        );
        let other = run(1, 0, None);
        let drawn = Drawn::after(None, &other).expect("it fits").expect("taps");
        assert_eq!(drawn.standing.step, 0);
        assert!(
            Drawn::after(Some(drawn), &examples::run())
                .expect("nothing")
                .is_none()
        );
    }
}
