/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_explanation.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#define NOW apr_time_from_sec(1000)

typedef struct fixture_t {
    apr_pool_t *pool;
    apr_pool_t *request;
    char directory[64];
    const udr_address_t *address;
    udr_explanation_t *explanation;
} fixture_t;

static int set_up(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    apr_pool_create(&f->pool, NULL);
    apr_pool_create(&f->request, f->pool);
    strcpy(f->directory, "/tmp/udr-explanation-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_null(
        udr_address_parse(&f->address, apr_psprintf(f->pool, "unix:%s/in/a.sock", f->directory), "/run", f->pool));
    assert_int_equal(udr_explanation_create(&f->explanation, f->pool), APR_SUCCESS);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *f = *state;
    (void)rmdir(apr_pstrcat(f->pool, f->directory, "/in", NULL));
    rmdir(f->directory);
    apr_pool_destroy(f->pool);
    free(f);
    return 0;
}

static const char *ask(fixture_t *f, int error, apr_time_t now)
{
    return udr_explanation_get(f->explanation, f->address, error, now, f->request);
}

/* The missing directory is made meanwhile, so a fresh look would blame the missing file. */
static void make_directory(fixture_t *f)
{
    assert_int_equal(mkdir(apr_pstrcat(f->pool, f->directory, "/in", NULL), 0755), 0);
}

static void the_same_error_is_explained_once_in_a_second(void **state)
{
    fixture_t *f = *state;
    const char *first = ask(f, ENOENT, NOW);
    make_directory(f);
    assert_string_equal(ask(f, ENOENT, NOW + UDR_EXPLANATION_HOLDS - 1), first);
}

static void later_it_is_looked_at_again(void **state)
{
    fixture_t *f = *state;
    const char *first = ask(f, ENOENT, NOW);
    make_directory(f);
    assert_string_not_equal(ask(f, ENOENT, NOW + UDR_EXPLANATION_HOLDS), first);
}

static void another_error_is_another_matter(void **state)
{
    fixture_t *f = *state;
    const char *first = ask(f, ENOENT, NOW);
    assert_string_not_equal(ask(f, EMFILE, NOW), first);
}

static void a_sentence_outlives_the_request_that_found_it(void **state)
{
    fixture_t *f = *state;
    const char *first = apr_pstrdup(f->pool, ask(f, ENOENT, NOW));
    apr_pool_clear(f->request);
    assert_string_equal(ask(f, ENOENT, NOW), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_error_is_explained_once_in_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_it_is_looked_at_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_error_is_another_matter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sentence_outlives_the_request_that_found_it, set_up, tear_down),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
