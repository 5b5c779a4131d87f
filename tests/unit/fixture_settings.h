/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters as a line of the configuration has them: "key=value key=value …". */
#ifndef FIXTURE_SETTINGS_H
#define FIXTURE_SETTINGS_H

#include "mod_udsroute/udr_settings.h"

/* Calls set for each; fails with the sentence that set returns. */
void settings_read(const char *words, const char *(*set)(void *baton, const char *key, const char *value), void *baton,
                   apr_pool_t *p);

/* A member's, what is not said unset. */
udr_settings_t settings_of(const char *words, apr_pool_t *p);

#endif
