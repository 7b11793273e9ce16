//! The calendar of India's exchanges: each rule on its date, as circulars and reports state it (sources: in the file).

use super::*;

fn nse() -> Session {
    preset("nse")
}

/// The class of an instrument of a venue; of NSECM, "2885" closes in an auction.
fn class(session: &mut Session, name: &str) -> Class {
    session.list_instruments("closing_auction", vec!["2885".into()]).expect("a class with a list");
    let (venue, token) = match name {
        "stocks" => ("NSECM", "22"),
        "closing_auction" => ("NSECM", "2885"),
        "derivatives" => ("NSEFO", "43423"),
        "currency" => ("NSECD", "1"),
        "commodities" => ("MCXFO", "440939"),
        other => panic!("{other} is no class"),
    };
    let class = session.class_of(&Instrument::new(venue, token, None));
    assert_eq!(session.class_name(class), name);
    class
}

/// A day of a class, in wall times of India.
fn shown(name: &str, date: &str) -> String {
    let mut session = nse();
    let class = class(&mut session, name);
    let clock = |text: &str| text[11..16].to_owned();
    let listed = session.list(class, day(date), day(date)).next().expect("a date");
    let phases =
        listed.phases.iter().map(|phase| format!("{} {}-{}", phase.phase, clock(&phase.open), clock(&phase.close)));
    phases.collect::<Vec<_>>().join(" ")
}

const STOCKS: &str = "pre_open 09:00-09:15 continuous 09:15-15:30 post_close 15:30-16:00";

#[test]
fn instruments_have_the_class_of_their_venue_and_stocks_with_derivatives_one_of_their_own() {
    let mut session = nse();
    for name in ["stocks", "closing_auction", "derivatives", "currency", "commodities"] {
        class(&mut session, name);
    }
    let class_of = |venue, token| session.class_name(session.class_of(&Instrument::new(venue, token, None))).to_owned();
    assert_eq!(class_of("BSEFO", "2885"), "derivatives", "a list is of its venues");
    assert_eq!(class_of("BSECM", "2885"), "closing_auction");
    assert_eq!(class_of("ELSEWHERE", "2885"), "stocks", "what no class takes");
    assert_eq!(nse().list_instruments("stocks", vec![]), Err(vec!["closing_auction".to_owned()]));
}

#[test]
fn the_third_of_august_2026_ends_trading_at_a_time_for_each_class() {
    for name in ["stocks", "closing_auction", "derivatives"] {
        assert_eq!(shown(name, "2026-07-31"), STOCKS, "{name} on the Friday before");
    }
    assert_eq!(shown("stocks", "2026-08-03"), STOCKS);
    assert_eq!(
        shown("closing_auction", "2026-08-03"),
        "pre_open 09:00-09:15 continuous 09:15-15:15 closing_auction 15:15-15:35 post_close 15:35-16:00"
    );
    assert_eq!(
        shown("derivatives", "2026-08-03"),
        "pre_open 09:00-09:15 continuous 09:15-15:40 post_close 15:40-16:00"
    );
}

#[test]
fn the_last_hour_of_a_phase_is_as_short_as_its_class_says() {
    let mut session = nse();
    for (name, from, until) in
        [("stocks", "15:15", "15:30"), ("closing_auction", "14:15", "15:15"), ("derivatives", "15:15", "15:40")]
    {
        let class = class(&mut session, name);
        let time = |text: &str| at(&format!("2026-08-03T{text}:00+05:30"));
        let last = session.phase_at(class, time(until) - 1).expect("continuous");
        assert_eq!(session.phase_name(last.phase), "continuous", "{name}");
        assert_eq!(bucket(&last, Interval(HOUR), time(until) - 1), (time(from), time(until)), "{name}");
    }
}

