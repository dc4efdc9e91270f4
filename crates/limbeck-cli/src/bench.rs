//! `limbeck bench`: what this machine does at most, whether each kernel is right there and how fast it is, and what whole
//! steps take.

mod ceilings;
mod clock;
mod cpu;
mod judging;
mod kernels;
mod report;
mod share;
mod steps;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use clap::Args;
use limbeck_engine::Opened;
use limbeck_model::{Encoder, ModelError, to_host};
use limbeck_recipe::{
    Compute, DeviceChoice, Mixed, Operation, Plan, beyond_buffer, beyond_memory,
    memory as in_bytes, parameter_count,
};

use crate::error::CliError;
use crate::interrupt::on_interrupt;
use crate::progress::Progress;
use crate::{device, memory, terminal};
use clock::{Patience, median, timed};
use judging::{Judging, Verdict};
use report::{LeftOut, Machine, Report};
use share::Ceilings;
use steps::{Kind, PHASES, Sizes, Steps, Times};

/// Seconds that it may take, unless the flags say otherwise.
const BUDGET: f64 = 120.0;
const QUICK_BUDGET: f64 = 20.0;
/// A day.
const LONGEST: f64 = 86_400.0;
/// The part of the budget that each ceiling may take, and all kernels together.
const OF_CEILING: f64 = 0.03;
const OF_KERNELS: f64 = 0.4;
/// A kernel or step takes so many times what the ceilings ask for, until it has been seen.
const SLOWER: f64 = 2.0;
/// Calls of a kernel, or steps, at the least: one that compiles, one that is timed. A step on a GPU is taken once more, to
/// wait for its phases.
const CALLS: f64 = 2.0;
const STEPS_ON_GPU: f64 = 3.0;
/// The part of the time left that trying one sequence may take, by the same guess.
const OF_TRIAL: f64 = 0.25;
/// Memory of a kernel's call in its bytes: what it makes besides may be as much again.
const TENSORS: f64 = 2.0;
/// Steps that are timed at the most, and so many more where phases are waited for.
const MOST_STEPS: usize = 20;
const MOST_STEPS_QUICK: usize = 8;
const MOST_WAITED: usize = 5;
/// Random weights that are made a second, roughly.
const WEIGHTS_A_SECOND: f64 = 5e7;

/// Flags of `limbeck bench`.
#[derive(Args)]
pub struct Arguments {
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
    /// Small tensors and one small step, in 20 seconds at most
    #[arg(long)]
    quick: bool,
    /// Seconds that it may take; what does not fit is left out, and the report says so [default: 120, with --quick 20]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Besides the ceilings, measure only what has this in its name, such as attention or step
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Print one JSON object instead of Markdown
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|seconds: &f64| *seconds > 0.0 && *seconds <= LONGEST);
    number.ok_or_else(|| format!("`{text}` is not a number of seconds above 0 and up to {LONGEST}"))
}

