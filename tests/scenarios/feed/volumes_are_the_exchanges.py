"""IIFL's feed, told truthfully: bar volumes from Kafka are the exchange's, whatever happens to the messages on the way.

The simulator writes the true volume of every minute beside its frames. Frames go into topics by `feed simulate` itself, and,
damaged (duplicated, out of order within the grace, lost between two snapshots of a minute), by another producer. Bars are
read by pyiceberg and held against the truth; the sum of last quantities, which a naive pipeline takes for volume, is printed
beside it.
"""
# s30_iifl: always, 60 s

import collections
import csv
import json
import random

from harness import Scenario
from iifl import INDIA_S, TO_UNIX_S, put, read, run, seconds
from oracle import lake, produce

INTERVALS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": None}
GRACE_S = 4.0  # the dataflow's is 5 s, a second is the simulator's own disorder
NINE_FIFTEEN = 9 * 3600 + 15 * 60


class Truth:
    """What was traded by (venue, instrument, phase, minute), and in coarser bars."""

    def __init__(self, path):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        self.minutes = {(row["venue"], row["instrument"], row["phase"], seconds(row["open_at"])): int(row["volume"]) for row in rows}

    def bars(self, width_s):
        """Volumes of bars of a width; bars begin where their phase does. None: a phase is one bar."""
        sums = collections.Counter()
        for (venue, instrument, phase, minute), volume in self.minutes.items():
            midnight = (minute + INDIA_S) // 86_400 * 86_400 - INDIA_S
            start = midnight + (NINE_FIFTEEN if phase == "continuous" else 9 * 3600)
            open_at = start if width_s is None else minute - (minute - start) % width_s
            sums[venue, instrument, phase, open_at] += volume
        return dict(sums)


def volumes(folder, interval):
    """(volume by bar where there is one, number of bars without volume, of partial ones)"""
    rows = lake.Lake(folder).rows(f"bars_{interval}")
    known = {(row["venue"], row["instrument"], row["phase"], int(row["open_at"].timestamp())): int(row["volume"])
             for row in rows if row["volume"] is not None}
    return known, sum(row["volume"] is None for row in rows), sum(row["partial"] for row in rows)


def compare(scenario, what, folder, truth, naive=None):
    for interval, width_s in INTERVALS.items():
        bars, silent, partial = volumes(folder, interval)
        expected = truth.bars(width_s)
        wrong = {bar: (bars.get(bar), expected.get(bar)) for bar in bars.keys() | expected.keys() if bars.get(bar) != expected.get(bar)}
        beside = f"; the sum of last quantities is {naive / sum(expected.values()):.0%} of it" if naive and interval == "1m" else ""
        scenario.check(bars and not wrong and not partial,
                       f"{what}: {len(bars)} bars of {interval} have the true volume, {sum(bars.values()):,} in all, "
                       f"{silent} of the index none{beside}", list(wrong.items())[:5])
    folded = collections.Counter()
    for (venue, instrument, phase, open_at), volume in volumes(folder, "1s")[0].items():
        folded[venue, instrument, phase, open_at - open_at % 60] += volume
    scenario.check(dict(folded) == truth.minutes, f"{what}: bars of 1s add up to the minutes' true volume")


def touchline(payload):
    """(instrument, minute of the last trade, count, last quantity) of a 1501."""
    message = json.loads(payload)
    inner = message["Touchline"]
    minute = (inner["LastTradedTime"] + TO_UNIX_S) // 60
    return (message["ExchangeSegment"], message["ExchangeInstrumentID"]), minute, inner["TotalTradedQuantity"], \
        inner.get("LastTradedQunatity", inner.get("LastTradedQuantity"))


def damage(frames, seed):
    """Duplicates, disorder within the grace, and losses of all but a minute's greatest count."""
    chance = random.Random(seed)
    greatest = {}
    parsed = [touchline(payload) for _, _, payload in frames]
    for key, minute, count, _ in parsed:
        greatest[key, minute] = max(greatest.get((key, minute), -1), count)
    sent, lost, again = [], 0, 0
    kept = set()
    for (received_at, origin, payload), (key, minute, count, _) in zip(frames, parsed):
        needed = greatest[key, minute] == count and (key, minute) not in kept
        if needed:
            kept.add((key, minute))
        elif chance.random() < 0.3:
            lost += 1
            continue
        for copy in range(1 + (chance.random() < 0.2)):
            again += copy
            sent.append((received_at + chance.uniform(0, GRACE_S) * 1e9, received_at, origin, payload))
    sent.sort(key=lambda frame: frame[0])
    return sent, lost, again


