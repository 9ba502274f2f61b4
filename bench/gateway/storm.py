"""Cached requests while new tokens saturate the RSA: with the thread pool and inline, in turns."""

from load import Load

SECONDS = 2
# Connections that send new tokens as fast as they are answered.
STORM = 64
# Connections that send a cached one, with pauses.
CACHED = 4


def slice_of(server, token, new_tokens, stormy):
    """The latencies of cached requests, in microseconds, and how many new tokens were resolved in each second."""
    # The storm is there before and after what is measured.
    storm = Load(server.url("/resolve"), SECONDS + 1, rotate=new_tokens, connections=STORM) if stormy else None
    cached = Load(server.url("/resolve"), SECONDS, token, paced=True, connections=CACHED).result()
    resolved = storm.result()["per_second"] if storm else 0
    return {"p50": cached["p50"], "p99": cached["p99"], "resolved_per_second": resolved}


def measure(threaded, inline, token, new_tokens, rounds, progress):
    """Returns { calm | threaded | inline: { p50: [...], p99: [...], resolved_per_second: [...] } }."""
    arms = {"calm": (threaded, False), "threaded": (threaded, True), "inline": (inline, True)}
    results = {name: {"p50": [], "p99": [], "resolved_per_second": []} for name in arms}
    for number in range(rounds):
        progress(f"cold storm, round {number + 1} of {rounds}")
        for name, (server, stormy) in arms.items():
            for what, value in slice_of(server, token, new_tokens, stormy).items():
                results[name][what].append(value)
    return results
