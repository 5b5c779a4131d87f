/* SPDX-License-Identifier: Apache-2.0 */
/* What all children share, in httpd's life: made by the parent, kept over graceful restarts, joined by each child.
 * Layer: glue. */
#ifndef MOD_UDSROUTE_SHARED_H
#define MOD_UDSROUTE_SHARED_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_operator.h"
#include "mod_udsroute/udr_queue.h"
#include "mod_udsroute/udr_yield.h"

/* The parent, with a new configuration: a slot for each balancer and member. A balancer that there is no room for has
 * the slot UDR_SHARED_NONE, as its members, and no picker. Logs what is wrong; an error: httpd can't go on. */
apr_status_t udr_share_configure(server_rec *main_server, apr_pool_t *ptemp);

/* A child, on a thread that lives as long as it: its row, and the pickers of all balancers. APR_ENOSPC, ESTALE: it can
 * have no row, see udr_row_claim(); another child may. */
apr_status_t udr_share_join(server_rec *main_server, apr_pool_t *pchild);

/* A child, before it serves: it can't. Requests find no picker and are answered 503 at once; none waits for what is not
 * there to wake it. */
void udr_share_withdraw(server_rec *main_server);

/* Readable when turns under `maxconn` have come for requests of this child; then udr_share_wake(). */
int udr_share_descriptor(void);
void udr_share_wake(void);

/* A child's side of giving up idle connections; NULL before it has joined. */
udr_yield_t *udr_share_yield(void);

/* *fd, which p closes: readable when a signal for this child's row comes, as udr_share_descriptor(), for another
 * thread.
 */
apr_status_t udr_share_listen(int *fd, apr_pool_t *p);

/* Logs that the member has gone out or come back (UDR_CHANGE_…), as requests find out. */
void udr_share_tell_news(const udr_balancer_t *balancer, const udr_member_t *member, unsigned int change);

/* The socket of the member has appeared: it may be tried again. */
void udr_share_file_appeared(const udr_member_t *member, apr_time_t now);

/* And requests of this child that wait for it ask at once. */
void udr_share_wake_held(const udr_member_t *member);

/* It has gone: the member is out. */
void udr_share_file_gone(const udr_member_t *member, apr_time_t now);

/* An operator's word on a member, for all children from the next pick on; of the weight in hundredths, 0: what the
 * configuration says. The caller holds the member (udr_tenant_hold()). False: of a glob: another one has its place now,
 * and nothing was said. Any thread. */
bool udr_share_operate(const udr_member_t *member, udr_operation_t operation);
bool udr_share_weigh(const udr_member_t *member, apr_uint32_t weight);

/* What is shared, to look at or to change. Any process, once the parent has configured. */
const udr_shared_t *udr_share_get(void);
udr_shared_t *udr_share_access(void);

/* Four times a second, in each child (under prefork at each request): looks after what children that died have left,
 * takes samples of what members do when it is time to, and tells the others what this one holds: connections to
 * members, parked requests, tunnels. One thread at a time. */
void udr_share_attend(void);

#endif
