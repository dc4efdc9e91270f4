//! What a device does at most, measured there: copying memory, one large matmul, and the smallest operation.

use burn::tensor::{Device, Distribution, Tensor};
use limbeck_kernels::matmul;
use limbeck_recipe::KernelChoice;

use super::clock::{Patience, Timed, timed};
use super::cpu;

/// Bytes that are copied to tell how fast memory is: beyond most caches.
pub const COPIED: usize = 256 << 20;
/// Of the smallest operations.
const MANY: usize = 200;

/// Waits until a device has done what it was given.
///
/// # Errors
/// What the device says.
pub fn wait(device: &Device) -> Result<(), String> {
    device.sync().map_err(|e| e.to_string())
}

/// Bytes read plus bytes written a second, as STREAM counts a copy. On the CPU all threads copy; on a GPU a kernel of burn
/// reads each number and writes it.
///
/// # Errors
/// The device fails.
pub fn copied_bytes_a_second(
    device: &Device,
    bytes: usize,
    patience: Patience<'_>,
) -> Result<f64, String> {
    let took = match *device == Device::flex() {
        true => copied_on_the_cpu(bytes, patience),
        false => {
            let from = Tensor::<1>::zeros([bytes / size_of::<f32>()], device);
            let copy = || {
                drop(from.clone().add_scalar(1.0));
                Ok(())
            };
            timed(patience, copy, || wait(device))?
        }
    };
    Ok(2.0 * bytes as f64 / took.seconds)
}

fn copied_on_the_cpu(bytes: usize, patience: Patience<'_>) -> Timed {
    let from = vec![1u8; bytes];
    let mut to = vec![0u8; bytes];
    let part = bytes.div_ceil(cpu::threads());
    let copy = || {
        std::thread::scope(|scope| {
            for (to, from) in to.chunks_mut(part).zip(from.chunks(part)) {
                scope.spawn(move || to.copy_from_slice(from));
            }
        });
        std::hint::black_box(&to);
        Ok::<(), std::convert::Infallible>(())
    };
    let Ok(took) = timed(patience, copy, || Ok(()));
    took
}

/// FLOPs a second of a product of two square matrices: by our kernel on a GPU, by burn's gemm on the CPU, as in training.
///
/// # Errors
/// The device fails.
pub fn matmul_flops_a_second(
    device: &Device,
    side: usize,
    patience: Patience<'_>,
) -> Result<f64, String> {
    let random = || Tensor::<2>::random([side, side], Distribution::Default, device);
    let (left, right) = (random(), random());
    let multiply = || {
        drop(matmul(KernelChoice::Fused, left.clone(), right.clone()));
        Ok(())
    };
    let took = timed(patience, multiply, || wait(device))?;
    Ok(2.0 * (side as f64).powi(3) / took.seconds)
}

/// Seconds of an operation on one number: of one among many that are waited for together, and of one that is waited for.
///
/// # Errors
/// The device fails.
pub fn smallest_operation(device: &Device, patience: Patience<'_>) -> Result<[f64; 2], String> {
    let one = Tensor::<1>::zeros([1], device);
    let among = |many: usize| {
        let add = || {
            (0..many).for_each(|_| drop(one.clone().add_scalar(1.0)));
            wait(device)
        };
        let took = timed(patience, add, || Ok(()))?;
        Ok::<f64, String>(took.seconds / many as f64)
    };
    Ok([among(MANY)?, among(1)?])
}
