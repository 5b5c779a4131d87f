/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_client.h"

#include <apr_errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- bytes --- */

void text_add(text_t *text, const char *bytes, apr_size_t len)
{
    if (text->len + len + 1 > text->size) {
        text->size = 2 * (text->len + len + 1);
        text->ptr = realloc(text->ptr, text->size);
        assert_non_null(text->ptr);
    }
    if (len) {
        memcpy(text->ptr + text->len, bytes, len);
    }
    text->len += len;
    text->ptr[text->len] = '\0';
}

void text_clear(text_t *text)
{
    free(text->ptr);
    *text = (text_t){NULL, 0, 0};
}

/* --- what it is asked --- */

static void tell(fake_client_t *client, const char *word)
{
    if (client->story.len) {
        text_add(&client->story, " ", 1);
    }
    text_add(&client->story, word, strlen(word));
}

static void tell_number(fake_client_t *client, const char *word, apr_size_t number)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s:%lu", word, (unsigned long)number);
    tell(client, text);
}

static void note_fields(text_t *text, udr_slice_t section)
{
    udr_field_t field;
    while (udr_http1_field_next(&section, &field)) {
        text_add(text, field.name.ptr, field.name.len);
        text_add(text, ": ", 2);
        text_add(text, field.value.ptr, field.value.len);
        text_add(text, "\n", 1);
    }
}

static apr_status_t body_peek(void *baton, udr_slice_t *data)
{
    fake_client_t *client = baton;
    client->peeks++;
    if (!client->first) {
        return client->behind;
    }
    *data = (udr_slice_t){client->first->bytes, client->first->len};
    return APR_SUCCESS;
}

/* What is consumed is gone: who still uses it is found by the address sanitizer. */
static void body_consume(void *baton, apr_size_t len)
{
    fake_client_t *client = baton;
    piece_t *piece = client->first;
    assert_non_null(piece);
    assert_in_range(len, 1, piece->len);
    client->consumed += len;
    client->first = piece->next;
    if (len < piece->len) {
        piece_t *rest = malloc(sizeof *rest + piece->len - len);
        assert_non_null(rest);
        rest->next = piece->next;
        rest->len = piece->len - len;
        memcpy(rest->bytes, piece->bytes + len, rest->len);
        client->first = rest;
    }
    free(piece);
}

static const apr_table_t *body_trailers(void *baton)
{
    const fake_client_t *client = baton;
    assert_null(client->first);
    assert_int_equal(client->behind, APR_EOF);
    return client->body_trailers;
}

static apr_status_t body_invite(void *baton)
{
    fake_client_t *client = baton;
    tell(client, "invite");
    return client->answer.invite;
}

/* --- what it gets --- */

static apr_status_t take_interim(void *baton, const udr_http1_head_t *head)
{
    fake_client_t *client = baton;
    tell_number(client, "interim", (apr_size_t)head->status);
    note_fields(&client->interim_fields, head->fields);
    return client->answer.interim;
}

static apr_status_t take_head(void *baton, const udr_http1_head_t *head, bool *wanted)
{
    fake_client_t *client = baton;
    assert_true(*wanted);
    tell_number(client, "head", (apr_size_t)head->status);
    client->head = *head;
    note_fields(&client->fields, head->fields);
    *wanted = client->wants_body;
    return client->answer.head;
}

static apr_status_t take_upgrade(void *baton, const udr_http1_head_t *head)
{
    fake_client_t *client = baton;
    tell_number(client, "upgrade", (apr_size_t)head->status);
    client->head = *head;
    note_fields(&client->fields, head->fields);
    return client->answer.upgrade;
}

static apr_status_t take_shut(void *baton)
{
    fake_client_t *client = baton;
    tell(client, "shut");
    return client->answer.shut;
}

static void take_note(void *baton, udr_slice_t bytes)
{
    fake_client_t *client = baton;
    text_add(&client->notes, bytes.ptr, bytes.len);
}

/* The bytes stay where they are until the next push or end: only then are they looked at. */
static apr_status_t take_data(void *baton, udr_slice_t data)
{
    fake_client_t *client = baton;
    assert_true(data.len > 0);
    assert_in_range(client->unpushed_count, 0, UNPUSHED_MAX - 1);
    tell_number(client, "data", data.len);
    client->unpushed[client->unpushed_count++] = data;
    if (client->largest < data.len) {
        client->largest = data.len;
    }
    return client->answer.data;
}

static void look_at_data(fake_client_t *client)
{
    for (int i = 0; i < client->unpushed_count; i++) {
        text_add(&client->body, client->unpushed[i].ptr, client->unpushed[i].len);
    }
    client->unpushed_count = 0;
}

static apr_status_t take_push(void *baton, bool flush)
{
    fake_client_t *client = baton;
    tell(client, flush ? "flush" : "push");
    look_at_data(client);
    return client->answer.push;
}

static apr_status_t take_drain(void *baton)
{
    fake_client_t *client = baton;
    tell(client, "drain");
    return client->answer.drain;
}

static apr_status_t take_end(void *baton, udr_slice_t trailers)
{
    fake_client_t *client = baton;
    tell(client, "end");
    look_at_data(client);
    note_fields(&client->trailers, trailers);
    return client->answer.end;
}

const udr_client_ops_t fake_client_ops = {
    .body_peek = body_peek,
    .body_consume = body_consume,
    .body_trailers = body_trailers,
    .body_invite = body_invite,
    .interim = take_interim,
    .head = take_head,
    .upgrade = take_upgrade,
    .shut = take_shut,
    .note = take_note,
    .data = take_data,
    .push = take_push,
    .drain = take_drain,
    .end = take_end,
};

/* --- what it does --- */

void client_init(fake_client_t *client)
{
    memset(client, 0, sizeof *client);
    client->wants_body = true;
    client->is_writable = true;
    client->behind = APR_EOF;
}

void client_sends_bytes(fake_client_t *client, const char *bytes, apr_size_t len)
{
    piece_t **link = &client->first;
    piece_t *piece = malloc(sizeof *piece + len);
    assert_non_null(piece);
    piece->next = NULL;
    piece->len = len;
    memcpy(piece->bytes, bytes, len);
    while (*link) {
        link = &(*link)->next;
    }
    *link = piece;
}

void client_sends(fake_client_t *client, const char *text)
{
    client_sends_bytes(client, text, strlen(text));
}

void client_forget(fake_client_t *client)
{
    text_clear(&client->story);
    text_clear(&client->fields);
    text_clear(&client->interim_fields);
    text_clear(&client->body);
    text_clear(&client->trailers);
    text_clear(&client->notes);
    memset(&client->head, 0, sizeof client->head);
    client->largest = 0;
    client->unpushed_count = 0;
    client->peeks = 0;
    client->consumed = 0;
}

void client_drop_body(fake_client_t *client)
{
    while (client->first) {
        piece_t *next = client->first->next;
        free(client->first);
        client->first = next;
    }
}
