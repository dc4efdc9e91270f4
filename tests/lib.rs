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

/// A safetensors file of f32 whose matrices are of 8 bits, as limbeck-model reads them again: each row in whole steps of its own scale,
/// at most `largest` of its name to either side of 0.
///
/// # Panics
/// If it is no such file.
pub fn in_steps(file: &[u8], largest: impl Fn(&str) -> f32) -> Vec<u8> {
    use limbeck_engine::onnx::steps;
    use safetensors::tensor::{Dtype, TensorView};
    let whole = safetensors::SafeTensors::deserialize(file).expect("a safetensors file");
    let mut tensors = Vec::new();
    for (name, view) in whole.tensors() {
        let (shape, bytes) = (view.shape().to_vec(), view.data().to_vec());
        let [rows, width] = shape[..] else {
            tensors.push((name, Dtype::F32, shape, bytes));
            continue;
        };
        let values = bytes.as_chunks::<4>().0.iter();
        let values: Vec<f32> = values.map(|b| f32::from_le_bytes(*b)).collect();
        let (values, scales) = steps(&values, width, largest(&name));
        let values = values.into_iter().map(i8::cast_unsigned).collect();
        let scales = scales
            .iter()
            .flat_map(|scale| scale.to_le_bytes())
            .collect();
        tensors.push((format!("{name}.scale"), Dtype::F32, vec![rows], scales));
        tensors.push((name, Dtype::I8, shape, values));
    }
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("as many bytes");
        (name, view)
    });
    safetensors::serialize(views, None).expect("a safetensors file")
}
