"""IIFL's live feed through `feed iifl`: whatever happens to the connection or to Kafka, what was read is in Kafka, once, in order.

Servers are real ones: Socket.IO 2 (python-socketio 4 on aiohttp, TLS) with XTS's REST calls, an MQTT broker (amqtt, TLS),
Kafka. The claim about frames, for each websocket by itself: the frames in Kafka are the first ones that the server sent on
it, without a hole; they reach at least as far as the client is known to have read (a WebSocket ping that the server sent
behind them was answered). What is behind that end was never read, and each connection's end lies in a gap record.
"""
# s32_connector: rotating, 125 s

import collections
import json
import random
import re
import signal
import time
import urllib.request

from brokers import Brokers
from certificates import Certificates
from confluent_kafka import Consumer, TopicPartition
from harness import Scenario, Watch, mib, wait_for
from mqtt_server import MqttServer
from xts_server import MASTER, MASTER_ROWS, XtsServer

KEYS = ("app-key-9f2e", "secret-key-77aa")
BRIDGE_TOKEN = ("eyJhbGciOiJIUzI1NiJ9.eyJwcmVmZXJyZWRfdXNlcm5hbWUiOiJDTElFTlQxIiwiZXhwIjo0MTAyNDQ0ODAwfQ"
                ".c2VjcmV0LXNpZ25hdHVyZQ")  # preferred_username CLIENT1, exp 2100-01-01
JUNK = ["hello", '42["1501-json-full","{\\"MessageCode\\":1501,"]', "42[broken", '42["market-news","x"]', '42["1501-json-full",1,2]']
JUNK_BYTES = b"\x04\x00\xff\nbinary"
INSTRUMENTS = [("NSECM", 2885), ("NSECM", 467), ("NSECM", 11536), ("NSEFO", 43423), ("NSEFO", 43424)]
DEAD, UNKNOWN = ("NSEFO", 51601), ("NSECM", 999_999)
CAP = 50
MANY = [("NSECM", number) for number in range(1, 62)]
RSS_MAX = 256 << 20


class Record:
    def __init__(self, message):
        self.topic, self.partition, self.offset, self.key, self.value = \
            message.topic(), message.partition(), message.offset(), message.key(), message.value()
        headers = dict(message.headers() or [])
        self.received_at, self.origin = int(headers["received_at"]), headers.get("origin", b"").decode()


