/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_verdict.h"

#include <apr_general.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define NOW   apr_time_from_sec(1000)
#define RETRY apr_time_from_sec(1)
#define HOLD  apr_time_from_sec(2)

#define WENT_OUT  (UDR_CHANGE_PICK | UDR_CHANGE_WENT_OUT)
#define CAME_BACK (UDR_CHANGE_PICK | UDR_CHANGE_CAME_BACK)

static apr_time_t at(int ms)
{
    return NOW + apr_time_from_msec(ms);
}

/* Of an attempt that takes no time, on a new connection. */
static unsigned int tell(udr_slot_t *slot, udr_outcome_t outcome, int detail, apr_time_t now)
{
    const udr_report_t report = {.outcome = outcome, .detail = detail, .begun = now};
    return udr_verdict_report(slot, &report, RETRY, now);
}

static unsigned int tell_late(udr_slot_t *slot, udr_outcome_t outcome, apr_time_t begun, apr_time_t now)
{
    const udr_report_t report = {.outcome = outcome, .begun = begun};
    return udr_verdict_report(slot, &report, RETRY, now);
}

static unsigned int tell_reused(udr_slot_t *slot, udr_outcome_t outcome, apr_time_t now)
{
    const udr_report_t report = {.outcome = outcome, .begun = now, .reused = true};
    return udr_verdict_report(slot, &report, RETRY, now);
}

static unsigned int refuse(udr_slot_t *slot, apr_time_t now)
{
    return tell(slot, UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED, now);
}

static udr_cause_t cause_of(const udr_slot_t *slot)
{
    return udr_verdict_cause(atomic_load(&slot->cause));
}

/* --- what each outcome does --- */

static const struct {
    const char *what;
    udr_outcome_t outcome;
    int detail;
    bool reused;
    unsigned int changes;
    bool is_just_gone; /* if it had worked before */
    udr_cause_t cause;
} outcomes[] = {
    {"served", UDR_OUTCOME_SERVED, 0, false, 0, false, UDR_CAUSE_NONE},
    {"connected", UDR_OUTCOME_CONNECTED, 0, false, 0, false, UDR_CAUSE_NONE},
    {"answered", UDR_OUTCOME_ANSWERED, 0, false, 0, false, UDR_CAUSE_NONE},
    {"no file", UDR_OUTCOME_CONNECT_FAILED, ENOENT, false, WENT_OUT, true, UDR_CAUSE_ABSENT},
    {"stale file", UDR_OUTCOME_CONNECT_FAILED, ECONNREFUSED, false, WENT_OUT, true, UDR_CAUSE_STALE},
    {"full backlog", UDR_OUTCOME_CONNECT_FAILED, EAGAIN, false, 0, false, UDR_CAUSE_NONE},
    {"full backlog for long", UDR_OUTCOME_CONNECT_FAILED, ETIMEDOUT, false, 0, false, UDR_CAUSE_NONE},
    {"no permission", UDR_OUTCOME_CONNECT_FAILED, EACCES, false, WENT_OUT, false, UDR_CAUSE_OPERATOR},
    {"forbidden", UDR_OUTCOME_CONNECT_FAILED, EPERM, false, WENT_OUT, false, UDR_CAUSE_OPERATOR},
    {"a file on the way", UDR_OUTCOME_CONNECT_FAILED, ENOTDIR, false, WENT_OUT, false, UDR_CAUSE_OPERATOR},
    {"links in a circle", UDR_OUTCOME_CONNECT_FAILED, ELOOP, false, WENT_OUT, false, UDR_CAUSE_OPERATOR},
    {"too long", UDR_OUTCOME_CONNECT_FAILED, ENAMETOOLONG, false, WENT_OUT, false, UDR_CAUSE_OPERATOR},
    {"datagrams", UDR_OUTCOME_CONNECT_FAILED, EPROTOTYPE, false, WENT_OUT, false, UDR_CAUSE_OPERATOR},
    {"our descriptors", UDR_OUTCOME_CONNECT_FAILED, EMFILE, false, 0, false, UDR_CAUSE_NONE},
    {"all descriptors", UDR_OUTCOME_CONNECT_FAILED, ENFILE, false, 0, false, UDR_CAUSE_NONE},
    {"our memory", UDR_OUTCOME_CONNECT_FAILED, ENOMEM, false, 0, false, UDR_CAUSE_NONE},
    {"our buffers", UDR_OUTCOME_CONNECT_FAILED, ENOBUFS, false, 0, false, UDR_CAUSE_NONE},
    {"something else", UDR_OUTCOME_CONNECT_FAILED, EIO, false, WENT_OUT, false, UDR_CAUSE_CONNECT},
    {"the wrong listener", UDR_OUTCOME_PEER, 0, false, WENT_OUT, false, UDR_CAUSE_OPERATOR},
    {"closed unanswered", UDR_OUTCOME_UNANSWERED, ECONNRESET, false, WENT_OUT, true, UDR_CAUSE_UNANSWERED},
    {"closed while idle", UDR_OUTCOME_UNANSWERED, ECONNRESET, true, 0, false, UDR_CAUSE_NONE},
    {"broken off", UDR_OUTCOME_BROKEN_OFF, 0, false, WENT_OUT, false, UDR_CAUSE_BROKEN_OFF},
    {"broken off, reused", UDR_OUTCOME_BROKEN_OFF, 0, true, WENT_OUT, false, UDR_CAUSE_BROKEN_OFF},
    {"silence", UDR_OUTCOME_TIMEOUT, 0, false, WENT_OUT, false, UDR_CAUSE_TIMEOUT},
    {"nonsense", UDR_OUTCOME_RESPONSE, 0, false, WENT_OUT, false, UDR_CAUSE_RESPONSE},
    {"failonstatus", UDR_OUTCOME_STATUS, 500, false, WENT_OUT, false, UDR_CAUSE_STATUS},
    {"+E", UDR_OUTCOME_MARKED, 0, false, WENT_OUT, false, UDR_CAUSE_MARKED},
};

