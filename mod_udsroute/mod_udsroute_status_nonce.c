/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_nonce.h"

#include <apr_escape.h>
#include <apr_general.h>

#define RETAINED_KEY "udsroute-status-nonce-1"
#define BYTES        16
#define DIGITS       ((apr_size_t)2 * BYTES)

/* The process's: this module is unloaded and loaded again with each reload. */
static const char *nonce;

apr_status_t udr_status_nonce_configure(const server_rec *main_server)
{
    char *digits = ap_retained_data_get(RETAINED_KEY);
    if (!digits) {
        unsigned char bytes[BYTES];
        apr_status_t rv = apr_generate_random_bytes(bytes, sizeof bytes);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, main_server,
                         UDRNO(0049) "no random bytes for the forms of the status page");
            return rv;
        }
        digits = ap_retained_data_create(RETAINED_KEY, DIGITS + 1);
        (void)apr_escape_hex(digits, bytes, sizeof bytes, 0, NULL);
    }
    nonce = digits;
    return APR_SUCCESS;
}

const char *udr_status_nonce(void)
{
    return nonce;
}

bool udr_status_nonce_is(const char *text)
{
    unsigned char difference = 0;
    if (!text || strlen(text) != DIGITS) {
        return false;
    }
    for (apr_size_t i = 0; i < DIGITS; i++) {
        difference |= (unsigned char)(text[i] ^ nonce[i]);
    }
    return difference == 0;
}
