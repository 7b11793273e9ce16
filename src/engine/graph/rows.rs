//! What travels between the operators and into the writer: notices of epochs, and rows.
//!
//! Why apart from the operators: the one that makes a row and the one that takes it need not know each other. What must always
//! hold: operators after the source act on notices alone, so content is a function of bindings.

use std::sync::Arc;
use ticktide_base::epoch::{Binding, Conservation, Epoch};
use ticktide_flow::anomalies::Anomaly;
use ticktide_flow::bars::finished::{FinishedBar, NamedRow, Reading};
use ticktide_flow::clean::EpochHorizons;
use ticktide_flow::close::RowChange;
use ticktide_flow::instruments::ListingChange;
use ticktide_lake::StateEntry;
use ticktide_tables::{Archived, QuarantineRow};

/// What downstream operators act on.
#[derive(Clone, Debug)]
pub enum Notice {
    Begin(Epoch, EpochHorizons),
    Bind(Arc<Binding>),
}

/// What reaches a worker's writer.
#[derive(Clone, Debug)]
pub enum SinkRow {
    Bar(RowChange<NamedRow<FinishedBar>>),
    Reading(RowChange<NamedRow<Reading>>),
    Anomaly(RowChange<NamedRow<Anomaly>>),
    Listing(ListingChange),
    Ticks(Arc<Archived>),
    Quarantine(QuarantineRow),
    State(Vec<StateEntry>),
    Counts(Arc<str>, Conservation),
    Bind(Arc<Binding>),
}
