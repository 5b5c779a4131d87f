/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_input.h"
#include "mod_udsroute/mod_udsroute_loops.h"

#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <util_filter.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

/* As long as hooks may take on a loop. */
#define AWAIT_MS 5

static _Atomic bool was_awaited; /* of this child */

static ap_filter_rec_t *omission;

static const apr_bucket_type_t bucket_type;

static apr_bucket *create(udr_input_t *input, apr_bucket_alloc_t *list)
{
    apr_bucket *b = apr_bucket_alloc(sizeof *b, list);
    APR_BUCKET_INIT(b);
    b->free = apr_bucket_free;
    b->list = list;
    b->type = &bucket_type;
    b->length = (apr_size_t)-1;
    b->start = -1;
    b->data = input;
    input->bucket = b;
    return b;
}

static void destroy(void *data)
{
    udr_input_t *input = data;
    input->bucket = NULL;
}

/* What is there now. APR_EAGAIN: nothing; APR_EOF: the end. */
static apr_status_t receive(udr_input_t *input, char *buffer, apr_size_t *len)
{
    ssize_t n;
    do {
        n = recv(input->fd, buffer, *len, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        *len = 0;
        return errno;
    }
    /* Less than there was room for: that was all (epoll(7)), unless the end stands behind it. */
    input->is_drained = udr_loops_here() && n > 0 && (apr_size_t)n < *len && !input->has_ended;
    *len = (apr_size_t)n;
    return n > 0 ? APR_SUCCESS : APR_EOF;
}

/* A blocking read on a loop, behind what the loop has looked at: by somebody else's hook. It gets what is there or
 * comes soon, and no more. */
static apr_status_t await(udr_input_t *input, char *buffer, apr_size_t *len)
{
    struct pollfd descriptor = {.fd = input->fd, .events = POLLIN};
    if (!atomic_exchange(&was_awaited, true)) {
        ap_log_cerror(
            APLOG_MARK, APLOG_INFO, 0, input->c,
            "a module reads from clients before the handler runs: workers read the requests of this child from "
            "now on");
    }
    if (poll(&descriptor, 1, AWAIT_MS) <= 0) {
        *len = 0;
        return APR_TIMEUP;
    }
    return receive(input, buffer, len);
}

static void forget(udr_input_t *input)
{
    apr_bucket_free(input->kept);
    input->kept = NULL;
    input->kept_len = 0;
}

/* As APR's socket bucket: becomes a bucket with what was read, and a new one of this type follows it; at the end, an
 * empty one. */
static apr_status_t read_socket(apr_bucket *b, const char **str, apr_size_t *len, apr_read_type_e block)
{
    udr_input_t *input = b->data;
    apr_size_t size = UDR_INPUT_ROOM;
    apr_status_t rv;
    *str = NULL;
    *len = 0;
    if (input->kept_len > 0) {
        b = apr_bucket_heap_make(b, input->kept + input->kept_at, input->kept_len, NULL); /* copies */
        APR_BUCKET_INSERT_AFTER(b, create(input, b->list));
        forget(input);
        return apr_bucket_read(b, str, len, block);
    }
    if (block == APR_NONBLOCK_READ && input->is_drained) {
        return APR_EAGAIN;
    }
    /* To the stack first: mostly there is little, or nothing, and that needs no large piece of memory. */
    char buffer[UDR_INPUT_ROOM];
    if (block == APR_NONBLOCK_READ) {
        rv = receive(input, buffer, &size);
    } else if (udr_loops_here()) {
        rv = await(input, buffer, &size);
    } else {
        rv = apr_socket_recv(ap_get_conn_socket(input->c), buffer, &size);
    }
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        input->is_drained = APR_STATUS_IS_EAGAIN(rv) && udr_loops_here();
        return rv;
    }
    if (size > 0) {
        b = apr_bucket_heap_make(b, buffer, size, NULL); /* copies */
        APR_BUCKET_INSERT_AFTER(b, create(input, b->list));
        *len = size;
    } else {
        b = apr_bucket_immortal_make(b, "", 0);
        input->bucket = NULL;
    }
    return apr_bucket_read(b, str, len, block);
}

static const apr_bucket_type_t bucket_type = {
    "UDSROUTE_INPUT",
    5,
    APR_BUCKET_DATA,
    destroy,
    read_socket,
    apr_bucket_setaside_notimpl,
    apr_bucket_split_notimpl,
    apr_bucket_copy_notimpl,
};

