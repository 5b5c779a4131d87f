/* SPDX-License-Identifier: Apache-2.0 */
/* What a form of the status page brings along, so that no other page can make a browser send one: a number that only
 * who may read the page can know. The same in all children, and after a graceful restart. Layer: glue. */
#ifndef MOD_UDSROUTE_STATUS_NONCE_H
#define MOD_UDSROUTE_STATUS_NONCE_H

#include "mod_udsroute/mod_udsroute.h"

/* The parent, in post_config: the one it has, or a new one. Logs what is wrong. */
apr_status_t udr_status_nonce_configure(const server_rec *main_server);

/* The nonce, as text of hexadecimal digits. Any child. */
const char *udr_status_nonce(void);

/* Whether the text is the nonce; takes as long whatever of it is right. NULL is not. */
bool udr_status_nonce_is(const char *text);

#endif
