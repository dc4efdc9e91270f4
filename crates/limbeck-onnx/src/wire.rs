//! Messages of protocol buffers (<https://protobuf.dev/programming-guides/encoding>), as far as an ONNX file needs them. Lists are
//! not packed, as in every file that PyTorch writes: some readers know nothing else.
//!
//! Own code, for want of a crate: rten-onnx writes no name of a graph, which onnx's checker asks for, onnx-rs packs lists, and
//! prost's derive asks of a crate that it shares with burn for more features, so burn would be built twice.

/// A message on its way, and where its numbers and strings go: fields in the order in which they come.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// A whole number.
    pub fn int(&mut self, field: u8, value: i64) {
        self.0.push(field << 3);
        self.varint(value.cast_unsigned());
    }

    /// A number of 32 bits.
    pub fn float(&mut self, field: u8, value: f32) {
        self.0.push(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    /// A text.
    pub fn text(&mut self, field: u8, value: &str) {
        self.length(field, value.len());
        self.0.extend(value.as_bytes());
    }

    /// A message within.
    pub fn message(&mut self, field: u8, within: &Self) {
        self.length(field, within.0.len());
        self.0.extend(&within.0);
    }

    /// What stands before so many bytes that somebody else holds.
    pub fn length(&mut self, field: u8, bytes: usize) {
        // Fields above 15 take a second byte; ours with a length are all below.
        self.0.push(field << 3 | 2);
        self.varint(bytes as u64);
    }

    /// The type of an attribute, which has field 20.
    pub fn kind(&mut self, value: u8) {
        self.0.extend([0xa0, 0x01, value]);
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    /// The examples of the page that the module names.
    #[test]
    fn fields_are_those_of_the_specification() {
        let mut number = Message::default();
        number.int(1, 150);
        assert_eq!(number.bytes(), [0x08, 0x96, 0x01]);
        let mut text = Message::default();
        text.text(2, "testing");
        assert_eq!(text.bytes(), b"\x12\x07testing");
        let mut outer = Message::default();
        outer.message(3, &number);
        assert_eq!(outer.bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut negative = Message::default();
        negative.int(1, -2);
        assert_eq!(
            negative.bytes()[1..],
            [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]
        );
        let mut float = Message::default();
        float.float(2, 1.0);
        assert_eq!(float.bytes(), [0x15, 0, 0, 0x80, 0x3f]);
    }
}