apr_status_t udr_input_insert(conn_rec *c, apr_bucket_brigade *bb, apr_socket_t *socket)
{
    udr_conn_t *conn;
    apr_os_sock_t fd;
    if (udr_loops_count() == 0 || c->master || apr_os_sock_get(&fd, socket) != APR_SUCCESS) {
        return AP_DECLINED;
    }
    conn = udr_conn_get(c);
    conn->input = apr_pcalloc(c->pool, sizeof *conn->input);
    conn->input->c = c;
    conn->input->fd = fd;
    conn->input->timer = ap_get_input_filter_handle("reqtimeout");
    conn->input->count = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_in);
    conn->input->counter = conn->input->count ? ap_get_input_filter_handle("log_input_output") : NULL;
    APR_BRIGADE_INSERT_TAIL(bb, create(conn->input, c->bucket_alloc));
    return APR_SUCCESS;
}

/* Nothing but core's filter, and those of which it is known what they do: one counts bytes, one looks at the clock. */
static bool is_direct(const udr_input_t *input, const ap_filter_t *f)
{
    while (f && f->frec != ap_core_input_filter_handle && (f->frec == input->timer || f->frec == input->counter)) {
        f = f->next;
    }
    return f && f->frec == ap_core_input_filter_handle;
}

/* Its bucket is all that core's filter has: in the ring with the brigade and nothing else. */
static bool may_look(const conn_rec *c, const udr_input_t *input)
{
    return input && input->bucket && APR_BUCKET_NEXT(input->bucket) == APR_BUCKET_PREV(input->bucket) &&
           is_direct(input, c->input_filters);
}

bool udr_input_is_timed(conn_rec *c)
{
    const ap_filter_rec_t *timer = udr_conn_get(c)->input->timer;
    for (const ap_filter_t *f = c->input_filters; f && timer; f = f->next) {
        if (f->frec == timer) {
            return true;
        }
    }
    return false;
}

static bool is_counted(const udr_input_t *input, const ap_filter_t *f)
{
    while (f && f->frec != input->counter) {
        f = f->next;
    }
    return f != NULL;
}

apr_status_t udr_input_look(conn_rec *c, char *buffer, udr_slice_t *bytes)
{
    apr_size_t size = UDR_INPUT_ROOM;
    udr_input_t *input = udr_conn_get(c)->input;
    if (!may_look(c, input)) {
        return APR_ENOTIMPL;
    }
    if (input->kept_len > 0) {
        *bytes = (udr_slice_t){input->kept + input->kept_at, input->kept_len};
        return APR_SUCCESS;
    }
    if (input->is_drained) {
        return APR_EAGAIN;
    }
    apr_status_t rv = receive(input, buffer, &size);
    input->is_drained |= APR_STATUS_IS_EAGAIN(rv);
    *bytes = (udr_slice_t){buffer, size};
    return rv;
}

void udr_input_take(conn_rec *c, udr_slice_t bytes, apr_size_t taken)
{
    udr_input_t *input = udr_conn_get(c)->input;
    if (taken > 0 && input->counter && is_counted(input, c->input_filters)) {
        input->count(c, (apr_off_t)taken);
    }
    if (input->kept_len > 0) {
        input->kept_at += taken;
        input->kept_len -= taken;
        if (input->kept_len == 0) {
            forget(input);
        }
    } else if (taken < bytes.len) {
        input->kept = apr_bucket_alloc(bytes.len - taken, c->bucket_alloc);
        input->kept_at = 0;
        input->kept_len = bytes.len - taken;
        memcpy(input->kept, bytes.ptr + taken, input->kept_len);
    }
}

bool udr_input_is_known(conn_rec *c, bool *has_more)
{
    const udr_input_t *input = udr_conn_get(c)->input;
    if (!may_look(c, input)) {
        return false;
    }
    *has_more = input->kept_len > 0;
    return *has_more ? input->kept[input->kept_at] != '\r' && input->kept[input->kept_at] != '\n' : input->is_drained;
}

void udr_input_awake(conn_rec *c)
{
    udr_conn_t *conn = udr_conn_get(c);
    if (conn->input) {
        conn->input->is_drained = false;
    }
}

void udr_input_ended(conn_rec *c)
{
    udr_conn_t *conn = udr_conn_get(c);
    if (conn->input) {
        conn->input->has_ended = true;
    }
}

/* To whoever discards the body it is over. */
static apr_status_t end_body(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                             apr_off_t bytes)
{
    (void)mode;
    (void)block;
    (void)bytes;
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    return APR_SUCCESS;
}

void udr_input_register(void)
{
    omission = ap_register_input_filter("UDSROUTE_OMIT", end_body, NULL, AP_FTYPE_RESOURCE);
}

void udr_input_omit_body(request_rec *r)
{
    if (udr_loops_here() && r->input_filters->frec != omission) {
        (void)ap_add_input_filter_handle(omission, NULL, r, r->connection);
    }
}

bool udr_input_was_awaited(void)
{
    return atomic_load_explicit(&was_awaited, memory_order_relaxed);
}
