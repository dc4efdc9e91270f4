//! Calls into a library that panics on some of what a file may say.

/// Calls, and gives a panic's message instead of its end. Nothing is printed for it.
#[cfg(panic = "unwind")]
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::sync::Once;

    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();

    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                others(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    // Whoever gets the error uses nothing any more that the call may have left in pieces.
    let result = catch_unwind(AssertUnwindSafe(call));
    QUIET.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("it gave no reason").to_owned()
    })
}

/// Where a panic ends the program, as in a browser, there is nothing to catch.
#[cfg(not(panic = "unwind"))]
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    Ok(call())
}
