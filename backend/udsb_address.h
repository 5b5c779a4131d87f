/* SPDX-License-Identifier: Apache-2.0 */
/* Where a Unix socket is: a path, or "@name" in Linux' abstract namespace (unix(7)).
 * Layer: bottom. Used by listeners, by the program's --check and by its instances. */
#ifndef UDSB_ADDRESS_H
#define UDSB_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* sun_path has 108 bytes; one is for the NUL of a path, or for the NUL before an abstract name. */
enum { UDSB_ADDRESS_MAXIMUM = sizeof((struct sockaddr_un *)0)->sun_path - 1 };

typedef struct {
    struct sockaddr_un socket;
    socklen_t length; /* of socket, as bind(2) and connect(2) want it */
    bool is_abstract;
    char text[1 + UDSB_ADDRESS_MAXIMUM + 1]; /* as it was written: "/run/app.sock", "@app" */
} udsb_address_t;

/* Reads an address. NULL, or a static sentence that says what is wrong with it (address is then untouched). Paths are
 * taken as they are: what the kernel would accept, but for an empty one, one that ends in "/", and names with a NUL. */
const char *udsb_address_parse(udsb_address_t *address, const char *text);

/* Writes the path or name of instance number (1 to N): "-number" goes before the suffix of the last component,
 * "/run/app.sock" -> "/run/app-2.sock", "@app" -> "@app-2". False if it does not fit into size bytes. */
bool udsb_address_instance(char *result, size_t size, const char *text, unsigned number);

#endif
