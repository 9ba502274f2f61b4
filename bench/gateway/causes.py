"""Why a target is missed where it is, as a profiler showed it (docs/bench/README.md says how to look). Printed only for a
target that a run has missed."""

CAUSES = {
    "hot path, requests/s against plain proxy_pass":
        "perf, processor time a request of some 25 µs: an empty access hook costs 0.7 to 0.9 µs in lua-nginx-module and "
        "LuaJIT (a coroutine for each request), and resolve() 1.0 µs more: 0.53 in libroute_native.so, over half of it "
        "the GMAC that names the token, 0.33 in nginx (reading headers, setting two variables), 0.09 in the compiled trace. In a loop "
        "the same call takes 0.4 µs: between two requests the kernel's work has emptied the processor's caches",
    "cached phantom tokens, requests/s against plain proxy_pass":
        "perf: an empty rewrite hook alone costs 0.7 to 0.9 µs of a request's 25 in lua-nginx-module and LuaJIT (a coroutine "
        "for each request); run() adds reading the headers, a SHA-256 over the token, and setting two variables, of which "
        "nginx copies the JWT twice, into its variable and into the request",
    "hot path, requests/s against an empty Lua hook":
        "perf: resolve() costs 1.0 µs of a request's 25 where 0.5 are asked for: 0.53 in libroute_native.so (over half of it "
        "the GMAC over the token's 880 bytes), 0.33 in nginx (reading headers, setting two variables), 0.09 in the "
        "compiled trace; in a loop, with warm caches, it takes 0.4 µs",
    "resolve() of a cached token in nginx, shared tier, µs":
        "perf: nearly half is one SHA-256 over the token, which names it in the dictionary (0.66 µs for 880 bytes); the "
        "rest is the first tier's lookup (0.35), the dictionary itself (0.16), and three variables (0.15)",
}
