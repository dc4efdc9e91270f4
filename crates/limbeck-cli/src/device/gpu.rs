//! The GPUs that wgpu sees.

use burn::tensor::{Device, DeviceKind};

use super::{Adapter, MOST_OF_A_BINDING, MOST_OF_A_BUFFER};
use crate::error::CliError;

pub use super::launches::counting_launches;

/// Why there is no GPU, where there is none.
pub const NONE: &str = "no GPU was found";

/// What to do about it.
pub const REMEDY: &str =
    "Install a Vulkan driver (Debian and Ubuntu: mesa-vulkan-drivers, or the vendor's)";

/// All adapters, software ones too.
pub fn adapters() -> Vec<Adapter> {
    find_adapters().iter().map(described).collect()
}

/// OpenGL is left out: burn's kernels need compute on Vulkan, Metal or DX12.
fn find_adapters() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY))
}

fn described(found: &wgpu::Adapter) -> Adapter {
    let (info, features) = (found.get_info(), found.features());
    Adapter {
        api: info.backend.to_string(),
        kind: format!("{:?}", info.device_type),
        real: is_real_gpu(&info),
        limits: limits(&found.limits()),
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: (features.contains(wgpu::Features::SUBGROUP))
            .then_some([info.subgroup_min_size, info.subgroup_max_size]),
        matrices: matrices(&found.cooperative_matrix_properties()),
        cooperative: is_cooperative(found),
        name: info.name,
        driver: info.driver_info,
    }
}

/// Those that kernels and tensors meet, by WebGPU's names.
fn limits(limits: &wgpu::Limits) -> Vec<(String, u64)> {
    let limits = [
        (MOST_OF_A_BUFFER, limits.max_buffer_size),
        (MOST_OF_A_BINDING, limits.max_storage_buffer_binding_size),
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
    limits.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Such as `16x16x16 f16 to f32`: rows, columns and depth of a product, and the types of its factors and its sum.
fn matrices(found: &[wgpu::CooperativeMatrixProperties]) -> Vec<String> {
    let shape = |of: &wgpu::CooperativeMatrixProperties| {
        let [m, n, k] = [of.m_size, of.n_size, of.k_size];
        let [from, to] = [of.ab_type, of.cr_type].map(|of| format!("{of:?}").to_lowercase());
        format!("{m}x{n}x{k} {from} to {to}")
    };
    found.iter().map(shape).collect()
}

/// Whether `shaders/matmul_matrices.wgsl` runs there. burn opens a device with all features of its adapter.
fn is_cooperative(found: &wgpu::Adapter) -> bool {
    use wgpu::CooperativeScalarType::{F16, F32};

    let info = found.get_info();
    let features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP;
    let shapes = found.cooperative_matrix_properties();
    let fits = |of: &wgpu::CooperativeMatrixProperties| {
        [of.m_size, of.n_size, of.k_size] == [16; 3] && (of.ab_type, of.cr_type) == (F16, F32)
    };
    found.features().contains(features)
        && [info.subgroup_min_size, info.subgroup_max_size] == [32; 2]
        && shapes.iter().any(fits)
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
