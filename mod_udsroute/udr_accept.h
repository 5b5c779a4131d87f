/* SPDX-License-Identifier: Apache-2.0 */
/* What a client would like to get: the field Accept (RFC 9110, 12.5.1). httpd's own reader of it belongs to
 * mod_negotiation. Layer: core, bottom. Used by the status. */
#ifndef UDR_ACCEPT_H
#define UDR_ACCEPT_H

/* How much it likes a media type ("text/html", lower case), in thousandths: the quality that the most specific of its
 * ranges says, whatever their other parameters; of several alike the best. 0: it does not want it, 1000: nothing
 * better. accept: the field; NULL: there is none, and all is welcome. What can't be read is left out. */
int udr_accept_quality(const char *accept, const char *type);

#endif
