"""Whatever is killed or stopped at random, the lake is that of an undisturbed run: ticktide's processes, their parent, a broker.

Three brokers (`acks=all`), an S3 that checks signatures, a Glue that refuses stale versions, ticktide under supervision with 2,
then 3 processes, then 1: while late, cancelled and corrected trades are produced, processes get SIGKILL or SIGSTOP and a broker
dies and comes back. Judged by pyiceberg, DuckDB and Trino (which is skipped where it cannot be had). The seed is printed;
`--seed` replays the order of what is done to whom.
"""
# s24_chaos: rotating, 120 s

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

from brokers import Brokers
from buckets import Store, compare
from catalogs import Catalog, trino
from harness import Scenario, tail, wait_for
from oracle import disorder, glue, lake, produce

PARTITIONS = 4
# nothing in the tape is later than these tables' horizons, so their rows do not depend on the cuts
SETTINGS = ("--set", 'bars=[{use="time",every="1m"},{use="time",every="5m"}]',
            "--set", 'indicators=[{use="ema",period=20,on="1m"},{use="rsi",period=14,on="1m"}]',
            "--set", "source.corrections=true", "--set", "ticks=true", "--set", "epoch.every=500ms")
SUPERVISED = ("--supervise", "--silence", "5s", "--hang-after", "6s", "--start-within", "20s", "--restarts", 1000,
              "--backoff", "200ms", "--backoff-max", "2s")
# what runs, and how often it is struck: 2, 3 and 1 processes
PHASES = (("-n", 2), ("-n", 3), ("-w", 1))
HEALED_WITHIN_S = 120
TRICKLE_S = 900
# strikes of processes in each phase of a long run, those of brokers come on top
OWN_LEAST = 11


class Producer(threading.Thread):
    """Sends nine tenths of the tape in so many seconds and trickles the rest, so that production outlasts the strikes; what is
    left at once when told to hurry. A symbol's records all go to one partition."""

    def __init__(self, brokers, topic, path, seconds):
        super().__init__(daemon=True)
        self.brokers, self.topic, self.path, self.seconds = brokers, topic, path, seconds
        self.sent, self.failure, self.hurry = 0, None, threading.Event()
        self.start()

    def due_s(self, share):
        """When this share of the tape is to be sent, from the beginning on."""
        return self.seconds * min(share, 0.9) / 0.9 + TRICKLE_S * max(0.0, share - 0.9) / 0.1

    def run(self):
        try:
            records = self.path.read_bytes().splitlines()
            place = {symbol.encode(): number % PARTITIONS for number, symbol in enumerate(disorder.SYMBOLS)}
            sink, begun = produce.Sink(self.brokers), time.monotonic()
            symbol_of = re.compile(rb'"symbol":"([A-Z]+)"')
            for number, record in enumerate(records):
                if number % 100 == 0:
                    sink.producer.poll(0)
                    self.hurry.wait(max(0.0, begun + self.due_s(number / len(records)) - time.monotonic()))
                sink.put(self.topic, record, None, place[symbol_of.search(record)[1]])
                self.sent = sink.sent
            sink.flush()
        except Exception as error:  # told by the scenario
            self.failure = error


class Lake:
    """What the log says, read from the S3's own folder."""

    def __init__(self, store, prefix):
        self.log = store.folder / "market" / prefix / "log"
        self.read = {}

    def slots(self):
        for path in sorted(self.log.glob("*.json")):
            if path.name not in self.read:
                try:
                    slot = json.loads(path.read_bytes())
                except (OSError, ValueError):
                    continue  # half written
                places = (slot.get("binding") or {}).get("places", {})
                self.read[path.name] = (slot["kind"].lower(), slot["generation"], sum(place["offset_next"] for place in places.values()))
        return list(self.read.values())

    def data_epochs(self):
        return sum(kind == "data" for kind, _, _ in self.slots())

    def generations(self):
        return len({generation for _, generation, _ in self.slots()})

    def reached(self):
        return max((offsets for _, _, offsets in self.slots()), default=0)


def processes(parent):
    """Below a parent, by index."""
    try:
        pids = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(pid) for pid in pids if "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]]
    except OSError:
        return []


