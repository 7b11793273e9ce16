//! From batches to series: which keys change, at which times, and how their series follow.
//!
//! Why a round is one time of one key: outputs must be right at every time, and the times of a batch are followed in order.
//! What must always hold: keys are requested in ascending order, because the cursors over batches and trace advance together.

use super::logic::{Logic, Positioned, ScanBatch};
use super::reader::BatchReader;
use super::series::{Fault, Series, Update};
use differential_dataflow::ExchangeData;
use differential_dataflow::trace::Cursor;
use differential_dataflow::trace::cursor::cursor_list;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Changes of bases by time.
pub(super) type Moved<K, A> = BTreeMap<u64, Vec<(K, Option<A>)>>;

/// The series of one worker's keys.
pub(super) struct KeyedSeries<K, V, L: Logic<K, V>> {
    logic: L,
    all: HashMap<K, Series<V, L::Acc, L::Out>, ahash::RandomState>,
    /// Bases of an earlier run, until their key occurs.
    bases: HashMap<K, L::Acc>,
    retires: fn(&u64) -> bool,
    checkpoint_every: usize,
}

impl<K: ExchangeData + Hash, V: Positioned + 'static, L: Logic<K, V>> KeyedSeries<K, V, L> {
    pub(super) fn new(
        logic: L,
        bases: HashMap<K, L::Acc>,
        retires: fn(&u64) -> bool,
        checkpoint_every: usize,
    ) -> KeyedSeries<K, V, L> {
        KeyedSeries { logic, all: HashMap::default(), bases, retires, checkpoint_every }
    }

    /// Follows the changes in `batches`; `store` is the whole trace up to their end. Gives outputs, returns moved bases.
    pub(super) fn follow<B: ScanBatch<K, V>>(
        &mut self,
        batches: Vec<B>,
        store: Vec<B>,
        give: &mut impl FnMut((K, L::Out), u64, isize),
    ) -> Moved<K, L::Acc> {
        let mut moved = Moved::new();
        let mut reader = BatchReader::new(store);
        let (mut cursor, storage) = cursor_list(batches);
        while let Some(key) = cursor.get_key(&storage) {
            if self.logic.applies(key) {
                let updates = updates(&mut cursor, &storage);
                self.follow_key(key, &updates, &mut reader, give, &mut moved);
            }
            cursor.step_key(&storage);
        }
        moved
    }

    /// Follows the changes of one key, in the order of their times.
    fn follow_key<B: ScanBatch<K, V>>(
        &mut self,
        key: &K,
        updates: &[Update<'_, V>],
        reader: &mut BatchReader<B>,
        give: &mut impl FnMut((K, L::Out), u64, isize),
        moved: &mut Moved<K, L::Acc>,
    ) {
        let KeyedSeries { logic, all, bases, retires, checkpoint_every } = self;
        let series = match all.get_mut(key) {
            Some(series) => series,
            None => {
                let base = bases.remove_entry(key);
                let (own, base) = base.unwrap_or_else(|| (key.clone(), logic.initial(key)));
                all.entry(own).or_insert_with(|| Series::new(base, *checkpoint_every))
            }
        };
        let mut own: Vec<(u64, Option<L::Acc>)> = Vec::new();
        for round in updates.chunk_by(|left, right| left.0 == right.0) {
            let time = round[0].0;
            let mut emit = |out: L::Out, diff: isize| give((key.clone(), out), time, diff);
            match follow_round(logic, key, series, round, reader, retires(&time), &mut emit) {
                Ok(false) => (),
                Ok(true) => {
                    let base = series.base();
                    own.push((time, (*base != logic.initial(key)).then(|| base.clone())));
                }
                Err(fault) => panic!("scan of {key:?} at time {time}: {fault}"),
            }
        }
        // equal keys may be written differently: a base stays under the key that it arrived with
        if let Some((key, _)) = all.get_key_value(key).filter(|_| !own.is_empty()) {
            for (time, base) in own {
                moved.entry(time).or_default().push((key.clone(), base));
            }
        }
    }
}

/// The changes of the key at the cursor, by time; values of one time stay in their order.
fn updates<'s, C, V>(cursor: &mut C, storage: &'s C::Storage) -> Vec<Update<'s, V>>
where
    C: for<'a> Cursor<Val<'a> = &'a V, Time = u64, Diff = isize>,
    V: 'static,
{
    let mut updates = Vec::new();
    while let Some(value) = cursor.get_val(storage) {
        cursor.map_times(storage, |time, diff| updates.push((C::owned_time(time), value, C::owned_diff(diff))));
        cursor.step_val(storage);
    }
    updates.sort_by_key(|(time, _, _)| *time);
    updates
}

/// Follows one key's changes of one time. Returns true when its base has moved.
fn follow_round<K, V, L, B>(
    logic: &L,
    key: &K,
    series: &mut Series<V, L::Acc, L::Out>,
    round: &[Update<'_, V>],
    reader: &mut BatchReader<B>,
    retires: bool,
    emit: &mut impl FnMut(L::Out, isize),
) -> Result<bool, Fault>
where
    K: Ord + 'static,
    V: Positioned + 'static,
    L: Logic<K, V>,
    B: ScanBatch<K, V>,
{
    let time = round[0].0;
    let step = |acc: &mut L::Acc, value: &V| logic.step(key, acc, value);
    if retires {
        let forward = L::FORWARDS.then_some(emit as &mut dyn FnMut(L::Out, isize));
        series.retire(&step, round, &mut reader.read(key, time), forward)
    } else {
        series.change(&step, round, || reader.read(key, time), emit).map(|()| false)
    }
}
