//! Promises of the XTS wire formats: messages, packets and masters become ticks, and damage becomes a reason.

use super::samples::*;
use super::*;
use crate::Reject;
use crate::wire::recorded::Envelope;
use proptest::prelude::*;
use ticktide_base::time::{DAY, Nanos, SECOND};
use ticktide_market::{Price, Quantity, SCALE, Snapshot, TickKind};

const AT: Nanos = 1_736_142_367 * SECOND; // 2025-01-06 11:16:07 in India

fn xts(form: Form) -> XtsDecoder {
    XtsDecoder { form, argument: String::new(), rules: Rules::Second }
}

fn decode(frame: &str, received_at: Option<Nanos>) -> Result<(Tick, String), Reject> {
    decode_as(Form::Json, frame, received_at)
}

fn decode_as(form: Form, frame: &str, received_at: Option<Nanos>) -> Result<(Tick, String), Reject> {
    let mut instruments = InstrumentTable::default();
    let mut decoder = xts(form);
    let tick = decoder.decode(&RawRecord::new(frame.as_bytes(), 3, received_at), &mut instruments)?;
    let fresh = instruments.take_fresh();
    Ok((tick, format!("{} {}", fresh[0].venue(), fresh[0].instrument())))
}

fn tick(frame: &str) -> Tick {
    decode(frame, None).unwrap_or_else(|reject| panic!("{}: {}\n{frame}", reject.reason, reject.detail)).0
}

fn reason(frame: &str) -> &'static str {
    decode(frame, Some(AT)).expect_err(frame).reason
}

/// Hundredths.
fn price(hundredths: i64) -> Option<Price> {
    Some(Price(hundredths * SCALE / 100))
}

fn touchline() -> Snapshot {
    Snapshot {
        trade_at: Some(AT - SECOND),
        cumulative_volume: Some(1_983_015 * i128::from(SCALE)),
        bid: price(122_460),
        bid_quantity: Some(Quantity(12 * SCALE)),
        ask: price(122_470),
        ask_quantity: Some(Quantity(40 * SCALE)),
        day_open: price(123_800),
        day_high: price(124_095),
        day_low: price(122_260),
        ..Snapshot::default()
    }
}

#[test]
fn every_shape_and_key_order_of_an_update_says_the_same() {
    for (frame, sequence) in [
        (NESTED_A, Some(1_583_105_123_157_252)),
        (NESTED_B, Some(338_944_086_942_101)),
        (FLAT, None),
        (DEPTH, Some(338_944_086_942_101)),
    ] {
        let (tick, name) = decode(frame, Some(AT + SECOND)).expect("a message");
        assert_eq!(name, "NSECM 2885");
        assert_eq!((tick.kind, tick.exchange_at, tick.sequence), (TickKind::Snapshot, AT, sequence));
        assert_eq!((tick.price, tick.quantity), (price(122_465), Some(Quantity(8 * SCALE))));
        assert_eq!(tick.received_at, Some(AT + SECOND));
        assert_eq!(tick.snapshot.as_deref(), Some(&touchline()), "{frame}");
    }
}

#[test]
fn an_event_and_a_recorded_line_are_the_message_in_them() {
    let event = format!("42[\"1501-json-full\",{}]", serde_json::to_string(NESTED_A).expect("a string"));
    assert_eq!(tick(&event), tick(NESTED_A));
    let band = format!("{AT}\t1105-json-partial\t{}", PARTIAL[5]);
    assert_eq!(tick(&band).kind, TickKind::Notice, "the origin says what is in the frame");
    let line = format!("{}\t1501-json-full\t{event}", AT + 7);
    let (recorded, _) = decode(&line, Some(1)).expect("a message");
    assert_eq!(recorded, Tick { received_at: Some(AT + 7), witnessed: true, ..tick(NESTED_A) });
    // a record with an origin is the frame itself
    let header = (AT + 9).to_string();
    let received_at = Some(header.as_bytes());
    let envelope = Envelope { origin: Some(b"1501-json-full"), received_at, ..Envelope::default() };
    let decode = |payload| {
        let record = RawRecord { envelope, ..RawRecord::of(payload) };
        xts(Form::Json).decode(&record, &mut InstrumentTable::default())
    };
    let reject = decode(line.as_bytes()).expect_err("a line in a frame's place");
    assert_eq!((reject.reason, reject.received_at), ("not_json", Some(AT + 9)));
    assert_eq!(decode(event.as_bytes()).expect("a message").received_at, Some(AT + 9));
}

