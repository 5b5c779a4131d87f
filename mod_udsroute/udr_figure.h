/* SPDX-License-Identifier: Apache-2.0 */
/* Figures as people read them: three digits and a unit. Layer: core, bottom. Used by the status page. */
#ifndef UDR_FIGURE_H
#define UDR_FIGURE_H

#include <apr_pools.h>
#include <apr_time.h>

/* Texts in UTF-8, from p. */

/* A count: "999", "12.3k", "4.56M"; up to 9999 with all digits. */
const char *udr_figure_count(apr_uint64_t count, apr_pool_t *p);

/* Bytes: "512 B", "1.50 kB", "23.4 MB", in thousands. */
const char *udr_figure_bytes(apr_uint64_t bytes, apr_pool_t *p);

/* A rate: "0", "0.2", "12.5", "980", "1.20k". */
const char *udr_figure_rate(double rate, apr_pool_t *p);

/* A short time in us: "850 µs", "1.25 ms", "3.40 s". */
const char *udr_figure_time(apr_uint64_t us, apr_pool_t *p);

/* A long one in seconds: "45 s", "12 min", "3 h 20 min", "12 d 4 h". */
const char *udr_figure_age(apr_uint64_t seconds, apr_pool_t *p);

/* A weight in hundredths: "1", "2.5", "1.25". */
const char *udr_figure_hundredths(apr_uint64_t number, apr_pool_t *p);

#endif
