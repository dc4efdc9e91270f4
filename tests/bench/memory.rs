//! Bytes counted, not guessed: the allocator of this program counts what is live and the most that ever was.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count. It costs two atomic additions a call, nothing beside a tensor.
pub struct Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes, Ordering::Relaxed);
}

/// Counts what was asked for, if it was given.
fn counted(given: *mut u8, bytes: usize) -> *mut u8 {
    if !given.is_null() {
        grow(bytes);
    }
    given
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        counted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on. Zeroed pages come from the kernel as they would without us.
        counted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let given = counted(unsafe { System.realloc(memory, layout, size) }, size);
        if !given.is_null() {
            shrink(layout.size());
        }
        given
    }
}

/// The most bytes that `call` held at once beyond what was live before it, on the device that it computes on.
///
/// On the CPU they are this program's heap, all threads together. On a GPU they are the pages that the pool took from the
/// driver and keeps until it is told to clean up: never less than the buffers need, and more by what it rounds up, since
/// there a small buffer may get a page as large as the average one. `None` if the backend does not report them.
pub async fn peak_extra_bytes(device: &Device, call: impl Future<Output = ()>) -> Option<u64> {
    if *device == Device::flex() {
        return Some(peak_extra_of_the_heap(call).await);
    }
    device.memory_cleanup();
    let before = device.memory_pool_usage()?.bytes_reserved;
    call.await;
    Some(
        device
            .memory_pool_usage()?
            .bytes_reserved
            .saturating_sub(before),
    )
}

async fn peak_extra_of_the_heap(call: impl Future<Output = ()>) -> u64 {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    call.await;
    (PEAK.load(Ordering::Relaxed) - before) as u64
}
