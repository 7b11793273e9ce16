//! One table of the lake: its columns, its files, and what an epoch changes in it.
//!
//! ```text
//!   rows ─▶ buffer ─▶ files ─▶ Parquet        what it is    spec · schema (Iceberg, Arrow) · names · meta
//!   Parquet ─▶ parquet ─▶ rows                what is live  place · base (the head) · index · deletes
//!
//!   live:  load ─────────▶ plan ──▶ perform ──▶ swap ─────────────▶ collect
//!          base, index,    plan,    rewrite     stage, then one      what only expired
//!          hits            pure                 compare-and-swap     snapshots reached
//! ```
//!
//! Why a plan between reading and writing: what an epoch does to a table is arithmetic over what was read, and can be tested
//! without a store. What must hold: L2, an epoch's rows are visible in a table exactly once.

pub(crate) mod base;
pub(crate) mod buffer;
pub(crate) mod deletes;
pub mod files;
pub(crate) mod hits;
pub(crate) mod index;
pub(crate) mod live;
pub(crate) mod meta;
pub mod names;
pub(crate) mod parquet;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod rewrite;
pub mod rows;
pub mod schema;
pub mod spec;
pub(crate) mod stage;
