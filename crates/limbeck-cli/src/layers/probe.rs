//! Short runs, one for each layer: the sessions of `limbeck distill`, of which nothing is kept but numbers.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use limbeck_corpus::{Corpus, CorpusError};
use limbeck_engine::card;
use limbeck_engine::{BatchSource, Feed, Front, News, Opened, Opening, Session};
use limbeck_model::Folder;
use limbeck_recipe::{DeviceChoice, Evaluation, Pooling, Recipe};
use limbeck_score::agreement;
use serde_json::Value;

use crate::error::CliError;
use crate::progress::Progress;
use crate::{ahead, memory};

/// What a short run from a layer came to.
pub struct Probed {
    /// From 1.
    pub layer: usize,
    /// On held-out lines, before the first step and after the last.
    pub evaluations: [Evaluation; 2],
    /// [`agreement`] with the teacher on each of these lines, before and after.
    pub agreement: [Vec<f64>; 2],
}

/// The models and texts of all runs: the teacher, and the model that students start from, if a recipe names one.
pub type Inputs = (Rc<Folder>, Option<Folder>, Corpus);

/// Takes a run of each recipe to its end on a device, and adds what it came to; true if it was stopped before the last of them.
///
/// # Errors
/// Whatever ends a run of `limbeck distill`.
pub fn all(
    recipes: &[Recipe],
    inputs: &Inputs,
    opened: Opened,
    stop: &AtomicBool,
    probed: &mut Vec<Probed>,
) -> Result<bool, CliError> {
    let progress = Progress::new(false).named(Some("probes"));
    progress.expect(recipes.iter().map(|recipe| recipe.steps).sum());
    let mut front = Probe {
        progress,
        opened,
        layer: 0,
        start: Instant::now(),
    };
    let pooling = inputs.0.sentence_head()?.pooling;
    let mut teacher = None;
    for recipe in recipes {
        front.layer = recipe.teacher_layer.unwrap_or_default();
        let begun = front.progress.position();
        let work = format!("probing layer {}", front.layer);
        front.progress.enter(begun, &work);
        let run = run(recipe, inputs, (&pooling, &mut teacher), &mut front, stop);
        let Some(of_layer) = pollster::block_on(run)? else {
            front.progress.finish();
            return Ok(true);
        };
        probed.push(of_layer);
    }
    front.progress.finish();
    Ok(false)
}

/// One run; none if it was stopped before its end. The first one leaves the teacher's vectors to the others, which have the same lines.
async fn run(
    recipe: &Recipe,
    (teacher, start, corpus): &Inputs,
    (pooling, of_teacher): (&Pooling, &mut Option<Vec<Vec<f32>>>),
    front: &mut Probe,
    stop: &AtomicBool,
) -> Result<Option<Probed>, CliError> {
    if stop.load(Ordering::SeqCst) {
        return Ok(None);
    }
    let opening = Opening {
        recipe: recipe.clone(),
        teacher: teacher.clone(),
        start: start.clone(),
        corpus: corpus.clone(),
        checkpoint: None,
        steps: Vec::new(),
        evaluations: Vec::new(),
    };
    let mut session = Session::open(opening, front).await?;
    session.begin(front).await?;
    if of_teacher.is_none()
        && let Some(how) = card::precision(session.run().plan())
    {
        let told = format!("Teacher of the probes computed {how}");
        front.progress.say(&told, "precision", &Value::Null);
    }
    let teacher = match of_teacher {
        Some(teacher) => teacher,
        None => of_teacher.insert(vectors(&session, pooling, true).await?),
    };
    let before = vectors(&session, pooling, false).await?;
    while !session.is_finished() {
        session.advance(front).await?;
        if stop.load(Ordering::SeqCst) && !session.is_finished() {
            return Ok(None);
        }
    }
    let after = vectors(&session, pooling, false).await?;
    let or_none = |evaluation: Option<&Evaluation>| evaluation.cloned().unwrap_or_default();
    let evaluations = session.evaluations();
    Ok(Some(Probed {
        layer: front.layer,
        evaluations: [evaluations.first(), evaluations.last()].map(or_none),
        agreement: [before, after].map(|student| agreement(teacher, &student)),
    }))
}

/// The vector of each held-out line, without Dense layers: a student may lack those of its teacher.
async fn vectors(
    session: &Session,
    pooling: &Pooling,
    of_teacher: bool,
) -> Result<Vec<Vec<f32>>, CliError> {
    let (run, mut rows) = (session.run(), Vec::new());
    for batch in &session.heldout().batches {
        let values = match of_teacher {
            true => run.teacher_vectors(batch, pooling).await?,
            false => run.student_vectors(batch, pooling).await?,
        };
        let width = values.len() / batch.lengths.len();
        rows.extend(values.chunks_exact(width).map(<[f32]>::to_vec));
    }
    Ok(rows)
}

/// The front of the runs: it shows how far they are, and keeps nothing.
struct Probe {
    progress: Progress,
    opened: Opened,
    layer: usize,
    start: Instant,
}

impl Front for Probe {
    /// The one device of all runs, whose recipes ask for no other.
    async fn open(&self, _: DeviceChoice) -> Result<Opened, String> {
        Ok(self.opened.clone())
    }

    fn free_memory(&self) -> Option<u64> {
        memory::free()
    }

    fn batches(&self, feed: Feed) -> Result<BatchSource, CorpusError> {
        ahead::batches(feed)
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    async fn breathe(&self) {}

    fn report(&mut self, news: News) -> Result<(), String> {
        match news {
            News::Step(step) => {
                let message = format!("probing layer {}  loss {:.3}", self.layer, step.loss);
                self.progress.reach(self.progress.position() + 1, message);
            }
            News::Skipped { .. } => self.progress.advance(),
            News::Stage(..) | News::Evaluated(_) => {}
        }
        Ok(())
    }

    /// A probe is too short to be gone on with.
    async fn save(&mut self, _: &Session, _: Vec<u8>) -> Result<bool, String> {
        Ok(false)
    }

    async fn save_numbers(&mut self, _: &Session) -> Result<(), String> {
        Ok(())
    }
}
