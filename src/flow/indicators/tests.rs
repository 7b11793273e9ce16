//! Every row of the registry against TA-Lib, bar by bar, and against what the scan needs of a state.

use super::*;
use std::collections::BTreeMap;
use ta_lib::{Core, MAType, OutRange};

/// TA-Lib's values: per output, per bar, `None` before the lookback.
type Expected = Vec<Vec<Option<f64>>>;

/// A new indicator needs a row here, or the walk over the registry fails. `None`: the settings are not TA-Lib's.
fn oracle(name: &str, parameters: &[f64], bars: &[BarInput]) -> Expected {
    let core = Core::new();
    let last = bars.len() - 1;
    let column = |pick: fn(&BarInput) -> f64| bars.iter().map(pick).collect::<Vec<f64>>();
    let (high, low, close) = (column(|bar| bar.high), column(|bar| bar.low), column(|bar| bar.close));
    let volume = column(|bar| bar.volume);
    let mut out = vec![vec![0.0; bars.len()]; 3];
    let [first, second, third] = out.as_mut_slice() else { unreachable!("three buffers") };
    let period = |index: usize| parameters[index] as i32;
    let (range, outputs) = match name {
        "sma" => (core.sma(0, last, &close, period(0), first), 1),
        "ema" => (core.ema(0, last, &close, period(0), first), 1),
        "rsi" => (core.rsi(0, last, &close, period(0), first), 1),
        "bbands" => {
            let k = parameters[1];
            (core.bbands(0, last, &close, period(0), k, k, MAType::SMA, first, second, third), 3)
        }
        "atr" => (core.atr(0, last, &high, &low, &close, period(0), first), 1),
        "obv" => (core.obv(0, last, &close, &volume, first), 1),
        "wma" => (core.wma(0, last, &close, period(0), first), 1),
        "dema" => (core.dema(0, last, &close, period(0), first), 1),
        "tema" => (core.tema(0, last, &close, period(0), first), 1),
        "stoch" => {
            let (fast, k, d) = (period(0), period(1), period(2));
            (core.stoch(0, last, &high, &low, &close, fast, k, MAType::SMA, d, MAType::SMA, first, second), 2)
        }
        "cci" => (core.cci(0, last, &high, &low, &close, period(0), first), 1),
        "willr" => (core.willr(0, last, &high, &low, &close, period(0), first), 1),
        "mfi" => (core.mfi(0, last, &high, &low, &close, &volume, period(0), first), 1),
        "roc" => (core.roc(0, last, &close, period(0), first), 1),
        "mom" => (core.mom(0, last, &close, period(0), first), 1),
        "adx" => {
            let plus = core.plus_di(0, last, &high, &low, &close, period(0), second);
            let minus = core.minus_di(0, last, &high, &low, &close, period(0), third);
            let average = core.adx(0, last, &high, &low, &close, period(0), first);
            let ranges = [average, plus, minus].map(|range| range.expect("TA-Lib takes the parameters"));
            return out.iter().zip(ranges).map(|(values, range)| spread(values, range, bars.len())).collect();
        }
        "crossover" => return crossovers(parameters, &close),
        "macd" => (core.macd(0, last, &close, period(0), period(1), period(2), first, second, third), 3),
        "vwap" => {
            let range = core.vwap(0, last, &high, &low, &close, &volume, first);
            // Our one difference: no price before anything has traded.
            let traded = volume.iter().position(|volume| *volume > 0.0).unwrap_or(bars.len());
            let range = range.map(|_| OutRange { beg_idx: traded, count: bars.len() - traded });
            first.rotate_left(traded.min(bars.len()));
            (range, 1)
        }
        other => panic!("no oracle for indicator {other:?}: add one"),
    };
    let range = range.expect("TA-Lib takes the parameters");
    out.iter().take(outputs).map(|values| spread(values, range, bars.len())).collect()
}

