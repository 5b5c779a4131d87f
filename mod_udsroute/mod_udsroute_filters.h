/* SPDX-License-Identifier: Apache-2.0 */
/* What httpd's filters cost: which of a request's output filters may run on a loop. Layer: glue. */
#ifndef MOD_UDSROUTE_FILTERS_H
#define MOD_UDSROUTE_FILTERS_H

#include "mod_udsroute/mod_udsroute.h"

typedef enum udr_cost_t {
    UDR_COST_NONE,  /* neither blocks nor burns, passes on at once */
    UDR_COST_KEEPS, /* keeps back a little until it is flushed: TLS */
    UDR_COST_BURNS, /* takes processor time by the byte, and does not block: compression, substitution */
    UDR_COST_BLOCKS /* may block, for all we know */
} udr_cost_t;

/* Hook pre_config, behind all others. Modules have registered their filters, and no line of the configuration has:
 * which filter is which goes by what is there now, since FilterDeclare and ExtFilterDefine may give theirs any name. */
int udr_filters_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);

/* The dearest of the output filters that r has now. *name: that filter's. */
udr_cost_t udr_filters_cost(const request_rec *r, const char **name);

/* Do all of the output filters that r has now pass on the rest of a body byte by byte as it is, keeping nothing? */
bool udr_filters_are_transparent(const request_rec *r);

/* Do the connection's own filters keep anything back (TLS), or may even block? */
bool udr_filters_keep_back(const conn_rec *c);

/* Does mod_logio count what is read speculatively from the connection? (Not below TLS, where records are read once.) */
bool udr_filters_count_looks(const conn_rec *c);

#endif
