"""India's calendar, held against others': every day of 2024-2027 that an independent package knows, trading or not, open and close.

`ticktide calendar nse` prints what is compared: for each class of instruments the first open and the last close of its
continuous phases, and the closing auction. The packages are exchange-calendars (XBOM), pandas-market-calendars (NSE, BSE) and
aion-indian-market-calendar (five segments); of a year that a package does not know nothing is asked of it. What they say
otherwise is in KNOWN with the reason (of a few dates of 2026 the last of them is our source, too, as the calendar says), and each entry there must be met: a disagreement that is not listed fails, and so does
a listed one that is gone. Wall times in India.
"""
# s33_calendar: rotating, 25 s

import collections
import datetime
import json
import os

os.environ["AION_IN_CALENDAR_OFFLINE"] = "1"  # what the pinned package has, wherever this runs

import aion_indian_market_calendar as aion
import exchange_calendars
import pandas_market_calendars
from harness import ROOT, Scenario
from oracle import lake

INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
FIRST, LAST = datetime.date(2024, 1, 1), datetime.date(2027, 12, 31)

Day = collections.namedtuple("Day", "open close")
USUAL, CLOSED = Day("09:15", "15:30"), None
DRILLS = {"2024-03-02": Day("09:15", "12:30"), "2024-05-18": Day("09:15", "12:40")}
MUHURAT = {"2024-11-01": Day("18:00", "19:00"), "2025-10-21": Day("13:45", "14:45")}
MUHURAT_2026 = {"2026-11-08": Day("18:15", "19:15")}
WEEKENDS = {"2024-01-20": USUAL, "2025-02-01": USUAL, "2026-02-01": USUAL}

WEEKENDS_WHY = ("no sessions at weekends: NSE circulars of 2024-01-19 (dtnext.in 762261), for 2025-02-01 (livemint.com 11738144628884), of "
                "2026-01-16 (ndtvprofit.com 10905918)")
DRILLS_WHY = "no drills of the second site: NSE circulars of 2024-02-14 (zeenews.india.com 2721738), 2024-05-07 (lokmattimes.com)"
MUHURAT_WHY = "a holiday without its hour: NSE and BSE circulars of October 2024 (ndtvprofit.com) and of 2025-09-22"
MUHURAT_2026_WHY = "does not know the hour on Sunday 2026-11-08, which is provisional (aion-indian-market-calendar has it for shares)"
BUDGET_WHY = "no trading on Sunday 2026-02-01: NSE circular of 2026-01-16 (ndtvprofit.com 10905918), MCX's (angelone.in)"
PRE_OPEN_WHY = "counts the pre-open auction from 09:00 as trading: NSE market timings (ndtvprofit.com)"
WINTER_WHY = "23:30 all year: 23:55 while New York has no daylight saving time (MCX/TRD/675/2023, NSE/COM/76446 of 2026-09-21)"
ELECTION_WHY = "the morning of 2026-01-15 was closed: MCX circular of 2026-01-12 (scanx.trade 29987545)"

WINTER = [date for date in (datetime.date(2026, 1, 1) + datetime.timedelta(days=number) for number in range(365))
          if not datetime.date(2026, 3, 9) <= date <= datetime.date(2026, 10, 30)]


def closed(ours):
    """Days on which we trade and the package does not."""
    return {datetime.date.fromisoformat(date): (day, CLOSED) for date, day in ours.items()}


def on(dates, ours, theirs):
    return {date: (Day(*ours), Day(*theirs)) for date in dates}


