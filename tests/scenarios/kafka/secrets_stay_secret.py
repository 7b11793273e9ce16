"""A secured Kafka is read with the right secrets, refuses the wrong ones with a hint, and no secret is seen anywhere."""
# s15_kafka_security: rotating, 45 s

import atexit
import base64
import os
import re
import secrets
import subprocess

from harness import SERVICES, Scenario, tail
from oracle import bars, disorder, lake, produce

COUNT = 20_000
PORT = int(os.environ.get("TICKTIDE_TEST_SECURE_PORT", "19492"))
# what is loudest: our own debug lines and all that librdkafka says of its handshakes
LOUD = {"TICKTIDE_LOG": "trace"}
HEAD = """\
source = { use = "kafka", topics = ["ticks"], wire = "json", sequence = "none", kafka = { %s } }
bars = [{ use = "time", every = "1s" }, { use = "time", every = "1m" }]
"""


class Outputs:
    """Everything that ticktide has printed or written, searched for secrets."""

    def __init__(self, scenario, *hidden):
        self.scenario, self.texts, self.hidden = scenario, [], []
        for secret in hidden:
            self.hidden += [secret.encode(), base64.b64encode(secret.encode())]

    def run(self, *arguments, env=None, **options):
        done = self.scenario.run(*arguments, env={**LOUD, **(env or {})}, **options)
        self.texts.append((" ".join(map(str, arguments)), done.stdout + done.stderr))
        return done

    def seen(self, folders):
        """Where a secret is seen: outputs by their command, files by their path."""
        found = [what for what, text in self.texts if any(secret in text.encode() for secret in self.hidden)]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return found + [str(path) for path in files if any(secret in path.read_bytes() for secret in self.hidden)], len(files)


def dataflow(scenario, name, settings):
    """A dataflow file with these librdkafka settings."""
    path = scenario.work / f"{name}.toml"
    path.write_text(HEAD % ", ".join(f'"{key}" = "{value}"' for key, value in settings.items()))
    return path


# no record of the tape comes later than this
REACH = ("--set", 'horizon={"1s"="2h","1m"="2h",default="1 session"}')


def good(scenario, outputs, tape, what, path, brokers, topic):
    folder = scenario.work / f"lake-{path.stem}"
    done = outputs.run("run", path, "--brokers", brokers, "--topic", topic, "--warehouse", folder, "--until", "end", *REACH, code=None)
    if not scenario.check(done.code == 0, f"{what}: read to its end in {done.wall_s:.1f} s", tail(done)):
        return folder
    connection, read = lake.connect(), lake.Lake(folder)
    bars.load(connection, [tape])
    for interval in ("1s", "1m"):
        bars.bars(connection, interval, "oracle")
        same, more, less = lake.bars_against(connection, read, f"bars_{interval}", "oracle")
        scenario.check(same and not more and not less, f"{what}: {same} bars_{interval} equal the oracle's", (more[:2], less[:2]))
    return folder


def wrong(scenario, outputs, what, path, brokers, topic, hint):
    folder = scenario.work / f"lake-{path.stem}"
    done = outputs.run("run", path, "--brokers", brokers, "--topic", topic, "--warehouse", folder, "--until", "end", code=None,
                       timeout_s=120)
    one = len(re.findall(r"(?m)^error:", done.stderr)) == 1 and "panicked" not in done.stderr
    hinted = any(line.startswith("hint:") and hint in line for line in done.stderr.splitlines())
    scenario.check(done.code == 2 and one and hinted, f"{what}: exit code {done.code}, one error, a hint of {hint}", tail(done))
    scenario.soon(done.wall_s, 20, f"{what}: it is not tried for long")
    scenario.check(not folder.exists(), f"{what}: no lake was made")
    for line in done.stderr.splitlines():
        if line.startswith(("error:", "hint:")):
            scenario.note(line)


