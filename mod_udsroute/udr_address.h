/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a Unix socket, typed: a path in the file system or a name in Linux's abstract namespace (unix(7)).
 * Layer: core, bottom. Used by targets, the connection and the diagnosis. */
#ifndef UDR_ADDRESS_H
#define UDR_ADDRESS_H

#include <apr_pools.h>

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* unix(7): sun_path has 108 bytes; a path needs its NUL, an abstract name the NUL before it. */
#define UDR_ADDRESS_MAX 107

typedef enum udr_address_kind_t {
    UDR_ADDRESS_PATH,
    UDR_ADDRESS_ABSTRACT,
    UDR_ADDRESS_PATTERN /* a path whose last part is a pattern: no socket, but those in the directory that match */
} udr_address_kind_t;

typedef struct udr_address_t {
    udr_address_kind_t kind;
    const char *name; /* the absolute path (a pattern's, too), or the abstract name without its '@' */
    apr_size_t len;   /* of name; 1 to UDR_ADDRESS_MAX */
    const char *text; /* "unix:/run/app.sock" or "unix:@app": canonical, for identity and logs */
} udr_address_t;

/* Reads "unix:/abs", "unix:///abs", "unix:relative", "unix:@name".
 * text: the part of a target before the bar. runtime_dir: what relative paths are relative to (absolute itself).
 * Refused: no "unix:" prefix, empty, over UDR_ADDRESS_MAX after resolution, a ".." segment, a path that ends in a
 * directory, a '%', control characters, "unix://x/y" (its first component would be taken for a host; the sentence names
 * both readings), "$" (regex or variable substitution would let a request choose the socket), a glob pattern.
 * Returns NULL and sets *address (allocated from p, with all it points to), or returns a sentence that names the value,
 * says what is wrong and what to write instead; *address is then untouched. */
const char *udr_address_parse(const udr_address_t **address, const char *text, const char *runtime_dir, apr_pool_t *p);

/* The same for a pattern, such as "unix:/run/app/?.sock". Refused besides: wildcards in a directory's name, a '[' that
 * is not closed, an abstract name, a directory so long that no socket in it could be connected to. */
const char *udr_address_parse_pattern(const udr_address_t **address, const char *text, const char *runtime_dir,
                                      apr_pool_t *p);

/* Does a file of that name, in the pattern's directory, match? Hidden ones never do. As fnmatch(3) without escapes,
 * byte by byte. */
bool udr_address_matches(const udr_address_t *pattern, const char *name);

/* Can a file of that name, in the pattern's directory, be an address? Its path is not longer than UDR_ADDRESS_MAX, and
 * the name has no control characters, which no log shows as they are. */
bool udr_address_fits(const udr_address_t *pattern, const char *name);

/* The socket of that name in the pattern's directory, from p. NULL: it doesn't fit. */
const udr_address_t *udr_address_in_directory(const udr_address_t *pattern, const char *name, apr_pool_t *p);

/* Fills a sockaddr for connect(2). Returns its length: an abstract name is not terminated, its length counts. */
socklen_t udr_address_sockaddr(const udr_address_t *address, struct sockaddr_un *sa);

/* The same socket by name (links in the file system are not followed). */
bool udr_address_equal(const udr_address_t *a, const udr_address_t *b);

#endif
