//! The way back from a device: numbers, or what it said when it failed.

use std::sync::Mutex;

use burn::tensor::Tensor;

use crate::ModelError;

/// What the device's thread panicked with since numbers were last asked for.
static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// Hears of a GPU that runs out of memory from now on. Its backend panics then, on a thread of its own that goes on as if nothing
/// had happened, and whoever reads the numbers would get those of before. The next [`to_host`] fails with what it said, and nothing
/// is printed.
#[cfg(not(target_family = "wasm"))]
pub fn hear_of_failed_devices() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("wgpu error: ") {
            *failure() = Some(text.to_owned());
        }
        if !text.ends_with("Out of Memory") {
            others(panic);
        }
    }));
}

/// The values of a tensor, row-major. Waits for the device.
///
/// # Errors
/// The device failed before they were computed.
pub async fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    let data = tensor.into_data_async().await;
    if let Some(failure) = failure().take() {
        return Err(ModelError::device(failure));
    }
    data.map_err(ModelError::device)?
        .try_to_vec()
        .map_err(|e| ModelError::Device(format!("{e:?}")))
}

/// What is behind the lock is whole at any time.
fn failure() -> std::sync::MutexGuard<'static, Option<String>> {
    FAILURE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
