//! The source operator: stamps the records of the reader thread with steps and epochs, and ends epochs on decisions.
//!
//! ```text
//!   reader thread ──bounded──▶ [source operator] ─▶ Routed   (sums and single records, exchanged by instrument)
//!                  Decision ──▶   (this worker)   ─▶ Notice   (an epoch begins; an epoch is bound)
//!                  Report   ◀──                   ─▶ SinkRow  (archive, quarantine, state, balances)
//! ```
//!
//! Why the capability of an epoch's last step is kept until its binding is there: everything downstream acts on the binding
//! record alone, so it has to travel under a time of its epoch while reading goes on into the next. What must always hold: a
//! record is stamped with an epoch only under that epoch's grant, and out of credit nothing is read, but a cut is answered.

mod logic;
mod ports;

pub use logic::{Credit, FIRST_STEP, ReadPace, SourceInput, SourceLogic, Wires};
pub use ports::{Outbox, Ports, Said};

use crate::graph::parts::{Rows, Vecs};
use crate::graph::rows::{Notice, SinkRow};
use ticktide_flow::anomalies::ticks::Remark;
use ticktide_flow::bars::Routed;
use ticktide_flow::instruments::ListingUpdate;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::scheduling::{Activator, SyncActivator};

/// The streams of the source operator.
pub struct SourceStreams<'scope> {
    pub routed: Stream<'scope, u64, Vec<Routed>>,
    pub notices: Stream<'scope, u64, Vec<Notice>>,
    pub remarks: Stream<'scope, u64, Vec<Remark>>,
    pub listings: Stream<'scope, u64, Vec<ListingUpdate>>,
    pub rows: Rows<'scope>,
    /// Wakes the operator.
    pub activator: Activator,
}

/// The source operator. `build` makes its logic from the operator's capabilities and what wakes it from another thread.
pub fn source<'scope>(
    name: &str,
    scope: Scope<'scope, u64>,
    build: impl FnOnce(Ports, SyncActivator) -> SourceLogic,
) -> SourceStreams<'scope> {
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(address.clone());
    let (routed_output, routed) = builder.new_output();
    let mut routed_output = OutputBuilder::<u64, Vecs<Routed>>::from(routed_output);
    let (notices_output, notices) = builder.new_output();
    let mut notices_output = OutputBuilder::<u64, Vecs<Notice>>::from(notices_output);
    let (remarks_output, remarks) = builder.new_output();
    let mut remarks_output = OutputBuilder::<u64, Vecs<Remark>>::from(remarks_output);
    let (listings_output, listings) = builder.new_output();
    let mut listings_output = OutputBuilder::<u64, Vecs<ListingUpdate>>::from(listings_output);
    let (rows_output, rows) = builder.new_output();
    let mut rows_output = OutputBuilder::<u64, Vecs<SinkRow>>::from(rows_output);
    builder.build(move |capabilities| {
        let Ok([routed, notices, remarks, listings, rows]) = <[_; 5]>::try_from(capabilities) else {
            unreachable!("an operator has a capability for each of its five outputs")
        };
        let wake = scope.worker().sync_activator_for(address.to_vec());
        let again = scope.activator_for(address);
        let ports = Ports { routed, notices, remarks, listings, rows };
        let mut logic = Some(build(ports, wake));
        move |_| {
            let Some(running) = &mut logic else { return };
            let mut outbox = Outbox::default();
            if running.turn(&mut outbox) {
                again.activate();
            }
            // whole containers: the data is moved once, into the exchange
            let mut routed = routed_output.activate();
            let mut notices = notices_output.activate();
            let mut remarks = remarks_output.activate();
            let mut listings = listings_output.activate();
            let mut rows = rows_output.activate();
            for mut said in outbox.0 {
                routed.session(&said.ports.routed).give_container(&mut said.routed);
                notices.session(&said.ports.notices).give_container(&mut said.notices);
                remarks.session(&said.ports.remarks).give_container(&mut said.remarks);
                listings.session(&said.ports.listings).give_container(&mut said.listings);
                rows.session(&said.ports.rows).give_container(&mut said.rows);
            }
            if running.is_done() {
                logic = None;
            }
        }
    });
    SourceStreams { routed, notices, remarks, listings, rows, activator }
}

#[cfg(test)]
mod tests;
