/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_plot.h"

#include <apr_strings.h>

#include <stdbool.h>

/* "M59 24", or "h59V23.9". */
#define ROOM_EACH 40

typedef struct path_t {
    char *at;
    char *end;
} path_t;

static void put(path_t *path, const char *before, unsigned int number, const char *after)
{
    path->at += apr_snprintf(path->at, (apr_size_t)(path->end - path->at), "%s%u%s", before, number, after);
}

/* In tenths: finer than any screen. */
static void put_tenths(path_t *path, const char *command, unsigned int tenths)
{
    apr_size_t room = (apr_size_t)(path->end - path->at);
    unsigned int rest = tenths % 10;
    path->at += apr_snprintf(path->at, room, rest ? "%s%u.%u" : "%s%u", command, tenths / 10, rest);
}

static bool is_known(const udr_plot_t *plot, apr_size_t i)
{
    return plot->values[i] >= 0;
}

/* How far from the top, in tenths. What is more than nothing is seen. */
static unsigned int depth_of(const udr_plot_t *plot, apr_size_t i)
{
    double share = plot->values[i] < plot->top ? plot->values[i] / plot->top : 1;
    unsigned int depth = (unsigned int)((1 - share) * plot->height * 10 + 0.5);
    unsigned int most = 10 * plot->height;
    return plot->values[i] > 0 && depth > most - 5 ? most - 5 : depth;
}

/* A run of known values; returns where it ends. Steps of the same height are one. */
static apr_size_t put_run(path_t *path, const udr_plot_t *plot, udr_plot_form_t form, apr_size_t i)
{
    put(path, "M", (unsigned int)i, " ");
    if (form == UDR_PLOT_AREA) {
        put(path, "", plot->height, "V");
    }
    for (bool is_first = true; i < plot->count && is_known(plot, i); is_first = false) {
        unsigned int depth = depth_of(plot, i);
        unsigned int width = 0;
        put_tenths(path, is_first ? "" : "V", depth);
        for (; i < plot->count && is_known(plot, i) && depth_of(plot, i) == depth; i++) {
            width++;
        }
        put(path, "h", width, "");
    }
    if (form == UDR_PLOT_AREA) {
        put(path, "V", plot->height, "z");
    }
    return i;
}

const char *udr_plot_path(const udr_plot_t *plot, udr_plot_form_t form, apr_pool_t *p)
{
    apr_size_t size = ROOM_EACH * (plot->count + 1);
    char *text = apr_palloc(p, size);
    path_t path = {.at = text, .end = text + size};
    *text = '\0';
    for (apr_size_t i = 0; i < plot->count;) {
        i = is_known(plot, i) ? put_run(&path, plot, form, i) : i + 1;
    }
    return text;
}
