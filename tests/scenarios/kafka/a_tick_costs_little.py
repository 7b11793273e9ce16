"""End to end on a real broker: 5 million JSON trades to committed minute bars with two workers, start-up included.

Measured is ticktide's own process: CPU microseconds a tick (user and system), its greatest resident memory, and how long it
takes: partitions that wait for each other cost no CPU. The bars must all be DuckDB's. Thresholds: 2 µs a tick, 600 MiB; the
goal of 10 s is printed and limits nothing.
On a machine that does other work the CPU figure grows by cache misses; TICKTIDE_BENCH_SLACK=1.5 loosens it for such a machine.
A machine whose cores are slow for the hour is known by a thing of others: what Python's own JSON reader, written in C, takes for
such a record. The daily limit of CPU grows so far that ticktide may take three quarters of that for the whole way.
The long run reads the same records with `market` (the archive of ticks, six intervals, all indicators and checks), too, and
says which threads its CPU went to.
"""
# s7_bench: rotating, alone, 75 s

import collections
import itertools
import json
import os
import statistics
import time

from harness import Scenario, mib, tail
from oracle import bars, generate, lake, produce

TRADES = 5_000_000
CPU_US, RSS_BYTES, WALL_S = 2.0, 600 * 2**20, 10
OF_PYTHONS_JSON = 0.75
# the beginnings of threads' names, and what they do
STAGES = {"timely": "workers", "tokio": "files and commits", "rdk:": "librdkafka", "reader": "decoding"}
FIELDS = '{ symbol = "symbol", venue = "exchange", time = "ts", sequence = "seq", price = "price", quantity = "qty" }'
DATAFLOW = f"""\
source = {{ use = "kafka", topics = ["replaced"], wire = "json", sequence = "trusted", fields = {FIELDS} }}
session = "nse"
bars = [{{ use = "time", every = "1m" }}]
"""


def market(scenario, topic):
    """CPU a tick of the whole dataflow, by thread."""
    child = scenario.start("run", "market", "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", scenario.work / "market",
                           "--until", "end", "-w", 2, "--set", f"source.fields={FIELDS}", "--set", "session=nse")
    threads, until = {}, time.monotonic() + 1200
    while child.running() and time.monotonic() < until:
        threads.update(child.threads())
        time.sleep(0.1)
    done = child.wait(1)
    scenario.check(done.code == 0, f"market: {TRADES} records in {done.wall_s:.0f} s, {mib(done.rss_bytes_max)}", tail(done))
    stages = collections.Counter()
    for (_, name), seconds in threads.items():
        stages[next((stage for start, stage in STAGES.items() if name.startswith(start)), "the rest")] += seconds
    shares = ", ".join(f"{stage} {seconds / sum(stages.values()):.0%}" for stage, seconds in stages.most_common())
    scenario.note(f"market: {done.cpu_s * 1e6 / TRADES:.1f} µs CPU a tick: {shares}")


def pythons_json_us(path):
    """CPU a record of `json.loads`, the median of five."""
    with open(path, "rb") as file:
        lines = list(itertools.islice(file, 100_000))
    taken = []
    for _ in range(5):
        begun = time.process_time()
        for line in lines:
            json.loads(line)
        taken.append((time.process_time() - begun) * 1e6 / len(lines))
    return statistics.median(taken)


def main():
    scenario = Scenario(__doc__)
    slack = float(os.environ.get("TICKTIDE_BENCH_SLACK", "1"))
    begun = time.monotonic()
    paths = generate.write(scenario.work / "session", TRADES)
    topic, folder, dataflow = scenario.topic("bench"), scenario.work / "lake", scenario.work / "bench.toml"
    dataflow.write_text(DATAFLOW)
    produce.create(scenario.brokers(), topic, generate.PARTITIONS)
    produce.send_placed(scenario.brokers(), topic, paths)
    scenario.note(f"{TRADES} records of {sum(path.stat().st_size for path in paths) / TRADES:.0f} bytes in the broker after "
                  f"{time.monotonic() - begun:.0f} s")
    done = scenario.run("run", dataflow, "--brokers", scenario.brokers(), "--topic", topic, "--warehouse", folder, "--until", "end",
                        "-w", 2, timeout_s=600)
    if scenario.long:
        market(scenario, topic)
    produce.delete(scenario.brokers(), topic)
    cpu_us, python_us = done.cpu_s * 1e6 / TRADES, pythons_json_us(paths[0])
    scenario.note(f"{cpu_us / python_us:.2f} of the {python_us:.2f} µs CPU that Python's json.loads takes for a record here")
    slow = 1 if scenario.long else max(1, OF_PYTHONS_JSON * python_us / scenario.limit(CPU_US))
    cpu = f"{cpu_us:.2f} µs CPU a tick (goal: at most {CPU_US:.2f}, limit {scenario.limit(CPU_US * slack * slow):.2f})"
    scenario.note(f"wall {done.wall_s:.1f} s, {TRADES / done.wall_s / 1e6:.2f} M ticks a second (goal: at most {WALL_S} s)")
    memory = f"peak memory {mib(done.rss_bytes_max)} (goal: at most {mib(RSS_BYTES)})"
    scenario.check(done.rss_bytes_max <= RSS_BYTES, memory)
    scenario.goal(cpu_us, CPU_US * slack * slow, cpu)
    connection = lake.connect()
    bars.load(connection, paths, generate.FIELDS, plain=True)
    bars.bars(connection, "1m", "oracle")
    same, more, less = lake.bars_against(connection, lake.Lake(folder), "bars_1m", "oracle")
    scenario.check(not more and not less, f"{same} bars_1m equal DuckDB's; {len(more)} more, {len(less)} missing", (more[:2], less[:2]))
    scenario.end()


if __name__ == "__main__":
    main()