def named(scenario, folder):
    """Bars and readings have the symbols of the master, the index has none; `instruments` has every row."""
    listed = {(row["venue"], row["instrument"]): row["symbol"] for row in lake.Lake(folder).rows("instruments")}
    for table in ("bars_1s", "bars_1m", "bars_1d", "indicators_1m"):
        rows = lake.Lake(folder).rows(table)
        wrong = [row for row in rows if row["symbol"] != listed.get((row["venue"], row["instrument"]))]
        scenario.check(rows and not wrong, f"{len(rows)} rows of {table} have their instrument's symbol", wrong[:3])
    odd = [row for row in lake.Lake(folder).rows("anomalies") if row["check"].startswith("off_")]
    futures = sum(symbol.endswith("FUT") for symbol in listed.values())
    scenario.check(not odd and futures > 1, f"{len(listed)} instruments, {futures} futures, no price off its tick or band", odd[:3])


def corrected(scenario, prices, day, truth):
    """The master arrives behind the bars, with a tick size and a band that are wrong for one share; then the right one."""
    lines = scenario.work / "master.txt"
    scenario.run("feed", "simulate", "--output", lines, *day, "--codes", "1507")
    rows = [frame for frame in read(lines) if frame[1] == b"master"]
    topic, folder = scenario.topic("late-master"), scenario.work / "late"
    produce.create(scenario.brokers(), topic, 2)
    sink = produce.Sink(scenario.brokers())

    def tell(seconds_later, change):
        for received_at, origin, payload in rows:
            columns = change(payload.decode().split("|"))
            headers = {"received_at": str(received_at + seconds_later * 10**9).encode(), "origin": origin}
            sink.producer.produce(topic, "|".join(columns).encode(), f"{columns[0]}|{columns[1]}", headers=headers)
        sink.producer.flush()
        run(scenario, folder, prices, topic)
        found = lake.Lake(folder)
        return found, {row["instrument"] for row in found.rows("anomalies") if row["check"].startswith("off_")}

    run(scenario, folder, prices, topic)
    before = lake.Lake(folder).rows("bars_1m")
    scenario.check(before and all(row["symbol"] is None for row in before), f"{len(before)} bars before any master: no symbol")

    def wrong(columns):
        if columns[1] == "101":
            columns[8], columns[9], columns[11] = "1.05", "1", "0.35"
        return [f"OLD{value}" if at == 3 else value for at, value in enumerate(columns)]

    found, odd = tell(2 * 3600, wrong)
    symbols = {row["symbol"] for row in found.rows("bars_1m") if row["instrument"] != "26000"}
    checks = {row["check"] for row in found.rows("anomalies") if row["check"].startswith("off_")}
    scenario.check(all(symbol.startswith(("OLDSIM", "SIM")) for symbol in symbols) and "OLDSIM101" in symbols,
                   f"a master two hours late names every live bar: {len(symbols)} symbols", sorted(map(str, symbols))[:5])
    scenario.check(odd == {"101"} and checks == {"off_tick", "off_band"}, f"its wrong tick size and band are found where they are: {odd}, {checks}")
    found, odd = tell(3 * 3600, lambda columns: columns)
    symbols = {row["symbol"] for row in found.rows("bars_1m") if row["instrument"] != "26000"}
    scenario.check(not any(symbol.startswith("OLD") for symbol in symbols), "the next one renames them", sorted(symbols)[:5])
    scenario.check(odd <= {"101"} and not any(row["check"] == "off_tick" for row in found.rows("anomalies")),
                   f"and takes back what the wrong tick size had found ({len(odd)} keep the day's widest band)")
    history = collections.Counter()
    for row in found.rows("bars_1m_history"):
        history[row["instrument"], row["open_at"], row["symbol"], row["volume"]] += row["diff"]
    live = collections.Counter((row["instrument"], row["open_at"], row["symbol"], row["volume"]) for row in found.rows("bars_1m"))
    scenario.check({key: count for key, count in history.items() if count} == dict(live), "the history adds up to the bars, renamed and all")
    compare(scenario, "behind a master that came late", folder, truth)


