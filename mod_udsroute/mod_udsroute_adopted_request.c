/* SPDX-License-Identifier: Apache-2.0 */
/* An adopted connection's requests: looked for, read and served on the loop. */
#include "mod_udsroute/mod_udsroute_adopted_private.h"
#include "mod_udsroute/mod_udsroute_filters.h"
#include "mod_udsroute/mod_udsroute_head.h"
#include "mod_udsroute/mod_udsroute_input.h"
#include "mod_udsroute/mod_udsroute_names.h"
#include "mod_udsroute/udr_clock.h"

#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include <stdatomic.h>
#include <sys/resource.h>

/* A request's head is looked for in so many bytes, and for so long after its first: larger and slower ones a worker
 * reads, within httpd's limits and mod_reqtimeout's times. */
#define HEAD_MAX  8192
#define HEAD_TIME apr_time_from_sec(1)

/* Hooks before the handler that take longer than this (authentication against a directory, say) have no place on a
 * loop: for so long the member's connections let workers read their requests; then it is tried again. */
#define SLOW_HOOKS  apr_time_from_msec(5)
#define SLOW_PERIOD apr_time_from_sec(5)

/* So many pipelined requests are served before others have their turn. */
#define IN_A_ROW 16

typedef enum found_t {
    HEAD_NONE,
    HEAD_PART,
    HEAD_WHOLE,
    HEAD_PLAIN, /* and looked_t has it */
    HEAD_LARGE,
    HEAD_GONE
} found_t;

/* A head that was looked at before core's filter has seen it. */
typedef struct looked_t {
    udr_slice_t bytes;
    udr_head_t head;
} looked_t;

/* Empty lines before a request line are skipped by httpd (RFC 9112, 2.2), which then waits for that line. */
static bool has_empty_line(const char *data, apr_size_t len)
{
    const char *end = data + len;
    while (data < end && (*data == '\r' || *data == '\n')) {
        data++;
    }
    for (const char *at = data; (at = memchr(at, '\n', (apr_size_t)(end - at))) != NULL;) {
        at++;
        if (at < end && *at == '\n') {
            return true;
        }
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') {
            return true;
        }
    }
    return false;
}

/* mod_logio counts what is looked at as if it had been taken: %I would be twice the request's size. */
static void uncount(const udr_adopted_t *a, apr_size_t len)
{
    APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_in) *add = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_in);
    if (add) {
        add(a->c, -(apr_off_t)len);
    }
}

/* Looks, without taking anything, whether the head of the next request is there; through the input filters, so that TLS
 * is the same. */
static found_t look_through_filters(udr_adopted_t *a)
{
    found_t found = HEAD_GONE;
    apr_size_t len = HEAD_MAX;
    apr_status_t rv = ap_get_brigade(a->c->input_filters, a->bb, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, HEAD_MAX);
    if (APR_STATUS_IS_EAGAIN(rv) || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(a->bb))) {
        found = HEAD_NONE;
    } else if (APR_STATUS_IS_TIMEUP(rv)) {
        /* mod_reqtimeout's time for the body of the request before: it began to run when httpd looked for this one, and
         * the client took long to read the answer. It ends where a request is read. */
        found = HEAD_LARGE;
    } else if (rv == APR_SUCCESS && apr_brigade_flatten(a->bb, a->home->scratch.ptr, &len) == APR_SUCCESS && len > 0) {
        if (a->is_look_counted) {
            uncount(a, len);
        }
        if (has_empty_line(a->home->scratch.ptr, len)) {
            found = HEAD_WHOLE;
        } else {
            /* mod_ssl shows no more than the first record until it is taken: the rest may have come already. */
            found = len < HEAD_MAX && !udr_filters_keep_back(a->c) ? HEAD_PART : HEAD_LARGE;
        }
    }
    apr_brigade_cleanup(a->bb);
    return found;
}

/* The same, past the filters, where none of them would mind; if the head is no plain one, through the filters after
 * all.
 */
