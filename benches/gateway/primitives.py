"""The limits: what openssl and aws-lc need for the RSA alone, and the library against aws-lc (benches/limits.rs)."""

import json
import os
import re
import subprocess

from servers import ROOT, Failed


def openssl():
    """Microseconds of one private and one public operation of RSA-2048."""
    done = subprocess.run(["openssl", "speed", "-seconds", "1", "rsa2048"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True)
    private, public = re.search(r"^rsa\s+2048 bits\s+\S+\s+\S+\s+([\d.]+)\s+([\d.]+)", done.stdout, re.M).groups()
    return {"private_us": 1e6 / float(private), "public_us": 1e6 / float(public)}


def limits(rounds):
    """What benches/limits.rs measures, of the build that scripts/bench.sh has made."""
    features = ["--features", os.environ["CARGO_FEATURES"]] if os.environ.get("CARGO_FEATURES") else []
    done = subprocess.run(["cargo", "bench", "--quiet", *features, "--bench", "limits", "--", str(rounds)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"benches/limits.rs failed: {done.stderr.strip()}")
    return json.loads(done.stdout)
