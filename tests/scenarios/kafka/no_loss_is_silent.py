"""Kafka's facts of life are handled, or end the run with their name and what to do: nothing is lost in silence.

Topics deleted and made anew, between runs and while one reads; records deleted before they were read, likewise; more
partitions; leaders that move, all brokers away and back; aborted transactions and compaction. Three brokers of its own.
"""
# s22_kafka_life: rotating, 100 s

import json
import shutil
import signal
import time

from brokers import Brokers
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from harness import Scenario, epochs, tail, wait_for
from oracle import lake, produce

START_US = 1_767_607_200_000_000  # 2026-01-05 10:00 UTC
QUICK = ("--set", "epoch.every=300ms", "--set", "ticks=true")
SILENT_S = 8
PROPERTIES = "log.cleaner.backoff.ms=300\nlog.retention.check.interval.ms=500\n"


def trade(number, symbol="ACME"):
    return json.dumps({"venue": "XTEST", "symbol": symbol, "time": START_US + number * 100_000, "sequence": number + 1,
                       "price": f"{100 + number % 50}.5", "quantity": "1"}).encode()


class Life:
    """One broker, topic and lake of a part of the scenario."""

    def __init__(self, scenario, brokers, name, partitions=1, replicas=1, config=None):
        self.scenario, self.bootstrap = scenario, brokers.bootstrap
        self.topic, self.folder = scenario.topic(name), scenario.work / name
        self.replicas, self.config, self.partitions = replicas, config, partitions
        self.admin = AdminClient({"bootstrap.servers": brokers.bootstrap})
        self.create()

    def create(self):
        made = wait_for(self._created, 30, 0.2)  # a topic of this name may still be on its way out
        if not made:
            self.scenario.give_up(f"topic {self.topic} cannot be made")

    def _created(self):
        try:
            produce.create(self.bootstrap, self.topic, self.partitions, self.config, self.replicas)
            return True
        except Exception as error:
            if "already exists" not in str(error) and "TOPIC_ALREADY_EXISTS" not in str(error):
                raise
            return False

    def send(self, numbers, partition=0, symbol="ACME"):
        sink = produce.Sink(self.bootstrap)
        # a partition that was just made is not known to every broker at once
        wait_for(lambda: partition in sink.producer.list_topics(self.topic, 10).topics[self.topic].partitions, 30, 0.1)
        for number in numbers:
            sink.put(self.topic, trade(number, symbol), None, partition)
        sink.flush()

    def delete(self):
        produce.delete(self.bootstrap, self.topic)

    def delete_before(self, offset, partition=0):
        place = TopicPartition(self.topic, partition, offset)
        self.admin.delete_records([place])[place].result(timeout=30)

    def arguments(self, *more):
        return ("run", "bars", "--brokers", self.bootstrap, "--topic", self.topic, "--warehouse", self.folder, *QUICK, *more)

    def run(self, *more, code=0, timeout_s=120):
        return self.scenario.run(*self.arguments("--until", "end", *more), code=code, timeout_s=timeout_s)

    def start(self, *more):
        return self.scenario.start(*self.arguments(*more))

    def lake(self):
        return lake.Lake(self.folder)

    def offsets(self, partition=0):
        """Of the archived ticks."""
        try:
            return sorted(row["offset"] for row in self.lake().rows("ticks") if row["partition"] == partition)
        except Exception:  # no lake or no table yet
            return []

    def has(self, count, partition=0, child=None, timeout_s=60):
        return wait_for(lambda: len(self.offsets(partition)) >= count or (child and not child.running()), timeout_s, 0.2) and \
            len(self.offsets(partition)) >= count

    def gaps(self):
        return sum(row["gaps"] for row in self.lake().rows("epochs"))

    def lost(self):
        return [(row["partition"], row["offset"], row["detail"]) for row in self.lake().rows("quarantine") if row["reason"] == "lost_range"]


def named(scenario, what, done, code, *words):
    text = done.stderr
    scenario.check(done.code == code and all(word in text for word in words) and "hint:" in text,
                   f"{what}: exit code {done.code} with its name and a hint", tail(done))
    for line in text.splitlines():
        if line.startswith(("error:", "hint:")):
            scenario.note(line[:180])


def anew_between_runs(scenario, brokers):
    life = Life(scenario, brokers, "anew")
    life.send(range(100))
    life.run()
    before = epochs(life.folder)
    life.delete()
    life.create()
    life.send(range(1_000, 1_500))  # every offset that the lake wants is there
    named(scenario, "a topic made anew between runs", life.run(code=None), 2, "deleted and recreated", life.topic, "--warehouse")
    scenario.check(life.offsets() == list(range(100)) and epochs(life.folder) <= before + 1, "and nothing of it is in the lake")
    life.delete()


