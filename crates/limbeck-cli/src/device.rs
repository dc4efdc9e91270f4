//! Where to compute: adapters that wgpu sees, and the CPU.

use std::io::Write;
use std::process::ExitCode;

use burn::tensor::{Device, DeviceKind};
use clap::Args;
use limbeck_kernels::SelfTestError;
use limbeck_train::DeviceChoice;

use crate::error::CliError;

/// Flags of `limbeck devices`.
#[derive(Args)]
pub struct Arguments {
    /// One JSON object a line
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
    let adapters = adapters();
    let automatic = adapters.iter().position(is_real_gpu);
    if arguments.json {
        let cpu =
            serde_json::json!({ "device": "cpu", "cores": cores, "auto": automatic.is_none() });
        writeln!(out, "{cpu}")?;
    } else {
        writeln!(
            out,
            "cpu   {cores} cores, with SIMD{}",
            if automatic.is_none() {
                "   <- auto"
            } else {
                ""
            }
        )?;
    }
    for (index, info) in adapters.iter().enumerate() {
        let chosen = automatic == Some(index);
        if arguments.json {
            let gpu = serde_json::json!({
                "device": "gpu", "name": info.name, "api": info.backend.to_string(), "driver": info.driver_info,
                "kind": format!("{:?}", info.device_type), "auto": chosen,
            });
            writeln!(out, "{gpu}")?;
        } else {
            let software = if is_real_gpu(info) {
                ""
            } else {
                ", software: slower than the CPU, for tests"
            };
            writeln!(
                out,
                "gpu   {} ({}{software}){}",
                info.name,
                info.backend,
                if chosen { "   <- auto" } else { "" }
            )?;
        }
    }
    if adapters.is_empty() && !arguments.json {
        writeln!(out, "gpu   none. {INSTALL}")?;
    }
    Ok(ExitCode::SUCCESS)
}

const INSTALL: &str =
    "Install a Vulkan driver (Debian and Ubuntu: mesa-vulkan-drivers, or the vendor's)";

/// OpenGL is left out: burn's kernels need compute on Vulkan, Metal or DX12.
fn adapters() -> Vec<wgpu::AdapterInfo> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    found.iter().map(wgpu::Adapter::get_info).collect()
}

fn is_real_gpu(info: &wgpu::AdapterInfo) -> bool {
    info.device_type != wgpu::DeviceType::Cpu
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = || (Device::flex(), format!("CPU, {cores} cores"));
    if choice == DeviceChoice::Cpu {
        return Ok(cpu());
    }
    let adapters = adapters();
    let real = adapters.iter().find(|info| is_real_gpu(info));
    match (choice, real, adapters.first()) {
        (_, Some(info), _) => Ok((gpu()?, format!("{} ({})", info.name, info.backend))),
        (DeviceChoice::Gpu, None, Some(info)) => Ok((
            gpu()?,
            format!("{} ({}, software)", info.name, info.backend),
        )),
        (DeviceChoice::Gpu, None, None) => Err(CliError::Device(format!(
            "no GPU was found. {INSTALL}, or use --device cpu"
        ))),
        _ => Ok(cpu()),
    }
}

fn gpu() -> Result<Device, CliError> {
    Device::wgpu_options()
        .device_kind(DeviceKind::DefaultDevice)
        .init()
        .map_err(|e| {
            CliError::Device(format!(
                "the GPU cannot be opened: {e}. Update its driver, or use --device cpu"
            ))
        })
}

/// What to know when the kernels of a device failed their test.
pub fn doubted(error: &SelfTestError) -> String {
    format!(
        "The kernels failed their test on this device: {error}. Plain operations take their place, slower and with more \
         memory; an update of the graphics driver may help, and --device cpu is an alternative"
    )
}
