/* SPDX-License-Identifier: Apache-2.0 */
/* What may block, done for an adopted connection by a worker thread in a callback of the MPM. */
#include "mod_udsroute/mod_udsroute_adopted_private.h"
#include "mod_udsroute/mod_udsroute_handler.h"
#include "mod_udsroute/mod_udsroute_input.h"
#include "mod_udsroute/mod_udsroute_names.h"
#include "mod_udsroute/mod_udsroute_scoreboard.h"
#include "mod_udsroute/mod_udsroute_worker.h"

#include <ap_mpm.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

/* What ap_invoke_handler() and ap_process_async_request() do with a handler's result. */
static void end_request(request_rec *r, int rc)
{
    if (rc == DECLINED || rc == SUSPENDED) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, UDRNO(0019) "handler '%s' %s", r->handler ? r->handler : "(none)",
                      rc == DECLINED ? "is not found" : "suspends a request on an adopted connection, which can't be");
        rc = HTTP_INTERNAL_SERVER_ERROR;
    } else if (rc != OK && rc != DONE && rc != AP_FILTER_ERROR && !ap_is_HTTP_VALID_RESPONSE(rc)) {
        rc = HTTP_INTERNAL_SERVER_ERROR;
    }
    int status = r->status;
    if (rc != OK && rc != DONE) {
        r->status = HTTP_OK; /* ap_die() would take it for an error within an error page */
    }
    ap_die(rc, r);
    if (rc == AP_FILTER_ERROR && r->status == HTTP_OK) {
        r->status = status; /* a filter has answered, and what with is to be logged */
    }
    if (udr_names_are_wanted(r)) {
        /* The loop may have to: it writes what the client does not take at once, and then logs. */
        (void)udr_client_write_pending(r->connection);
        udr_names_ask(r);
    }
    ap_process_request_after_handler(r);
}

static void run_handler(udr_adopted_t *a)
{
    request_rec *r = a->r;
    const char *before = r->handler;
    r->handler = a->handler;
    int rc = ap_run_handler(r);
    r->handler = before;
    if (rc == SUSPENDED && a->owner == UDR_OWNER_LEAVING) {
        return; /* ours after all (mod_dir's redirects show late), and parked */
    }
    end_request(r, rc);
}

static void read_and_serve(udr_adopted_t *a)
{
    conn_rec *c = a->c;
    udr_names_ask_for(c); /* requests that can't be read are logged at once */
    c->keepalive = AP_CONN_UNKNOWN;
    c->cs->state = CONN_STATE_READ_REQUEST_LINE;
    request_rec *r = ap_read_request(c);
    if (!r || r->status != HTTP_OK) {
        c->keepalive = AP_CONN_CLOSE;
        return;
    }
    udr_adopted_take_settings(a, r->server);
    udr_names_ask(r); /* there is no other moment: httpd itself ends the request, and the loop may have to log it */
    (void)udr_scoreboard_begin(SERVER_BUSY_WRITE, r);
    c->cs->state = CONN_STATE_HANDLER;
    ap_process_async_request(r);
}

/* Goes on with an exchange whose next bytes pass a filter that may block or burn. Returns whether it has ended. */
static bool run_exchange(udr_adopted_t *a)
{
    udr_worker_t *worker = udr_worker_borrow();
    if (!worker) {
        udr_exchange_cancel(a->client->exchange);
        return true;
    }
    unsigned int ready = UDR_READY_CLIENT_OUT | UDR_READY_CLIENT_IN | UDR_READY_MEMBER_IN;
    a->client->wants_worker = false;
    udr_exchange_move(a->client->exchange, udr_worker_wake, udr_worker_wake_queued, worker, 0);
    bool has_ended = udr_worker_run(worker, a->client, ready, udr_server_config(a->r->server)->park);
    udr_exchange_move(a->client->exchange, udr_adopted_wake, udr_adopted_wake_queued, a, a->home->lane);
    udr_worker_return(worker);
    return has_ended;
}

/* What modules keep by thread (mod_lua its interpreter) goes by c->current_thread. */
static apr_thread_t *this_thread(void)
{
#if AP_HAS_THREAD_LOCAL
    return ap_thread_current();
#else
    return NULL;
#endif
}

/* Does what it has come for, and posts the connection to the loop. */
static void work(udr_adopted_t *a)
{
    job_t job = a->job;
    a->job = JOB_NONE;
    a->c->current_thread = this_thread();
    if (job == JOB_HANDLER) {
        run_handler(a);
    } else if (job == JOB_STEP && !run_exchange(a)) {
        udr_adopted_post(a);
        UDR_SCHEDULE("guest-posted");
        return;
    } else if (job == JOB_STEP || job == JOB_FINISH) {
        end_request(a->r, udr_handler_finish(a->client));
    } else if (job == JOB_ERROR) {
        end_request(a->r, a->error);
    } else {
        read_and_serve(a);
    }
    if (a->owner == UDR_OWNER_GUEST) {
        a->r = NULL;
        a->client = NULL;
    }
    udr_adopted_post(a); /* the loop's from here on */
    UDR_SCHEDULE("guest-posted");
}

/* On a worker thread, called by the MPM. */
static void guest(void *baton)
{
    udr_adopted_t *a = baton;
    udr_adopted_pass_to(a, UDR_OWNER_GUEST);
    int before = udr_scoreboard_begin(a->job == JOB_READ ? SERVER_BUSY_READ : SERVER_BUSY_WRITE, a->r);
    udr_worker_begin();
    work(a);
    udr_worker_end();
    udr_scoreboard_end(before); /* the thread's; the connection is another's by now */
}

void udr_adopted_go_to_worker(udr_adopted_t *a)
{
    UDR_ASSERT(udr_loops_here() == a->home);
    udr_loop_clear_timer(a->home->loop, &a->timer);
    a->is_here = false;
    a->has_news = false;
    if (a->home->is_killed) {
        udr_adopted_shut(a);
    }
    udr_input_awake(a->c);
    udr_adopted_pass_to(a, UDR_OWNER_GOING);
    if (ap_mpm_register_timed_callback(0, guest, a) != APR_SUCCESS) {
        /* Out of memory, at worst: then here is better than never. */
        guest(a);
    }
    UDR_SCHEDULE("callback-registered");
}
