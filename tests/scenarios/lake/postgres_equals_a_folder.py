"""A lake whose catalog is in Postgres is the lake in a folder: killed, its server crashed, two writers racing, over TLS, no password shown.

The server is a real one on loopback that asks for a password (`tests/services/postgres.sh`); where it cannot be had, the
scenario is skipped. TICKTIDE_TEST_POSTGRES_PORT is its port. Readers get the pointers by `psql`.
"""
# s21_postgres: rotating, 45 s

import atexit
import os
import signal
import subprocess
import sys

from buckets import PACED, SETTINGS
from certificates import Certificates
from harness import SERVICES, Scenario, tail, wait_for
from oracle import disorder, glue, lake


class Server:
    """The Postgres."""

    def __init__(self, scenario):
        self.folder, self.port = scenario.work / "postgres", os.environ.get("TICKTIDE_TEST_POSTGRES_PORT", "21210")
        atexit.register(self.do, "down")
        done = self.do("up", self.port)
        if done.returncode == 77:
            print(f"== {scenario.name}: skipped: {done.stderr.strip()}", flush=True)
            sys.exit(77)
        if done.returncode != 0:
            scenario.give_up(f"Postgres does not start: {done.stderr}")
        self.password = done.stdout.strip()
        self.address = f"postgres://ticktide@127.0.0.1:{self.port}/lake"

    def do(self, what, *more):
        return subprocess.run([SERVICES / "postgres.sh", what, self.folder, *more], capture_output=True, text=True, check=False)

    def psql(self, sql, database="lake"):
        """The rows of a statement, by Postgres's own client."""
        done = subprocess.run(["psql", "-h", "127.0.0.1", "-p", self.port, "-U", "ticktide", "-d", database, "-At", "-F", "|", "-c", sql],
                              env={**os.environ, "PGPASSWORD": self.password}, capture_output=True, text=True, check=True)
        return [line.split("|") for line in done.stdout.splitlines()]

    def lake(self, database="lake"):
        """The lake whose catalog is in a database."""
        sql = "SELECT table_name, metadata_location FROM iceberg_tables WHERE catalog_name = 'ticktide' AND table_namespace = 'market'"
        return glue.Pointers(lambda: dict(self.psql(sql, database)))


def slots(folder):
    return len(list((folder / "log").glob("*.json")))


def compare(scenario, what, folder, other):
    """Every table of rows of the two lakes, by pyiceberg; the histories by what they sum up to."""
    connection, rows, different = lake.connect(), 0, {}
    names = [name for name in folder.tables() if name.startswith(("bars_", "indicators_", "ticks"))]
    for name in names:
        base = name.removesuffix("_history")
        folder.view(connection, base, "one")
        if base != name:
            other.history(connection, base, "other")
        else:
            other.view(connection, name, "other")
        rows += connection.execute("SELECT count(*) FROM other").fetchone()[0]
        only = lake.difference(connection, "one", "other")
        if any(only):
            different[name] = tuple(len(side) for side in only)
    scenario.check(not different and rows > 1_000, f"{what}: {rows} rows of [{', '.join(names)}] are the folder's", different)


def disturbed(scenario, server, warehouse, arguments):
    """Killed once, and once its server crashes under it and comes back after some seconds."""
    child = scenario.start(*arguments)
    wait_for(lambda: slots(warehouse) >= 3 or not child.running(), 120, 0.005)
    held = child.running()
    child.signal(signal.SIGKILL)
    child.wait(10)
    scenario.check(held, f"killed after {slots(warehouse)} epochs", tail(child.finished))
    before, child = slots(warehouse), scenario.start(*arguments)
    wait_for(lambda: slots(warehouse) >= before + 3 or not child.running(), 120, 0.005)
    held = child.running()
    server.do("crash")
    scenario.check(held and wait_for(lambda: not child.running(), 4) is None, "without its catalog the run waits")
    server.do("start")
    done = child.wait(120)
    scenario.check(done.code == 0, "when the server is back it goes on and ends well", tail(done))


def raced(scenario, warehouse, arguments):
    """Two writers at once: the later one takes over, the other is fenced; a third finishes."""
    writers = [scenario.start(*arguments, *PACED) for _ in range(2)]
    codes = sorted(writer.wait(120).code for writer in writers)
    scenario.check(codes == [0, 3], f"of two writers one is fenced: exit codes {codes}", [tail(writer.finished) for writer in writers])
    scenario.run(*arguments)
    scenario.note(f"{slots(warehouse)} epochs of both")


