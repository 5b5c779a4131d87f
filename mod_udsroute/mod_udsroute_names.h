/* SPDX-License-Identifier: Apache-2.0 */
/* Clients' names (HostnameLookups), which the access log asks for when a response has been written, on whichever thread
 * that was. The resolver may take its time, so a loop must not be the one to ask: a worker does, and httpd keeps what
 * it was told, for the connection, or where mod_remoteip says who the client is, for the request. Layer: glue. */
#ifndef MOD_UDSROUTE_NAMES_H
#define MOD_UDSROUTE_NAMES_H

#include "mod_udsroute/mod_udsroute.h"

/* HostnameLookups says so for this request, and nobody has asked yet. Any thread. */
bool udr_names_are_wanted(const request_rec *r);

/* The same for requests of the connection that httpd can't even read. */
bool udr_names_are_wanted_by(const conn_rec *c);

/* Asks, where it is wanted. On a worker thread. */
void udr_names_ask(request_rec *r);
void udr_names_ask_for(conn_rec *c);

/* Hook log_transaction, before all others: what a loop has to log with nobody having asked it logs by address. That is
 * a request that a worker has read, of a client who does not take the response at once, where HostnameLookups is on in
 * a <Location> or the like alone. */
int udr_names_log_transaction(request_rec *r);

#endif
