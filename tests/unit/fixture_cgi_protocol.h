/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of protocols that send variables and a body as it is, and get what a CGI program answers: all that differs
 * is how variables are written. On top of fixture_protocol. */
#ifndef FIXTURE_CGI_PROTOCOL_H
#define FIXTURE_CGI_PROTOCOL_H

#include "tests/unit/fixture_protocol.h"

typedef struct cgi_protocol_t {
    const udr_protocol_t *protocol;
    const char *name;
    const char *target; /* one with the scheme's own port */
    udr_slice_t head;   /* of a request that says only that 5 bytes of body follow */
} cgi_protocol_t;

/* Returns how many have failed. */
int run_cgi_protocol_tests(const char *group, const cgi_protocol_t *it);

#endif
