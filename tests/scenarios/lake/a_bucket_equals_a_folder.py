"""A lake in a bucket is the lake in a folder: the same input, killed and cut off on the way, read by pyiceberg and DuckDB.

The store is an S3 of its own process on loopback that checks signatures (`tests/services/s3`).
"""
# s12_s3: always, 45 s

from buckets import PACED, SETTINGS, Store, compare, killed
from harness import Scenario, tail, wait_for
from oracle import disorder, lake

KILLS = 3


def cut_off(scenario, store, arguments):
    """Runs into a bucket whose server goes away for some seconds on the way and comes back."""
    child = scenario.start(*arguments)
    wait_for(lambda: store.slots("cut") >= 3 or not child.running(), 120, 0.005)
    held = child.running()
    store.stop()
    scenario.check(wait_for(lambda: not child.running(), 4) is None and held, "without its store the run waits")
    store.start()
    done = child.wait(180)
    scenario.check(done.code == 0, "when the store is back it goes on and ends well", tail(done))


def refusals(scenario, path, bucket):
    """Mistakes end with exit code 2 and a hint, and show no secret."""
    catalog = f"sqlite:{scenario.work}/refused.db"

    def refused(what, words, warehouse, *more, code=2, **environment):
        scenario.environment = {**bucket.environment(), **environment}
        done = scenario.run_bars(path, warehouse, *more, code=None)
        text = done.stdout + done.stderr
        holds = done.code == code and "hint:" in text and all(word in text for word in words)
        scenario.check(holds, f"{what}: exit code {done.code} after {done.wall_s:.1f} s with a hint", tail(done))
        secrets = [bucket.secret_key, "not-the-secret"]
        scenario.check(not any(secret in text for secret in secrets), f"{what}: no secret is shown", tail(done))
        scenario.environment = bucket.environment()

    refused("no catalog", ["--catalog"], "s3://market/refused")
    refused("a wrong secret", ["SignatureDoesNotMatch"], "s3://market/refused", "--catalog", catalog, AWS_SECRET_ACCESS_KEY="not-the-secret")
    refused("no such bucket", ["NoSuchBucket"], "s3://elsewhere/refused", "--catalog", catalog)
    refused("a directory bucket", ["directory bucket"], "s3://lake--use1-az4--x-s3/refused", "--catalog", catalog)
    refused("another store's address", ["gs://"], "gs://market/refused", "--catalog", catalog)
    refused("nobody at the endpoint", ["127.0.0.1"], "s3://market/refused", "--catalog", catalog, code=1,
            TICKTIDE_S3_ENDPOINT="http://127.0.0.1:9")
    refused("another lake's catalog", ["outside of the lake"], "s3://market/refused", "--catalog", f"sqlite:{scenario.work}/whole.db")


def main():
    scenario = Scenario(__doc__)
    path = scenario.work / "all.jsonl"
    disorder.write(disorder.tape(120_000 if scenario.long else 40_000, 12), path)
    scenario.run_bars(path, scenario.work / "folder", *SETTINGS)
    folder = lake.Lake(scenario.work / "folder")

    store = Store(scenario)
    bucket = store.bucket
    scenario.environment = bucket.environment()

    def arguments(name):
        return ("run", "bars", "--source", "file", "--path", path, "--until", "end", *store.place(name), *SETTINGS)

    done = scenario.run(*arguments("whole"), "--set", "epoch.records=4000")
    scenario.note(f"{store.slots('whole')} epochs in the bucket after {done.wall_s:.1f} s")
    compare(scenario, "undisturbed", folder, store.lake("whole"), bucket)
    killed(scenario, store, (*arguments("killed"), *PACED), KILLS, slots=2)
    scenario.run(*arguments("killed"), *PACED)
    scenario.note(f"{store.slots('killed')} epochs, {KILLS + 1} of them takeovers")
    compare(scenario, f"killed {KILLS} times", folder, store.lake("killed"), bucket)
    scenario.verify("holds on it", *store.place("killed"), *SETTINGS)
    cut_off(scenario, store, (*arguments("cut"), *PACED))
    compare(scenario, "cut off", folder, store.lake("cut"), bucket)

    place = store.place("killed")
    counted = scenario.run("query", "select count(*) as bars from bars_1m", "--json", *place).stdout
    scenario.check(f'"bars":{len(folder.rows("bars_1m"))}' in counted.replace(" ", ""), f"`ticktide query` reads it: {counted.strip()}")
    listed = scenario.run("epochs", "ls", "--json", *place).stdout.splitlines()
    scenario.check(len(listed) == store.slots("killed"), f"`ticktide epochs ls` shows its {len(listed)} epochs")
    left = [name for name in store.folder.glob("market/*/probe/*") if name.is_file()]
    scenario.check(not left, "the probes left nothing behind", left)
    refusals(scenario, path, bucket)
    scenario.end()


if __name__ == "__main__":
    main()
