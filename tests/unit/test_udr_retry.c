/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_retry.h"

#define FACTS 7

/* How a failing attempt is shown, one letter a fact: Connected, Reused, Wrote, closed (X), Begun, Idempotent,
 * rePlayable. */
static const char letters[FACTS + 1] = "CRWXBIP";

/* The rules, first match wins: '1' and '0' are what the fact must be, '.' is whatever it may be. */
static const struct {
    /* connected, reused, wrote, closed, begun, idempotent, replayable */
    const char *pattern;
    bool again;
    const char *why;
} rules[] = {
    {"......0", false, "what the client has given is gone: it would be lost"},
    {"....1..", false, "the member has answered: it has done it"},
    {"0......", true, "the connect failed"},
    {"..0....", true, "not one byte was written"},
    {"...0...", false, "the member may be doing it still"},
    {".....0.", false, "it would be done twice"},
    {".......", true, "closed before any response byte, idempotent, replayable"},
};

static bool matches(const char *pattern, unsigned int facts)
{
    for (unsigned int i = 0; i < FACTS; i++) {
        char fact = facts & (1U << i) ? '1' : '0';
        if (pattern[i] != '.' && pattern[i] != fact) {
            return false;
        }
    }
    return true;
}

static size_t rule_for(unsigned int facts)
{
    size_t rule = 0;
    while (!matches(rules[rule].pattern, facts)) {
        rule++;
    }
    return rule;
}

static bool decides(unsigned int facts)
{
    const udr_attempt_t attempt = {
        .connected = facts & 1,
        .reused = facts & 2,
        .wrote = facts & 4,
        .closed = facts & 8,
        .response_begun = facts & 16,
        .idempotent = facts & 32,
        .body_replayable = facts & 64,
    };
    return udr_retry_is_safe(&attempt);
}

static void decides_every_attempt_by_the_rules(void **state)
{
    int safe = 0;
    (void)state;
    for (unsigned int facts = 0; facts < 1U << FACTS; facts++) {
        size_t rule = rule_for(facts);
        if (decides(facts) != rules[rule].again) {
            char text[FACTS + 1];
            for (unsigned int i = 0; i < FACTS; i++) {
                text[i] = facts & (1U << i) ? letters[i] : '-';
            }
            text[FACTS] = '\0';
            fail_msg("%s: %s", text, rules[rule].why);
        }
        safe += rules[rule].again;
    }
    /* Of the 32 with a body to send again and no answer begun, those are not safe that were written and not closed, or
     * not idempotent: three of the four, reused or not. */
    assert_int_equal(safe, 32 - 2 * 3);
}

static void does_not_ask_whether_the_connection_was_new(void **state)
{
    (void)state;
    for (unsigned int facts = 0; facts < 1U << FACTS; facts++) {
        assert_true(decides(facts) == decides(facts ^ 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides_every_attempt_by_the_rules),
        cmocka_unit_test(does_not_ask_whether_the_connection_was_new),
    };
    return cmocka_run_group_tests_name("udr_retry", tests, NULL, NULL);
}
