//! Connectors: a vendor's feed, held for as long as it takes, into a [`Sink`].
//!
//! ```text
//!                         ┌──────── Backoff: twice as long each time ────────┐
//!                         ▼                                                  │
//!   keys ──▶ xts: REST login, websocket, subscriptions ──┐               lost, refused, expired
//!   token ─▶ bridge: MQTT over TLS, subscriptions ───────┴─ frames ─▶ Link ──┘
//!                                                                      │  └─▶ Gaps: what may be missing, as records
//!                                                                      ▼
//!                                                       Outlet (bounded) ─▶ writer thread ─▶ Sink ─▶ Kafka
//! ```
//!
//! What must always hold: a frame that was read is put into the sink, once and in the order it was read; a stretch of time in
//! which one may be missing is a gap record in the sink and a line of the log; no secret leaves the process but to the server
//! it is for; memory is bounded. When nobody takes frames, the socket is not read: the vendor's buffers fill, and what the
//! vendor then throws away it does not tell, so a wait of more than five seconds is a gap record of kind `stall`.
//!
//! At the very start a mistake of the user's ends the connector, and so does a server that is not there at a few tries. Later
//! nothing does: it connects again for ever.

pub mod backoff;
mod bridge;
mod clock;
pub mod figures;
pub mod gaps;
mod jwt;
mod link;
mod outlet;
pub mod packet;
mod rest;
pub mod secrets;
mod sessions;
mod socket;
pub mod spec;
mod subscribe;
#[cfg(test)]
mod testing;
mod tls;
mod trouble;
mod verdict;
mod xts;

use crate::produce::Sink;
use bridge::Bridge;
use figures::Figures;
use link::Link;
use secrets::Secrets;
use sessions::{Client, hold};
use spec::{Api, ConnectSpec};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use ticktide_base::error::Error;
use ticktide_feed::FeedError;
pub use trouble::Trouble;
use xts::Xts;

/// Holds a feed until `stop` is set. Errors: a mistake of the user's at the start, a server that is not there at the start,
/// the sink's.
pub fn run(spec: ConnectSpec, sink: &mut dyn Sink, figures: Arc<Figures>, stop: Arc<AtomicBool>) -> Result<(), Error> {
    let tls = Arc::new(tls::client(spec.authorities.as_deref())?);
    let secrets = Secrets::default();
    let mut client = match spec.api {
        Api::Xts => Client::Xts(Xts::new(&spec, tls, secrets)?),
        Api::Bridge => Client::Bridge(Bridge::new(tls, secrets)),
    };
    for topic in spec.topics() {
        sink.prepare(&topic)?;
    }
    let failed = |error: std::io::Error| Error::bug(format!("the connector's threads do not start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
    let (outlet, inlet) = outlet::queue();
    let (prefix, handle, counted) = (spec.prefix.clone(), runtime.handle().clone(), figures.clone());
    std::thread::scope(|scope| {
        let writer = std::thread::Builder::new().name("writer".into());
        let writer = writer.spawn_scoped(scope, move || inlet.write(sink, &prefix, &counted, &handle));
        let writer = writer.map_err(failed)?;
        let mut link = Link::new(Arc::new(spec), outlet, figures);
        let held = runtime.block_on(hold(&mut client, &mut link, &stop));
        // the writer ends when nobody can hand anything in any more
        drop((link, client));
        let written: Result<(), FeedError> = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        held.and(written.map_err(Error::from))
    })
}