#[test]
fn the_seventh_of_december_2026_moves_the_closing_auction_behind_the_usual_end() {
    assert_eq!(
        shown("closing_auction", "2026-12-04"),
        "pre_open 09:00-09:15 continuous 09:15-15:15 closing_auction 15:15-15:35 post_close 15:35-16:00"
    );
    assert_eq!(
        shown("closing_auction", "2026-12-07"),
        "pre_open 09:00-09:15 continuous 09:15-15:30 closing_auction 15:30-15:40 post_close 15:40-16:00"
    );
    assert_eq!(
        shown("derivatives", "2026-12-07"),
        "pre_open 09:00-09:15 continuous 09:15-15:45 post_close 15:45-16:00"
    );
}

#[test]
fn derivatives_have_a_pre_open_auction_from_the_eighth_of_december_2025_on() {
    assert_eq!(shown("derivatives", "2025-12-05"), "continuous 09:15-15:30 post_close 15:30-16:00");
    assert_eq!(shown("derivatives", "2025-12-08"), STOCKS);
    assert_eq!(shown("stocks", "2025-12-05"), STOCKS);
}

#[test]
fn on_muhurat_evenings_there_is_one_hour_on_a_holiday() {
    let evening = "pre_open 17:45-18:00 continuous 18:00-19:00 post_close 19:00-19:30";
    assert_eq!(shown("stocks", "2024-11-01"), evening);
    assert_eq!(shown("closing_auction", "2024-11-01"), evening);
    for name in ["derivatives", "currency", "commodities"] {
        assert_eq!(shown(name, "2024-11-01"), "continuous 18:00-19:00 post_close 19:00-19:30", "{name}");
    }
    assert_eq!(shown("stocks", "2025-10-21"), "pre_open 13:30-13:45 continuous 13:45-14:45 post_close 14:45-15:15");
    let (mut session, noon) = (nse(), at("2024-11-01T06:30:00Z"));
    let stocks = class(&mut session, "stocks");
    assert_eq!(session.phase_at(stocks, noon), None, "the day itself is a holiday");
    let trading = session.phase_at(stocks, at("2024-11-01T12:30:00Z")).expect("18:00 in India");
    assert_eq!((session.phase_name(trading.phase), trading.trading_date), ("continuous", day("2024-11-01")));
    // hours begin with the session
    assert_eq!(bucket(&trading, Interval(HOUR), trading.end - 1), (trading.start, trading.end));
}

#[test]
fn a_saturday_drill_has_two_short_sessions_and_nothing_in_between() {
    assert_eq!(
        shown("stocks", "2024-03-02"),
        "pre_open 09:00-09:15 continuous 09:15-10:00 pre_open 11:15-11:30 continuous 11:30-12:30 post_close 12:30-13:00"
    );
    assert_eq!(
        shown("derivatives", "2024-05-18"),
        "continuous 09:15-10:00 continuous 11:45-12:40 post_close 12:40-13:00"
    );
    assert_eq!(shown("commodities", "2024-03-02"), "", "a Saturday");
    let mut session = nse();
    let stocks = class(&mut session, "stocks");
    let [first, second] =
        ["2024-03-02T04:29:59Z", "2024-03-02T06:00:00Z"].map(|time| session.phase_at(stocks, at(time)));
    let (first, second) = (first.expect("09:59:59"), second.expect("11:30"));
    assert_eq!((first.phase, first.trading_date), (second.phase, second.trading_date), "one phase, twice a day");
    assert_eq!(second.start, at("2024-03-02T06:00:00Z"), "bars are anchored at each of them");
    assert_eq!(session.phase_at(stocks, first.end), None);
    assert_eq!(last_end(&session, stocks, second.start - 1), Some(first.end), "the second pre-open is under way");
}

#[test]
fn budget_days_at_a_weekend_are_days_like_others() {
    for date in ["2024-01-20", "2025-02-01", "2026-02-01"] {
        assert_eq!(shown("stocks", date), STOCKS, "{date}");
    }
    assert_eq!(shown("derivatives", "2025-02-01"), "continuous 09:15-15:30 post_close 15:30-16:00");
    assert_eq!(
        shown("commodities", "2026-02-01"),
        "pre_open 08:45-09:00 continuous 09:00-17:00 post_close 17:00-17:15"
    );
    assert_eq!(shown("stocks", "2026-01-31"), "", "the Saturday before");
}

