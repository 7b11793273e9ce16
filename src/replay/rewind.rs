//! The binding that a lake goes on from when a partition's time is set back.
//!
//! Why here: reaches and sessions are the engine's, rows are the lake's, and this is where both are known. What must always
//! hold: the lake is only read.

use ticktide_base::epoch::Binding;
use ticktide_base::error::Error;
use ticktide_base::time::Nanos;
use ticktide_dataflow::Dataflow;
use ticktide_engine::epochs::ControlSpec;
use ticktide_engine::epochs::rewind::Rewind;
use ticktide_lake::LakeReader;
use ticktide_lake::read::bars::BarRows;
use ticktide_market::Instrument;

/// The binding after `before` when a partition's time is set back to `to`. Errors of kind `Fix`: the lake is another
/// dataflow's, there is no such partition, or it has not come further than that.
pub async fn rewound(
    dataflow: &Dataflow,
    reader: &LakeReader,
    before: &Binding,
    partition: &str,
    to: Nanos,
) -> Result<Binding, Error> {
    let spec = ControlSpec::of(dataflow, 1, before.generation);
    if before.dataflow_hash != spec.dataflow_hash {
        let hint = "name the dataflow that the lake was made with, with the same `--set`";
        return Err(Error::fix(
            format!("the lake was not made with the dataflow {:?} as it is given", dataflow.name),
            hint,
        ));
    }
    let rewind = Rewind::new(spec, dataflow.confirmations, before, partition, to)?;
    let levels = rewind.intervals();
    let mut look = Look { rewind, level: 0 };
    for (level, interval) in levels.into_iter().enumerate() {
        look.level = level;
        reader.bars(&format!("bars_{interval}"), &mut look).await?;
    }
    Ok(look.rewind.finish())
}

/// The rows of an interval's table, as the rewind sees them.
struct Look {
    rewind: Rewind,
    level: usize,
}

impl BarRows for Look {
    fn wants(&self, open_at: Nanos) -> bool {
        self.rewind.wants(self.level, open_at)
    }

    fn see(&mut self, venue: &str, instrument: &str, open_at: Nanos) {
        self.rewind.see(self.level, &Instrument::new(venue, instrument, None), open_at);
    }
}
