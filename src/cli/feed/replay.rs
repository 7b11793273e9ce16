//! `feed replay`: sends recorded frames again.

use super::super::Global;
use super::sending::{Sending, SendingArgs};
use clap::Args;
use std::path::PathBuf;
use ticktide_base::error::{Error, Kind};
use ticktide_base::time::Nanos;
use ticktide_connect::produce::{Frame, destination};
use ticktide_feed as feed;
use ticktide_feed::wire::recorded::{self, RecordedFrame};
use ticktide_feed::wire::{self, Decoder, RawRecord, bridge_address};
use ticktide_feed::{InstrumentTable, WireSpec};
use ticktide_market::TickKind;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A file of recorded frames, one per line, plain or .gz or .zst: `RECEIVED_NS⇥ORIGIN⇥FRAME`, or the frames alone
    pub file: PathBuf,
    #[command(flatten)]
    pub sending: SendingArgs,
    /// Send every frame to this topic [default: the topic of the frame's code, e.g. xts-1501 or bridge-mw]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// With `--speed N`: the wire that decodes the time of frames that were recorded without their time of receipt
    #[arg(long, value_name = "NAME", default_value = "xts-json")]
    pub wire: String,
}

/// Sends every line of a file, even one that is no frame: the reader of the topic judges it. Errors: those of sending.
pub fn replay(args: &ReplayArgs, global: &Global) -> Result<(), Error> {
    let mut decoder = wire::build(&WireSpec { format: args.wire.clone(), ..WireSpec::default() })?;
    let mut lines = feed::lines(&args.file)?;
    let mut sending = Sending::open(&args.sending)?;
    let mut others = 0;
    let unread = |error: std::io::Error| Error {
        kind: Kind::Fix,
        message: format!("file {} cannot be read any further: {error}", args.file.display()),
        hint: Some("replace the file by a complete one; the frames before this point were sent".into()),
    };
    while let Some(line) = lines.next().map_err(unread)? {
        if line.is_empty() {
            continue;
        }
        let RecordedFrame { received_at, origin, frame: payload } = frame_of(line);
        if let Some(at) = received_at.or_else(|| time(decoder.as_mut(), line)) {
            sending.wait_for(at);
        }
        let found = destination(&args.sending.target.prefix, origin, &payload);
        others += u64::from(found.key.is_none());
        let frame = Frame {
            topic: args.topic.as_deref().unwrap_or(&found.topic),
            key: found.key.as_deref().map(str::as_bytes),
            origin,
            received_at,
            payload: &payload,
        };
        sending.sink.put(&frame)?;
        if sending.sink.is_closed() {
            return Ok(());
        }
    }
    sending.finish(global, &[("without a key", others)])
}

/// The frame of a line as a connector received it; a line in any other form is itself the frame.
fn frame_of(line: &[u8]) -> RecordedFrame<'_> {
    let mut recorded =
        recorded::parse(line).unwrap_or(RecordedFrame { received_at: None, origin: b"", frame: line.into() });
    if bridge_address(recorded.origin).is_some()
        && let Some(packet) = recorded::unhex(&recorded.frame)
    {
        recorded.frame = packet.into();
    }
    recorded
}

fn time(decoder: &mut dyn Decoder, line: &[u8]) -> Option<Nanos> {
    let tick = decoder.decode(&RawRecord::of(line), &mut InstrumentTable::default()).ok()?;
    (tick.kind != TickKind::Notice).then_some(tick.exchange_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::FeedCommand;
    use crate::{Cli, Command};
    use clap::Parser;
    use ticktide_connect::produce::{LineSink, Sink};

    #[test]
    fn what_a_connector_wrote_is_read_as_it_came() {
        let frames: [(&[u8], &[u8]); 6] = [
            (b"1501-json-full", br#"{"MessageCode":1501}"#),
            (b"1501-json-full", b"{\n\"MessageCode\":1501}"),
            (b"junk", b"\x04\x00\xff\nbinary"),
            (b"junk", b"\xff\xfe"),
            (b"prod/marketfeed/marketstatus/v1/nseeq", &[1, 0]),
            (b"prod/marketfeed/mw/v1/moon/1", &[10, 13]),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("recorded.txt");
        let mut lines = LineSink::new(std::fs::File::create(&path).expect("a file"));
        for (origin, payload) in frames {
            let frame = Frame { topic: "t", key: None, origin, received_at: Some(5), payload };
            lines.put(&frame).expect("written");
        }
        let mut written = feed::lines(&path).expect("a file");
        for (origin, payload) in frames {
            let line = written.next().expect("readable").expect("a line of each frame");
            assert_eq!(frame_of(line), RecordedFrame { received_at: Some(5), origin, frame: payload.into() });
        }
        assert!(written.next().expect("readable").is_none());
    }

    #[test]
    fn the_mark_of_an_editor_is_no_part_of_the_first_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, output) = (folder.path().join("recorded.txt"), folder.path().join("replayed.txt"));
        let lines = "5\tjunk\tone\r\n\n\u{feff}two\n6\tjunk\tthree";
        std::fs::write(&path, format!("\u{feff}{lines}")).expect("written");
        let words = ["ticktide", "--quiet", "feed", "replay"].map(Into::into);
        let arguments = words.into_iter().chain([path.into(), "--output".into(), output.clone().into_os_string()]);
        let arguments = Cli::try_parse_from(arguments).expect("good arguments");
        let (global, command) = (arguments.global, arguments.command);
        let Command::Feed(FeedCommand::Replay(args)) = command else { panic!("a replay") };
        replay(&args, &global).expect("sent");
        let replayed = std::fs::read_to_string(&output).expect("written");
        assert_eq!(replayed, "5\tjunk\tone\n\u{feff}two\n6\tjunk\tthree\n");
    }
}