def refusals(scenario, server, path, ours):
    """Mistakes end with exit code 2 and a hint."""

    def refused(what, words, warehouse, catalog, code=2, command=(), **environment):
        given = command or ("run", "bars", "--source", "file", "--path", path, "--until", "end", *SETTINGS)
        done = scenario.run(*given, "--warehouse", warehouse, "--catalog", catalog, code=None, env=environment)
        text = done.stdout + done.stderr
        scenario.check(done.code == code and "hint:" in text and all(word in text for word in words),
                       f"{what}: exit code {done.code} after {done.wall_s:.1f} s with a hint", tail(done))
        scenario.check(not any(secret in text for secret in (server.password, "not-the-secret")), f"{what}: no password is shown", text)

    new = scenario.work / "refused"
    refused("a wrong password", ["pg_hba", f"127.0.0.1:{server.port}"], new, server.address.replace("@", ":not-the-secret@"), PGPASSWORD="not-the-secret")
    refused("no such database", ["createdb"], new, server.address.replace("/lake", "/nowhere"))
    refused("an address that is none", ["postgres://"], new, "postgres://ticktide:not-the-secret@:x/lake")
    refused("nobody there", [":9/lake"], new, f"postgres://ticktide:{server.password}@127.0.0.1:9/lake", code=1)
    refused("a lake of this catalog opened with none", ["belongs to the catalog postgres://"], ours, f"sqlite:{scenario.work}/other.db")
    refused("another lake's catalog", ["outside of the lake"], new, server.address)
    done = scenario.run("query", "select 1", "--warehouse", ours, code=2)
    scenario.check("--catalog postgres://" in done.stderr or "no catalog at" in done.stderr, "a reader without its catalog gets an error", tail(done))


def secured(scenario, server, ours, password):
    """The server takes only TLS: a run goes on over it, and it checks the certificate where the URL asks for that."""
    certificates = Certificates(scenario.work)
    done = server.do("tls", certificates.certificate, certificates.key)
    if done.returncode != 0:
        scenario.give_up(f"Postgres does not start with TLS: {done.stderr}")

    def counted(what, mode, code=0, word=""):
        done = scenario.run("query", "select count(*) as bars from bars_1m", "--json", "--warehouse", ours, "--catalog",
                            f"{server.address}{mode}", code=None)
        text = done.stdout + done.stderr
        holds = done.code == code and word in text and password not in text and (code == 0 or "hint:" in text)
        scenario.check(holds, f"{what}: exit code {done.code} after {done.wall_s:.1f} s", tail(done))

    trusted = f"&sslrootcert={certificates.authority}"
    counted("TLS where the server offers it", "", word='"bars":')
    counted("its certificate is of the authority given", f"?sslmode=verify-full{trusted}", word='"bars":')
    counted("a certificate of an authority that is not known", "?sslmode=verify-full", 2, "sslrootcert")
    counted("no TLS where the server insists", "?sslmode=disable", 2, "hostssl")


def main():
    scenario = Scenario(__doc__)
    server = Server(scenario)
    path = scenario.work / "all.jsonl"
    disorder.write(disorder.tape(120_000 if scenario.long else 40_000, 21), path)
    scenario.run_bars(path, scenario.work / "folder", *SETTINGS)
    folder = lake.Lake(scenario.work / "folder")
    scenario.environment = {"PGPASSWORD": server.password}

    def arguments(warehouse, address):
        return ("run", "bars", "--source", "file", "--path", path, "--until", "end", "--warehouse", warehouse, "--catalog", address,
                *SETTINGS)

    ours, place = scenario.work / "ours", server.address
    disturbed(scenario, server, ours, (*arguments(ours, place), *PACED))
    compare(scenario, "killed, its catalog crashed", folder, server.lake())
    counted = scenario.run("query", "select count(*) as bars from bars_1m", "--json", "--warehouse", ours, "--catalog", place).stdout
    scenario.check(f'"bars":{len(folder.rows("bars_1m"))}' in counted.replace(" ", ""), f"`ticktide query` reads it: {counted.strip()}")
    refusals(scenario, server, path, ours)

    server.psql("CREATE DATABASE raced")
    both = scenario.work / "both"
    raced(scenario, both, arguments(both, place.replace("/lake", "/raced")))
    compare(scenario, "two writers", folder, server.lake("raced"))
    secured(scenario, server, ours, server.password)
    scenario.verify("holds on the lake of two writers", "--warehouse", both, "--catalog", place.replace("/lake", "/raced"), *SETTINGS)

    # the password is given in the address once: it must stay there
    told = place.replace("@", f":{server.password}@")
    shown = scenario.run(*arguments(ours, told), "--dry-run", env={"PGPASSWORD": ""}).stdout
    scenario.check("ticktide:***@" in shown and server.password not in shown, "`--dry-run` shows the address without the password", shown)
    scenario.run(*arguments(ours, told), env={"PGPASSWORD": "", "TICKTIDE_LOG": "debug"})
    kept = [file for file in scenario.work.rglob("*") if file.is_file() and server.password.encode() in file.read_bytes()]
    scenario.check(not kept, "no file of the lake has the password", kept)
    scenario.end()


if __name__ == "__main__":
    main()
