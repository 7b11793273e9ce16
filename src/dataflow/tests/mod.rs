//! What a dataflow file may hold, and which problems its author sees.

mod pinned;
mod reference;

use super::*;
use crate::load::own;
use proptest::prelude::*;
use ticktide_base::document::Location;
use ticktide_base::error::{Classified, Kind};
use ticktide_base::time::{DAY, HOUR, Interval, MINUTE, SECOND};
use ticktide_flow::indicators;

fn read(text: &str) -> Result<Dataflow, DataflowError> {
    Dataflow::from_text("mine", "mine.toml", text, &[], &[])
}

fn set(text: &str, set: &[&str]) -> Result<Dataflow, DataflowError> {
    let set: Vec<String> = set.iter().map(|setting| (*setting).to_owned()).collect();
    Dataflow::from_text("mine", "mine.toml", text, &[], &set)
}

/// Places and messages of a text that has problems, joined; panics when it has none.
fn problems(text: &str) -> Vec<String> {
    let error = read(text).expect_err(text);
    assert!(error.problems.iter().all(|problem| !problem.hint.is_empty()), "{error}");
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_shipped_dataflow_is_good() {
    for (name, text) in SHIPPED {
        let dataflow = Dataflow::from_text(name, name, text, &[], &[]).expect(name);
        let snapshots = *name == "iifl";
        let expected = if snapshots { ("xts-json", Volume::Cumulative) } else { ("json", Volume::Trade) };
        assert_eq!((dataflow.source.wire.format.as_str(), dataflow.volume), expected, "{name}");
        assert_eq!(
            dataflow.source.wire.cumulative, snapshots,
            "{name}: the wire knows what a record without a type is"
        );
        if *name != "demo" && !snapshots {
            assert!(dataflow.sequence_trusted && !dataflow.corrections, "{name}");
        }
        if !["demo", "breakout"].contains(name) {
            assert_eq!(dataflow.bars[..2], [Interval(SECOND), Interval(MINUTE)], "{name}");
        }
    }
    let names: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dataflows"))
        .expect("the repository has its dataflows")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().replace(".toml", ""))
        .collect();
    for name in names {
        assert!(SHIPPED.iter().any(|(shipped, _)| *shipped == name), "{name} is not in SHIPPED");
    }
}

#[test]
fn market_has_the_bars_and_indicators_that_the_interface_promises() {
    let market = Dataflow::load("market", &[], &[]).expect("shipped");
    assert_eq!(market.bars, [SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, DAY].map(Interval));
    let outputs: Vec<String> = market
        .indicators
        .iter()
        .flat_map(|used| indicators::build(&used.name, &used.parameters).expect("checked").outputs())
        .collect();
    for wanted in "sma_20 ema_20 rsi_14 macd_12_26_9 macd_12_26_9_signal bbands_20_2_upper atr_14 vwap obv".split(' ') {
        assert!(outputs.iter().any(|output| output == wanted), "{wanted} is not in {outputs:?}");
    }
    assert!(market.ticks && !Dataflow::load("bars", &[], &[]).expect("shipped").ticks);
}

#[test]
fn breakout_is_the_query_of_the_debs_challenge() {
    let breakout = Dataflow::load("breakout", &[], &[]).expect("shipped");
    let [used] = breakout.indicators.as_slice() else { panic!("one indicator") };
    let outputs = indicators::build(&used.name, &used.parameters).expect("checked").outputs();
    assert_eq!((used.on, outputs[0].as_str()), (Interval(5 * MINUTE), "crossover_38_100"));
    let with = |start: &str| {
        let setting = format!("indicators=[{{use=\"crossover\",on=\"5m\"{start}}}]");
        Dataflow::load("breakout", &[], &[setting]).expect("a start rule")
    };
    assert_eq!(with("").hash(), breakout.hash(), "the default start is the one that the file names");
    assert_ne!(with(",start=\"first\"").hash(), breakout.hash());
}

