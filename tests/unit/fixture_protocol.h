/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the protocols, as the exchange uses them. On top of fixture_request. */
#ifndef FIXTURE_PROTOCOL_H
#define FIXTURE_PROTOCOL_H

#include "mod_udsroute/udr_protocol.h"
#include "tests/unit/fixture_request.h"

extern const udr_http1_limits_t usual;

/* It is what this target's scheme speaks; its port there is the scheme's own. */
void assert_spoken(const udr_protocol_t *protocol, const char *name, const char *target);

/* Begins with the answer to a request of this method; of what the reader held before nothing is left. */
void begin(const udr_protocol_t *protocol, udr_reader_t *reader, const char *method);

/* Feeds all of the bytes. Returns the last status; *used is what was consumed. */
udr_codec_status_t feed(const udr_protocol_t *protocol, udr_reader_t *reader, udr_slice_t bytes, apr_size_t *used);

/* Begins anew; a close before any byte is no answer. */
void assert_silence_is_bad(const udr_protocol_t *protocol, udr_reader_t *reader);

#endif
