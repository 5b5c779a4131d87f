/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_source.h"

#include <apr_strings.h>

const char *udr_source_print(const udr_source_t *source, apr_pool_t *p)
{
    return apr_psprintf(p, "%s on line %d of %s", source->directive, source->line, source->file);
}

const char *udr_source_print_place(const udr_source_t *source, apr_pool_t *p)
{
    return apr_psprintf(p, "line %d of %s", source->line, source->file);
}
