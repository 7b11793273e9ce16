"""A broker's candles and the exchange's bhavcopy against the lake: what is equal matches, and each planted difference is named.

The simulator's session goes through Kafka into a lake. Candles are made beside it: volumes from the simulator's truth,
prices recomputed from the recorded frames by the rules of the feed (order by update time and count, minute of the last trade,
a day's new extreme belongs to the bar in which it appears). They are written as XTS answers and as bhavcopies, whole and with
one fault each.
"""
# s34_reconcile: rotating, 50 s

import collections
import csv
import datetime
import decimal
import gzip
import json
import random
import zipfile

import iifl
from harness import Scenario, decode_rows
from iifl import INDIA_S
from oracle import lake

OPENS_S = 9 * 3600 + 15 * 60
SEGMENTS = {1: "NSECM", 2: "NSEFO"}
FIELDS = ("open", "high", "low", "close", "volume")
Touch = collections.namedtuple("Touch", "updated count received price traded high low quantity")


def touches(frames):
    """The touchlines of each instrument, in the order of what they tell; prices in hundredths."""
    found = collections.defaultdict(set)
    for received_at, _, payload in frames:
        message = json.loads(payload, parse_float=decimal.Decimal)
        inner = message["Touchline"]
        paise = {name: int(inner[name] * 100) for name in ("LastTradedPrice", "High", "Low")}
        found[SEGMENTS[message["ExchangeSegment"]], str(message["ExchangeInstrumentID"])].add(Touch(
            inner["LastUpdateTime"] + iifl.TO_UNIX_S, inner["TotalTradedQuantity"], received_at, paise["LastTradedPrice"],
            inner["LastTradedTime"] + iifl.TO_UNIX_S, paise["High"], paise["Low"],
            inner.get("LastTradedQunatity", inner.get("LastTradedQuantity"))))
    return {key: sorted(rows) for key, rows in found.items()}


def midnight(at):
    return (at + INDIA_S) // 86_400 * 86_400 - INDIA_S


