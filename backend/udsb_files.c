/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_server.h"

udsb_result_t udsb_server_map_files(udsb_server_t *server, const char *prefix, const char *directory)
{
    (void)prefix, (void)directory;
    return udsb_error_set(&server->error, UDSB_INVALID, "files are not served yet");
}
