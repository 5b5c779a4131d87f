/* SPDX-License-Identifier: Apache-2.0 */
/* Files below a directory as routes (udsb_server_map_files). */
#include "backend/udsb_condition.h"
#include "backend/udsb_path.h"
#include "backend/udsb_range.h"
#include "backend/udsb_server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    int directory; /* opened once: what is served stays the same when the path is renamed */
} files_t;

/* --- types ----------------------------------------------------------------------------------------------------------
 */

static const char *type_of(const char *path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"xml", "application/xml"},
        {"json", "application/json"},
        {"wasm", "application/wasm"},
        {"pdf", "application/pdf"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/x-icon"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"mp3", "audio/mpeg"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
    };
    const char *const slash = strrchr(path, '/');
    const char *const dot = strrchr(slash ? slash : path, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++) {
        if (!strcasecmp(dot + 1, types[i].suffix))
            return types[i].type;
    }
    return "application/octet-stream";
}

/* --- answers --------------------------------------------------------------------------------------------------------
 */

typedef struct {
    int descriptor;
    const char *type;
    uint64_t size;
    char tag[64], modified[UDSB_CONDITION_DATE_SIZE];
    udsb_validators_t validators;
} file_t;

static void describe(file_t *file, int descriptor, const struct stat *status, const char *path)
{
    file->descriptor = descriptor;
    file->type = type_of(path);
    file->size = (uint64_t)status->st_size;
    /* Nanoseconds and size: two versions of a file with the same tag would take a change within one tick of the clock.
     */
    snprintf(file->tag, sizeof file->tag, "\"%llx-%lx-%llx\"", (unsigned long long)status->st_mtim.tv_sec,
             (unsigned long)status->st_mtim.tv_nsec, (unsigned long long)status->st_size);
    udsb_condition_write_date(file->modified, status->st_mtim.tv_sec);
    file->validators = (udsb_validators_t){.tag = file->tag, .modified = status->st_mtim.tv_sec};
}

static void answer(udsb_request_t *request, const file_t *file, unsigned status, udsb_response_t *response)
{
    udsb_response_header(response, "ETag", file->tag);
    udsb_response_header(response, "Last-Modified", file->modified);
    udsb_response_header(response, "Accept-Ranges", "bytes");
    udsb_request_answer(request, status, response);
}

static void answer_without_body(udsb_request_t *request, const file_t *file, unsigned status)
{
    close(file->descriptor);
    answer(request, file, status, udsb_response_borrow(NULL, "", 0));
}

static void answer_unsatisfiable(udsb_request_t *request, const file_t *file)
{
    udsb_response_t *const response = udsb_response_borrow("text/plain", "no such part of the file\n", 25);
    char text[64];

    close(file->descriptor);
    snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)file->size);
    udsb_response_header(response, "Content-Range", text);
    answer(request, file, 416, response);
}

static void answer_part(udsb_request_t *request, const file_t *file, uint64_t first, uint64_t length)
{
    udsb_response_t *const response = udsb_response_file(file->type, file->descriptor, first, length);
    char text[96];

    snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)first,
             (unsigned long long)(first + length - 1), (unsigned long long)file->size);
    udsb_response_header(response, "Content-Range", text);
    answer(request, file, 206, response);
}

static void answer_file(udsb_request_t *request, const file_t *file)
{
    const udsb_conditions_t conditions = {
        .if_match = udsb_request_header(request, "If-Match"),
        .if_unmodified_since = udsb_request_header(request, "If-Unmodified-Since"),
        .if_none_match = udsb_request_header(request, "If-None-Match"),
        .if_modified_since = udsb_request_header(request, "If-Modified-Since"),
        .if_range = udsb_request_header(request, "If-Range"),
    };
    /* Range has a meaning for GET only (RFC 9110, 14.2). */
    const bool may_be_part =
        !strcmp(udsb_request_method(request), "GET") && udsb_condition_allows_range(&conditions, &file->validators);
    uint64_t first, length;

    switch (udsb_condition_evaluate(&conditions, &file->validators)) {
    case UDSB_CONDITION_NOT_MODIFIED:
        answer_without_body(request, file, 304);
        return;
    case UDSB_CONDITION_FAILED:
        answer_without_body(request, file, 412);
        return;
    case UDSB_CONDITION_PROCEED:
        break;
    }
    switch (udsb_range_parse(may_be_part ? udsb_request_header(request, "Range") : NULL, file->size, &first, &length)) {
    case UDSB_RANGE_UNSATISFIABLE:
        answer_unsatisfiable(request, file);
        return;
    case UDSB_RANGE_PART:
        answer_part(request, file, first, length);
        return;
    case UDSB_RANGE_NONE:
        break;
    }
    answer(request, file, 200, udsb_response_file(file->type, file->descriptor, 0, file->size));
}