/// TA-Lib's values, each at its bar.
fn spread(values: &[f64], range: OutRange, bars: usize) -> Vec<Option<f64>> {
    let mut column = vec![None; bars];
    for (index, value) in values.iter().take(range.count).enumerate() {
        column[range.beg_idx + index] = Some(*value);
    }
    column
}

/// Crossovers without any recursion: each average is the weighted sum of all closes and of what was before them.
fn crossovers(parameters: &[f64], close: &[f64]) -> Expected {
    let average = |period: f64, bars: usize| {
        let keep = 1.0 - 2.0 / (1.0 + period);
        let before = if parameters[2] == 1.0 { close[0] } else { 0.0 };
        let weighted =
            close[..bars].iter().rev().enumerate().map(|(age, close)| (1.0 - keep) * keep.powi(age as i32) * close);
        weighted.sum::<f64>() + keep.powi(bars as i32) * before
    };
    let line = |period: f64| (0..=close.len()).map(|bars| average(period, bars)).collect::<Vec<f64>>();
    let (fast, slow) = (line(parameters[0]), line(parameters[1]));
    // equal but for rounding is equal
    let side =
        |bar: usize| if (fast[bar] - slow[bar]).abs() <= 1e-12 * slow[bar] { 0.0 } else { fast[bar] - slow[bar] };
    let signal = |bar: usize| match (side(bar), side(bar + 1)) {
        (before, now) if before <= 0.0 && now > 0.0 => Some(1.0),
        (before, now) if before >= 0.0 && now < 0.0 => Some(-1.0),
        _ => Some(0.0),
    };
    let behind = |line: &[f64]| line[1..].iter().map(|value| Some(*value)).collect();
    vec![(0..close.len()).map(signal).collect(), behind(&fast), behind(&slow)]
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Bars of three trading dates in the moods of markets: a walk, a flat, gaps, bars without volume.
fn bars(seed: u64, count: usize) -> Vec<BarInput> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..8 {
        random.next();
    }
    let mood = seed % 4;
    let mut price = 10_000.0 + random.below(1_000_000) as f64;
    let no_volume_until = if seed.is_multiple_of(5) { random.below(20) as usize } else { 0 };
    (0..count)
        .map(|index| {
            let open = price;
            let moves = match mood {
                0 => true,
                1 => false,
                2 => random.below(3) == 0,
                _ => index < count / 2,
            };
            if moves {
                price += random.below(201) as f64 - 100.0;
            }
            if mood == 2 && random.below(40) == 0 {
                price *= 0.5 + random.below(100) as f64 / 100.0;
            }
            price = price.max(100.0).round();
            let wick = if mood == 1 { 0.0 } else { random.below(50) as f64 };
            let volume = if index < no_volume_until { 0 } else { random.below(1_000) };
            BarInput {
                open: open / 100.0,
                high: (open.max(price) + wick) / 100.0,
                low: (open.min(price) - wick) / 100.0,
                close: price / 100.0,
                volume: volume as f64,
                trading_date: 19_000 + (3 * index / count) as i32,
            }
        })
        .collect()
}

/// Settings to try: the defaults, the least and most values of each parameter within reason, and some between.
fn settings(spec: &Spec) -> Vec<Vec<f64>> {
    let defaults: Vec<f64> = spec.parameters.iter().map(|parameter| parameter.default).collect();
    let mut all = vec![defaults.clone()];
    for (index, parameter) in spec.parameters.iter().enumerate() {
        for value in [parameter.least, (parameter.default / 2.0).ceil(), parameter.default + 1.0, 40.0] {
            if value >= parameter.least && value <= parameter.most {
                let mut other = defaults.clone();
                other[index] = value;
                all.push(other);
            }
        }
    }
    all
}

fn built(spec: &Spec, parameters: &[f64], anchor: Option<&str>) -> Option<Box<dyn Indicator>> {
    let named = spec.parameters.iter().zip(parameters);
    let setting = |parameter: &Parameter, value: f64| match parameter.words.get(value as usize) {
        Some(word) => Setting::from(*word),
        None => Setting::Number(value),
    };
    let mut settings: BTreeMap<String, Setting> =
        named.map(|(parameter, value)| (parameter.name.to_string(), setting(parameter, *value))).collect();
    if let Some(anchor) = anchor {
        settings.insert("anchor".to_string(), anchor.into());
    }
    build(spec.name, &settings).ok()
}