#[test]
fn the_us_tape_knows_the_conditions_of_the_interface() {
    let tape = Dataflow::load("us_tape", &[], &[]).expect("shipped");
    let conditions = tape.conditions.as_ref().expect("it has conditions");
    let rules: Vec<String> = conditions.no_price.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["0x50002e0 & !0x2000", "= 0x20100000", "= 0x20000008", "= 0x20104800"]);
    assert_eq!(conditions.no_volume, [Condition::Any { mask: 0x50000C0, none_of: 0 }]);
    assert!(conditions.hex && tape.session_text == "us");
    assert_eq!(tape.source.wire.conditions.as_deref(), Some("conditions"));
    assert_eq!(tape.source.wire.suspicious.as_deref(), Some("suspicious"));
}

#[test]
fn three_mistakes_are_three_problems_with_line_and_hint() {
    let text = "grase = \"5s\"\nticks = \"yes\"\nbars = [\n  { use = \"time\", every = \"2s\" },\n  { use = \"time\", every = \"5s\" },\n]\n";
    let error = read(text).expect_err("three mistakes");
    let said: Vec<(String, &str)> = error.problems.iter().map(|p| (p.to_string(), p.hint.as_str())).collect();
    assert_eq!(
        said,
        [
            ("mine.toml:1:1: unknown key `grase` in a dataflow".to_owned(), "did you mean `grace`?"),
            (
                "mine.toml:2:9: `ticks` is text (\"yes\"), it should be a boolean".to_owned(),
                "set `ticks = true` or `ticks = false`"
            ),
            (
                "mine.toml:5:27: `every` is 5s, which is not a multiple of the finest bar, 2s".to_owned(),
                "coarser bars are made of the finest ones: choose multiples of it"
            ),
        ]
    );
    assert_eq!(error.kind(), Kind::Fix);
    // as `main` prints them: every problem is an error with a hint
    let printed = format!("error: {error}\nhint: {}", error.hint().expect("a hint"));
    let starts = |word: &str| printed.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((starts("error: dataflow \"mine\": mine.toml:"), starts("hint: "), printed.lines().count()), (3, 3, 6));
}

#[test]
fn absent_keys_have_the_defaults_of_the_interface() {
    let empty = read("").expect("an empty file is a dataflow");
    assert_eq!((empty.session_text.as_str(), empty.grace, empty.ticks), ("utc-day", 5 * SECOND, false));
    assert_eq!((empty.dedupe, empty.retention), (Dedupe::Partition, 2 * HOUR));
    assert_eq!((empty.sequence_trusted, empty.corrections, empty.prices_signed), (false, false, false));
    assert_eq!(empty.epoch, EpochSpec { every: 10 * SECOND, records: 1_000_000 });
    assert_eq!(empty.limits, Limits { steps: 8, epochs: 4, bytes: 64 << 20, rewrite: 8 << 20 });
    assert_eq!((empty.idle_after, empty.max_skew, empty.max_jump), (2 * SECOND, MINUTE, 7 * DAY));
    assert_eq!((empty.confirmations, empty.volume, empty.indicators.len()), (3, Volume::Trade, 0));
    let horizon = |nanos| empty.horizons.horizon(Interval(nanos));
    assert_eq!(horizon(SECOND), Horizon::Span(10 * MINUTE));
    assert_eq!((horizon(5 * SECOND), horizon(MINUTE)), (Horizon::Span(2 * HOUR), Horizon::Span(2 * HOUR)));
    assert_eq!((horizon(5 * MINUTE), horizon(DAY)), (Horizon::Sessions(1), Horizon::Sessions(1)));
}

