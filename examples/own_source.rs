//! A source of your own: two partitions of a hundred records each; a second run finds nothing new.
//!
//! `cargo run --example own_source`

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use ticktide::source::*;
use ticktide::{Dataflow, Lake, Registry, Run};

static WAVES: Kind = Kind { name: "waves", doc: "prices on a wave, the same ones each time", open };

const RECORDS: i64 = 100;

fn open(settings: &Settings, _resume: &BTreeMap<String, i64>) -> Result<Arc<dyn Source>, FeedError> {
    let of = |partition| Partition {
        topic: "waves".into(),
        partition,
        source_id: "waves:1".into(), // by which the lake recognises it
        offset_start: 0,
        offset_end: RECORDS,
    };
    Ok(Arc::new(Waves { partitions: [0, 1].map(of), settings: settings.clone() }))
}

struct Waves {
    partitions: [Partition; 2],
    settings: Settings,
}

impl Source for Waves {
    fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        let (decoder, instruments) = (decoder(&self.settings.wire)?, InstrumentTable::default());
        Ok(Box::new(Waver { left: assigned.to_vec(), decoder, instruments }))
    }
}

struct Waver {
    left: Vec<Assignment>,
    decoder: Box<dyn Decoder>,
    instruments: InstrumentTable,
}

impl Reader for Waver {
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError> {
        let Some(at) = self.left.iter().position(|assigned| !paused(assigned.partition)) else {
            std::thread::sleep(wait);
            return Ok(None);
        };
        let Assignment { partition, offset } = self.left.remove(at);
        let mut batch = Batch::of(partition);
        for offset in offset..RECORDS {
            let (time, price) = (1_767_711_600 + offset, 50 + offset % 7);
            let record = format!(r#"{{"symbol":"W{partition}","time":{time},"price":{price},"quantity":1}}"#);
            batch.take(&RawRecord::new(record.as_bytes(), offset, None), self.decoder.as_mut(), &mut self.instruments);
        }
        (batch.offset_next, batch.finished, batch.caught_up) = (RECORDS, true, true);
        batch.instruments = self.instruments.take_fresh();
        Ok(Some(batch))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    Registry::built_in().source(&WAVES).install()?;
    let folder = tempfile::tempdir()?;
    let text = "source = { use = \"waves\" }\nbars = [{ every = \"1m\" }]";
    let dataflow = Dataflow::from_text("own_source", "own_source.toml", text, &[], &[])?;
    let runs = [200, 0].map(|records| (records, Run::new(dataflow.clone()).warehouse(folder.path()).until_end().run()));
    for (records, report) in runs {
        assert_eq!(report?.records, records);
    }
    let volumes = Lake::open(folder.path())?.query("select sum(volume) as volume from bars_1m").text()?;
    assert!(volumes.contains("200"), "{volumes}");
    Ok(())
}
