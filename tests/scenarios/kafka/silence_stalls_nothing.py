"""Silent and empty partitions, uneven reading, a wild time, a blocked catalog, the smallest caps: nothing stalls or is lost."""
# s6_idle: rotating, 125 s

import json
import sqlite3
import time

from harness import Scenario, Watch, epochs, mib, tail, wait_for
from oracle import bars, generate, lake, produce

# the one that was under way, one that ends behind the grace, and one that was decided late
EPOCHS_MOST = 3
HANG_S = 120
BLOCKED_S, GROWTH_BYTES = 60, 64 * 2**20
START_US = 1_767_607_200_000_000  # 2026-01-05 10:00 UTC


def trade(symbol, moment_us, sequence, cents=10_000):
    return {"venue": "XTEST", "symbol": symbol, "time": moment_us, "sequence": sequence, "price": f"{cents // 100}.{cents % 100:02}",
            "quantity": "1"}


def encode(record):
    return json.dumps(record, separators=(",", ":")).encode()


def equals_oracle(scenario, folder, records, what, interval="1m"):
    path = scenario.work / "oracle.jsonl"
    path.write_bytes(b"".join(encode(record) + b"\n" for record in records))
    connection = lake.connect()
    bars.load(connection, [path])
    bars.bars(connection, interval, "oracle")
    same, more, less = lake.bars_against(connection, lake.Lake(folder), f"bars_{interval}", "oracle")
    scenario.check(not more and not less, f"{what}: {same} bars_{interval} equal the recomputation", (more[:2], less[:2]))