#[test]
fn an_impossible_value_is_named_with_its_bound() {
    let bars: Vec<String> = (1..=33).map(|seconds| format!("{{ every = \"{seconds}s\" }}")).collect();
    let many = format!("bars = [{}]", bars.join(", "));
    for (text, wanted) in [
        ("grace = 5", "which is not a duration"),
        ("grace = \"5 parsecs\"", "which is not a duration"),
        ("grace = []", "is a list"),
        ("step = \"0s\"", "the least is 1ms"),
        ("limits = { steps = 0 }", "the least is 1"),
        ("limits = { steps = 1025 }", "the most is 1024"),
        ("limits = { epochs = 4294967295 }", "the most is 64"),
        ("source = { topics = [] }", "`topics` is empty"),
        ("source = { topics = [\"a\", \"\"] }", "`topics` has an empty name"),
        ("source = { topics = \"\" }", "`topics` has an empty name"),
        ("source = { use = \"file\", paths = [\" \"] }", "`paths` has an empty name"),
        ("source = { first_day = \"9999-12-31\" }", "out of range"),
        ("source = { first_day = \"1969-12-31\" }", "out of range"),
        ("limits = { bytes = \"many\" }", "which is not a size"),
        ("epoch = 5", "should be a table"),
        ("epoch = { evry = \"1s\" }", "unknown key `evry` in `epoch`"),
        ("bars = []", "`bars` is empty"),
        ("bars = [{ every = \"2d\" }]", "not a width for a bar"),
        ("bars = [{ use = \"volume\", every = \"1s\" }]", "which is not a choice"),
        ("bars = [{ every = \"1s\" }, { every = \"1000ms\" }]", "two bars of 1s"),
        ("indicators = [{ use = \"ema\", period = 0, on = \"1m\" }]", "indicator \"ema\" has period 0, the least is 1"),
        ("indicators = [{ use = \"emma\", on = \"1m\" }]", "there is no indicator \"emma\""),
        ("indicators = [{ use = \"ema\", on = \"5m\" }]", "there are no such bars"),
        ("indicators = [{ use = \"ema\" }]", "has no `on`"),
        (
            "indicators = [{ use = \"ema\", on = \"1m\" }, { use = \"ema\", on = \"1m\" }]",
            "two indicators on 1m have the output",
        ),
        ("anomalies = [{ use = \"return_z\" }]", "check \"return_z\" has no `on`"),
        ("anomalies = [{ use = \"retrun_z\", on = \"1m\" }]", "there is no check \"retrun_z\""),
        ("anomalies = [{ use = \"return_z\", on = \"7m\" }]", "there are no such bars"),
        ("anomalies = [{ use = \"return_z\", on = \"1m\", z = 0 }]", "check \"return_z\" has z 0, the least is 1"),
        ("anomalies = [{ use = \"crossed_quote\", on = \"1m\" }]", "it reads ticks"),
        (
            "anomalies = [{ use = \"feed_gap\", on = \"1m\" }, { use = \"feed_gap\", on = \"1m\", seconds = 30 }]",
            "twice",
        ),
        ("anomalies = [{ on = \"1m\" }]", "a check has no `use`"),
        ("session = \"nyse\"", "there is no session \"nyse\""),
        ("session = { zone = \"Mars\", open = \"09:00\", close = \"10:00\" }", "unknown time zone \"Mars\""),
        ("session = { zone = \"UTC\", open = \"09:00\" }", "has no `close`"),
        ("session = { calendar = \"nes\" }", "there is no calendar \"nes\""),
        ("session = { calendar = \"no/such.toml\" }", "no/such.toml cannot be read"),
        ("session = { calendar = \"nse\", zone = \"UTC\" }", "unknown key `zone`"),
        ("session = { calendar = \"nse\", instruments = { stocks = [\"1\"] } }", "no class \"stocks\" that lists"),
        ("source = { use = \"kafak\" }", "which is not a choice"),
        ("source = { wire = \"jsn\" }", "which is not a choice"),
        ("source = { wire = \"csv\", columns = [\"symbol\", \"price\"] }", "`columns` has no \"time\""),
        ("source = { wire = \"csv\", delimiter = \"::\" }", "which cannot separate columns"),
        ("source = { columns = [\"symbol\", \"time\"] }", "`columns` is set, but wire json has no columns"),
        ("source = { fields = { prize = \"p\" } }", "prize"),
        ("source = { from = \"yesterday\" }", "not a place to start from"),
        ("source = { speed = 0 }", "which is not a speed"),
        ("source = { kafka = { \"bootstrap.servers\" = \"k1\" } }", "cannot be set here"),
        ("conditions = { no_price = [\"late\"] }", "the rule \"late\", which cannot be read"),
        ("horizon = { \"1x\" = \"5m\" }", "is not an interval"),
        ("horizon = { \"1m\" = \"0 sessions\" }", "the least is one session"),
        ("horizon = { \"1m\" = \"1001 sessions\" }", "the most is 1000 sessions"),
        ("horizon = { default = \"99999999999 sessions\" }", "the most is 1000 sessions"),
        ("horizon = { \"1m\" = \"sessions\" }", "which is not a count of sessions"),
        ("horizon = { \"1m\" = \"+2 sessions\" }", "which is not a count of sessions"),
        ("horizon = { \"1s\" = \"1s\" }", "less than the grace of 5s"),
        ("source = { corrections = true }\nretention = \"1h\"", "more than the retention of 1h"),
        ("source = { corrections = true }\nconditions = { no_price = [\"0x20\"] }", "exclude each other"),
        ("source = { volume = \"cumulative\" }\ndedupe = \"instrument\"", "finds no duplicates of snapshots"),
        (&many, "`bars` has 33 intervals, the most is 32"),
        ("prices = \"negative\"", "which is not a choice"),
        ("confirmations = 99999999999999999999", "does not fit into 64 bits"),
        ("a = ", ""),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.contains(wanted)), "{text}: {found:?}");
    }
}

