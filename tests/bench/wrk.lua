-- SPDX-License-Identifier: Apache-2.0
-- What wrk measured, as one line of JSON; latencies in microseconds. There is no request() here, so that wrk sends one
-- and the same request.
-- closed: connections that ended before the whole answer was there.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %.0f, "p99": %.0f, "closed": %d, "failed": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), errors.read,
    errors.connect + errors.write + errors.status + errors.timeout))
end