static void judges_every_outcome_by_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(outcomes); i++) {
        udr_slot_t slot = {.seen_up = 1};
        const udr_report_t report = {
            .outcome = outcomes[i].outcome, .detail = outcomes[i].detail, .reused = outcomes[i].reused};
        unsigned int changes = udr_verdict_report(&slot, &report, RETRY, NOW);
        if (changes != outcomes[i].changes || cause_of(&slot) != outcomes[i].cause ||
            udr_verdict_is_just_gone(&slot, HOLD, NOW) != outcomes[i].is_just_gone) {
            fail_msg("%s: changes %u, cause %d", outcomes[i].what, changes, (int)cause_of(&slot));
        }
        bool is_out = outcomes[i].changes != 0;
        assert_int_equal(slot.out_until, is_out ? NOW + RETRY : 0);
        assert_int_equal(slot.gone_since, is_out ? NOW : 0);
    }
}

static void has_seen_it_up_when_it_was_connected_to(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    refuse(&slot, at(0));
    assert_int_equal(slot.seen_up, 0);
    tell(&slot, UDR_OUTCOME_CONNECTED, 0, at(10));
    assert_int_equal(slot.seen_up, 1);
}

/* --- pauses --- */

static void doubles_the_pause_up_to_a_minute(void **state)
{
    static const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    udr_slot_t slot = {0};
    apr_time_t now = NOW;
    (void)state;
    for (size_t i = 0; i < COUNT(seconds); i++) {
        assert_int_equal(refuse(&slot, now), i == 0 ? WENT_OUT : UDR_CHANGE_PICK);
        assert_int_equal(slot.out_until - now, apr_time_from_sec(seconds[i]));
        assert_int_equal(slot.gone_since, NOW);
        now = slot.out_until;
    }
}

static void does_not_shorten_a_longer_retry(void **state)
{
    const udr_report_t report = {.outcome = UDR_OUTCOME_TIMEOUT};
    udr_slot_t slot = {0};
    (void)state;
    udr_verdict_report(&slot, &report, apr_time_from_sec(90), NOW);
    assert_int_equal(slot.out_until - NOW, apr_time_from_sec(90));
    apr_time_t later = slot.out_until;
    udr_verdict_report(&slot, &report, apr_time_from_sec(90), later);
    assert_int_equal(slot.out_until - later, apr_time_from_sec(90));
}

