/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_socket.h"

#include <apr_strings.h>

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory)) {
        count++;
    }
    closedir(directory);
    return count;
}

bool place_make(place_t *place, apr_pool_t *p)
{
    char *directory = apr_pstrdup(p, "/tmp/udr-unit-XXXXXX");
    *place = (place_t){.pool = p, .directory = directory, .listener = -1, .descriptors = count_descriptors()};
    if (!mkdtemp(directory)) {
        return false;
    }
    place->path = apr_pstrcat(p, directory, "/member.sock", NULL);
    place->address = place_address(place, apr_pstrcat(p, "unix:", place->path, NULL));
    return true;
}

bool place_drop(place_t *place)
{
    place_disperse(place);
    place_abandon(place);
    unlink(place->path);
    if (rmdir(place->directory) != 0) {
        print_error("%s: %s\n", place->directory, strerror(errno));
        return false;
    }
    if (count_descriptors() != place->descriptors) {
        print_error("%d descriptors were open, now %d are\n", place->descriptors, count_descriptors());
        return false;
    }
    return true;
}

const udr_address_t *place_address(const place_t *place, const char *text)
{
    const udr_address_t *address = NULL;
    const char *error = udr_address_parse(&address, text, "/run", place->pool);
    if (error) {
        fail_msg("%s", error);
    }
    return address;
}

void place_listen(place_t *place, int backlog)
{
    struct sockaddr_un sa;
    socklen_t len = udr_address_sockaddr(place->address, &sa);
    place_abandon(place);
    unlink(place->path);
    place->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(place->listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(place->listener, backlog), 0);
}

void place_abandon(place_t *place)
{
    if (place->listener >= 0) {
        close(place->listener);
    }
    place->listener = -1;
}

int place_accept(const place_t *place)
{
    int fd = accept4(place->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        fail_msg("nothing to accept: %s", strerror(errno));
    }
    return fd;
}

bool place_is_wanted(const place_t *place)
{
    struct pollfd waiting = {.fd = place->listener, .events = POLLIN};
    return poll(&waiting, 1, 0) == 1;
}

void place_crowd_backlog(place_t *place)
{
    struct sockaddr_un sa;
    socklen_t len = udr_address_sockaddr(place->address, &sa);
    while (place->crowd_count < PLACE_CROWD) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(fd, (struct sockaddr *)&sa, len) != 0) {
            int error = errno;
            close(fd);
            assert_int_equal(error, EAGAIN);
            return;
        }
        place->crowd[place->crowd_count++] = fd;
    }
    fail_msg("the backlog takes more than %d", PLACE_CROWD);
}

void place_make_room(const place_t *place)
{
    close(place_accept(place));
}

void place_disperse(place_t *place)
{
    while (place->crowd_count > 0) {
        close(place->crowd[--place->crowd_count]);
    }
}

udr_connection_t *place_connect(const place_t *place)
{
    udr_connection_t *connection = NULL;
    assert_int_equal(udr_connection_create(&connection), APR_SUCCESS);
    assert_int_equal(udr_connection_connect(connection, place->address), APR_SUCCESS);
    return connection;
}

const char *place_describe_peer(const place_t *place)
{
    const struct passwd *user = getpwuid(geteuid());
    const struct group *group = getgrgid(getegid());
    return apr_psprintf(place->pool, "%s:%s (%lu:%lu), process %ld", user ? user->pw_name : "?",
                        group ? group->gr_name : "?", (unsigned long)geteuid(), (unsigned long)getegid(),
                        (long)getpid());
}
