//! Keeps a graphics library from writing to stderr.

#[cfg(target_os = "linux")]
use std::path::Path;

/// Has Mesa leave out its layer for choosing among GPUs where there is no XDG_RUNTIME_DIR, as in a container or under cron. The
/// layer looks for a Wayland display there, and libwayland prints an error for each GPU that is opened; limbeck chooses its GPU
/// itself. Whoever tells the layer which GPU to take keeps it.
#[cfg(target_os = "linux")]
pub fn keep_graphics_quiet() {
    const LEAVE_OUT: &str = "NODEVICE_SELECT";
    let is_told = ["MESA_VK_DEVICE_SELECT", "DRI_PRIME", LEAVE_OUT]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some());
    let has_folder =
        std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).is_absolute());
    if !is_told && !has_folder {
        // SAFETY: called first of all, while the program has one thread.
        unsafe { std::env::set_var(LEAVE_OUT, "1") };
    }
}

/// Elsewhere there is no such layer.
#[cfg(not(target_os = "linux"))]
pub fn keep_graphics_quiet() {}
