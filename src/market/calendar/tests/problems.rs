//! All problems of a calendar file are reported at once, each with its place and a hint.

use super::*;
use ticktide_base::document::{Problem, Problems};

const GOOD: &str = "zone = \"Asia/Kolkata\"\nphases = [\"pre_open\", \"continuous\"]\nauctions = [\"pre_open\"]\n\
known = { from = 2026-01-01, until = 2026-12-31 }\n[[class]]\nname = \"futures\"\nvenues = [\"F\"]\n[[class]]\nname = \"stocks\"\n\
[[timetable]]\nphases = [\"pre_open 09:00-09:15\", \"continuous 09:15-15:30\"]\nsource = \"a circular\"\n\
[[holidays]]\ndays = [\"2026-01-26 Republic Day\"]\nsource = \"a list\"\n\
[[special]]\nclasses = [\"stocks\"]\ndays = [\"2026-02-01 Budget\"]\nphases = [\"continuous 10:00-11:00\"]\nsource = \"a circular\"\n";

fn problems(text: &str) -> Vec<Problem> {
    let problems = Problems::default();
    let session = file::parse("x.toml", text, &problems);
    // whatever the file says, the session answers
    for class in session.classes() {
        for t in [Nanos::MIN, 0, at("2026-02-01T05:00:00Z"), Nanos::MAX] {
            session.phase_at(class, t);
            session.trading_date_of(class, t);
        }
        session.day_start(class, 0);
    }
    session.describe();
    problems.take()
}

#[test]
fn a_problem_says_where_it_is_and_what_to_do() {
    assert_eq!(problems(GOOD), []);
    let cases = [
        ("zone = \"Asia/Kolkata\"", "zone = \"Mars\"", "x.toml:1:8: unknown time zone \"Mars\""),
        ("zone = \"Asia/Kolkata\"\n", "", "x.toml:1:1: a calendar has no `zone`"),
        ("\"continuous\"]\nauctions", "\"pre_open\"]\nauctions", "names \"pre_open\" twice"),
        ("auctions = [\"pre_open\"]", "auctions = [\"pre_opne\"]", "x.toml:3:12: there is no phase \"pre_opne\""),
        ("known = {", "knwon = {", "unknown key `knwon`"),
        ("until = 2026-12-31", "until = 2025-12-31", "`known` ends before it begins"),
        ("until = 2026-12-31", "until = \"never\"", "`until` is \"never\", which is not a date"),
        ("venues = [\"F\"]", "venues = []", "class \"futures\" takes everything"),
        ("name = \"futures\"", "name = \"stocks\"", "there are two classes \"stocks\""),
        (
            "[[timetable]]\n",
            "[[timetable]]\nuntil = 2020-01-01\nfrom = 2021-01-01\n",
            "ends on 2020-01-01, before it begins",
        ),
        ("09:00-09:15", "09:00-9:75", "is not a time of day"),
        ("continuous 09:15-15:30", "continuous 09:10-15:30", "begins before the previous phase ends"),
        ("continuous 09:15-15:30", "continuous 15:30-09:15", "ends before it begins"),
        ("continuous 09:15-15:30", "continuos 09:15-15:30", "there is no phase \"continuos\""),
        ("continuous 10:00-11:00", "continuous", "x.toml:19:11: \"continuous\" is not a phase"),
        ("2026-01-26 Republic", "2026-13-26 Republic", "is not a day"),
        ("[\"2026-01-26 Republic Day\"]", "[\"2026-01-26 A\", \"2026-01-26 B\"]", "2026-01-26 is listed twice"),
        ("source = \"a list\"\n", "", "`holidays` has no `source`"),
        ("classes = [\"stocks\"]", "classes = [\"stock\"]", "there is no class \"stock\""),
        ("phases = [\"continuous 10:00-11:00\"]\n", "", "there are no `phases`"),
        ("[[timetable]]", "[[timetables]]", "unknown key `timetables`"),
        ("continuous 10:00-11:00", "continuous 22:00-10:00", "x.toml:19:11"),
    ];
    for (good, bad, expected) in cases {
        assert!(GOOD.contains(good), "{good}");
        let found = problems(&GOOD.replacen(good, bad, 1));
        if bad.ends_with("22:00-10:00") {
            assert_eq!(found, [], "a day's first phase may open on the evening before");
            continue;
        }
        let met = found.iter().find(|problem| problem.to_string().contains(expected));
        assert!(met.is_some_and(|problem| !problem.hint.is_empty()), "{bad}: {found:?}");
    }
}

#[test]
fn several_problems_are_told_together_in_order() {
    let text = GOOD.replace("Asia/Kolkata", "Mars").replace("2026-01-26", "26").replace("10:00-11:00", "11:00");
    let lines: Vec<String> = problems(&text).iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(lines, ["x.toml:1:8", "x.toml:14:9", "x.toml:19:11"]);
}

#[test]
fn a_session_that_opens_on_the_evening_before_must_not_meet_the_day_before() {
    let evening = GOOD.replace("\"pre_open 09:00-09:15\", \"continuous 09:15-15:30\"", "\"continuous 18:00-17:00\"");
    assert_eq!(problems(&evening.replace("10:00-11:00", "22:00-10:00")), []);
    let late = evening.replace("[\"continuous 10:00-11:00\"]", "[\"continuous 10:00-20:00\"]");
    assert!(problems(&late)[0].to_string().contains("before the previous day has ended"));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(cut in 0..GOOD.len(), with in "[a-z0-9\"=\\[\\] :,-]{0,12}", skip in 0usize..30) {
        let end = (cut + skip).min(GOOD.len());
        if GOOD.is_char_boundary(cut) && GOOD.is_char_boundary(end) {
            problems(&format!("{}{with}{}", &GOOD[..cut], &GOOD[end..]));
        }
    }
}