def main():
    scenario = Scenario(__doc__)
    instruments, until = (40, "10:30") if scenario.long else (12, "09:45")
    prefix = scenario.topic("xts") + "-"
    day = ("--instruments", instruments, "--until", until, "--seed", 7)

    # straight: our own producer, all codes
    truth_path, recorded = scenario.work / "truth.csv", scenario.work / "frames.txt"
    done = scenario.run("feed", "simulate", "--brokers", scenario.brokers(), "--prefix", prefix, *day, "--truth", truth_path, "--json")
    produced = json.loads(done.stdout)
    truth = Truth(truth_path)
    scenario.note(f"{produced['frames']:,} frames of all codes in {produced['seconds']:.1f} s, {len(truth.minutes)} minutes with trades")
    scenario.run("feed", "simulate", "--output", recorded, *day, "--codes", "1501", "--no-master")
    frames = read(recorded)
    naive = sum(quantity for *_, quantity in (touchline(payload) for _, _, payload in frames))
    straight = scenario.work / "straight"
    run(scenario, straight, prefix + "1501", prefix + "1510", prefix + "master")
    compare(scenario, "as produced", straight, truth, naive)
    interests = [row for row in lake.Lake(straight).rows("bars_1m") if row["venue"] == "NSEFO" and row["open_interest"] is not None]
    scenario.check(len(interests) > 10, f"{len(interests)} minutes of futures have open interest, from 1510's own topic")
    epochs = lake.Lake(straight).rows("epochs")
    told = {name: sum(row[name] for row in epochs) for name in ("records", "accepted", "duplicates", "rejected")}
    scenario.check(told["rejected"] == 0 and told["duplicates"] > 0 and told["records"] == told["accepted"] + told["duplicates"],
                   f"nothing is lost: {told}", lake.Lake(straight).rows("quarantine")[:3])

    named(scenario, straight)
    scenario.verify("holds on it", "iifl", "--warehouse", straight, "-w", 2)

    # a master that comes late, wrong, and again
    corrected(scenario, prefix + "1501", day, truth)

    # every code in one run: notices are counted, depth repeats the touchline
    everything = scenario.work / "everything"
    run(scenario, everything, *[prefix + str(code) for code in (1501, 1502, 1505, 1507, 1510, 1512, 1105)])
    compare(scenario, "all codes", everything, truth)
    ticks = collections.Counter(row["kind"] for row in lake.Lake(everything).rows("ticks"))
    bands = [row for row in lake.Lake(everything).rows("ticks") if row["band_high"] is not None]
    scenario.check(ticks["notice"] > 100 and len(bands) > 100, f"{dict(ticks)} in the archive, {len(bands)} tell price bands")

    # damaged on the way
    for seed in range(5 if scenario.long else 2):
        sent, lost, again = damage(frames, scenario.seed + seed)
        topic = scenario.topic(f"damaged-{seed}")
        put(scenario, topic, sent, 3)
        folder = scenario.work / f"damaged-{seed}"
        run(scenario, folder, topic)
        compare(scenario, f"{lost:,} of {len(frames):,} frames lost, {again:,} twice, all out of order (seed {scenario.seed + seed})", folder, truth)

    # a recorded file: events as the socket sent them, replayed
    wrapped = scenario.work / "wrapped.txt"
    scenario.run("feed", "simulate", "--output", wrapped, *day, "--codes", "1501,1105", "--wrapped")
    scenario.run("feed", "replay", wrapped, "--brokers", scenario.brokers(), "--topic", scenario.topic("replayed"))
    replayed = scenario.work / "replayed"
    run(scenario, replayed, scenario.topic("replayed"))
    compare(scenario, "events replayed from a file", replayed, truth)
    filed = scenario.work / "filed"
    scenario.run("run", "iifl", "--source", "file", "--path", wrapped, "--warehouse", filed, "--until", "end")
    compare(scenario, "the same file, read without Kafka", filed, truth)

    # 1512 alone cannot have a volume, and says so once
    last = scenario.work / "last"
    done = run(scenario, last, prefix + "1512")
    bars, silent, _ = volumes(last, "1m")
    warnings = [line for line in done.stderr.splitlines() if "subscribe to code 1501 or 1502" in line]
    scenario.check(not bars and silent > 50 and len(warnings) == 1, f"1512 alone: {silent} bars, all without volume, and one warning", done.stderr[-1500:])
    scenario.end()


if __name__ == "__main__":
    main()
