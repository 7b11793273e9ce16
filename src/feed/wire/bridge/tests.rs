//! Promises of the wire format `bridge`: packets become ticks, and the reject of a damaged one names the damage.

use super::*;
use crate::Reject;
use crate::wire::recorded::Envelope;
use proptest::prelude::*;
use ticktide_base::time::SECOND;

const AT: Nanos = 1_736_142_367 * SECOND;
fn bridge() -> Bridge {
    Bridge { rules: Rules::Second }
}

/// The market watch of the example.
fn packet() -> Vec<u8> {
    recorded::unhex(&recorded::parse(FORMAT.example).expect("a recorded line").frame).expect("hex digits")
}

fn put(packet: &mut [u8], at: usize, value: i32) {
    packet[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn decode(packet: &[u8], topic: &str, received_at: Option<Nanos>) -> Result<(Tick, String), Reject> {
    let mut instruments = InstrumentTable::default();
    let envelope = Envelope { key: Some(b"NSECM|2885"), origin: Some(topic.as_bytes()), ..Envelope::default() };
    let tick = bridge()
        .decode(&RawRecord { payload: packet, offset: 3, received_at, witnessed: false, envelope }, &mut instruments)?;
    let fresh = instruments.take_fresh();
    Ok((tick, format!("{} {}", fresh[0].venue(), fresh[0].instrument())))
}

const WATCH: &str = "prod/marketfeed/mw/v1/nseeq/2885";

fn hundredths(value: i64) -> Option<Price> {
    Some(Price(value * SCALE / 100))
}

#[test]
fn a_market_watch_says_what_its_bytes_say() {
    let (tick, name) = decode(&packet(), WATCH, Some(AT + SECOND / 2)).expect("a packet");
    assert_eq!((name.as_str(), tick.kind, tick.exchange_at), ("NSECM 2885", TickKind::Snapshot, AT + SECOND / 2));
    assert_eq!((tick.price, tick.quantity), (hundredths(122_465), Some(Quantity(8 * SCALE))));
    let expected = Snapshot {
        trade_at: Some(AT),
        cumulative_volume: Some(1_983_015 * i128::from(SCALE)),
        bid: hundredths(122_460),
        bid_quantity: Some(Quantity(12 * SCALE)),
        ask: hundredths(122_470),
        ask_quantity: Some(Quantity(40 * SCALE)),
        day_open: hundredths(123_800),
        day_high: hundredths(124_095),
        day_low: hundredths(122_260),
        ..Snapshot::default()
    };
    assert_eq!(tick.snapshot.as_deref(), Some(&expected));
    // the key alone, a longer packet and a recorded line give the same
    let mut longer = packet();
    longer.extend([9; 14]);
    let envelope = Envelope { key: Some(b"nseeq|2885"), ..Envelope::default() };
    let mut instruments = InstrumentTable::default();
    let keyed =
        bridge().decode(&RawRecord { envelope, ..RawRecord::new(&longer, 3, Some(AT + SECOND / 2)) }, &mut instruments);
    assert_eq!(keyed.as_ref(), Ok(&tick));
    assert_eq!(bridge().decode(&RawRecord::new(FORMAT.example, 3, None), &mut InstrumentTable::default()), Ok(tick));
}

#[test]
fn a_volume_above_two_thousand_million_is_no_negative_one() {
    let mut bytes = packet();
    put(&mut bytes, 8, -1);
    let snapshot = decode(&bytes, WATCH, None).expect("a packet").0.snapshot.expect("one");
    assert_eq!(snapshot.cumulative_volume, Some(i128::from(u32::MAX) * i128::from(SCALE)));
}

#[test]
fn a_price_is_exact_or_refused() {
    for (divisor, raw, expected) in [
        (100, 122_465, Ok(hundredths(122_465))),
        (10_000_000, 829_512_345, Ok(Some(Price(8_295_123_450)))),
        (0, 1, Err("bad_divisor")),
        (-100, 1, Err("bad_divisor")),
        (3, 1, Err("too_precise")),
    ] {
        let mut bytes = packet();
        for place in [0, 12, 16, 20, 38, 46] {
            put(&mut bytes, place, raw);
        }
        put(&mut bytes, 58, divisor);
        let found = decode(&bytes, WATCH, None).map(|(tick, _)| tick.price).map_err(|reject| reject.reason);
        assert_eq!(found, expected, "{raw}/{divisor}");
    }
}

#[test]
fn an_index_has_no_volume_and_a_share_before_its_first_trade_has_none_yet() {
    let mut bytes = packet();
    put(&mut bytes, 4, 0);
    put(&mut bytes, 8, 0);
    let volume =
        |received_at| decode(&bytes, WATCH, received_at).expect("a packet").0.snapshot.expect("one").cumulative_volume;
    assert_eq!(volume(Some(AT)), None);
    assert_eq!(volume(Some(AT + ticktide_base::time::DAY)), Some(0), "its last trade is of yesterday");
}

#[test]
fn a_market_watch_of_before_1990_is_refused_unless_its_receipt_dates_it() {
    let mut bytes = packet();
    put(&mut bytes, 62, 0);
    assert_eq!(decode(&bytes, WATCH, None).expect_err("nobody traded in 1970").reason, "bad_time");
    let (tick, _) = decode(&bytes, WATCH, Some(AT)).expect("a packet of now");
    assert_eq!((tick.exchange_at, tick.snapshot.expect("one").trade_at), (AT, Some(0)));
}

#[test]
fn the_small_packets_are_read_and_counted() {
    let bytes = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (interest, name) =
        decode(&bytes(&[77, 90, 60, 70]), "prod/marketfeed/oi/v1/nsefo/43423", Some(AT)).expect("oi");
    assert_eq!((name.as_str(), interest.kind, interest.exchange_at), ("NSEFO 43423", TickKind::Snapshot, AT));
    assert_eq!(interest.snapshot.expect("one").open_interest, Some(77 * i128::from(SCALE)));
    let (band, _) = decode(&bytes(&[11_000, 9_000, 100]), "prod/marketfeed/lpp/v1/nseeq/2885", Some(AT)).expect("lpp");
    let snapshot = band.snapshot.expect("one");
    assert_eq!((snapshot.band_low, snapshot.band_high), (hundredths(9_000), hundredths(11_000)));
    let (limit, name) =
        decode(&bytes(&[2885, 11_000, 100]), "prod/marketfeed/uppercircuit/v1/nseeq", None).expect("a circuit");
    assert_eq!((name.as_str(), limit.kind, limit.exchange_at), ("NSECM 2885", TickKind::Notice, Nanos::MIN));
    assert_eq!(limit.snapshot.expect("one").band_high, hundredths(11_000));
    for (topic, bytes) in [
        ("prod/marketfeed/marketstatus/v1/nseeq", bytes(&[1])[..2].to_vec()),
        ("prod/marketfeed/high52week/v1/nseeq", bytes(&[2885, 1, 100])),
    ] {
        assert_eq!(decode(&bytes, topic, Some(AT)).expect(topic).0.kind, TickKind::Notice);
    }
}

#[test]
fn what_cannot_be_read_has_its_reason() {
    let reason = |bytes: &[u8], topic: &str| decode(bytes, topic, Some(AT)).expect_err(topic).reason;
    assert_eq!(reason(&packet()[..185], WATCH), "bad_length");
    assert_eq!(reason(&packet()[..20], "prod/marketfeed/oi/v1/nsefo/1"), "bad_length");
    assert_eq!(reason(&packet(), "prod/marketfeed/news/v1/nseeq/1"), "unknown_packet");
    assert_eq!(reason(&packet()[..12], "elsewhere"), "unknown_packet", "the key names the instrument, not the packet");
    assert_eq!(reason(&packet(), "prod/marketfeed/mw/v1/nseeq"), "no_instrument");
    let alone = |bytes: &[u8]| {
        bridge().decode(&RawRecord::of(bytes), &mut InstrumentTable::default()).expect_err("no line").reason
    };
    assert_eq!((alone(&packet()), alone(b"1\tprod/marketfeed/oi/v1/nsefo/1\tzz")), ("no_instrument", "not_hex"));
}

proptest! {
    #[test]
    fn any_bytes_under_any_topic_become_a_tick_or_a_reject(
        bytes in proptest::collection::vec(any::<u8>(), 0..220), kind in "mw|oi|lpp|index|uppercircuit|marketstatus|low52week",
        key in "(nseeq\\|[0-9]{0,22})?", with_topic in any::<bool>(), received_at in any::<Option<Nanos>>()
    ) {
        let topic = format!("prod/marketfeed/{kind}/v1/nseeq/2885");
        let envelope = Envelope { key: Some(key.as_bytes()), origin: with_topic.then_some(topic.as_bytes()), ..Envelope::default() };
        let record = RawRecord { payload: &bytes, offset: 7, received_at, witnessed: false, envelope };
        match bridge().decode(&record, &mut InstrumentTable::default()) {
            Ok(tick) => prop_assert_eq!(tick.offset, 7),
            Err(reject) => prop_assert_eq!(reject.payload, bytes),
        }
    }

    #[test]
    fn a_damaged_market_watch_becomes_a_tick_or_a_reject(places in proptest::collection::vec((0..186usize, any::<u8>()), 0..20)) {
        let mut bytes = packet();
        for (at, byte) in places {
            bytes[at] = byte;
        }
        if let Err(reject) = decode(&bytes, WATCH, Some(AT)) {
            prop_assert_eq!(reject.payload, bytes);
        }
    }
}