/* retry=0: always tried, but known to be gone; nothing to count anew when it fails again. */
static void without_a_pause_it_is_never_out(void **state)
{
    const udr_report_t report = {.outcome = UDR_OUTCOME_CONNECT_FAILED, .detail = ENOENT};
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(udr_verdict_report(&slot, &report, 0, at(0)), WENT_OUT);
    assert_int_equal(udr_verdict_report(&slot, &report, 0, at(1)), 0);
    assert_int_equal(slot.out_until, at(1));
    assert_true(udr_verdict_is_just_gone(&slot, HOLD, at(1)));
    assert_int_equal(tell(&slot, UDR_OUTCOME_SERVED, 0, at(2)), CAME_BACK);
}

static void a_failure_within_the_pause_changes_nothing(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    refuse(&slot, at(0));
    assert_int_equal(refuse(&slot, at(999)), 0);
    assert_int_equal(slot.out_until, at(1000));
    assert_int_equal(refuse(&slot, at(1000)), UDR_CHANGE_PICK);
    assert_int_equal(slot.out_until, at(3000));
}

/* Those that were under way when the first of them failed and fail when its pause is over. */
static void a_failure_of_before_the_pause_does_not_double_it(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    tell_late(&slot, UDR_OUTCOME_TIMEOUT, at(-60000), at(0));
    assert_int_equal(tell_late(&slot, UDR_OUTCOME_TIMEOUT, at(-1), at(1500)), 0);
    assert_int_equal(slot.out_until, at(1000));
    assert_int_equal(tell_late(&slot, UDR_OUTCOME_TIMEOUT, at(1000), at(1500)), UDR_CHANGE_PICK);
}

static void the_next_time_begins_with_the_first_pause(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    refuse(&slot, at(0));
    refuse(&slot, at(1000));
    assert_int_equal(tell(&slot, UDR_OUTCOME_SERVED, 0, at(3000)), CAME_BACK);
    assert_int_equal(slot.pause_ms, 0);
    assert_int_equal(refuse(&slot, at(4000)), WENT_OUT);
    assert_int_equal(slot.out_until, at(5000));
    assert_int_equal(slot.gone_since, at(4000));
}

/* Who puts a member out may write the pause only after another has brought it back. */
static void a_pause_that_was_left_behind_does_not_count(void **state)
{
    udr_slot_t slot = {.pause_ms = 8000, .gone_since = NOW - 1};
    (void)state;
    assert_int_equal(refuse(&slot, at(0)), WENT_OUT);
    assert_int_equal(slot.out_until, at(1000));
    assert_int_equal(slot.gone_since, at(0));
}

/* --- coming back --- */

static void success_resets_all(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    tell(&slot, UDR_OUTCOME_STATUS, 500, at(0));
    assert_int_equal(tell(&slot, UDR_OUTCOME_SERVED, 0, at(1000)), CAME_BACK);
    assert_int_equal(slot.out_until, 0);
    assert_int_equal(slot.gone_since, 0);
    assert_int_equal(slot.pause_ms, 0);
    assert_int_equal(slot.up_since, at(1000));
    assert_int_equal(tell(&slot, UDR_OUTCOME_SERVED, 0, at(1001)), 0);
    assert_int_equal(slot.up_since, at(1000));
}

static void success_leaves_what_works_alone(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    const udr_slot_t before = slot;
    (void)state;
    assert_int_equal(tell(&slot, UDR_OUTCOME_SERVED, 0, at(0)), 0);
    assert_memory_equal(&slot, &before, sizeof slot);
}

static void success_of_before_proves_nothing(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    tell(&slot, UDR_OUTCOME_STATUS, 500, at(0));
    assert_int_equal(tell_late(&slot, UDR_OUTCOME_SERVED, at(-1), at(500)), 0);
    assert_int_equal(slot.out_until, at(1000));
    assert_int_equal(tell_late(&slot, UDR_OUTCOME_SERVED, at(0), at(500)), CAME_BACK);
}

