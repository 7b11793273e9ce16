//! One table of the lake: its columns, its files, and what an epoch changes in it.

pub mod deletes;
pub mod files;
pub mod index;
pub(crate) mod live;
pub mod names;
pub mod rewrite;
pub mod rows;
pub mod schema;
pub mod spec;
pub mod stage;