/// Runs `limbeck bench`.
///
/// # Errors
/// There is no such device, or nothing is called as `--only` says.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let begin = Instant::now();
    let only = arguments.only.as_deref().unwrap_or_default();
    // A name that nothing has on any device is refused before one is opened.
    let (kernels, steps) = selected(arguments, Some(Mixed::Portable));
    if kernels.is_empty() && steps.is_empty() {
        return Err(CliError::Usage(format!(
            "--only {only}: no measurement has that in its name. Names are those of the report, such as linear, mixed precision, \
             attention, relation loss, projections, feed-forward part, GELU, rotary positions, LayerNorm, embedding, AdamW or step"
        )));
    }
    let (opened, adapter) = device::open_with_adapter(arguments.device)?;
    let mixed = Compute::Mixed.on(opened.on_gpu, opened.cooperative);
    let (kernels, steps) = selected(arguments, mixed);
    if kernels.is_empty() && steps.is_empty() {
        return Err(CliError::Usage(format!(
            "--only {only}: that is mixed precision, which only a GPU has. Leave it out, or use --device gpu"
        )));
    }
    let adapter_facts = adapter.as_ref().map(report::described);
    let mut bench = Bench::new(begin, arguments, opened, adapter_facts)?;
    let most = 2 + bench.sides().len() + kernels.len() + steps.len();
    bench.progress.expect(most as u64);
    bench.measure_ceilings();
    bench.measure_kernels(&kernels);
    bench.measure_steps(&steps);
    let report = bench.end();
    let mut out = std::io::stdout().lock();
    match arguments.json {
        true => writeln!(out, "{}", serde_json::json!(report))?,
        false => writeln!(out, "{}", report.markdown(adapter.as_ref()))?,
    }
    Ok(match report.is_sound() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The kernels and steps that are asked for, of a device with such mixed precision.
fn selected(arguments: &Arguments, mixed: Option<Mixed>) -> (Vec<kernels::Kernel>, Vec<Sizes>) {
    let mut kernels = kernels::table(if arguments.quick { 2 } else { 32 }, mixed);
    let mut steps = step_sizes(arguments.quick);
    let Some(only) = &arguments.only else {
        return (kernels, steps);
    };
    let asked = only.to_lowercase();
    let is_asked = |name: String| name.to_lowercase().contains(&asked);
    kernels.retain(|kernel| is_asked(name_of_kernel(kernel)));
    steps.retain(|sizes| is_asked(name_of_step(sizes)));
    (kernels, steps)
}

fn step_sizes(quick: bool) -> Vec<Sizes> {
    let sizes = |teacher, student, relation_heads, batch, length| Sizes {
        kind: Kind::Bert,
        teacher,
        student,
        relation_heads,
        batch,
        length,
    };
    match quick {
        true => vec![sizes([6, 384], [3, 192], 12, 8, 128)],
        false => vec![
            sizes([6, 384], [3, 192], 12, 32, 128),
            sizes([12, 768], [6, 384], 48, 32, 128),
            sizes([12, 768], [6, 384], 48, 128, 128),
            sizes([12, 768], [6, 384], 48, 16, 512),
        ],
    }
}

fn name_of_kernel(kernel: &kernels::Kernel) -> String {
    format!("{}, {}", kernel.name, kernel.sizes)
}

fn name_of_step(sizes: &Sizes) -> String {
    format!("step {}", sizes.name())
}

/// A flag that the first signal sets.
fn stop_flag() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    on_interrupt(move || {
        seen.store(true, Ordering::SeqCst);
        terminal::say("Stopping after this measurement. Ctrl-c again ends at once.");
    })?;
    Ok(stop)
}

/// What a measurement takes at the least.
#[derive(Clone, Copy, Default)]
struct Needs {
    /// Unknown where nothing like it was measured.
    seconds: Option<f64>,
    /// Of memory.
    bytes: f64,
}

impl Needs {
    fn bytes(bytes: usize) -> Self {
        Self {
            bytes: bytes as f64,
            ..Self::default()
        }
    }
}

/// Measurements on one device, and what there is of the report.
struct Bench {
    device: Device,
    largest_tensor: Option<u64>,
    on_gpu: bool,
    /// What a run computes its teacher with in mixed precision, unless its recipe says more.
    mixed: Option<Mixed>,
    begin: Instant,
    stop: Arc<AtomicBool>,
    /// Why nothing more can be measured, if so.
    lost: bool,
    progress: Progress,
    report: Report,
}

impl Bench {
    fn new(
        begin: Instant,
        arguments: &Arguments,
        opened: Opened,
        adapter: Option<serde_json::Value>,
    ) -> Result<Self, CliError> {
        let usual = if arguments.quick {
            QUICK_BUDGET
        } else {
            BUDGET
        };
        let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
        Ok(Self {
            stop: stop_flag()?,
            begin,
            lost: false,
            progress: Progress::new(false),
            report: Report {
                limbeck: env!("CARGO_PKG_VERSION"),
                quick: arguments.quick,
                budget_s: arguments.budget.unwrap_or(usual),
                seconds: 0.0,
                stopped: false,
                machine: Machine {
                    system: format!("{system} {architecture}"),
                    cpu: cpu::name(),
                    threads: rayon::current_num_threads(),
                    device: if opened.on_gpu { "gpu" } else { "cpu" },
                    adapter,
                },
                ceilings: Ceilings::default(),
                kernels: Vec::new(),
                steps: Vec::new(),
                left_out: Vec::new(),
            },
            largest_tensor: opened.largest_tensor,
            on_gpu: opened.on_gpu,
            mixed: Compute::Auto.on(opened.on_gpu, opened.cooperative),
            device: opened.device,
        })
    }

