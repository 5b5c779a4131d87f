/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_runtime.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const udr_scheme_t *scheme_of(const char *name)
{
    const udr_target_t *target = NULL;
    assert_null(udr_target_parse(&target, apr_psprintf(pool, "unix:/run/a.sock|%s://localhost", name), "/run", pool));
    return target->scheme;
}

static void suspects_who_is_known_for_another_protocol(void **state)
{
    static const struct {
        const char *name, *scheme, *sentence;
    } rows[] = {
        {"php-fpm8.2", "http",
         "the process that listens there is php-fpm8.2, which speaks FastCGI, and the target says http://: write "
         "fcgi://"},
        {"php-cgi", "uwsgi",
         "the process that listens there is php-cgi, which speaks FastCGI, and the target says uwsgi://: write "
         "fcgi://"},
        {"uwsgi", "ws",
         "see the log of uWSGI, which listens there, for why; or, if it does so by socket =, write uwsgi://, or give "
         "it "
         "http-socket = for ws://"},
        {"uwsgi-core", "scgi",
         "see the log of uWSGI, which listens there, for why; or, if it does so by socket =, write uwsgi://, or give "
         "it "
         "scgi-socket = for scgi://"},
        {"uwsgi", "fcgi",
         "see the log of uWSGI, which listens there, for why; or, if it does so by socket =, write uwsgi://, or give "
         "it "
         "fastcgi-socket = for fcgi://"},
        {"php-fpm8.2", "fcgi", NULL},
        {"uwsgi", "uwsgi", NULL},
        {"gunicorn", "fcgi",
         "the process that listens there is gunicorn, which speaks HTTP unless told otherwise, and the target says "
         "fcgi://: write http://"},
        {"gunicorn: maste", "uwsgi",
         "the process that listens there is gunicorn: maste, which speaks HTTP unless told otherwise, and the target "
         "says uwsgi://: write http://"},
        {"uvicorn", "scgi",
         "the process that listens there is uvicorn, which speaks HTTP, and the target says scgi://: write http://"},
        {"gunicorn", "http", NULL},
        {"gunicorn", "ws", NULL},
        {"python3", "fcgi", NULL},
        {"php", "http", NULL},
        {"", "http", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *sentence = udr_runtime_suspect_name(rows[i].name, scheme_of(rows[i].scheme), pool);
        if (rows[i].sentence) {
            assert_non_null(sentence);
            assert_string_equal(sentence, rows[i].sentence);
        } else {
            assert_null(sentence);
        }
    }
}

/* The process at the other end is this one. */
static void finds_the_name_of_who_listens(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_null(udr_runtime_suspect(udr_runtime_process(ends[0]), scheme_of("http"), pool));
    char name[16];
    assert_int_equal(prctl(PR_GET_NAME, name), 0);
    assert_int_equal(prctl(PR_SET_NAME, "php-fpm-of-test"), 0);
    const char *sentence = udr_runtime_suspect(udr_runtime_process(ends[0]), scheme_of("http"), pool);
    assert_non_null(sentence);
    assert_non_null(strstr(sentence, "is php-fpm-of-test, which speaks FastCGI"));
    assert_null(udr_runtime_suspect(udr_runtime_process(ends[0]), scheme_of("fcgi"), pool));
    assert_int_equal(prctl(PR_SET_NAME, name), 0);
    close(ends[0]);
    close(ends[1]);
    assert_null(udr_runtime_suspect(udr_runtime_process(-1), scheme_of("http"), pool));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_pool, drop_pool)
    const struct CMUnitTest tests[] = {
        TEST(suspects_who_is_known_for_another_protocol),
        TEST(finds_the_name_of_who_listens),
    };
    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
