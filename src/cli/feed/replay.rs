//! `feed replay`: recorded frames again.

use super::super::Global;
use super::sending::{Sending, SendingArgs};
use crate::error::{Error, Kind};
use crate::feed::produce::{Frame, place};
use crate::feed::wire::{self, Decoder, RawRecord, bridge_address, recorded};
use crate::feed::{InstrumentTable, WireSpec, lines};
use crate::market::TickKind;
use crate::time::Nanos;
use clap::Args;
use std::io::BufRead;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Recorded frames, one a line, plain or .gz or .zst: `RECEIVED_NS⇥ORIGIN⇥FRAME`, or the frames alone
    pub file: PathBuf,
    #[command(flatten)]
    pub sending: SendingArgs,
    /// Everything into this topic; without it into the topic of each frame's code (xts-1501, bridge-mw, …)
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// With `--speed N`: the wire that tells the time of frames that were recorded without their receipt
    #[arg(long, value_name = "NAME", default_value = "xts-json")]
    pub wire: String,
}

/// Sends every line of a file; a line that is no frame, too: what it is, the reader of the topic says. Errors: as sending.
pub fn replay(args: &ReplayArgs, global: &Global) -> Result<(), Error> {
    let mut decoder = wire::build(&WireSpec { format: args.wire.clone(), ..WireSpec::default() })?;
    let mut input = lines(&args.file)?;
    let mut sending = Sending::open(&args.sending)?;
    let (mut line, mut others) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).map_err(|error| Error {
            kind: Kind::Fix,
            message: format!("file {} cannot be read on: {error}", args.file.display()),
            hint: Some("replace the file by a whole one; what stands before was sent".into()),
        })?;
        if read == 0 {
            break;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let recorded = recorded::parse(line);
        let (received_at, origin, text) =
            recorded.map_or((None, &[][..], line), |line| (line.received_at, line.origin, line.frame));
        let unhexed = bridge_address(origin).and_then(|_| recorded::unhex(text));
        let payload = unhexed.as_deref().unwrap_or(text);
        if let Some(at) = received_at.or_else(|| time(decoder.as_mut(), line)) {
            sending.wait_for(at);
        }
        let found = place(&args.sending.target.prefix, origin, payload);
        others += u64::from(found.key.is_none());
        let frame = Frame {
            topic: args.topic.as_deref().unwrap_or(&found.topic),
            key: found.key.as_deref().map(str::as_bytes),
            origin,
            received_at,
            payload,
        };
        sending.sink.put(&frame)?;
        if sending.sink.is_closed() {
            return Ok(());
        }
    }
    sending.finish(global, &[("without a key", others)])
}

fn time(decoder: &mut dyn Decoder, line: &[u8]) -> Option<Nanos> {
    let tick = decoder.decode(&RawRecord::of(line), &mut InstrumentTable::default()).ok()?;
    (tick.kind != TickKind::Notice).then_some(tick.exchange_at)
}
