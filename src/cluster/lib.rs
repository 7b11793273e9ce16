//! The processes of a run: their addresses ([`hosts`]), their connections ([`mesh`]), their restarts ([`supervise`]).
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.

pub mod hosts;
pub mod mesh;
pub mod supervise;
