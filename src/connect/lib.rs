//! What fills the topics that ticktide reads: live feeds, a simulated market, recorded files played again.
//!
//! Why beside the feed and not in it: the feed reads ticks, this writes records. What must hold: nothing here knows the engine.

pub mod live;
pub mod produce;
pub mod simulate;
