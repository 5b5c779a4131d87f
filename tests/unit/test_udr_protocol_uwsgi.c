/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fixture_cgi_protocol.h"

int main(void)
{
    static const cgi_protocol_t it = {
        .protocol = &udr_protocol_uwsgi,
        .name = "uwsgi",
        .target = "unix:/run/a.sock|uwsgi://localhost:3031/",
        .head = {TEXT("\0\x13\0\0\x0e\0CONTENT_LENGTH\x01\0"
                      "5")},
    };
    return run_cgi_protocol_tests("udr_protocol_uwsgi", &it);
}
