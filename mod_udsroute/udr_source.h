/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the configuration something is said, for messages: a directive, its file and line.
 * Layer: core, bottom. Kept with what is examined once the whole configuration has been read: balancers, routes. */
#ifndef UDR_SOURCE_H
#define UDR_SOURCE_H

#include <apr_pools.h>

typedef struct udr_source_t {
    const char *directive; /* "UDSMember"; all three are borrowed from the configuration */
    const char *file;
    int line; /* from 1 */
} udr_source_t;

/* "UDSMember on line 3 of /etc/apache2/app.conf", from p. */
const char *udr_source_print(const udr_source_t *source, apr_pool_t *p);

/* The place without the directive, for a second one in a sentence: "line 3 of /etc/apache2/app.conf". */
const char *udr_source_print_place(const udr_source_t *source, apr_pool_t *p);

#endif