def main():
    scenario = Scenario(__doc__)
    password, mistaken = "right-" + secrets.token_hex(12), "wrong-" + secrets.token_hex(12)
    service, folder = SERVICES / "kafka-secure.sh", scenario.work / "kafka"
    atexit.register(subprocess.run, [service, "down", folder], check=False)
    plain = subprocess.run([service, "up", folder, str(PORT)], check=True, stdout=subprocess.PIPE, text=True,
                           env={**os.environ, "PASSWORD": password}).stdout.strip()
    sasl, mutual = f"127.0.0.1:{PORT + 1}", f"127.0.0.1:{PORT + 2}"
    certificates = folder / "certificates"
    tape, topic = scenario.work / "tape.jsonl", scenario.topic("ticks")
    trades = [record for record in disorder.tape(COUNT, 15) if record["type"] == "trade"]
    disorder.write(list({(record["symbol"], record["id"]): record for record in trades}.values()), tape)
    produce.create(plain, topic, 1)
    produce.send_file(plain, topic, tape, 0)

    outputs = Outputs(scenario, password, mistaken)
    secret = {"KAFKA_PASSWORD": password}
    os.environ.update(secret)
    held = scenario.work / "held"
    held.write_text(password)
    scram = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "ticktide",
             "sasl.password": "${KAFKA_PASSWORD}", "ssl.ca.location": certificates / "ca.pem", "debug": "security,broker,protocol"}
    by_certificate = {"security.protocol": "SSL", "ssl.ca.location": certificates / "ca.pem",
                      "ssl.certificate.location": certificates / "client.pem", "ssl.key.location": certificates / "client.key",
                      "ssl.key.password": f"@{held}", "debug": "security,broker,protocol"}
    lakes = [good(scenario, outputs, tape, "SASL_SSL with SCRAM-SHA-512", dataflow(scenario, "scram", scram), sasl, topic),
             good(scenario, outputs, tape, "mutual TLS", dataflow(scenario, "mutual", by_certificate), mutual, topic)]

    for what, name, settings, brokers, hint in (
        ("wrong password", "password", {**scram, "sasl.password": mistaken}, sasl, "sasl.password"),
        ("wrong user", "user", {**scram, "sasl.username": "nobody"}, sasl, "sasl.username"),
        ("mechanism that the broker has not", "mechanism", {**scram, "sasl.mechanism": "PLAIN"}, sasl, "sasl.mechanism"),
        ("wrong authority", "authority", {**scram, "ssl.ca.location": certificates / "other-ca.pem"}, sasl, "ssl.ca.location"),
        ("no certificate", "none", {"security.protocol": "SSL", "ssl.ca.location": certificates / "ca.pem"}, mutual,
         "ssl.certificate.location"),
        ("a stranger's certificate", "stranger", {**by_certificate, "ssl.certificate.location": certificates / "other.pem",
                                                  "ssl.key.location": certificates / "other.key"}, mutual, "ssl.certificate.location"),
        ("wrong pass phrase of the key", "phrase", {**by_certificate, "ssl.key.password": mistaken}, mutual, "source.kafka"),
        ("no TLS where it is wanted", "plain", {"security.protocol": "PLAINTEXT"}, sasl, "security.protocol"),
        ("TLS where there is none", "tls", by_certificate, plain, "security.protocol"),
        ("a file of the secret that is not there", "absent", {**by_certificate, "ssl.key.password": "@/no/such/file"}, mutual, ""),
        ("a variable that is not set", "unset", {**scram, "sasl.password": "${NO_SUCH_VARIABLE}"}, sasl, ""),
    ):
        wrong(scenario, outputs, what, dataflow(scenario, name, settings), brokers, topic, hint)

    # what prints settings, from a file, a flag and a mistake
    path = scenario.work / "password.toml"
    for arguments in (("check", path), ("check", path, "--json"), ("plan", path), ("run", path, "--dry-run"),
                      ("run", path, "--dry-run", "--json"), ("run", "bars", "--dry-run", "--set", f'source.kafka."sasl.password"={mistaken}'),
                      ("run", "bars", "--dry-run", "--set", f'source.kafka={{ "sasl.password" = "{mistaken}" }}'),
                      ("check", "bars", "--set", f'source.kafka."sasl.password"=["{mistaken}"]'),
                      ("check", "bars", "--set", f'source.kafka."ssl.key.password={mistaken}')):
        outputs.run(*arguments, code=None)
    for folder in lakes:
        for arguments in (("query", "select * from epochs", "--json"), ("epochs", "show")):
            outputs.run(*arguments, "--warehouse", folder)
    found, files = outputs.seen(lakes)
    loud = sum(len(text) for _, text in outputs.texts)
    scenario.check(not found, f"no secret in {len(outputs.texts)} outputs of {loud:,} letters and {files} files of the lakes", found)
    masked = [text for what, text in outputs.texts if "--dry-run" in what]
    scenario.check(masked and all("***" in text for text in masked), "settings that are secret are shown as ***", masked[:1])
    scenario.end()


if __name__ == "__main__":
    main()
