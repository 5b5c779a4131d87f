/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_filters.h"

#include <util_filter.h>

#include <stdatomic.h>
#include <stdint.h>
#include <strings.h>

/* mod_filter's harness for AddOutputFilterByType: what follows is the filter that it may insert. */
#define BY_TYPE "bytype:"

/* In the order in which a response meets them; what is not named here may block. */
static const struct {
    const char *name;
    udr_cost_t cost;
} known[] = {
    {"content_length", UDR_COST_NONE},
    {"byterange", UDR_COST_NONE},
    {"http_header", UDR_COST_NONE},
    {"chunk", UDR_COST_NONE},
    {"udsroute_trailers", UDR_COST_NONE},
    {"http_outerror", UDR_COST_NONE},
    {"log_input_output", UDR_COST_NONE},
    {"ssl/tls filter", UDR_COST_KEEPS},
    {"ssl/tls coalescing filter", UDR_COST_KEEPS},
    {"core", UDR_COST_NONE},
    {"fixup_headers_out", UDR_COST_NONE},
    {"fixup_headers_err", UDR_COST_NONE},
    {"mod_expires", UDR_COST_NONE},
    {"old_write", UDR_COST_NONE},
    {"reqtimeout", UDR_COST_NONE},
    {"deflate", UDR_COST_BURNS},
    {"inflate", UDR_COST_BURNS},
    {"brotli_compress", UDR_COST_BURNS},
    {"substitute", UDR_COST_BURNS},
    {"sed", UDR_COST_BURNS},
};

static udr_cost_t look_up(const char *name)
{
    if (strncasecmp(name, BY_TYPE, sizeof BY_TYPE - 1) == 0) {
        name += sizeof BY_TYPE - 1;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcasecmp(name, known[i].name) == 0) {
            return known[i].cost;
        }
    }
    return UDR_COST_BLOCKS;
}

/* A filter's record stays where it is as long as the configuration: its cost is looked up once. Each place holds a
 * record with its cost in the low bits, which are free in a pointer; whoever finds another's there overwrites it. */
static udr_cost_t cost_of(const ap_filter_rec_t *record)
{
    enum { PLACES = 64, COST_BITS = 3 };
    static _Atomic uintptr_t remembered[PLACES];
    uintptr_t number = (uintptr_t)record;
    _Atomic uintptr_t *place = &remembered[(number >> 4) % PLACES];
    uintptr_t found = atomic_load_explicit(place, memory_order_relaxed);
    if ((found & ~(uintptr_t)COST_BITS) == number) {
        return (udr_cost_t)(found & COST_BITS);
    }
    udr_cost_t cost = look_up(record->name);
    atomic_store_explicit(place, number | cost, memory_order_relaxed);
    return cost;
}

udr_cost_t udr_filters_cost(const request_rec *r, const char **name)
{
    udr_cost_t dearest = UDR_COST_NONE;
    for (const ap_filter_t *f = r->output_filters; f; f = f->next) {
        udr_cost_t cost = cost_of(f->frec);
        if (cost > dearest) {
            dearest = cost;
            *name = f->frec->name;
        }
    }
    return dearest;
}

bool udr_filters_are_transparent(const request_rec *r)
{
    /* The first counts; what it would count, who goes past it counts. */
    static const char *const transparent[] = {"content_length", "http_outerror", "reqtimeout", "log_input_output",
                                              "core"};
    for (const ap_filter_t *f = r->output_filters; f; f = f->next) {
        size_t i = 0;
        while (i < sizeof transparent / sizeof *transparent && strcasecmp(f->frec->name, transparent[i]) != 0) {
            i++;
        }
        if (i == sizeof transparent / sizeof *transparent) {
            return false;
        }
    }
    return true;
}

bool udr_filters_count_looks(const conn_rec *c)
{
    for (const ap_filter_t *f = c->input_filters; f && strcasecmp(f->frec->name, "ssl/tls filter") != 0; f = f->next) {
        if (strcasecmp(f->frec->name, "log_input_output") == 0) {
            return true;
        }
    }
    return false;
}

bool udr_filters_keep_back(const conn_rec *c)
{
    for (const ap_filter_t *f = c->output_filters; f; f = f->next) {
        if (cost_of(f->frec) != UDR_COST_NONE) {
            return true;
        }
    }
    return false;
}
