/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections a child can hold, those that wait on its loops included: bounded by the MPM, and by the limit of
 * open files. Layer: glue. Said by `apachectl configtest`, at the start, and by the status page. */
#ifndef MOD_UDSROUTE_CAPACITY_H
#define MOD_UDSROUTE_CAPACITY_H

#include "mod_udsroute/mod_udsroute.h"

typedef struct udr_capacity_t {
    int threads;            /* ThreadsPerChild */
    int factor;             /* AsyncRequestWorkerFactor, as the MPM uses it */
    bool is_factor_set;     /* in the configuration */
    long connections;       /* that the MPM takes at the most: if each comes while all threads are idle */
    long at_once;           /* that it takes in a burst, too, as soon as all threads are idle behind it */
    bool has_file_limit;    /* false: the system sets none, and the two below are 0 */
    long descriptors;       /* RLIMIT_NOFILE */
    long parked;            /* requests that so many descriptors are enough for */
    unsigned int lingering; /* sockets of each loop that may wait for clients to close, beside those (udr_linger.h) */
} udr_capacity_t;

/* Returns false where no request waits on a loop: another MPM than event, UDSLoops Off, no route. s: the main server,
 * completed. Any thread. */
bool udr_capacity_get(udr_capacity_t *capacity, const server_rec *s);

/* Says it in the error log (for `configtest`: on stderr). s: the main server, completed. */
void udr_capacity_log(const server_rec *s);

#endif
