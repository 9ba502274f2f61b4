"""The limits: what openssl and aws-lc need for the RSA alone, and the library against aws-lc (bench/library/limits.rs)."""

import json
import os
import re
import subprocess

from servers import ROOT, Failed


def cargo_bench(name, *arguments, **environment):
    """Runs one of Cargo.toml's benchmarks, of the build that run.sh has made; returns what it measured."""
    features = ["--features", os.environ["CARGO_FEATURES"]] if os.environ.get("CARGO_FEATURES") else []
    done = subprocess.run(["cargo", "bench", "--quiet", *features, "--bench", name, "--", *arguments], cwd=ROOT,
                          env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"the benchmark {name} failed, see above")
    return json.loads(done.stdout)


def openssl():
    """Microseconds of one private and one public operation of RSA-2048."""
    done = subprocess.run(["openssl", "speed", "-seconds", "1", "rsa2048"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True)
    private, public = re.search(r"^rsa\s+2048 bits\s+\S+\s+\S+\s+([\d.]+)\s+([\d.]+)", done.stdout, re.M).groups()
    return {"private_us": 1e6 / float(private), "public_us": 1e6 / float(public)}


def limits(rounds):
    """What bench/library/limits.rs measures."""
    return cargo_bench("limits", str(rounds))
