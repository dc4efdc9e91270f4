//! What a run would cost, in words: from its sizes, and from the speed of the last run on this page.

use limbeck_protocol::{EngineInfo, EngineKind, RunInfo};
pub use limbeck_recipe::memory;
use limbeck_recipe::{Config, DeviceChoice, Estimate, Plan, Step};

/// Floating-point operations a second where nothing has been measured: a laptop's GPU in a browser.
const GPU_GUESS: f64 = 3e11;

/// Seconds per batch that a GPU spends on starting kernels, however small they are; assumed, as the speeds are.
const GPU_STARTS: f64 = 0.03;

/// One core in wasm.
const WASM_GUESS: f64 = 5e9;

/// All cores of a laptop.
const NATIVE_GUESS: f64 = 6e10;

/// Steps that a measured speed is the middle of.
const MEASURED_STEPS: usize = 40;

/// Steps without which there is none.
pub const LEAST_STEPS: usize = 3;

/// Memory that wasm can address is 4 GB; the rest is for texts and for what is being freed.
const WASM_MEMORY: f64 = 3e9;

/// Floating-point operations a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// How many.
    pub flops: f64,
    /// Seconds per batch that do not depend on its size.
    pub fixed: f64,
    /// Whether a run on this page has shown it.
    pub measured: bool,
}

/// Whether a run with this choice would compute on a GPU of this engine.
pub fn on_gpu(engine: Option<&EngineInfo>, choice: DeviceChoice) -> bool {
    let Some(engine) = engine else {
        return choice != DeviceChoice::Cpu;
    };
    match choice {
        DeviceChoice::Cpu => false,
        DeviceChoice::Gpu => true,
        DeviceChoice::Auto => engine.adapter.as_ref().is_some_and(|a| !a.software),
    }
}

/// The speed that is assumed until one is measured.
pub fn guess(engine: Option<&EngineInfo>, on_gpu: bool) -> Speed {
    let software = engine
        .and_then(|e| e.adapter.as_ref())
        .is_some_and(|adapter| adapter.software);
    let native = engine.is_some_and(|e| e.kind == EngineKind::Native);
    let (flops, fixed) = match (on_gpu && !software, native) {
        (true, _) => (GPU_GUESS, GPU_STARTS),
        (false, true) => (NATIVE_GUESS, 0.0),
        (false, false) => (WASM_GUESS, 0.0),
    };
    Speed {
        flops,
        fixed,
        measured: false,
    }
}

/// The speed of a run, by the middle of its last steps; none before it has taken three.
pub fn measured(run: &RunInfo, steps: &[Step], teacher: &Config) -> Option<Speed> {
    let plan = Plan::new(&run.recipe, teacher).ok()?;
    let last = steps.iter().rev().take(MEASURED_STEPS);
    let mut seconds: Vec<f64> = Vec::new();
    for step in last.filter(|step| step.seconds.is_finite() && step.seconds > 0.0) {
        seconds.insert(seconds.partition_point(|s| *s < step.seconds), step.seconds);
    }
    if seconds.len() < LEAST_STEPS {
        return None;
    }
    let middle = seconds[seconds.len() / 2];
    Some(Speed {
        flops: Estimate::of(&plan).flops / middle,
        fixed: 0.0,
        measured: true,
    })
}

/// Why the student cannot be held where the run would compute, if so; for its hidden size.
pub fn too_large(plan: &Plan, engine: Option<&EngineInfo>, on_gpu: bool) -> Option<String> {
    let engine = engine?;
    let bytes = Estimate::of(plan).peak;
    if !on_gpu {
        let wasm = engine.kind == EngineKind::Worker;
        return (wasm && bytes > WASM_MEMORY).then(|| {
            format!(
                "a run would need about {} of memory, and a browser allows 4 GB on the CPU: make the \
                 student narrower or the batch smaller",
                memory(bytes)
            )
        });
    }
    let limit = binding_limit(&engine.adapter.as_ref()?.limits)?;
    let (rows, hidden) = (
        plan.student.vocab_size as f64,
        plan.student.embedding_width() as f64,
    );
    let table = rows * hidden * 4.0;
    (table > limit as f64).then(|| {
        let widest = (limit as f64 / rows / 4.0).floor();
        format!(
            "the embedding table of {rows} x {hidden} takes {}, more than the {} that this GPU can bind at once: choose a hidden \
             size of at most {widest}, or the CPU",
            memory(table),
            memory(limit as f64)
        )
    })
}

/// WebGPU and wgpu write the same limit in two ways.
fn binding_limit(limits: &[(String, u64)]) -> Option<u64> {
    let plain = |name: &str| name.replace(['_', ' ', '-'], "").to_ascii_lowercase();
    let named = |(name, _): &&(String, u64)| plain(name) == "maxstoragebufferbindingsize";
    limits.iter().find(named).map(|(_, limit)| *limit)
}

