/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_agent.h"
#include "mod_udsroute/udr_http1.h"
#include "mod_udsroute/udr_value.h"

#include <strings.h>

static udr_agent_state_t read_state(const char *word)
{
    static const struct {
        const char *word;
        udr_agent_state_t state;
    } words[] = {{"up", UDR_AGENT_UP}, {"drain", UDR_AGENT_DRAIN}, {"down", UDR_AGENT_DOWN}};
    for (apr_size_t i = 0; word && i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(word, words[i].word) == 0) {
            return words[i].state;
        }
    }
    return UDR_AGENT_SILENT;
}

apr_uint32_t udr_agent_read(udr_slice_t fields, apr_pool_t *p)
{
    udr_agent_state_t state = read_state(udr_http1_field_list(fields, "X-UDSRoute-State", p));
    const char *weight = udr_http1_field_list(fields, "X-UDSRoute-Weight", p);
    int percent = 100;
    bool has_weight = weight && !udr_value_int(&percent, weight, 0, 100, p);
    if (state == UDR_AGENT_SILENT && !has_weight) {
        return 0;
    }
    return udr_slot_agent(state == UDR_AGENT_SILENT ? UDR_AGENT_UP : state, (unsigned int)percent);
}
