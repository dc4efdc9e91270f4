//! The engine's loop: commands in, steps between them, events out.

use std::rc::Rc;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use limbeck_corpus::Corpus;
use limbeck_model::{Folder, ModelError, Tokenizer, Weights};
use limbeck_protocol::{
    Command, Control, Event, Export, Halt, RunState, Stage, StepRecord, TeacherInfo, TextInfo,
    VERSION,
};
use limbeck_recipe::Recipe;
use limbeck_train::Checkpoint;

use crate::saved::{self, Index, Text};
use crate::sentence::Told;
use crate::session::{Data, Session, Taken, Troubles};
use crate::{World, numbers};

/// A command with its binary parts.
pub struct Request {
    /// The connection that sent it.
    pub client: u64,
    /// What it asks for.
    pub command: Command,
    /// Its binary parts.
    pub blobs: Vec<Vec<u8>>,
}

/// The recipients of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Every connection.
    All,
    /// The one that asked.
    One(u64),
}

/// Seconds from one telling of steps, or look at the student, to the next at least: a page that draws after each of hundreds a
/// second does nothing else.
const TELL_EVERY: f64 = 0.05;

/// Serves commands until no sender of them is left. `tell` hands events to the transport.
pub async fn serve<W: World>(
    world: W,
    mut requests: UnboundedReceiver<Request>,
    tell: impl FnMut(To, Event, Vec<Vec<u8>>),
) {
    let saved = saved::index(&world).await;
    let mut engine = Engine {
        world,
        tell,
        teacher: None,
        texts: Vec::new(),
        session: None,
        saved,
        state: RunState::Idle,
        kept: None,
        untold: Vec::new(),
        told_at: 0.0,
        unkept: None,
    };
    loop {
        if engine.state != RunState::Running {
            match requests.next().await {
                Some(request) => engine.answer(request).await,
                None => return,
            }
            continue;
        }
        engine.world.breathe().await;
        match requests.try_recv() {
            Ok(request) => engine.answer(request).await,
            Err(error) if error.is_closed() => return,
            Err(_) => engine.step().await,
        }
    }
}

/// A teacher at hand.
struct Teacher {
    info: TeacherInfo,
    folder: Rc<Folder>,
}

struct Engine<W, T> {
    world: W,
    tell: T,
    teacher: Option<Teacher>,
    texts: Vec<(TextInfo, Text)>,
    session: Option<Session>,
    /// The run in the storage, or why it cannot be read.
    saved: Option<Result<Index, String>>,
    state: RunState,
    /// The last `Kept`, for pages that come later.
    kept: Option<Event>,
    /// Steps that were taken and not told yet.
    untold: Vec<StepRecord>,
    /// When steps were told last.
    told_at: f64,
    /// Why what the run reads could not be kept, if so: a checkpoint alone would be of no use.
    unkept: Option<String>,
}

impl<W: World, T: FnMut(To, Event, Vec<Vec<u8>>)> Engine<W, T> {
    async fn answer(&mut self, request: Request) {
        let client = request.client;
        let done = match request.command {
            Command::Hello { since_step, .. } => {
                self.greet(client, since_step).await;
                Ok(())
            }
            Command::Teacher { name, files } => self.take_files(&name, files, request.blobs),
            Command::Texts { names } => self.take_texts(names, request.blobs),
            Command::Start { recipe } => self.start(recipe).await,
            Command::Pause => self.pause().await,
            Command::Step => self.single_step().await,
            Command::Resume => self.resume(),
            Command::Stop => self.stop().await,
            Command::Restore => self.restore().await,
            Command::Discard => self.discard().await,
            Command::Checkpoint { name } => self.import(&name, request.blobs).await,
            Command::Export { what } => self.export(client, what).await,
            Command::Sentence { text } => self.choose(&text).await,
            Command::Numbers => self.measure(client).await,
        };
        if let Err(troubles) = done {
            if self.state == RunState::Preparing {
                self.session = None;
                self.enter(RunState::Idle);
            }
            self.refuse(To::One(client), troubles);
        }
    }

    fn refuse(&mut self, to: To, troubles: Troubles) {
        for (control, message) in troubles.0 {
            self.say(to, Event::Refused { control, message });
        }
        self.say(To::All, ready());
    }

    fn say(&mut self, to: To, event: Event) {
        self.say_with_parts(to, (event, Vec::new()));
    }

