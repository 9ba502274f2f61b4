"""Measures the websocket tunnel (main.rs), says which of its targets are met, and adds that to what
bench/gateway has written. run.sh runs it.

  PEER_WEBSOCKTUNNEL, PEER_WST_CLIENT   the original's server and client; several versions, separated by commas
  PEER_RATHOLE                          rathole
  QUICK=1  BENCH_OUT                    as for bench/gateway
"""

import json
import os
import pathlib
import sys
from statistics import median

# What it shares with the gateway's benchmark.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "gateway"))

from primitives import cargo_bench  # noqa: E402
from servers import ROOT, Failed  # noqa: E402
from table import markdown, number, targets_table  # noqa: E402
from targets import Target  # noqa: E402

PREFIX = "tunnel: "
LATENCY = "low load p50 ms"
# Figure, factor: what is asked for against the better of the originals, and against rathole.
AGAINST_ORIGINAL = {"requests/s at 1": 6, "requests/s at 16": 6, "requests/s at 64": 6, LATENCY: 0.2,
                    "download MB/s": 2, "8 downloads MB/s": 2.5, "upload MB/s": 2, "64 KiB ws round trip ms": 0.4}
AGAINST_RATHOLE = {"requests/s at 1": 0.5, "requests/s at 16": 0.5, "requests/s at 64": 0.5, "download MB/s": 0.9,
                   "8 downloads MB/s": 0.8}
IDLE_BYTES = 12_000
# Of each measurement, without QUICK.
ROUNDS = 3
# Why a target is missed where it is, as perf, callgrind and /proc/PID/task/*/status showed it.
TWO_WAKE_UPS = ("a request wakes the server twice, the client twice and the target once, and nothing else, as with rathole: "
                "no tunnel of two programs can do with less. At one connection 65 % of the server's and 79 % of the "
                "client's processor time is the kernel's, most of it waking the next process or going to sleep")
HTTP_TWICE = ("rathole does not read HTTP; the server reads and writes it twice, some 20 µs of its 45 for a request under "
              "load (47,600 instructions, 29 % of them hyper's client, 15 % malloc), and about 100 where a request comes every 10 ms and finds the caches cold")
CAUSES = {
    "requests/s at 1 against the better original": f"{TWO_WAKE_UPS}. {HTTP_TWICE}",
    "added p50 at low load against the better original": f"{TWO_WAKE_UPS}. {HTTP_TWICE}",
    "requests/s at 16 against the better original": HTTP_TWICE,
    "requests/s at 64 against the better original": HTTP_TWICE,
    "requests/s at 1 against rathole": HTTP_TWICE,
    "requests/s at 16 against rathole": HTTP_TWICE,
    "requests/s at 64 against rathole": HTTP_TWICE,
}
MIXED = "that original with itself"
ORIGINAL_DECIDES = ("the original's program on the other side is what both wait for, and its own samples of a download spread "
                    "by 10 to 40 %: a ratio between 0.9 and 1.1 changes from run to run")


def cause_of(name, unknown):
    return ORIGINAL_DECIDES if name.endswith(MIXED) else CAUSES.get(name, unknown)


def less_is_better(figure):
    return figure.endswith(" ms")


def originals(stacks):
    return [name for name in stacks if name.startswith("original ")]


def paired(ours, theirs):
    """Samples of the same rounds, without those in which a peer failed."""
    return [(one, other) for one, other in zip(ours, theirs) if one is not None and other is not None]


def better(figure, stacks):
    """The better of the originals, by its median; none where there is none, or none that works."""
    medians = {name: median(value for value in stacks[name] if value is not None)
               for name in originals(stacks) if any(value is not None for value in stacks[name])}
    choose = min if less_is_better(figure) else max
    return choose(medians, key=medians.get) if medians else None


def without_direct(stacks, name):
    """What a stack adds to the same request without a tunnel; none where the machine's mood swallowed it."""
    return [value - direct if value is not None and value > direct else None
            for value, direct in zip(stacks[name], stacks["direct"])]


