-- wrk: prints one line of JSON at the end. Times are in microseconds.

function done(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.timeout
    print(('{"requests": %d, "microseconds": %d, "refused": %d, "failed": %d, "p50": %d, "p99": %d}'):format(
        summary.requests, summary.duration, errors.status, failed, latency:percentile(50), latency:percentile(99)))
end
