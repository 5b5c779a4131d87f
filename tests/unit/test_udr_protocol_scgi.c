/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fixture_cgi_protocol.h"

int main(void)
{
    static const cgi_protocol_t it = {
        .protocol = &udr_protocol_scgi,
        .name = "SCGI",
        .target = "unix:/run/a.sock|scgi://localhost:4000/",
        .head = {TEXT("24:CONTENT_LENGTH\0"
                      "5\0SCGI\0"
                      "1\0,")},
    };
    return run_cgi_protocol_tests("udr_protocol_scgi", &it);
}