    fn stage(&mut self, stage: Stage, done: usize, total: usize) {
        let (done, total) = (done as u64, total as u64);
        self.say(To::All, Event::Stage { stage, done, total });
    }

    fn enter(&mut self, state: RunState) {
        self.state = state.clone();
        self.say(To::All, Event::State { state });
        // The first step from here is told at once.
        self.told_at = f64::NEG_INFINITY;
    }

    /// Everything that a page needs to show what is.
    async fn greet(&mut self, client: u64, since_step: u64) {
        let to = To::One(client);
        let engine = self.world.info().await;
        let version = VERSION;
        self.say(to, Event::Hello { version, engine });
        if let Some(teacher) = &self.teacher {
            let teacher = teacher.info.clone();
            self.say(to, Event::Teacher { teacher });
        }
        if !self.texts.is_empty() {
            self.say_texts(to);
        }
        self.say_saved(to);
        if let Some(Err(message)) = self.saved.clone() {
            let control = Control::Checkpoint;
            self.say(to, Event::Refused { control, message });
        }
        self.say_run(to, since_step);
        let state = self.state.clone();
        self.say(to, Event::State { state });
        if let Some(kept) = self.kept.clone() {
            self.say(to, kept);
        }
    }

    fn say_texts(&mut self, to: To) {
        let texts = self.texts.iter().map(|(info, _)| info.clone()).collect();
        self.say(to, Event::Texts { texts });
    }

    /// While a run is at hand its saved copy is no offer.
    fn say_saved(&mut self, to: To) {
        let saved = self.saved.as_ref().filter(|_| self.session.is_none());
        let run = saved.and_then(|saved| Some(saved.as_ref().ok()?.summary()));
        self.say(to, Event::Saved { run });
    }

    /// The run with its steps and evaluations, and its sentence with the last taps.
    fn say_run(&mut self, to: To, since_step: u64) {
        let Some(session) = &self.session else { return };
        let mut run = session.info.clone();
        run.step = since_step;
        let steps = session.steps.iter().filter(|s| s.step > since_step);
        let steps: Vec<StepRecord> = steps.cloned().collect();
        let evaluations = session.evaluations.clone();
        let (sentence, taps) = session.sentence();
        self.say(to, Event::Started { run });
        if !steps.is_empty() {
            self.say(to, Event::Steps { steps });
        }
        for evaluation in evaluations {
            self.say(to, Event::Evaluated { evaluation });
        }
        for told in [sentence].into_iter().chain(taps) {
            self.say_with_parts(to, told);
        }
    }

    /// Steps that were not told yet come first: what is told of a run is in its order.
    fn say_with_parts(&mut self, to: To, (event, blobs): Told) {
        self.tell_steps();
        (self.tell)(to, event, blobs);
    }

    fn tell_steps(&mut self) {
        let steps = std::mem::take(&mut self.untold);
        if !steps.is_empty() {
            self.told_at = self.world.seconds();
            (self.tell)(To::All, Event::Steps { steps }, Vec::new());
        }
    }

    fn take_files(&mut self, name: &str, files: Vec<String>, blobs: Vec<Vec<u8>>) -> Done {
        self.require_no_run(Control::Teacher)?;
        same_number(Control::Teacher, &files, &blobs)?;
        // A dropped folder may hold anything; what no model needs would only count as a change of the teacher.
        let needed = |name: &str| name == "config.json" || Folder::is_part_of_a_model(name);
        let files = files.into_iter().zip(blobs);
        let files = files.filter(|(name, _)| needed(name)).collect();
        self.take_teacher(Folder::from_files(name, files))
    }

    fn take_teacher(&mut self, folder: Folder) -> Done {
        let wrong = |e: ModelError| (Control::Teacher, e.to_string());
        folder.config().map_err(wrong)?;
        Tokenizer::from_folder(&folder).map_err(wrong)?;
        Weights::open(&folder).map_err(wrong)?;
        let config = String::from_utf8_lossy(folder.get("config.json").unwrap_or_default());
        let teacher = TeacherInfo {
            name: folder.name().to_owned(),
            config: config.into_owned(),
            bytes: folder.files().map(|(_, bytes)| bytes.len() as u64).sum(),
        };
        self.teacher = Some(Teacher {
            info: teacher.clone(),
            folder: Rc::new(folder),
        });
        self.say(To::All, Event::Teacher { teacher });
        Ok(())
    }

