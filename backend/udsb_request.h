/* SPDX-License-Identifier: Apache-2.0 */
/* One request, from its first line to the end of its answer. A connection has one, used again and again.
 * Layer: the middle. Driven by udsb_worker.c on the worker's thread; handlers see it through udsbackend.h. */
#ifndef UDSB_REQUEST_H
#define UDSB_REQUEST_H

#include "backend/udsb_route.h"
#include "backend/udsb_wait.h"

#include <microhttpd.h>

struct udsb_request {
    udsb_server_t *server;
    struct udsb_worker *worker;
    struct MHD_Connection *mhd;
    int descriptor; /* of the connection, for waiting requests; libmicrohttpd owns it */

    /* libmicrohttpd's, as long as the request lasts */
    const char *method, *version;

    /* Ours: the target, and behind it the path, decoded. In short_text if they fit. */
    char *target, *path;
    const char *query, *rest;
    bool is_bad_target; /* to be refused */
    char short_text[512];

    const udsb_mapping_t *mapping;
    unsigned refusal;     /* status to answer with instead of calling the handler, or 0 */
    const char *reason;   /* for refusal, static */
    bool is_ambiguous;    /* nobody can say for sure where it ends */
    bool is_begun;        /* the head has been dealt with */
    bool is_answered;     /* a response is queued */
    unsigned status;      /* of the answer, 0: none yet */
    uint64_t body_length; /* of the answer, to be counted when it is sent; streams count themselves */

    char *body; /* collected */
    size_t body_used, body_capacity;

    void *state; /* the handler's */
    void (*destroy_state)(void *state);

    udsb_wait_t wait;
};

/* A new request on the connection: target is what its first line says. False when out of memory. */
bool udsb_request_begin(udsb_request_t *request, const char *target);
/* It has ended; frees what belonged to it. */
void udsb_request_end(udsb_request_t *request);

/* Looks at the head: may it be read in one way only, whose is it? Sets mapping or refusal. */
void udsb_request_route(udsb_request_t *request);
/* Does the head announce a body? */
bool udsb_request_has_body(const udsb_request_t *request);
/* Is it to be answered without its body, and the connection closed? */
bool udsb_request_must_be_refused_now(const udsb_request_t *request);
/* Takes a piece of the body. */
void udsb_request_take_body(udsb_request_t *request, const void *data, size_t length);
/* Answers with refusal. */
void udsb_request_refuse(udsb_request_t *request);

/* Percent-decodes into path (at least as long as from, and its NUL). False: a bad escape, or %00. */
bool udsb_request_decode_path(char *path, const char *from, size_t length);

#endif