#[test]
fn an_index_has_no_volume_and_no_quotes() {
    let snapshot = tick(INDEX).snapshot.expect("a snapshot");
    assert_eq!((snapshot.cumulative_volume, snapshot.bid, snapshot.ask_quantity), (None, None, None));
    let of_1504 = tick(CODE_1504);
    assert_eq!((of_1504.price, of_1504.exchange_at), (price(2_373_900), AT + SECOND));
    assert_eq!(of_1504.snapshot.expect("a snapshot").day_high, price(2_408_995));
    // a share that has not traded today: the count is known, and 0
    let waiting =
        NESTED_A.replace("1983015", "0").replace("Qunatity\":8", "Qunatity\":0").replace("1420629366", "1420540000");
    assert_eq!(tick(&waiting).snapshot.expect("a snapshot").cumulative_volume, Some(0));
}

#[test]
fn open_interest_is_a_snapshot_without_a_price() {
    let (tick, name) = decode(INTEREST, None).expect("a message");
    assert_eq!((name.as_str(), tick.price, tick.exchange_at), ("NSEFO 43423", None, AT));
    let interest = Snapshot { open_interest: Some(3_721_575 * i128::from(SCALE)), ..Snapshot::default() };
    assert_eq!((tick.kind, tick.snapshot.as_deref()), (TickKind::Snapshot, Some(&interest)));
}

#[test]
fn a_last_price_has_no_volume_and_no_trade_time() {
    for frame in [LAST_LIVE, LAST_FLAT] {
        let tick = tick(frame);
        assert_eq!((tick.kind, tick.price), (TickKind::Snapshot, price(60_945)));
        assert_eq!(tick.snapshot.as_deref(), Some(&Snapshot::default()));
    }
}

#[test]
fn what_no_bar_is_made_of_is_a_notice() {
    let (candle, status) = (tick(CANDLE), tick(STATUS));
    assert_eq!((candle.kind, candle.exchange_at), (TickKind::Notice, 1_736_145_179 * SECOND));
    assert_eq!((status.kind, status.exchange_at), (TickKind::Notice, 1_730_973_600 * SECOND));
    let (bands, name) = decode_as(Form::Partial, PARTIAL[5], Some(9)).expect("properties");
    assert_eq!((name.as_str(), bands.kind, bands.exchange_at), ("BSEFO 2201", TickKind::Notice, 9));
    let snapshot = bands.snapshot.expect("a notice has one");
    assert_eq!((snapshot.band_low, snapshot.band_high), (price(-775), price(1_290)));
    let never = NESTED_A.replace("1224.65", "0").replace("LastUpdateTime\":1420629367", "LastUpdateTime\":0");
    assert_eq!(decode(&never, None).expect("a message").0.exchange_at, Nanos::MIN);
}

/// Ids and meanings: 87 LowPriceRange, 88 HighPriceRange, 110 HighExecBand, 111 LowExecBand.
#[test]
fn a_price_range_and_an_execution_band_are_one_band_the_wider_one() {
    for (properties, low, high) in [
        ("87:90,88:110", price(9_000), price(11_000)),
        ("110:112.05,111:91.7", price(9_170), price(11_205)),
        ("87:90,88:110,110:108,111:88.5", price(8_850), price(11_000)),
        ("111:92,110:120,88:110,87:90", price(9_000), price(12_000)),
        ("88:110,111:92", price(9_200), price(11_000)),
        ("111:-7.75,110:12.9", price(-775), price(1_290)),
        ("87:0,88:0,110:108,111:92", price(9_200), price(10_800)),
        ("110:0,111:0", None, None),
        ("12:0.05,112:1420629367", None, None),
    ] {
        for text in [format!("t:12_2201,{properties}"), format!("{properties},t:12_2201")] {
            let tick = decode_as(Form::Partial, &text, Some(AT)).unwrap_or_else(|reject| panic!("{}", reject.detail)).0;
            let snapshot = tick.snapshot.expect("a notice has one");
            assert_eq!((tick.kind, snapshot.band_low, snapshot.band_high), (TickKind::Notice, low, high), "{text}");
        }
    }
    let reason = |text| decode_as(Form::Partial, text, Some(AT)).expect_err(text).reason;
    assert_eq!((reason("t:1_2,110:x"), reason("t:1_2,111:1,111:2")), ("not_a_number", "duplicate_field"));
}