def silent_and_empty(scenario):
    """Two live partitions, one that fell silent, one that never had a record; then the feed stops."""
    topic, folder = scenario.topic("silent"), scenario.work / "silent"
    produce.create(scenario.brokers(), topic, 4)
    sink, sent = produce.Sink(scenario.brokers()), []

    def send(partition, symbol):
        record = trade(symbol, time.time_ns() // 1000, len(sent) + 1, 10_000 + len(sent) % 100)
        sent.append(record)
        sink.put(topic, encode(record), None, partition)

    for _ in range(5):
        send(2, "SILENT")
    sink.flush()
    child = scenario.start("run", "bars", "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", folder, "-w", 2)
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline:
        send(len(sent) % 2, f"LIVE{len(sent) % 2}")
        sink.producer.poll(0.05)
    sink.flush()
    stopped, last_us = time.monotonic(), sent[-1]["time"]

    def published():
        if not child.running():
            return None
        try:
            rows = lake.Lake(folder).rows("bars_1s")
        except Exception:  # the first epoch is not there yet
            return None
        return min((row["epoch"] for row in rows if row["open_at"].timestamp() * 1e6 + 1e6 > last_us), default=None)

    seen = wait_for(published, HANG_S, 0.2)
    took = time.monotonic() - stopped
    child.signal(15)
    done = child.wait(60)
    scenario.check(done.code == 0, f"SIGTERM ends the epoch and the process with 0 ({done.code})", tail(done))
    decided = [row["epoch"] for row in lake.Lake(folder).rows("epochs") if row["decided_at"].timestamp() * 1e6 > last_us]
    needed = [epoch for epoch in decided if seen and epoch <= seen]
    scenario.check(seen and 1 <= len(needed) <= EPOCHS_MOST, f"with a silent and an empty partition the last second's bar was published by "
                   f"epoch {len(needed)} after the last tick (at most {EPOCHS_MOST}), {took:.1f} s behind it", (seen, decided))
    scenario.run("run", "bars", "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", folder, "--until", "end")
    equals_oracle(scenario, folder, sent, "stopped and continued", "1s")
    produce.delete(scenario.brokers(), topic)


def uneven(scenario):
    """Five hours in four partitions of very different size: catching up makes no tick late."""
    topic, folder = scenario.topic("uneven"), scenario.work / "uneven"
    produce.create(scenario.brokers(), topic, 4)
    sink, records = produce.Sink(scenario.brokers()), []
    for partition, count in enumerate((400_000, 40_000, 4_000, 40)):
        step = 5 * 3_600_000_000 // count
        for number in range(count):
            record = trade(f"PART{partition}", START_US + number * step, number + 1, 10_000 + number % 500)
            records.append(record)
            sink.put(topic, encode(record), None, partition)
    sink.flush()
    done = scenario.run("run", "bars", "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", folder, "--until", "end",
                        "-w", 2, "--set", "epoch.records=20000")
    produce.delete(scenario.brokers(), topic)
    rejected = lake.Lake(folder).rows("quarantine")
    scenario.check(not rejected, f"{len(records)} ticks of partitions of 400,000 to 40 records: none too late ({done.wall_s:.1f} s)",
                   [(row["reason"], row["detail"]) for row in rejected[:3]])
    equals_oracle(scenario, folder, records, "uneven partitions")


def wild_time(scenario):
    """A tick of 2099: only it goes to quarantine, by file and by Kafka, there even as the very first record."""
    bad = trade("WILD", 4_070_908_800_000_000, 9_999_991)
    good = [trade(f"GOOD{number % 3}", START_US + number * 100_000, number + 1, 10_000 + number % 300) for number in range(20_000)]
    for source, place in (("file", 9_000), ("kafka", 9_000), ("kafka", 0)):
        what, folder = f"a tick of 2099 as record {place} by {source}", scenario.work / f"wild-{source}-{place}"
        path, topic = scenario.work / "wild.jsonl", scenario.topic(f"wild{place}")
        path.write_bytes(b"".join(encode(record) + b"\n" for record in (*good[:place], bad, *good[place:])))
        if source == "file":
            scenario.run_bars(path, folder, "-w", 2, "--set", "epoch.records=2000")
        else:
            produce.create(scenario.brokers(), topic, 1)
            produce.send_file(scenario.brokers(), topic, path)
            scenario.run("run", "bars", "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", folder, "--until", "end",
                         "-w", 2, "--set", "epoch.records=2000")
            produce.delete(scenario.brokers(), topic)
        rows = lake.Lake(folder).rows("quarantine")
        scenario.check([bytes(row["payload"] or b"") for row in rows] == [encode(bad)], f"{what}: nothing but it in quarantine "
                       f"({[row['reason'] for row in rows]})", [(row["offset"], row["reason"]) for row in rows[:3]])
        equals_oracle(scenario, folder, good, f"beside {what}")


def blocked(scenario):
    """Somebody holds the catalog's write lock for a minute while the input is far from its end."""
    paths, folder = generate.write(scenario.work / "session", 3_000_000, 6), scenario.work / "blocked"
    fields = "source.fields={ " + ", ".join(f'{ours} = "{theirs}"' for ours, theirs in generate.FIELDS.items()) + " }"
    child = scenario.start("run", "bars", "--source", "file", "--path", paths[0].parent, "--warehouse", folder, "--until", "end",
                           "-w", 2, "--set", "session=nse", "--set", fields, "--set", "epoch.records=50000")
    if not wait_for(lambda: epochs(folder) >= 4 or not child.running(), 60) or not child.running():
        scenario.give_up(f"no four epochs before the end:\n{tail(child.wait(1))}")
    lock = sqlite3.connect(folder / "catalog.db", timeout=30, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    before, watch = child.rss_bytes(), Watch(child)
    blocked_at = time.monotonic()
    while time.monotonic() - blocked_at < BLOCKED_S and child.running():
        time.sleep(0.2)
    alive = child.running()
    samples = [rss for _, rss in watch.stop()]
    lock.execute("ROLLBACK")
    lock.close()
    epochs_then = epochs(folder)
    growth = max(samples, default=0) - before
    scenario.check(alive, f"it waits while the catalog is blocked for {BLOCKED_S} s", "" if alive else tail(child.wait(1)))
    grown = f"memory grew by {mib(growth)} while the catalog was blocked ({mib(before)} before, goal: at most {mib(GROWTH_BYTES)} more)"
    scenario.goal(growth, GROWTH_BYTES, grown)
    done = child.wait(240)
    scenario.check(done.code == 0 and epochs(folder) > epochs_then, f"then it goes on: {epochs(folder)} epochs, exit code {done.code}", tail(done))
    connection = lake.connect()
    bars.load(connection, paths, generate.FIELDS, plain=True)
    bars.bars(connection, "1m", "oracle")
    same, more, less = lake.bars_against(connection, lake.Lake(folder), "bars_1m", "oracle")
    scenario.check(not more and not less, f"{same} bars_1m after the blockade equal the recomputation", (more[:2], less[:2]))


def smallest_caps(scenario):
    """One step, one epoch, one KiB: slow, but it ends."""
    path, folder = scenario.work / "caps.jsonl", scenario.work / "caps"
    good = [trade(f"CAP{number % 7}", START_US + number * 50_000, number + 1, 10_000 + number % 300) for number in range(5_000)]
    path.write_bytes(b"".join(encode(record) + b"\n" for record in good))
    for workers in (1, 2):
        done = scenario.run_bars(path, f"{folder}-{workers}", "-w", workers, "--set", "limits.steps=1", "--set", "limits.epochs=1",
                                 "--set", 'limits.bytes="1KiB"', timeout_s=180)
        scenario.note(f"caps of 1 step, 1 epoch, 1 KiB, -w {workers}: {done.wall_s:.1f} s, {epochs(f'{folder}-{workers}')} epochs")
        equals_oracle(scenario, f"{folder}-{workers}", good, f"smallest caps, -w {workers}")


def main():
    scenario = Scenario(__doc__)
    for part in (smallest_caps, wild_time, uneven, silent_and_empty, blocked):
        part(scenario)
    scenario.end()


if __name__ == "__main__":
    main()