    fn take_texts(&mut self, names: Vec<String>, blobs: Vec<Vec<u8>>) -> Done {
        self.require_no_run(Control::Texts)?;
        same_number(Control::Texts, &names, &blobs)?;
        let texts: Vec<Text> = names
            .into_iter()
            .zip(blobs)
            .map(|(name, bytes)| (name, bytes.into()))
            .collect();
        self.texts = count_lines(texts)?;
        self.say_texts(To::All);
        Ok(())
    }

    fn require_no_run(&self, control: Control) -> Done {
        match self.state {
            RunState::Running | RunState::Preparing | RunState::Paused => {
                let message = "a run is in progress; stop it before you change its data";
                Err((control, message.to_owned()).into())
            }
            RunState::Idle | RunState::Ended { .. } => Ok(()),
        }
    }

    fn data(&self) -> Result<Data, Troubles> {
        let missing = |control, what: &str| (control, format!("no {what} yet: choose one"));
        let teacher = self.teacher.as_ref();
        let teacher = teacher.ok_or_else(|| missing(Control::Teacher, "teacher"))?;
        if self.texts.is_empty() {
            return Err(missing(Control::Texts, "text").into());
        }
        Ok(Data {
            teacher: teacher.folder.clone(),
            texts: self.texts.iter().map(|(_, text)| text.clone()).collect(),
        })
    }

    async fn claim(&self) -> Done {
        let claim = self.world.claim().await;
        Ok(claim.map_err(|message| (Control::Run, message))?)
    }

    async fn start(&mut self, mut recipe: Recipe) -> Done {
        self.require_no_run(Control::Run)?;
        let data = self.data()?;
        recipe.teacher = data.teacher.name().to_owned();
        recipe.corpus = data.texts.iter().map(|(name, _)| name.clone()).collect();
        self.claim().await?;
        self.open(&recipe, &data, None).await?;
        self.keep_inputs(&data).await;
        self.say_run(To::All, 0);
        self.look().await?;
        self.evaluate().await?;
        self.keep().await?;
        self.enter(RunState::Running);
        Ok(())
    }

    /// Opens device and session.
    async fn open(&mut self, recipe: &Recipe, data: &Data, from: Option<&Checkpoint>) -> Done {
        self.session = None;
        self.enter(RunState::Preparing);
        self.stage(Stage::Compiling, 0, 0);
        let opened = self.world.open(recipe.device).await;
        let opened = opened.map_err(|message| (Control::Device, message))?;
        self.session = Some(Session::open(recipe, data, opened, from).await?);
        self.say(To::All, ready());
        Ok(())
    }

    async fn step(&mut self) {
        if let Err(troubles) = self.try_step().await {
            self.refuse(To::All, troubles);
            self.enter(RunState::Ended { halt: Halt::Failed });
        }
    }

    async fn try_step(&mut self) -> Done {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let world = &self.world;
        let taken = session.step(|| world.seconds()).await;
        let (finished, milestone) = (session.is_finished(), session.is_milestone());
        let may_look = session.may_look();
        // Whoever takes single steps wants to see each.
        let single = self.state != RunState::Running;
        let due = single || self.world.seconds() >= self.told_at + TELL_EVERY;
        match taken? {
            Taken::Step(step) => {
                self.untold.push(step);
                if due {
                    self.tell_steps();
                }
            }
            Taken::Skipped(step, lines) => self.say(To::All, Event::Skipped { step, lines }),
        }
        if finished || milestone {
            self.evaluate().await?;
            self.keep().await?;
        } else if single || (due && may_look) {
            self.look().await?;
        }
        if finished {
            self.enter(RunState::Ended {
                halt: Halt::Finished,
            });
        }
        Ok(())
    }

    async fn evaluate(&mut self) -> Done {
        let batches = self.session.as_ref().map_or(0, Session::heldout_batches);
        let mut sums: Vec<f64> = Vec::new();
        let mut lines = 0;
        for index in 0..batches {
            self.stage(Stage::Evaluating, index, batches);
            self.world.breathe().await;
            let Some(session) = &self.session else { break };
            let (by_pair, count) = session.evaluate_batch(index).await?;
            sums.resize(by_pair.len(), 0.0);
            sums.iter_mut()
                .zip(by_pair)
                .for_each(|(sum, kl)| *sum += kl);
            lines += count;
        }
        if let Some(session) = &mut self.session {
            let evaluation = session.evaluated(sums, lines);
            self.say(To::All, Event::Evaluated { evaluation });
        }
        self.look().await?;
        self.say(To::All, ready());
        Ok(())
    }