# package -> [(why, {date: (ours, theirs)}, whether every one of the dates must be met)]
NSE_2026 = [datetime.date(2026, 1, 1) + datetime.timedelta(days=number) for number in range(365)]
KNOWN = {
    "exchange-calendars XBOM": [
        (WEEKENDS_WHY, closed(WEEKENDS), True), (DRILLS_WHY, closed(DRILLS), True), (MUHURAT_WHY, closed(MUHURAT), True),
        (MUHURAT_2026_WHY, closed(MUHURAT_2026), True)],
    "pandas-market-calendars NSE": [
        (WEEKENDS_WHY, closed(WEEKENDS), True), (DRILLS_WHY, closed(DRILLS), True), (MUHURAT_2026_WHY, closed(MUHURAT_2026), True)],
    "pandas-market-calendars BSE": [
        (WEEKENDS_WHY, closed(WEEKENDS), True), (DRILLS_WHY, closed(DRILLS), True), (MUHURAT_WHY, closed(MUHURAT), True),
        (MUHURAT_2026_WHY, closed(MUHURAT_2026), True)],
    "aion NSE_EQUITY": [
        (PRE_OPEN_WHY, on(NSE_2026, USUAL, ("09:00", "15:30")), False), (BUDGET_WHY, closed({"2026-02-01": USUAL}), True)],
    "aion NSE_EQUITY_FNO_UNDERLYING": [
        (PRE_OPEN_WHY, on(NSE_2026, USUAL, ("09:00", "15:30")) | on(
            [date for date in NSE_2026 if datetime.date(2026, 8, 3) <= date < datetime.date(2026, 12, 7)], ("09:15", "15:15"), ("09:00", "15:15")),
         False), (BUDGET_WHY, closed({"2026-02-01": USUAL}), True)],
    "aion NSE_EQUITY_DERIVATIVES": [
        (BUDGET_WHY, closed({"2026-02-01": USUAL}), True), (MUHURAT_2026_WHY, closed({"2026-11-08": Day("18:15", "19:40")}), True)],
    "aion NSE_CURRENCY_DERIVATIVES": [(MUHURAT_2026_WHY, closed(MUHURAT_2026), True)],
    "aion MCX": [
        (WINTER_WHY, on(WINTER, ("09:00", "23:55"), ("09:00", "23:30")), False),
        (WINTER_WHY, on([datetime.date(2026, 3, 3), datetime.date(2026, 11, 10), datetime.date(2026, 11, 24)], ("17:00", "23:55"), ("17:00", "23:30")), True),
        (ELECTION_WHY, on([datetime.date(2026, 1, 15)], ("17:00", "23:55"), ("09:00", "23:30")), True),
        (BUDGET_WHY, closed({"2026-02-01": Day("09:00", "17:00")}), True)],
}
SEGMENTS = {
    "stocks": "NSE_EQUITY", "closing_auction": "NSE_EQUITY_FNO_UNDERLYING", "derivatives": "NSE_EQUITY_DERIVATIVES",
    "currency": "NSE_CURRENCY_DERIVATIVES", "commodities": "MCX"}


def days():
    count = (LAST - FIRST).days + 1
    return [FIRST + datetime.timedelta(days=number) for number in range(count)]


def wall(moment):
    return moment.astimezone(INDIA).strftime("%H:%M")


def ours(scenario):
    """{class: {date: Day or None}}, {class: {date: (open, close) of the closing auction}}"""
    done = scenario.run("calendar", "nse", "--from", str(FIRST), "--to", str(LAST), "--json")
    trading, auctions = collections.defaultdict(dict), collections.defaultdict(dict)
    for line in done.stdout.splitlines():
        listed = json.loads(line)
        date = datetime.date.fromisoformat(listed["date"])
        times = [(phase["open"][11:16], phase["close"][11:16]) for phase in listed["phases"] if phase["phase"] == "continuous"]
        trading[listed["class"]][date] = Day(times[0][0], times[-1][1]) if times else None
        for phase in listed["phases"]:
            if phase["phase"] == "closing_auction":
                auctions[listed["class"]][date] = (phase["open"][11:16], phase["close"][11:16])
    return trading, auctions


def xbom():
    calendar = exchange_calendars.get_calendar("XBOM", start=str(FIRST), end="2026-12-31")
    known = {date: None for date in days() if date.year <= 2026}
    for session, row in calendar.schedule.iterrows():
        known[session.date()] = Day(wall(row["open"]), wall(row["close"]))
    return known


def market_calendar(name):
    known = {date: None for date in days() if date.year <= 2026}  # its lists end there
    for session, row in pandas_market_calendars.get_calendar(name).schedule(str(FIRST), "2026-12-31").iterrows():
        known[session.date()] = Day(wall(row["market_open"]), wall(row["market_close"]))
    return known