#[test]
fn a_row_of_a_master_that_cannot_be_read_has_an_address_and_is_a_reject_of_its_own() {
    let row = "NSECM|2885|8|RELIANCE|RELIANCE-EQ|EQ|a column too few";
    let expected = FrameAddress { code: None, venue: "NSECM", instrument: 2885 };
    assert_eq!(address(row.as_bytes(), b"master"), Some(expected));
    assert_eq!(address(b"NOWHERE|2885|8", b"master"), None);
    let reject = decode(row, Some(AT)).expect_err("no row");
    assert_eq!((reject.reason, reject.payload.as_slice()), ("unknown_columns", row.as_bytes()));
}

#[test]
fn a_recorded_frame_with_a_line_end_is_the_message_in_it() {
    let broken = NESTED_A.replacen(',', ",\r\n", 1);
    let mut line = Vec::new();
    recorded::write(&mut line, Some(AT + 7), b"1501-json-full", broken.as_bytes());
    let line = String::from_utf8(line).expect("text");
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    let (recorded, _) = decode(line.trim_end(), None).expect("a message");
    assert_eq!(recorded, Tick { received_at: Some(AT + 7), witnessed: true, ..tick(NESTED_A) });
    let partial = format!("{AT}\t1105-json-partialhex\t{}", recorded::hex(PARTIAL[5].as_bytes()));
    assert_eq!(tick(&partial).kind, TickKind::Notice, "the origin is the one before the mark");
}

#[test]
fn partial_text_says_what_it_can() {
    let (tick, name) = decode_as(Form::Partial, PARTIAL[0], Some(AT)).expect("a touchline");
    assert_eq!((name.as_str(), tick.exchange_at, tick.price), ("NSECM 2885", AT, price(122_465)));
    assert_eq!(tick.snapshot.as_deref(), Some(&touchline()));
    // a change further down in the book does not change the best quotes
    let deeper = PARTIAL[0].replace("ai:0|", "ai:3|").replace("bi:0|", "bi:1|");
    let deeper = decode_as(Form::Partial, &deeper, Some(AT)).expect("a touchline").0.snapshot.expect("one");
    assert_eq!((deeper.bid, deeper.ask, deeper.day_open), (None, None, touchline().day_open));
    let kinds: Vec<TickKind> =
        PARTIAL.iter().map(|text| decode_as(Form::Partial, text, None).expect(text).0.kind).collect();
    use TickKind::{Notice, Snapshot as Priced};
    assert_eq!(kinds, [Priced, Priced, Notice, Notice, Notice, Notice]);
    let interest = decode_as(Form::Partial, PARTIAL[4], None).expect("open interest").0.snapshot.expect("one");
    assert_eq!(interest.open_interest, Some(3_721_575 * i128::from(SCALE)));
    // an event's name gives the form of its argument, whichever wire reads it
    let event = format!("42[\"1501-json-partial\",\"{}\"]", PARTIAL[0]);
    assert_eq!(decode(&event, Some(AT)).expect("a touchline").0, tick);
}

#[test]
fn a_time_of_the_wrong_epoch_is_refused_by_the_receipt_and_an_old_snapshot_is_not() {
    for received_at in [AT + DAY + SECOND, AT - DAY - SECOND] {
        let reject = decode(NESTED_A, Some(received_at)).expect_err("a live message is fresh");
        assert_eq!(reject.reason, "clock_mismatch");
    }
    assert!(decode(FLAT, Some(AT + 30 * DAY)).is_ok(), "the last update of a silent contract");
    assert_eq!(decode(FLAT, Some(AT - 2 * DAY)).expect_err("tomorrow's").reason, "clock_mismatch");
    // BSE's seconds count from 1970: read as they are, they fit; NSE's under BSE's number do not
    let bse = FLAT.replace("\"ExchangeSegment\":1", "\"ExchangeSegment\":11");
    let reject = decode(&bse, Some(AT)).expect_err("ten years ago");
    assert!(reject.detail.contains("it fits in the other epoch"), "{}", reject.detail);
    let of_1970 = bse.replace("14206293", "17361621");
    assert!(decode(&of_1970, Some(AT)).is_ok());
    let later = NESTED_A.replace("LastTradedTime\":1420629366", "LastTradedTime\":1420729366");
    assert_eq!(reason(&later), "clock_mismatch");
}

