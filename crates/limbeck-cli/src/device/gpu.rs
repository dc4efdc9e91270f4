//! The GPUs that wgpu sees.

use burn::tensor::{Device, DeviceKind};

use super::Adapter;
use crate::error::CliError;

/// Why there is no GPU, where there is none.
pub const NONE: &str = "no GPU was found";

/// What to do about it.
pub const REMEDY: &str =
    "Install a Vulkan driver (Debian and Ubuntu: mesa-vulkan-drivers, or the vendor's)";

/// All adapters, software ones too.
pub fn adapters() -> Vec<Adapter> {
    let adapter = |found: wgpu::Adapter| {
        let (info, limits) = (found.get_info(), found.limits());
        let buffer = limits.max_storage_buffer_binding_size;
        Adapter {
            api: info.backend.to_string(),
            kind: format!("{:?}", info.device_type),
            real: is_real_gpu(&info),
            name: info.name,
            driver: info.driver_info,
            largest_tensor: buffer.min(limits.max_buffer_size),
        }
    };
    find_adapters().into_iter().map(adapter).collect()
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

/// The GPU that burn takes.
///
/// # Errors
/// It cannot be opened.
pub fn open() -> Result<Device, CliError> {
    Device::wgpu_options()
        .device_kind(DeviceKind::DefaultDevice)
        .init()
        .map_err(|e| {
            CliError::Device(format!(
                "cannot open the GPU: {e}. Update its driver, or use --device cpu"
            ))
        })
}