/// Every indicator, with each of its settings.
fn walk(mut visit: impl FnMut(&Spec, &[f64], Option<&str>, &dyn Fn() -> Box<dyn Indicator>)) {
    for spec in INDICATORS.iter() {
        let anchors = if spec.anchor.is_some() { vec![Some("none"), Some("session"), None] } else { vec![None] };
        let mut visited = 0;
        for parameters in settings(spec) {
            for anchor in &anchors {
                // Contradictions between parameters are refused by `build`; the walk goes on without them.
                if built(spec, &parameters, *anchor).is_some() {
                    visited += 1;
                    let fresh = || built(spec, &parameters, *anchor).expect("it was built a moment ago");
                    visit(spec, &parameters, *anchor, &fresh);
                }
            }
        }
        assert!(visited >= anchors.len(), "indicator {} cannot be built with its defaults", spec.name);
    }
}

/// Equal but for rounding, which the CCI of a nearly flat window magnifies: it divides two small differences of prices.
fn close_enough(name: &str, have: f64, want: f64) -> bool {
    let tolerance = if name == "cci" { 1e-7 } else { 1e-9 };
    (have - want).abs() <= tolerance * want.abs().max(have.abs()).max(1.0)
}

fn run(composite: &Composite, bars: &[BarInput]) -> Vec<Vec<u64>> {
    let mut state = composite.fresh();
    bars.iter().map(|bar| composite.step(&mut state, bar)).collect()
}

fn alone(indicator: Box<dyn Indicator>) -> Composite {
    Composite::new(vec![indicator]).expect("one indicator has no namesake")
}

#[test]
fn every_indicator_equals_ta_lib_and_is_null_exactly_before_its_lookback() {
    let mut compared = 0;
    walk(|spec, parameters, anchor, fresh| {
        let by_session = anchor == Some("session") || (anchor.is_none() && spec.anchor == Some(Anchor::Session));
        for seed in 0..12 {
            let all = bars(seed, 240);
            let composite = alone(fresh());
            let mut state = composite.fresh();
            let mut dates: Vec<&[BarInput]> = vec![&all];
            if by_session {
                dates = all.chunk_by(|left, right| left.trading_date == right.trading_date).collect();
            }
            for date in dates {
                let expected = oracle(spec.name, parameters, date);
                assert_eq!(expected.len(), composite.outputs().len(), "{}", spec.name);
                for (index, bar) in date.iter().enumerate() {
                    let said = composite.step(&mut state, bar);
                    for ((have, want), output) in said.iter().zip(&expected).zip(composite.outputs()) {
                        let have = f64::from_bits(*have);
                        compared += 1;
                        match want[index] {
                            None => assert!(have.is_nan(), "{output} seed {seed} bar {index}: {have}, TA-Lib has none"),
                            Some(want) => assert!(
                                close_enough(spec.name, have, want),
                                "{output} {anchor:?} seed {seed} bar {index}: {have}, TA-Lib {want}"
                            ),
                        }
                    }
                }
            }
        }
    });
    println!("{compared} values equal TA-Lib");
}

#[test]
fn the_recursive_indicators_equal_ta_lib_bit_for_bit() {
    for name in ["ema", "rsi", "macd", "atr", "dema", "tema", "adx", "obv"] {
        let spec = INDICATORS.find(name).expect("it is in the registry");
        let defaults = settings(spec).remove(0);
        let anchor = spec.anchor.map(|_| "none");
        let composite = alone(built(spec, &defaults, anchor).expect("the defaults are allowed"));
        let all = bars(4, 500);
        let expected = oracle(name, &defaults, &all);
        for (index, said) in run(&composite, &all).iter().enumerate() {
            for (have, want) in said.iter().zip(&expected) {
                if let Some(want) = want[index] {
                    assert_eq!(*have, want.to_bits(), "{name} bar {index}");
                }
            }
        }
    }
}

