"""A session of many instruments at full speed: memory is flat once the horizons are reached.

Bars of a second and of a minute with indicators over a seeded, synthetic session. The process's own metrics say how far it
is and how much memory it has; the session's third quarter is held against its last one. Bytes per live bar, per retained
trade and per indicator are `cargo bench --bench memory`'s.
"""
# s29_memory: rotating, 50 s

import re
import time
import urllib.request

from harness import PORT, Scenario, tail

METRICS_PORT = PORT + 295
DOCUMENT = """
source = {{ use = "synthetic", until = "end", sequence = "trusted", seed = 11, instruments = {instruments}, partitions = 4, trades_a_day = {trades} }}
session = "utc-day"
bars = [{{ use = "time", every = "1s" }}, {{ use = "time", every = "1m" }}]
indicators = [{{ use = "ema", period = 20, on = "1m" }}, {{ use = "rsi", period = 14, on = "1m" }}, {{ use = "macd", on = "1m" }},
              {{ use = "vwap", on = "1m" }}, {{ use = "atr", period = 14, on = "1m" }}]
"""
FIGURES = re.compile(r"(?m)^(process_resident_memory_bytes|ticktide_closed_until_seconds) (\S+)")


def figures():
    """(event time in s, resident bytes), or nothing while it starts or ends."""
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=5).read().decode()
    except OSError:
        return None
    found = {name: float(value) for name, value in FIGURES.findall(text)}
    return (found["ticktide_closed_until_seconds"], found["process_resident_memory_bytes"]) if len(found) == 2 else None


def main():
    scenario = Scenario(__doc__)
    instruments, trades = (2_500, 10_000_000) if scenario.long else (2_500, 2_000_000)
    document = scenario.work / "memory.toml"
    document.write_text(DOCUMENT.format(instruments=instruments, trades=trades))
    child = scenario.start("run", document, "--warehouse", scenario.work / "lake", "-w", 2, "--metrics", f"127.0.0.1:{METRICS_PORT}")
    seen = []
    while child.running():
        seen.extend(filter(None, [figures()]))
        time.sleep(0.1)
    ended = child.finished
    scenario.check(ended.code == 0, f"{instruments} instruments, {trades} trades: ended well", tail(ended))
    decided = [(at, resident) for at, resident in seen if at > 0]
    if not decided:
        scenario.give_up("no figure was seen")
    begun, end = decided[0][0], decided[-1][0]
    quarters = [max((resident for at, resident in decided if begun + (end - begun) * quarter / 4 <= at <= begun + (end - begun) * (quarter + 1) / 4),
                    default=0) for quarter in range(4)]
    text = ", ".join(f"{resident / 2**20:.0f}" for resident in quarters)
    scenario.note(f"greatest resident MiB by quarter of the session: {text}; CPU {ended.cpu_s / trades * 1e6:.1f} µs a trade, wall {ended.wall_s:.0f} s")
    scenario.check(quarters[3] <= 1.15 * max(quarters[1:3]), f"flat once the horizons are reached: last quarter {quarters[3] / max(quarters[1:3]):.2f} of the middle")
    scenario.verify("holds on its lake", document, "--warehouse", scenario.work / "lake", "-w", 2, timeout_s=1800)
    scenario.end()


if __name__ == "__main__":
    main()
