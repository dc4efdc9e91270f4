//! Where to compute: the GPUs of this machine, if this build has GPU support, and the CPU.

#[cfg_attr(not(feature = "gpu"), path = "device/no_gpu.rs")]
mod gpu;
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

pub use gpu::best_adapter;
pub use quiet::keep_graphics_quiet;

/// A GPU, for people to choose from.
struct Adapter {
    name: String,
    /// Vulkan, Metal or DX12.
    api: String,
    driver: String,
    /// What wgpu takes it for: `DiscreteGpu`, ...
    kind: String,
    /// Whether it is hardware, not a software GPU.
    real: bool,
    /// Bytes of the largest tensor that it holds: a tensor is one buffer.
    largest_tensor: u64,
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let adapters = gpu::adapters();
    let automatic = adapters.iter().position(|adapter| adapter.real);
    if arguments.json {
        let cpu =
            serde_json::json!({ "device": "cpu", "cores": cores, "auto": automatic.is_none() });
        writeln!(out, "{cpu}")?;
    } else {
        writeln!(
            out,
            "cpu   {}, with SIMD{}",
            counted(cores, "core"),
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

/// The device of a choice, with what an engine wants to know of it.
///
/// # Errors
/// See [`open()`].
pub fn open_for_engine(choice: DeviceChoice) -> Result<Opened, CliError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = || Opened {
        device: Device::flex(),
        name: format!("CPU, {}", counted(cores, "core")),
        on_gpu: false,
        largest_tensor: None,
        heldout_lines: heldout::LINES,
    };
    let gpu = |adapter: &Adapter| {
        let software = if adapter.real { "" } else { ", software" };
        Ok(Opened {
            device: gpu::open()?,
            name: format!("{} ({}{software})", adapter.name, adapter.api),
            on_gpu: true,
            largest_tensor: Some(adapter.largest_tensor),
            heldout_lines: heldout::LINES,
        })
    };
    if choice == DeviceChoice::Cpu {
        return Ok(cpu());
    }
    let adapters = gpu::adapters();
    let real = adapters.iter().find(|adapter| adapter.real);
    match (choice, real, adapters.first()) {
        (_, Some(adapter), _) | (DeviceChoice::Gpu, None, Some(adapter)) => gpu(adapter),
        (DeviceChoice::Gpu, None, None) => Err(CliError::Device(format!(
            "{}. {}, or use --device cpu",
            gpu::NONE,
            gpu::REMEDY
        ))),
        _ => Ok(cpu()),
    }
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
        "Kernels failed their self-test on this device: {failure}. Using plain tensor operations in their place, which are \
         slower and take more memory. Update the graphics driver, or use --device cpu"
    )
}