def segment(calendar, market):
    """Continuous trading and closing auctions of a segment; MCX's window for taking orders back is no trading."""
    known, auctions = {}, {}
    for date in days():
        if not calendar.covers(date):
            continue
        noon = datetime.datetime.combine(date, datetime.time(12), INDIA)
        segments = calendar.get_session(noon, market=market) or []
        trades = [part for part in segments if part.kind == "continuous" and part.open != datetime.time(8, 45)]
        clock = "{:%H:%M}".format
        known[date] = Day(clock(trades[0].open), clock(trades[-1].close)) if trades and calendar.is_trading_day(noon, market=market) else None
        for part in segments:
            if part.kind == "closing_auction":
                auctions[date] = (clock(part.open), clock(part.close))
    return known, auctions


def compare(scenario, package, ours, theirs):
    differ = {date: (ours[date], day) for date, day in theirs.items() if ours[date] != day}
    unknown, gone = dict(differ), []
    for why, dates, all_met in KNOWN[package]:
        met = [date for date, pair in dates.items() if unknown.get(date, "absent") == pair]
        for date in met:
            del unknown[date]
        gone += [(str(date), why) for date in dates if all_met and date not in met]
        if not met:
            gone.append(("no date", why))
        scenario.note(f"{package} on {len(met)} of {len(theirs)} days: {why}")
    shown = [(str(date), pair) for date, pair in sorted(unknown.items())]
    scenario.check(theirs and not unknown and not gone,
                   f"{package}: {len(theirs) - len(differ)} of {len(theirs)} days agree, the other {len(differ)} for reasons that are listed",
                   shown[:10] or gone[:10])


DATAFLOW = """\
source = {{ use = "file", wire = "json" }}
session = {{ calendar = "{calendar}", instruments = {{ closing_auction = ["2885"] }} }}
bars = [{{ use = "time", every = "1m" }}, {{ use = "time", every = "1h" }}]
"""


def tick(venue, instrument, at, sequence, date="2026-08-03"):
    moment = datetime.datetime.fromisoformat(f"{date}T{at}+05:30")
    return json.dumps({"venue": venue, "instrument": instrument, "time": int(moment.timestamp()) * 1_000_000, "sequence": sequence,
                       "price": "100.5", "quantity": "10"})


def bars_of_classes(scenario):
    """Trades of 2026-08-03 by a calendar file: one bar a phase and class; then the file changes."""
    ticks = [("NSECM", "22", "15:29:50"), ("NSECM", "2885", "15:14:50"), ("NSECM", "2885", "15:31:00"), ("NSEFO", "9", "15:39:50"),
             ("MCXFO", "7", "20:00:00"), ("NSECM", "22", "16:00:00"), ("NSEFO", "9", "08:59:59"), ("MCXFO", "7", "23:50:00")]
    expected = {("NSECM", "22", "continuous", "15:15", True), ("NSECM", "2885", "continuous", "14:15", False),
                ("NSECM", "2885", "closing_auction", "15:15", True), ("NSEFO", "9", "continuous", "15:15", True),
                ("MCXFO", "7", "continuous", "20:00", False)}
    path = scenario.work / "ticks.jsonl"
    # in order of time, as a file's partition has them
    ordered = sorted(ticks, key=lambda each: each[2])
    path.write_text("".join(tick(*each, number + 1) + "\n" for number, each in enumerate(ordered)))
    shipped = (ROOT / "calendars" / "nse.toml").read_text()
    calendar, dataflow, folder = scenario.work / "market.toml", scenario.work / "mine.toml", scenario.work / "lake"
    calendar.write_text(shipped)
    dataflow.write_text(DATAFLOW.format(calendar="market.toml"))

    def run(*more, code=0):
        return scenario.run("run", dataflow, "--path", path, "--warehouse", folder, "--until", "end", *more, code=code)

    run()
    rows = lake.Lake(folder).rows("bars_1h")
    found = {(row["venue"], row["instrument"], row["phase"], wall(row["open_at"]), row["short"]) for row in rows}
    scenario.check(found == expected and len(rows) == len(expected),
                   f"2026-08-03 has {len(rows)} bars of an hour, each of one phase of its class, the last ones short", sorted(found ^ expected))
    refused = lake.Lake(folder).rows("quarantine")
    scenario.check([row["reason"] for row in refused] == ["off_session"] * 3,
                   f"{len(refused)} ticks outside every phase of their class are off_session", refused)

    # the calendar learns of a day to come, and then contradicts one that was read
    calendar.write_text(shipped + '\n[[holidays]]\ndays = ["2026-12-28 A day off"]\nsource = "a circular"\n')
    done = run(code=None)
    scenario.check(done.code == 2 and "session" in done.stderr, f"another calendar is another dataflow, code {done.code}", done.stderr)
    done = run("--evolve", code=None)
    scenario.check(done.code == 0, "`--evolve` goes on with a calendar that knows more of days to come", done.stderr)
    calendar.write_text(calendar.read_text().replace("closing_auction 15:15-15:35", "closing_auction 15:15-15:34"))
    done = run("--evolve", code=None)
    scenario.check(done.code == 2 and "session" in done.stderr, f"and refuses one that says otherwise of a day that was read, code {done.code}", done.stderr)
    calendar.write_text(shipped + '\n[[holidays]]\ndays = ["2026-12-28 A day off"]\nsource = "a circular"\n')
    scenario.verify("the newer calendar gives the lake of both", dataflow, "--warehouse", folder, "--path", path)


