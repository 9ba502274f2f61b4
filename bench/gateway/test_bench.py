"""What the benchmark makes of its measurements: python3 -m unittest discover -s bench/gateway"""

import unittest
import xml.etree.ElementTree

import svg
from slices import ratios
from targets import Target


class Targets(unittest.TestCase):
    def test_the_median_counts_and_the_spread_is_told(self):
        line = Target("speed", [0.5, 0.97, 0.99], ">=", 0.96).as_json()
        self.assertEqual((line["value"], line["met"], line["samples"]), (0.97, True, [0.5, 0.97, 0.99]))
        self.assertNotIn("cause", line)

    def test_a_missed_target_says_why(self):
        line = Target("time", [2.0], "<=", 1.5).as_json()
        self.assertFalse(line["met"])
        self.assertTrue(line["cause"])

    def test_a_ratio_that_holds_only_because_the_machine_was_busy_says_so(self):
        line = Target("speed", [0.97], ">=", 0.96, 3, [0.9]).as_json()
        self.assertTrue(line["met"] and line["cause"])
        self.assertEqual(line["by_processor_time"], 0.9)
        self.assertNotIn("cause", Target("speed", [0.97], ">=", 0.96, 3, [0.96]).as_json())

    def test_what_just_meets_a_target_meets_it(self):
        self.assertTrue(Target("time", [1.5], "<=", 1.5).met)
        self.assertTrue(Target("speed", [1.5], ">=", 1.5).met)

    def test_slices_of_one_round_are_held_against_each_other(self):
        results = {"plain": {"per_second": [100, 10]}, "resolve": {"per_second": [90, 9]}}
        self.assertEqual(ratios(results, "resolve", "plain"), [0.9, 0.9])


class Charts(unittest.TestCase):
    def test_an_axis_ends_at_a_round_number_above_everything(self):
        for value, top in ((0.7, 1), (1, 1), (1.3, 2), (2.2, 2.5), (26_000, 50_000), (99_999, 100_000)):
            self.assertEqual(svg.nice_top(value), top)

    def test_charts_are_well_formed_and_hold_every_sample(self):
        bars = svg.bars("a <title>", "µs", {"one\ntwo": [[1, 2, 3], [4]]}, ["x & y", "z"])
        lines = svg.lines("growth", "ns", "sessions", {"hit": [(1, 10), (1000, 20)]}, ("limit", 30))
        for chart in (bars, lines):
            xml.etree.ElementTree.fromstring(chart)
        self.assertEqual(lines.count("<circle"), 2)


if __name__ == "__main__":
    unittest.main()
