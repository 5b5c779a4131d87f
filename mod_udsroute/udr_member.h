/* SPDX-License-Identifier: Apache-2.0 */
/* One place to connect to. Its identity is the socket address, the scheme and the path, never the host part.
 * Layer: core. Made when the configuration is read, completed in each child; used by routes, pool and exchange. */
#ifndef UDR_MEMBER_H
#define UDR_MEMBER_H

#include "mod_udsroute/udr_settings.h"
#include "mod_udsroute/udr_target.h"

typedef struct udr_pool_t udr_pool_t;
typedef struct udr_explanation_t udr_explanation_t;

typedef struct udr_member_t {
    const udr_target_t *target;
    udr_settings_t settings;                 /* unset values are filled in once the whole configuration has been read */
    const struct udr_condition_t *condition; /* what `hcexpr` names, the glue's; NULL: none */
    apr_uint32_t slot;                       /* what all children share of it; set with the configuration */
    bool has_socket_slot;
    apr_uint32_t socket_slot;       /* of all members at this socket, whatever their paths: for udr_member_calls_at() */
    udr_pool_t *pool;               /* this child's connections; NULL outside a child */
    udr_explanation_t *explanation; /* this child's last diagnosis; NULL outside a child */
    struct udr_tenant_t *tenant;    /* of a glob's member: who uses it, see udr_tenant; NULL: it stays with the child */
} udr_member_t;

/* A member for target; settings are copied. From p, with which it lives. */
udr_member_t *udr_member_create(const udr_target_t *target, const udr_settings_t *settings, apr_pool_t *p);

/* At which slot those call who wait for a process of the runtime's (udr_yield): its processes are those of the socket,
 * and whoever has connections to it may have to give one up. */
apr_uint32_t udr_member_calls_at(const udr_member_t *member);

/* The same identity: address, scheme and path. */
bool udr_member_is_same(const udr_member_t *a, const udr_member_t *b);

#endif