/// `2.1 million`, `812 thousand`.
pub fn amount(number: u128) -> String {
    let number = number as f64;
    match number {
        n if n >= 1e9 => format!("{} billion", figures(n / 1e9)),
        n if n >= 1e6 => format!("{} million", figures(n / 1e6)),
        n if n >= 1e3 => format!("{} thousand", figures(n / 1e3)),
        n => format!("{n}"),
    }
}

/// `4.2 ms`, `12 s`, `3 min`, `2.5 h`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.9995 => format!("{} ms", figures(s * 1e3)),
        s if s < 120.0 => format!("{} s", figures(s)),
        s if s < 7200.0 => format!("{} min", figures(s / 60.0)),
        s if s < 172_800.0 => format!("{} h", figures(s / 3600.0)),
        s => format!("{} days", figures(s / 86_400.0)),
    }
}

/// How much faster or slower than a guess a device may be: phones and old laptops have taken 27 times as long.
const GUESSED: (f64, f64) = (0.1, 30.0);

/// What a guess amounts to: `37 ms to 11 s`.
pub fn between(seconds: f64) -> String {
    let (fast, slow) = GUESSED;
    format!(
        "{} to {}",
        duration(seconds * fast),
        duration(seconds * slow)
    )
}

/// Two figures below ten, whole numbers above.
fn figures(number: f64) -> String {
    if number < 9.95 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}

#[cfg(test)]
mod tests {
    use limbeck_protocol::Adapter;
    use limbeck_recipe::{Init, Recipe};

    use super::*;
    use crate::examples;
    use crate::form::presets::presets;

    fn teacher() -> Config {
        let json = include_bytes!("../../../../assets/teacher/config.json");
        Config::parse("config.json", json).expect("the bundled config")
    }

    fn engine(adapter: Option<Adapter>) -> EngineInfo {
        EngineInfo {
            kind: EngineKind::Worker,
            software: "limbeck".into(),
            adapter,
            cpu: "1 core".into(),
            keeps: "nowhere".into(),
        }
    }

    fn adapter(software: bool) -> Adapter {
        Adapter {
            name: "test".into(),
            software,
            f16: false,
            limits: vec![("max_storage_buffer_binding_size".into(), 128 << 20)],
        }
    }

    fn step(seconds: f64) -> Step {
        examples::step(1, 1.0, seconds)
    }

    #[test]
    fn a_measured_speed_gives_its_own_time_back() {
        let recipe = (presets()[0].recipe)();
        let plan = Plan::new(&recipe, &teacher()).expect("a plan");
        let run = RunInfo {
            recipe,
            on_gpu: true,
            ..examples::info()
        };
        let steps = [5.0, 0.2, 0.2, 0.25, 0.2].map(step);
        let speed = measured(&run, &steps, &teacher()).expect("five steps");
        assert!((Estimate::of(&plan).flops / speed.flops - 0.2).abs() < 1e-12);
        assert!(measured(&run, &steps[..2], &teacher()).is_none());
        assert!(measured(&run, &[0.0, f64::NAN, 0.0].map(step), &teacher()).is_none());
    }

    #[test]
    fn a_software_adapter_counts_as_a_cpu() {
        let software = engine(Some(adapter(true)));
        assert!(!on_gpu(Some(&software), DeviceChoice::Auto));
        assert_eq!(guess(Some(&software), true).flops, WASM_GUESS);
        let real = engine(Some(adapter(false)));
        assert!(on_gpu(Some(&real), DeviceChoice::Auto));
        assert!(!on_gpu(Some(&real), DeviceChoice::Cpu));
        assert!(!on_gpu(Some(&engine(None)), DeviceChoice::Auto));
    }

    #[test]
    fn a_table_beyond_the_binding_limit_is_refused() {
        let engine = engine(Some(adapter(false)));
        let wide = |hidden: usize| {
            let mut recipe: Recipe = (presets()[0].recipe)();
            recipe.student.hidden = hidden;
            recipe.student.init = Init::Random;
            Plan::new(&recipe, &teacher()).expect("a plan")
        };
        assert_eq!(too_large(&wide(1088), Some(&engine), true), None);
        let refused = too_large(&wide(1104), Some(&engine), true).expect("too wide");
        assert!(refused.contains("at most 1099, or the CPU"), "{refused}");
        assert_eq!(too_large(&wide(1104), Some(&engine), false), None);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(amount(2_123_456), "2.1 million");
        assert_eq!(memory(64e6), "64 MB");
        assert_eq!(duration(0.0042), "4.2 ms");
        assert_eq!(duration(90.0), "90 s");
        assert_eq!(duration(9000.0), "2.5 h");
        assert_eq!(between(0.37), "37 ms to 11 s");
    }
}
