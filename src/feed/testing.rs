//! Helpers for the tests of several sources.

use super::{Assignment, Reader, Source, SourceSpec};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

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

/// An output whose bytes the test can read at once.
#[derive(Clone, Default)]
pub struct Shared(pub Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
