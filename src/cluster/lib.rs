//! The processes of a run: where they are ([`hosts`]), how they are joined ([`mesh`]), who starts them again ([`supervise`]).

pub mod hosts;
pub mod mesh;
pub mod supervise;
