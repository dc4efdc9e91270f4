//! What several crates together must show. The tests are in `it/`, the benchmarks in `bench/`; this library holds what
//! both need: devices, numbers, and an engine to talk to.

pub mod talk;

use burn::tensor::{Device, Tensor};
use limbeck_oracle::rng::Rng;

/// The CPU: burn's flex backend.
pub fn cpu() -> Device {
    Device::flex()
}

/// A GPU through wgpu; a software adapter counts. Opened once and shared.
///
/// # Panics
/// If there is none: a missing GPU is a failed test, not a skipped one.
#[cfg(not(target_family = "wasm"))]
pub async fn gpu() -> Device {
    static GPU: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    let open = || {
        pollster::block_on(Device::wgpu_options().init_async()).unwrap_or_else(|e| {
            panic!("no GPU for the tests ({e}): `cargo xtask setup` installs a software one")
        })
    };
    GPU.get_or_init(open).clone()
}

/// A GPU through WebGPU; a software adapter counts. Opened once and shared.
///
/// # Panics
/// If there is none: a missing GPU is a failed test, not a skipped one.
#[cfg(target_family = "wasm")]
pub async fn gpu() -> Device {
    thread_local!(static GPU: std::cell::RefCell<Option<Device>> = const { std::cell::RefCell::new(None) });
    if let Some(device) = GPU.with_borrow(Clone::clone) {
        return device;
    }
    let device = Device::wgpu_options()
        .init_async()
        .await
        .unwrap_or_else(|e| panic!("no WebGPU adapter: {e}"));
    GPU.set(Some(device.clone()));
    device
}

/// What computes: each device with each choice of kernels that it has, for `pretend_software`.
pub async fn everywhere() -> [(Device, Option<bool>); 3] {
    let gpu = gpu().await;
    [(cpu(), None), (gpu.clone(), Some(true)), (gpu, Some(false))]
}

/// Numbers of the standard normal distribution.
pub fn normals(rng: &mut Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.normal() as f32).collect()
}

/// The same numbers as the oracle takes them.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// The values of a tensor, row-major.
///
/// # Panics
/// If it cannot be read back, or holds something other than f32.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor
        .into_data_async()
        .await
        .unwrap_or_else(|e| panic!("reading a tensor: {e}"));
    data.try_to_vec()
        .unwrap_or_else(|e| panic!("values of a tensor: {e:?}"))
}
