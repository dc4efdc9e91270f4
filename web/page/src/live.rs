//! What changes with signals: values in a view, effects, memos. Leptos compiles its own code anew for every type, and each closure has
//! one: behind a pointer, all that give the same have one type. That is a tenth of the page.

use std::sync::{Arc, Mutex};

use leptos::prelude::*;
use leptos::tachys::reactive_graph::SharedReactiveFunction;

/// A value of a view that changes.
pub fn live<T: 'static>(value: impl FnMut() -> T + Send + 'static) -> SharedReactiveFunction<T> {
    Arc::new(Mutex::new(value))
}

/// Acts now, and again whenever a signal changes that it reads.
pub fn effect(act: impl FnMut() + 'static) {
    fn any(mut act: Box<dyn FnMut()>) {
        Effect::new(move |_| act());
    }
    any(Box::new(act));
}

/// A value that is worked out again whenever a signal changes that it reads, and is new only if it differs.
pub fn memo<T>(value: impl Fn() -> T + Send + Sync + 'static) -> Memo<T>
where
    T: PartialEq + Send + Sync + 'static,
{
    fn any<T>(value: Box<dyn Fn() -> T + Send + Sync>) -> Memo<T>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        Memo::new(move |_| value())
    }
    any(Box::new(value))
}
