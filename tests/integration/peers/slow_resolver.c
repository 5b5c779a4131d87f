/* SPDX-License-Identifier: Apache-2.0 */
/* To be loaded before the C library: a resolver that gives everybody a name (127.0.0.9 is host-9.example), but answers
 * only while there is no file at $SLOW_RESOLVER_GATE. Each question adds a byte to the file $SLOW_RESOLVER_ASKED. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getnameinfo(const struct sockaddr *address, socklen_t length, char *host, socklen_t host_size, char *service,
                socklen_t service_size, int flags)
{
    const struct sockaddr_in *internet = (const void *)address;
    int asked = open(getenv("SLOW_RESOLVER_ASKED"), O_WRONLY | O_APPEND);
    (void)length;
    (void)service;
    (void)service_size;
    if (address->sa_family != AF_INET || (flags & NI_NUMERICHOST) || asked < 0 || write(asked, "?", 1) != 1) {
        return EAI_FAIL;
    }
    close(asked);
    while (access(getenv("SLOW_RESOLVER_GATE"), F_OK) == 0) {
        usleep(5000);
    }
    snprintf(host, host_size, "host-%u.example", (unsigned int)(ntohl(internet->sin_addr.s_addr) & 255));
    return 0;
}

/* The way back (HostnameLookups Double): those names nobody knows. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT,
                                                                                                "getaddrinfo");
    return host && strstr(host, ".example") ? EAI_NONAME : next(host, service, hints, found);
}
