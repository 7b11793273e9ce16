//! The bytes of bars and of their durable state, as a lake of an earlier run has them.

use super::*;
use crate::bars::EVERY;
use crate::bars::finished::{BarHead, NamedRow, Reading};
use crate::bars::trades::TradeState;
use crate::bars::volume::SnapshotBar;
use crate::clean::duplicates::SeenEntry;

/// Two digits a byte, a point for a byte of 0.
fn shown(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if *byte == 0 { ".".to_owned() } else { format!("{byte:02x}") }).collect()
}

fn bytes(value: &impl serde::Serialize) -> String {
    shown(&bincode::serialize(value).expect("plain values"))
}

const HEAD: BarHead = BarHead { open_at: 1, phase: 2, trading_date: 3 };

fn finished() -> FinishedBar {
    FinishedBar {
        head: HEAD,
        open: 4,
        high: 5,
        low: 6,
        close: 7,
        volume: Some(8),
        turnover: Some(9),
        trades: Some(10),
        updates: 11,
        open_interest: Some(12),
        partial: false,
        short: true,
        symbol: Some("S".into()),
    }
}

fn snapshot() -> SnapshotBar {
    SnapshotBar {
        head: HEAD,
        open: 4,
        high: 5,
        low: 6,
        close: 7,
        cumulative_first: Some(8),
        cumulative_greatest: Some(9),
        cumulative_last: Some(10),
        first_told: (Some(11), None),
        day_high: Some(12),
        day_low: Some(13),
        open_interest: Some(14),
        updates: 15,
        baseline_known: true,
        short: false,
        symbol: Some("S".into()),
    }
}

#[test]
fn bars_and_readings_are_written_as_ever() {
    let reading = Reading { head: HEAD, values: vec![4, 5], symbol: Some("S".into()) };
    let written = [
        bytes(&Emitted::Finished(finished())),
        bytes(&Emitted::Snapshot(Box::new(snapshot()))),
        bytes(&NamedRow { row: reading, symbol: Some("M".into()) }),
    ];
    let expected = [
        "....01.......0203...04.......05.......06.......07.......0108...............0109...............0\
         10a.......0b.......010c................010101.......53",
        "01...01.......0203...04.......05.......06.......07.......0108...............0109...............\
         010a...............010b........010c.......010d.......010e...............0f.......01.0101.......\
         53",
        "01.......0203...02.......04.......05.......0101.......530101.......4d",
    ];
    assert_eq!(written, expected);
}

/// (key, value) of all that an epoch keeps, in order.
fn kept(spec: BarsSpec, records: Vec<Routed>) -> Vec<(String, String)> {
    let mut keyed = Keyed::new(spec);
    keyed.begin(horizons(OPEN, Nanos::MIN));
    let mut aside = Aside::default();
    records.into_iter().for_each(|record| keyed.apply(record, &mut aside));
    keyed.changes(&mut Vec::new());
    let mut states = keyed.retire(7, &mut Vec::new(), &mut aside);
    keyed.begin(horizons([30 * SECOND, Nanos::MIN, Nanos::MIN], 20 * SECOND));
    states.extend(keyed.retire(8, &mut Vec::new(), &mut aside));
    let mut states: Vec<_> = states
        .into_iter()
        .map(|(instrument, key, value)| (bytes(&(instrument, key)), value.map_or("none".into(), |value| shown(&value))))
        .collect();
    states.sort();
    states
}

