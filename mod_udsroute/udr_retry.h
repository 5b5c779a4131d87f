/* SPDX-License-Identifier: Apache-2.0 */
/* May this request be sent again? Decided here and nowhere else.
 * Layer: core, bottom. Used by the exchange. */
#ifndef UDR_RETRY_H
#define UDR_RETRY_H

#include <stdbool.h>

/* How an attempt stood when it failed. */
typedef struct udr_attempt_t {
    bool connected;       /* connect(2) had succeeded (or the connection came from the pool) */
    bool reused;          /* the connection had served requests before */
    bool wrote;           /* at least one byte was written to it */
    bool closed;          /* the member closed or reset it; not: silence, a malformed response */
    bool response_begun;  /* at least one byte of a response was received */
    bool idempotent;      /* the method (RFC 9110, 9.2.2) */
    bool body_replayable; /* no byte of the request body has been given away */
} udr_attempt_t;

/* Whether sending it again can neither lose nor repeat anything. */
bool udr_retry_is_safe(const udr_attempt_t *attempt);

#endif