/* The old process may still answer on its connections when the file of its socket has gone. */
static void an_old_connection_does_not_prove_that_new_ones_can_be_made(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    tell(&slot, UDR_OUTCOME_CONNECT_FAILED, ENOENT, at(0));
    assert_int_equal(tell_reused(&slot, UDR_OUTCOME_SERVED, at(100)), 0);
    assert_int_equal(slot.out_until, at(1000));
    assert_int_equal(tell(&slot, UDR_OUTCOME_CONNECTED, 0, at(200)), CAME_BACK);
}

static void a_connect_proves_nothing_of_those_that_fail_later(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    tell(&slot, UDR_OUTCOME_UNANSWERED, 0, at(0));
    assert_int_equal(tell(&slot, UDR_OUTCOME_CONNECTED, 0, at(100)), 0);
    assert_int_equal(tell_reused(&slot, UDR_OUTCOME_SERVED, at(200)), CAME_BACK);
}

/* What failed within responses may do so again: they are waited for. */
static void a_response_that_begins_proves_what_it_can(void **state)
{
    static const struct {
        udr_outcome_t outcome;
        bool comes_back;
    } rows[] = {
        {UDR_OUTCOME_UNANSWERED, true},  {UDR_OUTCOME_STATUS, true},   {UDR_OUTCOME_MARKED, true},
        {UDR_OUTCOME_BROKEN_OFF, false}, {UDR_OUTCOME_TIMEOUT, false}, {UDR_OUTCOME_RESPONSE, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        udr_slot_t slot = {0};
        tell(&slot, rows[i].outcome, 0, at(0));
        assert_int_equal(tell_late(&slot, UDR_OUTCOME_ANSWERED, at(-1), at(50)), 0);
        assert_int_equal(tell_reused(&slot, UDR_OUTCOME_ANSWERED, at(100)), rows[i].comes_back ? CAME_BACK : 0);
        assert_int_equal(tell(&slot, UDR_OUTCOME_SERVED, 0, at(200)), rows[i].comes_back ? 0 : CAME_BACK);
    }
    udr_slot_t slot = {0};
    tell(&slot, UDR_OUTCOME_CONNECT_FAILED, ENOENT, at(0));
    assert_int_equal(tell_reused(&slot, UDR_OUTCOME_ANSWERED, at(100)), 0);
}

/* Connections of the process that has been replaced end when the new one is known already. */
static void a_failure_of_before_it_came_back_is_old_news(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    refuse(&slot, at(0));
    tell(&slot, UDR_OUTCOME_CONNECTED, 0, at(500));
    assert_int_equal(tell_late(&slot, UDR_OUTCOME_UNANSWERED, at(-100), at(501)), 0);
    assert_int_equal(slot.out_until, 0);
    assert_int_equal(tell_late(&slot, UDR_OUTCOME_UNANSWERED, at(500), at(501)), WENT_OUT);
}

/* --- the file appears --- */

static void a_new_file_ends_the_pause(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    refuse(&slot, at(0));
    refuse(&slot, at(1000));
    assert_int_equal(udr_verdict_file_appeared(&slot, at(1500)), UDR_CHANGE_PICK);
    assert_int_equal(slot.out_until, at(1500));
    assert_int_equal(udr_verdict_file_appeared(&slot, at(1500)), 0);
    /* Bound, but not listening yet: it is out as if for the first time, and that is no news. */
    assert_int_equal(refuse(&slot, at(1501)), UDR_CHANGE_PICK);
    assert_int_equal(slot.out_until, at(2501));
    assert_int_equal(slot.gone_since, at(0));
}

static void a_new_file_says_nothing_of_the_members_faults(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    tell(&slot, UDR_OUTCOME_TIMEOUT, 0, at(0));
    assert_int_equal(udr_verdict_file_appeared(&slot, at(500)), 0);
    assert_int_equal(slot.out_until, at(1000));
}

static void a_new_file_of_one_that_works_is_nothing(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_int_equal(udr_verdict_file_appeared(&slot, at(0)), 0);
    assert_int_equal(slot.out_until, 0);
}

/* --- just gone --- */

static void begins_anew_whatever_was_wrong(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    (void)tell(&slot, UDR_OUTCOME_RESPONSE, 0, at(0));
    (void)tell(&slot, UDR_OUTCOME_RESPONSE, 0, at(1500));
    udr_verdict_begin_anew(&slot, at(1600));
    assert_int_equal(slot.out_until, 0);
    assert_int_equal(slot.up_since, at(1600));
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(1600)));
    assert_int_equal(refuse(&slot, at(1700)), WENT_OUT);
    assert_int_equal(slot.out_until, at(1700) + RETRY); /* the first pause again */
}