    /// Tells what the student makes of the sentence now, if that is not told yet.
    async fn look(&mut self) -> Done {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let world = &self.world;
        if let Some(taps) = session.look(|| world.seconds()).await? {
            self.say_with_parts(To::All, taps);
        }
        Ok(())
    }

    /// Keeps what the run reads, in place of any run before.
    async fn keep_inputs(&mut self, data: &Data) {
        self.saved = None;
        self.kept = None;
        let kept = saved::keep_inputs(&self.world, &data.teacher, &data.texts).await;
        self.unkept = kept.err();
    }

    /// Writes a checkpoint. A storage that refuses it does not end the run.
    async fn keep(&mut self) -> Done {
        let Some(session) = &self.session else {
            return Ok(());
        };
        let checkpoint = session.checkpoint().await?;
        let step = session.steps_taken();
        let index = Index {
            recipe: session.info.recipe.clone(),
            teacher: (
                session.info.recipe.teacher.clone(),
                self.teacher
                    .iter()
                    .flat_map(|t| file_names(&t.folder))
                    .collect(),
            ),
            texts: session.info.recipe.corpus.clone(),
            steps: session.steps.clone(),
            evaluations: session.evaluations.clone(),
        };
        self.stage(Stage::Saving, 0, 0);
        let kept = match self.unkept.clone() {
            None => saved::keep(&self.world, &index, &checkpoint).await,
            Some(reason) => Err(reason),
        };
        if kept.is_ok() {
            self.saved = Some(Ok(index));
        }
        let (used, quota) = self.world.space().await;
        let kept = Event::Kept {
            step,
            bytes: checkpoint.len() as u64,
            only_in_memory: kept.err(),
            used,
            quota,
        };
        self.kept = Some(kept.clone());
        self.say(To::All, kept);
        self.say(To::All, ready());
        Ok(())
    }

    async fn pause(&mut self) -> Done {
        if self.state != RunState::Running {
            return refuse("there is no run to pause");
        }
        self.enter(RunState::Paused);
        self.keep().await?;
        self.look().await
    }

    async fn single_step(&mut self) -> Done {
        if self.state != RunState::Paused {
            return refuse("only a paused run can take a single step: pause it first");
        }
        self.step().await;
        Ok(())
    }

    fn resume(&mut self) -> Done {
        if self.state != RunState::Paused {
            return refuse("there is no paused run");
        }
        self.enter(RunState::Running);
        Ok(())
    }

    async fn stop(&mut self) -> Done {
        if !matches!(self.state, RunState::Running | RunState::Paused) {
            return refuse("there is no run to stop");
        }
        self.enter(RunState::Paused);
        self.keep().await?;
        self.look().await?;
        self.enter(RunState::Ended {
            halt: Halt::Stopped,
        });
        Ok(())
    }

    async fn restore(&mut self) -> Done {
        self.require_no_run(Control::Run)?;
        let Some(index) = self.saved.clone() else {
            return refuse("there is no saved run");
        };
        let index = index.map_err(|message| (Control::Checkpoint, message))?;
        self.claim().await?;
        self.stage(Stage::Reading, 0, 0);
        let read = saved::read(&self.world, &index).await;
        let (teacher, texts, checkpoint) =
            read.map_err(|message| (Control::Checkpoint, message))?;
        let checkpoint = parse(&checkpoint)?;
        self.take_teacher(teacher)?;
        self.texts = count_lines(texts)?;
        self.say_texts(To::All);
        self.take_up(&index, &checkpoint).await
    }

    /// Goes on from a checkpoint with the teacher and texts at hand, and waits.
    async fn take_up(&mut self, index: &Index, checkpoint: &Checkpoint) -> Done {
        let data = self.data()?;
        let step = checkpoint.header.step;
        self.open(&checkpoint.header.recipe, &data, Some(checkpoint))
            .await?;
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let steps = index.steps.iter().filter(|s| s.step <= step);
        session.steps = steps.cloned().collect();
        let evaluations = index.evaluations.iter().filter(|e| e.step <= step);
        session.evaluations = evaluations.cloned().collect();
        let finished = session.is_finished();
        self.say_saved(To::All);
        self.say_run(To::All, 0);
        self.look().await?;
        self.enter(match finished {
            true => RunState::Ended {
                halt: Halt::Finished,
            },
            false => RunState::Paused,
        });
        Ok(())
    }

