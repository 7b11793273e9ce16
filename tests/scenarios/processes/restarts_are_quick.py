"""From `kill -9` of a process to the next epoch decided, with many live bars, under supervision: median and worst.

Many instruments trade every second into Kafka, so that every second is a live bar until its horizon; then the process is
killed again and again while trades trickle in. The epoch is cut every second here, so that the wait for a cut is not what is
measured; the parent's first wait before a restart is the default one.
"""
# s25_restart: rotating, alone, 60 s

import json
import os
import re
import signal
import threading
import time
import urllib.request

from harness import PORT, Scenario, children, tail, wait_for
from oracle import produce

START_US = 1_767_607_200_000_000  # 2026-01-05 10:00 UTC
METRICS_PORT = PORT + 290
GOAL_S = {"bars": 5.0, "market": 10.0}


def record(instrument, second, sequence):
    return (f'{{"venue":"XTEST","symbol":"I{instrument}","time":{START_US + second * 1_000_000},"sequence":{sequence},'
            f'"price":"{100 + (instrument + second) % 50}.{second % 100:02}","quantity":"{1 + second % 9}"}}').encode()


def fill(scenario, topic, instruments, seconds):
    sink = produce.Sink(scenario.brokers())
    for second in range(seconds):
        for instrument in range(instruments):
            sink.put(topic, record(instrument, second, second + 1), None, instrument % 4)
    sink.flush()
    return instruments * seconds


class Trickle(threading.Thread):
    """A few trades a second, of later and later times, until it is stopped."""

    def __init__(self, scenario, topic, second, sequence):
        super().__init__(daemon=True)
        self.scenario, self.topic, self.second, self.sequence = scenario, topic, second, sequence
        self.over = threading.Event()
        self.start()

    def run(self):
        sink = produce.Sink(self.scenario.brokers())
        while not self.over.wait(0.1):
            self.sequence += 1
            for instrument in range(4):
                # the time stands nearly still: what is live stays live
                sink.put(self.topic, record(instrument, self.second + self.sequence // 600, self.sequence), None, instrument % 4)
            sink.producer.poll(0)


def slots(folder):
    """(generation, kind, decided_at in s, next offsets) of each slot."""
    found = []
    for path in sorted((folder / "log").glob("*.json")):
        try:
            slot = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        places = (slot.get("binding") or {}).get("places", {})
        found.append((slot["generation"], slot["kind"], slot["decided_at"] / 1000, sum(place["offset_next"] for place in places.values())))
    return found


def figures():
    text = urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=10).read().decode()
    wanted = ("ticktide_restore_seconds", "ticktide_restore_bytes", "ticktide_restore_entries", "process_resident_memory_bytes")
    return {name: float(re.search(rf"(?m)^{name} (\S+)", text)[1]) for name in wanted}


def measure(scenario, dataflow, topic, records, live, times):
    folder = scenario.work / dataflow
    more = () if scenario.long else ("--set", "ticks=false") if dataflow == "market" else ()
    child = scenario.start("run", dataflow, "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", folder, "-w", 2, "--supervise",
                           "--restarts", 1000, "--set", "epoch.every=1s", "--metrics", f"127.0.0.1:{METRICS_PORT}", *more)

    def reached():
        found = slots(folder)
        return not child.running() or (found and found[-1][3] >= records)

    wait_for(reached, 900, 0.5)
    if not child.running():
        scenario.give_up(f"{dataflow}: it ended early: {tail(child.finished)}")
    took, restored = [], []
    for _ in range(times):
        generation = slots(folder)[-1][0]
        wait_for(lambda: sum(kind == "data" and found == generation for found, kind, *_ in slots(folder)) >= 2, 60, 0.2)
        victim = children(child.pid)[0]
        killed_at = time.time()
        os.kill(victim, signal.SIGKILL)
        first = wait_for(lambda: next((at for found, kind, at, _ in slots(folder) if found > generation and kind == "data"), None), 120, 0.05)
        if not first:
            scenario.give_up(f"{dataflow}: no epoch within 120 s: {child.read()[1][-2000:]}")
        took.append(first - killed_at)
        restored.append(figures())
    child.signal(signal.SIGTERM)
    scenario.check(child.wait(60).code == 0, f"{dataflow}: then SIGTERM ends it well", tail(child.finished))
    took.sort()
    last = restored[-1]
    seconds = sorted(figure["ticktide_restore_seconds"] for figure in restored)
    text = (f"{dataflow}: restored {last['ticktide_restore_entries']:.0f} entries, "
            f"{last['ticktide_restore_bytes'] / 2**20:.1f} MiB in {seconds[times // 2]:.2f} s (worst {seconds[-1]:.2f} s), "
            f"{last['process_resident_memory_bytes'] / 2**20:.0f} MiB resident")
    scenario.note(text)
    scenario.soon(took[-1], GOAL_S[dataflow], f"{dataflow}: kill to the next epoch decided, {times} times with {live} live bars, median "
                  f"{took[times // 2]:.1f} s, the worst")
    scenario.verify(f"{dataflow}, killed {times} times", dataflow, "--warehouse", folder, "--set", "epoch.every=1s", *more, "-w", 2, timeout_s=1200)
    scenario.check(last["ticktide_restore_entries"] > 0 and last["ticktide_restore_bytes"] > 0, f"{dataflow}: restore seconds, bytes and entries are metrics")


def main():
    scenario = Scenario(__doc__)
    instruments, seconds, times = (2_000, 492, 10) if scenario.long else (500, 120, 3)
    topic = scenario.topic("restart")
    produce.create(scenario.brokers(), topic, 4)
    records = fill(scenario, topic, instruments, seconds)
    live = instruments * (seconds + -(-seconds // 60))
    trickle = Trickle(scenario, topic, seconds, seconds)
    for dataflow in ("bars", "market"):
        measure(scenario, dataflow, topic, records, live, times)
    trickle.over.set()
    trickle.join()
    produce.delete(scenario.brokers(), topic)
    scenario.end()


if __name__ == "__main__":
    main()
