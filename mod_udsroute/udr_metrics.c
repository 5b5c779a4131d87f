/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_metrics.h"
#include "mod_udsroute/udr_utf8.h"

#include <apr_strings.h>

#include <string.h>

static void put(udr_metrics_t *metrics, const char *text)
{
    if (*text) {
        metrics->write(metrics->baton, text, strlen(text));
    }
}

/* In a label's value a backslash, a quotation mark and the end of a line are escaped, and nothing else. */
static const char *escape(char character)
{
    return character == '\\' ? "\\\\" : character == '"' ? "\\\"" : character == '\n' ? "\\n" : NULL;
}

static void put_value(udr_metrics_t *metrics, const char *value)
{
    const char *from = value;
    for (const char *at = value;;) {
        apr_size_t length = udr_utf8_length(at);
        const char *instead = length == 0 ? UDR_UTF8_REPLACEMENT : escape(*at);
        if (*at && !instead) {
            at += length;
            continue;
        }
        if (at > from) {
            metrics->write(metrics->baton, from, (apr_size_t)(at - from));
        }
        if (!*at) {
            return;
        }
        put(metrics, instead);
        from = ++at;
    }
}

void udr_metrics_family(udr_metrics_t *metrics, const char *name, const char *type, const char *help)
{
    const char *const pieces[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};
    metrics->name = name;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        put(metrics, pieces[i]);
    }
}

static void begin_sample(udr_metrics_t *metrics, const char *suffix, const udr_metrics_label_t *labels,
                         apr_size_t count)
{
    put(metrics, metrics->name);
    put(metrics, suffix);
    for (apr_size_t i = 0; i < count; i++) {
        put(metrics, i == 0 ? "{" : ",");
        put(metrics, labels[i].name);
        put(metrics, "=\"");
        put_value(metrics, labels[i].value);
        put(metrics, "\"");
    }
    put(metrics, count ? "} " : " ");
}

void udr_metrics_number(udr_metrics_t *metrics, const char *suffix, const udr_metrics_label_t *labels, apr_size_t count,
                        apr_uint64_t number)
{
    char digits[24];
    begin_sample(metrics, suffix, labels, count);
    apr_snprintf(digits, sizeof digits, "%" APR_UINT64_T_FMT "\n", number);
    put(metrics, digits);
}

void udr_metrics_time(udr_metrics_t *metrics, const char *suffix, const udr_metrics_label_t *labels, apr_size_t count,
                      apr_uint64_t us)
{
    char seconds[32];
    begin_sample(metrics, suffix, labels, count);
    udr_metrics_print_seconds(seconds, us);
    put(metrics, seconds);
    put(metrics, "\n");
}

void udr_metrics_print_seconds(char text[32], apr_uint64_t us)
{
    char *end = text + apr_snprintf(text, 32, "%" APR_UINT64_T_FMT ".%06u", us / 1000000, (unsigned int)(us % 1000000));
    while (end[-1] == '0') {
        *--end = '\0';
    }
    if (end[-1] == '.') {
        end[-1] = '\0';
    }
}
