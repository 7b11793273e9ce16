//! What tests of several sources need.

use super::{Assignment, Reader, Source, SourceSpec};
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn open(spec: &SourceSpec) -> Arc<dyn Source> {
    super::open(spec, &BTreeMap::new()).expect("a source")
}

/// A reader of all partitions from their beginnings.
pub fn read_all(source: &dyn Source) -> Box<dyn Reader> {
    let assigned: Vec<_> = (0..source.partitions().len())
        .map(|partition| Assignment { partition, offset: source.partitions()[partition].offset_start })
        .collect();
    source.reader(&assigned).expect("a reader")
}