#[test]
fn one_mistake_is_one_problem() {
    for text in [
        "grace = 99999999999999999999",
        "limits = { epochs = 99999999999999999999 }",
        "bars = [{ every = \"1s\" }, { every = 99999999999999999999 }]",
        "source = { corrections = true }\nretention = \"5m\"\nhorizon = { \"1s\" = \"10m\", \"1m\" = \"2h\" }",
    ] {
        assert_eq!(problems(text).len(), 1, "{text}: {:?}", problems(text));
    }
    let short = read("source = { corrections = true }\nretention = \"5m\"").expect_err("two horizons are longer");
    assert!(short.problems[0].hint.contains("`retention = \"2h\"`"), "what the longest needs: {short}");
    let error = set("", &["grace=99999999999999999999"]).expect_err("too many digits");
    assert_eq!(
        (error.problems.len(), &error.problems[0].place),
        (1, &Location::Set("grace=99999999999999999999".into()))
    );
    // a source of another kind has other keys
    read("source = { use = \"file\", topics = [] }").expect("no topic is read");
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_not_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("bytes.toml"), b"ticks = \"\xff\"").expect("written");
    std::fs::create_dir(at("folder.toml")).expect("a folder");
    std::fs::write(at("good.toml"), "ticks = true").expect("written");
    assert_eq!(own(&at("good.toml")), Ok(Some("ticks = true".into())));
    assert_eq!((own(&at("none.toml")), own(&at("good.toml/x.toml"))), (Ok(None), Ok(None)));
    let (message, hint) = own(&at("bytes.toml")).expect_err("no text");
    assert!(message.contains("bytes.toml") && hint.contains("UTF-8"), "{message}: {hint}");
    let (_, hint) = own(&at("folder.toml")).expect_err("a folder");
    assert!(hint.contains("folder"), "{hint}");
    let error = Dataflow::load(&at("bytes.toml"), &[], &[]).expect_err("no text");
    assert!(error.problems[0].hint.contains("UTF-8"), "{error}");
}

#[test]
fn a_horizon_is_a_span_or_a_count_of_sessions() {
    let read = |text: &str| set(&format!("horizon = {{ \"1m\" = \"{text}\" }}"), &[]).expect(text);
    for (text, horizon, shown) in [
        ("session", Horizon::Sessions(1), "1 session"),
        ("1 session", Horizon::Sessions(1), "1 session"),
        ("1 sessions", Horizon::Sessions(1), "1 session"),
        ("5 sessions", Horizon::Sessions(5), "5 sessions"),
        ("5sessions", Horizon::Sessions(5), "5 sessions"),
        ("1000 sessions", Horizon::Sessions(1000), "1000 sessions"),
        ("10d", Horizon::Span(10 * DAY), "10d"),
    ] {
        let dataflow = read(text);
        assert_eq!(dataflow.horizons.horizon(Interval(MINUTE)), horizon, "{text}");
        let settings: serde_json::Value = serde_json::from_str(&dataflow.settings_json()).expect("json");
        assert_eq!(settings["horizon.1m"], shown, "{text}");
    }
    assert_ne!(read("5 sessions").hash(), read("1 session").hash());
}