#[test]
fn a_state_saved_and_loaded_at_any_bar_goes_on_as_if_nothing_happened() {
    walk(|_, _, _, fresh| {
        let composite = alone(fresh());
        let all = bars(2, 150);
        let whole = run(&composite, &all);
        let mut state = composite.fresh();
        for (index, bar) in all.iter().enumerate() {
            let bytes = bincode::serialize(&state).expect("an accumulator serialises");
            let mut loaded: Accumulator = bincode::deserialize(&bytes).expect("and comes back");
            assert_eq!(loaded, state);
            assert!(composite.fits(&loaded));
            // Another instance, as after a restart: nothing may live outside the state.
            let said = alone(fresh()).step(&mut loaded, bar);
            assert_eq!(said, whole[index]);
            assert_eq!(composite.step(&mut state, bar), whole[index]);
            assert_eq!(loaded, state);
        }
    });
}

#[test]
fn a_step_leaves_no_negative_zero_and_one_nan() {
    walk(|spec, _, _, fresh| {
        for seed in 0..8 {
            let composite = alone(fresh());
            let mut state = composite.fresh();
            for bar in bars(seed, 120) {
                // Signed prices: spreads cross zero.
                let shifted =
                    BarInput { close: bar.close - 500.0, low: bar.low - 500.0, high: bar.high - 500.0, ..bar };
                let said = composite.step(&mut state, &shifted);
                for bits in said.iter().copied().chain(state.doubles().iter().map(|double| double.to_bits())) {
                    assert_ne!(bits, (-0.0f64).to_bits(), "{}", spec.name);
                    assert!(!f64::from_bits(bits).is_nan() || bits == NULL.to_bits(), "{}", spec.name);
                }
            }
        }
    });
}

#[test]
fn an_unanchored_window_or_average_forgets_an_inserted_bar_to_the_last_bit() {
    for spec in INDICATORS.iter().filter(|spec| spec.anchor != Some(Anchor::Session)) {
        let composite = alone(built(spec, &settings(spec)[0], None).expect("the defaults are allowed"));
        let all = bars(0, 3_000);
        let (mut with, mut without) = (composite.fresh(), composite.fresh());
        composite.step(&mut with, &all[0]);
        let forgotten = all.iter().skip(1).position(|bar| {
            composite.step(&mut with, bar);
            composite.step(&mut without, bar);
            with == without
        });
        assert!(forgotten.is_some(), "{} remembers one bar for 3000", spec.name);
    }
}

#[test]
fn a_composite_says_what_its_indicators_say_alone() {
    let all = bars(0, 200);
    let build_all = || INDICATORS.iter().map(|spec| built(spec, &settings(spec)[0], None).expect("defaults"));
    let together = Composite::new(build_all().collect()).expect("no two outputs have one name");
    let separate: Vec<Vec<Vec<u64>>> = build_all().map(|indicator| run(&alone(indicator), &all)).collect();
    for (index, said) in run(&together, &all).iter().enumerate() {
        let expected: Vec<u64> = separate.iter().flat_map(|one| one[index].iter().copied()).collect();
        assert_eq!(*said, expected);
    }
}

