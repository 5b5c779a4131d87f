/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_head.h"
#include "mod_udsroute/udr_http1_syntax.h"

#include <string.h>

/* What may stand in a target: unreserved, percent-encoded, sub-delims, `:`, `@`, `/`, `?` (RFC 3986, 3.3 and 3.4), and
 * nothing that clients ought to have encoded. */
static const bool in_target[256] = {
    ['!'] = true, ['$' ... '/'] = true, ['0' ... '9'] = true, [':'] = true,         [';'] = true,
    ['='] = true, ['?' ... 'Z'] = true, ['_'] = true,         ['a' ... 'z'] = true, ['~'] = true,
};

/* Takes the next line, without its end. */
static bool next_line(udr_slice_t *rest, udr_slice_t *line)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    if (!end || end == rest->ptr || end[-1] != '\r') {
        return false;
    }
    *line = (udr_slice_t){rest->ptr, (apr_size_t)(end - 1 - rest->ptr)};
    rest->len -= line->len + 2;
    rest->ptr = end + 1;
    return true;
}

/* A line ends in CR, which belongs to no class: nobody has to count how much of it there is. */
static const char *behind_target(const char *s)
{
    while (in_target[(unsigned char)*s]) {
        s++;
    }
    return s;
}

static const char *behind_token(const char *s)
{
    while (udr_http1_is(*s, UDR_HTTP1_TOKEN)) {
        s++;
    }
    return s;
}

static const char *behind_capitals(const char *s)
{
    while (*s >= 'A' && *s <= 'Z') {
        s++;
    }
    return s;
}

static udr_slice_t between(const char *start, const char *end)
{
    return (udr_slice_t){start, (apr_size_t)(end - start)};
}

/* METHOD SP path [ "?" query ] SP HTTP/1.x */
static bool read_line(udr_head_t *head)
{
    static const char version[] = " HTTP/1.";
    const char *end = head->line.ptr + head->line.len;
    head->method = between(head->line.ptr, behind_capitals(head->line.ptr));
    if (head->method.len == 0 || head->method.ptr[head->method.len] != ' ') {
        return false;
    }
    const char *target = head->method.ptr + head->method.len + 1;
    const char *behind = behind_target(target);
    /* httpd makes one slash of several at the beginning. */
    if (target[0] != '/' || target[1] == '/' || end - behind != sizeof version ||
        memcmp(behind, version, sizeof version - 1) != 0) {
        return false;
    }
    const char *mark = memchr(target, '?', (apr_size_t)(behind - target));
    head->target = between(target, behind);
    head->path = between(target, mark ? mark : behind);
    head->has_query = mark != NULL;
    head->query = mark ? between(mark + 1, behind) : (udr_slice_t){NULL, 0};
    head->protocol = between(behind + 1, end);
    head->minor = end[-1] - '0';
    return head->minor == 0 || head->minor == 1;
}

static bool read_field(udr_slice_t line, udr_field_t *field)
{
    const char *end = line.ptr + line.len;
    field->name = between(line.ptr, behind_token(line.ptr));
    const char *colon = field->name.ptr + field->name.len;
    if (field->name.len == 0 || *colon != ':') {
        return false;
    }
    field->value = udr_http1_trimmed(colon + 1, end);
    return udr_http1_span_text(field->value) == field->value.len;
}

static bool is_same_name(udr_slice_t a, udr_slice_t b)
{
    if (a.len != b.len) {
        return false;
    }
    for (apr_size_t i = 0; i < a.len; i++) {
        /* Bytes that are the same with that bit set, though they differ, are not in names; but for '^' and '~': taken
         * for the same, which is only not plain. */
        if ((a.ptr[i] | 0x20) != (b.ptr[i] | 0x20)) {
            return false;
        }
    }
    return true;
}

/* httpd makes one field of several with the same name. *seen: a bit for each length, beginning and end of a name there
 * has been; mostly that says all. */
static bool is_repeated(const udr_head_t *head, udr_slice_t name, apr_uint64_t *seen)
{
    const unsigned char first = (unsigned char)(name.ptr[0] | 0x20);
    const unsigned char last = (unsigned char)(name.ptr[name.len - 1] | 0x20);
    const apr_uint64_t bit = UINT64_C(1) << ((name.len * 7 + first * 3U + last) % 64);
    if (*seen & bit) {
        for (int i = 0; i < head->count; i++) {
            if (is_same_name(head->fields[i].name, name)) {
                return true;
            }
        }
    }
    *seen |= bit;
    return false;
}

/* Those that say how the head goes on. Returns false: no plain one. */
static bool heed(udr_head_t *head, const udr_field_t *field)
{
    apr_uint64_t length;
    switch (field->name.len) {
    case 4:
        if (UDR_HTTP1_EQUALS(field->name, "host")) {
            head->host = field->value;
        }
        return true;
    case 6:
        return !UDR_HTTP1_EQUALS(field->name, "expect");
    case 14:
        if (UDR_HTTP1_EQUALS(field->name, "content-length")) {
            const char *why = udr_http1_parse_length(field->value, &length);
            head->has_body = !why && length > 0;
            return !why;
        }
        return true;
    case 17:
        return !UDR_HTTP1_EQUALS(field->name, "transfer-encoding");
    default:
        return true;
    }
}

bool udr_head_read(udr_head_t *head, udr_slice_t bytes, const udr_head_limits_t *limits)
{
    const int most = limits->fields > 0 && limits->fields < UDR_HEAD_FIELDS ? limits->fields : UDR_HEAD_FIELDS;
    udr_slice_t rest = bytes;
    udr_slice_t line;
    apr_uint64_t seen = 0;
    head->count = 0;
    head->has_body = false;
    head->host = (udr_slice_t){NULL, 0};
    if (!next_line(&rest, &head->line) || head->line.len + 2 > limits->line || !read_line(head)) {
        return false;
    }
    while (next_line(&rest, &line)) {
        if (line.len == 0) {
            head->len = bytes.len - rest.len;
            return true;
        }
        if (head->count == most || line.len + 2 > limits->field) {
            return false;
        }
        udr_field_t *field = &head->fields[head->count];
        if (!read_field(line, field) || is_repeated(head, field->name, &seen) || !heed(head, field)) {
            return false;
        }
        head->count++;
    }
    return false;
}
