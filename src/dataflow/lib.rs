//! A dataflow: what is read, which bars and indicators are made of it, and when a tick is too late.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! ```text
//!   dataflows/NAME.toml ─┐
//!   TICKTIDE_…, flags ───┼─▶ one tree (document) ─▶ read ─▶ Dataflow ─▶ engine
//!   --set key=value ─────┤                          └▶ every problem at once └▶ summary: hash, settings, origins
//!   settings of a lake ──┘                                                                      (recorded reads them back)
//! ```
//!
//! The table of keys (`keys`) says what a file may hold. The reader, the hash, the list that `--dry-run` prints, the reference page
//! ([`reference`]) and the schema for editors ([`schema`]) all walk it.
//!
//! Why the hash covers only what changes rows: brokers, credentials, epoch sizes and workers may differ from run to run on
//! one lake, the meaning of its rows may not. What must always hold: a secret is in [`Dataflow::source`] and nowhere else,
//! so nothing that prints or stores a dataflow can show it.

pub mod checks;
mod composites;
pub mod evolution;
mod keys;
mod load;
pub mod presets;
mod read;
mod recorded;
pub mod reference;
mod registry;
pub mod schema;
mod spec;
mod summary;
#[cfg(test)]
mod tests;

pub use checks::AnomalyUse;
pub use composites::composites;
pub use load::{DataflowError, Override, SHIPPED};
pub use recorded::Recorded;
pub use registry::Registry;
pub use spec::{Dataflow, Dedupe, EpochSpec, Horizon, Horizons, IndicatorUse, Limits, Volume};
pub use summary::Described;
pub use ticktide_market::conditions::{Condition, ConditionsSpec};