/* Percent-encodes all but what a path may hold plainly (RFC 3986, 2.3), and doubled slashes: two at the beginning would
 * name a host. False: it does not fit. */
static bool encode_path(char *text, size_t size, const char *path)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 0;

    for (; *path; path++) {
        const unsigned char c = (unsigned char)*path;

        if (used + 4 > size)
            return false;
        if (c == '/' && used && text[used - 1] == '/')
            continue;
        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || strchr("/-._~", c)) {
            text[used++] = (char)c;
        } else {
            text[used++] = '%';
            text[used++] = digits[c >> 4];
            text[used++] = digits[c & 15];
        }
    }
    text[used] = '\0';
    return true;
}

/* A directory was asked for without its slash, from which relative links in its index would go astray. */
static void answer_redirect(udsb_request_t *request)
{
    const char *const query = udsb_request_query(request);
    char path[1024], location[2048];
    udsb_response_t *response;

    if (!encode_path(path, sizeof path, udsb_request_path(request)) || strlen(query) > 1000) {
        udsb_request_answer_text(request, 404, "no such file");
        return;
    }
    snprintf(location, sizeof location, "%s/%s%s", path, *query ? "?" : "", query);
    response = udsb_response_borrow(NULL, "", 0);
    udsb_response_header(response, "Location", location);
    udsb_request_answer(request, 301, response);
}

static void answer_error(udsb_request_t *request, int cause)
{
    if (cause == EACCES || cause == EPERM)
        udsb_request_answer_text(request, 403, "this file is not readable");
    else if (cause == EMFILE || cause == ENFILE || cause == ENOMEM)
        udsb_request_answer_text(request, 503, "no descriptor or memory is left");
    else /* EXDEV and ELOOP too: what lies outside of the root is none of the client's business */
        udsb_request_answer_text(request, 404, "no such file");
}

static void serve_file(udsb_request_t *request, void *context)
{
    const files_t *const files = context;
    const char *const wanted = udsb_request_rest(request);
    const size_t wanted_length = strlen(wanted);
    const bool wants_index = !wanted_length || wanted[wanted_length - 1] == '/';
    char path[PATH_MAX];
    struct stat status;
    file_t file;

    if (!udsb_path_clean(path, sizeof path - sizeof "/index.html", wanted)) {
        udsb_request_answer_text(request, 404, "no such file");
        return;
    }
    if (wants_index)
        strcat(path, "/index.html");

    const int descriptor = udsb_path_open(files->directory, path);
    if (descriptor < 0) {
        answer_error(request, errno);
        return;
    }
    if (fstat(descriptor, &status) || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) ||
        (S_ISDIR(status.st_mode) && wants_index)) {
        close(descriptor);
        udsb_request_answer_text(request, 404, "no such file");
    } else if (S_ISDIR(status.st_mode)) {
        close(descriptor);
        answer_redirect(request);
    } else {
        describe(&file, descriptor, &status, path);
        answer_file(request, &file);
    }
}

/* --- mapping --------------------------------------------------------------------------------------------------------
 */

static void free_files(void *context)
{
    files_t *const files = context;

    close(files->directory);
    free(files);
}

udsb_result_t udsb_server_map_files(udsb_server_t *server, const char *prefix, const char *directory)
{
    files_t *files;
    char path[256];

    if (!prefix[0] || prefix[strlen(prefix) - 1] != '/' || strlen(prefix) > sizeof path - 2)
        return udsb_error_set(&server->error, UDSB_INVALID,
                              "the prefix of files begins and ends with / and has at most 254 bytes: \"%s\"", prefix);
    files = malloc(sizeof *files);
    if (!files)
        return udsb_error_set(&server->error, UDSB_NO_MEMORY, "out of memory");
    files->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->directory < 0) {
        free(files);
        return udsb_error_system(&server->error, "cannot open the root %s", directory);
    }
    snprintf(path, sizeof path, "%s*", prefix);
    return udsb_server_map_owned(
        server, &(udsb_route_t){.methods = "GET", .path = path, .handler = serve_file, .context = files}, free_files);
}
