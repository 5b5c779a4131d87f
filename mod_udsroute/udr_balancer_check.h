/* SPDX-License-Identifier: Apache-2.0 */
/* What is no error in the configuration of a balancer, but hardly meant: for warnings at the start.
 * Layer: core. Used by the glue, once the whole configuration has been read. */
#ifndef UDR_BALANCER_CHECK_H
#define UDR_BALANCER_CHECK_H

#include "mod_udsroute/udr_balancer.h"

/* Each returns NULL, or a sentence from p that says what to do, and sets *where to the line at fault. */

/* Two members have the same route. */
const char *udr_balancer_check_routes(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p);

/* Sessions are sticky, but no member has a route. */
const char *udr_balancer_check_session(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p);

/* A redirect names no member's route. */
const char *udr_balancer_check_redirects(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p);

/* Every member is a spare or a hot standby: there is none to stand in for. */
const char *udr_balancer_check_spares(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p);

/* `upgrade` is set for who speaks a protocol in which nothing is upgraded. Before the defaults are filled in. */
const char *udr_balancer_check_upgrade(const udr_balancer_t *balancer, const udr_source_t **where, apr_pool_t *p);

/* Two plain routes lead to one member with different `maxconn`: it is counted once, over both, so the last one holds.
 */
const char *udr_balancer_check_maxconn(const udr_balancer_t *route, const udr_balancer_t *earlier,
                                       const udr_source_t **where, apr_pool_t *p);

#endif
