//! Frames as lines of text, which a file source and `feed replay` read.
//!
//! What must always hold: a line that is read back gives the frame that was put.

use super::{Frame, Sink};
use std::io::{ErrorKind, Write};
use ticktide_feed::wire::recorded;
use ticktide_feed::{FeedError, wire};

/// Recorded lines, see [`recorded`]. [`Sink::tend`] flushes them to the output: a feed of a few frames a minute would otherwise
/// stay in a buffer for an hour.
pub struct LineSink<W> {
    output: W,
    line: Vec<u8>,
    frames: u64,
    closed: bool,
}

impl<W: Write + Send> LineSink<W> {
    pub fn new(output: W) -> LineSink<W> {
        LineSink { output, line: Vec::new(), frames: 0, closed: false }
    }
}

impl<W: Write + Send> Sink for LineSink<W> {
    fn put(&mut self, frame: &Frame<'_>) -> Result<(), FeedError> {
        self.line.clear();
        if frame.origin.is_empty() && recorded::is_text(frame.payload) {
            self.line.extend_from_slice(frame.payload);
            self.line.push(b'\n');
        } else if wire::bridge_address(frame.origin).is_some() {
            let digits = recorded::hex(frame.payload);
            recorded::write(&mut self.line, frame.received_at, frame.origin, digits.as_bytes());
        } else {
            recorded::write(&mut self.line, frame.received_at, frame.origin, frame.payload);
        }
        let written = self.output.write_all(&self.line);
        self.frames += 1;
        self.done(written)
    }

    fn tend(&mut self) -> Result<(), FeedError> {
        let flushed = if self.closed { Ok(()) } else { self.output.flush() };
        self.done(flushed)
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    fn finish(&mut self) -> Result<u64, FeedError> {
        self.tend()?;
        Ok(self.frames)
    }
}

impl<W> LineSink<W> {
    fn done(&mut self, result: std::io::Result<()>) -> Result<(), FeedError> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => return Err(FeedError::unavailable(format!("the output cannot be written: {error}"))),
            Ok(()) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_feed::testing::Shared;

    #[test]
    fn lines_hold_what_a_connector_received() {
        let mut written = Vec::new();
        let mut lines = LineSink::new(&mut written);
        let frame = |origin: &'static [u8], payload: &'static [u8]| Frame {
            topic: "t",
            key: None,
            origin,
            received_at: Some(5),
            payload,
        };
        lines.put(&frame(b"1501-json-full", b"{}")).expect("written");
        lines.put(&frame(b"prod/marketfeed/marketstatus/v1/nseeq", &[1, 0])).expect("written");
        lines.put(&frame(b"", b"bare")).expect("written");
        lines.put(&frame(b"", b"two\nlines")).expect("written");
        lines.put(&frame(b"prod/marketfeed/mw/v1/moon/1", &[0x80, 0])).expect("written");
        assert_eq!(lines.finish().expect("flushed"), 5);
        let expected = "5\t1501-json-full\t{}\n5\tprod/marketfeed/marketstatus/v1/nseeq\t0100\nbare\n\
                        5\thex\t74776f0a6c696e6573\n5\tprod/marketfeed/mw/v1/moon/1hex\t8000\n";
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }

    #[test]
    fn a_line_is_with_the_output_as_soon_as_it_is_tended_to() {
        let output = Shared::default();
        let mut lines = LineSink::new(std::io::BufWriter::with_capacity(1 << 20, output.clone()));
        lines.put(&Frame { topic: "t", key: None, origin: b"x", received_at: Some(5), payload: b"{}" }).expect("put");
        lines.tend().expect("flushed");
        let written = output.0.lock().expect("whole").clone();
        assert_eq!(written, b"5\tx\t{}\n");
    }

    #[test]
    fn an_output_that_is_full_is_an_error_and_one_that_nobody_reads_is_closed() {
        struct Broken(ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let frame = Frame { topic: "t", key: None, origin: b"", received_at: None, payload: b"x" };
        let full = LineSink::new(Broken(ErrorKind::StorageFull)).put(&frame);
        assert!(matches!(full, Err(FeedError::Unavailable { .. })));
        let mut left = LineSink::new(Broken(ErrorKind::BrokenPipe));
        assert!(left.put(&frame).is_ok() && left.is_closed() && left.tend().is_ok() && left.finish().is_ok());
    }
}