#[test]
fn a_price_of_before_1990_is_refused_and_a_last_trade_of_then_is_none_yet() {
    let untraded = FLAT.replace("LastTradedTime\":1420629366", "LastTradedTime\":0");
    assert_ne!(untraded, FLAT);
    assert_eq!(tick(&untraded).exchange_at, AT);
    let quiet = untraded.replace("LastUpdateTime\":1420629367", "LastUpdateTime\":0");
    assert_ne!(quiet, untraded);
    assert_eq!(reason(&quiet), "bad_time");
    let mut first = XtsDecoder { rules: Rules::First, ..xts(Form::Json) };
    let old = first.decode(&RawRecord::new(quiet.as_bytes(), 3, Some(AT)), &mut InstrumentTable::default());
    assert_eq!(old.map(|tick| tick.exchange_at), Ok(315_513_000 * SECOND), "1980-01-01 00:00 in India");
}

#[test]
fn what_cannot_be_read_has_its_reason() {
    for (from, to, expected) in [
        ("1224.65", "1224.650000000001", "too_precise"),
        ("1224.65", "99999999999", "out_of_range"),
        ("1224.65", "\"x\"", "not_a_number"),
        ("1224.65", "{}", "not_a_number"),
        ("\"LastTradedPrice\":1224.65", "\"LastTradedPrice\":null", "missing_field"),
        ("1983015", "-1", "negative_quantity"),
        ("\"ExchangeSegment\":1", "\"ExchangeSegment\":6", "unknown_segment"),
        ("\"MessageCode\":1501", "\"MessageCode\":5018", "unknown_code"),
        ("\"MessageCode\":1501", "\"MessageCode\":true", "not_a_number"),
        ("\"MessageCode\":1501", "\"MessageCodes\":1501", "missing_field"),
        ("\"ExchangeInstrumentID\":2885", "\"ExchangeInstrumentID\":2885.5", "not_a_number"),
        ("LastUpdateTime\":1420629367", "LastUpdateTime\":9223372036854775807", "out_of_range"),
        ("LastUpdateTime\":1420629367", "LastUpdateTime\":1.5", "bad_time"),
        ("\"BookType\":1", "\"MessageCode\":1501", "duplicate_field"),
        ("{\"MessageCode", "[\"MessageCode", "not_an_event"),
        ("\"BookType\":1", "\"BookType\"", "not_json"),
    ] {
        assert!(NESTED_A.contains(from), "{from}");
        assert_eq!(reason(&NESTED_A.replace(from, to)), expected, "{from} → {to}");
    }
    assert_eq!((reason(""), reason("3"), reason(PARTIAL[0])), ("empty", "not_json", "not_json"));
    let partial = |text| decode_as(Form::Partial, text, None).expect_err(text).reason;
    assert_eq!(partial("ltp:1,v:2"), "missing_field");
    assert_eq!(partial("t:12,ltp:1"), "bad_field");
    assert_eq!(partial("t:1_2,ltp:1,v:1,lut:1,bi:0|12|1.5"), "bad_field");
    assert_eq!(partial("t:1_2,ltp:1,v:1,lut:1,bi:0|12|x|1"), "not_a_number");
    assert_eq!(partial("t:1_2"), "unknown_code");
    assert_eq!(partial("t:1_2,ltp:1,ltp:2,v:1,lut:1"), "duplicate_field");
    assert_eq!(partial("hello"), "not_partial");
}

#[test]
fn the_two_spellings_together_are_a_field_that_came_twice() {
    let both = NESTED_A.replace("\"TotalBuyQuantity\":51200", "\"LastTradedQuantity\":8");
    assert_eq!(reason(&both), "duplicate_field");
}

#[test]
fn a_mapping_of_fields_is_refused() {
    let fields = [("price".to_owned(), "ltp".into())].into();
    let spec = WireSpec { format: "xts-json".into(), fields, ..WireSpec::default() };
    assert!(matches!(XtsDecoder::json(&spec), Err(FeedError::Fix { .. })));
}

/// Frames in every wrapping.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (form, messages) in [("full", JSON), ("partial", PARTIAL)] {
        for message in messages {
            let quoted = serde_json::to_string(message).expect("a string");
            frames.push(message.as_bytes().to_vec());
            frames.push(format!("42[\"1501-json-{form}\",{quoted}]").into_bytes());
            frames.push(format!("1736142367000000000\t1501-json-{form}\t{message}").into_bytes());
        }
    }
    frames
}