static void is_just_gone_for_hold(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(0)));
    refuse(&slot, at(0));
    refuse(&slot, at(1000));
    assert_int_equal(udr_verdict_gone_until(&slot, HOLD, at(1000)), at(2000));
    assert_true(udr_verdict_is_just_gone(&slot, HOLD, at(1999)));
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(2000)));
    assert_false(udr_verdict_is_just_gone(&slot, 0, at(0)));
}

static void is_not_just_gone_if_it_was_never_there(void **state)
{
    udr_slot_t slot = {0};
    (void)state;
    refuse(&slot, at(0));
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(0)));
}

static void is_not_just_gone_once_it_is_back(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    refuse(&slot, at(0));
    tell(&slot, UDR_OUTCOME_CONNECTED, 0, at(100));
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(100)));
}

/* A process that is killed breaks off some responses, leaves other requests unanswered, and then is not there. */
static void that_it_has_gone_is_not_hidden_by_how(void **state)
{
    udr_slot_t slot = {.seen_up = 1};
    (void)state;
    tell_late(&slot, UDR_OUTCOME_BROKEN_OFF, at(-100), at(0));
    assert_false(udr_verdict_is_just_gone(&slot, HOLD, at(0)));
    tell_late(&slot, UDR_OUTCOME_UNANSWERED, at(-100), at(1));
    assert_true(udr_verdict_is_just_gone(&slot, HOLD, at(1)));
    tell_late(&slot, UDR_OUTCOME_BROKEN_OFF, at(-100), at(2));
    assert_int_equal(cause_of(&slot), UDR_CAUSE_UNANSWERED);
    refuse(&slot, at(3));
    assert_int_equal(cause_of(&slot), UDR_CAUSE_STALE);
    /* But after the pause it is what happens then, the last of it. */
    tell(&slot, UDR_OUTCOME_RESPONSE, 0, at(1500));
    assert_int_equal(cause_of(&slot), UDR_CAUSE_RESPONSE);
    tell(&slot, UDR_OUTCOME_TIMEOUT, 0, at(1600));
    assert_int_equal(cause_of(&slot), UDR_CAUSE_TIMEOUT);
}

/* --- in words --- */

static void explains_itself(void **state)
{
    udr_slot_t slot = {0};
    apr_pool_t *p;
    (void)state;
    apr_pool_create(&p, NULL);
    assert_string_equal(udr_verdict_explain(0, p), "");
    tell(&slot, UDR_OUTCOME_CONNECT_FAILED, ENOENT, at(0));
    assert_string_equal(udr_verdict_explain(slot.cause, p), "no socket file (No such file or directory)");
    tell(&slot, UDR_OUTCOME_STATUS, 503, at(1000));
    assert_string_equal(udr_verdict_explain(slot.cause, p), "a status of failonstatus (503)");
    tell(&slot, UDR_OUTCOME_MARKED, 0, at(5000));
    assert_string_equal(udr_verdict_explain(slot.cause, p), "marked as failed (status=+E)");
    /* Memory that another version has written. */
    assert_string_equal(udr_verdict_explain(UINT32_MAX, p), "");
    apr_pool_destroy(p);
}

/* --- many at once --- */

#define THREADS 2
#define ROUNDS  30000