class Chaos:
    def __init__(self, scenario, brokers, store, prefix, arguments):
        self.scenario, self.brokers, self.arguments = scenario, brokers, arguments
        self.lake, self.random = Lake(store, prefix), random.Random(scenario.seed)
        self.parent, self.done, self.healed_s = None, [], []
        self.returning = []  # threads that bring brokers back

    def strike(self, what):
        """One blow; what it was, or None if there was nobody to hit."""
        if what.startswith("broker"):
            index = self.random.randrange(3)
            for thread in self.returning:  # never two at once: with two of three gone nothing is acknowledged
                thread.join()
            number = signal.SIGKILL if what == "broker killed" else signal.SIGSTOP
            self.brokers.signal(index, number)
            self.returning = [threading.Thread(target=self.bring_back, args=(index, number, self.random.uniform(3, 7)), daemon=True)]
            self.returning[0].start()
            return f"{what} ({index})"
        if what == "parent killed":
            self.parent.signal(signal.SIGKILL)
            self.parent.wait(10)
            self.start()
            return what
        below = wait_for(lambda: processes(self.parent.pid), 10, 0.05)
        if not below:
            return None
        index = self.random.randrange(len(below))
        try:
            os.kill(below[index], signal.SIGKILL if what == "killed" else signal.SIGSTOP)
        except ProcessLookupError:
            return None
        return f"{what} ({index} of {len(below)})"

    def bring_back(self, index, number, after_s):
        time.sleep(after_s)
        if number == signal.SIGKILL:
            self.brokers.start(index)
        else:
            self.brokers.signal(index, signal.SIGCONT)

    def start(self):
        self.parent = self.scenario.start(*self.arguments, *self.shape, *SUPERVISED)

    def healthy(self, more=1):
        """Waits until epochs are decided again; seconds it took, or None."""
        begun, epochs = time.monotonic(), self.lake.data_epochs()
        seen = wait_for(lambda: self.lake.data_epochs() >= epochs + more or not self.parent.running(), HEALED_WITHIN_S, 0.02)
        if not self.parent.running():
            self.scenario.give_up(f"the parent has ended with {self.parent.finished.code}:\n{tail(self.parent.finished, 40)}")
        return time.monotonic() - begun if seen else None

    def phase(self, shape, plan):
        """Runs one shape, strikes as planned, and ends it well."""
        self.shape = shape
        self.start()
        if self.healthy() is None:
            self.scenario.give_up(f"{shape}: no epoch within {HEALED_WITHIN_S} s:\n{self.parent.read()[1][-3000:]}")
        for what in plan:
            time.sleep(self.random.uniform(0.2, 2.5))
            struck = self.strike(what)
            if struck is None:
                continue
            self.done.append(struck)
            # one in four falls into what the one before has left behind
            if self.random.random() < 0.75:
                took = self.healthy()
                if took is None:
                    self.scenario.give_up(f"{struck}: no epoch within {HEALED_WITHIN_S} s:\n{self.parent.read()[1][-3000:]}")
                self.healed_s.append((took, struck))
        if self.healthy() is None:
            self.scenario.give_up(f"{shape}: no epoch within {HEALED_WITHIN_S} s:\n{self.parent.read()[1][-3000:]}")

    def end_phase(self):
        self.parent.signal(signal.SIGTERM)
        done = self.parent.wait(60)
        log = self.scenario.work / f"parent{'-'.join(map(str, self.shape))}.log"
        log.write_text(done.stderr)
        # on a machine that is short of everything a process may lose another while both end: told, and nothing is lost
        self.scenario.check(done.code in (0, 4), f"{' '.join(map(str, self.shape))}: SIGTERM ends it with {done.code}", tail(done, 30))
        panics = done.stderr.count("panicked")
        self.scenario.check(panics == 0 and "met a bug" not in done.stderr, "no process has panicked", done.stderr[-3000:])


def own(strikes):
    """Those of processes."""
    return [what for what in strikes if not what.startswith("broker")]


def plans(scenario, draw):
    """What is done in each phase: every kind at least once."""
    must = [["killed", "stopped", "broker killed"], ["killed", "stopped", "parent killed"], ["killed", "stopped"]]
    kinds = ["killed"] * 5 + ["stopped"] * 3 + ["broker killed", "broker stopped", "parent killed"]
    for plan in must:
        while scenario.long and len(own(plan)) < OWN_LEAST:
            plan.append(draw.choice(kinds))
        draw.shuffle(plan)
    return must