    async fn import(&mut self, name: &str, mut blobs: Vec<Vec<u8>>) -> Done {
        self.require_no_run(Control::Checkpoint)?;
        let Some(bytes) = blobs.pop() else {
            return Err((Control::Checkpoint, format!("{name} is empty")).into());
        };
        let checkpoint = parse(&bytes)?;
        self.claim().await?;
        let data = self.data()?;
        let index = Index {
            recipe: checkpoint.header.recipe.clone(),
            teacher: (data.teacher.name().to_owned(), file_names(&data.teacher)),
            texts: data.texts.iter().map(|(name, _)| name.clone()).collect(),
            steps: Vec::new(),
            evaluations: Vec::new(),
        };
        self.take_up(&index, &checkpoint).await?;
        self.keep_inputs(&data).await;
        self.keep().await
    }

    async fn discard(&mut self) -> Done {
        self.require_no_run(Control::Run)?;
        let forgotten = self.world.forget().await;
        forgotten.map_err(|message| (Control::Storage, message))?;
        self.saved = None;
        self.kept = None;
        self.say_saved(To::All);
        Ok(())
    }

    async fn export(&mut self, client: u64, what: Export) -> Done {
        let Some(session) = &self.session else {
            return refuse("there is no run to export files from");
        };
        let (name, files) = match what {
            Export::Student => ("student", session.student().await?),
            Export::Checkpoint => {
                let bytes = session.checkpoint().await?;
                let file = format!("checkpoint-{}.safetensors", session.steps_taken());
                ("checkpoint", vec![(file, bytes)])
            }
        };
        let (files, blobs) = files.into_iter().unzip();
        let name = name.to_owned();
        self.say_with_parts(To::One(client), (Event::Files { name, files }, blobs));
        Ok(())
    }

    async fn choose(&mut self, text: &str) -> Done {
        let Some(session) = &mut self.session else {
            let message = "there is no run to draw relations of: start one first".to_owned();
            return Err((Control::Sentence, message).into());
        };
        session.choose(text).await?;
        let (sentence, _) = session.sentence();
        self.say_with_parts(To::All, sentence);
        self.look().await
    }

    async fn measure(&mut self, client: u64) -> Done {
        if matches!(self.state, RunState::Running | RunState::Preparing) {
            return refuse("a run is in progress: pause it before you measure");
        }
        self.stage(Stage::Measuring, 0, 0);
        let figures = numbers::figures(&self.world).await;
        self.say(To::One(client), Event::Numbers { figures });
        self.say(To::All, ready());
        Ok(())
    }
}

/// What a command gives: nothing, or all that is wrong.
type Done = Result<(), Troubles>;

fn refuse(message: &str) -> Done {
    Err((Control::Run, message.to_owned()).into())
}

fn ready() -> Event {
    Event::Stage {
        stage: Stage::Ready,
        done: 0,
        total: 0,
    }
}

fn file_names(folder: &Folder) -> Vec<String> {
    folder.files().map(|(name, _)| name.to_owned()).collect()
}

fn parse(bytes: &[u8]) -> Result<Checkpoint, Troubles> {
    let checkpoint = Checkpoint::parse(bytes);
    Ok(checkpoint.map_err(|e| (Control::Checkpoint, e.to_string()))?)
}

fn same_number(control: Control, names: &[String], blobs: &[Vec<u8>]) -> Done {
    if names.len() == blobs.len() && !names.is_empty() {
        return Ok(());
    }
    let message = format!("received {} names for {} files", names.len(), blobs.len());
    Err((control, message).into())
}

fn count_lines(texts: Vec<Text>) -> Result<Vec<(TextInfo, Text)>, Troubles> {
    let wrong = |e: limbeck_corpus::CorpusError| (Control::Texts, e.to_string());
    let lines = Corpus::in_memory(texts.clone())
        .and_then(|corpus| corpus.count_lines())
        .map_err(wrong)?;
    let with_info = |((name, bytes), lines): (Text, u64)| {
        let info = TextInfo {
            name: name.clone(),
            bytes: bytes.len() as u64,
            lines,
        };
        (info, (name, bytes))
    };
    Ok(texts.into_iter().zip(lines).map(with_info).collect())
}
