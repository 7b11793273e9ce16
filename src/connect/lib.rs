//! What fills the topics that ticktide reads: live feeds, a simulated market, recorded files played again.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! Why beside the feed and not in it: the feed reads ticks, this writes records. What must hold: nothing here knows the engine.

pub mod live;
pub mod produce;
pub mod simulate;
