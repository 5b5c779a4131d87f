/* SPDX-License-Identifier: Apache-2.0 */
/* How one process of a server wakes another: an eventfd(2) that the parent opens, and an epoll(7) descriptor of the
 * child's own that tells when it was written to. Layer: core. Used by udr_shared and by the queue. */
#ifndef UDR_SIGNALS_H
#define UDR_SIGNALS_H

#include <apr_errno.h>
#include <apr_pools.h>

/* For this many rows there is an eventfd each. Where there are more (prefork with a ServerLimit of thousands), some
 * share one, and a signal wakes all of these: descriptors in the parent are in all children, and they are limited. */
#define UDR_SIGNALS_MAX ((apr_uint32_t)128)

typedef struct udr_signals_t udr_signals_t;

/* The parent, before it forks. p closes them: by APR's code and not by ours, for this module may have been unloaded and
 * loaded elsewhere by then. errno: no descriptor is left. */
apr_status_t udr_signals_create(udr_signals_t **signals, apr_uint32_t rows, apr_pool_t *p);

/* Any thread of any process. Never waits. */
void udr_signals_give(const udr_signals_t *signals, apr_uint32_t row);

/* *fd, which p closes: becomes readable when a signal for the row is given from now on; it may do so for another's. A
 * child calls it for its own row. */
apr_status_t udr_signals_listen(int *fd, const udr_signals_t *signals, apr_uint32_t row, apr_pool_t *p);

/* What has been heard there is dealt with: not readable before the next signal. Never waits. One thread at a time. */
void udr_signals_clear(int fd);

#endif