    fn end(mut self) -> Report {
        self.progress.finish();
        self.report.seconds = self.begin.elapsed().as_secs_f64();
        self.report.stopped = self.is_stopped();
        self.report.compare();
        self.report
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Seconds of the budget.
    fn left(&self) -> f64 {
        self.report.budget_s - self.begin.elapsed().as_secs_f64()
    }

    /// Times a call within so many seconds.
    fn timed(
        &self,
        seconds: f64,
        call: impl FnMut() -> Result<(), String>,
    ) -> Result<clock::Timed, String> {
        let patience = Patience {
            seconds,
            go_on: &|| !self.is_stopped(),
        };
        timed(patience, call, || ceilings::wait(&self.device))
    }

    /// Measures one thing, or says why not.
    fn measure<T>(
        &mut self,
        name: &str,
        needs: Needs,
        work: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Option<T> {
        self.progress.enter(self.progress.position(), name);
        let result = match self.obstacle(needs) {
            Some(obstacle) => Err((obstacle, false)),
            None => {
                let device = self.device.clone();
                let result = guarded(&device, || work(self));
                result.map_err(|failure| (failure, true))
            }
        };
        self.progress.advance();
        match result {
            Ok(measured) => Some(measured),
            Err((reason, failed)) => {
                self.lost |= failed && guarded(&self.device, || Ok(())).is_err();
                self.leave_out(name, reason, failed);
                None
            }
        }
    }

    fn leave_out(&mut self, name: &str, reason: String, failed: bool) {
        self.report.left_out.push(LeftOut {
            name: name.to_owned(),
            reason,
            failed,
        });
    }

    /// Why there is nothing to begin with.
    fn obstacle(&self, needs: Needs) -> Option<String> {
        let left = self.left();
        // What a GPU has free, nobody says.
        let free = memory::free()
            .filter(|_| !self.on_gpu)
            .map(|free| free as f64);
        if self.is_stopped() {
            return Some("it was stopped".to_owned());
        }
        if self.lost {
            return Some("the device had failed and did not come back".to_owned());
        }
        if let Some(free) = free.filter(|free| needs.bytes > *free) {
            let [needs, free] = [needs.bytes, free].map(in_bytes);
            return Some(format!(
                "it takes about {needs} of memory, and {free} are free here"
            ));
        }
        if left <= 0.0 {
            return Some("no time was left".to_owned());
        }
        let needs = needs.seconds.filter(|needs| *needs > left)?;
        Some(format!(
            "it takes about {needs:.0} s, and {left:.0} s were left; --budget gives more"
        ))
    }

    /// Rows of the squares that are multiplied.
    fn sides(&self) -> &'static [usize] {
        match self.report.quick {
            true => &[512, 1024],
            false => &[1024, 2048, 4096],
        }
    }

    fn measure_ceilings(&mut self) {
        let slice = OF_CEILING * self.report.budget_s;
        let stop = self.stop.clone();
        let patience = Patience {
            seconds: slice,
            go_on: &|| !stop.load(Ordering::SeqCst),
        };
        let most = self.largest_tensor.unwrap_or(u64::MAX);
        let bytes = ceilings::COPIED / if self.report.quick { 4 } else { 1 };
        let bytes = bytes.min(usize::try_from(most).unwrap_or(usize::MAX));
        let copied = self.measure("copying memory", Needs::bytes(2 * bytes), |bench| {
            ceilings::copied_bytes_a_second(&bench.device, bytes, patience)
        });
        let ceilings = &mut self.report.ceilings;
        ceilings.copy_gb_per_s = copied.map(|rate| rate / 1e9);
        ceilings.copy_bytes = bytes;
        for side in self.sides() {
            let flops = 2.0 * (*side as f64).powi(3);
            let of = format!("{side} x {side} x {side}");
            let seconds = self.report.ceilings.matmul_gflops;
            let seconds = seconds.map(|rate| (CALLS + 1.0) * flops / rate / 1e9);
            if seconds.is_some_and(|seconds| seconds > slice) || 4 * side.pow(2) as u64 > most {
                // One more size of a ceiling that there is: nobody misses it.
                self.progress.advance();
                continue;
            }
            let needs = Needs {
                seconds,
                ..Needs::bytes(3 * 4 * side.pow(2))
            };
            let rate = self.measure(&format!("matmul {of}"), needs, |bench| {
                ceilings::matmul_flops_a_second(&bench.device, *side, patience)
            });
            (self.report.ceilings).raise(rate.map(|rate| rate / 1e9), &of);
        }
        let smallest = self.measure("smallest operation", Needs::default(), |bench| {
            ceilings::smallest_operation(&bench.device, patience)
        });
        let [among_many, alone] = smallest.map_or([None; 2], |times| times.map(|s| Some(1e6 * s)));
        let ceilings = &mut self.report.ceilings;
        (ceilings.launch_us, ceilings.launch_and_wait_us) = (among_many, alone);
    }

    fn measure_kernels(&mut self, kernels: &[kernels::Kernel]) {
        let judging = Judging::new(&self.device);
        let slice = OF_KERNELS * self.report.budget_s / kernels.len().max(1) as f64;
        for kernel in kernels {
            let seconds = self.report.ceilings.seconds(kernel.flops, kernel.bytes);
            let needs = Needs {
                seconds: seconds.map(|seconds| CALLS * SLOWER * seconds),
                bytes: TENSORS * kernel.bytes,
            };
            let measured = self.measure(&name_of_kernel(kernel), needs, |bench| {
                let judged = judging.verdict(kernel.judge);
                let call = (kernel.prepare)(&bench.device)?;
                Ok((judged, bench.timed(slice, call)?))
            });
            let Some((judged, took)) = measured else {
                continue;
            };
            let rate = |amount: f64| amount / took.seconds / 1e9;
            let is_right = matches!(judged, Verdict::Right | Verdict::Reference);
            if is_right && kernel.multiplies() {
                let ceilings = &mut self.report.ceilings;
                match kernel.is_mixed() {
                    true => ceilings.raise_mixed(kernel.flops.map(rate)),
                    false => ceilings.raise(kernel.flops.map(rate), &kernel.sizes),
                }
            }
            self.report.kernels.push(report::Kernel {
                name: kernel.name,
                sizes: kernel.sizes.clone(),
                judged,
                ms: 1e3 * took.seconds,
                calls: took.calls,
                repeats: took.repeats,
                gflops: kernel.flops.map(rate),
                gb_per_s: rate(kernel.bytes),
                is_mixed: kernel.is_mixed(),
                of_ceiling: None,
            });
        }
    }

    fn measure_steps(&mut self, steps: &[Sizes]) {
        let mut teacher = None;
        for (index, sizes) in steps.iter().enumerate() {
            let name = name_of_step(sizes);
            let Some((plan, mut seconds)) = self.planned(sizes, &name) else {
                continue;
            };
            let others = (steps.len() - index) as f64;
            if seconds.is_some_and(|guess| guess > self.left()) {
                seconds = self.tried(sizes, &mut teacher, seconds);
            }
            // Its plan was set beside the memory.
            let needs = Needs {
                seconds,
                bytes: 0.0,
            };
            let step = self.measure(&name, needs, |bench| {
                let teacher = teacher_of(&mut teacher, sizes, &bench.device)?;
                bench.stepped(sizes, &plan, teacher, bench.left() / others)
            });
            self.report.steps.extend(step);
        }
    }

    /// The plan of steps that fit the device, and how many seconds they need at the least.
    fn planned(&mut self, sizes: &Sizes, name: &str) -> Option<(Plan, Option<f64>)> {
        let plan = sizes.teacher_config().map_err(|e| e.to_string());
        let plan = plan.and_then(|config| sizes.plan(&config).map_err(|e| e.to_string()));
        let fits = plan.and_then(|plan| {
            let mistake = match self.on_gpu {
                true => self
                    .largest_tensor
                    .and_then(|most| beyond_buffer(&plan, most as f64)),
                false => memory::free().and_then(|free| beyond_memory(&plan, free as f64)),
            };
            mistake.map_or(Ok(plan), |mistake| Err(mistake.message))
        });
        match fits {
            Ok(plan) => {
                let step = self.report.ceilings.seconds(Some(sizes.flops(&plan)), 0.0);
                let weights = parameter_count(&plan.teacher) as f64;
                let steps = self.least_steps() * SLOWER;
                let needs = step.map(|step| steps * step + weights / WEIGHTS_A_SECOND);
                Some((plan, needs))
            }
            Err(reason) => {
                self.leave_out(name, reason, false);
                self.progress.advance();
                None
            }
        }
    }

    /// How many seconds steps need that a guess from the ceilings would leave out: a ceiling that was measured while the machine did
    /// something else is too low. One sequence is tried, unless that takes too long, too. The least of both guesses.
    fn tried(
        &self,
        sizes: &Sizes,
        teacher: &mut Option<([usize; 2], Encoder)>,
        guess: Option<f64>,
    ) -> Option<f64> {
        let alone = Sizes { batch: 1, ..*sizes };
        let share = alone.tokens() as f64 / sizes.tokens() as f64;
        if self.is_stopped() || guess.is_none_or(|guess| share * guess > OF_TRIAL * self.left()) {
            return guess;
        }
        let took = guarded(&self.device, || {
            let teacher = teacher_of(teacher, sizes, &self.device)?;
            let steps = Steps::new(&alone, teacher, self.mixed);
            let mut steps = pollster::block_on(steps).map_err(|e| e.to_string())?;
            let mut take = || pollster::block_on(steps.take(false)).map_err(|e| e.to_string());
            // The first one compiles.
            take()?;
            take()
        });
        // What fails here fails there, where it is said.
        let tried = took.map(|took| self.least_steps() * took.seconds / share);
        guess.map(|guess| tried.map_or(guess, |tried| tried.min(guess)))
    }

    /// Steps that are taken at the least.
    fn least_steps(&self) -> f64 {
        if self.on_gpu { STEPS_ON_GPU } else { CALLS }
    }

    /// Times steps for so many seconds.
    fn stepped(
        &self,
        sizes: &Sizes,
        plan: &Plan,
        teacher: Encoder,
        seconds: f64,
    ) -> Result<report::Step, String> {
        let begin = Instant::now();
        let mut steps = pollster::block_on(Steps::new(sizes, teacher, self.mixed))
            .map_err(|e| e.to_string())?;
        let mut take = |wait| pollster::block_on(steps.take(wait)).map_err(|e| e.to_string());
        let first = take(false)?;
        // What the second step launches, every later one does.
        let (second, launches) = device::counting_launches(|| take(false));
        let mut whole = vec![second?];
        let fits = |steps: f64, last: &Times| {
            let end = begin.elapsed().as_secs_f64() + steps * last.seconds;
            end < seconds && !self.is_stopped()
        };
        let most = match self.report.quick {
            true => MOST_STEPS_QUICK,
            false => MOST_STEPS,
        };
        while whole.len() < most && whole.last().is_some_and(|last| fits(2.0, last)) {
            whole.push(take(false)?);
        }
        // On the CPU every phase is done when it ends.
        let mut waited = whole.clone();
        if self.on_gpu {
            waited = vec![take(true)?];
            while waited.len() < MOST_WAITED && waited.last().is_some_and(|last| fits(1.0, last)) {
                waited.push(take(true)?);
            }
        }
        let took = median(whole.iter().map(|times| times.seconds).collect());
        let phase = |at: usize| 1e3 * median(waited.iter().map(|times| times.phases[at]).collect());
        let flops = sizes.flops(plan);
        let kernels = steps.kernels();
        let is_mixed = kernels.mixed().is_some();
        let teacher = match is_mixed {
            true => ", teacher in mixed precision",
            false => "",
        };
        let plain = Operation::ALL.into_iter().filter(|op| !kernels.has(*op));
        Ok(report::Step {
            name: sizes.name() + teacher,
            is_mixed,
            plain: plain.map(Operation::name).collect(),
            ms: 1e3 * took,
            repeats: whole.len(),
            phases_ms: PHASES.into_iter().zip((0..).map(phase)).collect(),
            tokens_per_s: sizes.tokens() as f64 / took,
            gflops: flops / took / 1e9,
            of_ceiling: None,
            launches: self.on_gpu.then(|| launches.values().sum()),
            launches_by_kernel: launches,
            first_loss: first.loss,
            last_loss: waited.last().map_or(first.loss, |times| times.loss),
        })
    }
}

/// The random teacher of steps of these sizes: the one of before, if it is as large.
fn teacher_of(
    last: &mut Option<([usize; 2], Encoder)>,
    sizes: &Sizes,
    device: &Device,
) -> Result<Encoder, String> {
    if let Some((_, teacher)) = last.as_ref().filter(|last| last.0 == sizes.teacher) {
        return Ok(teacher.clone());
    }
    // Its memory goes before that of the next one is taken.
    *last = None;
    let config = sizes.teacher_config().map_err(|e| e.to_string())?;
    let teacher = Encoder::random(&config, 1, device).map_err(|e| e.to_string())?;
    *last = Some((sizes.teacher, teacher.clone()));
    Ok(teacher)
}

/// Does work on a device. A failure is a sentence, be it an error, a panic on the way or something that the device says
/// only when it is asked for a number.
fn guarded<T>(device: &Device, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let asked = || {
        let number = Tensor::<1>::ones([1], &device.clone().without_autodiff());
        pollster::block_on(to_host(number)).map_err(in_words)
    };
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(said(&*panic)));
    let answer = catch_unwind(AssertUnwindSafe(asked)).unwrap_or_else(|panic| Err(said(&*panic)));
    device.memory_cleanup();
    // What the device says is the cause of what the work says.
    answer.and(done)
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    in_words(ModelError::device(text.unwrap_or("it gave up")))
}

fn in_words(error: ModelError) -> String {
    match error {
        ModelError::NoRoom { .. } => "the device has no memory left for it".to_owned(),
        error => error.to_string(),
    }
}
