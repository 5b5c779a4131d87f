/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for what writes them, from a pool that lives as long as a group of tests; and what was written. */
#ifndef FIXTURE_REQUEST_H
#define FIXTURE_REQUEST_H

#include "mod_udsroute/udr_http1_request.h"
#include "tests/unit/fixture_words.h"

#define TEXT(literal)  literal, sizeof(literal) - 1
#define BYTES(literal) ((udr_slice_t){TEXT(literal)})

/* For "/" of the host "h", without header fields and variables. length: where body is of known length. */
udr_request_t request_of(const char *method, udr_body_t body, apr_uint64_t length);

/* One variable more. */
void add_variable(const udr_request_t *request, const char *name, const char *value);

/* What writes requests, as in udr_protocol_t. */
typedef struct writer_t {
    apr_size_t (*head_room)(const udr_request_t *request, const char **why);
    apr_size_t (*write_head)(const udr_request_t *request, bool persistent, char *room);
} writer_t;

/* Writes where there are as many bytes as it has asked for: one more is noticed. */
udr_slice_t write_request(const writer_t *writer, const udr_request_t *request, bool persistent);

void assert_slice(udr_slice_t slice, udr_slice_t expected);
void assert_written(const writer_t *writer, const udr_request_t *request, udr_slice_t expected);
void assert_refused(const writer_t *writer, const udr_request_t *request, const char *expected);

/* What nobody can say who writes variables. */
void assert_unknown_length_refused(const writer_t *writer);
void assert_nameless_variable_refused(const writer_t *writer);

#endif
