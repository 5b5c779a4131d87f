/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a listening socket and its file: examined, made under a lock, unlinked if it is still the same.
 * Layer: bottom, above address, peer and error. Used by the server's listeners and by the program's --check. */
#ifndef UDSB_SOCKET_H
#define UDSB_SOCKET_H

#include "backend/udsb_address.h"
#include "backend/udsb_error.h"

#include <sys/types.h>

typedef struct {
    unsigned mode; /* 1 to 0777 */
    uid_t owner;   /* (uid_t)-1: leave */
    gid_t group;   /* (gid_t)-1: leave */
    int backlog;   /* 1 to 65535 */
} udsb_socket_options_t;

typedef struct {
    udsb_address_t address;
    bool is_ours;   /* made by udsb_socket_open */
    int descriptor; /* listening, non-blocking, close-on-exec; -1: closed */
    int directory;  /* of a file we made (O_PATH): found again whatever the program's working directory is then; else -1
                     */
    dev_t device;   /* of a file we made */
    ino_t inode;
} udsb_socket_t;

/* What lies at an address, as far as connecting shows. */
typedef enum {
    UDSB_SOCKET_ABSENT,
    UDSB_SOCKET_STALE,   /* a socket file that nobody listens on */
    UDSB_SOCKET_LIVE,    /* somebody does */
    UDSB_SOCKET_FOREIGN, /* not a stream socket */
    UDSB_SOCKET_UNCLEAR  /* we may not connect */
} udsb_socket_state_t;

/* Connects and looks. who: "process 12 (x) of user y" for LIVE, why for FOREIGN and UNCLEAR, else "". */
udsb_socket_state_t udsb_socket_examine(const udsb_address_t *address, char *who, size_t size);

/* Makes and listens. On success the caller owns *socket and ends it with udsb_socket_unlink and udsb_socket_close.
 * Waits up to 10 s for the lock. */
udsb_result_t udsb_socket_open(udsb_socket_t *result, const udsb_address_t *address,
                               const udsb_socket_options_t *options, udsb_error_t *error);

/* Takes over a descriptor made elsewhere; its file stays. */
udsb_result_t udsb_socket_adopt(udsb_socket_t *result, int descriptor, udsb_error_t *error);

/* Refuses new connections from now on; those in the backlog can still be accepted. Not for adopted sockets, which
 * others may go on listening on: then it does nothing. */
void udsb_socket_refuse(udsb_socket_t *socket);

/* Unlinks the file if it is the one we made. Before udsb_socket_close: while the socket is open its inode number cannot
 * be given to another file. */
udsb_result_t udsb_socket_unlink(udsb_socket_t *socket, udsb_error_t *error);
void udsb_socket_close(udsb_socket_t *socket);

#endif
