/* SPDX-License-Identifier: Apache-2.0 */
/* Globs and what is in their directories, without any directory. Failures end the test that runs. */
#ifndef FIXTURE_GLOB_H
#define FIXTURE_GLOB_H

#include "mod_udsroute/udr_berth.h"

/* Where the fixture's globs stand. */
extern const udr_source_t glob_source;

/* A target with a pattern: "/run/app/?.sock". */
const udr_target_t *glob_target(const char *pattern, apr_pool_t *p);

/* Of that pattern, with default settings; no slots yet. */
udr_glob_t *glob_make(const char *pattern, int growth, apr_pool_t *p);

/* Claims its slots for this generation, the balancer being called "app". */
void glob_claim(udr_glob_t *glob, udr_shared_t *shared, apr_pool_t *p);

/* The names of the words, in their order; "a:7" is another file of that name than "a" or "a:8". */
udr_listing_t glob_listing(const char *words, apr_pool_t *p);

/* Merges them. Returns who came and who went: "+a +b -c", and "!d" for one that was left out. */
const char *glob_merge(udr_shared_t *shared, const udr_glob_t *glob, const char *words, apr_time_t now, apr_pool_t *p);

/* The index of the berth where this name is, or was last; -1: nowhere. */
int glob_find(const udr_shared_t *shared, const udr_glob_t *glob, const char *name);

#endif
