/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_builtin.h"
#include "backend/udsb_json.h"
#include "backend/udsb_utf8.h"

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

/* --- /echo ----------------------------------------------------------------------------------------------------------
 */

static void add_member(udsb_text_t *json, const char *name, const char *value)
{
    udsb_text_format(json, ",\"%s\":", name);
    udsb_json_string(json, value, strlen(value));
}

typedef struct {
    udsb_text_t *json;
    bool is_first;
} field_list_t;

static bool add_field(void *context, const char *name, size_t name_length, const char *value, size_t value_length)
{
    field_list_t *const list = context;

    udsb_text_add(list->json, list->is_first ? "[" : ",[", list->is_first ? 1 : 2);
    list->is_first = false;
    udsb_json_string(list->json, name, name_length);
    udsb_text_add(list->json, ",", 1);
    udsb_json_string(list->json, value, value_length);
    udsb_text_add(list->json, "]", 1);
    return true;
}

/* A list of pairs, not an object: order, case and repetition are what a proxy's user wants to see. */
static void add_fields(udsb_text_t *json, const char *name, const udsb_request_t *request, bool trailers)
{
    field_list_t list = {.json = json, .is_first = true};

    udsb_text_format(json, ",\"%s\":[", name);
    udsb_request_headers(request, trailers, add_field, &list);
    udsb_text_add(json, "]", 1);
}

static void answer_json(udsb_request_t *request, udsb_text_t *json)
{
    udsb_request_answer(request, 200,
                        json->has_failed ? NULL : udsb_response_copy("application/json", json->data, json->length));
    udsb_text_clear(json);
}

void udsb_builtin_echo(udsb_request_t *request, void *context)
{
    const char *const method = udsb_request_method(request);
    udsb_text_t json = {0};
    size_t length;
    const void *const body = udsb_request_body(request, &length);
    const bool is_text = udsb_utf8_is_valid(body, length);

    (void)context;
    udsb_text_add(&json, "{\"method\":", 10);
    udsb_json_string(&json, method, strlen(method));
    add_member(&json, "target", udsb_request_target(request));
    add_member(&json, "path", udsb_request_path(request));
    add_member(&json, "query", udsb_request_query(request));
    add_member(&json, "version", udsb_request_version(request));
    add_fields(&json, "headers", request, false);
    add_fields(&json, "trailers", request, true);
    udsb_text_format(&json, ",\"body_length\":%zu,\"body_encoding\":\"%s\",\"body\":", length,
                     is_text ? "text" : "base64");
    if (is_text)
        udsb_json_string(&json, body, length);
    else
        udsb_json_base64(&json, body, length);
    udsb_text_add(&json, "}\n", 2);
    answer_json(request, &json);
}

/* --- /upload --------------------------------------------------------------------------------------------------------
 */

typedef struct {
    gnutls_hash_hd_t hash;
    uint64_t length;
} upload_t;

static void end_upload(void *state)
{
    upload_t *const upload = state;

    if (upload->hash)
        gnutls_hash_deinit(upload->hash, NULL);
    free(upload);
}

static upload_t *upload_of(udsb_request_t *request)
{
    upload_t *upload = udsb_request_state(request);

    if (upload)
        return upload;
    upload = calloc(1, sizeof *upload);
    if (upload && gnutls_hash_init(&upload->hash, GNUTLS_DIG_SHA256) != GNUTLS_E_SUCCESS) {
        free(upload);
        return NULL;
    }
    if (upload)
        udsb_request_set_state(request, upload, end_upload);
    return upload;
}

bool udsb_builtin_upload_body(udsb_request_t *request, const void *data, size_t length, void *context)
{
    upload_t *const upload = upload_of(request);

    (void)context;
    if (!upload)
        return false;
    upload->length += length;
    return gnutls_hash(upload->hash, data, length) == GNUTLS_E_SUCCESS;
}

void udsb_builtin_upload(udsb_request_t *request, void *context)
{
    upload_t *const upload = upload_of(request);
    unsigned char hash[32];
    udsb_text_t json = {0};

    (void)context;
    if (!upload) {
        udsb_request_answer(request, 500, NULL);
        return;
    }
    gnutls_hash_deinit(upload->hash, hash);
    upload->hash = NULL;
    udsb_text_format(&json, "{\"length\":%llu,\"sha256\":\"", (unsigned long long)upload->length);
    for (size_t i = 0; i < sizeof hash; i++)
        udsb_text_format(&json, "%02x", hash[i]);
    udsb_text_add(&json, "\"}\n", 3);
    answer_json(request, &json);
}
