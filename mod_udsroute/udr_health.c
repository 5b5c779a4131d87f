/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_health.h"

/* The word: the state, then the two counts. One of them is always 0. */
#define STATE_BITS 8
#define COUNT_BITS 12
#define STATE_MASK ((1U << STATE_BITS) - 1)
#define COUNT_MASK ((1U << COUNT_BITS) - 1)

_Static_assert(STATE_BITS + 2 * COUNT_BITS == 32, "the word is full");
_Static_assert(UDR_HEALTH_COUNT_MAX <= (1 << COUNT_BITS) - 1, "a count fits");

typedef struct edge_t {
    udr_health_state_t to;
    udr_health_effect_t effect;
} edge_t;

/* Beside the checks requests put a member out, for pauses (udr_verdict): that neither makes it DOWN nor does it end so.
 * But it spoils the row of good checks: what hcpasses asks for begins anew, and then ends the pause, too. */
/* clang-format off */
static const edge_t edges[UDR_HEALTH_STATES][UDR_HEALTH_EVENTS] = {
    [UDR_HEALTH_UNCHECKED] = {
        [UDR_HEALTH_PASSED] = {UDR_HEALTH_UP, UDR_HEALTH_STAYS},
        [UDR_HEALTH_PASSED_ENOUGH] = {UDR_HEALTH_UP, UDR_HEALTH_COMES_BACK},
        [UDR_HEALTH_FAILED] = {UDR_HEALTH_FALLING, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FAILED_ENOUGH] = {UDR_HEALTH_DOWN, UDR_HEALTH_GOES_OUT},
        [UDR_HEALTH_REQUEST_FAILED] = {UDR_HEALTH_UNCHECKED, UDR_HEALTH_STAYS},
        [UDR_HEALTH_SUSPENDED] = {UDR_HEALTH_UNCHECKED, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FORGOTTEN] = {UDR_HEALTH_UNCHECKED, UDR_HEALTH_STAYS},
    },
    [UDR_HEALTH_UP] = {
        [UDR_HEALTH_PASSED] = {UDR_HEALTH_UP, UDR_HEALTH_STAYS},
        [UDR_HEALTH_PASSED_ENOUGH] = {UDR_HEALTH_UP, UDR_HEALTH_COMES_BACK},
        [UDR_HEALTH_FAILED] = {UDR_HEALTH_FALLING, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FAILED_ENOUGH] = {UDR_HEALTH_DOWN, UDR_HEALTH_GOES_OUT},
        [UDR_HEALTH_REQUEST_FAILED] = {UDR_HEALTH_UP, UDR_HEALTH_STAYS},
        [UDR_HEALTH_SUSPENDED] = {UDR_HEALTH_UP, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FORGOTTEN] = {UDR_HEALTH_UNCHECKED, UDR_HEALTH_STAYS},
    },
    [UDR_HEALTH_FALLING] = {
        [UDR_HEALTH_PASSED] = {UDR_HEALTH_UP, UDR_HEALTH_STAYS},
        [UDR_HEALTH_PASSED_ENOUGH] = {UDR_HEALTH_UP, UDR_HEALTH_COMES_BACK},
        [UDR_HEALTH_FAILED] = {UDR_HEALTH_FALLING, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FAILED_ENOUGH] = {UDR_HEALTH_DOWN, UDR_HEALTH_GOES_OUT},
        [UDR_HEALTH_REQUEST_FAILED] = {UDR_HEALTH_FALLING, UDR_HEALTH_STAYS},
        [UDR_HEALTH_SUSPENDED] = {UDR_HEALTH_UP, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FORGOTTEN] = {UDR_HEALTH_UNCHECKED, UDR_HEALTH_STAYS},
    },
    [UDR_HEALTH_DOWN] = {
        [UDR_HEALTH_PASSED] = {UDR_HEALTH_RISING, UDR_HEALTH_STAYS},
        [UDR_HEALTH_PASSED_ENOUGH] = {UDR_HEALTH_UP, UDR_HEALTH_COMES_BACK},
        [UDR_HEALTH_FAILED] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FAILED_ENOUGH] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_REQUEST_FAILED] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_SUSPENDED] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FORGOTTEN] = {UDR_HEALTH_UNCHECKED, UDR_HEALTH_COMES_BACK},
    },
    [UDR_HEALTH_RISING] = {
        [UDR_HEALTH_PASSED] = {UDR_HEALTH_RISING, UDR_HEALTH_STAYS},
        [UDR_HEALTH_PASSED_ENOUGH] = {UDR_HEALTH_UP, UDR_HEALTH_COMES_BACK},
        [UDR_HEALTH_FAILED] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FAILED_ENOUGH] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_REQUEST_FAILED] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_SUSPENDED] = {UDR_HEALTH_DOWN, UDR_HEALTH_STAYS},
        [UDR_HEALTH_FORGOTTEN] = {UDR_HEALTH_UNCHECKED, UDR_HEALTH_COMES_BACK},
    },
};
/* clang-format on */