#[test]
fn outputs_are_named_as_the_tables_name_them() {
    let names = |name: &str, parameters: &[(&str, i64)]| {
        let settings = parameters.iter().map(|(key, value)| (key.to_string(), Setting::from(*value))).collect();
        build(name, &settings).expect("the settings are allowed").outputs()
    };
    assert_eq!(names("sma", &[("period", 20)]), ["sma_20"]);
    assert_eq!(names("ema", &[("period", 20)]), ["ema_20"]);
    assert_eq!(names("rsi", &[]), ["rsi_14"]);
    assert_eq!(names("macd", &[]), ["macd_12_26_9", "macd_12_26_9_signal", "macd_12_26_9_histogram"]);
    assert_eq!(names("vwap", &[]), ["vwap"]);
    assert_eq!(names("bbands", &[]), ["bbands_20_2_upper", "bbands_20_2_middle", "bbands_20_2_lower"]);
    assert_eq!((names("atr", &[]), names("obv", &[])), (vec!["atr_14".to_owned()], vec!["obv".to_owned()]));
    assert_eq!(names("stoch", &[]), ["stoch_5_3_3_k", "stoch_5_3_3_d"]);
    assert_eq!(names("adx", &[]), ["adx_14", "adx_14_plus_di", "adx_14_minus_di"]);
    assert_eq!(names("crossover", &[]), ["crossover_38_100", "crossover_38_100_fast", "crossover_38_100_slow"]);
    let with = |name: &str, key: &str, value: Setting| build(name, &BTreeMap::from([(key.to_owned(), value)]));
    assert_eq!(with("crossover", "start", "first".into()).expect("a word").outputs()[0], "crossover_38_100_first");
    assert_eq!(with("bbands", "k", 2.5.into()).expect("a number").outputs()[0], "bbands_20_2_5_upper");
}

#[test]
fn wrong_settings_say_what_and_how() {
    let error = |name: &str, key: &str, value: Setting| {
        let error = build(name, &BTreeMap::from([(key.to_string(), value)])).err().expect("it is refused");
        (error.message, error.hint)
    };
    let (message, hint) = error("ema", "period", 0.into());
    assert_eq!(message, r#"indicator "ema" has period 0, the least is 1"#);
    assert_eq!(hint, "set `period` between 1 and 100000, e.g. `period = 30`");
    assert_eq!(error("sma", "period", 1_001.into()).0, r#"indicator "sma" has period 1001, the most is 1000"#);
    assert_eq!(error("sma", "period", 2.5.into()).0, r#"indicator "sma" has period 2.5, which is not a whole number"#);
    assert_eq!(error("sma", "period", "x".into()).0, r#"indicator "sma" has period "x", which is not a number"#);
    assert_eq!(error("sma", "perod", 3.into()).1, r#"did you mean "period"?"#);
    assert_eq!(error("sma", "anchor", "session".into()).1, "remove `anchor`");
    assert!(error("ema", "anchor", "week".into()).0.contains(r#"anchor "week""#));
    assert_eq!(error("macd", "fast", 26.into()).0, r#"indicator "macd": fast 26 is not below slow 26"#);
    let (message, hint) = error("crossover", "start", "mean".into());
    assert_eq!(message, r#"indicator "crossover" has start "mean", which is none of "zero" and "first""#);
    assert_eq!(hint, r#"set e.g. `start = "zero"`"#);
    assert!(error("crossover", "start", 0.into()).0.contains("has start 0, which is none of"));
    assert_eq!(error("emma", "period", 3.into()).1, r#"did you mean "ema"?"#);
    assert!(error("nothing_like_it", "period", 3.into()).1.starts_with("choose one of sma, "));
    let twice = || build("ema", &BTreeMap::new()).expect("defaults");
    let error = Composite::new(vec![twice(), twice()]).err().expect("namesakes are refused");
    assert_eq!(error.message, r#"two indicators of one interval have the output "ema_30""#);
}

/// The file that the page on extending shows is compiled as it stands there, and computes what it says.
#[test]
fn the_indicator_of_the_page_on_extending_compiles_and_is_right() {
    let page = include_str!("../../../docs/extending.md");
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(include_str!("samples.rs")), "docs/extending.md and samples.rs differ");
    let none =
        crate::parameters::read("indicator", "change", samples::SPEC.parameters, &[], &BTreeMap::new()).expect("none");
    let indicator = (samples::SPEC.build)(&none).expect("it has no parameters");
    let bars = bars(1, 50);
    let (mut state, mut out, mut before) = (vec![0.0; indicator.width()], [NULL], None);
    for bar in &bars {
        indicator.step(&mut state, bar, &mut out);
        match before.replace(bar.close) {
            Some(close) => assert_eq!(out[0], bar.close - close),
            None => assert!(out[0].is_nan()),
        }
    }
}
