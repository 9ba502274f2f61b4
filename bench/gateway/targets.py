"""The targets: what was asked for, and what was reached. A missed one is given its cause, as far as it is known."""

from statistics import median

from causes import CAUSES
from slices import ratios

MEBIBYTE = 1024 * 1024


class Target:
    """One line: the median of the samples is what counts. `by_processor_time` are samples of the same ratio made from the
    worker's processor time: what a worker with a processor of its own would reach, also where the machine was busy."""

    def __init__(self, name, samples, comparison, target, digits=2, by_processor_time=None):
        self.by_processor_time = by_processor_time
        self.name, self.samples, self.comparison, self.target = name, samples, comparison, target
        self.value = round(median(samples), digits)

    @property
    def met(self):
        return self.value >= self.target if self.comparison == ">=" else self.value <= self.target

    def as_json(self):
        line = {"name": self.name, "value": self.value, "target": self.target, "met": self.met,
                "comparison": self.comparison, "samples": self.samples}
        if self.by_processor_time:
            line["by_processor_time"] = round(median(self.by_processor_time), 3)
        if not self.met or line.get("by_processor_time", self.target) < self.target:
            line["cause"] = CAUSES.get(self.name, "not looked into yet; see docs/bench/README.md for how to profile")
        return line


def over(samples, base):
    return [one / other for one, other in zip(samples, base)]


def inverse(samples):
    return [1 / sample for sample in samples]


def targets(measured):
    """Every target of the project, from what __main__.py has measured."""
    arms, loops, storm = measured["requests"], measured["loops"], measured["storm"]
    revocations, open_connections = measured["revocations"], measured["connections"]
    rsa, memory = measured["limits"]["rsa"]["2048"], measured["limits"]["memory"]
    return [
        Target("hot path, requests/s against plain proxy_pass", ratios(arms, "resolve", "plain"), ">=", 0.96, 3,
               inverse(ratios(arms, "resolve", "plain", "worker_ns"))),
        Target("hot path, requests/s against an empty Lua hook", ratios(arms, "resolve", "empty_access"), ">=", 0.98, 3,
               inverse(ratios(arms, "resolve", "empty_access", "worker_ns"))),
        Target("cached phantom tokens, requests/s against plain proxy_pass", ratios(arms, "phantom", "plain"), ">=", 0.95, 3,
               inverse(ratios(arms, "phantom", "plain", "worker_ns"))),
        Target("resolve() of a cached token in nginx, first tier, µs",
               [ns / 1000 for ns in loops["resolve_first_tier"]], "<=", 0.5),
        Target("resolve() of a cached token in nginx, shared tier, µs",
               [ns / 1000 for ns in loops["resolve_shared_tier"]], "<=", 1.5),
        Target("resolve() of a cached token with 100,000 revocations, µs more than with none",
               [(many - none) / 1000 for many, none in zip(revocations["many"], revocations["none"])], "<=", 0.1, 3),
        Target("resolve() of a cached token with metrics, µs more than without",
               [(counted - not_counted) / 1000
                for counted, not_counted in zip(measured["metrics"]["with"], measured["metrics"]["without"])],
               "<=", 0.1, 3),
        Target("memory of an open WebSocket that a revocation can end, bytes more",
               [open_connections["bytes"]["revocation"] - open_connections["bytes"]["never"]], "<=", 1024, 0),
        Target("8,000 WebSockets of one worker have ended after their revocation, s",
               [open_connections["closing_seconds"]], "<=", 1),
        Target("cold resolve against aws-lc verify + decrypt",
               over(rsa["resolve"], rsa["aws_lc_verify_and_decrypt"]), "<=", 1.10),
        Target("verify alone (RS256) against aws-lc verify", over(rsa["verify"], rsa["aws_lc_verify"]), "<=", 1.3),
        Target("sessions in an 8 MB dictionary", [measured["sessions"]["pod"]], ">=", 32000, 0),
        Target("p99 of cached requests in a cold storm, thread pool against inline",
               over(storm["threaded"]["p99"], storm["inline"]["p99"]), "<=", 0.2),
        Target("memory of a worker's cache with 50,000 sessions, after 200,000, MB",
               [memory["growth"][-1]["bytes"] / MEBIBYTE], "<=", 16, 1),
    ]
