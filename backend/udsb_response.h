/* SPDX-License-Identifier: Apache-2.0 */
/* A response: libmicrohttpd's, with what has to be counted.
 * Layer: the middle. Its functions are in udsbackend.h; this is for the WebSocket handshake, which makes its own kind.
 */
#ifndef UDSB_RESPONSE_H
#define UDSB_RESPONSE_H

#include "backend/udsbackend.h"

#include <microhttpd.h>

struct udsb_response {
    struct MHD_Response *mhd;
    uint64_t length; /* bytes of its body; 0 for streams, which count themselves */
    bool is_endless; /* a stream of unknown length */
};

/* Takes over mhd. NULL when mhd is NULL or out of memory (mhd is then destroyed). */
udsb_response_t *udsb_response_wrap(struct MHD_Response *mhd, uint64_t length);

#endif
