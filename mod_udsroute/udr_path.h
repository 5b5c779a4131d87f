/* SPDX-License-Identifier: Apache-2.0 */
/* The request target sent to a member, put together so that nothing in it can be read as anything else.
 * Layer: core, bottom. Used by the glue's routes. */
#ifndef UDR_PATH_H
#define UDR_PATH_H

#include <apr_pools.h>

#include <stdbool.h>

/* Percent-encodes a decoded path (RFC 3986, 3.3: what is not pchar or '/').
 * keep_encoded_slash: "%2F" is left as it is, because httpd did not decode it (AllowEncodedSlashes NoDecode). */
const char *udr_path_encode(const char *path, bool keep_encoded_slash, apr_pool_t *p);

/* Makes text that is encoded already (a query, or a path passed on raw) safe to send: control characters, spaces,
 * bytes over 0x7e and '#' are percent-encoded, all else is left. Returns text itself when there is nothing to do. */
const char *udr_path_protect(const char *text, apr_pool_t *p);

/* Has a ".." segment, plain or with its dots percent-encoded: it would lead out of what stands before it. */
bool udr_path_climbs(const char *path);

/* Its first len bytes end in that text. */
bool udr_path_ends_in(const char *path, apr_size_t len, const char *end);

/* base + rest, with a '/' in front if there is none. Where both have a slash, one is left ("/app" to
 * "http://localhost/"); where neither has, none is put in (as ProxyPass). */
const char *udr_path_join(const char *base, const char *rest, apr_pool_t *p);

/* How many bytes of uri the prefix takes, or 0 when it doesn't match. Repeated slashes count as one, and "/app" takes
 * "/app" and "/app/x" but not "/apple" (as ProxyPass). */
apr_size_t udr_path_match(const char *uri, const char *prefix);

#endif
