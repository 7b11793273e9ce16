"""Files and topics as feeds write them become bars in two commands: `list formats --sniff`, then `run` with the line that it proposes.

Each shape's records are made here, with what stands between trades in such a feed: other events, heartbeats, answers. The bars are
computed from the trades alone, in decimals. What a dataflow ignores is counted by its word, is no row of the quarantine, and `verify`
computes the same counts. In Kafka the symbol may be the key, a header or a part of the topic's name.
"""
# s39_shapes: always, 20 s

import collections
import datetime
import json
import random
import zoneinfo
from decimal import Decimal

from confluent_kafka import Producer

from harness import Scenario, decode_rows, tail
from oracle import produce

BEGIN = 1_769_418_000  # 2026-01-26 09:00 in UTC
TRADES = 600


def trades(chance, symbols):
    """(symbol, ns, price, quantity) in order of time, of an hour."""
    ns = sorted(BEGIN * 10**9 + chance.randrange(3_600_000) * 10**6 for _ in range(TRADES))
    return [(chance.choice(symbols), at, Decimal(chance.randrange(100_000, 120_000)) / 100, Decimal(chance.randrange(1, 5_000)) / 1000) for at in ns]


def bars(made):
    """(symbol, minute) to open, high, low, close, volume, trades."""
    by_bar = collections.defaultdict(list)
    for symbol, at, price, quantity in made:
        by_bar[symbol, at // 60_000_000_000 * 60].append((price, quantity))
    return {key: (few[0][0], max(p for p, _ in few), min(p for p, _ in few), few[-1][0], sum(q for _, q in few), len(few)) for key, few in by_bar.items()}


def found(scenario, lake):
    rows = scenario.query(lake, "select instrument, open_at, open, high, low, close, volume, trades from bars_1m")
    moment = lambda text: int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=datetime.UTC).timestamp())
    return {(row["instrument"], moment(row["open_at"])): (*(Decimal(str(row[name])) for name in ("open", "high", "low", "close", "volume")), row["trades"])
            for row in rows}


