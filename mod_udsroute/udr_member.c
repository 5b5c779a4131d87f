/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_member.h"

#include <string.h>

udr_member_t *udr_member_create(const udr_target_t *target, const udr_settings_t *settings, apr_pool_t *p)
{
    udr_member_t *member = apr_pcalloc(p, sizeof *member);
    member->target = target;
    member->settings = *settings;
    return member;
}

apr_uint32_t udr_member_calls_at(const udr_member_t *member)
{
    return member->has_socket_slot ? member->socket_slot : member->slot;
}

bool udr_member_is_same(const udr_member_t *a, const udr_member_t *b)
{
    return a->target->scheme == b->target->scheme && udr_address_equal(a->target->address, b->target->address) &&
           strcmp(a->target->path, b->target->path) == 0;
}