#[test]
fn a_set_goes_over_the_file_and_names_itself_when_it_is_wrong() {
    let text = "epoch = { every = \"10s\", records = 5 }\n";
    let dataflow = set(text, &["epoch.every=200ms", "ticks=true", "source.topics=a", "horizon.1s=5m", "from=1"]);
    assert_eq!(dataflow.expect_err("from is in source").problems[0].place, Location::Set("from=1".into()));
    let dataflow = set(text, &["epoch.every=200ms", "ticks=true", "source.topics=a", "horizon.1s=5m"]).expect("good");
    assert_eq!(dataflow.epoch, EpochSpec { every: SECOND / 5, records: 5 });
    assert_eq!((dataflow.ticks, dataflow.source.topics.as_slice()), (true, ["a".to_owned()].as_slice()));
    assert_eq!(dataflow.horizons.horizon(Interval(SECOND)), Horizon::Span(5 * MINUTE));
    assert_eq!(dataflow.horizons.horizon(Interval(MINUTE)), Horizon::Span(2 * HOUR));
    let origin = |key: &str| dataflow.origins().into_iter().find(|found| found.key == key).expect("listed").origin;
    assert_eq!(origin("epoch.every"), "--set epoch.every=200ms");
    assert_eq!(origin("epoch.records"), "mine.toml:1:36");
    assert_eq!(origin("grace"), "default");
}

#[test]
fn a_flag_goes_over_the_file_and_a_set_over_the_flag() {
    let flags = [
        Override::text(Location::Flag("--source"), "source.use", "synthetic"),
        Override::texts(Location::Flag("--topic"), "source.topics", &["x".to_owned(), "y".to_owned()]),
    ];
    let text = "source = { use = \"file\", topics = [\"ticks\"] }";
    let load = |set: &[String]| Dataflow::from_text("mine", "mine.toml", text, &flags, set).expect("good").source;
    assert_eq!((load(&[]).uses.as_str(), load(&[]).topics.join(" ")), ("synthetic", "x y".to_owned()));
    assert_eq!(load(&["source.use=file".to_owned()]).uses, "file");
}

#[test]
fn a_secret_is_used_and_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "hunter2\n").expect("written");
    let text = format!(
        "source = {{ kafka = {{ \"sasl.password\" = \"@{}\", \"sasl.username\" = \"${{PATH}}\", \"client.id\" = \"me\", \
         ssl.key.password = \"hunter2\" }} }}",
        file.display()
    );
    let dataflow = read(&text).expect("good");
    assert_eq!(dataflow.source.kafka["sasl.password"], "hunter2");
    assert_eq!(Some(&dataflow.source.kafka["sasl.username"]), ticktide_base::environment::variable("PATH").as_ref());
    let shown = format!("{dataflow:?} {} {:?}", dataflow.settings_json(), dataflow.origins());
    assert!(!shown.contains("hunter2") && !shown.contains(&dataflow.source.kafka["sasl.username"]));
    assert!(
        shown.contains("\"source.kafka.client.id\":\"me\"") && shown.contains("\"source.kafka.sasl.password\":\"***\"")
    );
    assert_eq!(dataflow.hash(), read("").expect("good").hash());
    let missing = problems("source = { kafka = { \"sasl.password\" = \"${TICKTIDE_NO_SUCH_VARIABLE}\" } }");
    assert!(missing[0].contains("TICKTIDE_NO_SUCH_VARIABLE is not set"), "{missing:?}");
}

