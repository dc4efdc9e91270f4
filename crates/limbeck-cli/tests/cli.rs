//! The `limbeck` binary as its users meet it: what it prints, what it writes and how it ends.

#[path = "cli/benching.rs"]
mod benching;
#[path = "cli/corpora.rs"]
mod corpora;
#[path = "cli/distilling.rs"]
mod distilling;
#[path = "cli/encoding.rs"]
mod encoding;
#[path = "cli/evaluating.rs"]
mod evaluating;
#[path = "cli/exporting.rs"]
mod exporting;
#[path = "cli/finetuning.rs"]
mod finetuning;
#[path = "cli/folders.rs"]
mod folders;
#[cfg(unix)]
#[path = "cli/hub.rs"]
mod hub;
#[path = "cli/languages.rs"]
mod languages;
#[path = "cli/lengthening.rs"]
mod lengthening;
#[cfg(unix)]
#[path = "../src/lock.rs"]
#[allow(dead_code, reason = "its tests need no message")]
mod lock;
#[path = "cli/models.rs"]
mod models;
#[cfg(unix)]
#[path = "cli/owning.rs"]
mod owning;
#[path = "cli/pairing.rs"]
mod pairing;
#[cfg(unix)]
#[path = "cli/private.rs"]
mod private;
#[path = "cli/probing.rs"]
mod probing;
#[path = "cli/pruning.rs"]
mod pruning;
#[path = "cli/recipes.rs"]
mod recipes;
#[path = "cli/relating.rs"]
mod relating;
#[cfg(unix)]
#[path = "cli/running.rs"]
mod running;
#[path = "cli/scene.rs"]
mod scene;
#[path = "cli/searching.rs"]
mod searching;
#[path = "cli/sentences.rs"]
mod sentences;
#[cfg(unix)]
#[path = "../../limbeck-hub/tests/it/server.rs"]
#[allow(
    dead_code,
    reason = "limbeck-hub's tests have it misbehave in more ways"
)]
mod server;
#[cfg(unix)]
#[path = "cli/serving.rs"]
mod serving;
#[path = "../src/bench/share.rs"]
mod share;
#[cfg(unix)]
#[path = "cli/staging.rs"]
mod staging;
#[cfg(unix)]
#[path = "cli/starting.rs"]
mod starting;
#[cfg(unix)]
#[path = "cli/stopping.rs"]
mod stopping;
#[cfg(unix)]
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/weights.rs"]
mod weights;
