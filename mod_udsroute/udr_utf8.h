/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, for formats that have nothing else. Layer: core, bottom. Used by udr_json and udr_metrics. */
#ifndef UDR_UTF8_H
#define UDR_UTF8_H

#include <apr.h>

/* What stands for a byte that is no UTF-8: U+FFFD. */
#define UDR_UTF8_REPLACEMENT "\xef\xbf\xbd"

/* The length in bytes of the character that text begins with, 1 to 4; 0: it is none (RFC 3629, section 4: nothing
 * longer than need be, no surrogates, nothing beyond U+10FFFF), or text is empty. text ends with a NUL. */
apr_size_t udr_utf8_length(const char *text);

#endif