/// What a damaged frame must become: one tick or one reject with its bytes.
fn answers(payload: &[u8], received_at: Option<Nanos>) -> Result<(), TestCaseError> {
    for form in [Form::Json, Form::Partial] {
        let mut decoder = xts(form);
        match decoder.decode(&RawRecord::new(payload, 7, received_at), &mut InstrumentTable::default()) {
            Ok(tick) => prop_assert_eq!(tick.offset, 7),
            Err(reject) => {
                prop_assert_eq!(reject.payload.as_slice(), payload);
                prop_assert!(!reject.reason.is_empty() && !reject.detail.is_empty());
            }
        }
    }
    let _ = address(payload, b"");
    Ok(())
}

fn damage(frame: &mut Vec<u8>, cuts: &[(prop::sample::Index, u8, u8)]) {
    for (at, byte, how) in cuts {
        if frame.is_empty() {
            return;
        }
        let at = at.index(frame.len());
        match how {
            0 => frame[at] = *byte,
            1 => frame.insert(at, *byte),
            2 => drop(frame.remove(at)),
            3 => frame[at] = b'0' + byte % 10,
            4 => frame.truncate(at),
            _ => {
                let tail = frame[at..].to_vec();
                frame.extend(tail);
            }
        }
    }
}

type Cuts = Vec<(prop::sample::Index, u8, u8)>;

fn damaged() -> impl Strategy<Value = (Vec<u8>, Option<Nanos>)> {
    let cuts = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..6u8), 0..8);
    let frame = prop::sample::select(frames());
    (frame, cuts, proptest::option::of(any::<Nanos>())).prop_map(|(mut frame, cuts, at): (_, Cuts, _)| {
        damage(&mut frame, &cuts);
        (frame, at)
    })
}

proptest! {
    #[test]
    fn a_damaged_frame_of_any_code_becomes_a_tick_or_a_reject((frame, at) in damaged()) {
        answers(&frame, at)?;
    }

    #[test]
    fn whatever_the_numbers_no_message_panics(
        code in prop::sample::select(vec![1501u32, 1502, 1504, 1505, 1507, 1510, 1512, 1105]),
        segment in any::<i64>(), times in any::<[i64; 4]>(), price in "-?[0-9]{1,22}(\\.[0-9]{0,12})?", at in any::<Nanos>()
    ) {
        let [exchange, update, trade, bar] = times;
        let frame = format!(
            r#"{{"MessageCode":{code},"ExchangeSegment":{},"ExchangeInstrumentID":{},"ExchangeTimeStamp":{exchange},"LastUpdateTime":{update},"LastTradedTime":{trade},"BarTime":{bar},"LastTradedPrice":{price},"TotalTradedQuantity":{price},"OpenInterest":{price}}}"#,
            segment.rem_euclid(60), segment.unsigned_abs(),
        );
        answers(frame.as_bytes(), Some(at))?;
    }
}

/// `TICKTIDE_TEST_FUZZ=10m cargo test --release --lib -- --ignored damaged_frames`
#[test]
#[ignore = "a minute, or as long as TICKTIDE_TEST_FUZZ says"]
fn minutes_of_damaged_frames_of_all_codes_become_ticks_or_rejects() {
    let told = std::env::var("TICKTIDE_TEST_FUZZ").unwrap_or_else(|_| "1m".to_owned());
    let seconds = match told.strip_suffix('m') {
        Some(minutes) => minutes.parse::<u64>().map(|minutes| minutes * 60),
        None => told.trim_end_matches('s').parse(),
    };
    let seconds = seconds.expect("TICKTIDE_TEST_FUZZ is like 10m or 30s");
    let begun = std::time::Instant::now();
    let frames = std::cell::Cell::new(0u64);
    let counted = |frame: &[u8], at| {
        frames.set(frames.get() + 1);
        answers(frame, at)
    };
    let (strategy, bytes) = (damaged(), proptest::collection::vec(any::<u8>(), 0..300));
    while begun.elapsed().as_secs() < seconds {
        // a runner stops after its cases: so a new one each time, with a random seed; it reports what fails
        let config = || ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() };
        let runner = || proptest::test_runner::TestRunner::new(config());
        runner().run(&strategy, |(frame, at)| counted(&frame, at)).expect("a tick or a reject");
        runner().run(&bytes, |frame| counted(&frame, None)).expect("a tick or a reject");
    }
    println!("{} frames in {} s", frames.get(), begun.elapsed().as_secs());
    assert!(frames.get() > 10_000);
}
