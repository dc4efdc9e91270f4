//! Where to compute: the GPUs of this machine, if this build has GPU support, and the CPU.

#[cfg_attr(not(feature = "gpu"), path = "device/no_gpu.rs")]
mod gpu;
#[cfg(feature = "gpu")]
mod launches;
mod quiet;

use std::io::Write;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Args;
use limbeck_engine::{Opened, heldout};
use limbeck_kernels::{Check, tested};
use limbeck_recipe::{DeviceChoice, Kernels, counted};

use crate::error::CliError;
use crate::terminal;

pub use gpu::counting_launches;
pub use quiet::keep_graphics_quiet;

/// WebGPU's names of the limits of a buffer, and of what of it a kernel may see.
const MOST_OF_A_BUFFER: &str = "maxBufferSize";
const MOST_OF_A_BINDING: &str = "maxStorageBufferBindingSize";

/// A GPU, for people to choose from.
pub struct Adapter {
    pub name: String,
    /// Vulkan, Metal or DX12.
    pub api: String,
    pub driver: String,
    /// What wgpu takes it for: `DiscreteGpu`, ...
    pub kind: String,
    /// Whether it is hardware, not a software GPU.
    pub real: bool,
    /// By WebGPU's names.
    pub limits: Vec<(String, u64)>,
    /// Whether shaders may compute with 16-bit floats.
    pub f16: bool,
    /// The least and the most threads of a subgroup, if shaders may use them.
    pub subgroups: Option<[u32; 2]>,
    /// Shapes of cooperative matrices.
    pub matrices: Vec<String>,
    /// Whether our kernels may use them: they multiply 16 by 16 numbers of f16 with sums in f32, in subgroups of 32 threads.
    pub cooperative: bool,
}

impl Adapter {
    /// Bytes of the largest tensor that it holds: a tensor is one buffer.
    fn largest_tensor(&self) -> Option<u64> {
        let limits = self.limits.iter();
        let limits = limits
            .filter(|(name, _)| [MOST_OF_A_BUFFER, MOST_OF_A_BINDING].contains(&name.as_str()));
        limits.map(|(_, most)| *most).min()
    }
}

/// Flags of `limbeck devices`.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Runs `limbeck devices`.
///
/// # Errors
/// Standard output cannot be written.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout().lock();
    let adapters = gpu::adapters();
    let automatic = adapters.iter().position(|adapter| adapter.real);
    if arguments.json {
        let cpu =
            serde_json::json!({ "device": "cpu", "cores": cores(), "auto": automatic.is_none() });
        writeln!(out, "{cpu}")?;
    } else {
        writeln!(
            out,
            "cpu   {}, with SIMD{}",
            cpu(),
            if automatic.is_none() {
                "   <- auto"
            } else {
                ""
            }
        )?;
    }
    for (index, adapter) in adapters.iter().enumerate() {
        let chosen = automatic == Some(index);
        if arguments.json {
            let gpu = serde_json::json!({
                "device": "gpu", "name": adapter.name, "api": adapter.api, "driver": adapter.driver,
                "kind": adapter.kind, "auto": chosen,
            });
            writeln!(out, "{gpu}")?;
        } else {
            let software = if adapter.real {
                ""
            } else {
                ", software: slower than the CPU; for tests"
            };
            writeln!(
                out,
                "gpu   {} ({}{software}){}",
                adapter.name,
                adapter.api,
                if chosen { "   <- auto" } else { "" }
            )?;
        }
    }
    if adapters.is_empty() && !arguments.json {
        writeln!(out, "gpu   {}. {}", gpu::NONE, gpu::REMEDY)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A device by its name in a recipe.
///
/// # Errors
/// Another name.
pub fn parse(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "gpu" => Ok(DeviceChoice::Gpu),
        _ => Err(format!("`{text}` is not auto, cpu or gpu")),
    }
}

/// The device of a choice and its name for people.
///
/// # Errors
/// A GPU is asked for and there is none.
pub fn open(choice: DeviceChoice) -> Result<(Device, String), CliError> {
    let opened = open_for_engine(choice)?;
    Ok((opened.device, opened.name))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the CPU computes with, such as `2 cores`, or `1 thread on 2 cores` where RAYON_NUM_THREADS says so.
pub fn cpu() -> String {
    let (cores, threads) = (cores(), rayon::current_num_threads());
    let all = counted(cores, "core");
    match threads == cores {
        true => all,
        false => format!("{} on {all}", counted(threads, "thread")),
    }
}

/// The device of a choice, with what an engine wants to know of it.
///
/// # Errors
/// See [`open()`].
pub fn open_for_engine(choice: DeviceChoice) -> Result<Opened, CliError> {
    Ok(open_with_adapter(choice)?.0)
}

/// The device of a choice, and the GPU if it is one.
///
/// # Errors
/// See [`open()`].
pub fn open_with_adapter(choice: DeviceChoice) -> Result<(Opened, Option<Adapter>), CliError> {
    let Some(adapter) = chosen(choice)? else {
        let opened = Opened {
            device: Device::flex(),
            name: format!("CPU, {}", cpu()),
            on_gpu: false,
            largest_tensor: None,
            cooperative: false,
            heldout_lines: heldout::LINES,
        };
        return Ok((opened, None));
    };
    let software = if adapter.real { "" } else { ", software" };
    let opened = Opened {
        device: gpu::open()?,
        name: format!("{} ({}{software})", adapter.name, adapter.api),
        on_gpu: true,
        largest_tensor: adapter.largest_tensor(),
        cooperative: adapter.cooperative,
        heldout_lines: heldout::LINES,
    };
    Ok((opened, Some(adapter)))
}

/// The GPU of a choice; none is the CPU.
fn chosen(choice: DeviceChoice) -> Result<Option<Adapter>, CliError> {
    if choice == DeviceChoice::Cpu {
        return Ok(None);
    }
    match (best(), choice) {
        (None, DeviceChoice::Gpu) => Err(CliError::Device(format!(
            "{}. {}, or use --device cpu",
            gpu::NONE,
            gpu::REMEDY
        ))),
        (best, choice) => Ok(best.filter(|best| best.real || choice == DeviceChoice::Gpu)),
    }
}

/// The GPU that `gpu` takes.
fn best() -> Option<Adapter> {
    let mut adapters = gpu::adapters();
    let real = adapters.iter().position(|adapter| adapter.real);
    (!adapters.is_empty()).then(|| adapters.swap_remove(real.unwrap_or(0)))
}

/// The GPU that `gpu` takes, for a page.
pub fn best_adapter() -> Option<limbeck_protocol::Adapter> {
    best().map(|adapter| limbeck_protocol::Adapter {
        name: adapter.name,
        software: !adapter.real,
        f16: adapter.f16,
        limits: adapter.limits,
    })
}

/// What is to compute on a device: our kernels, but plain tensor operations in place of those that fail these checks, which is said.
pub fn tested_kernels(device: &Device, checks: &[Check]) -> Kernels {
    let tested = pollster::block_on(tested(device, checks));
    if let Some(failure) = tested.failure() {
        terminal::say(self_test_failed(&failure));
    }
    tested.kernels
}

/// What to know when kernels of a device failed their test.
pub fn self_test_failed(failure: &str) -> String {
    format!(
        "Kernels failed their self-test on this device: {failure}. Using plain tensor operations in their place (f32 in that of \
         mixed precision), which are slower and take more memory. Update the graphics driver, or use --device cpu"
    )
}