#[test]
fn the_hash_changes_with_rows_and_with_nothing_else() {
    let base = read("").expect("good");
    for same in [
        "source.brokers=elsewhere:1",
        "source.topics=other",
        "source.use=file",
        "source.paths=x",
        "epoch.every=1s",
        "epoch.records=7",
        "limits.steps=1",
        "limits.bytes=1KiB",
        "limits.rewrite=1B",
        "idle_after=1s",
        "max_skew=1s",
        "step=50ms",
        "source.until=end",
        "source.from=latest",
        "source.speed=2",
        "session={zone=\"UTC\",open=\"00:00\",close=\"24:00\",days=[\"mon-sun\"]}",
    ] {
        assert_eq!(set("", &[same]).expect(same).hash(), base.hash(), "{same}");
    }
    for other in [
        "source.fields.time=ts",
        "source.wire=csv",
        "source={wire=\"csv\",columns=[\"symbol\",\"time\",\"price\",\"quantity\"]}",
        "source={wire=\"csv\",delimiter=\";\"}",
        "source.volume=cumulative",
        "source.sequence=trusted",
        "source.corrections=true",
        "dedupe=instrument",
        "retention=3h",
        "prices=signed",
        "session=us",
        "grace=6s",
        "horizon.1s=5m",
        "bars=[{every=\"1m\"}]",
        "indicators=[{use=\"ema\",on=\"1m\"}]",
        "conditions={no_price=[\"1\"]}",
    ] {
        assert_ne!(set("", &[other]).expect(other).hash(), base.hash(), "{other}");
    }
    let plain = set("", &["indicators=[{use=\"ema\",on=\"1m\",period=20}]"]).expect("good");
    let anchored = set("", &["indicators=[{use=\"ema\",on=\"1m\",period=20,anchor=\"session\"}]"]).expect("good");
    assert_ne!(plain.hash(), anchored.hash());
}

#[test]
fn an_unknown_name_proposes_a_near_one() {
    let error = Dataflow::load("markte", &[], &[]).expect_err("no such dataflow");
    assert_eq!(error.hint().as_deref(), Some("did you mean \"market\"?"));
    let error = Dataflow::load("no/such/file.toml", &[], &[]).expect_err("no such file");
    assert!(error.to_string().contains("no/such/file.toml: the file cannot be read"), "{error}");
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(
        key in prop::sample::select(vec!["source", "session", "bars", "indicators", "horizon", "epoch", "conditions", "grace"]),
        value in "[a-z0-9\"\\[\\]{}=., ]{0,40}",
        inner in prop::sample::select(vec!["use", "every", "on", "kafka", "fields", "1s", "zone", "no_price"]),
    ) {
        let _ = read(&format!("{key} = {value}"));
        let _ = read(&format!("{key} = {{ {inner} = {value} }}"));
        let _ = read(&format!("{key} = [{{ {inner} = {value} }}]"));
        let _ = set("", &[&format!("{key}.{inner}={value}")]);
    }
}

#[test]
fn a_calendar_file_lies_beside_the_dataflow_and_its_problems_are_told_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let shipped = ticktide_market::calendar::CALENDARS[0].1;
    write("mine.toml", shipped);
    write("bad.toml", &shipped.replace("Asia/Kolkata", "Mars"));
    let file = folder.path().join("x.toml").to_string_lossy().into_owned();
    let load = |text: &str| {
        write("x.toml", text);
        Dataflow::load(&file, &[], &[])
    };
    let mine = load("session = { calendar = \"mine.toml\" }").expect("good");
    let named = load("session = { calendar = \"nse\" }").expect("good");
    let preset = load("session = \"nse\"").expect("good");
    assert_eq!((mine.hash(), named.hash()), (preset.hash(), preset.hash()), "three ways to say the same");
    let listed =
        load("session = { calendar = \"nse\", instruments = { closing_auction = [\"2885\"] } }").expect("good");
    assert_ne!(listed.hash(), preset.hash());
    let error = load("session = { calendar = \"bad.toml\" }").expect_err("no zone");
    let place = error.problems[0].place.to_string();
    assert!(place.contains("bad.toml:") && !error.problems[0].hint.is_empty(), "{error}");
}