def agreed(scenario, found, bucket, engine):
    """Count, sum and distinct keys of the lake's tables by DuckDB and by Trino."""
    connection, told = lake.connect(bucket), {}
    for name, summed, key in (("bars_1m", "volume", "instrument, phase, open_at"), ("bars_5m", "volume", "instrument, phase, open_at"),
                              ("ticks", "quantity", 'topic, "partition", "offset"')):
        found.view(connection, name, reader="duckdb")
        sql = f"SELECT count(*) AS n, sum({summed}) AS s, (SELECT count(*) FROM (SELECT DISTINCT {key} FROM {name})) AS k FROM {name}"
        told[name] = [tuple(row) for row in (connection.execute(sql).fetchone(), engine.rows(sql)[0].values())]
    scenario.check(all(one == other and one[0] == one[2] > 0 for one, other in told.values()),
                   f"DuckDB and Trino agree on count, sum and distinct keys: { {name: tuple(map(str, one)) for name, (one, _) in told.items()} }", told)


def main():
    scenario = Scenario(__doc__)
    scenario.note(f"seed {scenario.seed}")
    draw = random.Random(scenario.seed)
    trades, seconds = (1_800_000, 300) if scenario.long else (60_000, 40)
    tape = scenario.work / "tape.jsonl"
    # in a process of its own, which gives the memory of millions of records back
    subprocess.run([sys.executable, disorder.__file__, tape, "--trades", str(trades), "--seed", str(scenario.seed % 1000)],
                   check=True, stdout=subprocess.DEVNULL)
    total = sum(1 for _ in tape.open("rb"))
    brokers = Brokers(scenario, 3)
    store = Store(scenario)
    bucket = lake.Bucket(store.address, *store.child.read()[0].split()[-2:])
    catalog = Catalog(scenario)
    scenario.environment = {**bucket.environment(), "AWS_ENDPOINT_URL_GLUE": f"http://{catalog.address}"}
    topic = scenario.topic("ticks")
    produce.create(brokers.bootstrap, topic, PARTITIONS, replicas=3)
    source = ("--brokers", brokers.bootstrap, "--topic", topic)
    place = ("--warehouse", "s3://market/chaos", "--catalog", f"glue://{bucket.region}/chaos")
    arguments = ("run", "bars", *source, *place, *SETTINGS)

    begun = time.monotonic()
    producer = Producer(brokers.bootstrap, topic, tape, seconds)
    chaos = Chaos(scenario, brokers, store, "chaos", arguments)
    for shape, plan in zip(PHASES, plans(scenario, draw)):
        chaos.phase(shape, plan)
        last = shape == PHASES[-1]
        if last:
            scenario.note(f"{producer.sent} of {total} records were produced during the strikes")
            producer.hurry.set()
            reached = wait_for(lambda: not producer.is_alive() or not chaos.parent.running(), seconds + 300, 0.5)
            scenario.check(reached and not producer.failure, f"{producer.sent} records were produced meanwhile", producer.failure)
        chaos.end_phase()
    for thread in chaos.returning:
        thread.join()
    for what in chaos.done:
        scenario.note(what)
    struck, least = len(own(chaos.done)), 30 if scenario.long else 5
    scenario.check(struck >= least, f"{struck} times a process was killed or stopped, {len(chaos.done) - struck} times a broker "
                   f"(seed {scenario.seed})")
    took = sorted(chaos.healed_s)
    scenario.note(f"from the blow to the next epoch: median {took[len(took) // 2][0]:.1f} s, worst {took[-1][0]:.1f} s after {took[-1][1]}")
    scenario.note(f"{chaos.lake.data_epochs()} epochs of {chaos.lake.generations()} generations in {time.monotonic() - begun:.0f} s")
    scenario.run(*arguments, "--until", "end", timeout_s=600)
    scenario.check(chaos.lake.reached() == total, f"the lake has reached the end of the topic: {chaos.lake.reached()} of {total} records")

    undisturbed = scenario.work / "undisturbed"
    scenario.run("run", "bars", *source, "--warehouse", undisturbed, *SETTINGS, "--until", "end", "-w", 2, timeout_s=1200)
    other = glue.lake_of(glue.Glue(catalog.address, catalog.access_key, bucket.region), "chaos", bucket)
    engine = trino(scenario, catalog, bucket, "chaos")()  # not before: the machine was busy
    one = lake.Lake(undisturbed)
    compare(scenario, "after all that", one, other, bucket)
    if engine:
        agreed(scenario, other, bucket, engine)
    scenario.verify("holds after all that", *place, *SETTINGS, "-w", 2, timeout_s=1200)
    sums = [{name: sum(row[name] for row in each.rows("epochs")) for name in ("records", "accepted", "duplicates", "rejected", "gaps")}
            for each in (one, other)]
    scenario.check(sums[0] == sums[1] and sums[1]["records"] == total, f"each record went one way, once: {sums[1]}", sums)
    scenario.end()


if __name__ == "__main__":
    main()
