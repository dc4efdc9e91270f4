//! The page: configures a run, drives an engine, draws what it tells. It holds no tensor; those are in the worker.

mod app;
mod chart;
mod colours;
mod data;
mod engine;
#[cfg(test)]
mod examples;
mod form;
#[cfg(test)]
mod imports;
mod keys;
mod live;
mod maps;
mod numbers;
mod out;
mod problems;
mod recorded;
mod state;
mod stopwatch;
mod words;
mod zip;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(app::App);
}
