/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_history.h"

static apr_uint32_t step_of(apr_time_t now)
{
    return (apr_uint32_t)(now / UDR_HISTORY_STEP);
}

static apr_uint32_t read_word(const _Atomic apr_uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void write_word(_Atomic apr_uint32_t *word, apr_uint64_t value)
{
    atomic_store_explicit(word, value < APR_UINT32_MAX ? (apr_uint32_t)value : APR_UINT32_MAX, memory_order_relaxed);
}

bool udr_history_is_due(const udr_history_t *history, apr_time_t now)
{
    return read_word(&history->next) < step_of(now);
}

bool udr_history_is_to_look(udr_history_look_t *look, apr_uint64_t epoch, apr_time_t now)
{
    apr_uint32_t step = step_of(now);
    bool is_to = step != look->step || epoch != look->epoch;
    *look = (udr_history_look_t){step, epoch};
    return is_to;
}

/* What has been added since; each request is in one sample. A process that is late by a whole step finds more taken
 * than it knew of: then there is nothing left for it. */
static apr_uint64_t take_rest(_Atomic apr_uint64_t *taken, apr_uint64_t total)
{
    apr_uint64_t before = atomic_exchange(taken, total);
    return total > before ? total - before : 0;
}

void udr_history_take(udr_history_t *history, const udr_history_totals_t *totals, apr_time_t now)
{
    apr_uint32_t step = step_of(now);
    apr_uint32_t next = atomic_load(&history->next);
    udr_histogram_summary_t latency;
    if (next >= step || !atomic_compare_exchange_strong(&history->next, &next, step) || next == 0) {
        return;
    }
    udr_history_sample_t *sample = &history->ring[(step - 1) % UDR_HISTORY_STEPS];
    udr_histogram_read_since(totals->latency, &history->latency, &latency);
    /* A reader that meets the sample meanwhile sees that it is none. */
    atomic_store(&sample->step, 0);
    atomic_thread_fence(memory_order_release); /* no figure of the new sample before the 0; see spread() */
    write_word(&sample->steps, step - next);
    write_word(&sample->requests, take_rest(&history->requests, totals->requests));
    write_word(&sample->failed, take_rest(&history->failed, totals->failed));
    write_word(&sample->p50, latency.p50);
    write_word(&sample->p90, latency.p90);
    atomic_store(&sample->step, step - 1);
}

static udr_history_point_t point_of(const udr_history_sample_t *sample, apr_uint32_t steps)
{
    double seconds = (double)steps * (double)apr_time_sec(UDR_HISTORY_STEP);
    return (udr_history_point_t){
        .is_known = true,
        .rate = (double)read_word(&sample->requests) / seconds,
        .failed = (double)read_word(&sample->failed) / seconds,
        .p50 = read_word(&sample->p50),
        .p90 = read_word(&sample->p90),
    };
}

/* Puts a sample into all points that it covers. first: the step of the first point. */
static void spread(const udr_history_sample_t *sample, apr_uint32_t first, udr_history_point_t *points)
{
    apr_uint32_t last = atomic_load(&sample->step);
    apr_uint32_t steps = read_word(&sample->steps);
    udr_history_point_t point = point_of(sample, steps ? steps : 1);
    atomic_thread_fence(memory_order_acquire); /* who has read a new figure above reads no old step below */
    if (last < first || atomic_load(&sample->step) != last) {
        return;
    }
    for (apr_uint32_t i = 0; i < steps && i <= last - first; i++) {
        if (last - first - i < UDR_HISTORY_STEPS) {
            points[last - first - i] = point;
        }
    }
}

void udr_history_read(const udr_history_t *history, apr_time_t now, udr_history_point_t points[UDR_HISTORY_STEPS])
{
    apr_uint32_t step = step_of(now);
    apr_uint32_t next = read_word(&history->next);
    /* One behind the last point. */
    apr_uint32_t end = next + 1 == step ? next : step;
    apr_uint32_t first = end > UDR_HISTORY_STEPS ? end - UDR_HISTORY_STEPS : 0;
    for (unsigned int i = 0; i < UDR_HISTORY_STEPS; i++) {
        points[i] = (udr_history_point_t){.is_known = false};
    }
    for (unsigned int i = 0; i < UDR_HISTORY_STEPS; i++) {
        if (atomic_load(&history->ring[i].step) != 0) {
            spread(&history->ring[i], first, points);
        }
    }
}
