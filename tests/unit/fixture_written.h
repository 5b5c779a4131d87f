/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what writes text in pieces: all that it has written. */
#ifndef FIXTURE_WRITTEN_H
#define FIXTURE_WRITTEN_H

#include <apr.h>

extern char written[4096]; /* with a NUL behind it */

void forget_written(void);

/* The function that gets the pieces; its baton is `written`. */
void keep_written(void *baton, const char *text, apr_size_t len);

#endif
