/* SPDX-License-Identifier: Apache-2.0 */
/* Which header fields a proxy must not pass on (RFC 9110, 7.6.1), and checks of what it sends itself.
 * Layer: core, bottom. Used by the request writer and by the glue, for both directions. */
#ifndef UDR_FIELDS_H
#define UDR_FIELDS_H

#include <apr_tables.h>

#include <stdbool.h>

/* The field belongs to one connection, whatever `Connection` says: Connection, Keep-Alive, Proxy-Connection, TE,
 * Transfer-Encoding, Upgrade. (Trailer is end-to-end, and goes where trailers can.) */
bool udr_fields_is_hop_by_hop(const char *name, apr_size_t len);

/* The field says how the message is framed or routed: Content-Length, Transfer-Encoding, Host. It is written anew from
 * what was understood and never copied, and a trailer of that name is dropped (RFC 9110, 6.5.1). */
bool udr_fields_is_framing(const char *name, apr_size_t len);

/* `list` is a comma-separated list of tokens; is `name` one of them (any case)? list may be NULL. */
bool udr_fields_list_has(const char *list, const char *name, apr_size_t len);

/* Every token of `list`, and at least one, is in the list `allowed`. */
bool udr_fields_list_within(const char *list, const char *allowed);

/* The tokens of `list` for which `keeps` says so, as a list from p; NULL: none. What is no token, since it has blanks
 * within, is not kept. */
typedef bool udr_fields_keeps_t(const char *token, void *baton);
const char *udr_fields_list_filter(const char *list, udr_fields_keeps_t *keeps, void *baton, apr_pool_t *p);

/* The same for those that are in the list `allowed`, too. */
const char *udr_fields_list_common(const char *list, const char *allowed, apr_pool_t *p);

/* Removes from fields what a list names, save the framing and the hop-by-hop fields. list may be NULL. */
void udr_fields_drop_listed(apr_table_t *fields, const char *list, apr_pool_t *p);

/* Removes from fields what the values of its Connection fields name, save the framing and the hop-by-hop fields (which
 * are not copied anyway). */
void udr_fields_drop_named(apr_table_t *fields, apr_pool_t *p);

/* A token as RFC 9110, 5.6.2 defines it: a field name or a method. */
bool udr_fields_is_token(const char *text);

/* A field value without control characters (HTAB excepted): nothing in it can end the line. */
bool udr_fields_is_value(const char *text);

#endif
