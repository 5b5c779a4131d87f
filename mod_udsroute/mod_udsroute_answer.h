/* SPDX-License-Identifier: Apache-2.0 */
/* An answer that is there as a whole before anything of it has been passed on: where nothing but httpd's own filters
 * would look at it, its head is written here as they would, and goes down with its body in one piece. What httpd's
 * filters leave in the request's record for those who log, is left there here too.
 * Layer: glue; used by mod_udsroute_client.c. */
#ifndef MOD_UDSROUTE_ANSWER_H
#define MOD_UDSROUTE_ANSWER_H

#include "mod_udsroute/mod_udsroute_response.h"

#include <httpd.h>
#include <stdbool.h>

/* Gives the connection's filters the answer in r with its stamp and its body, which is length bytes in memory and is
 * taken out of the brigade, and returns true; *rv is what those filters return. Or changes nothing and returns false:
 * r's output filters would do something else with it, and they shall. Only when nothing of the answer has been passed
 * on. */
bool udr_answer_pass(request_rec *r, const udr_stamp_t *stamp, apr_bucket_brigade *body, apr_size_t length,
                     apr_status_t *rv);

#endif
