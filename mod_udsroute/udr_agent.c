/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_agent.h"
#include "mod_udsroute/udr_http1.h"
#include "mod_udsroute/udr_value.h"

#include <string.h>
#include <strings.h>

/* With its end: far longer than any word or number there is. */
#define VALUE_SIZE 16

/* The value of the only field of that name. False: there is none, or several, or it can't be one that says anything.
 * (Lists, as of several lines, say nothing either: they are not made up.) */
static bool read_only(char value[VALUE_SIZE], udr_slice_t fields, const char *name)
{
    udr_field_t field;
    int count = 0;
    *value = '\0';
    while (udr_http1_field_next(&fields, &field)) {
        if (field.name.len != strlen(name) || strncasecmp(field.name.ptr, name, field.name.len) != 0) {
            continue;
        }
        if (++count > 1 || field.value.len >= VALUE_SIZE) {
            return false;
        }
        memcpy(value, field.value.ptr, field.value.len);
        value[field.value.len] = '\0';
    }
    return count == 1;
}

static udr_agent_state_t read_state(const char *word)
{
    static const struct {
        const char *word;
        udr_agent_state_t state;
    } words[] = {{"up", UDR_AGENT_UP}, {"drain", UDR_AGENT_DRAIN}, {"down", UDR_AGENT_DOWN}};
    for (apr_size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(word, words[i].word) == 0) {
            return words[i].state;
        }
    }
    return UDR_AGENT_SILENT;
}

apr_uint32_t udr_agent_read(udr_slice_t fields, apr_pool_t *p)
{
    char value[VALUE_SIZE];
    udr_agent_state_t state = read_only(value, fields, "X-UDSRoute-State") ? read_state(value) : UDR_AGENT_SILENT;
    int percent = 100;
    bool has_weight = read_only(value, fields, "X-UDSRoute-Weight") && !udr_value_int(&percent, value, 0, 100, p);
    if (state == UDR_AGENT_SILENT && !has_weight) {
        return 0;
    }
    return udr_slot_agent(state == UDR_AGENT_SILENT ? UDR_AGENT_UP : state, (unsigned int)percent);
}
