/* SPDX-License-Identifier: Apache-2.0 */
/* What `hcexpr` asks of the answer to a check: an expression of httpd's, which sees the answer as if it were httpd's
 * own. Layer: glue. Made while the configuration is read; used on the thread that runs checks. */
#ifndef MOD_UDSROUTE_CONDITION_H
#define MOD_UDSROUTE_CONDITION_H

#include "mod_udsroute/mod_udsroute.h"
#include "mod_udsroute/udr_check.h"

#include <ap_expr.h>

typedef struct udr_condition_t {
    const char *name;
    udr_source_t source;
    const ap_expr_info_t *expression;
    bool reads_body; /* it has hc('body') */
} udr_condition_t;

/* Reads the expression; hc('body') is known in it. NULL, or what is wrong with it. */
const char *udr_condition_parse(udr_condition_t *condition, const cmd_parms *cmd, const char *text);

/* Does the answer meet the condition of the member? If not, *why says so where that was an error, or stays NULL.
 * From p. An expression that reads files (file(), -f) does so on this thread. */
bool udr_condition_accepts(const udr_member_t *member, const udr_answer_t *answer, const char **why, apr_pool_t *p);

void udr_condition_register(void);

#endif
