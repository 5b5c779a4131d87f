/* SPDX-License-Identifier: Apache-2.0 */
/* A client that is made up: it sends the body that the test gives it, answers as it is told and notes what it gets. It
 * holds the exchange to the rules of udr_client_ops_t: bytes that it has consumed are gone, bytes that it is given are
 * looked at when they are pushed. */
#ifndef FIXTURE_CLIENT_H
#define FIXTURE_CLIENT_H

#include "mod_udsroute/udr_exchange.h"

/* Bytes being collected; always terminated. */
typedef struct text_t {
    char *ptr;
    apr_size_t len;
    apr_size_t size;
} text_t;

/* Body bytes that the client sends at once. */
typedef struct piece_t {
    struct piece_t *next;
    apr_size_t len;
    char bytes[];
} piece_t;

enum { UNPUSHED_MAX = 1024 };

typedef struct fake_client_t {
    /* How it answers. All APR_SUCCESS at first. */
    struct {
        apr_status_t invite;
        apr_status_t interim;
        apr_status_t head;
        apr_status_t upgrade;
        apr_status_t shut;
        apr_status_t data;
        apr_status_t push;
        apr_status_t drain;
        apr_status_t end;
    } answer;
    bool wants_body;  /* true at first */
    bool is_writable; /* said when it is waited for; true at first */
    bool is_gone;

    /* What it sends. */
    piece_t *first;
    apr_status_t behind; /* what follows the pieces: APR_EOF at first, APR_EAGAIN, or an error */
    const apr_table_t *body_trailers;
    int peeks;           /* how often it was asked for body bytes */
    apr_size_t consumed; /* of the body, by the exchange */

    /* What it got. */
    text_t story;          /* each call in a word, "head:200 data:5 push end", body bytes by their number */
    text_t fields;         /* of the head, "Name: value\n" each */
    text_t interim_fields; /* of all 1xx, likewise */
    text_t body;
    text_t trailers;
    text_t notes; /* for the error log */
    udr_http1_head_t head;
    apr_size_t largest; /* body bytes at once */
    udr_slice_t unpushed[UNPUSHED_MAX];
    int unpushed_count;
} fake_client_t;

/* For udr_exchange_plan_t. */
extern const udr_client_ops_t fake_client_ops;

/* Answers everything with APR_SUCCESS, wants everything, and has nothing to send. */
void client_init(fake_client_t *client);

/* More of its body. */
void client_sends(fake_client_t *client, const char *text);
void client_sends_bytes(fake_client_t *client, const char *bytes, apr_size_t len);

/* Forgets what it got and counted; how it answers and what it is to send stay. */
void client_forget(fake_client_t *client);

/* Drops what it is to send. */
void client_drop_body(fake_client_t *client);

void text_add(text_t *text, const char *bytes, apr_size_t len);
void text_clear(text_t *text);

#endif
