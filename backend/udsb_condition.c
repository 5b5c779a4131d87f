/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_condition.h"

#include <locale.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

/* --- dates ----------------------------------------------------------------------------------------------------------
 */

/* Names of days and months are English in HTTP, whatever locale the program has set. */
static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

void udsb_condition_write_date(char *text, time_t date)
{
    struct tm utc;

    pthread_once(&c_locale_once, make_c_locale);
    text[0] = '\0';
    if (gmtime_r(&date, &utc))
        strftime_l(text, UDSB_CONDITION_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &utc, c_locale);
}

bool udsb_condition_read_date(time_t *date, const char *text)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* the one in use */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %d %H:%M:%S %Y",      /* asctime(3) */
    };

    pthread_once(&c_locale_once, make_c_locale);
    for (size_t i = 0; text && i < sizeof forms / sizeof forms[0]; i++) {
        struct tm utc = {0};
        const char *const end = strptime_l(text, forms[i], &utc, c_locale);

        if (end && !*end) {
            *date = timegm(&utc);
            return true;
        }
    }
    return false;
}

/* --- entity tags ----------------------------------------------------------------------------------------------------
 */

/* Reads one tag of a list: *start and the return value are its quotes' begin and end; NULL: there is no further one. */
static const char *next_tag(const char *list, const char **start, bool *is_weak)
{
    const char *c = list + strspn(list, " \t,");

    *is_weak = !strncmp(c, "W/", 2);
    c += *is_weak ? 2 : 0;
    if (*c != '"')
        return NULL;
    *start = c;
    c = strchr(c + 1, '"');
    return c ? c + 1 : NULL;
}

/* Is tag in the list? Strong comparison (8.8.3.2): a weak one in the list does not count. */
static bool list_has_tag(const char *list, const char *tag, bool strongly)
{
    const size_t length = strlen(tag);
    const char *start, *end;
    bool is_weak;

    if (!strcmp(list, "*"))
        return true;
    for (; (end = next_tag(list, &start, &is_weak)) != NULL; list = end) {
        if ((size_t)(end - start) == length && !memcmp(start, tag, length) && !(is_weak && strongly))
            return true;
    }
    return false;
}

/* --- preconditions --------------------------------------------------------------------------------------------------
 */

udsb_condition_t udsb_condition_evaluate(const udsb_conditions_t *conditions, const udsb_validators_t *validators)
{
    time_t date;

    if (conditions->if_match) {
        if (!list_has_tag(conditions->if_match, validators->tag, true))
            return UDSB_CONDITION_FAILED;
    } else if (udsb_condition_read_date(&date, conditions->if_unmodified_since) && validators->modified > date) {
        return UDSB_CONDITION_FAILED;
    }
    if (conditions->if_none_match) {
        if (list_has_tag(conditions->if_none_match, validators->tag, false))
            return UDSB_CONDITION_NOT_MODIFIED;
    } else if (udsb_condition_read_date(&date, conditions->if_modified_since) && validators->modified <= date) {
        return UDSB_CONDITION_NOT_MODIFIED;
    }
    return UDSB_CONDITION_PROCEED;
}

bool udsb_condition_allows_range(const udsb_conditions_t *conditions, const udsb_validators_t *validators)
{
    time_t date;

    if (!conditions->if_range)
        return true;
    if (strchr(conditions->if_range, '"'))
        return list_has_tag(conditions->if_range, validators->tag, true);
    /* 13.1.5: an exact match, not "not later". */
    return udsb_condition_read_date(&date, conditions->if_range) && date == validators->modified;
}
