//! Reads a stream of server-sent events: the data of each, as it comes.

/// A stream that is being read.
#[derive(Default)]
pub struct Events {
    /// Bytes of a line that has not ended.
    line: Vec<u8>,
    /// Lines of data of an event that has not ended.
    data: Vec<String>,
}

impl Events {
    /// Takes the next bytes; the data of every event that they end.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut ended = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.line_ended(&String::from_utf8_lossy(&line), &mut ended);
            } else {
                self.line.push(*byte);
            }
        }
        ended
    }

    fn line_ended(&mut self, line: &str, ended: &mut Vec<String>) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        } else if line.is_empty() && !self.data.is_empty() {
            let data = std::mem::take(&mut self.data).join("\n");
            if !data.is_empty() {
                ended.push(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_the_stream_is_cut() {
        let stream = ": hello\n\nid: 1\ndata: {\"a\":\ndata:1}\n\nretry: 3\ndata:\n\nevent: x\r\ndata: \u{e4}\r\n\r\ndata: cut";
        for size in 1..=stream.len() {
            let mut events = Events::default();
            let read: Vec<_> =
                stream.as_bytes().chunks(size).flat_map(|part| events.take(part)).collect();
            assert_eq!(read, ["{\"a\":\n1}", "\u{e4}"], "in parts of {size}");
        }
    }
}
