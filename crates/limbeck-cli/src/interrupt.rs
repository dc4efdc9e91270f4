//! Ctrl-c, a request to end, a terminal that hangs up, and a file that may not grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CliError;

/// Whether the first signal ends the program, too.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

/// Does work that a signal may end at once: what there is of it is kept, and nothing else has begun.
pub fn at_once<T>(work: impl FnOnce() -> T) -> T {
    AT_ONCE.store(true, Ordering::SeqCst);
    let done = work();
    AT_ONCE.store(false, Ordering::SeqCst);
    done
}

/// Has the first signal call `first`; the second ends the program at once. A hang-up that was ignored when the program
/// started (`nohup`) stays ignored.
///
/// # Errors
/// The system takes no handler.
pub fn on_interrupt(first: impl Fn() + Send + 'static) -> Result<(), CliError> {
    let hang_up = ignored_hang_up();
    let again = AtomicBool::new(false);
    let handler = move || {
        if again.swap(true, Ordering::SeqCst) || AT_ONCE.load(Ordering::SeqCst) {
            std::process::exit(1);
        }
        first();
    };
    ctrlc::set_handler(handler)
        .map_err(|e| CliError::Device(format!("cannot handle ctrl-c: {e}")))?;
    if hang_up {
        ignore_hang_up();
    }
    Ok(())
}

/// A flag that the first signal sets, for work that looks at it between two steps.
///
/// # Errors
/// The system takes no handler.
pub fn stop_flag() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    on_interrupt(move || seen.store(true, Ordering::SeqCst))?;
    Ok(stop)
}

/// Whether whoever started this program has it ignore SIGHUP.
#[cfg(unix)]
fn ignored_hang_up() -> bool {
    // SAFETY: sigaction with no new action only fills in the old one, for which all zeros are a valid value.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let known = libc::sigaction(libc::SIGHUP, std::ptr::null(), &raw mut action);
        known == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(unix)]
fn ignore_hang_up() {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    }
}

/// Has a file that grows beyond `ulimit -f` be an error of writing, with a message and a checkpoint that stays, instead of a
/// signal that kills the program.
#[cfg(unix)]
pub fn survive_file_limits() {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Elsewhere there is no such signal.
#[cfg(not(unix))]
pub fn survive_file_limits() {}

#[cfg(not(unix))]
fn ignored_hang_up() -> bool {
    false
}

#[cfg(not(unix))]
fn ignore_hang_up() {}
