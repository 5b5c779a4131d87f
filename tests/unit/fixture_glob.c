/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fixture_glob.h"

#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>

const udr_source_t glob_source = {.directive = "UDSMember", .file = "test.conf", .line = 2};

const udr_target_t *glob_target(const char *pattern, apr_pool_t *p)
{
    const udr_target_t *target = NULL;
    const char *error =
        udr_target_parse_pattern(&target, apr_pstrcat(p, "unix:", pattern, "|http://h/", NULL), "/run", p);
    if (error) {
        fail_msg("%s", error);
    }
    return target;
}

udr_glob_t *glob_make(const char *pattern, int growth, apr_pool_t *p)
{
    udr_settings_t settings;
    udr_settings_init(&settings);
    udr_settings_resolve(&settings, apr_time_from_sec(60), false);
    udr_glob_t *glob = udr_glob_create(glob_target(pattern, p), &settings, &glob_source, p);
    glob->growth = growth;
    return glob;
}

static apr_uint32_t claim(const udr_glob_t *glob, udr_shared_t *shared, const char *what)
{
    unsigned char identity[UDR_IDENTITY_SIZE];
    apr_uint32_t slot = UDR_SHARED_NONE;
    udr_shared_identify(identity, "app", glob->target->address->text, what, "/");
    assert_int_equal(udr_shared_claim(shared, identity, &slot, NULL), APR_SUCCESS);
    return slot;
}

void glob_claim(udr_glob_t *glob, udr_shared_t *shared, apr_pool_t *p)
{
    glob->slot = claim(glob, shared, "glob");
    for (int i = 0; i < glob->growth; i++) {
        glob->berths[i] = claim(glob, shared, apr_psprintf(p, "berth %d", i));
    }
    udr_berth_claim(shared, glob);
}

udr_listing_t glob_listing(const char *words, apr_pool_t *p)
{
    udr_listing_t listing = {.sockets = apr_array_make(p, 4, sizeof(udr_sighted_t))};
    char *rest = NULL;
    for (char *word = apr_strtok(apr_pstrdup(p, words), " ", &rest); word; word = apr_strtok(NULL, " ", &rest)) {
        char *colon = strchr(word, ':');
        if (colon) {
            *colon++ = '\0';
        }
        APR_ARRAY_PUSH(listing.sockets, udr_sighted_t) =
            (udr_sighted_t){.name = word, .file = colon ? strtoull(colon, NULL, 10) : 1};
    }
    return listing;
}

static const char *add_names(const char *text, char sign, const apr_array_header_t *names, apr_pool_t *p)
{
    for (int i = 0; i < names->nelts; i++) {
        text = apr_psprintf(p, "%s%s%c%s", text, *text ? " " : "", sign, APR_ARRAY_IDX(names, i, const char *));
    }
    return text;
}

const char *glob_merge(udr_shared_t *shared, const udr_glob_t *glob, const char *words, apr_time_t now, apr_pool_t *p)
{
    const udr_listing_t listing = glob_listing(words, p);
    udr_arrivals_t arrivals;
    udr_berth_merge(shared, glob, udr_berth_begin(shared, glob), &listing, now, &arrivals, p);
    const char *text = add_names(add_names("", '+', arrivals.came, p), '-', arrivals.went, p);
    return arrivals.left_out ? apr_pstrcat(p, text, *text ? " !" : "!", arrivals.left_out, NULL) : text;
}

int glob_find(const udr_shared_t *shared, const udr_glob_t *glob, const char *name)
{
    udr_lodging_t lodging;
    for (int i = 0; i < glob->growth; i++) {
        if (udr_berth_read(shared, glob->berths[i], &lodging) && !strcmp(lodging.name, name)) {
            return i;
        }
    }
    return -1;
}
