"""Why a target is missed where it is, as a profiler showed it (docs/bench.md says how to look)."""

CAUSES = {}