def bars_of(rows, volumes):
    """Minutes of one instrument: {(phase, minute): {open, high, low, close, volume}}."""
    minutes = collections.defaultdict(list)
    for row in rows:
        if midnight(row.traded) == midnight(row.updated):  # else yesterday's last trade
            phase = "continuous" if row.traded - midnight(row.traded) >= OPENS_S else "pre_open"
            minutes[phase, row.traded // 60 * 60].append(row)
    bars, day_high, day_low = {}, None, None
    for key in sorted(minutes, key=lambda key: key[1]):
        told = minutes[key]
        prices = [row.price for row in told]
        high, low = max(prices), min(prices)
        said_high, said_low = max(row.high for row in told), min(row.low for row in told)
        # new since the minute before; of the day's first minute since its first snapshot
        known_high, known_low = (told[0].high, told[0].low) if day_high is None else (day_high, day_low)
        high, low = (max(high, said_high) if said_high > known_high else high), (min(low, said_low) if said_low < known_low else low)
        day_high = max(said_high, day_high or 0, high)
        day_low = min(value for value in (said_low, day_low, low) if value is not None)
        bars[key] = {"open": prices[0], "high": high, "low": low, "close": prices[-1], "volume": volumes.get(key, 0)}
    return bars


def answer(path, candles, shift_s=0, text=None):
    """Writes candles {minute: bar} as an answer of XTS; `shift_s` after the bar's start on India's wall."""
    rows = text if text is not None else ",".join(line(at, bar, shift_s) for at, bar in sorted(candles.items()))
    path.write_text(json.dumps({"type": "success", "code": "s-ohlc-0001", "result": {"dataReponse": rows}}))
    return path


def line(at, bar, shift_s=0):
    return "|".join([str(at + INDIA_S + shift_s), *(f"{decimal.Decimal(bar[name]) / 100}" for name in FIELDS[:4]), str(bar["volume"]), "0", ""])


def changed(candles, at, **changes):
    return {**candles, at: {**candles[at], **changes}}


class Reconciled:
    """What `reconcile --json` said."""

    def __init__(self, scenario, folder, *files, code=0, options=()):
        self.done = scenario.run("reconcile", *files, "--warehouse", folder, "--json", *options, code=code)
        lines = decode_rows(self.done.stdout) if self.done.stdout else []
        by = collections.defaultdict(list)
        for row in lines:
            by[row["kind"]].append(row)
        self.files, self.malformed, self.differences = by["file"], by["malformed"], by["difference"]
        self.reasons = collections.Counter(row["reason"] for row in self.differences)
        self.matches = sum(row["matches"] for row in self.files)


def bhavcopy(days, udiff, date):
    """The day as the exchange tells it: the close is an average (of a future that expires its underlying's), the last price the last
    trade, and futures are counted in contracts."""
    rupees = lambda paise: decimal.Decimal(paise) / 100
    if udiff:
        head = ("TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,FinInstrmNm,"
                "OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,TtlTradgVol,"
                "TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty")
        rows = []
        for (venue, token), day in days.items():
            named = f"STK,{token},,SIM{token},EQ" if venue == "NSECM" else f"STF,{token},,SIM{token},"
            lot = day["lot"]
            rows.append(f"{date},{date},{venue[3:]},NSE,{named},,,,,X,{rupees(day['open'])},{rupees(day['high'])},{rupees(day['low'])},"
                        f"{rupees(day['official'])},{rupees(day['close'])},1,,1,,,{day['volume'] // lot},,,F1,{lot}")
        rows.append(f"{date},{date},CM,NSE,STK,999999,,ABSENT,EQ,,,,,X,1,1,1,1,1,1,,1,,,1,,,F1,1")
        rows.append(f"{date},{date},CM,NSE,STK,999998,,SILENT,EQ,,,,,X,0,0,0,0,0,1,,1,,,0,,,F1,1")
    else:
        head = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,"
        told = datetime.date.fromisoformat(date).strftime("%d-%b-%Y").upper()
        rows = [f"SIM{token},EQ,{rupees(day['open'])},{rupees(day['high'])},{rupees(day['low'])},{rupees(day['average'])},{rupees(day['close'])},1,"
                f"{day['volume']},1,{told},1,X," for (venue, token), day in days.items() if venue == "NSECM"]
    return "\n".join([head, *rows]) + "\n"


def sampled(rows, volumes):
    """Columns of a day that a bar of snapshots does not see: extremes that its first snapshot tells may be older."""
    whole = bars_of(rows, volumes)
    phases = collections.defaultdict(list)
    for row in rows:
        if midnight(row.traded) == midnight(row.updated):
            phases[row.traded - midnight(row.traded) >= OPENS_S].append(row)
    first = phases[min(phases)]
    told = [bar for (phase, _), bar in whole.items() if (phase == "continuous") == min(phases)]
    later = [bar for (phase, _), bar in whole.items() if (phase == "continuous") != min(phases)]
    prices = [row.price for row in first]
    highest, lowest = max(row.high for row in first), min(row.low for row in first)
    prices += [highest] * (highest > first[0].high) + [lowest] * (lowest < first[0].low)
    high = max([*prices] + [bar["high"] for bar in later])
    low = min([*prices] + [bar["low"] for bar in later])
    return (high != max(bar["high"] for bar in told + later)) + (low != min(bar["low"] for bar in told + later))


def days_of(bars):
    """Days of {instrument: {(phase, minute): bar}}: all phases together."""
    days = {}
    for key, minutes in bars.items():
        rows = [minutes[at] for at in sorted(minutes, key=lambda at: at[1])]
        if rows:
            days[key] = {"open": rows[0]["open"], "high": max(row["high"] for row in rows), "low": min(row["low"] for row in rows),
                         "close": rows[-1]["close"], "volume": sum(row["volume"] for row in rows)}
            days[key]["official"] = days[key]["average"] = (days[key]["high"] + days[key]["low"]) // 2
            # a future's day is made of whole contracts
            lots = (1,) if key[0] == "NSECM" else (50, 25, 10, 5, 4, 3, 2, 1)
            days[key]["lot"] = next(lot for lot in lots if days[key]["volume"] % lot == 0)
    expiring = next(day for key, day in days.items() if key[0] == "NSEFO")
    expiring["official"] = 2 * expiring["high"]
    return days


class Made:
    """A session, its lake, and candles beside it."""

    def __init__(self, scenario):
        self.scenario, self.work = scenario, scenario.work
        instruments, until = (40, "10:30") if scenario.long else (12, "09:45")
        prefix = scenario.topic("xts") + "-"
        day = ("--instruments", instruments, "--until", until, "--seed", 7)
        scenario.run("feed", "simulate", "--brokers", scenario.brokers(), "--prefix", prefix, *day, "--truth", self.work / "truth.csv")
        scenario.run("feed", "simulate", "--output", self.work / "frames.txt", *day, "--codes", "1501", "--no-master")
        self.prefix, self.folder = prefix, self.work / "lake"
        iifl.run(scenario, self.folder, prefix + "1501", prefix + "1510", prefix + "master")
        self.frames = iifl.read(self.work / "frames.txt")
        self.touches = touches(self.frames)
        volumes = collections.defaultdict(dict)
        with (self.work / "truth.csv").open() as file:
            for row in csv.DictReader(file):
                at = row["phase"], iifl.seconds(row["open_at"])
                volumes[row["venue"], row["instrument"]][at] = int(row["volume"])
        self.bars = {key: bars_of(rows, volumes[key]) for key, rows in self.touches.items() if key[1] != "26000"}
        self.date = datetime.datetime.fromtimestamp(self.frames[-1][0] / 1e9 + INDIA_S, datetime.timezone.utc).date().isoformat()

    def candles(self, key):
        return {minute: bar for (phase, minute), bar in self.bars[key].items() if phase == "continuous"}

    def file(self, key, name="60", folder="planted"):
        place = self.work / folder
        place.mkdir(exist_ok=True)
        return place / f"{key[0]}_{key[1]}_{name}.json"


def whole(made):
    """Nothing differs, however the times are written; bhavcopies only in the close, which is an average."""
    scenario, keys = made.scenario, sorted(made.bars)
    for name, shift_s in (("start", 0), ("last second", 59), ("end", 60)):
        files = [answer(made.file(key, folder=f"whole-{shift_s}"), made.candles(key), shift_s) for key in keys]
        found = Reconciled(scenario, made.folder, *files)
        minutes = sum(len(made.candles(key)) for key in keys)
        labels = {row["label"] for row in found.files if row["fitting"]}
        scenario.check(found.matches == minutes and not found.differences and labels == {name},
                       f"{found.matches:,} candles of {len(keys)} instruments equal the lake, times found to label the {name}",
                       found.differences[:3] or labels)
    days = days_of(made.bars)
    folder = made.work / "days"
    folder.mkdir()
    text = bhavcopy(days, True, made.date)
    plain, packed, zipped = folder / "udiff.csv", folder / "udiff.csv.gz", folder / "udiff.csv.zip"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "BhavCopy_NSE_CM.csv")
    legacy = folder / "legacy.csv"
    legacy.write_text(bhavcopy(days, False, made.date))
    # the close of a future that expires is outside of its prices: not compared
    averages = sum(day["official"] != day["close"] for day in days.values() if day["official"] <= day["high"])
    unseen = [sampled(made.touches[key], {}) for key in days]
    for path in (plain, packed, zipped):
        found = Reconciled(scenario, made.folder, path)
        # the index has no line in a bhavcopy and no volume in the lake
        wanted = +collections.Counter(closing_price=averages, no_volume=1, between_snapshots=sum(unseen))
        scenario.check(found.reasons == wanted and (found.files[0]["silent"], found.files[0]["elsewhere"]) == (1, 1),
                       f"{path.name}: {len(days)} days differ in nothing but {averages} closes, which are averages, "
                       f"{sum(unseen)} extremes that the first snapshot of a day tells, and the index",
                       (wanted, found.reasons, [row for row in found.differences if row["reason"] not in wanted]))
    shares = sum(key[0] == "NSECM" for key in days)
    found = Reconciled(scenario, made.folder, legacy)
    scenario.check(found.files[0]["candles"] == shares and set(found.reasons) == set(wanted),
                   f"{shares} symbols of the older layout are found by the master's names", (found.files, found.reasons))
    unnamed = made.work / "unnamed"
    scenario.run("run", "iifl", "--source", "file", "--path", made.work / "frames.txt", "--warehouse", unnamed, "--until", "end")
    found = Reconciled(scenario, unnamed, plain, legacy)
    scenario.check(found.files[1]["candles"] == shares and set(found.reasons) == set(wanted),
                   f"without a master by what the other file calls them: {dict(found.reasons)}", (found.files, found.reasons))