def beyond_the_lists(scenario):
    path = scenario.work / "later.jsonl"
    path.write_text("".join(tick("NSECM", "22", f"10:00:0{number}", number + 1, "2027-01-04") + "\n" for number in range(5)))
    done = scenario.run_bars(path, scenario.work / "later", "--set", "session=nse")
    warnings = [line for line in done.stderr.splitlines() if "lists no holidays" in line]
    rows = lake.Lake(scenario.work / "later").rows("bars_1m")
    scenario.check(len(warnings) == 1 and "2027-01-04" in warnings[0] and len(rows) == 1, "ticks of 2027 make bars, and one warning", done.stderr)


def main():
    scenario = Scenario(__doc__)
    trading, auctions = ours(scenario)
    classes = {name: sum(day is not None for day in by_date.values()) for name, by_date in trading.items()}
    scenario.check(set(classes) == set(SEGMENTS) and all(len(by_date) == len(days()) for by_date in trading.values()),
                   f"{len(days())} days of {len(classes)} classes, with trading on {classes}")
    compare(scenario, "exchange-calendars XBOM", trading["stocks"], xbom())
    for name in ("NSE", "BSE"):
        compare(scenario, f"pandas-market-calendars {name}", trading["stocks"], market_calendar(name))
    calendar = aion.IndiaMarketCalendar.bundled(2026)
    for name, market in SEGMENTS.items():
        known, theirs = segment(calendar, market)
        compare(scenario, f"aion {market}", trading[name], known)
        mine = {date: auction for date, auction in auctions[name].items() if date in known and date != datetime.date(2026, 11, 8)}
        if mine or theirs:
            scenario.check(mine == theirs, f"aion {market}: {len(theirs)} closing auctions, all at our times",
                           sorted(set(mine.items()) ^ set(theirs.items()))[:5])

    bars_of_classes(scenario)
    beyond_the_lists(scenario)

    # what a user does with it
    done = scenario.run("calendar", "nse", "--from", "2026-11-24", "--class", "stocks")
    scenario.check("closed" in done.stdout and "Guru Nanak" in done.stdout, f"a holiday has its name: {done.stdout.strip()}")
    done = scenario.run("calendar", "nse", "--from", "2027-01-04", "--class", "stocks")
    scenario.check("holidays not known" in done.stdout, f"behind the lists it says so: {done.stdout.strip()}")
    bad = scenario.work / "bad.toml"
    bad.write_text('zone = "Mars"\nphases = ["open"]\n[[class]]\nname = "all"\n[[timetable]]\nphases = ["opne 09:00-10:00"]\n')
    for arguments in (("check", bad), ("calendar", bad, "--from", "2026-01-01")):
        done = scenario.run(*arguments, code=None)
        places = [f"bad.toml:{place}:" in done.stderr for place in ("1:8", "1:1", "6:11", "5:1")]
        scenario.check(done.code == 2 and sum(places) >= 3 and "did you mean \"open\"?" in done.stderr and done.stderr.count("hint:") >= 3,
                       f"`{arguments[0]}` tells a bad calendar's problems with their places, code {done.code}", done.stderr)
    scenario.end()


if __name__ == "__main__":
    main()
