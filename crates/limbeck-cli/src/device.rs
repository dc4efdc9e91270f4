//! Where to compute: adapters that wgpu sees, and the CPU.

use std::io::Write;
use std::process::ExitCode;

use burn::tensor::{Device, DeviceKind};
use clap::Args;
use limbeck_engine::Opened;
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

fn adapters() -> Vec<wgpu::AdapterInfo> {
    find_adapters()
        .iter()
        .map(wgpu::Adapter::get_info)
        .collect()
}

/// OpenGL is left out: burn's kernels need compute on Vulkan, Metal or DX12.
fn find_adapters() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY))
}

/// The GPU that `gpu` takes, for a page.
pub fn best_adapter() -> Option<limbeck_protocol::Adapter> {
    let adapters = find_adapters();
    let real = adapters
        .iter()
        .find(|adapter| is_real_gpu(&adapter.get_info()));
    let adapter = real.or(adapters.first())?;
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let limits = [
        ("maxBufferSize", limits.max_buffer_size),
        (
            "maxStorageBufferBindingSize",
            limits.max_storage_buffer_binding_size,
        ),
        (
            "maxStorageBuffersPerShaderStage",
            limits.max_storage_buffers_per_shader_stage.into(),
        ),
        (
            "maxComputeWorkgroupStorageSize",
            limits.max_compute_workgroup_storage_size.into(),
        ),
        (
            "maxComputeInvocationsPerWorkgroup",
            limits.max_compute_invocations_per_workgroup.into(),
        ),
    ];
    Some(limbeck_protocol::Adapter {
        software: !is_real_gpu(&info),
        f16: adapter.features().contains(wgpu::Features::SHADER_F16),
        limits: limits.map(|(name, value)| (name.to_owned(), value)).into(),
        name: info.name,
    })
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
        name: format!("CPU, {cores} cores"),
        on_gpu: false,
    };
    let gpu = |name| {
        Ok(Opened {
            device: gpu()?,
            name,
            on_gpu: true,
        })
    };
    if choice == DeviceChoice::Cpu {
        return Ok(cpu());
    }
    let adapters = adapters();
    let real = adapters.iter().find(|info| is_real_gpu(info));
    match (choice, real, adapters.first()) {
        (_, Some(info), _) => gpu(format!("{} ({})", info.name, info.backend)),
        (DeviceChoice::Gpu, None, Some(info)) => {
            gpu(format!("{} ({}, software)", info.name, info.backend))
        }
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
pub fn self_test_failed(error: &SelfTestError) -> String {
    format!(
        "The kernels failed their test on this device: {error}. Plain operations take their place, slower and with more \
         memory; an update of the graphics driver may help, and --device cpu is an alternative"
    )
}
