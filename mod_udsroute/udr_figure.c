/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_figure.h"

#include <apr_strings.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

/* Three digits. What would round up to the next unit is that unit's. */
static const char *scale(double value, const char *const *units, apr_size_t count, apr_pool_t *p)
{
    apr_size_t i = 0;
    for (; value >= 999.5 && i + 1 < count; i++) {
        value /= 1000;
    }
    int decimals = value >= 99.95 || i == 0 ? 0 : value >= 9.995 ? 1 : 2;
    return apr_psprintf(p, "%.*f%s", decimals, value, units[i]);
}

const char *udr_figure_count(apr_uint64_t count, apr_pool_t *p)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    return count < 10000 ? apr_psprintf(p, "%" APR_UINT64_T_FMT, count) : scale((double)count, units, LENGTH(units), p);
}

const char *udr_figure_bytes(apr_uint64_t bytes, apr_pool_t *p)
{
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB", " PB", " EB"};
    return scale((double)bytes, units, LENGTH(units), p);
}

const char *udr_figure_rate(double rate, apr_pool_t *p)
{
    static const char *const units[] = {"", "k", "M", "G"};
    if (rate > 0 && rate < 99.95) {
        return apr_psprintf(p, "%.1f", rate);
    }
    return scale(rate, units, LENGTH(units), p);
}

const char *udr_figure_time(apr_uint64_t us, apr_pool_t *p)
{
    static const char *const units[] = {" \xc2\xb5s", " ms", " s"};
    return scale((double)us, units, LENGTH(units), p);
}

const char *udr_figure_age(apr_uint64_t seconds, apr_pool_t *p)
{
    static const struct {
        apr_uint64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    enum { HOURS = 1 };
    apr_size_t i = 0;
    while (i + 1 < LENGTH(units) && seconds < units[i].seconds) {
        i++;
    }
    apr_uint64_t rest = i <= HOURS ? seconds % units[i].seconds / units[i + 1].seconds : 0;
    const char *first = apr_psprintf(p, "%" APR_UINT64_T_FMT " %s", seconds / units[i].seconds, units[i].name);
    return rest ? apr_psprintf(p, "%s %" APR_UINT64_T_FMT " %s", first, rest, units[i + 1].name) : first;
}

const char *udr_figure_hundredths(apr_uint64_t number, apr_pool_t *p)
{
    unsigned int rest = (unsigned int)(number % 100);
    const char *whole = apr_psprintf(p, "%" APR_UINT64_T_FMT, number / 100);
    return rest == 0 ? whole : apr_psprintf(p, rest % 10 ? "%s.%02u" : "%s.%u", whole, rest % 10 ? rest : rest / 10);
}
