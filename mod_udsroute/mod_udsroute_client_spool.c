/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of unknown length for members that have to be told one (CONTENT_LENGTH): read whole, then sent. */
#include "mod_udsroute/mod_udsroute_client_private.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#include <string.h>

/* What of a body stays in memory. */
#define MEMORY_MAX 65536

#define READ_SIZE 65536

typedef struct spool_t {
    request_rec *r;
    apr_bucket_brigade *kept; /* in memory, while it is short */
    apr_bucket *last;         /* of them */
    apr_size_t room;          /* in it */
    apr_file_t *file;         /* NULL: it still is in memory */
    apr_off_t length;
    apr_off_t limit; /* 0: none */
} spool_t;

/* Made so that it has no name any more, and goes with the request. */
static apr_status_t open_file(spool_t *spool)
{
    const char *directory;
    apr_status_t rv = apr_temp_dir_get(&directory, spool->r->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    char *name = apr_pstrcat(spool->r->pool, directory, "/udsroute-body-XXXXXX", NULL);
    rv = apr_file_mktemp(&spool->file, name,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL | APR_FOPEN_BINARY,
                         spool->r->pool);
    if (rv == APR_SUCCESS) {
        rv = apr_file_remove(name, spool->r->pool);
    }
    return rv;
}

/* Side by side: a client may send a byte a chunk, and a bucket for each takes hundreds of times as much.
 * (apr_brigade_write() makes such buckets, too, once its first one is full.) */
static void append(spool_t *spool, const char *data, apr_size_t len)
{
    apr_bucket_alloc_t *allocator = spool->kept->bucket_alloc;
    while (len) {
        if (spool->room == 0) {
            char *buffer = apr_bucket_alloc(APR_BUCKET_BUFF_SIZE, allocator);
            spool->last = apr_bucket_heap_create(buffer, APR_BUCKET_BUFF_SIZE, apr_bucket_free, allocator);
            spool->last->length = 0;
            spool->room = APR_BUCKET_BUFF_SIZE;
            APR_BRIGADE_INSERT_TAIL(spool->kept, spool->last);
        }
        apr_size_t part = len < spool->room ? len : spool->room;
        memcpy(((apr_bucket_heap *)spool->last->data)->base + spool->last->length, data, part);
        spool->last->length += part;
        spool->room -= part;
        data += part;
        len -= part;
    }
}

static apr_status_t put(spool_t *spool, const char *data, apr_size_t len)
{
    if (spool->file) {
        return apr_file_write_full(spool->file, data, len, NULL);
    }
    append(spool, data, len);
    return APR_SUCCESS;
}

/* Out of the brigade, which has no metadata in it. */
static apr_status_t move(spool_t *spool, apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BRIGADE_FIRST(bb)) {
        const char *data;
        apr_size_t len;
        apr_status_t rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            rv = put(spool, data, len);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apr_bucket_delete(b);
    }
    return APR_SUCCESS;
}

/* Keeps what has been read. */
static apr_status_t keep(spool_t *spool, apr_bucket_brigade *bb)
{
    apr_status_t rv = APR_SUCCESS;
    if (!spool->file && spool->length > MEMORY_MAX) {
        rv = open_file(spool);
        if (rv == APR_SUCCESS) {
            rv = move(spool, spool->kept);
        }
    }
    return rv == APR_SUCCESS ? move(spool, bb) : rv;
}

/* Takes the metadata out. Sets *is_last when the end was among it; returns an HTTP status that a filter has put there,
 * or OK. */
static int clean(apr_bucket_brigade *bb, bool *is_last)
{
    int status = OK;
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb), *next; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (AP_BUCKET_IS_ERROR(b)) {
            status = ((ap_bucket_error *)b->data)->status;
        }
        if (APR_BUCKET_IS_METADATA(b)) {
            *is_last |= APR_BUCKET_IS_EOS(b);
            apr_bucket_delete(b);
        }
    }
    return status;
}

static int refuse(const spool_t *spool, apr_status_t rv)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, spool->r,
                  UDRNO(0071) "the request's body, which has to be kept before its length can be told, can't be: is "
                              "there room in the directory for temporary files (TMPDIR)?");
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* Reads once more, and keeps it. */
static int read_on(spool_t *spool, apr_bucket_brigade *bb, bool *is_last)
{
    apr_off_t len = 0;
    apr_status_t rv = ap_get_brigade(spool->r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ, READ_SIZE);
    if (rv != APR_SUCCESS) {
        return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    }
    int status = clean(bb, is_last);
    if (status != OK) {
        return status;
    }
    rv = apr_brigade_length(bb, 1, &len);
    spool->length += len;
    if (rv != APR_SUCCESS) {
        return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    }
    if (spool->limit > 0 && spool->length > spool->limit) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, spool->r, "the request's body is larger than LimitRequestBody");
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    rv = keep(spool, bb);
    return rv == APR_SUCCESS ? OK : refuse(spool, rv);
}

int udr_client_spool(udr_client_t *client)
{
    request_rec *r = client->r;
    apr_bucket_alloc_t *allocator = r->connection->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, allocator);
    /* It goes to this server's own disk: here the default of LimitRequestBody counts, too. */
    spool_t spool = {.r = r, .kept = apr_brigade_create(r->pool, allocator), .limit = ap_get_limit_req_body(r)};
    bool is_last = false;
    while (!is_last) {
        int status = read_on(&spool, bb, &is_last);
        if (status != OK) {
            /* Nobody reads the rest. */
            r->connection->keepalive = AP_CONN_CLOSE;
            return status;
        }
        apr_brigade_cleanup(bb);
    }
    if (spool.file) {
        apr_brigade_insert_file(spool.kept, spool.file, 0, spool.length, r->pool);
    }
    APR_BRIGADE_INSERT_TAIL(spool.kept, apr_bucket_eos_create(allocator));
    client->in = spool.kept;
    client->request->body = UDR_BODY_LENGTH;
    client->request->length = (apr_uint64_t)spool.length;
    client->request->expect_continue = false;
    return OK;
}
