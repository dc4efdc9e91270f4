//! The front of an engine: pages that hear what happens, and a place that keeps the run.

use limbeck_corpus::CorpusError;
use limbeck_model::Folder;
use limbeck_protocol::{Event, Stage};
use limbeck_recipe::{DeviceChoice, Step};

use crate::engine::To;
use crate::front::{BatchSource, Feed, Front, News};
use crate::saved::{self, Index, Text};
use crate::sentence::EventParts;
use crate::{Opened, Session, World};

/// Minimum seconds between two emissions of steps, or samples of the student: a page that draws after each of hundreds a
/// second does nothing else.
const EMIT_EVERY: f64 = 0.05;

/// The pages that listen, and the storage that holds the run.
pub struct Pages<W, T> {
    /// The place that the engine lives in.
    pub world: W,
    send: T,
    /// The run in the storage, or why it cannot be read.
    pub saved: Option<Result<Index, String>>,
    /// The last `Checkpoint`, for pages that come later.
    pub checkpoint: Option<Event>,
    /// Names of the teacher's files in the storage.
    teacher: Vec<String>,
    /// Why the inputs of the run could not be saved, if so: a checkpoint alone would be of no use.
    unsaved_because: Option<String>,
    /// Steps that were taken but not sent yet.
    unsent: Vec<Step>,
    /// When steps were last sent.
    emitted_at: f64,
}

impl<W: World, T: FnMut(To, Event, Vec<Vec<u8>>)> Pages<W, T> {
    /// With whatever run the storage holds.
    pub async fn new(world: W, send: T) -> Self {
        let mut pages = Self {
            world,
            send,
            saved: None,
            checkpoint: None,
            teacher: Vec::new(),
            unsaved_because: None,
            unsent: Vec::new(),
            emitted_at: 0.0,
        };
        pages.read_saved().await;
        pages
    }

    /// Reads what the storage says of a run.
    pub async fn read_saved(&mut self) {
        self.saved = saved::index(&self.world).await;
        if let Some(Ok(index)) = &self.saved {
            self.teacher.clone_from(&index.teacher.1);
        }
    }

    /// Sends an event without parts.
    pub fn emit(&mut self, to: To, event: Event) {
        self.emit_with_parts(to, (event, Vec::new()));
    }

    /// Pending steps go first, so that events stay in the order of the run.
    pub fn emit_with_parts(&mut self, to: To, (event, blobs): EventParts) {
        self.emit_steps();
        (self.send)(to, event, blobs);
    }

    /// Sends the progress of a stage to all pages.
    pub fn stage(&mut self, stage: Stage, done: usize, total: usize) {
        let (done, total) = (done as u64, total as u64);
        self.emit(To::All, Event::Stage { stage, done, total });
    }

    /// Reports to all pages that the engine is ready.
    pub fn ready(&mut self) {
        self.stage(Stage::Ready, 0, 0);
    }

    /// The next step is sent as soon as it is taken.
    pub fn emit_next_at_once(&mut self) {
        self.emitted_at = f64::NEG_INFINITY;
    }

    /// Whether steps have waited long enough.
    pub fn is_due(&self) -> bool {
        self.world.seconds() >= self.emitted_at + EMIT_EVERY
    }

    /// Sends the pending steps.
    pub fn emit_steps(&mut self) {
        let steps = std::mem::take(&mut self.unsent);
        if !steps.is_empty() {
            self.emitted_at = self.world.seconds();
            (self.send)(To::All, Event::Steps { steps }, Vec::new());
        }
    }

    /// Keeps what a run reads, in place of any run before.
    pub async fn keep_inputs(&mut self, teacher: &Folder, texts: &[Text]) {
        self.saved = None;
        self.checkpoint = None;
        self.teacher = teacher.files().map(|(name, _)| name.to_owned()).collect();
        let kept = saved::keep_inputs(&self.world, teacher, texts).await;
        self.unsaved_because = kept.err();
    }

    fn index(&self, session: &Session) -> Index {
        let recipe = session.info().recipe.clone();
        Index {
            teacher: (recipe.teacher.clone(), self.teacher.clone()),
            texts: recipe.corpus.clone(),
            recipe,
            steps: session.steps().to_vec(),
            evaluations: session.evaluations().to_vec(),
            is_damaged: false,
        }
    }
}

impl<W: World, T: FnMut(To, Event, Vec<Vec<u8>>)> Front for Pages<W, T> {
    async fn open(&self, choice: DeviceChoice) -> Result<Opened, String> {
        self.world.open(choice).await
    }

    fn free_memory(&self) -> Option<u64> {
        self.world.free_memory()
    }

    fn batches(&self, feed: Feed) -> Result<BatchSource, CorpusError> {
        self.world.batches(feed)
    }

    fn seconds(&self) -> f64 {
        self.world.seconds()
    }

    async fn breathe(&self) {
        self.world.breathe().await;
    }

    fn report(&mut self, news: News) -> Result<(), String> {
        match news {
            News::Stage(stage, done, total) => self.stage(stage, done, total),
            News::Step(step) => self.unsent.push(step),
            News::Skipped { step, names, .. } => {
                let lines = names;
                self.emit(To::All, Event::Skipped { step, lines });
            }
            News::Evaluated(evaluation) => {
                self.emit(To::All, Event::Evaluated { evaluation });
                self.ready();
            }
        }
        Ok(())
    }

    /// A storage that refuses does not end the run: pages learn that it is in memory only.
    async fn save(&mut self, session: &Session, checkpoint: Vec<u8>) -> Result<bool, String> {
        let index = self.index(session);
        let kept = match self.unsaved_because.clone() {
            None => {
                let is_first = !matches!(self.saved, Some(Ok(_)));
                saved::keep(&self.world, &index, &checkpoint, is_first).await
            }
            Some(reason) => Err(reason),
        };
        let outlives = kept.is_ok();
        if outlives {
            self.saved = Some(Ok(index));
        }
        let (used, quota) = self.world.space().await;
        let kept = Event::Checkpoint {
            step: session.steps_taken(),
            bytes: checkpoint.len() as u64,
            only_in_memory: kept.err(),
            used,
            quota,
        };
        self.checkpoint = Some(kept.clone());
        self.emit(To::All, kept);
        self.ready();
        Ok(outlives)
    }

    /// Without room for the numbers the saved run still has its checkpoint, and measures again when it is taken up.
    async fn save_numbers(&mut self, session: &Session) -> Result<(), String> {
        if matches!(self.saved, Some(Ok(_))) {
            let index = self.index(session);
            if saved::keep_index(&self.world, &index).await.is_ok() {
                self.saved = Some(Ok(index));
            }
        }
        Ok(())
    }
}