#[test]
fn a_holiday_of_shares_may_be_an_evening_of_commodities() {
    for date in ["2024-01-22", "2026-01-15", "2026-03-03", "2026-11-24"] {
        assert_eq!(shown("stocks", date), "", "{date}");
        assert_eq!(
            shown("commodities", date),
            "continuous 17:00-23:55 post_close 23:55-24:00".replace("24:00", "00:00")
        );
    }
    assert_eq!(shown("commodities", "2026-05-28"), "continuous 17:00-23:30 post_close 23:30-23:45");
    assert_eq!(
        shown("commodities", "2026-01-01"),
        "pre_open 08:45-09:00 continuous 09:00-17:00 post_close 17:00-17:15"
    );
    assert_eq!(shown("commodities", "2026-12-25"), "");
    assert_eq!((shown("currency", "2026-04-01"), shown("stocks", "2026-04-01")), (String::new(), STOCKS.to_owned()));
}

/// The rule itself, by the zone data of New York: 23:30 on days with daylight saving time there, otherwise 23:55.
#[test]
fn commodities_end_by_new_yorks_clocks_on_every_ordinary_day() {
    let mut session = nse();
    let commodities = class(&mut session, "commodities");
    let new_york = TimeZone::get("America/New_York").expect("a zone");
    let (mut days, mut late) = (0, 0);
    for day in day("2024-01-02")..day("2027-12-31") {
        let phases: Vec<PhaseAt> = session.phases_of(commodities, day).collect();
        let trading = |phase: &&PhaseAt| session.phase_name(phase.phase) == "continuous";
        let Some(continuous) = phases.iter().find(trading) else { continue };
        if continuous.end - continuous.start < 14 * HOUR {
            continue;
        }
        let stamp = Timestamp::from_nanosecond(i128::from(continuous.end)).expect("a time");
        let daylight = new_york.to_offset_info(stamp).dst().is_dst();
        let length = if daylight { 14 * HOUR + 30 * MINUTE } else { 14 * HOUR + 55 * MINUTE };
        assert_eq!(continuous.end - continuous.start, length, "{}", date_of(day).expect("a date"));
        (days, late) = (days + 1, late + i32::from(!daylight));
    }
    assert!(days > 950 && late > 300, "{days} days, {late} of them late");
}

#[test]
fn trading_dates_are_each_classes_own() {
    let mut session = nse();
    let (stocks, commodities) = (class(&mut session, "stocks"), class(&mut session, "commodities"));
    // 2026-11-24, a holiday of shares, 20:00 in India
    let evening = at("2026-11-24T14:30:00Z");
    assert_eq!(session.trading_date_of(commodities, evening), day("2026-11-24"));
    assert_eq!(session.trading_date_of(stocks, evening), day("2026-11-23"));
    assert_eq!(session.day_start(stocks, day("2026-11-24")), at("2026-11-24T03:30:00Z"), "where it would be");
    assert_eq!(session.day_start(commodities, day("2026-11-24")), at("2026-11-24T11:30:00Z"));
}

#[test]
fn the_trading_date_before_one_is_the_nearest_with_phases() {
    let session = nse();
    for class in session.classes() {
        let trades = |date: &i32| session.phases_of(class, *date).next().is_some();
        for date in (day("2024-02-01")..day("2026-12-31")).filter(trades) {
            let before = (date - 20..date).rev().find(trades).expect("no closure is so long");
            assert_eq!(session.trading_date_before(class, date), before, "{date}");
        }
    }
    // a market that never trades has no date that is nearer
    let mut closed = nse();
    let none = class(&mut closed, "stocks");
    assert_eq!(closed.trading_date_before(none, -90_000), -90_001);
}

#[test]
fn holidays_are_known_from_2024_to_2026() {
    let session = nse();
    let known = ["2023-12-29", "2024-01-01", "2026-12-31", "2027-01-01"].map(|date| session.is_known(day(date)));
    assert_eq!(known, [false, true, true, false]);
    assert!(preset("us").is_known(day("2031-01-01")), "a session that lists no holidays misses none");
    assert_eq!(shown("stocks", "2027-01-26"), STOCKS, "a weekday, as far as the file knows");
}