def iso(at, zone=datetime.UTC, form="%Y-%m-%dT%H:%M:%S"):
    moment = datetime.datetime.fromtimestamp(at // 10**9, datetime.UTC).astimezone(zone)
    return moment.strftime(form) + f".{at // 10**6 % 1000:03}"


def shapes(chance):
    """Name, file, lines, the trades in it, how many records are ignored, how many refused."""
    pair = trades(chance, ["BTCUSDT", "ETHUSDT"])
    lines, other = ['{"result":null,"id":1}'], 1
    for number, (symbol, at, price, quantity) in enumerate(pair):
        event = {"e": "trade", "E": at // 10**6 + 1, "s": symbol, "t": number, "p": str(price), "q": str(quantity), "T": at // 10**6, "m": True, "M": True}
        lines.append(json.dumps({"stream": symbol.lower() + "@trade", "data": event}))
        if number % 2:
            lines.append(json.dumps({"stream": symbol.lower() + "@bookTicker", "data": {"u": number, "s": symbol, "b": "1", "a": "2"}}))
            other += 1
    yield "binance-combined", "frames.jsonl", lines, pair, other, 0

    coins = trades(chance, ["BTC-USD"])
    lines, other = [json.dumps({"type": "subscriptions", "channels": []})], 1
    for number, (symbol, at, price, quantity) in enumerate(coins):
        kind = "match" if number else "last_match"
        lines.append(json.dumps({"type": kind, "trade_id": number, "size": str(quantity), "price": str(price), "product_id": symbol, "sequence": number,
                                 "side": "sell", "time": iso(at) + "Z"}))
        if number % 3 == 0:
            lines.append(json.dumps({"type": "heartbeat", "sequence": number, "product_id": symbol, "time": iso(at) + "Z"}))
            other += 1
    yield "coinbase-matches", "matches.jsonl", lines, coins, other, 0

    archive = trades(chance, ["BTCUSDT"])
    lines = [f"{number},{price},{quantity},{price * quantity},{at // 10**3},True,True" for number, (_, at, price, quantity) in enumerate(archive)]
    yield "binance-trades-csv", "BTCUSDT-trades-2026-01.csv", lines, archive, 0, 0

    sales = trades(chance, ["XBTUSD"])
    yield "kraken-csv", "XBTUSD.csv", [f"{at // 10**9}.{at // 10**6 % 1000:03},{price},{quantity}" for _, at, price, quantity in sales], sales, 0, 0

    sheet = trades(chance, ["RELIANCE", "MRF"])
    kolkata = zoneinfo.ZoneInfo("Asia/Kolkata")
    lines = ["Symbol, Time, Price, Quantity"]
    lines += [f'{symbol}, {iso(at, kolkata)}+05:30, "{price:,}", {quantity}' for symbol, at, price, quantity in sheet]
    yield "a spreadsheet", "sheet.csv", lines, sheet, 0, 0

    floats = trades(chance, ["A"])
    lines = [f'{{"d":{{"ticker":"A","ts":{at // 10**9}.{at // 10**6 % 1000:03},"px":{float(price) + 1e-13!r},"sz":{quantity}}}}}' for _, at, price, quantity in floats]
    yield "nested keys, floats", "nested.jsonl", [*lines, "{", "[1]"], floats, 0, 2


def files(scenario, chance):
    for name, file, lines, made, ignored, refused in shapes(chance):
        folder = scenario.work / name.replace(" ", "_").replace(",", "")
        folder.mkdir()
        path, lake = folder / file, folder / "lake"
        path.write_text("\n".join(lines) + "\n")
        sniffed = scenario.run("list", "formats", "--sniff", path, "--json", code=None)
        proposals = [row for row in decode_rows(sniffed.stdout) if "source" in row]
        if not scenario.check(len(proposals) == 1, f"{name}: a line is proposed: {proposals[0]['source'] if proposals else ''}", tail(sniffed)):
            continue
        settings = [part for setting in proposals[0]["set"] for part in ("--set", setting)]
        done = scenario.run("run", "bars", "--source", "file", "--path", path, "--until", "end", "--warehouse", lake, "--json",
                            *settings, code=None)
        report = json.loads(done.stdout.splitlines()[-1]) if done.code == 0 else {}
        counts = tuple(report.get(key) for key in ("records", "accepted", "ignored", "rejected"))
        scenario.check(counts == (len(made) + ignored + refused, len(made), ignored, refused), f"{name}: records, accepted, ignored, rejected: {counts}", tail(done))
        have, want = found(scenario, lake), bars(made)
        scenario.check(have == want, f"{name}: {len(want)} bars_1m are those of the trades", sorted(set(have.items()) ^ set(want.items()))[:4])
        scenario.verify(name, "--warehouse", lake, "bars", "--source", "file", "--path", path, *settings)


def kafka(scenario, chance):
    """The symbol in the key, in a header, in the topic's name."""
    made = trades(chance, ["ACC", "INFY", "TCS"])
    for name, setting in [("key", "@key"), ("header", "@header.symbol"), ("topic", '{ from = "@topic", pattern = "*.{symbol}" }')]:
        source = f'source.fields={{ symbol = {setting if setting.startswith("{") else json.dumps(setting)} }}'
        symbols = {symbol for symbol, *_ in made}
        topics = {symbol: scenario.topic(name) + (f".{symbol}" if name == "topic" else "") for symbol in symbols}
        for topic in set(topics.values()):
            produce.create(scenario.brokers(), topic, 2)
        producer = Producer({"bootstrap.servers": scenario.brokers()})
        for symbol, at, price, quantity in made:
            value = json.dumps({"time": at, "price": str(price), "quantity": str(quantity)})
            headers = [("symbol", symbol.encode())] if name == "header" else None
            producer.produce(topics[symbol], value, symbol if name == "key" else None, 0 if name != "topic" else 1, headers=headers)
        producer.flush(60)
        lake = scenario.work / f"lake-{name}"
        arguments = [part for topic in sorted(set(topics.values())) for part in ("--topic", topic)]
        done = scenario.run("run", "bars", "--brokers", scenario.brokers(), *arguments, "--until", "end", "--warehouse", lake, "--set", source, code=None)
        have, want = found(scenario, lake) if done.code == 0 else {}, bars(made)
        scenario.check(have == want, f"the symbol is in the {name}: {len(want)} bars_1m are those of the trades",
                       (tail(done), sorted(set(have.items()) ^ set(want.items()))[:4]))


def main():
    scenario = Scenario(__doc__)
    chance = random.Random(scenario.seed)
    files(scenario, chance)
    kafka(scenario, chance)
    strange = scenario.work / "lake#1"
    done = scenario.run("run", "bars", "--source", "file", "--path", scenario.work / "kraken-csv" / "XBTUSD.csv", "--until", "end", "--warehouse", strange,
                        "--set", 'source.preset="kraken-csv"', code=None)
    scenario.check(done.code == 2 and "hint: choose a `--warehouse`" in done.stderr and not (strange / "log").exists(), "a lake at a path with # is refused", tail(done))
    scenario.end()


if __name__ == "__main__":
    main()