static found_t look_for_head(udr_adopted_t *a, looked_t *looked)
{
    apr_status_t rv = udr_input_look(a->c, a->home->scratch.ptr, &looked->bytes);
    if (rv == APR_SUCCESS) {
        if (udr_head_is_plain(&looked->head, looked->bytes, a->c) &&
            !(looked->head.has_body && udr_input_is_timed(a->c))) {
            return HEAD_PLAIN;
        }
        udr_input_take(a->c, looked->bytes, 0);
    } else if (APR_STATUS_IS_EAGAIN(rv)) {
        return HEAD_NONE;
    } else if (rv != APR_ENOTIMPL) {
        return HEAD_GONE;
    }
    return look_through_filters(a);
}

void udr_adopted_let_worker_read(udr_adopted_t *a)
{
    a->head_begun = 0;
    udr_adopted_set_phase(a, PHASE_SERVE);
    a->is_bodiless = false;
    a->job = JOB_READ;
    udr_adopted_go_to_worker(a);
}

/* A thread that had to wait for a processor has been slow without its fault: what counts is that it slept, or burnt the
 * time itself. Taken once a round, and only for a while after something was slow, as it costs a system call. */
static void take_usage(udr_home_t *home)
{
    if (home->usage_taken_at != udr_loop_now(home->loop)) {
        home->usage_taken_at = udr_loop_now(home->loop);
        (void)getrusage(RUSAGE_THREAD, &home->usage);
    }
}

/* A moment ago: looking at the clock costs more than it is worth while nothing is slow. */
static apr_time_t recently(const udr_home_t *home)
{
    return home->recently > udr_loop_now(home->loop) ? home->recently : udr_loop_now(home->loop);
}

static apr_interval_time_t processor_time(const struct rusage *usage)
{
    return apr_time_make(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec,
                         usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

apr_time_t udr_adopted_judge_hooks(udr_adopted_t *a, const request_rec *r)
{
    apr_time_t now = udr_clock_now();
    struct rusage usage;
    a->home->recently = now;
    if (now - a->serving_since < SLOW_HOOKS || getrusage(RUSAGE_THREAD, &usage) != 0) {
        return now;
    }
    bool is_known = a->home->usage_taken_at == udr_loop_now(a->home->loop);
    a->home->suspects_until = now + SLOW_PERIOD;
    if (!is_known) {
        return now; /* the next one will be judged */
    }
    if (usage.ru_nvcsw > a->home->usage.ru_nvcsw ||
        processor_time(&usage) - processor_time(&a->home->usage) >= SLOW_HOOKS) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      "the hooks before the handler took %ld us: for a while workers read requests for %s",
                      (long)(now - a->serving_since), udr_balancer_print(a->balancer, r->pool));
        atomic_store_explicit(&a->balancer->slow_until, now + SLOW_PERIOD, memory_order_relaxed);
    }
    a->home->usage = usage;
    return now;
}

/* As ap_process_async_request(), which would send an error page from here: that may be a file, a program or another
 * request. (Where there are quick handlers, workers read the requests.) */
static int run_hooks(request_rec *r)
{
    int rc = ap_process_request_internal(r);
    return rc == OK ? ap_invoke_handler(r) : rc;
}

/* looked: NULL, or a plain head. NULL: it has been refused. */
static request_rec *read_request(udr_adopted_t *a, const looked_t *looked)
{
    bool is_refused = false;
    request_rec *r = looked ? udr_head_make_request(a->c, &looked->head, looked->bytes, &is_refused) : NULL;
    if (r || is_refused) {
        a->is_bodiless = r && !looked->head.has_body;
        return r;
    }
    if (looked) {
        udr_input_take(a->c, looked->bytes, 0);
    }
    a->is_bodiless = false;
    return ap_read_request(a->c);
}

/* Reads the request whose head is there and runs it through httpd's hooks; our handler starts an exchange, another one
 * goes to a worker. */