def read_topics(bootstrap, prefix):
    """Every record of the topics with a prefix, by partition and offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "judge", "enable.auto.commit": False, "log_level": 0})
    topics = consumer.list_topics(timeout=30).topics
    places = [TopicPartition(name, partition, 0) for name in topics if name.startswith(prefix) for partition in topics[name].partitions]
    ends = {(place.topic, place.partition): consumer.get_watermark_offsets(place, timeout=30)[1] for place in places}
    consumer.assign(places)
    records, left = [], sum(ends.values())
    while left:
        message = consumer.poll(10)
        if message is None:
            raise RuntimeError(f"{left} records are missing in Kafka")
        if message.error() is None:
            records.append(Record(message))
            left -= 1
    consumer.close()
    return sorted(records, key=lambda record: (record.topic, record.partition, record.offset))


def sequence(text):
    """The number of a message, as text of its object or of the event that carries it."""
    if isinstance(text, bytes):
        return json.loads(text)["SequenceNumber"]
    return json.loads(json.loads(text[2:])[1])["SequenceNumber"]


def names(instruments):
    return ",".join(f"{segment}|{number}" for segment, number in instruments)


def environment(**more):
    return {"TICKTIDE_IIFL_APP_KEY": KEYS[0], "TICKTIDE_IIFL_SECRET_KEY": KEYS[1], **more}


def shown(scenario, what, texts, secrets):
    """No secret in any text."""
    found = [secret[:4] + "…" for secret in secrets for text in texts if secret in text]
    scenario.check(not found, f"{what}: none of {len(secrets)} secrets in {sum(map(len, texts)):,} characters", found)


# --- mistakes at the start


def mistakes(scenario, kafka, server, certificates):
    secret_file = scenario.work / "secret"
    secret_file.write_text("wrong-secret-5c1d\n")
    good = ("--instruments", "NSECM|2885", "--root", server.root, "--ca", certificates.authority)
    started = [
        ("a wrong key", environment(TICKTIDE_IIFL_SECRET_KEY=f"@{secret_file}"), (*good, "--brokers", kafka), "login is refused"),
        ("no key", {}, (*good, "--brokers", kafka), "TICKTIDE_IIFL_APP_KEY is not set"),
        ("an unknown segment", environment(), ("--instruments", "NSEC|1", "--brokers", kafka), "no segment \"NSEC\""),
        ("an unknown code", environment(), (*good, "--codes", "1599", "--brokers", kafka), "no message code \"1599\""),
        ("a server that is not there", environment(), ("--instruments", "NSECM|2885", "--root", "https://127.0.0.1:9", "--brokers", kafka), "after 4 tries"),
        ("a certificate of nobody", environment(), ("--instruments", "NSECM|2885", "--root", server.root, "--brokers", kafka), "certificate"),
        ("keys in the clear", environment(), ("--instruments", "NSECM|2885", "--root", "http://ttblaze.iifl.com", "--brokers", kafka), "in the clear"),
        ("a wrong broker", environment(), (*good, "--brokers", "127.0.0.1:9"), "no answer from 127.0.0.1:9"),
        ("dead instruments only", environment(), ("--instruments", names([DEAD]), "--root", server.root, "--ca", certificates.authority, "--brokers", kafka),
         "no snapshot: NSEFO|51601"),
        ("a dead instrument, --strict", environment(), ("--instruments", names([DEAD, ("NSECM", 467)]), "--strict", "--root", server.root,
                                                        "--ca", certificates.authority, "--brokers", kafka), "1 of 2 instruments"),
        ("more instruments than a key may have, --strict", environment(), ("--instruments", names(MANY), "--strict", "--root", server.root,
                                                                           "--ca", certificates.authority, "--brokers", kafka),
         f"{len(MANY) - CAP} of {len(MANY)} instruments are over the server's limit"),
    ]
    prefix = scenario.topic("mistakes") + "-"
    children = [scenario.start("feed", "iifl", *flags, "--prefix", prefix, env=variables) for _, variables, flags, _ in started]
    texts = []
    for (what, _, _, expected), child in zip(started, children):
        done = child.wait(120)
        last = [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:"))]
        scenario.check(done.code == 2 and expected in done.stderr and len(last) == 2, f"{what}: exit 2 in {done.wall_s:.1f} s, {last[:1]}", done.stderr)
        texts += [done.stdout, done.stderr]
    done = scenario.run("feed", "iifl", *good, "--brokers", kafka, "--dry-run", env=environment())
    scenario.check("TICKTIDE_IIFL_SECRET_KEY" in done.stdout and "set" in done.stdout, "a dry run says which secrets are set", done.stdout)
    scenario.check(server.over == 2, f"what is over the limit is asked for once a code ({server.over} times), not in ever smaller parts")
    shown(scenario, "mistakes and a dry run", [*texts, done.stdout, done.stderr], [*KEYS, "wrong-secret-5c1d", *server.tokens])


# --- XTS


def trouble(scenario, server, brokers, child):
    """20 connections lost in four ways, all tokens revoked, junk, Kafka away for 30 s with a flood meanwhile."""
    chance, killed, junk, held = random.Random(scenario.seed), collections.Counter(), 0, 0
    kinds = ["reset"] * 12 + ["close"] * 4 + ["disconnect"] * 3 + ["freeze"]
    chance.shuffle(kinds)
    for number, how in enumerate(kinds):
        time.sleep(chance.uniform(0, 0.8))
        # the websocket only: login, subscriptions and snapshots may be under way
        if not wait_for(server.current, 30, 0.01):
            scenario.give_up(f"no websocket after {number} kills:\n{child.read()[1][-2000:]}")
        if number % 4 == 1:
            junk += bool(wait_for(lambda: server.junk(JUNK, JUNK_BYTES), 5, 0.05))
            time.sleep(0.3)
        killed[how] += server.kill(how)
        wait_for(lambda: server.current() is None or server.current().frozen is False, 15, 0.01)
        if number == 9:
            server.revoke()
        if number == 11:
            brokers.kill(0)
            away_at = time.monotonic()
        if number == 14:
            # three more were killed without Kafka; now everything fills
            wait_for(lambda: (c := server.current()) and c.read > 20, 30, 0.05)
            server.rate, server.padding = 500, 16_000
            time.sleep(max(15.0, away_at + 30 - time.monotonic()))
            held = child.rss_bytes()
            brokers.start(0)
            server.rate, server.padding = 400, 0
    return killed, junk, held


def xts(scenario, brokers, server, certificates):
    prefix = scenario.topic("xts") + "-"
    wanted = [*INSTRUMENTS, DEAD, UNKNOWN]
    child = scenario.start("feed", "iifl", "--brokers", brokers.bootstrap, "--prefix", prefix, "--instruments", names(wanted), "--codes", "1501,1510",
                           "--root", server.root, "--ca", certificates.authority, "--metrics", "127.0.0.1:0",
                           "--kafka", "queue.buffering.max.kbytes=16384", env=environment())
    watch = Watch(child)
    if not wait_for(lambda: (c := server.current()) and c.read >= 100, 30):
        scenario.give_up(f"no frames:\n{child.read()[1][-3000:]}")
    begun = time.monotonic()
    killed, junk, held = trouble(scenario, server, brokers, child)
    caught_up = wait_for(lambda: (c := server.current()) and c.joined and c.read > 400, 60)
    wait_for(lambda: server.renewed_in_time > 0, 30)
    if not scenario.check(bool(caught_up) and child.running(), "after all that, the feed flows"):
        scenario.note(child.read()[1][-3000:])
    took = time.monotonic() - begun
    # a stop within an interruption leaves that one open; here it comes while all subscriptions stand
    figures = wait_for(lambda: (seen := scrape(child))["ticktide_feed_standing"] == 1 and seen, 60, 0.05) or scrape(child)
    child.signal(signal.SIGTERM)
    done = child.wait(60)
    watch.stop()
    scenario.check(done.code == 0, f"SIGTERM: all is flushed, exit 0; {server.logouts} logout", done.stderr[-2000:])
    records = read_topics(brokers.bootstrap, prefix)
    scenario.note(f"{sum(killed.values())} connections killed in {took:.0f} s ({dict(killed)}), {server.logins} logins, {server.refused} refused "
                  f"tokens, {server.told_to_wait} times 429, {junk * (len(JUNK) + 1)} junk messages")
    judge(scenario, server, records, done, prefix)
    produced = collections.Counter(record.topic.removeprefix(prefix) for record in records)
    counted = {code: figures.get(f'ticktide_feed_frames_total{{code="{code}"}}', 0) for code in ("1501", "1510", "other")}
    # a broken 1501 counts as one and stands in …other
    scenario.check(all(counted.values()) and sum(counted.values()) <= sum(produced[code] for code in counted) and figures["ticktide_feed_standing"] == 1
                   and figures["ticktide_feed_reconnects_total"] > 0 and figures["ticktide_feed_unasked_total"] > 0,
                   f"metrics, shortly before the end: {counted} of {dict(produced)}, {figures['ticktide_feed_reconnects_total']:.0f} reconnects, "
                   f"{figures['ticktide_feed_unasked_total']:.0f} messages that nobody asked for", figures)
    peak = max(bytes for _, bytes in watch.samples)
    scenario.check(peak < RSS_MAX, f"resident memory: {mib(peak)} at most, {mib(held)} at the end of the 30 s without Kafka")
    shown(scenario, "outputs and Kafka", [done.stdout, done.stderr, *(record.value.decode(errors="replace") + record.origin for record in records)],
          [*KEYS, *server.tokens])
    scenario.check(server.renewed_in_time > 0 and server.refused > 0,
                   f"tokens of {server.token_s} s: {server.renewed_in_time} renewed in time; refused ones replaced by a new login")
    missing = [line for line in done.stderr.splitlines() if "ERROR" in line and "no snapshot: NSEFO|51601, NSECM|999999" in line]
    scenario.check(len(missing) == 1 and server.split > 0, f"a dead instrument and one that the server refuses (with its whole list, {server.split} times) "
                   "are named once; the run goes on with the others", done.stderr[:2000])
    rows = collections.Counter(record.value.decode() for record in records if record.topic == prefix + "master")
    expected = {MASTER_ROWS[segment].format(number) for segment, number in INSTRUMENTS}
    scenario.check(rows.keys() == expected and max(rows.values()) <= server.masters,
                   f"the master's {len(rows)} rows of what is subscribed, of {sum(map(len, MASTER.values()))}, with each of {server.masters} logins", rows)
    scenario.check(server.early_masters == 0, "the master never kept a subscription waiting", server.early_masters)
    scenario.check(server.again > 0, f"{server.again} lists were subscribed already under their token: their quotes are asked for instead")


def judge(scenario, server, records, done, prefix):
    frames = [record for record in records if record.topic in (prefix + "1501", prefix + "1510")]
    in_kafka = collections.Counter(sequence(record.value) for record in frames)
    by_sequence = {sequence(record.value): record for record in frames}
    texts = {}
    sent, read, missed, holes, short, ends = 0, 0, 0, [], [], []
    for connection in server.connections:
        asked = [(at, text) for at, text in connection.sent if '["1501-json-full"' in text or '["1510-json-full"' in text]
        asked = [(at, text, sequence(text)) for at, text in asked if text not in JUNK]
        texts.update((number, json.loads(text[2:])[1]) for _, text, number in asked)
        known = {number for _, text, number in asked_of(connection.sent[:connection.read])}
        there = [number in in_kafka for *_, number in asked]
        count = there.index(False) if False in there else len(there)
        if any(there[count:]):
            holes.append((connection.number, count, len(asked)))
        if not known <= {number for *_, number in asked[:count]}:
            short.append((connection.number, count, len(known)))
        sent, read, missed = sent + len(asked), read + len(known), missed + len(asked) - count
        if count:
            ends.append((by_sequence[asked[0][2]].received_at, by_sequence[asked[count - 1][2]].received_at))
    scenario.check(sent > 1000 and not holes and not short,
                   f"{len(ends)} websockets with frames: {sent:,} sent, {read:,} known to be read, all of these in Kafka; "
                   f"{missed} behind a connection's end are not, and nowhere is a hole", {"holes": holes, "short": short})
    twice = {number: count for number, count in in_kafka.items() if count > 1}
    strange = in_kafka.keys() - texts.keys() - server.snapshots
    scenario.check(not twice and not strange, f"{len(frames):,} frames in Kafka, each once: {len(in_kafka.keys() & server.snapshots)} snapshots "
                   f"of REST, the others from websockets", {"twice": list(twice.items())[:5], "strange": list(strange)[:5]})
    changed = [number for number, record in by_sequence.items() if number in texts and texts[number].encode() != record.value]
    scenario.check(not changed, "payloads are what the server sent, byte for byte", changed[:5])
    last, back = {}, []
    for record in frames:
        number = sequence(record.value)
        place = (record.topic, record.partition, record.key)
        if number not in server.snapshots:
            if last.get(place, 0) > number:
                back.append((place, last[place], number))
            last[place] = number
    message = lambda record: json.loads(record.value)
    segments = {1: "NSECM", 2: "NSEFO"}
    keyed = all(record.key == f"{segments[message(record)['ExchangeSegment']]}|{message(record)['ExchangeInstrumentID']}".encode() for record in frames)
    scenario.check(not back and keyed, f"{len(last)} keys in order", back[:5])
    other = collections.Counter(record.value for record in records if record.topic == prefix + "other")
    junk_sent = collections.Counter(text.encode() for connection in server.connections for _, text in connection.sent[:connection.read] if text in JUNK)
    # the broken object is the event's argument; all else is kept whole
    whole = lambda text: b'{"MessageCode":1501,' if text == JUNK[1].encode() else text
    lost = {text: count for text, count in junk_sent.items() if other[whole(text)] < count}
    scenario.check(sum(junk_sent.values()) > 0 and not lost and other[JUNK_BYTES] > 0,
                   f"{sum(other.values())} junk messages are in topic …other as they came", {"lost": lost, "other": dict(other)})
    gaps = [json.loads(record.value) for record in records if record.topic == prefix + "gaps"]
    judge_gaps(scenario, gaps, sorted(ends), done, sum(connection.killed for connection in server.connections))


def asked_of(sent):
    return [(at, text, sequence(text)) for at, text in sent if ('["1501-json-full"' in text or '["1510-json-full"' in text) and text not in JUNK]


def judge_gaps(scenario, gaps, ends, done, killed):
    kinds = collections.Counter(gap["kind"] for gap in gaps)
    breaks = [gap for gap in gaps if gap["kind"] == "interruption"]
    if not scenario.check(breaks and all(gap["until_ns"] for gap in breaks), "each interruption came to its end", breaks[-2:]):
        return
    # nothing stands between the last frame of one and the first of the next: the loss lies there, and a gap over it
    uncovered = [index for index, ((_, end), (begin, _)) in enumerate(zip(ends, ends[1:]))
                 if not any(gap["from_ns"] <= begin and end <= gap["until_ns"] for gap in breaks)]
    overlapping = [pair for pair in zip(breaks, breaks[1:]) if pair[0]["until_ns"] > pair[1]["from_ns"]]
    failures, longest = sum(gap["failures"] for gap in breaks), max(gap["until_ns"] - gap["from_ns"] for gap in breaks) / 1e9
    scenario.check(not uncovered and not overlapping and failures >= killed,
                   f"{len(breaks)} gap records for {killed} killed websockets and {failures} failures: each change from one websocket to the next lies in one, "
                   f"{longest:.1f} s the longest, none overlaps; {dict(kinds)}", {"uncovered": uncovered, "overlapping": overlapping[:2], "ends": ends[-3:]})
    printed = sum(" gap " in line and "kind=" in line for line in done.stderr.splitlines())
    scenario.check(printed == len(gaps) and kinds["start"] == kinds["stop"] == 1 and kinds["refused"] > 0, f"all {printed} are printed, too",
                   [gap["kind"] for gap in gaps])
    scenario.check(kinds["stall"] > 0, f"without Kafka the socket was not read in the end: {kinds['stall']} record of kind stall, "
                   f"{sum(gap['until_ns'] - gap['from_ns'] for gap in gaps if gap['kind'] == 'stall') / 1e9:.1f} s")


def scrape(child):
    """The figures at the address that the log tells."""
    address = re.search(r"metrics are served address=(\S+)", child.read()[1]).group(1)
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


# --- the bridge


def told(number, received_at, gaps):
    """Whether a packet that is missing was lost in a recorded gap: between the packets around it that came, there lies one."""
    before = max((at for known, at in received_at.items() if known < number), default=0)
    behind = min((at for known, at in received_at.items() if known > number), default=float("inf"))
    return any(gap["kind"] == "interruption" and gap["from_ns"] <= behind and before <= gap["until_ns"] for gap in gaps)


def bridge(scenario, bootstrap, certificates):
    server = MqttServer(certificates, {"CLIENT1": f"OPENID~~{BRIDGE_TOKEN}~"})
    token = scenario.work / "token"
    token.write_text(BRIDGE_TOKEN + "\n")
    flags = ("--api", "bridge", "--brokers", bootstrap, "--root", server.root, "--codes", "mw",
             "--instruments", ",".join(f"NSECM|{number}" for number in range(1, 1501)))
    trusting = ("--ca", certificates.authority)
    # starts that must fail: nobody's certificate, a token that is refused
    strangers = scenario.start("feed", "iifl", *flags, env={"TICKTIDE_IIFL_TOKEN": f"@{token}"})
    refused = scenario.start("feed", "iifl", *flags, *trusting, env={"TICKTIDE_IIFL_TOKEN": f"@{token}", "TICKTIDE_IIFL_USER": "SOMEBODY"})
    child = scenario.start("feed", "iifl", *flags, *trusting, env={"TICKTIDE_IIFL_TOKEN": f"@{token}"})
    if not wait_for(lambda: "all subscriptions stand" in child.read()[1], 30):
        scenario.give_up(f"the bridge's subscriptions do not stand:\n{child.read()[1][-2000:]}")
    server.topics = [f"prod/marketfeed/mw/v1/nseeq/{number}" for number in (1, 2, 1024, 1025, 1500)]
    chance, cuts = random.Random(scenario.seed), 0
    for _ in range(4):
        time.sleep(chance.uniform(0.5, 1.5))
        stands = child.read()[1].count("all subscriptions stand")
        cuts += server.cut()
        wait_for(lambda: child.read()[1].count("all subscriptions stand") > stands, 30)
    time.sleep(1.5)
    server.topics = []
    time.sleep(0.5)
    child.signal(signal.SIGINT)
    done = child.wait(60)
    texts = [done.stdout, done.stderr]
    for what, failed, expected in (("a certificate of nobody", strangers, "certificate"), ("a token that is refused", refused, "refuses the token")):
        ended = failed.wait(120)
        texts += [ended.stdout, ended.stderr]
        scenario.check(ended.code == 2 and expected in ended.stderr, f"bridge, {what}: exit 2", ended.stderr[-1500:])
    server.stop()
    scenario.check(done.code == 0 and cuts == 4, f"bridge: 1500 topics in two subscriptions, {cuts} connections cut, SIGINT ends it with 0", done.stderr[-2000:])
    records = read_topics(bootstrap, "bridge-")
    frames = [record for record in records if record.topic == "bridge-mw"]
    gaps = [json.loads(record.value) for record in records if record.topic == "bridge-gaps"]
    numbers = [int.from_bytes(record.value[8:12], "little") for record in frames]
    counted, last, back = collections.Counter(numbers), {}, []
    for record, number in zip(frames, numbers):
        if last.get(record.key, 0) > number:
            back.append((record.key, number))
        last[record.key] = number
    missing = [number for *_, number in server.sent if number not in counted]
    received_at = {number: record.received_at for record, number in zip(frames, numbers)}
    outside = [number for number in missing if not told(number, received_at, gaps)]
    runs = sum(number - 1 not in missing for number in missing)
    interruptions = sum(gap["kind"] == "interruption" for gap in gaps)
    scenario.check(len(frames) > 300 and max(counted.values()) == 1 and not back and not outside and runs <= cuts <= interruptions,
                   f"bridge: {len(server.sent)} packets published, {len(frames)} in Kafka, each once and in order; {len(missing)} fell into "
                   f"{interruptions} recorded gaps, in {runs} runs", {"outside": outside[:9], "back": back[:5], "gaps": gaps})
    shown(scenario, "bridge", [*texts, *(record.value.decode("latin-1") for record in records)], [BRIDGE_TOKEN])


def main():
    scenario = Scenario(__doc__)
    scenario.note(f"seed {scenario.seed}")
    certificates = Certificates(scenario.work)
    brokers = Brokers(scenario, 1)
    begun = time.monotonic()
    numbers = {"NSECM": 1, "NSEFO": 2}
    dead, unknown = ([(numbers[segment], number)] for segment, number in (DEAD, UNKNOWN))
    at_start = XtsServer(certificates.context(), KEYS, 600, dead, unknown, scenario.seed, CAP)
    mistakes(scenario, brokers.bootstrap, at_start, certificates)
    at_start.stop()
    server = XtsServer(certificates.context(), KEYS, 15, dead, unknown, scenario.seed)
    xts(scenario, brokers, server, certificates)
    server.stop()
    bridge(scenario, brokers.bootstrap, certificates)
    scenario.note(f"{time.monotonic() - begun:.0f} s without Kafka's own start")
    scenario.end()


if __name__ == "__main__":
    main()
