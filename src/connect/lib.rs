//! Writers of the topics that ticktide reads: live feeds, a simulated market, replayed recordings.
//!
//! Internal: programs use the crate `ticktide`; this crate may change with every version.
//!
//! Why a crate beside the feed, not a part of it: the feed reads ticks; this crate writes records. What must hold: nothing here
//! depends on the engine.

pub mod live;
pub mod produce;
pub mod simulate;
