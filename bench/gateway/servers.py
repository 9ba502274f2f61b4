"""Starts what is measured: nginx with one worker on a free port, laid out as `make run` does it, and the desktop behind it."""

import os
import pathlib
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# How long a server may take to accept connections, in seconds.
PATIENCE = 30


class Failed(Exception):
    """What cannot be measured, in one sentence."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def filled(name, directory, replacements):
    """A file of this directory with its @NAMES@ replaced, written into another; returns its path."""
    text = (HERE / name).read_text()
    for placeholder, value in replacements.items():
        text = text.replace(f"@{placeholder}@", str(value))
    path = directory / name
    path.write_text(text)
    return path


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def bash(script, environment):
    """Runs a script in the checkout with more environment; returns its output."""
    done = subprocess.run(["bash", "-euc", script], cwd=ROOT, env={**os.environ, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed((done.stderr or done.stdout).strip())
    return done.stdout


def nginx_binary():
    return bash('. scripts/nginx.sh && echo "$NGINX_BINARY"', {}).strip()


class Nginx:
    """A running nginx; `worker` is the process id of its only worker."""

    def __init__(self, port, command, log, error_log, environment=None):
        self.port, self.error_log = port, error_log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        deadline = time.monotonic() + PATIENCE
        # The master listens before it has a worker.
        while not (accepts(port) and self.children()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Failed(f"nginx did not start: {pathlib.Path(log).read_text().strip()}")
            time.sleep(0.01)
        self.worker = self.children()[0]

    def children(self):
        pid = self.process.pid
        try:
            return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def last_error(self):
        """The end of its error log."""
        return self.error_log.read_text(errors="replace")[-2000:] if self.error_log.exists() else ""

    def stop(self):
        self.process.terminate()
        self.process.wait()


def desktop(directory):
    """The upstream of every arm."""
    port = free_port()
    home = directory / "desktop"
    home.mkdir()
    conf = filled("upstream.conf", home, {"PORT": port})
    command = [nginx_binary(), "-e", "stderr", "-p", str(home), "-c", str(conf)]
    return Nginx(port, command, home / "nginx.out", home / "upstream.log")


def gateway(directory, name, site, upstream, environment, **replacements):
    """A gateway whose site is a file of this directory, or the shipped one when `site` is None."""
    port = free_port()
    home = directory / name
    home.mkdir()
    environment = {
        "ROUTE_WORKERS": "1",
        "ROUTE_LISTEN": f"127.0.0.1:{port}",
        "ROUTE_LUA_PATH": f"{ROOT}/lua/?.lua;{HERE}/?.lua",
        "ROUTE_LOG_LEVEL": "warn",
        "SPAWNER_SERVICE_TCP_PORT": str(upstream.port),
        **environment,
    }
    if site:
        environment["SITE"] = str(filled(site, home, {"UPSTREAM_PORT": upstream.port, "HERE": HERE, **replacements}))
    bash(f". scripts/nginx.sh && scripts/lay-out.sh {home}", environment)
    etc, error_log = home / "etc", home / "logs/error.log"
    command = [nginx_binary(), "-e", str(error_log), "-p", str(etc), "-c", str(etc / "nginx.conf")]
    return Nginx(port, command, home / "nginx.out", error_log, {**os.environ, **environment})