#[test]
fn on_every_day_from_2024_to_2027_phases_are_in_order_disjoint_and_found_by_their_times() {
    let mut session = nse();
    let mut counted = Vec::new();
    for name in ["stocks", "closing_auction", "derivatives", "currency", "commodities"] {
        let class = class(&mut session, name);
        let (mut before, mut days) = (Nanos::MIN, 0);
        let mut memory = Phases::default();
        for date in day("2024-01-01")..=day("2027-12-31") {
            let phases: Vec<PhaseAt> = session.phases_of(class, date).collect();
            days += i32::from(!phases.is_empty());
            for phase in &phases {
                assert!(before <= phase.start && phase.start < phase.end, "{name} {date}");
                before = phase.end;
                for t in [phase.start, phase.end - 1, phase.start.midpoint(phase.end)] {
                    assert_eq!(session.phase_at(class, t), Some(*phase), "{name} {date}");
                    assert_eq!(memory.at(&session, class, t), Some(*phase), "the memory says the same");
                    assert_eq!(session.trading_date_of(class, t), date);
                }
                assert_eq!(last_end(&session, class, phase.end), Some(phase.end));
                let next = session.phase_at(class, phase.end);
                assert!(next.is_none_or(|next| next.start == phase.end), "{name} {date}");
            }
            if let Some(first) = phases.first() {
                assert_eq!(session.day_start(class, date), first.start, "{name} {date}");
            }
        }
        counted.push(days);
    }
    // 1045 weekdays less the 16, 13 and 16 closed ones of 2024, 2025 and 2026, and 3, 1 and 2 sessions at weekends
    assert_eq!(counted[..3], [1045 - 45 + 6; 3], "{counted:?}");
}

#[test]
fn next_years_holidays_only_add_days() {
    let text = CALENDARS[0].1;
    let parsed = |text: &str| {
        let problems = ticktide_base::document::Problems::default();
        let session = file::parse("nse.toml", text, &problems);
        assert_eq!(problems.take(), []);
        session.describe()
    };
    let old = parsed(text);
    let seen = |time: &str| Some(at(time));
    let holiday = format!("{text}\n[[holidays]]\ndays = [\"2026-12-28 A day\"]\nsource = \"a circular\"\n");
    // 2026-12-28 begins at 18:30 UTC of the day before
    assert!(adds_days(&old, &parsed(&holiday), seen("2026-12-27T18:29:59Z")));
    assert!(!adds_days(&old, &parsed(&holiday), seen("2026-12-27T18:30:00Z")));
    assert!(adds_days(&old, &parsed(&holiday), None), "nothing was read");
    let auction = text.replace(
        "closing_auction 15:30-15:40\", \"post_close 15:40",
        "closing_auction 15:30-15:45\", \"post_close 15:45",
    );
    assert_ne!(auction, text);
    assert!(adds_days(&old, &parsed(&auction), seen("2026-12-04T12:00:00Z")), "before it is in force");
    assert!(!adds_days(&old, &parsed(&auction), seen("2026-12-07T03:30:00Z")));
    let venues = text.replace("venues = [\"MCXFO\"]", "venues = [\"MCXFO\", \"NCDEX\"]");
    assert!(!adds_days(&old, &parsed(&venues), None), "classes have no date");
    assert!(!adds_days(&preset("us").describe(), &preset("us").describe(), None), "no calendar");
    // what moves no boundary is not in the hash
    let renamed = text.replace("Republic Day", "Republic day").replace("angelone.in", "elsewhere");
    assert_eq!(parsed(&renamed), old);
}

#[test]
fn plain_sessions_are_described_as_ever() {
    assert_eq!(
        preset("us").describe(),
        "America/New_York mon,tue,wed,thu,fri pre 240..570 regular 570..960 post 960..1200"
    );
    let custom = Session::custom("UTC", "09:15", "15:30", &[]).expect("a session");
    assert_eq!(custom.describe(), "UTC mon,tue,wed,thu,fri regular 555..930");
}
