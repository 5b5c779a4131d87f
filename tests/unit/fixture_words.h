/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what reads or makes words: memory for them, and what a sentence says. */
#ifndef FIXTURE_WORDS_H
#define FIXTURE_WORDS_H

#include <apr_pools.h>

extern apr_pool_t *pool;

/* For cmocka. */
int make_pool(void **state);
int drop_pool(void **state);

/* Fails unless the part stands in the sentence. */
#define assert_says(sentence, part) check_says(sentence, part, __FILE__, __LINE__)
void check_says(const char *sentence, const char *part, const char *file, int line);

#endif
