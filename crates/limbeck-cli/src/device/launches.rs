//! How many kernels work launches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cubecl::logging::{LaunchObservation, LaunchObserver};

/// Does work, and counts the kernels that it launches, ours and burn's, on whatever thread, by their names.
pub fn counting_launches<T>(work: impl FnOnce() -> T) -> (T, BTreeMap<String, u64>) {
    #[derive(Default)]
    struct Counts(Mutex<BTreeMap<&'static str, u64>>);
    impl LaunchObserver for Counts {
        fn launched(&self, name: &'static str) {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(name).or_default() += 1;
        }
    }
    let counts = Arc::new(Counts::default());
    let observation = LaunchObservation::new(counts.clone());
    let done = work();
    drop(observation);
    let counts = counts.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut named = BTreeMap::new();
    for (name, count) in &*counts {
        *named.entry(without_modules(name)).or_default() += count;
    }
    (done, named)
}

/// `Kernel<Spec>` of `a::Kernel<b::c::Spec>`.
fn without_modules(name: &str) -> String {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut short = String::new();
    let mut rest = name;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_path(c)).unwrap_or(rest.len());
        short += rest[..end].rsplit("::").next().unwrap_or_default();
        let between = rest[end..].find(is_of_path).unwrap_or(rest.len() - end);
        short += &rest[end..end + between];
        rest = &rest[end + between..];
    }
    short
}
