/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_operator.h"

#include <string.h>

static udr_hot_t hot;
static udr_slot_t slot;

static int set_up(void **state)
{
    (void)state;
    memset(&hot, 0, sizeof hot);
    memset(&slot, 0, sizeof slot);
    return 0;
}

/* As `status` and `loadfactor`, whose bits are those of the flags. */
static void configure(int status, int weight)
{
    const udr_settings_t settings = {.status = status, .load_factor = weight};
    udr_operator_configure(&hot, &slot, &settings);
}

static void assert_flags(apr_uint32_t flags)
{
    assert_int_equal(atomic_load(&hot.flags), flags);
}

static void has_what_the_configuration_says(void **state)
{
    (void)state;
    configure(UDR_SLOT_SPARE, 100);
    assert_flags(UDR_SLOT_SPARE);
    configure(UDR_SLOT_DISABLED, 100);
    assert_flags(UDR_SLOT_DISABLED);
    configure(0, 100);
    assert_flags(0);
}

/* That a member begins as if it had failed is no lasting word. */
static void leaves_out_that_it_begins_as_failed(void **state)
{
    (void)state;
    configure(UDR_STATUS_SPARE | UDR_STATUS_ERROR, 100);
    assert_flags(UDR_SLOT_SPARE);
}

static void replaces_one_word_by_the_other(void **state)
{
    (void)state;
    configure(UDR_SLOT_HOT_STANDBY | UDR_SLOT_IGNORES_ERRORS, 100);
    udr_operator_say(&hot, UDR_OPERATION_DRAIN);
    assert_flags(UDR_SLOT_HOT_STANDBY | UDR_SLOT_IGNORES_ERRORS | UDR_SLOT_DRAINS);
    udr_operator_say(&hot, UDR_OPERATION_STOP);
    assert_flags(UDR_SLOT_HOT_STANDBY | UDR_SLOT_IGNORES_ERRORS | UDR_SLOT_STOPPED);
    udr_operator_say(&hot, UDR_OPERATION_DISABLE);
    assert_flags(UDR_SLOT_HOT_STANDBY | UDR_SLOT_IGNORES_ERRORS | UDR_SLOT_DISABLED);
    udr_operator_say(&hot, UDR_OPERATION_ENABLE);
    assert_flags(UDR_SLOT_HOT_STANDBY | UDR_SLOT_IGNORES_ERRORS);
}

static void keeps_what_an_operator_has_said(void **state)
{
    (void)state;
    configure(UDR_SLOT_DISABLED, 100);
    udr_operator_say(&hot, UDR_OPERATION_ENABLE);
    udr_operator_weigh(&hot, 550);
    configure(UDR_SLOT_DISABLED, 100);
    configure(UDR_SLOT_DISABLED, 100);
    assert_flags(0);
    assert_int_equal(atomic_load(&hot.weight), 550);
}

static void hears_the_configuration_when_it_changes(void **state)
{
    (void)state;
    configure(0, 100);
    udr_operator_say(&hot, UDR_OPERATION_DRAIN);
    udr_operator_weigh(&hot, 550);
    configure(UDR_SLOT_SPARE, 100);
    assert_flags(UDR_SLOT_SPARE);
    assert_int_equal(atomic_load(&hot.weight), 550);
    configure(UDR_SLOT_SPARE, 200);
    assert_int_equal(atomic_load(&hot.weight), 0);
    /* And once heard it is the configuration's again. */
    configure(0, 200);
    assert_flags(0);
}

/* Who says what the configuration says has said nothing: it may change again. */
static void does_not_keep_the_configurations_own_word(void **state)
{
    (void)state;
    configure(0, 100);
    udr_operator_say(&hot, UDR_OPERATION_DRAIN);
    udr_operator_say(&hot, UDR_OPERATION_ENABLE);
    configure(UDR_SLOT_DRAINS, 100);
    assert_flags(UDR_SLOT_DRAINS);
}

/* Nothing that was said of the one before is left; the configuration's next word is heard. */
static void begins_anew_with_somebody_else(void **state)
{
    const udr_settings_t settings = {.status = UDR_STATUS_SPARE | UDR_STATUS_ERROR, .load_factor = 200};
    (void)state;
    configure(UDR_SLOT_SPARE, 200);
    udr_operator_say(&hot, UDR_OPERATION_DRAIN);
    udr_operator_weigh(&hot, 550);
    udr_operator_begin(&hot, &slot, &settings);
    assert_flags(UDR_SLOT_SPARE);
    assert_int_equal(atomic_load(&hot.weight), 0);
    udr_operator_weigh(&hot, 550);
    configure(UDR_SLOT_SPARE, 200);
    assert_int_equal(atomic_load(&hot.weight), 550);
    configure(0, 200);
    assert_flags(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(has_what_the_configuration_says, set_up),
        cmocka_unit_test_setup(leaves_out_that_it_begins_as_failed, set_up),
        cmocka_unit_test_setup(replaces_one_word_by_the_other, set_up),
        cmocka_unit_test_setup(keeps_what_an_operator_has_said, set_up),
        cmocka_unit_test_setup(hears_the_configuration_when_it_changes, set_up),
        cmocka_unit_test_setup(does_not_keep_the_configurations_own_word, set_up),
        cmocka_unit_test_setup(begins_anew_with_somebody_else, set_up),
    };
    return cmocka_run_group_tests_name("udr_operator", tests, NULL, NULL);
}
