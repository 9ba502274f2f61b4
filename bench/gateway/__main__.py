"""Measures the gateway side by side with its limits, and says which targets it meets. `make bench` runs it.

  RUNS (9)      rounds of every arm, at least 5      QUICK=1   one round
  BENCH_OUT     the results as JSON (docs/bench/results.json); the plots go next to it
  PEER_LUA_PATH a directory with lua-resty-jwt, lua-resty-rsa and their needs: the reference's program is measured too,
                and lua-resty-jwt by bench/jwt/run.sh
"""

import json
import os
import pathlib
import platform
import secrets
import shutil
import sys
import tempfile
from contextlib import ExitStack, closing

import connections
import inside
import plots
import primitives
import slices
import storm
import table
from servers import HERE, ROOT, Failed, bash, desktop, gateway
from slices import Arm
from targets import targets
from tokens import Keys

# New tokens in the rotation: more than are in flight at once, so that none is resolved for two requests together.
NEW_TOKENS = 400
# They have expired, but within the largest leeway: such a token is accepted and never cached, so it is new each time.
EXPIRED = -60
LEEWAY = {"ROUTE_JWT_LEEWAY": "300"}
# A proxied WebSocket takes two connections, and nginx keeps a sixteenth of them back for what is new.
MANY_CONNECTIONS = {"ROUTE_WORKER_CONNECTIONS": str(2 * connections.COUNT * 9 // 8)}
# What includes revocations into a site, with room for 100,000.
WITH_REVOCATIONS = {"MORE": 'lua_shared_dict revocations 64m; '
                            'init_worker_by_lua_block { require("route_native.revocation").start() }'}


class Settings:
    """The environment, checked."""

    def __init__(self, environment):
        quick = environment.get("QUICK", "") not in ("", "0")
        runs = environment.get("RUNS") or "9"
        if not runs.isdigit() or int(runs) < 5:
            raise Failed(f'RUNS must be a number from 5 on, and is "{runs}"')
        self.quick, self.rounds = quick, 1 if quick else int(runs)
        self.out = pathlib.Path(environment.get("BENCH_OUT") or ROOT / "docs/bench/results.json").resolve()
        self.peer = environment.get("PEER_LUA_PATH")
        if self.peer and not pathlib.Path(self.peer, "resty/jwt.lua").is_file():
            raise Failed(f"PEER_LUA_PATH must be a directory with resty/jwt.lua, and is {self.peer}")


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def start(stack, directory, peer):
    """Every gateway that an arm needs, by name; each has one worker, and rests while another is measured."""
    keys = Keys(directory)
    behind = stack.enter_context(Stopping(desktop(directory)))
    def run(name, site="arms.conf", replacements=None, **environment):
        environment = {**keys.environment, **environment}
        replacements = {"MORE": "", **(replacements or {})}
        return stack.enter_context(Stopping(gateway(directory, name, site, behind, environment, **replacements)))
    token = keys.mint(1, 24 * 3600)[0]
    servers = {
        "hot": run("hot", **LEEWAY),
        "inline": run("inline", ROUTE_RSA_THREADS="0", **LEEWAY),
        # Without a cache of its own the worker finds every answer in the dictionary, as after another worker's miss.
        "warm": run("warm", ROUTE_CACHE_ENTRIES="0"),
        "unrevoked": run("unrevoked", replacements=WITH_REVOCATIONS),
        "revoked": run("revoked", replacements=WITH_REVOCATIONS),
        # Finds the module that counts nothing before the shipped one.
        "uncounted": run("uncounted", ROUTE_LUA_PATH=f"{HERE}/uncounted/?.lua;{ROOT}/lua/?.lua;{HERE}/?.lua"),
        "shipped": run("shipped", None),
        "phantom": run("phantom", "phantom.conf", {"JWT": token, "SOCKET": directory / "authorization-server"}),
    }
    if peer:
        servers["peer"] = run("peer", "peer.conf", ROUTE_LUA_PATH=f"{peer}/?.lua;{peer}/?/init.lua")
    return keys, servers, token


class Stopping(closing):
    """Stops a server at the end."""

    def __exit__(self, *_):
        self.thing.stop()


def arms_of(servers, token, new_tokens):
    hot, warm, inline = servers["hot"], servers["warm"], servers["inline"]
    # The same request in every arm, token included: to read its 900 bytes and to pass them on is nginx's own work.
    names = ["plain", "empty_access", "empty_rewrite", "resolve", "resolve_in_rewrite", "balancer", "connection_each"]
    arms = [Arm(name, hot, f"/{name}", token) for name in names]
    arms += [Arm("shipped", servers["shipped"], "/spawner", token), Arm("warm", warm, "/resolve", token),
             Arm("cold", hot, "/resolve", rotate=new_tokens), Arm("cold_inline", inline, "/resolve", rotate=new_tokens)]
    # What a client brings is short, and what it stands for is the same token as in /plain.
    opaque = secrets.token_urlsafe(32)
    arms += [Arm(name, servers["phantom"], f"/{name}", opaque) for name in ("phantom", "phantom_header")]
    if "peer" in servers:
        peer = servers["peer"]
        arms += [Arm("peer", peer, "/peer", token), Arm("peer_cold", peer, "/peer_cold", token)]
    return arms


def measure(settings, directory):
    with ExitStack() as stack:
        progress("starting the servers, minting tokens")
        keys, servers, token = start(stack, directory, settings.peer)
        new_tokens = directory / "new_tokens"
        rounds = settings.rounds

        measured = {"sessions": inside.sessions(servers["hot"]),
                    "loops": inside.loops(servers["hot"], servers["warm"], token, rounds, progress)}
        measured["revocations"] = inside.revocations(servers["unrevoked"], servers["revoked"], token, rounds, progress)
        measured["metrics"] = inside.metrics(servers["uncounted"], servers["hot"], token, rounds, progress)
        # Minted late: the slices that use them must end within the leeway.
        new_tokens.write_text("\n".join(keys.mint(NEW_TOKENS, EXPIRED)))
        measured["requests"] = slices.measure(arms_of(servers, token, new_tokens), rounds, progress)
        new_tokens.write_text("\n".join(keys.mint(NEW_TOKENS, EXPIRED)))
        measured["storm"] = storm.measure(servers["hot"], servers["inline"], token, new_tokens, rounds, progress)
        measured["connections"] = connections.measure(
            lambda name, upstream: stack.enter_context(Stopping(gateway(
                directory, name, "connections.conf", upstream, {**keys.environment, **MANY_CONNECTIONS}))),
            token, progress)
    progress("RSA, lookups and memory (bench/library/limits.rs)")
    measured["openssl"] = primitives.openssl()
    measured["limits"] = primitives.limits(rounds)
    return measured


def machine():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    return {"processor": model, "cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0],
            "nginx": bash('. scripts/nginx.sh && "$NGINX_BINARY" -v 2>&1', {}).strip().split("/", 1)[-1]}


def main():
    settings = Settings(os.environ)
    if os.getloadavg()[0] > os.cpu_count():
        progress("the machine is busy with other work, which moves requests a second and latencies")
    about = {"machine": machine(), "runs": settings.rounds, "quick": settings.quick}
    directory = pathlib.Path(tempfile.mkdtemp(prefix="route_native_bench."))
    try:
        measured = measure(settings, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    results = {**about, "targets": [target.as_json() for target in targets(measured)], "measured": measured}
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    settings.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    plots.draw(measured, settings.out.parent)
    print(table.everything(results))
    print(f"\nresults: {settings.out}, plots next to it")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"route_native: {failure}")
