/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the status page: a row for each member, one for each route. Layer: glue. Used by the page. */
#ifndef MOD_UDSROUTE_STATUS_ROWS_H
#define MOD_UDSROUTE_STATUS_ROWS_H

#include "mod_udsroute/mod_udsroute_status_view.h"

/* What the plots of one table have in common, so that they can be compared. */
typedef struct udr_rows_scale_t {
    double rate;         /* the highest, in requests per second; above 0 */
    apr_uint32_t lowest; /* p50, in us; 0: no request has been timed */
    apr_uint32_t most;   /* the highest p90, in us */
} udr_rows_scale_t;

/* Of a table without a request. */
#define UDR_ROWS_SCALE_LEAST                                                                                           \
    {                                                                                                                  \
        .rate = 1                                                                                                      \
    }

/* Widens the scale to what the member needs. */
void udr_rows_measure(udr_rows_scale_t *scale, const udr_view_member_t *member);

/* The table of members, up to its first row, and from the last one on. caption: plain text. */
void udr_rows_begin(request_rec *r, const char *caption);
void udr_rows_end(request_rec *r, const udr_rows_scale_t *scale);

/* A member. */
void udr_rows_member(request_rec *r, const udr_view_member_t *member, const udr_rows_scale_t *scale);

/* All routes, as a table. */
void udr_rows_routes(request_rec *r, const udr_view_t *view);

#endif