#[test]
fn the_state_of_trades_is_written_as_ever() {
    let mut first = trade(1, 10 * SECOND, 100, 2, ALL);
    if let Routed::Trade { seen, .. } = &mut first {
        *seen = Some(SeenEntry::Sequence(5, 6, 7));
    }
    let records = vec![
        first,
        trade(2, 50 * SECOND, 110, 3, ALL),
        correction(2, (4, 0), Some((120, 1))),
        correction(9, (1, 40 * SECOND), None),
    ];
    let spec = BarsSpec { intervals: INTERVALS[..2].to_vec(), dedupe_here: true, ..spec(true, false) };
    let expected = [
        (
            "01.......5801.......41......5847f80d...........",
            "...............4f91944e...5847f80d...01....02........e40b5402...................01.......64....\
             ...02........743ba40b...................02.......78.......01.......78.......64.......03........\
             .......4001..............02........0102.......5332.",
        ),
        (
            "01.......5801.......41......5847f80d...........",
            "...............4f91944e...5847f80d...01....02........e40b5402...................01.......64....\
             ...02........743ba40b...................02.......78.......01.......78.......64.......03........\
             .......4001..............02.......01....01........e40b5402...................01.......64.......\
             02........e40b5402...................01.......64.......02.......64.......64.......02...........\
             ....c8...............01.......0102.......5332.",
        ),
        (
            "01.......5801.......41......ca9a3b.....743ba40b...",
            "...............4f91944e...3ed6df0b...01....01........743ba40b...................02.......78....\
             ...01........743ba40b...................02.......78.......01.......78.......78.......01........\
             .......78...............01........0102.......5332.",
        ),
        (
            "01.......5801.......41......ca9a3b.....e40b5402...",
            "...............4f91944e...aea68f02...01....01........e40b5402...................01.......64....\
             ...02........e40b5402...................01.......64.......02.......64.......64.......02........\
             .......c8...............01........0102.......5331.",
        ),
        ("01.......5801.......41......ca9a3b.....e40b5402...", "none"),
        (
            "01.......5801.......41.01...........01.......31",
            "01.e40b5402...................01.......64.......02........e40b5402...0101..........ffffffff...\
             ....80....................",
        ),
        ("01.......5801.......41.01...........01.......31", "none"),
        (
            "01.......5801.......41.01...........01.......32",
            "01.743ba40b...................02.......6e.......03........743ba40b...0101..........ffffffff....\
             ...80....01.......04...............78.......01.......ffffffff........",
        ),
        (
            "01.......5801.......41.01...........01.......39",
            "...01.......01........902f5009....03.......742f30.................ffffffff.......80............0\
             1..............80........",
        ),
        ("01.......5801.......41.02.......07.......", "06.......0a0e06..................."),
    ];
    assert_eq!(kept(spec, records), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

/// The bytes that such a text shows.
fn unshown(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (byte, length) = match rest.strip_prefix('.') {
            Some(_) => (0, 1),
            None => (u8::from_str_radix(&rest[..2], 16).expect("two digits"), 2),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

#[test]
fn an_entry_of_the_first_layout_is_read_as_it_was_meant() {
    let corrected = "01.743ba40b...................02.......6e.......03........743ba40b...01010104...............78.\
                     ......01................";
    let entry = TradeState::decode(&unshown(corrected)).expect("an entry of the first layout");
    let [(mask, acc)] = &entry.effective(false)[..] else { panic!("{entry:?}") };
    assert_eq!((*mask, acc.high, acc.volume), (EVERY, 0x78, 1), "the correction met it, for every interval");
    let waits = "..0101.......01........902f5009....03.......742f30.................";
    let entry = TradeState::decode(&unshown(waits)).expect("an entry of the first layout");
    assert_eq!((entry.cancelled, entry.waiting.len()), (0, 1), "a waiting cancel has met nothing");
    assert_eq!(entry.waiting[0].order, (1, 40 * SECOND));
    let again = TradeState::decode(&entry.encode()).expect("its own bytes");
    assert_eq!(again, entry);
    for cut in 1..entry.encode().len() {
        if let Ok(other) = TradeState::decode(&entry.encode()[..cut]) {
            assert_eq!(other.waiting[0].kept_from, Nanos::MIN, "only the tail may be lacking: {cut}");
        }
    }
}

#[test]
fn the_state_of_snapshots_is_written_as_ever() {
    let id = ticktide_market::InstrumentId(0);
    let mut tick = ticktide_market::Tick::new(ticktide_market::TickKind::Snapshot, id, 1, 2 * SECOND);
    tick.price = Some(ticktide_market::Price(100));
    tick.snapshot = Some(Box::new(ticktide_market::Snapshot {
        cumulative_volume: Some(9),
        day_high: Some(ticktide_market::Price(101)),
        open_interest: Some(8),
        ..Default::default()
    }));
    let acc = Acc::Snapshots(Box::new(crate::bars::acc::SnapshotAcc::of(&tick, 3, true)));
    let instrument = Instrument::new("X", "A", Some("S"));
    let record = Routed::Partial { instrument, phase: PHASE, at: 2 * SECOND, mask: 0b10, acc };
    let expected = [(
        "01.......5801.......41......5847f80d...........",
        "...............4f91944e...5847f80d...0101...01.......03....943577....0109................64....\
             ...03....943577....0109................64.......64.......64.......0165........0109.............\
             ..0165........01.943577....08...............01.0101.......530103....943577....0109.............\
             ...64.......",
    )];
    assert_eq!(kept(spec(false, false), vec![record]), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}