def anew_while_read(scenario, brokers):
    """The worst case: caught up, then made anew with more records than before, while the run does not look."""
    for what, unseen in (("recreated", True), ("recreated", False), ("deleted", False)):
        shown = f"{what}{' unseen' if unseen else ''}"
        life = Life(scenario, brokers, "living-" + shown.replace(" ", "-"))
        life.send(range(100))
        child = life.start()
        if not life.has(100, child=child):
            scenario.give_up(f"{shown}: the first records did not arrive: {child.read()[1][-2000:]}")
        if unseen:
            child.signal(signal.SIGSTOP)
        life.delete()
        if what == "recreated":
            life.create()
            life.send(range(1_000, 1_500))
        child.signal(signal.SIGCONT)
        done = child.wait(90)
        named(scenario, f"a topic {shown} while it is read", done, 2, what, life.topic)
        scenario.check(life.offsets() == list(range(100)), f"{shown}: the lake has the 100 records of the old topic and no other", life.offsets()[-3:])
        if what == "recreated":
            life.delete()


def retention(scenario, brokers):
    life = Life(scenario, brokers, "retention")
    life.send(range(100))
    life.run()
    life.send(range(100, 300))
    life.delete_before(150)
    done = life.run()
    lost, offsets = life.lost(), life.offsets()
    scenario.check(done.code == 0 and lost == [(0, 100, "offsets 100 to 149 (50) were deleted before they were read")] and life.gaps() == 50,
                   f"records deleted between runs: {lost}, {life.gaps()} gaps in the balance", tail(done))
    scenario.check(offsets == [*range(100), *range(150, 300)], f"and the run goes on behind them: {len(offsets)} ticks", offsets[95:105])
    counts = [(row["records"], row["accepted"] + row["duplicates"] + row["rejected"] + row["pending"]) for row in life.lake().rows("epochs")]
    scenario.check(all(left == right for left, right in counts), f"every epoch balances: {sum(left for left, _ in counts)} records")
    # overtaken while it reads: stopped, and its place deleted meanwhile
    child = life.start()
    wait_for(lambda: epochs(life.folder) and "lake taken over" in child.read()[1], 30)
    life.send(range(300, 310))
    if not life.has(260, child=child):
        scenario.give_up(f"retention: {child.read()[1][-2000:]}")
    child.signal(signal.SIGSTOP)
    life.send(range(310, 400))
    life.delete_before(360)
    child.signal(signal.SIGCONT)
    arrived = life.has(260 + 40, child=child)
    child.signal(signal.SIGTERM)
    done = child.wait(60)
    lost = life.lost()
    # what was fetched before the stop is read, the rest is lost: together they are all
    read = set(life.offsets())
    told = {offset for _, first, detail in lost for offset in range(first, int(detail.split()[3]) + 1)}
    scenario.check(done.code == 0 and arrived and read | told == set(range(400)) and not read & told,
                   f"records deleted while it reads: each offset is a tick or told as lost: {len(read)} + {len(told)}", (tail(done), lost))
    life.delete()


def grown(scenario, brokers):
    life = Life(scenario, brokers, "grown", partitions=2)
    for partition in range(2):
        life.send(range(50), partition, f"P{partition}")
    child = life.start()
    life.has(50, 1, child)
    life.admin.create_partitions([NewPartitions(life.topic, 4)])[life.topic].result(timeout=30)
    for partition in (2, 3):
        life.send(range(50), partition, f"P{partition}")
    done = child.wait(60)
    named(scenario, "more partitions", done, 1, "has 4 partitions now, this run reads 2", "--supervise")
    child = life.start("--supervise", "--backoff", "200ms")
    first = life.has(50, 3, child)
    life.admin.create_partitions([NewPartitions(life.topic, 5)])[life.topic].result(timeout=30)
    life.send(range(50), 4, "P4")
    second = life.has(50, 4, child)
    child.signal(signal.SIGTERM)
    done = child.wait(60)
    counts = [len(life.offsets(partition)) for partition in range(5)]
    scenario.check(first and second and done.code == 0 and counts == [50] * 5 and done.stderr.count("started again") == 1,
                   f"a supervised run starts itself again and reads them: {counts} ticks by partition", tail(done))
    life.delete()


