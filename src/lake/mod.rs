//! STAGE 3: closed epochs → Parquet → one atomic commit → Iceberg.

pub mod error;
pub mod files;
pub mod rows;
pub mod schema;
pub mod storage;
pub mod store;
pub mod table;
