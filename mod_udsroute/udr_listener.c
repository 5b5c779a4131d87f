/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_listener.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/sysmacros.h>
#endif

static void read_line(udr_listener_t *listener, const char *line, const char *name)
{
    const unsigned accepts = 1U << 16; /* __SO_ACCEPTCON of linux/net.h */
    const unsigned unconnected = 1;    /* SS_UNCONNECTED; accepted connections bear the listener's name as well */
    unsigned flags;
    unsigned type;
    unsigned state;
    int at = 0;

    /* Num RefCount Protocol Flags Type St Inode Path */
    if (sscanf(line, "%*s %*s %*s %x %x %x %*s %n", &flags, &type, &state, &at) == 3 && at > 0 &&
        state == unconnected && !strcmp(line + at, name) && !listener->listening) {
        listener->bound = true;
        listener->listening = (flags & accepts) != 0;
        listener->type = (int)type;
    }
}

udr_listener_t udr_listener_find(const udr_address_t *address, apr_pool_t *p)
{
    const char *name = address->kind == UDR_ADDRESS_ABSTRACT ? apr_pstrcat(p, "@", address->name, NULL) : address->name;
    udr_listener_t listener = {.bound = false};
    FILE *file = fopen("/proc/net/unix", "re");
    char line[512];

    if (!file) {
        return listener;
    }
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        read_line(&listener, line, name);
    }
    fclose(file);
    return listener;
}

#ifdef __linux__

/* How sure it is that a listening socket is the one. A file is known by device and inode: its name may have been bound
 * by way of a link, or may belong to an older socket whose file was replaced. Over some layered file systems only the
 * name can be compared. */
typedef enum match_t { MATCH_NONE, MATCH_NAME, MATCH_FILE } match_t;

typedef struct search_t {
    const udr_address_t *address;
    bool has_file;
    struct stat file;
    match_t best;
    udr_backlog_t backlog; /* of the best match */
} search_t;

static bool same_name(const udr_address_t *address, const char *name, apr_size_t len)
{
    if (address->kind == UDR_ADDRESS_ABSTRACT) {
        return len == address->len + 1 && !*name && !memcmp(name + 1, address->name, address->len);
    }
    return len >= address->len && strnlen(name, len) == address->len && !memcmp(name, address->name, address->len);
}

static bool same_file(const search_t *search, const struct unix_diag_vfs *vfs)
{
    /* The kernel's own dev_t has twenty bits for the minor number; inode numbers are cut to 32 bits. */
    return search->has_file && vfs->udiag_vfs_ino == (__u32)search->file.st_ino &&
           vfs->udiag_vfs_dev == (major(search->file.st_dev) << 20 | minor(search->file.st_dev));
}

/* What is told of one listener. */
typedef struct told_t {
    const struct unix_diag_vfs *vfs;
    const char *name;
    apr_size_t name_len;
    const struct unix_diag_rqlen *queue;
} told_t;

/* Several may be looked for at once. */
typedef struct searches_t {
    search_t *each;
    apr_size_t count;
} searches_t;

static told_t read_attributes(const struct nlmsghdr *message)
{
    const struct unix_diag_msg *listener = NLMSG_DATA(message);
    const struct rtattr *attribute = (const struct rtattr *)(listener + 1);
    long left = (long)message->nlmsg_len - (long)NLMSG_LENGTH(sizeof(*listener));
    told_t told = {.vfs = NULL};

    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == UNIX_DIAG_VFS) {
            told.vfs = RTA_DATA(attribute);
        } else if (attribute->rta_type == UNIX_DIAG_NAME) {
            told.name = RTA_DATA(attribute);
            told.name_len = RTA_PAYLOAD(attribute);
        } else if (attribute->rta_type == UNIX_DIAG_RQLEN) {
            told.queue = RTA_DATA(attribute);
        }
    }
    return told;
}

static void read_listener(const searches_t *searches, const struct nlmsghdr *message)
{
    const told_t told = read_attributes(message);

    for (apr_size_t i = 0; told.queue && i < searches->count; i++) {
        search_t *search = &searches->each[i];
        match_t match = told.vfs && same_file(search, told.vfs)                             ? MATCH_FILE
                        : told.name && same_name(search->address, told.name, told.name_len) ? MATCH_NAME
                                                                                            : MATCH_NONE;
        if (match > search->best) {
            search->best = match;
            search->backlog = (udr_backlog_t){
                .known = true, .current = told.queue->udiag_rqueue, .maximum = told.queue->udiag_wqueue};
        }
    }
}

/* Reads one datagram of answers. Returns whether more are to come. */
static bool read_answers(const searches_t *searches, int fd)
{
    _Alignas(struct nlmsghdr) char buffer[16384];
    /* The kernel has a part of a dump ready before it is asked for: there is nothing to wait for. */
    ssize_t received = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    long left = (long)received;

    for (const struct nlmsghdr *message = (const void *)buffer; received > 0 && NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY) {
            return false; /* NLMSG_DONE, or NLMSG_ERROR from a kernel without unix_diag */
        }
        read_listener(searches, message);
    }
    return received > 0;
}

static bool ask_for_listeners(int fd)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req body;
    } request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = AF_UNIX,
                 .udiag_states = 1U << TCP_LISTEN,
                 .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN},
    };

    return send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request);
}

static void find_all(const searches_t *searches)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    /* Not permitted, for example, under systemd's RestrictAddressFamilies= without AF_NETLINK. */
    if (fd < 0) {
        return;
    }
    if (ask_for_listeners(fd)) {
        while (read_answers(searches, fd)) {
            continue;
        }
    }
    close(fd);
}

static search_t begin_search(const udr_address_t *address)
{
    search_t search = {.address = address, .best = MATCH_NONE};

    search.has_file = address->kind == UDR_ADDRESS_PATH && !stat(address->name, &search.file);
    return search;
}

udr_backlog_t udr_listener_backlog(const udr_address_t *address)
{
    search_t search = begin_search(address);

    find_all(&(searches_t){.each = &search, .count = 1});
    return search.backlog;
}

void udr_listener_backlogs(const udr_address_t *const *addresses, udr_backlog_t *backlogs, apr_size_t count,
                           apr_pool_t *p)
{
    searches_t searches = {.each = apr_palloc(p, count * sizeof(*searches.each)), .count = count};

    for (apr_size_t i = 0; i < count; i++) {
        searches.each[i] = begin_search(addresses[i]);
    }
    find_all(&searches);
    for (apr_size_t i = 0; i < count; i++) {
        backlogs[i] = searches.each[i].backlog;
    }
}

#else

udr_backlog_t udr_listener_backlog(const udr_address_t *address)
{
    (void)address;
    return (udr_backlog_t){.known = false};
}

void udr_listener_backlogs(const udr_address_t *const *addresses, udr_backlog_t *backlogs, apr_size_t count,
                           apr_pool_t *p)
{
    (void)p;
    for (apr_size_t i = 0; i < count; i++) {
        backlogs[i] = udr_listener_backlog(addresses[i]);
    }
}

#endif
