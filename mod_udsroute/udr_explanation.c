/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_explanation.h"
#include "mod_udsroute/udr_diagnosis.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>

struct udr_explanation_t {
    apr_thread_mutex_t *mutex;
    struct {
        char text[1024]; /* cut if it must be: paths are short */
        int error;
        apr_time_t found; /* 0: never */
    } locked;             /* needs the mutex */
};

apr_status_t udr_explanation_create(udr_explanation_t **explanation, apr_pool_t *p)
{
    udr_explanation_t *made = apr_pcalloc(p, sizeof *made);
    apr_status_t rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv == APR_SUCCESS) {
        *explanation = made;
    }
    return rv;
}

const char *udr_explanation_get(udr_explanation_t *explanation, const udr_address_t *address, int error, apr_time_t now,
                                apr_pool_t *p)
{
    /* The others wait for the one that looks: that is what spares them the looking. */
    apr_thread_mutex_lock(explanation->mutex);
    bool holds = explanation->locked.found && explanation->locked.error == error &&
                 now - explanation->locked.found < UDR_EXPLANATION_HOLDS;
    if (!holds) {
        apr_cpystrn(explanation->locked.text, udr_diagnosis_explain(address, error, p),
                    sizeof explanation->locked.text);
        explanation->locked.error = error;
        explanation->locked.found = now;
    }
    const char *text = apr_pstrdup(p, explanation->locked.text);
    apr_thread_mutex_unlock(explanation->mutex);
    return text;
}
