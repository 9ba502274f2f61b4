"""The table that is printed: what was measured, as the median with its quartiles, and every target."""

from statistics import median, quantiles

from slices import ratios

LABELS = {
    "plain": "plain proxy_pass",
    "empty_access": "empty access_by_lua hook",
    "empty_rewrite": "empty rewrite_by_lua hook",
    "resolve": "resolve(), hot, access phase",
    "resolve_in_rewrite": "resolve(), hot, rewrite phase",
    "balancer": "resolve(), hot, desktop from the token, kept alive",
    "connection_each": "resolve(), hot, a connection for each request",
    "shipped": "the shipped conf/, hot, with access log",
    "warm": "resolve(), warm: shared tier",
    "cold": "resolve(), cold: thread pool",
    "cold_inline": "resolve(), cold: inline",
    "phantom": "phantom token, cached",
    "phantom_header": "phantom token, cached, without phantom_proxy.conf",
    "peer": "the reference's Lua program, hot",
    "peer_cold": "the reference's Lua program, cold",
}


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def quartiles(samples):
    """The spread: half of the samples lie between these two."""
    if len(samples) < 2:
        return samples[0], samples[0]
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return low, high


def spread(samples, scale=1.0, digits=None):
    """`median (quartile … quartile)`"""
    show = number if digits is None else lambda value: f"{value:.{digits}f}"
    low, high = quartiles(samples)
    return f"{show(median(samples) * scale)} ({show(low * scale)} … {show(high * scale)})"


def markdown(header, rows):
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def requests_table(arms):
    rows = []
    for name, label in LABELS.items():
        if name in arms:
            rows.append([label, spread(arms[name]["per_second"]), spread(ratios(arms, name, "plain"), digits=3),
                         spread(arms[name]["worker_ns"], 1e-3)])
    return markdown(["through nginx, one worker", "requests/s", "of plain", "worker's CPU µs a request"], rows)


def calls_table(measured):
    rows, loops, openssl = [], measured["loops"], measured["openssl"]
    for name, label in (("resolve_first_tier", "resolve() in Lua, first tier"),
                        ("resolve_shared_tier", "resolve() in Lua, shared tier"), ("verify", "verify() in Lua")):
        rows.append([label, spread(loops[name], 1e-3)])
    for name in ("without", "with"):
        rows.append([f"resolve() in Lua, first tier, {name} metrics", spread(measured["metrics"][name], 1e-3)])
    for name, label in (("none", "no revocation"), ("many", "100,000 revocations")):
        rows.append([f"resolve() in Lua, first tier, {label}", spread(measured["revocations"][name], 1e-3)])
    for bits, arms in measured["limits"]["rsa"].items():
        rows += [[f"RSA-{bits}: aws-lc verify + decrypt", spread(arms["aws_lc_verify_and_decrypt"], 1e-3)],
                 [f"RSA-{bits}: cold resolve", spread(arms["resolve"], 1e-3)],
                 [f"RSA-{bits}: aws-lc verify", spread(arms["aws_lc_verify"], 1e-3)],
                 [f"RSA-{bits}: verify", spread(arms["verify"], 1e-3)]]
    rows.append(["RSA-2048: openssl speed, private operation", number(openssl["private_us"])])
    rows.append(["RSA-2048: openssl speed, public operation", number(openssl["public_us"])])
    for point in measured["limits"]["lookup"]:
        rows.append([f"first tier, a hit among {point['sessions']:,}", spread(point["hit"], 1e-3)])
    return markdown(["one call", "µs"], rows)


def storm_table(storm):
    labels = {"calm": "no storm", "threaded": "storm, thread pool", "inline": "storm, inline"}
    rows = [[labels[name], spread(arm["p50"], 1e-3), spread(arm["p99"], 1e-3), spread(arm["resolved_per_second"])]
            for name, arm in storm.items()]
    return markdown(["cached requests while new tokens storm", "p50, ms", "p99, ms", "new tokens/s"], rows)


def caches_table(points):
    rows = [[f"{point['sessions']:,}"] + [spread(point[name]) for name in
            ("dashmap_hit", "quick_cache_hit", "dashmap_insert_when_full", "quick_cache_insert_when_full")]
            for point in points]
    return markdown(["sessions", "dashmap hit, ns", "quick_cache hit, ns", "dashmap insert, ns", "quick_cache insert, ns"],
                    rows)


def targets_table(targets):
    signs = {">=": "≥", "<=": "≤"}
    rows = []
    for target in targets:
        met = "yes" if target["met"] else "no"
        reached = number(target["value"]) if target["value"] >= 100 else f"{target['value']:g}"
        if len(target["samples"]) > 1:
            low, high = quartiles(target["samples"])
            reached += f" ({number(low)} … {number(high)})"
        rows.append([target["name"], reached, f"{signs[target['comparison']]} {target['target']:,}", met])
    table = markdown(["target", "reached", "required", "met"], rows)
    notes = []
    for target in targets:
        if "by_processor_time" in target:
            notes.append(f"{target['name']}: {target['by_processor_time']} by the worker's processor time")
        if "cause" in target:
            notes.append(f"{'short of it' if target['met'] else 'missed'} because: {target['cause']}")
    return "\n".join([table, "", *notes])


def everything(results):
    measured = results["measured"]
    return "\n\n".join([requests_table(measured["requests"]), calls_table(measured), storm_table(measured["storm"]),
                        caches_table(measured["limits"]["lookup"]), targets_table(results["targets"])])
