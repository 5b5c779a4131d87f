/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_alone.h"

#include <apr_allocator.h>

#include <pthread.h>
#include <signal.h>

apr_status_t udr_alone_create_pool(apr_pool_t **p)
{
    apr_allocator_t *allocator;
    apr_status_t rv = apr_allocator_create(&allocator);
    return rv == APR_SUCCESS ? apr_pool_create_unmanaged_ex(p, NULL, allocator) : rv;
}

/* apr_thread_create() would take it from a pool. */
apr_status_t udr_alone_start(void *(*run)(void *nothing))
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);
    if (error) {
        return error;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return error;
}
