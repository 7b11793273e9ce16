//! The tables of a dataflow, by what fills them.
//!
//! Why a value: the writer, the lake that is opened and the plan all take their tables from here. What must always hold: a
//! table is in it exactly if the dataflow requests it.

use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::time::Interval;
use ticktide_dataflow::Dataflow;
use ticktide_lake::table::spec::TableSpec;

/// The tables of a dataflow, by what fills them.
#[derive(Clone)]
pub struct Tables {
    pub bars: BTreeMap<Interval, Arc<TableSpec>>,
    pub readings: BTreeMap<Interval, Arc<TableSpec>>,
    pub ticks: Option<Arc<TableSpec>>,
    pub anomalies: Option<Anomalies>,
    pub instruments: Option<Arc<TableSpec>>,
    pub quarantine: Arc<TableSpec>,
    /// Names of the session's phases, by number.
    pub phases: Arc<[String]>,
    /// The name of the source in the quarantine.
    pub source: Arc<str>,
}

impl Tables {
    /// The tables of a dataflow; `outputs`: indicator outputs by interval.
    pub fn new(dataflow: &Dataflow, outputs: &BTreeMap<Interval, Vec<String>>) -> Tables {
        let phases = (0..dataflow.session.phase_count()).map(|phase| dataflow.session.phase_name(phase).to_owned());
        Tables {
            bars: dataflow.bars.iter().map(|interval| (*interval, Arc::new(crate::bars(*interval)))).collect(),
            readings: outputs
                .iter()
                .map(|(interval, outputs)| (*interval, Arc::new(crate::indicators(*interval, outputs))))
                .collect(),
            ticks: dataflow.ticks.then(|| Arc::new(crate::ticks())),
            anomalies: Anomalies::new(dataflow),
            instruments: dataflow.instruments.then(|| Arc::new(crate::instruments())),
            quarantine: Arc::new(crate::quarantine()),
            phases: phases.collect(),
            source: dataflow.source.uses.as_str().into(),
        }
    }

    /// The tables of a lake whose dataflow was extended: `original` outputs of an interval existed from the start.
    pub fn evolved(
        mut self,
        original: &BTreeMap<Interval, usize>,
        outputs: &BTreeMap<Interval, Vec<String>>,
    ) -> Tables {
        for (interval, outputs) in outputs {
            let count = original.get(interval).copied().unwrap_or(outputs.len());
            self.readings.insert(*interval, Arc::new(crate::evolved_indicators(*interval, outputs, count)));
        }
        self
    }

    /// Every definition, for opening the lake.
    pub fn specs(&self) -> Vec<TableSpec> {
        let anomalies = self.anomalies.as_ref().map(|anomalies| &anomalies.spec);
        let all = self.bars.values().chain(self.readings.values()).chain(&self.ticks);
        let all = all.chain(anomalies).chain(&self.instruments).chain([&self.quarantine]);
        all.map(|spec| TableSpec::clone(spec)).collect()
    }
}

/// The table `anomalies`, and the names of its checks there.
#[derive(Clone)]
pub struct Anomalies {
    pub spec: Arc<TableSpec>,
    /// By their positions in the dataflow's list.
    pub checks: Arc<[crate::CheckName]>,
}

impl Anomalies {
    /// `None` for a dataflow without checks.
    fn new(dataflow: &Dataflow) -> Option<Anomalies> {
        let checks = dataflow.anomalies.iter().map(crate::CheckName::of);
        let checks: Arc<[crate::CheckName]> = checks.collect();
        (!checks.is_empty()).then(|| Anomalies { spec: Arc::new(crate::anomalies()), checks })
    }
}