def expect(made, what, found, wanted, matches=None):
    """The differences are exactly these: {(minute or date, column): reason}."""
    told = {}
    for row in found.differences:
        at = row["open_at"]
        told[(at if len(at) == 10 else int(datetime.datetime.fromisoformat(at).timestamp()), row["column"])] = row["reason"]
    wrong = {key: (told.get(key), wanted.get(key)) for key in told.keys() | wanted.keys() if told.get(key) != wanted.get(key)}
    counted = matches is None or found.matches == matches
    made.scenario.check(not wrong and counted, f"{what}: {dict(collections.Counter(wanted.values()))}, and {found.matches} bars match",
                        (list(wrong.items())[:4], found.matches, matches))


def planted(made):
    """One fault each, in a file of its own."""
    key = ("NSECM", "101")
    candles, rows = made.candles(key), sorted(made.candles(key))
    at, behind, count = rows[7], rows[8], len(rows)

    def run(what, changed_candles, wanted, matches=None, code=0, **more):
        found = Reconciled(made.scenario, made.folder, answer(made.file(key), changed_candles, **more), code=code)
        expect(made, what, found, wanted, matches)
        return found

    volume = lambda minute, more: candles[minute]["volume"] + more
    moved = changed(changed(candles, at, volume=volume(at, 5)), behind, volume=volume(behind, -5))
    run("five shares moved to the minute before", moved, {(at, "volume"): "edge_volume", (behind, "volume"): "edge_volume"}, count - 2)
    high = next(minute for minute in rows[2:] if candles[minute]["high"] - 5 >= max(candles[minute][name] for name in ("open", "close")))
    run("a high that the broker missed", changed(candles, high, high=candles[high]["high"] - 5), {(high, "high"): "conflated"}, count - 1)
    above = candles[at]["high"] + 5
    run("a high between two snapshots", changed(candles, at, high=above), {(at, "high"): "between_snapshots"}, count - 1)
    (_, auction_at), auction = next((at, bar) for at, bar in made.bars[key].items() if at[0] == "pre_open")
    first = candles[rows[0]]
    with_auction = changed(candles, rows[0], open=auction["close"], high=max(first["high"], auction["close"]),
                           low=min(first["low"], auction["close"]), volume=first["volume"] + auction["volume"])
    wanted = {(rows[0], "volume"): "auction"}
    wanted |= {(rows[0], "open"): "exchange_open"} if auction["close"] != first["open"] else {}
    wanted |= {(rows[0], name): "auction" for name in ("high", "low") if with_auction[rows[0]][name] != first[name]}
    run(f"the auction of {auction['volume']:,} shares in the first candle", with_auction, wanted, count - 1)
    halved = {minute: {**{name: bar[name] / 2 for name in FIELDS[:4]}, "volume": bar["volume"] * 2} for minute, bar in candles.items()}
    halved = {minute: {name: round(value, 1) if name != "volume" else value for name, value in bar.items()} for minute, bar in halved.items()}
    found = Reconciled(made.scenario, made.folder, answer(made.file(key), {m: {n: decimal.Decimal(str(v)) for n, v in b.items()} for m, b in halved.items()}))
    made.scenario.check(found.reasons == {"corporate_action": 5 * count}, f"split in two: {dict(found.reasons)}", found.differences[:2])
    rounded = {minute: {**bar, **{name: bar[name] // 10 * 10 for name in FIELDS[:4]}} for minute, bar in candles.items()}
    odd = sum(bar[name] % 10 != 0 for bar in candles.values() for name in FIELDS[:4])
    found = Reconciled(made.scenario, made.folder, answer(made.file(key), rounded))
    made.scenario.check(odd > 0 and found.reasons == {"rounding": odd}, f"one digit less: {dict(found.reasons)}", found.differences[:2])
    utc = Reconciled(made.scenario, made.folder, answer(made.file(key), candles, -INDIA_S))
    made.scenario.check(set(utc.reasons) == {"zone_offset"} and utc.files[0]["clock"] == "UTC",
                        f"times of UTC: {dict(utc.reasons)}, and the file's clock is found", utc.differences[:2])
    late = dict(candles)
    late[behind] = candles[at]
    found = Reconciled(made.scenario, made.folder, answer(made.file(key), late))
    made.scenario.check(set(found.reasons) == {"label_shift"} and found.matches == count - 1,
                        f"a candle that stands one later: {dict(found.reasons)}", found.differences)
    naive = collections.Counter()
    for row in {(row.updated, row.count, row.price, row.traded, row.quantity) for row in made.touches[key]}:
        naive[row[3] // 60 * 60] += row[4]
    sums = {minute: {**bar, "volume": naive[minute]} for minute, bar in candles.items()}
    found = Reconciled(made.scenario, made.folder, answer(made.file(key), sums), code=None)
    percent = 100 * sum(naive[minute] for minute in rows) / sum(bar["volume"] for bar in candles.values())
    made.scenario.check(set(found.reasons) == {"last_quantities"} and len(found.differences) > count // 2,
                        f"sums of last quantities, {percent:.0f} % of the volume: {dict(found.reasons)}", found.differences[:2])
    end = {**candles, rows[-1] + 7200: {"open": 100, "high": 100, "low": 100, "close": 100, "volume": 9}}
    run("a candle two hours after the lake's end", end, {(rows[-1] + 7200, "not in the lake"): "not_recorded"}, count)
    silent = ("NSECM", "109")
    quiet = made.candles(silent)
    gap = next(minute for minute in range(min(quiet), max(quiet), 60) if minute not in quiet)
    flat = {**quiet, gap: {**dict.fromkeys(FIELDS[:4], 100), "volume": 0}}
    found = Reconciled(made.scenario, made.folder, answer(made.file(silent), flat))
    expect(made, "a minute without a trade", found, {(gap, "not in the lake"): "no_trade"}, len(quiet))
    quarters = {rows[0] + minutes * 60: {**first, "volume": 1} for minutes in (5, 20)}
    found = Reconciled(made.scenario, made.folder, answer(made.file(key, "900"), quarters))
    made.scenario.check(set(found.reasons) == {"anchor"}, f"quarters that begin at 09:20: {dict(found.reasons)}", found.differences)
    return candles, rows


def other_lakes(made):
    """Faults of the lake, not of the file."""
    key = ("NSECM", "101")
    candles, rows = made.candles(key), sorted(made.candles(key))
    scenario = made.scenario
    last = made.work / "last"
    iifl.run(scenario, last, made.prefix + "1512")
    found = Reconciled(scenario, last, answer(made.file(key), candles), code=None)
    volumes = sum(row["column"] == "volume" for row in found.differences)
    scenario.check(found.reasons["no_volume"] == volumes == len(rows) and set(found.reasons) <= {"no_volume", "between_snapshots"}, f"a lake of code 1512 alone: {dict(found.reasons)}", found.differences[:2])
    # received from the middle of a minute on
    begun = rows[5] + 25
    late_frames, late = made.work / "late.txt", made.work / "late"
    with (made.work / "frames.txt").open("rb") as source, late_frames.open("wb") as into:
        into.writelines(raw for raw in source if int(raw.split(b"\t", 1)[0]) / 1e9 >= begun)
    scenario.run("run", "iifl", "--source", "file", "--path", late_frames, "--warehouse", late, "--until", "end")
    found = Reconciled(scenario, late, answer(made.file(key), candles), code=None)
    wanted = {"partial", "not_recorded"}
    scenario.check(set(found.reasons) == wanted and found.matches == len(rows) - 6, f"a lake begun in a minute: {dict(found.reasons)}, {found.matches} match",
                   found.differences[:8])
    corrected(made, key, candles, rows)


def corrected(made, key, candles, rows):
    """Frames of one minute come after the bar was published: the broker's candle is the bar as it was before."""
    scenario, at = made.scenario, rows[9]
    topic, folder = scenario.topic("corrected"), made.work / "corrected"
    kept, held = [], []
    for received_at, origin, payload in made.frames:
        message = json.loads(payload)
        traded = message["Touchline"]["LastTradedTime"] + iifl.TO_UNIX_S
        own = str(message["ExchangeInstrumentID"]) == key[1] and at + 30 <= traded < at + 60
        (held if own else kept).append((0, received_at, origin, payload))
    iifl.put(scenario, topic, kept, 1)
    iifl.run(scenario, folder, topic)
    before = {int(row["open_at"].timestamp()): row for row in lake.Lake(folder).rows("bars_1m") if row["instrument"] == key[1] and row["phase"] == "continuous"}
    row = before[at]
    early = {name: int(row[name] * 100) for name in FIELDS[:4]} | {"volume": int(row["volume"])}
    iifl.put(scenario, topic, held, 1, new=False)
    iifl.run(scenario, folder, topic)
    whole = Reconciled(scenario, folder, answer(made.file(key), candles))
    found = Reconciled(scenario, folder, answer(made.file(key), changed(candles, at, **early)))
    scenario.check(whole.matches == len(rows) and not whole.differences and set(found.reasons) == {"corrected_later"},
                   f"{len(held)} frames came later: the lake equals the candles, and a candle made before differs: {dict(found.reasons)}",
                   (whole.differences[:3], found.differences[:5]))


def refusals(made, candles, rows):
    """Unexplained ends with 1, what cannot be read with 2; nothing vanishes."""
    scenario, key = made.scenario, ("NSECM", "101")
    chance = random.Random(scenario.seed)
    at = chance.choice(rows[1:-1])
    wild = changed(changed(candles, at, volume=candles[at]["volume"] + 1), at, low=1)
    wild[at]["volume"] = candles[at]["volume"] + 1
    found = Reconciled(scenario, made.folder, answer(made.file(key), wild), code=1)
    expect(made, "a low of 0.01 and a share too many (exit 1)", found, {(at, "low"): "unexplained", (at, "volume"): "unexplained"}, len(rows) - 1)
    scenario.check("2 of 2 differences are unexplained" in found.done.stderr and "hint:" in found.done.stderr, "the error counts them", found.done.stderr)
    lost = {minute: bar for minute, bar in candles.items() if minute != at}
    found = Reconciled(scenario, made.folder, answer(made.file(key), lost), code=1)
    expect(made, "a candle lost (exit 1)", found, {(at, "not in the file"): "unexplained"}, len(rows) - 1)
    text = ",".join([line(rows[0], candles[rows[0]]), "junk", line(rows[1], candles[rows[1]]), "1|2|3", line(rows[1], candles[rows[1]])])
    found = Reconciled(scenario, made.folder, answer(made.file(key), {}, text=text))
    scenario.check([row["row"] for row in found.malformed] == [2, 4, 5] and found.matches == 2, "malformed rows and a second candle are listed with their numbers", found.malformed)
    report = made.work / "report.txt"
    scenario.run("reconcile", made.file(key), "--warehouse", made.folder, "--output", report, "--quiet")
    scenario.check("row 2:" in report.read_text() and "2 bars match" in report.read_text(), "`--output` has the whole report", report.read_text())
    unnamed = made.work / "answer.json"
    answer(unnamed, candles)
    done = scenario.run("reconcile", unnamed, "--warehouse", made.folder, "--instrument", "NSECM|101", "--interval", "1m")
    scenario.check(f"{len(rows)} bars match, 0 differences" in done.stdout, "instrument and interval by flags", done.stdout)
    cut = made.work / "NSECM_101_60.json"
    cut.write_text(made.file(key).read_text()[:-20])
    empty = made.work / "empty.csv"
    empty.write_text("SYMBOL,SERIES,OPEN\n")
    for path, options, words in ((unnamed, (), "does not name its instrument"), (cut, (), "line 1, column"), (empty, (), "without"),
                                 (made.work / "none", (), "cannot be read"), (made.file(key), ("--interval", "7m"), "no bars of 7m"),
                                 (made.file(key), ("--epoch", "99999"), "99999"), (made.file(key), ("--zone", "Asia/Nowhere"), "no such time zone")):
        done = scenario.run("reconcile", path, "--warehouse", made.folder, *options, code=2)
        scenario.check(words in done.stderr and "hint:" in done.stderr, f"exit 2: {words}", done.stderr)


def main():
    scenario = Scenario(__doc__)
    made = Made(scenario)
    whole(made)
    candles, rows = planted(made)
    other_lakes(made)
    refusals(made, candles, rows)
    scenario.end()


if __name__ == "__main__":
    main()
