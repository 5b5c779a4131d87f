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

static apr_size_t span_target(udr_slice_t text)
{
    apr_size_t count = 0;
    while (count < text.len && in_target[(unsigned char)text.ptr[count]]) {
        count++;
    }
    return count;
}

static apr_size_t span_capitals(udr_slice_t text)
{
    apr_size_t count = 0;
    while (count < text.len && text.ptr[count] >= 'A' && text.ptr[count] <= 'Z') {
        count++;
    }
    return count;
}

/* What is left of a slice behind its first bytes. */
static udr_slice_t behind(udr_slice_t text, apr_size_t count)
{
    return (udr_slice_t){text.ptr + count, text.len - count};
}

/* METHOD SP path [ "?" query ] SP HTTP/1.x */
static bool read_line(udr_head_t *head)
{
    static const char version[] = " HTTP/1.";
    const apr_size_t method = span_capitals(head->line);
    if (method == 0 || method == head->line.len || head->line.ptr[method] != ' ') {
        return false;
    }
    head->method = (udr_slice_t){head->line.ptr, method};
    const udr_slice_t rest = behind(head->line, method + 1);
    const udr_slice_t target = {rest.ptr, span_target(rest)};
    /* httpd makes one slash of several at the beginning. */
    if (target.len == 0 || target.ptr[0] != '/' || (target.len > 1 && target.ptr[1] == '/') ||
        rest.len - target.len != sizeof version || memcmp(target.ptr + target.len, version, sizeof version - 1) != 0) {
        return false;
    }
    const char *mark = memchr(target.ptr, '?', target.len);
    head->target = target;
    head->path = (udr_slice_t){target.ptr, mark ? (apr_size_t)(mark - target.ptr) : target.len};
    head->has_query = mark != NULL;
    head->query = mark ? behind(target, head->path.len + 1) : (udr_slice_t){NULL, 0};
    head->protocol = behind(rest, target.len + 1);
    const char minor = head->protocol.ptr[head->protocol.len - 1];
    head->minor = minor - '0';
    return minor == '0' || minor == '1';
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

/* httpd makes one field of several with the same name. *seen: a bit for each length and beginning of a name there has
 * been; mostly that says all. */
static bool is_repeated(const udr_head_t *head, udr_slice_t name, apr_uint64_t *seen)
{
    const apr_uint64_t bit = UINT64_C(1) << ((name.len * 7 + (unsigned char)(name.ptr[0] | 0x20)) % 64);
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
        if (udr_http1_parse_field(line, field) || is_repeated(head, field->name, &seen) || !heed(head, field)) {
            return false;
        }
        head->count++;
    }
    return false;
}
