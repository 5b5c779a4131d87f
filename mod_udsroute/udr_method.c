/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_method.h"

#include "mod_udsroute/udr_http1_syntax.h"
#include "mod_udsroute/udr_value.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

static const udr_method_t *const methods[] = {
    &udr_method_byrequests, &udr_method_bytraffic, &udr_method_bybusyness, &udr_method_leasttime, &udr_method_hash,
};

typedef struct key_word_t {
    const char *word;
    udr_key_kind_t kind;
    const char *of; /* whose name follows; NULL: none does */
} key_word_t;

static const key_word_t key_words[] = {
    {.word = "ip", .kind = UDR_KEY_IP},
    {.word = "uri", .kind = UDR_KEY_URI},
    {.word = "header", .kind = UDR_KEY_HEADER, .of = "a field of the request"},
    {.word = "cookie", .kind = UDR_KEY_COOKIE, .of = "a cookie"},
    {.word = "env", .kind = UDR_KEY_ENV, .of = "a variable"},
};

/* "hash:ip, hash:uri, hash:header:NAME, …" */
static const char *list_keys(const udr_method_t *method, apr_pool_t *p)
{
    const char *list = "";
    for (apr_size_t i = 0; i < LENGTH(key_words); i++) {
        list = apr_pstrcat(p, list, i ? ", " : "", method->name, ":", key_words[i].word, key_words[i].of ? ":NAME" : "",
                           NULL);
    }
    return list;
}

static const char *list_methods(apr_pool_t *p)
{
    const char *list = "";
    for (apr_size_t i = 0; i < LENGTH(methods); i++) {
        list = apr_pstrcat(p, list, i ? ", " : "", methods[i]->takes_key ? list_keys(methods[i], p) : methods[i]->name,
                           NULL);
    }
    return list;
}

/* Takes what stands before the next colon, or all that is left. *rest: behind the colon; NULL: there is none. */
static const char *take_word(const char *text, const char **rest, apr_pool_t *p)
{
    const char *colon = strchr(text, ':');
    *rest = colon ? colon + 1 : NULL;
    return colon ? apr_pstrmemdup(p, text, (apr_size_t)(colon - text)) : text;
}

static const udr_method_t *find_method(const char *name)
{
    for (apr_size_t i = 0; i < LENGTH(methods); i++) {
        if (!strcasecmp(methods[i]->name, name)) {
            return methods[i];
        }
    }
    return NULL;
}

static const key_word_t *find_key_word(const char *word)
{
    for (apr_size_t i = 0; i < LENGTH(key_words); i++) {
        if (!strcasecmp(key_words[i].word, word)) {
            return &key_words[i];
        }
    }
    return NULL;
}

/* Reads what stands behind "hash:"; rest may be NULL. text: the whole, for sentences. */
static const char *parse_key(const udr_method_t *method, udr_key_t *key, const char *rest, const char *text,
                             apr_pool_t *p)
{
    const char *word = rest ? take_word(rest, &rest, p) : "";
    const key_word_t *found = find_key_word(word);
    const char *quoted = udr_value_quote(text, p);

    if (!*word) {
        return apr_psprintf(p, "%s does not say what to hash: write one of: %s", quoted, list_keys(method, p));
    }
    if (!found) {
        return apr_psprintf(p, "%s: there is no key %s: write one of: %s", quoted, udr_value_quote(word, p),
                            list_keys(method, p));
    }
    if (!found->of && rest) {
        return apr_psprintf(p, "%s: nothing follows behind %s: write %s:%s", quoted, found->word, method->name,
                            found->word);
    }
    if (found->of && (!rest || !*rest)) {
        return apr_psprintf(p, "%s does not name %s: write %s:%s:NAME", quoted, found->of, method->name, found->word);
    }
    /* Such names are tokens, all three: what is none could never be found in a request. */
    if (found->of && udr_http1_span((udr_slice_t){rest, strlen(rest)}, UDR_HTTP1_TOKEN) != strlen(rest)) {
        return apr_psprintf(p, "%s: %s cannot be the name of %s: write letters, digits and '-', '_', '.'", quoted,
                            udr_value_quote(rest, p), found->of);
    }
    *key = (udr_key_t){.kind = found->kind, .name = rest ? apr_pstrdup(p, rest) : NULL};
    return NULL;
}

const char *udr_method_parse(const udr_method_t **method, udr_key_t *key, const char *text, apr_pool_t *p)
{
    const char *rest;
    const char *name = take_word(text, &rest, p);
    const udr_method_t *found = find_method(name);
    const char *error;

    if (!found) {
        return apr_psprintf(p, "%s is no method: write one of: %s", udr_value_quote(text, p), list_methods(p));
    }
    if (found->takes_key) {
        if ((error = parse_key(found, key, rest, text, p))) {
            return error;
        }
    } else if (rest) {
        return apr_psprintf(p, "%s: nothing follows behind %s: write %s", udr_value_quote(text, p), found->name,
                            found->name);
    } else {
        *key = (udr_key_t){.kind = UDR_KEY_NONE};
    }
    *method = found;
    return NULL;
}
