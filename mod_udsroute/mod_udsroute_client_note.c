/* SPDX-License-Identifier: Apache-2.0 */
/* What a member says to the error log (FastCGI's stderr), line by line. */
#include "mod_udsroute/mod_udsroute_client_private.h"

#include <apr_strings.h>

#include <string.h>

/* A longer line is cut: httpd's log takes 8 KiB with all that stands before. */
#define LONGEST_LINE 4096

/* A NUL would hide what stands behind it; httpd escapes other control characters. */
static void without_nuls(char *room, const char *line, apr_size_t len)
{
    for (apr_size_t i = 0; i < len; i++) {
        room[i] = line[i] ? line[i] : '?';
    }
}

/* PHP-FPM does not say which file it has not found, and the client sees its own path only. */
static const char *explain(const udr_client_t *client, const char *line, apr_size_t len)
{
    static const char unknown[] = "Primary script unknown";
    const char *script = apr_table_get(client->r->subprocess_env, "SCRIPT_FILENAME");
    if (!script || len != sizeof unknown - 1 || memcmp(line, unknown, len) != 0) {
        return "";
    }
    return apr_psprintf(client->r->pool, " (%s: is there such a file where PHP runs, and may its user read it?)",
                        script);
}

static void tell(const udr_client_t *client, const char *line, apr_size_t len)
{
    char room[LONGEST_LINE];
    len -= len > 0 && line[len - 1] == '\r';
    if (memchr(line, '\0', len)) {
        without_nuls(room, line, len);
        line = room;
    }
    if (len > 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, client->r, UDRNO(0069) "member %s says: %.*s%s",
                      client->member->target->text, (int)len, line, explain(client, line, len));
    }
}

/* Puts what is only part of a line behind what there is of it. */
static void keep(udr_client_t *client, const char *bytes, apr_size_t len)
{
    if (!client->note) {
        client->note = apr_palloc(client->r->pool, LONGEST_LINE);
    }
    memcpy(client->note + client->note_len, bytes, len);
    client->note_len += len;
}

void udr_client_end_note(udr_client_t *client)
{
    if (client->note_len) {
        tell(client, client->note, client->note_len);
        client->note_len = 0;
    }
}

void udr_client_note(void *baton, udr_slice_t bytes)
{
    udr_client_t *client = baton;
    while (bytes.len) {
        const char *lf = memchr(bytes.ptr, '\n', bytes.len);
        apr_size_t len = lf ? (apr_size_t)(lf - bytes.ptr) : bytes.len;
        apr_size_t room = LONGEST_LINE - client->note_len;
        bool is_cut = len > room;
        len = is_cut ? room : len;
        if (lf && !is_cut && client->note_len == 0) {
            tell(client, bytes.ptr, len);
        } else {
            keep(client, bytes.ptr, len);
            if (lf || is_cut) {
                udr_client_end_note(client);
            }
        }
        len += lf && !is_cut;
        bytes.ptr += len;
        bytes.len -= len;
    }
}
