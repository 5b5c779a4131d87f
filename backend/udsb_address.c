/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_address.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *udsb_address_parse(udsb_address_t *address, const char *text)
{
    const size_t length = strlen(text);
    udsb_address_t result = {.socket.sun_family = AF_UNIX};

    if (!length)
        return "is empty";
    result.is_abstract = text[0] == '@';
    if (result.is_abstract && length == 1)
        return "has no name after the @";
    if (length - result.is_abstract > UDSB_ADDRESS_MAXIMUM)
        return result.is_abstract ? "is longer than the 107 bytes the kernel allows after the @"
                                  : "is longer than the 107 bytes the kernel allows for a socket path";
    if (!result.is_abstract && text[length - 1] == '/')
        return "names a directory, not a socket";
    memcpy(result.text, text, length + 1);
    if (result.is_abstract) {
        /* An abstract name is every byte counted by the length, from a NUL on; nothing ends it. */
        memcpy(result.socket.sun_path + 1, text + 1, length - 1);
        result.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    } else {
        memcpy(result.socket.sun_path, text, length + 1);
        result.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    }
    *address = result;
    return NULL;
}

bool udsb_address_instance(char *result, size_t size, const char *text, unsigned number)
{
    const char *const slash = strrchr(text, '/');
    const char *const component = slash ? slash + 1 : text;
    const char *suffix = strrchr(component, '.');

    if (!suffix || suffix == component) /* none, or a hidden file's first dot */
        suffix = component + strlen(component);

    const int length = snprintf(result, size, "%.*s-%u%s", (int)(suffix - text), text, number, suffix);
    return length > 0 && (size_t)length < size;
}