udr_health_state_t udr_health_next(udr_health_state_t state, udr_health_event_t event, udr_health_effect_t *effect)
{
    *effect = edges[state][event].effect;
    return edges[state][event].to;
}

udr_health_state_t udr_health_state(apr_uint32_t word)
{
    apr_uint32_t state = word & STATE_MASK;
    return state < UDR_HEALTH_STATES ? (udr_health_state_t)state : UDR_HEALTH_UNCHECKED;
}

int udr_health_passes(apr_uint32_t word)
{
    return (int)(word >> STATE_BITS & COUNT_MASK);
}

int udr_health_fails(apr_uint32_t word)
{
    return (int)(word >> (STATE_BITS + COUNT_BITS));
}

bool udr_health_is_down(apr_uint32_t word)
{
    udr_health_state_t state = udr_health_state(word);
    return state == UDR_HEALTH_DOWN || state == UDR_HEALTH_RISING;
}

static apr_uint32_t word_of(udr_health_state_t state, int passes, int fails)
{
    return (apr_uint32_t)state | (apr_uint32_t)passes << STATE_BITS | (apr_uint32_t)fails << (STATE_BITS + COUNT_BITS);
}

/* The only one that writes a word. false: somebody else has moved it (requests fail in all processes at any time), and
 * *from is what it is now. */
static bool transit(_Atomic apr_uint32_t *word, apr_uint32_t *from, udr_health_event_t event, int passes, int fails,
                    udr_health_effect_t *effect)
{
    udr_health_state_t to = udr_health_next(udr_health_state(*from), event, effect);
    return atomic_compare_exchange_strong(word, from, word_of(to, passes, fails));
}

static int one_more(int count)
{
    return count < UDR_HEALTH_COUNT_MAX ? count + 1 : count;
}

udr_health_effect_t udr_health_passed(_Atomic apr_uint32_t *word, int needed)
{
    apr_uint32_t from = atomic_load(word);
    udr_health_effect_t effect;
    int passes;
    do {
        passes = one_more(udr_health_passes(from));
    } while (
        !transit(word, &from, passes >= needed ? UDR_HEALTH_PASSED_ENOUGH : UDR_HEALTH_PASSED, passes, 0, &effect));
    return effect;
}

udr_health_effect_t udr_health_failed(_Atomic apr_uint32_t *word, int needed)
{
    apr_uint32_t from = atomic_load(word);
    udr_health_effect_t effect;
    int fails;
    do {
        fails = one_more(udr_health_fails(from));
    } while (!transit(word, &from, fails >= needed ? UDR_HEALTH_FAILED_ENOUGH : UDR_HEALTH_FAILED, 0, fails, &effect));
    return effect;
}

udr_health_effect_t udr_health_note(_Atomic apr_uint32_t *word, udr_health_event_t event)
{
    apr_uint32_t from = atomic_load(word);
    udr_health_effect_t effect;
    int fails;
    do {
        /* A request that fails is no check that has failed, nor makes it one undone. */
        fails = event == UDR_HEALTH_REQUEST_FAILED ? udr_health_fails(from) : 0;
    } while (!transit(word, &from, event, 0, fails, &effect));
    return effect;
}

const char *udr_health_state_name(udr_health_state_t state)
{
    static const char *const names[UDR_HEALTH_STATES] = {
        [UDR_HEALTH_UNCHECKED] = "unchecked", [UDR_HEALTH_UP] = "up",         [UDR_HEALTH_FALLING] = "falling",
        [UDR_HEALTH_DOWN] = "down",           [UDR_HEALTH_RISING] = "rising",
    };
    return names[state];
}
