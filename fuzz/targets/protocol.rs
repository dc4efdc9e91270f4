//! Messages between a page and an engine, in both directions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbeck_protocol::{Command, Event, Message};

fuzz_target!(|text: &str| {
    if let Ok(message) = Message::<Command>::decode(text) {
        let written = message.encode().expect("a command can be written");
        Message::<Command>::decode(&written).expect("what was written can be read");
    }
    if let Ok(message) = Message::<Event>::decode(text) {
        let written = message.encode().expect("an event can be written");
        Message::<Event>::decode(&written).expect("what was written can be read");
    }
});
