/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_acceptance.h"

#ifdef __linux__

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ask(int netlink, ino_t inode)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req body;
    } request = {
        .header = {.nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = AF_UNIX,
                 .udiag_states = ~0U,
                 .udiag_ino = (__u32)inode,
                 .udiag_show = UDIAG_SHOW_PEER,
                 .udiag_cookie = {~0U, ~0U}}, /* INET_DIAG_NOCOOKIE */
    };
    return send(netlink, &request, sizeof(request), 0) == (ssize_t)sizeof(request);
}

/* A socket has an inode when it belongs to a file: that in the backlog belongs to none yet. */
static udr_acceptance_t read_answer(const struct nlmsghdr *message)
{
    const struct unix_diag_msg *told = NLMSG_DATA(message);
    const struct rtattr *attribute = (const struct rtattr *)(told + 1);
    long left = (long)message->nlmsg_len - (long)NLMSG_LENGTH(sizeof(*told));
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == UNIX_DIAG_PEER) {
            __u32 inode;
            memcpy(&inode, RTA_DATA(attribute), sizeof inode);
            return inode ? UDR_ACCEPTANCE_GIVEN : UDR_ACCEPTANCE_WAITS;
        }
    }
    return UDR_ACCEPTANCE_UNKNOWN;
}

udr_acceptance_t udr_acceptance_find(int fd)
{
    _Alignas(struct nlmsghdr) char buffer[512];
    udr_acceptance_t found = UDR_ACCEPTANCE_UNKNOWN;
    struct stat status;
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0) {
        return UDR_ACCEPTANCE_UNKNOWN;
    }
    if (fstat(fd, &status) == 0 && ask(netlink, status.st_ino)) {
        /* The kernel has answered before it returns from send(2): there is nothing to wait for. */
        ssize_t received = recv(netlink, buffer, sizeof(buffer), MSG_DONTWAIT);
        const struct nlmsghdr *message = (const void *)buffer;
        if (received > 0 && NLMSG_OK(message, (unsigned long)received) && message->nlmsg_type == SOCK_DIAG_BY_FAMILY) {
            found = read_answer(message);
        }
    }
    close(netlink);
    return found;
}

#else

udr_acceptance_t udr_acceptance_find(int fd)
{
    (void)fd;
    return UDR_ACCEPTANCE_UNKNOWN;
}

#endif
