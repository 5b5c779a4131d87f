/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_filters.h"

#include <util_filter.h>

#include <stdatomic.h>
#include <stdint.h>
#include <strings.h>

/* mod_filter's harness for AddOutputFilterByType: what follows is the filter that it may insert. */
#define BY_TYPE "bytype:"

/* In the order in which a response meets them; what is not here may block. A transparent one passes on the rest of a
 * body byte by byte as it is, keeping nothing. (The first counts; what it would count, who goes past it counts.) */
static struct {
    const char *name;
    udr_cost_t cost;
    bool is_transparent;
    const ap_filter_rec_t *record; /* NULL: no module has it */
    ap_out_filter_func function;
} known[] = {
    {.name = "content_length", .cost = UDR_COST_NONE, .is_transparent = true},
    {.name = "byterange", .cost = UDR_COST_NONE},
    {.name = "http_header", .cost = UDR_COST_NONE},
    {.name = "chunk", .cost = UDR_COST_NONE},
    {.name = "udsroute_trailers", .cost = UDR_COST_NONE},
    {.name = "http_outerror", .cost = UDR_COST_NONE, .is_transparent = true},
    {.name = "log_input_output", .cost = UDR_COST_NONE, .is_transparent = true},
    {.name = "ssl/tls filter", .cost = UDR_COST_KEEPS},
    {.name = "ssl/tls coalescing filter", .cost = UDR_COST_KEEPS},
    {.name = "core", .cost = UDR_COST_NONE, .is_transparent = true},
    {.name = "fixup_headers_out", .cost = UDR_COST_NONE},
    {.name = "fixup_headers_err", .cost = UDR_COST_NONE},
    {.name = "mod_expires", .cost = UDR_COST_NONE},
    {.name = "old_write", .cost = UDR_COST_NONE},
    {.name = "reqtimeout", .cost = UDR_COST_NONE, .is_transparent = true},
    {.name = "deflate", .cost = UDR_COST_BURNS},
    {.name = "inflate", .cost = UDR_COST_BURNS},
    {.name = "brotli_compress", .cost = UDR_COST_BURNS},
    {.name = "substitute", .cost = UDR_COST_BURNS},
    {.name = "sed", .cost = UDR_COST_BURNS},
};
#define KNOWN (sizeof known / sizeof *known)

int udr_filters_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    for (size_t i = 0; i < KNOWN; i++) {
        const ap_filter_rec_t *record = ap_get_output_filter_handle(known[i].name);
        known[i].record = record;
        known[i].function = record ? record->filter_func.out_func : NULL;
    }
    return OK;
}

/* Its number in the table; KNOWN: it is not there. */
static size_t find(const ap_filter_rec_t *record)
{
    size_t i = 0;
    while (i < KNOWN && (known[i].record != record || known[i].function != record->filter_func.out_func)) {
        i++;
    }
    return i;
}

static udr_cost_t look_up(const ap_filter_rec_t *record)
{
    if (strncasecmp(record->name, BY_TYPE, sizeof BY_TYPE - 1) == 0) {
        const ap_filter_rec_t *behind = ap_get_output_filter_handle(record->name + sizeof BY_TYPE - 1);
        record = behind ? behind : record;
    }
    size_t i = find(record);
    return i < KNOWN ? known[i].cost : UDR_COST_BLOCKS;
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
    udr_cost_t cost = look_up(record);
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
    for (const ap_filter_t *f = r->output_filters; f; f = f->next) {
        size_t i = find(f->frec);
        if (i == KNOWN || !known[i].is_transparent) {
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
