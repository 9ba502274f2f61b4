"""The plots of docs/bench/, from the results."""

from statistics import median

import svg

ARMS = {
    "plain": "plain\nproxy_pass", "empty_access": "empty\nhook", "resolve": "hot", "balancer": "hot,\nbalancer",
    "shipped": "hot,\nshipped conf", "warm": "warm", "peer": "reference,\nhot", "cold": "cold",
    "cold_inline": "cold,\ninline", "peer_cold": "reference,\ncold",
}


def requests(measured):
    arms = measured["requests"]
    groups = {text: [arms[name]["per_second"]] for name, text in ARMS.items() if name in arms}
    return svg.bars("Requests a second, one worker", "req/s", groups, ["median and quartiles"])


def storm(measured):
    arms = measured["storm"]
    names = {"calm": "no storm", "threaded": "storm,\nthread pool", "inline": "storm,\ninline"}
    groups = {text: [[us / 1000 for us in arms[name][what]] for what in ("p50", "p99")] for name, text in names.items()}
    return svg.bars("Cached requests while new tokens saturate the RSA", "ms", groups, ["p50", "p99"])


def key_size(measured):
    groups = {f"RSA-{bits}": [[ns / 1e6 for ns in arms[name]] for name in ("aws_lc_verify_and_decrypt", "resolve")]
              for bits, arms in measured["limits"]["rsa"].items()}
    return svg.bars("A new token, by key size", "ms", groups, ["aws-lc verify + decrypt", "cold resolve"])


def lookup(measured):
    points = measured["limits"]["lookup"]
    names = {"hit": "hit with a token of 876 bytes", "dashmap_hit": "the map alone", "quick_cache_hit": "quick_cache instead"}
    series = {text: [(point["sessions"], median(point[name])) for point in points] for name, text in names.items()}
    return svg.lines("First tier: time of a hit", "ns", "sessions", series)


def memory(measured):
    growth = measured["limits"]["memory"]["growth"]
    series = {"memory": [(point["sessions"], point["bytes"] / 2**20) for point in growth]}
    return svg.lines("First tier: memory of a worker, 50,000 entries at most", "MB", "sessions seen", series, ("target", 16))


def draw(measured, directory):
    directory.mkdir(parents=True, exist_ok=True)
    for plot in (requests, storm, key_size, lookup, memory):
        (directory / f"{plot.__name__}.svg").write_text(plot(measured))
