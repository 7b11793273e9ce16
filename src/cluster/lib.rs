//! The processes of a run: where they are ([`hosts`]), how they are joined ([`mesh`]), who starts them again ([`supervise`]).
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.

pub mod hosts;
pub mod mesh;
pub mod supervise;
