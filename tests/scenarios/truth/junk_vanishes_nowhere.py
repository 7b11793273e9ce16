"""Junk vanishes nowhere: of 20,000 lines every tenth is no tick; 2,000 quarantine rows carry it, nothing else is lost."""
# s4_junk: always, 10 s

import random

from harness import Scenario, lines
from oracle import bars, disorder, lake

COUNT = 20_000


def junk(draw, good):
    """One record that is no tick; every kind that a feed has shown, and random bytes."""
    bytes_of = good.encode()
    kinds = (
        lambda: b"",
        lambda: b"   ",
        lambda: b"null",
        lambda: b"[]",
        lambda: b"{}",
        lambda: b'"text"',
        lambda: bytes_of[:draw.randrange(1, len(bytes_of) - 1)],
        lambda: bytes_of.replace(b'"', b"'"),
        lambda: good.replace('"price":"', '"price":"x').encode(),
        lambda: good.replace('"quantity":"', '"quantity":"-1').encode(),
        lambda: good.replace('"symbol"', '"name"').encode(),
        lambda: good.replace('"time"', '"when"').encode(),
        lambda: good.replace('"type":"trade"', '"type":"banana"').encode(),
        lambda: good.replace('"price":"', '"price":"1e30').encode(),
        lambda: bytes_of + b"}",
        lambda: bytes_of.replace(b"X", b"\xff\xfe"),
        lambda: bytes(draw.choice([byte for byte in range(256) if byte != 10]) for _ in range(draw.randrange(1, 200))),
    )
    return draw.choice(kinds)()


def main():
    scenario = Scenario(__doc__)
    draw = random.Random(4)
    path, good_path, folder = scenario.work / "mixed.jsonl", scenario.work / "good.jsonl", scenario.work / "lake"
    trades = [record for record in disorder.tape(2 * COUNT, 4) if record["type"] == "trade"]
    unique = {(record["symbol"], record["id"]): record for record in trades}
    disorder.write(list(unique.values())[:COUNT], good_path)
    mixed = [line if number % 10 else junk(draw, line.decode()) for number, line in enumerate(lines(good_path), 1)]
    path.write_bytes(b"".join(line + b"\n" for line in mixed))
    good_path.write_bytes(b"".join(line + b"\n" for number, line in enumerate(mixed, 1) if number % 10))

    # no record of the tape comes later than this
    scenario.run_bars(path, folder, "-w", 2, "--set", 'horizon={"1s"="2h","1m"="2h",default="1 session"}')
    read = lake.Lake(folder)
    rows = {row["offset"]: row for row in read.rows("quarantine")}
    wanted = {offset: line for offset, line in enumerate(mixed) if (offset + 1) % 10 == 0}
    scenario.check(rows.keys() == wanted.keys() and len(read.rows("quarantine")) == COUNT // 10,
                   f"{len(rows)} quarantine rows for {len(wanted)} junk lines, each at its place",
                   [(offset, wanted.get(offset), rows.get(offset)) for offset in sorted(rows.keys() ^ wanted.keys())[:3]])
    changed = [(offset, line, rows[offset]["payload"]) for offset, line in wanted.items()
               if offset in rows and (rows[offset]["payload"] or b"") != line]
    scenario.check(not changed, "every payload is the line, byte for byte", changed[:3])
    scenario.check(all(row["reason"] for row in rows.values()), "every row has a reason: "
                   + ", ".join(sorted({row["reason"] for row in rows.values()})))
    total = {name: sum(row[name] or 0 for row in read.rows("epochs")) for name in ("records", "accepted", "rejected", "duplicates")}
    scenario.check(total == {"records": COUNT, "accepted": COUNT - COUNT // 10, "rejected": COUNT // 10, "duplicates": 0},
                   f"the epochs count {total}")
    connection = lake.connect()
    bars.load(connection, [good_path])
    for interval in ("1s", "1m"):
        bars.bars(connection, interval, "oracle")
        same, more, less = lake.bars_against(connection, read, f"bars_{interval}", "oracle")
        scenario.check(not more and not less, f"{same} bars_{interval} equal those of the good lines alone", (more[:2], less[:2]))
    scenario.end()


if __name__ == "__main__":
    main()
