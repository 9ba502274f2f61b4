"""Why a target is missed where it is, as a profiler showed it (docs/bench/README.md says how to look)."""

CAUSES = {}