typedef struct crowd_t {
    udr_slot_t slot;
    _Atomic int arrived;
    _Atomic int went_out;
    _Atomic int came_back;
    _Atomic int wrong;
} crowd_t;

/* A barrier that is left nearly at the same moment, where there are processors enough: who comes last is ahead by what
 * a cache line takes, which delays of all lengths make up for. */
static void gather(crowd_t *crowd, int *gatherings)
{
    ++*gatherings;
    bool is_last = ++crowd->arrived == *gatherings * THREADS;
    for (volatile int delay = is_last ? *gatherings % 256 : 0; delay > 0; delay--) {
    }
    for (int spins = 0; crowd->arrived < *gatherings * THREADS; spins++) {
        if (spins > 1000) {
            sched_yield();
        }
    }
}

static void count(crowd_t *crowd, unsigned int changes)
{
    if (changes & UDR_CHANGE_WENT_OUT) {
        crowd->went_out++;
    }
    if (changes & UDR_CHANGE_CAME_BACK) {
        crowd->came_back++;
    }
}

/* Each round: all fail at once, all fail once more when the pause is over, all succeed. */
static void *run_in_crowd(void *baton)
{
    crowd_t *crowd = baton;
    int gatherings = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int begin = i * 10000;
        gather(crowd, &gatherings);
        count(crowd, refuse(&crowd->slot, at(begin)));
        gather(crowd, &gatherings);
        count(crowd, refuse(&crowd->slot, at(begin + 1000)));
        gather(crowd, &gatherings);
        crowd->wrong += crowd->slot.out_until != at(begin + 3000) || crowd->slot.gone_since != at(begin);
        gather(crowd, &gatherings);
        count(crowd, tell(&crowd->slot, UDR_OUTCOME_SERVED, 0, at(begin + 3000)));
    }
    return NULL;
}

static void of_many_at_once_one_has_the_news(void **state)
{
    crowd_t crowd = {.arrived = 0};
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_in_crowd, &crowd), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(crowd.wrong, 0);
    assert_int_equal(crowd.went_out, ROUNDS);
    assert_int_equal(crowd.came_back, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_every_outcome_by_the_table),
        cmocka_unit_test(has_seen_it_up_when_it_was_connected_to),
        cmocka_unit_test(doubles_the_pause_up_to_a_minute),
        cmocka_unit_test(does_not_shorten_a_longer_retry),
        cmocka_unit_test(without_a_pause_it_is_never_out),
        cmocka_unit_test(a_failure_within_the_pause_changes_nothing),
        cmocka_unit_test(a_failure_of_before_the_pause_does_not_double_it),
        cmocka_unit_test(the_next_time_begins_with_the_first_pause),
        cmocka_unit_test(a_pause_that_was_left_behind_does_not_count),
        cmocka_unit_test(success_resets_all),
        cmocka_unit_test(success_leaves_what_works_alone),
        cmocka_unit_test(success_of_before_proves_nothing),
        cmocka_unit_test(an_old_connection_does_not_prove_that_new_ones_can_be_made),
        cmocka_unit_test(a_connect_proves_nothing_of_those_that_fail_later),
        cmocka_unit_test(a_response_that_begins_proves_what_it_can),
        cmocka_unit_test(a_failure_of_before_it_came_back_is_old_news),
        cmocka_unit_test(a_new_file_ends_the_pause),
        cmocka_unit_test(a_new_file_says_nothing_of_the_members_faults),
        cmocka_unit_test(a_new_file_of_one_that_works_is_nothing),
        cmocka_unit_test(begins_anew_whatever_was_wrong),
        cmocka_unit_test(is_just_gone_for_hold),
        cmocka_unit_test(is_not_just_gone_if_it_was_never_there),
        cmocka_unit_test(is_not_just_gone_once_it_is_back),
        cmocka_unit_test(that_it_has_gone_is_not_hidden_by_how),
        cmocka_unit_test(explains_itself),
        cmocka_unit_test(of_many_at_once_one_has_the_news),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests_name("udr_verdict", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
