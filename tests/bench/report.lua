-- SPDX-License-Identifier: Apache-2.0
-- What wrk measured, as one line of JSON; latencies in microseconds. Defines no request(), so wrk sends one fixed request.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %.0f, "p99": %.0f, "errors": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