def against_originals(figures):
    for figure, factor in AGAINST_ORIGINAL.items():
        stacks = figures[figure]
        name = better(figure, stacks)
        if name is None:
            continue
        ours, theirs, what = stacks["ours"], stacks[name], figure
        if figure == LATENCY:
            ours, theirs, what = without_direct(stacks, "ours"), without_direct(stacks, name), "added p50 at low load"
        samples = [one / other for one, other in paired(ours, theirs)]
        if samples:
            comparison = "<=" if less_is_better(figure) else ">="
            yield Target(f"{PREFIX}{what} against the better original", samples, comparison, factor)


def against_rathole(figures):
    for figure, factor in AGAINST_RATHOLE.items():
        samples = [one / other for one, other in paired(figures[figure]["ours"], figures[figure].get("rathole", []))]
        if samples:
            yield Target(f"{PREFIX}{figure} against rathole", samples, ">=", factor)


def half_and_half(figures):
    """With an original on the other side we are never slower than the original with itself: each pair's worst figure."""
    mixed = [name for name in figures[LATENCY] if name.startswith("ours, ")]
    for name in mixed:
        worst = {}
        for figure, stacks in figures.items():
            pairs = paired(stacks[name], stacks[name.split(" of ", 1)[1]])
            if pairs:
                worst[figure] = [theirs / ours if less_is_better(figure) else ours / theirs for ours, theirs in pairs]
        if worst:
            figure = min(worst, key=lambda figure: median(worst[figure]))
            # The figure's name stays out of the target's: it may be another one in the next run.
            target = Target(f"{PREFIX}{name}, slowest figure against {MIXED}", worst[figure], ">=", 1)
            target.figure = figure
            yield target


def targets(measured):
    """Every target that the stacks of this run allow to judge."""
    figures = measured["figures"]
    idle = [Target(f"{PREFIX}bytes per idle tunnel at {int(tunnels):,}", [value], "<=", IDLE_BYTES, 0)
            for tunnels, value in sorted(measured["idle_bytes"].items(), key=lambda item: int(item[0]))]
    return [*against_originals(figures), *against_rathole(figures), *half_and_half(figures), *idle]


def figures_table(figures):
    stacks = list(figures[LATENCY])
    rows = []
    for figure in AGAINST_ORIGINAL:
        cells = []
        for stack in stacks:
            values = [value for value in figures[figure][stack] if value is not None]
            cells.append(number(median(values)) if values else "failed")
        rows.append([figure, *cells])
    return markdown(["through the tunnel", *stacks], rows)


def memory_lines(measured):
    most = ", ".join(f"{name} {value:.0f}" for name, value in measured["resident_mb"].items() if "target" not in name)
    idle = ", ".join(f"{number(value)} at {int(tunnels):,}" for tunnels, value in measured["idle_bytes"].items())
    return f"most memory under load, MB: {most}\nbytes per idle tunnel: {idle or 'not measured, see above'}"


def measure(quick, rounds):
    measured = cargo_bench("tunnel", BENCH_ROUNDS=str(rounds), BENCH_SECONDS="0.2" if quick else "0.5")
    # In the order of the runs, which JSON does not keep.
    order = ["direct", "ours", *originals(measured["figures"][LATENCY]), "rathole"]
    for figure, stacks in measured["figures"].items():
        known = [name for name in order if name in stacks]
        measured["figures"][figure] = {name: stacks[name] for name in [*known, *sorted(set(stacks) - set(known))]}
    return measured


def add(path, measured, judged):
    """Into the results of the gateway, in place of those of an earlier run."""
    results = json.loads(path.read_text()) if path.is_file() else {"targets": []}
    kept = [target for target in results["targets"] if not target["name"].startswith(PREFIX)]
    results["targets"] = kept + judged
    results["tunnel"] = measured
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def as_json(target):
    line = target.as_json()
    if not target.met:
        line["cause"] = cause_of(target.name.removeprefix(PREFIX), line["cause"])
    if hasattr(target, "figure"):
        line["figure"] = target.figure
    return line


def main():
    quick = os.environ.get("QUICK", "") not in ("", "0")
    out = ROOT / (os.environ.get("BENCH_OUT") or "docs/bench/results.json")
    load = os.getloadavg()[0]
    measured = measure(quick, 1 if quick else ROUNDS)
    measured["load"] = load
    judged = [as_json(target) for target in targets(measured)]
    add(out, measured, judged)
    print(figures_table(measured["figures"]), memory_lines(measured), targets_table(judged), sep="\n\n")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"route_native: {failure}")