def moved(scenario, brokers):
    """The leader of a partition dies while it is read, comes back; then all brokers go away and come back."""
    life = Life(scenario, brokers, "moved", partitions=3, replicas=3)
    child, sent = life.start(), 0

    def send_some():
        nonlocal sent
        for partition in range(3):
            life.send(range(sent, sent + 200), partition, f"P{partition}")
        sent += 200

    send_some()
    life.has(sent, 0, child)
    for victim in range(3 if scenario.long else 1):
        brokers.kill(victim)
        send_some()
        arrived = all(life.has(sent, partition, child) for partition in range(3))
        scenario.check(arrived and child.running(), f"broker {victim} is killed: its partitions' new leaders are read, {3 * sent} ticks", child.read()[1][-1500:])
        brokers.start(victim)
    for index in range(3):
        brokers.signal(index, signal.SIGSTOP)
    time.sleep(SILENT_S)
    waits = child.running()
    for index in range(3):
        brokers.signal(index, signal.SIGCONT)
    send_some()
    arrived = all(life.has(sent, partition, child, 120) for partition in range(3))
    scenario.check(waits and arrived, f"all brokers are silent for {SILENT_S} s: the run waits and goes on, {3 * sent} ticks", child.read()[1][-1500:])
    child.signal(signal.SIGTERM)
    done = child.wait(60)
    scenario.check(done.code == 0 and all(life.offsets(partition) == list(range(sent)) for partition in range(3)), "each record is there once", tail(done))
    # a known lake waits for its brokers (1: try again), a new one has a wrong address (2: mend it)
    for index in range(3):
        brokers.signal(index, signal.SIGSTOP)
    known = life.start("--until", "end")
    life.folder = scenario.work / "moved-new"
    new = life.start("--until", "end").wait(60)
    life.folder = scenario.work / "moved"
    done = known.wait(60)
    for index in range(3):
        brokers.signal(index, signal.SIGCONT)
    scenario.check(new.code == 2 and not (scenario.work / "moved-new" / "log").exists(), f"a new lake whose brokers do not answer ends with {new.code}", tail(new))
    scenario.check(done.code == 1 and "hint:" in done.stderr, f"a lake that has read from these brokers ends with {done.code} while they are away: try again",
                   tail(done))
    brokers_back = wait_for(lambda: life.run(code=None).code == 0, 90, 1)
    scenario.check(brokers_back, "and goes on once they are back")
    life.delete()


def gaps(scenario, brokers):
    """Aborted and committed transactions, then compaction: offsets without a record are gaps."""
    life = Life(scenario, brokers, "transactions")
    producer = Producer({"bootstrap.servers": life.bootstrap, "transactional.id": life.topic})
    producer.init_transactions(30)
    expected, offset = [], 0
    for number in range(6):
        producer.begin_transaction()
        for _ in range(50):
            producer.produce(life.topic, trade(offset), partition=0)
            if number % 2 == 0:
                expected.append(offset)
            offset += 1
        producer.flush(30)
        producer.commit_transaction(30) if number % 2 == 0 else producer.abort_transaction(30)
        offset += 1  # the marker
    done = life.run()
    scenario.check(done.code == 0 and life.offsets() == expected and life.gaps() == offset - len(expected),
                   f"transactions: {len(expected)} ticks, {life.gaps()} gaps of aborted records and markers", tail(done))
    life.delete()
    life = Life(scenario, brokers, "compacted", config={"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
                                                        "delete.retention.ms": "100", "min.compaction.lag.ms": "0"})
    sink = produce.Sink(life.bootstrap)
    for number in range(300):
        sink.put(life.topic, trade(number), f"key{number % 30}".encode(), 0)
        if number % 50 == 49:
            sink.flush()
            time.sleep(0.3)  # a segment of its own
    sink.put(life.topic, trade(300), b"last", 0)
    sink.flush()

    def compacted():
        probe = scenario.work / "probe"
        scenario.run("run", "bars", "--brokers", life.bootstrap, "--topic", life.topic, "--warehouse", probe, *QUICK, "--until", "end")
        count = len(lake.Lake(probe).rows("ticks"))
        shutil.rmtree(probe)
        return count < 150

    cleaned = wait_for(compacted, 40, 1)
    done = life.run()
    ticks = life.offsets()
    scenario.check(cleaned and done.code == 0 and len(ticks) + life.gaps() == 301 and 300 in ticks,
                   f"compaction: {len(ticks)} ticks and {life.gaps()} gaps are the 301 offsets", tail(done))
    life.delete()


def main():
    scenario = Scenario(__doc__)
    brokers = Brokers(scenario, 3, PROPERTIES)
    for part in (anew_between_runs, anew_while_read, retention, grown, gaps, moved):
        part(scenario, brokers)
    scenario.end()


if __name__ == "__main__":
    main()
