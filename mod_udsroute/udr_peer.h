/* SPDX-License-Identifier: Apache-2.0 */
/* Who must have called listen(2) at the other end (SO_PEERCRED): "user", "user:group", names or numbers.
 * Layer: core, bottom. Read with the parameters of a member, compared by the connection. */
#ifndef UDR_PEER_H
#define UDR_PEER_H

#include <apr_pools.h>

#include <stdbool.h>
#include <sys/types.h>

typedef struct udr_peer_t {
    bool check_user;
    bool check_group;
    uid_t user;
    gid_t group;
    const char *text; /* as configured, for the log */
} udr_peer_t;

/* Reads text; names are looked up now. Returns NULL and sets *peer (from p), or a sentence that begins with the value
 * in quotes. */
const char *udr_peer_parse(const udr_peer_t **peer, const char *text, apr_pool_t *p);

/* The same ids, written the same way; NULL is equal to NULL only. */
bool udr_peer_equal(const udr_peer_t *a, const udr_peer_t *b);

#endif
