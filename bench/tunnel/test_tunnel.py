"""What the tunnel's benchmark makes of its samples: python3 -m unittest discover -s bench/tunnel"""

import json
import pathlib
import tempfile
import unittest

import tunnel
from tunnel import LATENCY


def figures(**samples):
    """Every figure with the same samples, but those that are named."""
    return {figure: dict(samples) for figure in tunnel.AGAINST_ORIGINAL}


def judged(measured):
    return {target.name.removeprefix(tunnel.PREFIX): target for target in tunnel.targets(measured)}


class Verdicts(unittest.TestCase):
    def test_without_peers_only_memory_is_judged(self):
        measured = {"figures": figures(direct=[10], ours=[5]), "idle_bytes": {"10000": 12001.0, "1000": 11000.0}}
        targets = judged(measured)
        self.assertEqual(list(targets), ["bytes per idle tunnel at 1,000", "bytes per idle tunnel at 10,000"])
        self.assertEqual([target.met for target in targets.values()], [True, False])

    def test_the_better_original_counts_in_either_direction(self):
        stacks = {"direct": [0.5, 0.5], "ours": [12, 12], "original 1": [3, 3], "original 2": [1, 2]}
        self.assertEqual(tunnel.better("requests/s at 1", stacks), "original 1")
        self.assertEqual(tunnel.better("64 KiB ws round trip ms", stacks), "original 2")
        targets = judged({"figures": figures(**stacks), "idle_bytes": {}})
        self.assertEqual(targets["requests/s at 1 against the better original"].value, 4)
        self.assertFalse(targets["requests/s at 1 against the better original"].met)

    def test_every_cause_belongs_to_a_target_and_is_told_where_it_is_missed(self):
        stacks = {"direct": [0.5], "ours": [1.0], "original 1": [1.0], "rathole": [4.0]}
        targets = judged({"figures": figures(**stacks), "idle_bytes": {}})
        for name, cause in tunnel.CAUSES.items():
            self.assertEqual(tunnel.as_json(targets[name])["cause"], cause)

    def test_latency_is_what_the_tunnel_adds(self):
        measured = figures(direct=[1.0], ours=[2.0])
        measured[LATENCY] = {"direct": [0.1], "ours": [0.3], "original 1": [1.6], "original 2": [2.1]}
        target = judged({"figures": measured, "idle_bytes": {}})["added p50 at low load against the better original"]
        self.assertEqual((target.value, target.met), (0.13, True))

    def test_a_peer_that_failed_is_left_out(self):
        stacks = {"direct": [0.5, 0.5], "ours": [6, 8], "original 1": [None, 1], "original 2": [None, None]}
        targets = judged({"figures": figures(**stacks), "idle_bytes": {}})
        self.assertEqual(targets["requests/s at 16 against the better original"].samples, [8])
        self.assertIsNone(tunnel.better("requests/s at 1", {"direct": [1], "ours": [1], "original 1": [None]}))

    def test_half_and_half_is_judged_by_its_slowest_figure(self):
        name = "ours, client of original 1"
        measured = figures(direct=[1.0], ours=[9.0], **{"original 1": [2.0], name: [4.0]})
        measured["64 KiB ws round trip ms"][name] = [2.5]
        measured[LATENCY][name] = [1.0]
        target = judged({"figures": measured, "idle_bytes": {}})[f"{name}, slowest figure against that original with itself"]
        self.assertEqual((target.value, target.met, target.figure), (0.8, False, "64 KiB ws round trip ms"))
        self.assertEqual(tunnel.as_json(target)["figure"], "64 KiB ws round trip ms")


class Results(unittest.TestCase):
    def test_they_join_those_of_the_gateway_and_replace_their_own(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "results.json")
            old = [{"name": "hot path"}, {"name": tunnel.PREFIX + "old"}]
            path.write_text(json.dumps({"targets": old, "measured": 1}))
            tunnel.add(path, {"figures": {}}, [{"name": tunnel.PREFIX + "new"}])
            results = json.loads(path.read_text())
            self.assertEqual([target["name"] for target in results["targets"]], ["hot path", tunnel.PREFIX + "new"])
            self.assertEqual((results["measured"], results["tunnel"]), (1, {"figures": {}}))


if __name__ == "__main__":
    unittest.main()
