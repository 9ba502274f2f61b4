"""Measures what settings of the way to a desktop cost a hot request, and what a flood at one desktop does to another:
`python3 bench/gateway/settings.py`, after a build.

  RUNS (5)       rounds, each with 4 slices of every arm      BASE_DIR   another checkout, measured as one more arm
"""

import asyncio
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing

import servers
import slices
from load import Load
from tokens import Keys

# The requests at the desktop that hangs: each takes two of the worker's 4096 connections.
FLOOD = 2500
SECONDS = 3
# Between a refusal and the next attempt, in seconds: the flood's own work must not be what is measured.
PAUSE = 5


class Stopping(closing):
    """Stops a server at the end."""

    def __exit__(self, *_):
        self.thing.stop()


def run(command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tls_desktop(directory):
    """The upstream of the TLS arm, and the file that verifies it."""
    port, home = servers.free_port(), directory / "tls"
    home.mkdir()
    key, certificate = home / "key.pem", home / "certificate.pem"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=desktop", "-addext", "subjectAltName=DNS:desktop.internal", "-keyout", key, "-out", certificate])
    conf = servers.filled("tls.conf", home, {"PORT": port, "CERTIFICATE": certificate, "KEY": key})
    command = [servers.nginx_binary(), "-e", "stderr", "-p", str(home), "-c", str(conf)]
    return servers.Nginx(port, command, home / "nginx.out", home / "upstream.log"), certificate


def costs(stack, directory, keys, token, rounds):
    """Requests a second and processor time of the shipped configuration with each setting."""
    plain = stack.enter_context(Stopping(servers.desktop(directory)))
    tls, authority = tls_desktop(directory)
    stack.enter_context(Stopping(tls))
    kinds = ("CLIENT", "TOKEN", "TARGET")
    rates = {f"ROUTE_LIMIT_{kind}_RATE": "1000000" for kind in kinds}
    connections = {f"ROUTE_LIMIT_{kind}_CONNECTIONS": "1000000" for kind in kinds}
    environments = {
        "off": {}, "one rate": {"ROUTE_LIMIT_TOKEN_RATE": "1000000"}, "three rates": rates,
        "one limit of open requests": {"ROUTE_LIMIT_TOKEN_CONNECTIONS": "1000000"},
        "three limits of open requests": connections, "all limits": {**rates, **connections},
        "wait": {"ROUTE_DESKTOP_WAIT": "30"},
        "TLS": {"ROUTE_DESKTOP_TLS": "on", "ROUTE_DESKTOP_TLS_CA": str(authority),
                "ROUTE_DESKTOP_TLS_NAME": "desktop.internal", "SPAWNER_SERVICE_TCP_PORT": str(tls.port)},
    }
    arms = []
    for name, environment in environments.items():
        server = servers.gateway(directory, name.replace(" ", "_"), None, plain, {**keys.environment, **environment})
        arms.append(slices.Arm(name, stack.enter_context(Stopping(server)), "/spawner", token))
    base = os.environ.get("BASE_DIR")
    if base:
        ours, servers.ROOT = servers.ROOT, pathlib.Path(base)
        server = servers.gateway(directory, "base", None, plain, keys.environment)
        servers.ROOT = ours
        arms.append(slices.Arm("base", stack.enter_context(Stopping(server)), "/spawner", token))
    results = slices.measure(arms, rounds, lambda text: print(f"bench: {text}", file=sys.stderr))
    for arm in arms:
        ratio = statistics.median(slices.ratios(results, arm.name, "off"))
        cost = statistics.median(one - other for one, other in
                                 zip(results[arm.name]["worker_ns"], results["off"]["worker_ns"]))
        print(f"{arm.name:30} {statistics.median(results[arm.name]['per_second']):9.0f}/s  {ratio:5.2f} of off  "
              f"{statistics.median(results[arm.name]['worker_ns']) / 1000:6.1f} us  {cost / 1000:+6.2f} us")


async def flood(port, token, statuses):
    """One request at the hanging desktop, sent again some seconds after each refusal."""
    head = f"GET /snapshot HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode())
            line = await reader.readline()
            statuses.append(line[9:12].decode() or "closed")
            writer.close()
        except OSError:
            statuses.append("closed")
        await asyncio.sleep(PAUSE)


async def beside(port, token, load):
    """Runs a load beside the flood; returns its result or why there is none, and the flood's answers."""
    statuses = []
    tasks = [asyncio.create_task(flood(port, token, statuses)) for _ in range(FLOOD)]
    await asyncio.sleep(SECONDS)
    try:
        result = await asyncio.to_thread(lambda: load().result())
    except servers.Failed as failure:
        result = str(failure)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return result, statuses


def latencies(result):
    return f"p50 {result['p50']} us, p99 {result['p99']} us"


def floods(stack, directory, keys, token, rounds):
    """The latency at one desktop, alone and beside a flood of another that hangs, without a limit and with one."""
    quiet = directory / "quiet"
    quiet.mkdir()
    plain = stack.enter_context(Stopping(servers.desktop(quiet)))
    # The kernel makes the connections, and nobody reads them.
    hanging = stack.enter_context(socket.create_server(("127.0.0.2", 0), backlog=16384))
    environment = {**keys.environment, "SNAPSHOT_SERVICE_TCP_PORT": str(hanging.getsockname()[1])}
    other = keys.mint(1, 3600, "127.0.0.2")[0]
    for name, more in {"no limit": {}, "64 open requests": {"ROUTE_LIMIT_TARGET_CONNECTIONS": "64"}}.items():
        server = servers.gateway(directory, name.replace(" ", "-"), None, plain, {**environment, **more})
        stack.enter_context(Stopping(server))
        def load(server=server):
            return Load(server.url("/spawner"), SECONDS, token, paced=True)
        for number in range(rounds):
            alone = load().result()
            result, statuses = asyncio.run(beside(server.port, other, load))
            seen = latencies(result) if isinstance(result, dict) else result.splitlines()[0]
            print(f"{name:18} round {number + 1}: alone {latencies(alone)}, beside the flood {seen}; "
                  f"answers to the flood: {({status: statuses.count(status) for status in sorted(set(statuses))})}")


def main():
    rounds = int(os.environ.get("RUNS") or "5")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="route_native_bench."))
    try:
        with ExitStack() as stack:
            keys = Keys(directory)
            token = keys.mint(1, 24 * 3600)[0]
            costs(stack, directory, keys, token, rounds)
            floods(stack, directory, keys, token, rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except servers.Failed as failure:
        sys.exit(f"route_native: {failure}")
