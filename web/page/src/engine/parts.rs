//! A message of a WebSocket comes as a text and binary parts after it.

use limbeck_protocol::{Event, Message, WireError};

/// What has come of a message so far.
pub struct Parts<B> {
    begun: Option<Message<Event>>,
    blobs: Vec<B>,
}

impl<B> Default for Parts<B> {
    fn default() -> Self {
        Self {
            begun: None,
            blobs: Vec::new(),
        }
    }
}

impl<B> Parts<B> {
    /// Takes a text; the event, if it is complete.
    ///
    /// # Errors
    /// The text is no message of this version.
    pub fn text(&mut self, text: &str) -> Result<Option<(Event, Vec<B>)>, WireError> {
        self.begun = Some(Message::decode(text)?);
        self.blobs.clear();
        Ok(self.whole())
    }

    /// Takes a binary part; the event, if it is complete.
    pub fn blob(&mut self, blob: B) -> Option<(Event, Vec<B>)> {
        self.blobs.push(blob);
        self.whole()
    }

    fn whole(&mut self) -> Option<(Event, Vec<B>)> {
        let complete = self.begun.as_ref()?.blobs == self.blobs.len();
        let message = if complete { self.begun.take() } else { None }?;
        Some((message.body, std::mem::take(&mut self.blobs)))
    }
}

#[cfg(test)]
mod tests {
    use limbeck_protocol::{Event, Message};

    use super::Parts;

    fn text(body: Event, blobs: usize) -> String {
        Message { body, blobs }.encode().expect("plain JSON")
    }

    #[test]
    fn a_message_is_whole_with_its_last_part() {
        let mut parts = Parts::default();
        let none = Event::Saved { run: None };
        let whole = parts.text(&text(none.clone(), 0)).expect("a message");
        assert_eq!(whole, Some((none, Vec::new())));

        let files = Event::Files {
            name: "student".into(),
            files: vec!["a".into(), "b".into()],
        };
        assert_eq!(
            parts.text(&text(files.clone(), 2)).expect("a message"),
            None
        );
        assert_eq!(parts.blob(1), None);
        assert_eq!(parts.blob(2), Some((files, vec![1, 2])));
        assert_eq!(parts.blob(3), None, "a part without a text is dropped");
    }

    #[test]
    fn nonsense_is_named() {
        let error = Parts::<u8>::default().text("{}").expect_err("no message");
        assert!(error.to_string().contains("reload the page"));
    }
}
