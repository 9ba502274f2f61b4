"""Prints what run.sh has measured as two tables, and puts it under "jwt" into the results of `make bench`.

report.py CORE.json LUA.json [RESULTS.json]
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "gateway"))

from table import markdown  # noqa: E402

COLUMNS = {"primitive": "aws-lc's own", "core": "core", "of": "core of aws-lc's", "jwt": "jwt, Lua", "resty_jwt": "resty_jwt, Lua",
           "lua_resty_jwt": "lua-resty-jwt"}


def merged(core, lua):
    """{ algorithm: { "verify" | "sign": { column: microseconds } } }"""
    return {name: {what: {**core[name][what], **lua["algorithms"][name][what]} for what in ("verify", "sign")}
            for name in core}


def table(what, costs):
    shown = [name for name in COLUMNS
             if name == "of" or any(cost[what][name] is not None for cost in costs.values())]
    rows = []
    for name, cost in costs.items():
        values = {**cost[what], "of": cost[what]["core"] / cost[what]["primitive"]}
        rows.append([name] + ["" if values[column] is None else f"{values[column]:.2f}" for column in shown])
    return markdown([f"{what}, µs a call", *(COLUMNS[column] for column in shown)], rows)


def main(core_path, lua_path, results_path=None):
    core, lua = (json.loads(pathlib.Path(path).read_text()) for path in (core_path, lua_path))
    costs = merged(core, lua)
    print(f"\n{table('verify', costs)}\n\n{table('sign', costs)}\n\nlua-resty-jwt: {lua['peer']}")
    if results_path:
        path = pathlib.Path(results_path)
        results = json.loads(path.read_text()) if path.exists() else {}
        results["jwt"] = {"unit": "microseconds a call", "lua_resty_jwt": lua["peer"], "algorithms": costs}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
