//! The engine's loop: commands in, steps between them, events out.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use limbeck_corpus::Corpus;
use limbeck_model::{Folder, ModelError, Weights};
use limbeck_protocol::{
    Command, Control, Event, Export, Found, Halt, RunState, Stage, TeacherInfo, TextInfo, VERSION,
};
use limbeck_recipe::{Documents, Evaluation, Recipe, SentenceHead, Step};
use limbeck_train::Checkpoint;

use crate::pages::Pages;
use crate::reader::Reader;
use crate::saved::{self, Text};
use crate::sentence::Tokens;
use crate::trouble::{RunError, Troubles, of_device};
use crate::{Opening, Session, World, numbers, onnx};

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

/// Serves commands until no sender of them is left. `send` hands events to the transport.
pub async fn serve<W: World>(
    world: W,
    mut requests: UnboundedReceiver<Request>,
    send: impl FnMut(To, Event, Vec<Vec<u8>>),
) {
    let mut engine = Engine {
        pages: Pages::new(world, send).await,
        teacher: None,
        texts: Vec::new(),
        session: None,
        reader: None,
        searches: Vec::new(),
        state: RunState::Idle,
    };
    loop {
        if engine.state != RunState::Running && engine.searches.is_empty() {
            match requests.next().await {
                Some(request) => engine.answer(request).await,
                None => return,
            }
            continue;
        }
        engine.pages.world.breathe().await;
        match requests.try_recv() {
            Ok(request) => engine.answer(request).await,
            Err(error) if error.is_closed() => return,
            Err(_) => engine.work().await,
        }
    }
}

/// A teacher at hand.
struct Teacher {
    info: TeacherInfo,
    folder: Rc<Folder>,
}

/// The teacher and texts of a run.
struct Data {
    teacher: Rc<Folder>,
    texts: Vec<Text>,
}

/// Where a run goes on, and what is known of the way there.
struct Past {
    checkpoint: Checkpoint,
    steps: Vec<Step>,
    evaluations: Vec<Evaluation>,
}

