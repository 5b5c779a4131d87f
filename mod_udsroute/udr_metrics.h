/* SPDX-License-Identifier: Apache-2.0 */
/* Writes Prometheus' text format, version 0.0.4, piece by piece as it is told, to whoever takes it.
 * Layer: core, bottom. Used by the status. One thread at a time. */
#ifndef UDR_METRICS_H
#define UDR_METRICS_H

#include <apr.h>

#include <stdbool.h>

/* The caller's; name is the present family's. */
typedef struct udr_metrics_t {
    void (*write)(void *baton, const char *text, apr_size_t len); /* takes text as it is called; any length but 0 */
    void *baton;                                                  /* write's */
    const char *name;
} udr_metrics_t;

/* One label of a sample. A C string of any bytes: what is no UTF-8 becomes U+FFFD, a byte each. */
typedef struct udr_metrics_label_t {
    const char *name;
    const char *value;
} udr_metrics_label_t;

/* Begins a family; its samples follow. type: "counter", "gauge", "histogram"; help: one line of plain ASCII without
 * backslashes. The strings stay as they are while the family lasts. */
void udr_metrics_family(udr_metrics_t *metrics, const char *name, const char *type, const char *help);

/* A sample: suffix (of a histogram "_bucket", "_sum", "_count", else ""), its labels, and its value. */
void udr_metrics_number(udr_metrics_t *metrics, const char *suffix, const udr_metrics_label_t *labels, apr_size_t count,
                        apr_uint64_t number);

/* The same, of a time in us: in seconds. */
void udr_metrics_time(udr_metrics_t *metrics, const char *suffix, const udr_metrics_label_t *labels, apr_size_t count,
                      apr_uint64_t us);

/* A time in us as seconds, for a label: "0.000128", "1", "67.108864". text: of 32 bytes. */
void udr_metrics_print_seconds(char text[32], apr_uint64_t us);

#endif
