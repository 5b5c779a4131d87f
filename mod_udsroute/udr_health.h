/* SPDX-License-Identifier: Apache-2.0 */
/* What checks have found out of a member so far, as one word that all children share: a state and how many checks have
 * passed or failed in a row. One table says which event leads where. Layer: core, bottom. Used by the verdict, which
 * alone moves it; read by the status. */
#ifndef UDR_HEALTH_H
#define UDR_HEALTH_H

#include <apr.h>

#include <stdatomic.h>
#include <stdbool.h>

/* hcpasses and hcfails are at most this. */
#define UDR_HEALTH_COUNT_MAX 1000

typedef enum udr_health_state_t {
    UDR_HEALTH_UNCHECKED, /* no check has ended yet, or none is asked for: takes requests */
    UDR_HEALTH_UP,
    UDR_HEALTH_FALLING, /* takes requests; so far fewer than hcfails checks in a row have failed */
    UDR_HEALTH_DOWN,    /* takes none, until checks pass */
    UDR_HEALTH_RISING,  /* the same; so far fewer than hcpasses checks in a row have passed */
    UDR_HEALTH_STATES
} udr_health_state_t;

typedef enum udr_health_event_t {
    UDR_HEALTH_PASSED,         /* a check, the first … hcpasses - 1 in a row */
    UDR_HEALTH_PASSED_ENOUGH,  /* hcpasses in a row and more */
    UDR_HEALTH_FAILED,         /* a check, the first … hcfails - 1 in a row */
    UDR_HEALTH_FAILED_ENOUGH,  /* hcfails in a row and more, or its agent says that it is down */
    UDR_HEALTH_REQUEST_FAILED, /* a request has put it out for a pause (udr_verdict) */
    UDR_HEALTH_SUSPENDED,      /* the operator has disabled or stopped it: it isn't checked for now */
    UDR_HEALTH_FORGOTTEN,      /* checks are no longer asked for */
    UDR_HEALTH_EVENTS
} udr_health_event_t;

/* What else a transition means. */
typedef enum udr_health_effect_t {
    UDR_HEALTH_STAYS,
    UDR_HEALTH_GOES_OUT,
    UDR_HEALTH_COMES_BACK /* also when it wasn't down: whatever requests have found before is over */
} udr_health_effect_t;

/* The table: where an event leads. */
udr_health_state_t udr_health_next(udr_health_state_t state, udr_health_event_t event, udr_health_effect_t *effect);

/* A check has ended. needed: hcpasses or hcfails; 0: as if it were enough. All zero is UNCHECKED. Any thread of any
 * process. */
udr_health_effect_t udr_health_passed(_Atomic apr_uint32_t *word, int needed);
udr_health_effect_t udr_health_failed(_Atomic apr_uint32_t *word, int needed);

/* The other events. */
udr_health_effect_t udr_health_note(_Atomic apr_uint32_t *word, udr_health_event_t event);

/* Out of the word as it was read. */
udr_health_state_t udr_health_state(apr_uint32_t word);
int udr_health_passes(apr_uint32_t word); /* in a row, at most UDR_HEALTH_COUNT_MAX */
int udr_health_fails(apr_uint32_t word);

/* DOWN or RISING. */
bool udr_health_is_down(apr_uint32_t word);

/* "unchecked", "up", "falling", "down", "rising". */
const char *udr_health_state_name(udr_health_state_t state);

#endif
