/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "backend/udsb_systemd.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>

_Static_assert(SD_LISTEN_FDS_START == UDSB_SYSTEMD_FIRST, "the first descriptor that is passed");

udsb_result_t udsb_systemd_listeners(unsigned *count, udsb_error_t *error)
{
    const int result = sd_listen_fds(0);

    if (result < 0)
        return udsb_error_set(error, UDSB_INVALID, "LISTEN_FDS or LISTEN_PID is wrong: %s", strerror(-result));
    *count = (unsigned)result;
    return UDSB_OK;
}

void udsb_systemd_notify(const char *state)
{
    sd_notify(0, state);
}

#else

udsb_result_t udsb_systemd_listeners(unsigned *count, udsb_error_t *error)
{
    if (getenv("LISTEN_FDS"))
        return udsb_error_set(error, UDSB_INVALID,
                              "sockets were passed (LISTEN_FDS), but udsbackend was built without "
                              "libsystemd");
    *count = 0;
    return UDSB_OK;
}

void udsb_systemd_notify(const char *state)
{
    (void)state;
}

#endif

void udsb_systemd_forget(void)
{
    unsetenv("NOTIFY_SOCKET");
}
