//! What is said when a device fails.

use std::process::Command;

use burn::tensor::{Device, Tensor};
use limbeck_model::{ModelError, hear_of_failed_devices, to_host};

const ADVICE: &str = "Lower the batch or max_length, close what else uses its memory, or compute on the CPU (--device cpu)";

#[test]
fn a_tensor_that_a_device_has_no_room_for_is_told_in_a_sentence() {
    let answer = "An error happened during execution\nCaused by:\n  The bytes were never written (failure #386)\nCaused by:\n  \
                  can't allocate buffer of size: 2013265920\nNo backtrace available";
    let error = ModelError::device(answer);
    let told = format!("the device has no memory left for a tensor of 2.0 GB. {ADVICE}");
    assert_eq!(error.to_string(), told);
    assert!(error.is_of_device());
    let other = ModelError::device("it is gone");
    let told = "cannot read a tensor back from the device: it is gone";
    assert_eq!(other.to_string(), told);
}

/// In a process of its own, because all threads of one hear of the failure.
#[test]
fn numbers_after_a_panic_of_the_device_are_not_taken() {
    const CHILD: &str = "LIMBECK_TEST_OF_A_FAILED_DEVICE";
    if std::env::var_os(CHILD).is_none() {
        let name = "device::numbers_after_a_panic_of_the_device_are_not_taken";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && printed.contains("1 passed"),
            "{printed}"
        );
        return;
    }
    hear_of_failed_devices();
    let read = || {
        let tensor = Tensor::<1>::from_data([1.0, 2.0], &Device::flex());
        pollster::block_on(to_host(tensor))
    };
    let fail = |text: &'static str| {
        let thread = std::thread::spawn(move || panic!("{text}"));
        assert!(thread.join().is_err());
    };
    fail("wgpu error: Out of Memory");
    let error = read().err().map(|error| error.to_string());
    assert_eq!(
        error,
        Some(format!("the device has no memory left. {ADVICE}"))
    );
    // It is told once, and another panic is none of the device.
    assert_eq!(read().unwrap(), [1.0, 2.0]);
    fail("something else");
    assert_eq!(read().unwrap(), [1.0, 2.0]);
}