struct Engine<W, T> {
    pages: Pages<W, T>,
    teacher: Option<Teacher>,
    texts: Vec<(TextInfo, Text)>,
    session: Option<Session>,
    /// What reads sentences while there is no session.
    reader: Option<Reader>,
    /// Searches to answer, the oldest first: who asked, and for what.
    searches: Vec<(u64, String, Tokens)>,
    state: RunState,
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
            Command::Student {
                recipe,
                teacher,
                files,
            } => {
                let taken = self.take_student(&recipe, (teacher, files), request.blobs);
                taken.await
            }
            Command::Start { recipe } => self.start(recipe).await,
            Command::Pause => self.pause().await,
            Command::Step => self.single_step().await,
            Command::Resume => self.resume(),
            Command::Stop => self.stop().await,
            Command::Restore => self.restore().await,
            Command::Discard => self.discard().await,
            Command::Checkpoint { name } => self.import(&name, request.blobs).await,
            Command::Export { what } => self.export(client, what).await,
            Command::Sentence { text } => self.choose(client, &text).await,
            Command::Search { text } => self.ask(client, text),
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
            self.pages.emit(to, Event::Refused { control, message });
        }
        self.pages.ready();
    }

    fn enter(&mut self, state: RunState) {
        self.state = state.clone();
        self.pages.emit(To::All, Event::State { state });
        self.pages.emit_next_at_once();
    }

    /// Everything that a page needs to show what is.
    async fn greet(&mut self, client: u64, since_step: u64) {
        let to = To::One(client);
        let engine = self.pages.world.info().await;
        let version = VERSION;
        self.pages.emit(to, Event::Hello { version, engine });
        if let Some(teacher) = &self.teacher {
            let teacher = teacher.info.clone();
            self.pages.emit(to, Event::Teacher { teacher });
        }
        if !self.texts.is_empty() {
            self.emit_texts(to);
        }
        self.emit_saved(to);
        if let Some(Err(message)) = self.pages.saved.clone() {
            let control = Control::Checkpoint;
            self.pages.emit(to, Event::Refused { control, message });
        }
        self.emit_run(to, since_step);
        let state = self.state.clone();
        self.pages.emit(to, Event::State { state });
        if let Some(kept) = self.pages.checkpoint.clone() {
            self.pages.emit(to, kept);
        }
    }

    fn emit_texts(&mut self, to: To) {
        let texts = self.texts.iter().map(|(info, _)| info.clone()).collect();
        self.pages.emit(to, Event::Texts { texts });
    }

    /// While a run is at hand its saved copy is no offer.
    fn emit_saved(&mut self, to: To) {
        let saved = self.pages.saved.as_ref().filter(|_| self.session.is_none());
        let run = saved.and_then(|saved| Some(saved.as_ref().ok()?.summary()));
        self.pages.emit(to, Event::Saved { run });
    }

    /// The run with its steps and evaluations, and its sentence with the last taps.
    fn emit_run(&mut self, to: To, since_step: u64) {
        let Some(session) = &self.session else { return };
        let mut run = session.info().clone();
        run.step = since_step;
        let steps = session.steps().iter().filter(|s| s.step > since_step);
        let steps: Vec<Step> = steps.cloned().collect();
        let evaluations = session.evaluations().to_vec();
        let sentence = session.sentence();
        self.pages.emit(to, Event::Started { run });
        if !steps.is_empty() {
            self.pages.emit(to, Event::Steps { steps });
        }
        for evaluation in evaluations {
            self.pages.emit(to, Event::Evaluated { evaluation });
        }
        for event in sentence {
            self.pages.emit_with_parts(to, event);
        }
    }

    fn take_files(&mut self, name: &str, files: Vec<String>, blobs: Vec<Vec<u8>>) -> Done {
        self.require_no_run(Control::Teacher)?;
        same_number(Control::Teacher, &files, &blobs)?;
        let mut files: BTreeMap<String, Vec<u8>> = files.into_iter().zip(blobs).collect();
        let modules = files.get("modules.json").map(Vec::as_slice);
        let head = SentenceHead::files(name, modules);
        let (_, head) = head.map_err(|e| (Control::Teacher, e.to_string()))?;
        // A dropped folder may hold anything; what no model needs would only count as a change of the teacher.
        files.retain(|name, _| {
            name == "config.json" || Folder::is_part_of_a_model(name) || head.contains(name)
        });
        self.take_teacher(Folder::from_files(name, files))
    }

    fn take_teacher(&mut self, folder: Folder) -> Done {
        let wrong = |e: ModelError| (Control::Teacher, e.to_string());
        folder.sentence_head().map_err(wrong)?;
        folder.tokenizer().map_err(wrong)?;
        Weights::open(&folder)
            .and_then(|weights| weights.check())
            .map_err(wrong)?;
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
        self.pages.emit(To::All, Event::Teacher { teacher });
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
        self.texts = count_lines(texts, Documents::Lines)?;
        self.emit_texts(To::All);
        Ok(())
    }

    /// A student of an earlier run, and its teacher unless that is at hand. What is wrong with them is told where sentences are written.
    async fn take_student(
        &mut self,
        recipe: &Recipe,
        (teacher, files): (Vec<String>, Vec<String>),
        mut blobs: Vec<Vec<u8>>,
    ) -> Done {
        if self.session.is_some() {
            return Ok(());
        }
        let at_sentence = |message: String| Troubles::from((Control::Sentence, message));
        let names: Vec<String> = teacher.iter().chain(&files).cloned().collect();
        same_number(Control::Sentence, &names, &blobs)?;
        let folder = |name: &str, files: Vec<String>, blobs: Vec<Vec<u8>>| {
            Folder::from_files(name, files.into_iter().zip(blobs).collect())
        };
        let student = folder("student", files, blobs.split_off(teacher.len()));
        let teacher = match (teacher.is_empty(), &self.teacher) {
            (false, _) => Rc::new(folder(&recipe.teacher, teacher, blobs)),
            (true, Some(teacher)) if teacher.info.name == recipe.teacher => teacher.folder.clone(),
            (true, _) => {
                let message = format!(
                    "the current teacher is not {}, from which this student learnt: choose that one",
                    recipe.teacher
                );
                return Err(at_sentence(message));
            }
        };
        let reader = Reader::open(recipe, &teacher, &student, &self.pages).await;
        self.reader = Some(reader.map_err(|error| at_sentence(error.to_string()))?);
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
        let claim = self.pages.world.claim().await;
        Ok(claim.map_err(|message| (Control::Run, message))?)
    }

    async fn start(&mut self, mut recipe: Recipe) -> Done {
        self.require_no_run(Control::Run)?;
        let data = self.data()?;
        recipe.teacher = data.teacher.name().to_owned();
        recipe.corpus = data.texts.iter().map(|(name, _)| name.clone()).collect();
        self.claim().await?;
        self.open(recipe, &data, None).await?;
        self.pages.keep_inputs(&data.teacher, &data.texts).await;
        self.emit_run(To::All, 0);
        self.begin().await?;
        self.save().await?;
        self.enter(RunState::Running);
        Ok(())
    }

    /// Opens a session: a new one, or one that goes on.
    async fn open(&mut self, recipe: Recipe, data: &Data, past: Option<Past>) -> Done {
        self.session = None;
        self.searches.clear();
        self.enter(RunState::Preparing);
        self.pages.stage(Stage::Compiling, 0, 0);
        let documents = recipe.documents().map_err(RunError::from)?;
        let corpus = Corpus::in_memory(data.texts.clone(), documents).map_err(RunError::from)?;
        let (checkpoint, steps, evaluations) = match past {
            Some(past) => (Some(past.checkpoint), past.steps, past.evaluations),
            None => (None, Vec::new(), Vec::new()),
        };
        if recipe.has_assistant() {
            let message =
                "only `limbeck distill` trains a teacher assistant; leave assistant_steps out";
            return refuse(message);
        }
        if recipe.student.vocabulary.is_some() {
            let message =
                "only `limbeck distill` prunes a vocabulary; leave student.vocabulary out";
            return refuse(message);
        }
        let opening = Opening {
            recipe,
            teacher: data.teacher.clone(),
            start: None,
            corpus,
            checkpoint,
            steps,
            evaluations,
        };
        self.session = Some(Session::open(opening, &self.pages).await?);
        self.reader = None;
        self.pages.ready();
        Ok(())
    }

    /// The fresh student is drawn and measured.
    async fn begin(&mut self) -> Done {
        self.sample().await?;
        if let Some(session) = &mut self.session {
            session.begin(&mut self.pages).await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Done {
        if let Some(session) = &mut self.session {
            session.save(&mut self.pages).await?;
        }
        Ok(())
    }

    /// A part of a search if one waits, else a step.
    async fn work(&mut self) {
        let Some((client, ..)) = self.searches.first() else {
            return self.step().await;
        };
        let to = To::One(*client);
        match self.search().await {
            Ok(None) => return,
            Ok(Some(found)) => {
                self.pages.emit(to, Event::Found { found });
                self.pages.ready();
            }
            Err(Troubles(troubles)) => {
                let at_search = |(_, message)| (Control::Search, message);
                let troubles = troubles.into_iter().map(at_search).collect();
                self.refuse(to, Troubles(troubles));
            }
        }
        self.searches.remove(0);
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
        session.advance(&mut self.pages).await?;
        let (finished, milestone) = (session.is_finished(), session.is_milestone());
        // Whoever takes single steps wants to see each.
        let single = self.state != RunState::Running;
        let due = single || self.pages.is_due();
        if due {
            self.pages.emit_steps();
        }
        if milestone || single || (due && session.may_sample()) {
            self.sample().await?;
        }
        if finished {
            let halt = Halt::Finished;
            self.enter(RunState::Ended { halt });
        }
        Ok(())
    }

    /// Sends what the student makes of the sentences, unless that of this step is sent already.
    async fn sample(&mut self) -> Done {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let sampled = session.sample(&self.pages).await;
        for event in sampled.map_err(RunError::from)? {
            self.pages.emit_with_parts(To::All, event);
        }
        Ok(())
    }

    async fn pause(&mut self) -> Done {
        if self.state != RunState::Running {
            return refuse("there is no run to pause");
        }
        self.enter(RunState::Paused);
        self.save().await?;
        self.sample().await
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
        self.save().await?;
        self.sample().await?;
        self.enter(RunState::Ended {
            halt: Halt::Stopped,
        });
        Ok(())
    }

    async fn restore(&mut self) -> Done {
        self.require_no_run(Control::Run)?;
        if self.pages.saved.is_none() {
            return refuse("there is no saved run");
        }
        self.claim().await?;
        // Another program may have trained on it since this one began.
        self.pages.read_saved().await;
        let Some(index) = self.pages.saved.clone() else {
            return refuse("there is no saved run any more");
        };
        let index = index.map_err(|message| (Control::Checkpoint, message))?;
        self.pages.stage(Stage::Reading, 0, 0);
        let read = saved::read(&self.pages.world, &index).await;
        let (teacher, texts, checkpoint) =
            read.map_err(|message| (Control::Checkpoint, message))?;
        let checkpoint = parse(&checkpoint)?;
        self.take_teacher(teacher)?;
        let documents = checkpoint.header.recipe.documents();
        self.texts = count_lines(texts, documents.map_err(RunError::from)?)?;
        self.emit_texts(To::All);
        let data = self.data()?;
        let step = checkpoint.header.step;
        let damage = index.damage();
        let (mut steps, mut evaluations) = (index.steps, index.evaluations);
        steps.retain(|s| s.step <= step);
        evaluations.retain(|e| e.step <= step);
        let past = Past {
            checkpoint,
            steps,
            evaluations,
        };
        self.take_up(&data, past).await?;
        self.begin().await?;
        self.wait();
        if let Some(message) = damage {
            let control = Control::Checkpoint;
            self.pages
                .emit(To::All, Event::Refused { control, message });
        }
        Ok(())
    }

    /// Opens a session that goes on, with the teacher and texts at hand.
    async fn take_up(&mut self, data: &Data, past: Past) -> Done {
        let recipe = past.checkpoint.header.recipe.clone();
        self.open(recipe, data, Some(past)).await?;
        self.emit_saved(To::All);
        self.emit_run(To::All, 0);
        Ok(())
    }

    /// What was taken up takes no step by itself.
    fn wait(&mut self) {
        let finished = self.session.as_ref().is_some_and(Session::is_finished);
        self.enter(match finished {
            true => RunState::Ended {
                halt: Halt::Finished,
            },
            false => RunState::Paused,
        });
    }

    async fn import(&mut self, name: &str, mut blobs: Vec<Vec<u8>>) -> Done {
        self.require_no_run(Control::Checkpoint)?;
        let Some(bytes) = blobs.pop() else {
            return Err((Control::Checkpoint, format!("{name} is empty")).into());
        };
        let checkpoint = parse(&bytes)?;
        self.claim().await?;
        let data = self.data()?;
        let past = Past {
            checkpoint,
            steps: Vec::new(),
            evaluations: Vec::new(),
        };
        self.take_up(&data, past).await?;
        self.pages.keep_inputs(&data.teacher, &data.texts).await;
        // Before anything is measured: the inputs alone are no run that a page could take up.
        self.save().await?;
        self.begin().await?;
        self.wait();
        Ok(())
    }

    async fn discard(&mut self) -> Done {
        self.require_no_run(Control::Run)?;
        // Another program may be training on it.
        self.claim().await?;
        let forgotten = self.pages.world.forget().await;
        forgotten.map_err(|message| (Control::Storage, message))?;
        self.pages.saved = None;
        self.pages.checkpoint = None;
        self.emit_saved(To::All);
        Ok(())
    }

    async fn export(&mut self, client: u64, what: Export) -> Done {
        let Some(session) = &self.session else {
            return refuse("there is no run to export files from");
        };
        let mut left_out = Vec::new();
        let (name, files) = match what {
            Export::Student | Export::StudentWithOnnx => {
                let with_onnx = what == Export::StudentWithOnnx;
                if with_onnx {
                    let free = self.pages.world.free_memory();
                    onnx::require(&session.run().plan().student, free)
                        .map_err(|reason| (Control::Run, reason))?;
                }
                let mut files = session.student().await.map_err(of_device)?;
                if with_onnx {
                    left_out = onnx::add(&mut files);
                }
                ("student", files)
            }
            Export::Checkpoint => {
                let bytes = session.checkpoint().await.map_err(of_device)?;
                let file = format!("checkpoint-{}.safetensors", session.steps_taken());
                ("checkpoint", vec![(file, bytes)])
            }
        };
        let (files, blobs) = files.into_iter().unzip();
        let name = name.to_owned();
        self.pages
            .emit_with_parts(To::One(client), (Event::Files { name, files }, blobs));
        for message in left_out {
            let control = Control::Run;
            self.pages
                .emit(To::One(client), Event::Refused { control, message });
        }
        Ok(())
    }

    async fn choose(&mut self, client: u64, text: &str) -> Done {
        let session = match (&mut self.session, &mut self.reader) {
            (Some(session), _) => session,
            (None, Some(reader)) => {
                for event in reader.read(text).await? {
                    self.pages.emit_with_parts(To::One(client), event);
                }
                return Ok(());
            }
            (None, None) => {
                let message = "there is no run to draw relations of: start one first".to_owned();
                return Err((Control::Sentence, message).into());
            }
        };
        session.choose(text).await?;
        for event in session.sentence() {
            self.pages.emit_with_parts(To::All, event);
        }
        self.sample().await
    }

    /// A page searches for one text at a time, the newest.
    fn ask(&mut self, client: u64, text: String) -> Done {
        self.searches.retain(|(asker, ..)| *asker != client);
        let tokens = match &self.session {
            Some(session) => session.tokens(&text),
            None => Err("there is no student to search with: start a run first".to_owned()),
        };
        let tokens = tokens.map_err(|message| (Control::Search, message))?;
        self.searches.push((client, text, tokens));
        Ok(())
    }

    /// A part of the first search that waits, and what it finds if that was the last part.
    async fn search(&mut self) -> Result<Option<Found>, Troubles> {
        let (Some(session), Some((_, text, tokens))) = (&mut self.session, self.searches.first())
        else {
            return Ok(None);
        };
        session.search((text, tokens), &mut self.pages).await
    }

    async fn measure(&mut self, client: u64) -> Done {
        if matches!(self.state, RunState::Running | RunState::Preparing) {
            return refuse("a run is in progress: pause it before you measure");
        }
        self.pages.stage(Stage::Measuring, 0, 0);
        let figures = numbers::figures(&self.pages.world).await;
        self.pages.emit(To::One(client), Event::Numbers { figures });
        self.pages.ready();
        Ok(())
    }
}

/// What a command gives: nothing, or all that is wrong.
type Done = Result<(), Troubles>;

fn refuse(message: &str) -> Done {
    Err((Control::Run, message.to_owned()).into())
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

fn count_lines(texts: Vec<Text>, documents: Documents) -> Result<Vec<(TextInfo, Text)>, Troubles> {
    let wrong = |e: limbeck_corpus::CorpusError| (Control::Texts, e.to_string());
    let lines = Corpus::in_memory(texts.clone(), documents)
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
