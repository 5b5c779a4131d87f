/* SPDX-License-Identifier: Apache-2.0 */
/* What comes after an answer on an adopted connection: the request's end, the rest of the writing, the next request. */
#include "mod_udsroute/mod_udsroute_adopted_private.h"
#include "mod_udsroute/mod_udsroute_input.h"

#include <http_protocol.h>
#include <http_request.h>
#include <mod_core.h>
#include <util_filter.h>

/* As ap_finalize_request_protocol(), which discards what has not been read of the body. */
static void finalize(const udr_adopted_t *a, request_rec *r)
{
    if (!a->is_bodiless || !r->eos_sent || r->input_filters->frec != ap_http_input_filter_handle) {
        ap_finalize_request_protocol(r);
    }
}

/* As ap_process_request_after_handler(), which looks for the next request, but for empty lines. */
static void log_and_free(udr_adopted_t *a, request_rec *r)
{
    conn_rec *c = a->c;
    bool has_more = false;
    if (!udr_input_is_known(c, &has_more)) {
        ap_process_request_after_handler(r);
        return;
    }
    APR_BRIGADE_INSERT_HEAD(a->bb, ap_bucket_eor_create(c->bucket_alloc, r));
    (void)ap_pass_brigade(c->output_filters, a->bb);
    apr_brigade_cleanup(a->bb);
    c->data_in_input_filters = has_more && c->keepalive != AP_CONN_CLOSE && !c->aborted;
    c->cs->state = c->aborted ? CONN_STATE_LINGER : CONN_STATE_WRITE_COMPLETION;
}

void udr_adopted_end_request(udr_adopted_t *a, request_rec *r)
{
    finalize(a, r);
    log_and_free(a, r);
    udr_adopted_after_request(a, !a->c->data_in_input_filters);
}

static void write_rest(udr_adopted_t *a, bool is_quiet)
{
    conn_rec *c = a->c;
    UDR_STEP_PART("writing to a client");
    apr_status_t rv = c->aborted ? APR_ECONNABORTED : udr_client_write_pending(c);
    if (rv == APR_EAGAIN) {
        udr_adopted_set_phase(a, PHASE_WRITE);
        udr_loop_watch_out(a->home->loop, &a->watch, true);
        udr_adopted_set_timer(a, a->timeout);
    } else if (rv != APR_SUCCESS || c->keepalive != AP_CONN_KEEPALIVE || a->home->is_stopping) {
        udr_adopted_bury(a);
    } else {
        udr_adopted_set_phase(a, PHASE_REQUEST);
        a->head_begun = 0;
        a->is_quiet = is_quiet && !a->client_left_at;
        if (a->is_quiet) {
            udr_adopted_set_timer(a, a->keep_alive_timeout);
            return;
        }
        udr_loop_clear_timer(a->home->loop, &a->timer);
        if (!a->is_in_row) {
            udr_adopted_next_request(a);
        }
    }
}

void udr_adopted_again(udr_task_t *task)
{
    udr_adopted_t *a = task->baton;
    a->is_deferred = false;
    if (a->is_here && a->phase == PHASE_REQUEST) {
        udr_adopted_next_request(a);
    } else if (a->is_here && a->phase == PHASE_WRITE) {
        write_rest(a, a->is_quiet);
    }
}

/* The answers of one round are written together at its end: a client, or the proxy before us, that takes one before the
 * next is there sleeps again, and has to be woken for each. */
void udr_adopted_after_request(udr_adopted_t *a, bool is_quiet)
{
    UDR_ASSERT(udr_loops_here() == a->home);
    if (a->c->data_in_output_filters && !a->c->aborted && udr_loop_has_more(a->home->loop)) {
        udr_adopted_set_phase(a, PHASE_WRITE);
        a->is_quiet = is_quiet;
        udr_adopted_defer(a);
    } else {
        write_rest(a, is_quiet);
    }
}
