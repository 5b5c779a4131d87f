/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_peer.h"
#include "backend/udsb_value.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* For one entry of the user or group database; groups can be large, but we ask for the number only. */
enum { ENTRY_SIZE = 64 * 1024 };

bool udsb_peer_of(udsb_peer_t *peer, int descriptor)
{
    struct ucred credentials;
    socklen_t length = sizeof credentials;

    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length))
        return false;
    *peer = (udsb_peer_t){.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
    return true;
}

/* The name of a running process, or "" (it may be gone, or hidden from us). */
static void process_name(pid_t pid, char *name, size_t size)
{
    char path[64];

    name[0] = '\0';
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    const ssize_t length = read(descriptor, name, size - 1);
    close(descriptor);
    name[length > 0 ? length : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

void udsb_peer_describe(const udsb_peer_t *peer, char *text, size_t size)
{
    char name[32] = "", process[64] = "";
    char *const entry_buffer = malloc(ENTRY_SIZE);
    struct passwd entry, *found = NULL;

    if (peer->pid > 0) {
        process_name(peer->pid, name, sizeof name);
        snprintf(process, sizeof process, name[0] ? "process %d (%s) of " : "process %d of ", (int)peer->pid, name);
    }
    if (entry_buffer && !getpwuid_r(peer->uid, &entry, entry_buffer, ENTRY_SIZE, &found) && found)
        snprintf(text, size, "%suser %s (%lu)", process, found->pw_name, (unsigned long)peer->uid);
    else
        snprintf(text, size, "%suser %lu", process, (unsigned long)peer->uid);
    free(entry_buffer);
}

bool udsb_peer_find_user(uid_t *result, const char *text)
{
    char *const buffer = malloc(ENTRY_SIZE);
    struct passwd entry, *found = NULL;
    uint64_t number;

    if (buffer && !getpwnam_r(text, &entry, buffer, ENTRY_SIZE, &found) && found)
        *result = entry.pw_uid;
    else if (udsb_value_number(&number, text, 0, UINT32_MAX - 1)) /* -1 means "no user" to the kernel */
        *result = (uid_t)number;
    else {
        free(buffer);
        return false;
    }
    free(buffer);
    return true;
}

bool udsb_peer_find_group(gid_t *result, const char *text)
{
    char *const buffer = malloc(ENTRY_SIZE);
    struct group entry, *found = NULL;
    uint64_t number;

    if (buffer && !getgrnam_r(text, &entry, buffer, ENTRY_SIZE, &found) && found)
        *result = entry.gr_gid;
    else if (udsb_value_number(&number, text, 0, UINT32_MAX - 1))
        *result = (gid_t)number;
    else {
        free(buffer);
        return false;
    }
    free(buffer);
    return true;
}

bool udsb_peer_list_add(udsb_peer_list_t *list, uid_t user)
{
    uid_t *const users = realloc(list->users, (list->count + 1) * sizeof *users);

    if (!users)
        return false;
    users[list->count] = user;
    list->users = users;
    list->count++;
    return true;
}

bool udsb_peer_list_allows(const udsb_peer_list_t *list, uid_t user)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->users[i] == user)
            return true;
    }
    return list->count == 0;
}

void udsb_peer_list_clear(udsb_peer_list_t *list)
{
    free(list->users);
    *list = (udsb_peer_list_t){0};
}