static void serve(udr_adopted_t *a, const looked_t *looked)
{
    conn_rec *c = a->c;
    a->head_begun = 0;
    UDR_STEP_PART("reading a request");
    udr_adopted_set_phase(a, PHASE_SERVE);
    c->keepalive = AP_CONN_UNKNOWN;
    c->cs->state = CONN_STATE_READ_REQUEST_LINE;
    request_rec *r = read_request(a, looked);
    if (!r || r->status != HTTP_OK) {
        /* It has been answered, and a client that does not read need not have taken that: closing would wait for it. */
        c->keepalive = AP_CONN_CLOSE;
        udr_adopted_after_request(a, false);
        return;
    }
    udr_adopted_take_settings(a, r->server);
    c->cs->state = CONN_STATE_HANDLER;
    if (a->home->suspects_until > udr_loop_now(a->home->loop)) {
        take_usage(a->home);
        a->serving_since = udr_clock_now();
    } else {
        a->serving_since = recently(a->home);
    }
    UDR_STEP_PART("a request's hooks");
    int rc = run_hooks(r);
    if (rc == SUSPENDED && a->job == JOB_NONE) {
        udr_adopted_arm(a);
    } else if (rc == SUSPENDED) {
        udr_adopted_go_to_worker(a); /* not before httpd has let go of the request */
    } else if (rc == OK || rc == DONE) {
        udr_adopted_end_request(a, r);
    } else {
        a->r = r;
        a->error = rc;
        a->job = JOB_ERROR;
        udr_adopted_go_to_worker(a);
    }
}

static bool has_slow_hooks(const udr_adopted_t *a)
{
    return a->balancer &&
           atomic_load_explicit(&a->balancer->slow_until, memory_order_relaxed) > udr_loop_now(a->home->loop);
}

/* mod_cache, say: it comes before all other hooks, and reads files. Hooks stay as they are while a child lives, and APR
 * takes long to say which there are. */
static bool has_quick_handlers(void)
{
    enum { UNKNOWN, NONE, SOME };
    static atomic_int known;
    int found = atomic_load_explicit(&known, memory_order_relaxed);
    if (found == UNKNOWN) {
        found = ap_hook_get_quick_handler() && ap_hook_get_quick_handler()->nelts > 0 ? SOME : NONE;
        atomic_store_explicit(&known, found, memory_order_relaxed);
    }
    return found == SOME;
}

/* Serves the next request if its head is there. Returns whether to look for another. */
static bool take_request(udr_adopted_t *a)
{
    looked_t looked;
    found_t found = look_for_head(a, &looked);
    switch (found) {
    case HEAD_NONE:
        if (a->client_left_at) {
            udr_adopted_bury(a);
        } else if (!a->timer.place) {
            udr_adopted_set_timer(a, a->keep_alive_timeout); /* what is no request yet does not prolong it */
        }
        return false;
    case HEAD_PART:
        if (!a->head_begun) {
            a->head_begun = udr_loop_now(a->home->loop);
            udr_adopted_set_timer(a, HEAD_TIME);
        }
        return false;
    case HEAD_WHOLE:
    case HEAD_PLAIN:
        if (has_slow_hooks(a) || has_quick_handlers() || udr_input_was_awaited() || udr_names_are_wanted_by(a->c)) {
            if (found == HEAD_PLAIN) {
                udr_input_take(a->c, looked.bytes, 0);
            }
            udr_adopted_let_worker_read(a);
            return false;
        }
        serve(a, found == HEAD_PLAIN ? &looked : NULL);
        return true;
    case HEAD_LARGE:
        udr_adopted_let_worker_read(a);
        return false;
    case HEAD_GONE:
        udr_adopted_bury(a);
        return false;
    }
    return false;
}

void udr_adopted_defer(udr_adopted_t *a)
{
    if (!a->is_deferred) {
        a->is_deferred = true;
        udr_loop_defer(a->home->loop, &a->again_task);
    }
}

void udr_adopted_next_request(udr_adopted_t *a)
{
    UDR_ASSERT(udr_loops_here() == a->home);
    UDR_STEP_PART("looking for a request");
    udr_adopted_set_phase(a, PHASE_REQUEST);
    a->is_in_row = true;
    a->is_quiet = false;
    for (int i = 0; i < IN_A_ROW && a->is_here && a->phase == PHASE_REQUEST && !a->is_quiet; i++) {
        if (!take_request(a)) {
            break;
        }
    }
    a->is_in_row = false;
    if (a->is_here && a->phase == PHASE_REQUEST && !a->timer.place) {
        /* A client that sends without end must not keep the others waiting. */
        udr_adopted_defer(a);
    }
}
