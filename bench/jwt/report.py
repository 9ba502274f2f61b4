"""Prints what run.sh has measured as two tables, and puts it under "jwt" into the results of `make bench`.

report.py CORE.json LUA.json PROOF.json [RESULTS.json]
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


def bound(proof, hits):
    """The table of DPoP: the check of a proof beside ES256 alone, and a bound hit beside a bearer hit."""
    rows = [["ES256 alone, the key parsed", f"{proof['primitive']:.1f}", ""],
            ["the same, the key parsed each time", f"{proof['primitive_with_key']:.1f}",
             f"{proof['primitive_with_key'] / proof['primitive']:.2f}"],
            ["check of a proof", f"{proof['core']:.1f}", f"{proof['of']:.2f}"],
            ["a request with a Bearer token, in nginx", f"{hits['bearer']:.1f}", ""],
            ["a request with a bound token and its proof", f"{hits['bound']:.1f}", f"{hits['bound'] / hits['bearer']:.2f}"]]
    return markdown(["DPoP, µs a call", "", "times"], rows)


def main(core_path, lua_path, proof_path, results_path=None):
    core, lua, proof = (json.loads(pathlib.Path(path).read_text()) for path in (core_path, lua_path, proof_path))
    costs = merged(core, lua)
    print(f"\n{table('verify', costs)}\n\n{table('sign', costs)}\n\n{bound(proof, lua['hits'])}\n\nlua-resty-jwt: {lua['peer']}")
    if results_path:
        path = pathlib.Path(results_path)
        results = json.loads(path.read_text()) if path.exists() else {}
        results["jwt"] = {"unit": "microseconds a call", "lua_resty_jwt": lua["peer"], "algorithms": costs,
                          "dpop": {"proof": proof, "hits": lua["hits"]}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
