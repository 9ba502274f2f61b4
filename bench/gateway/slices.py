"""Requests a second of each arm: short slices in turns, each turn in another order, so that whatever else the machine
does falls on all arms alike."""

import random

from load import Load, measured
from servers import Failed

# As short as wrk allows: the machine's mood changes within a second.
SECONDS = 0.3
# Slices of each arm in a round; a single round (QUICK) makes do with one.
SLICES = 4


class Arm:
    """A path of a running gateway. `token` is sent with every request, or the tokens of the file `rotate` in turn."""

    def __init__(self, name, server, path, token=None, rotate=None):
        self.name, self.server, self.url = name, server, server.url(path)
        self.token, self.rotate = token, rotate

    def load(self):
        return Load(self.url, SECONDS, self.token, self.rotate)


def measure(arms, rounds, progress):
    """Returns { arm: { per_second: [one a slice], worker_ns: [one a slice] } }."""
    results = {arm.name: {"per_second": [], "worker_ns": []} for arm in arms}
    order = list(arms)
    # Fixed, so that two runs differ in the machine alone.
    shuffled = random.Random(1)
    turns = rounds * SLICES if rounds > 1 else 1
    for number in range(turns):
        if number % SLICES == 0:
            progress(f"requests, round {number // SLICES + 1} of {rounds}")
        shuffled.shuffle(order)
        for arm in order:
            try:
                result = measured(arm.server.worker, arm.load)
            except Failed as failure:
                raise Failed(f"{failure}\n{arm.server.last_error()}") from None
            results[arm.name]["per_second"].append(result["per_second"])
            results[arm.name]["worker_ns"].append(result["worker_ns"])
    return results


def ratios(results, arm, base, what="per_second"):
    """One ratio for each turn of slices: they are neighbours in time, so the machine's mood cancels out."""
    return [one / other for one, other in zip(results[arm][what], results[base][what])]
