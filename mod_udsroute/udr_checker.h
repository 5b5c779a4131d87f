/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of all members of a server: each at its time, all in parallel on one loop, and what they find told to the
 * verdict. Layer: core, above check and verdict. Made by the one child that leads (udr_leader); all functions are for
 * its loop's thread. */
#ifndef UDR_CHECKER_H
#define UDR_CHECKER_H

#include "mod_udsroute/udr_balancer.h"
#include "mod_udsroute/udr_check.h"
#include "mod_udsroute/udr_shared.h"

typedef struct udr_checker_t udr_checker_t;

/* A member went out or came back (UDR_CHANGE_…), and this process found out. finding: what the check has found; why:
 * see udr_check_explain(). */
typedef struct udr_news_t {
    const udr_balancer_t *balancer;
    const udr_member_t *member;
    unsigned int change;
    udr_finding_t finding;
    const char *why;
} udr_news_t;

typedef struct udr_checker_client_t {
    /* As in udr_check_client_t. */
    bool (*accepts)(const udr_member_t *member, const udr_answer_t *answer, const char **why, apr_pool_t *p);
    void (*news)(const udr_news_t *news);
    /* Is what this process finds asked for still? It may have been stopped for long. NULL: it is. */
    bool (*leads)(void);
    udr_yield_t *yield; /* as in udr_check_client_t */
} udr_checker_client_t;

/* From p, which ends all checks. */
apr_status_t udr_checker_create(udr_checker_t **checker, udr_shared_t *shared, udr_loop_t *loop,
                                const udr_checker_client_t *client, apr_pool_t *p);

/* Its members, and those of its globs as they come and go; those that there is no slot for are left out. A slot that
 * several have in common is checked once, as the first says that has an hcmethod. */
apr_status_t udr_checker_add(udr_checker_t *checker, const udr_balancer_t *balancer);

/* All are added. Each is checked within the first second, or its interval if that is shorter, but not before it is due
 * after the last check that somebody else has made; then every hcinterval, spread evenly. */
void udr_checker_start(udr_checker_t *checker);

/* Four times a second. A member that requests have found gone is checked at once, as is one of a glob that has come. */
void udr_checker_attend(udr_checker_t *checker, apr_time_t now);

/* The file of a member's socket has appeared, or its mode has changed: it is checked now, and, as a socket is there
 * before anybody listens on it, again after 10 ms and ever longer pauses until somebody does. Of a member that isn't
 * checked otherwise this finds out whether it can be connected to. */
void udr_checker_look(udr_checker_t *checker, const udr_member_t *member);

#endif
