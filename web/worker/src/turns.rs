//! Turns of the event loop.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::oneshot;
use wasm_bindgen::prelude::*;

use crate::js::{MessageChannel, MessagePort};

/// Gives turns of the event loop. A message to oneself takes one at once; timers wait 4 ms each when they follow one another.
pub struct Turns {
    port: MessagePort,
    waiting: Rc<RefCell<Vec<oneshot::Sender<()>>>>,
}

impl Turns {
    /// With its own channel, which lives as long as the worker.
    pub fn new() -> Self {
        let channel = MessageChannel::new();
        let waiting: Rc<RefCell<Vec<oneshot::Sender<()>>>> = Rc::default();
        let wake = {
            let waiting = waiting.clone();
            Closure::<dyn FnMut()>::new(move || {
                for turn in waiting.take() {
                    // Fails if nobody waits any more.
                    let _ = turn.send(());
                }
            })
        };
        channel.port1().set_onmessage(wake.as_ref());
        wake.forget();
        Self {
            port: channel.port2(),
            waiting,
        }
    }

    /// Lets everything run that waits in the event loop now.
    pub async fn next(&self) {
        let (turn, taken) = oneshot::channel();
        self.waiting.borrow_mut().push(turn);
        self.port.post_message(&JsValue::NULL);
        let _ = taken.await;
    }
}
