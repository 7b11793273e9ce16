//! Connectors: each holds a vendor's feed until it is stopped and writes the frames into a [`Sink`].
//!
//! ```text
//!                         ┌───────────── Backoff: twice as long each time ─────────────┐
//!                         ▼                                                            │
//!   keys ──▶ xts: REST login, websocket, subscriptions ──┐                         lost, refused, expired
//!   token ─▶ bridge: MQTT over TLS, subscriptions ───────┴─ frames ─▶ ConnectorState ──┘
//!                                                                      │            └─▶ Gaps: what may be missing, as records
//!                                                                      ▼
//!                                                       Outlet (bounded) ─▶ writer thread ─▶ Sink ─▶ Kafka
//! ```
//!
//! What must always hold: each frame read is put into the sink once, in the order of reading; each stretch of time in which a
//! frame may be missing is a gap record in the sink and a line in the log; a secret is sent only to the server it is for;
//! memory is bounded. While the sink takes no frames, the socket is not read: the vendor's buffers fill, and the vendor does
//! not report what it then drops. So a wait of more than five seconds is a gap record of kind `stall`.
//!
//! At the start a user's mistake ends the connector, and so does a server that cannot be reached in a few tries. Later neither
//! does: it reconnects until it is stopped.

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
use link::ConnectorState;
use secrets::Secrets;
use sessions::{VendorClient, hold};
use spec::{Api, ConnectSpec};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use ticktide_base::error::Error;
use ticktide_feed::FeedError;
pub use trouble::Trouble;
use xts::XtsClient;

/// Holds a feed until `stop` is set. Errors: a user's mistake at the start, a server that cannot be reached at the start, the
/// sink's.
pub fn run(spec: ConnectSpec, sink: &mut dyn Sink, figures: Arc<Figures>, stop: Arc<AtomicBool>) -> Result<(), Error> {
    let tls = Arc::new(tls::client(spec.authorities.as_deref())?);
    let secrets = Secrets::default();
    let mut client = match spec.api {
        Api::Xts => VendorClient::Xts(XtsClient::new(&spec, tls, secrets)?),
        Api::Bridge => VendorClient::Bridge(Bridge::new(tls, secrets)),
    };
    for topic in spec.topics() {
        sink.prepare(&topic)?;
    }
    let failed = |error: std::io::Error| Error::bug(format!("cannot start the connector's threads: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
    let (outlet, inlet) = outlet::queue();
    let (prefix, handle, counted) = (spec.prefix.clone(), runtime.handle().clone(), figures.clone());
    std::thread::scope(|scope| {
        let writer = std::thread::Builder::new().name("writer".into());
        let writer = writer.spawn_scoped(scope, move || inlet.write(sink, &prefix, &counted, &handle));
        let writer = writer.map_err(failed)?;
        let mut state = ConnectorState::new(Arc::new(spec), outlet, figures);
        let held = runtime.block_on(hold(&mut client, &mut state, &stop));
        // the writer ends once no outlet is left
        drop((state, client));
        let written: Result<(), FeedError> = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        held.and(written.map_err(Error::from))
    })
}
