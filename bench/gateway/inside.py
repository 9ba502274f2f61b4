"""What one call costs inside nginx, and how many sessions a dictionary holds: asked of the gateways over HTTP."""

import urllib.request

from servers import Failed
from tokens import POD

CALLS = 200_000
# The revocations that a hit is measured with.
REVOCATIONS = 100_000


def ask(server, path, token=None):
    request = urllib.request.Request(server.url(path), headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return float(answer.read())


def loops(first, shared, token, rounds, progress):
    """Nanoseconds of a call, one a round: resolve() by tier, and verify() without any cache."""
    results = {"resolve_first_tier": [], "resolve_shared_tier": [], "verify": []}
    for number in range(rounds):
        progress(f"calls in Lua, round {number + 1} of {rounds}")
        results["resolve_first_tier"].append(ask(first, f"/loop/resolve/{CALLS}", token))
        results["resolve_shared_tier"].append(ask(shared, f"/loop/resolve/{CALLS // 2}", token))
        results["verify"].append(ask(first, f"/loop/verify/{CALLS // 50}", token))
    return results


def revocations(none, many, token, rounds, progress):
    """Nanoseconds of resolve() of a cached token, one a round, without a revocation and with many."""
    progress(f"{REVOCATIONS:,} revocations")
    if ask(many, f"/revoke/{REVOCATIONS}") != REVOCATIONS:
        raise Failed("the dictionary of revocations is full")
    results = {"none": [], "many": []}
    for number in range(rounds):
        progress(f"hits beside revocations, round {number + 1} of {rounds}")
        for name, server in (("none", none), ("many", many)):
            results[name].append(ask(server, f"/loop/resolve/{CALLS}", token))
    return results


def metrics(uncounted, counted, token, rounds, progress):
    """Nanoseconds of resolve() of a cached token, one a round, without metrics and with them."""
    results = {"without": [], "with": []}
    for number in range(rounds):
        progress(f"hits without and with metrics, round {number + 1} of {rounds}")
        for name, server in (("without", uncounted), ("with", counted)):
            results[name].append(ask(server, f"/loop/resolve/{CALLS}", token))
    return results


def sessions(server):
    """Sessions in an 8 MB dictionary, by the kind of target."""
    targets = {"address": "10.244.13.201", "pod": POD, "longest_name": "x" * 253}
    return {kind: int(ask(server, f"/sessions?target={target}")) for kind, target in targets.items()}
