/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_pool.h"
#include "mod_udsroute/udr_clock.h"
#include "mod_udsroute/udr_debug.h"

#include <apr_thread_mutex.h>

#include <stddef.h>
#include <sys/socket.h>

/* For so long nobody looks again which file is at the member's address. */
#define FILE_IS_NEWS apr_time_from_msec(1)

/* A server that says nothing of closing and closes nevertheless (uWSGI's http-socket) does so right behind its first
 * answer: a connection that is still there after this time is kept. */
#define KEPT_AFTER apr_time_from_msec(10)

typedef struct lane_t {
    udr_connection_t *idle; /* newest first: the cache is warm, and the old ones can time out */
    int count;
} lane_t;

struct udr_pool_t {
    const udr_member_t *member;
    int lanes;
    apr_thread_mutex_t *mutex;
    struct {
        lane_t *lane;
        int busy;
        udr_waiter_t *first; /* first come, first served */
        udr_waiter_t **last;
        int waiting;
        udr_socket_file_t file; /* at the member's address */
        bool file_is_there;
        apr_time_t file_seen_at;
        bool is_keeper;             /* the member has lately been seen to keep a connection behind an answer */
        udr_connection_t *given_up; /* shut down, and to be closed: see give_up() */
    } locked;                       /* needs the mutex */
    udr_giver_t giver;              /* its yield is NULL where nothing is given up */
};

static void lock(udr_pool_t *pool)
{
    apr_thread_mutex_lock(pool->mutex);
}

static void unlock(udr_pool_t *pool)
{
    apr_thread_mutex_unlock(pool->mutex);
}

static void close_all(udr_connection_t *list)
{
    while (list) {
        udr_connection_t *next = list->next;
        udr_connection_close(list);
        list = next;
    }
}

/* With the mutex: so many idle connections more, or fewer. */
static void count_idle(udr_pool_t *pool, int lane, int more)
{
    pool->locked.lane[lane].count += more;
    if (pool->giver.yield && more != 0) {
        udr_yield_count(&pool->giver, more);
    }
}

static apr_status_t destroy(void *baton)
{
    udr_pool_t *pool = baton;
    if (pool->giver.yield) {
        udr_yield_remove(&pool->giver);
    }
    for (int i = 0; i < pool->lanes; i++) {
        close_all(pool->locked.lane[i].idle);
        pool->locked.lane[i].idle = NULL;
        count_idle(pool, i, -pool->locked.lane[i].count);
    }
    close_all(pool->locked.given_up);
    pool->locked.given_up = NULL;
    return APR_SUCCESS;
}

apr_status_t udr_pool_create(udr_pool_t **pool, const udr_member_t *member, int lanes, apr_pool_t *p)
{
    udr_pool_t *made = apr_pcalloc(p, sizeof *made);
    made->member = member;
    made->lanes = lanes;
    made->locked.lane = apr_pcalloc(p, (apr_size_t)lanes * sizeof(lane_t));
    made->locked.last = &made->locked.first;
    apr_status_t rv = apr_thread_mutex_create(&made->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_cleanup_register(p, made, destroy, apr_pool_cleanup_null);
    *pool = made;
    return APR_SUCCESS;
}

/* With the mutex: takes the waiter out of the queue. */
static void unqueue(udr_pool_t *pool, udr_waiter_t *waiter)
{
    udr_waiter_t **link = &pool->locked.first;
    while (*link != waiter) {
        link = &(*link)->next;
    }
    *link = waiter->next;
    if (!waiter->next) {
        pool->locked.last = link;
    }
    waiter->next = NULL;
    waiter->queued = false;
    pool->locked.waiting--;
}

/* With the mutex: a turn has come free. It goes straight to whoever waits longest, so that no newcomer overtakes. */
static void pass_turn(udr_pool_t *pool)
{
    udr_waiter_t *waiter = pool->locked.first;
    if (!waiter) {
        pool->locked.busy--;
        return;
    }
    unqueue(pool, waiter);
    waiter->granted = true;
    UDR_SCHEDULE("granted");
    if (waiter->wake) {
        waiter->wake(waiter);
    }
}

apr_status_t udr_pool_take(udr_pool_t *pool, udr_waiter_t *waiter)
{
    apr_status_t rv = APR_EAGAIN;
    int max = pool->member->settings.max;
    lock(pool);
    if (waiter->granted) {
        waiter->granted = false;
        rv = APR_SUCCESS;
    } else if (!waiter->queued && (max == 0 || pool->locked.busy < max)) {
        pool->locked.busy++;
        rv = APR_SUCCESS;
    } else if (!waiter->queued) {
        waiter->queued = true;
        waiter->next = NULL;
        *pool->locked.last = waiter;
        pool->locked.last = &waiter->next;
        pool->locked.waiting++;
    }
    unlock(pool);
    return rv;
}

void udr_pool_readdress(udr_pool_t *pool, udr_waiter_t *waiter, void (*wake)(udr_waiter_t *waiter), void *baton)
{
    lock(pool);
    waiter->wake = wake;
    waiter->baton = baton;
    unlock(pool);
}

void udr_pool_leave(udr_pool_t *pool, udr_waiter_t *waiter)
{
    UDR_SCHEDULE("pool-leave");
    lock(pool);
    if (waiter->queued) {
        unqueue(pool, waiter);
    } else if (waiter->granted) {
        waiter->granted = false;
        pass_turn(pool);
    }
    unlock(pool);
}

static bool is_current(const udr_connection_t *connection, const udr_socket_file_t *file)
{
    return connection->file.device == file->device && connection->file.inode == file->inode;
}

/* With the mutex: the lane to take from, which may be empty. */
static int choose_lane(const udr_pool_t *pool, int lane)
{
    if (pool->locked.lane[lane].idle) {
        return lane;
    }
    for (int i = 0; i < pool->lanes; i++) {
        if (pool->locked.lane[i].idle) {
            return i;
        }
    }
    return lane;
}

/* It may be closed at this moment: it has answered once, and just now. */
static bool is_new(const udr_connection_t *connection, apr_time_t now)
{
    return connection->requests < 2 && now - connection->idle_since < KEPT_AFTER;
}

/* With the mutex: the newest one of the lane that may be used; NULL: none. What can't be sent again does not go on one
 * that a member may be about to close which has not been seen to keep any. */
static udr_connection_t **find_usable(udr_pool_t *pool, lane_t *lane, bool is_replayable, apr_time_t now)
{
    udr_connection_t **link = &lane->idle;
    while (*link && !is_replayable && !pool->locked.is_keeper && is_new(*link, now)) {
        link = &(*link)->next;
    }
    return *link ? link : NULL;
}

/* With the mutex: takes it out of the lane. */
static udr_connection_t *unlink_idle(udr_pool_t *pool, int lane, udr_connection_t **link)
{
    udr_connection_t *connection = *link;
    *link = connection->next;
    count_idle(pool, lane, -1);
    connection->next = NULL;
    return connection;
}

/* What is at the member's address. */
typedef struct place_t {
    udr_socket_file_t file;
    bool is_taken; /* there is one */
} place_t;

/* With the mutex: as of the last millisecond, which spares a system call for each request. */
static place_t current_file(udr_pool_t *pool, apr_time_t now)
{
    if (now - pool->locked.file_seen_at >= FILE_IS_NEWS || now < pool->locked.file_seen_at) {
        pool->locked.file_is_there = udr_socket_file_get(&pool->locked.file, pool->member->target->address);
        pool->locked.file_seen_at = now;
    }
    return (place_t){pool->locked.file, pool->locked.file_is_there};
}

/* The newest idle connection, whatever its state; none but this thread or its loop knows it afterwards. *is_usable:
 * false: it has only to make room for another one, under `max`. *place: written when there is a connection. */
static udr_connection_t *pop(udr_pool_t *pool, int lane, bool is_replayable, apr_time_t now, bool *is_usable,
                             place_t *place)
{
    udr_connection_t *connection = NULL;
    lock(pool);
    int chosen = choose_lane(pool, lane);
    lane_t *from = &pool->locked.lane[chosen];
    udr_connection_t **link = find_usable(pool, from, is_replayable, now);
    *is_usable = link != NULL;
    if (!link && from->idle && pool->member->settings.max) {
        link = &from->idle;
    }
    if (link) {
        connection = unlink_idle(pool, chosen, link);
        *place = current_file(pool, now);
    }
    unlock(pool);
    if (connection && chosen != lane) {
        udr_connection_take_away(connection);
    }
    return connection;
}

/* What a connection says that was idle and is to be used: is it stale, was it kept? */
static bool turns_out_stale(udr_pool_t *pool, const udr_connection_t *connection, apr_time_t now)
{
    bool is_stale = udr_connection_is_stale(connection);
    if (is_stale == is_new(connection, now)) {
        lock(pool);
        pool->locked.is_keeper = !is_stale;
        unlock(pool);
    }
    return is_stale;
}

udr_connection_t *udr_pool_idle(udr_pool_t *pool, int lane, bool is_replayable, apr_time_t now)
{
    bool is_usable;
    place_t place;
    udr_connection_t *connection = pop(pool, lane, is_replayable, now, &is_usable, &place);
    /* When the file has been replaced or removed, every idle connection goes, one after the other. */
    while (connection &&
           (!is_usable || !place.is_taken || !is_current(connection, &place.file) ||
            (!(is_replayable && udr_connection_is_quiet(connection)) && turns_out_stale(pool, connection, now)))) {
        udr_connection_close(connection);
        connection = is_usable ? pop(pool, lane, is_replayable, now, &is_usable, &place) : NULL;
    }
    return connection;
}

/* With the mutex: counts one idle connection more in that lane, and takes that back if it is better closed, as somebody
 * waits for its process. */
static bool is_called_for(udr_pool_t *pool, int lane)
{
    count_idle(pool, lane, 1);
    if (!pool->giver.yield || !udr_yield_answer(&pool->giver)) {
        return false;
    }
    count_idle(pool, lane, -1);
    return true;
}

void udr_pool_give(udr_pool_t *pool, udr_connection_t *connection, int lane)
{
    apr_time_t now = connection ? udr_clock_now() : 0;
    lock(pool);
    if (connection && !is_called_for(pool, lane)) {
        connection->idle_since = now;
        pool->locked.is_keeper |= connection->requests > 1;
        if (connection->watch) {
            connection->watch->baton = NULL;
            udr_connection_rest(connection);
        }
        connection->next = pool->locked.lane[lane].idle;
        pool->locked.lane[lane].idle = connection;
        connection = NULL;
    }
    pass_turn(pool);
    unlock(pool);
    if (connection) {
        udr_connection_close(connection);
    }
}

/* kept: how many idle ones stay anyway. */
static bool is_overdue(const udr_pool_t *pool, const udr_connection_t *connection, int kept, apr_time_t now)
{
    const udr_settings_t *settings = &pool->member->settings;
    int keep = settings->smax > settings->min ? settings->smax : settings->min;
    return kept >= keep && now - connection->idle_since >= settings->ttl;
}

/* From whichever loops watch them. */
static void take_all_away(udr_connection_t *list)
{
    for (udr_connection_t *connection = list; connection; connection = connection->next) {
        udr_connection_take_away(connection);
    }
}

int udr_pool_tidy(udr_pool_t *pool, int lane, apr_time_t now)
{
    udr_connection_t *dead = NULL;
    int closed = 0;
    int kept = 0; /* in all lanes; the others' are not touched here */
    lock(pool);
    for (int i = 0; i < pool->lanes; i++) {
        kept += i == lane ? 0 : pool->locked.lane[i].count;
    }
    for (udr_connection_t **link = &pool->locked.lane[lane].idle; *link;) {
        udr_connection_t *connection = *link;
        if (is_overdue(pool, connection, kept, now) || udr_connection_is_stale(connection)) {
            *link = connection->next;
            connection->next = dead;
            dead = connection;
            closed++;
        } else {
            kept++;
            link = &connection->next;
        }
    }
    count_idle(pool, lane, -closed);
    udr_connection_t *given_up = pool->locked.given_up;
    pool->locked.given_up = NULL;
    unlock(pool);
    close_all(dead);
    take_all_away(given_up);
    close_all(given_up);
    return closed;
}

/* With the mutex: out of the lane and onto the list. file: those that lead to it stay; NULL: none does. */
static int take_others(udr_pool_t *pool, int lane, const udr_socket_file_t *file, udr_connection_t **list)
{
    int taken = 0;
    for (udr_connection_t **link = &pool->locked.lane[lane].idle; *link;) {
        udr_connection_t *connection = *link;
        if (file && is_current(connection, file)) {
            link = &connection->next;
            continue;
        }
        *link = connection->next;
        connection->next = *list;
        *list = connection;
        taken++;
    }
    count_idle(pool, lane, -taken);
    return taken;
}

/* With the mutex, which it leaves. */
static int close_others(udr_pool_t *pool, const udr_socket_file_t *file)
{
    udr_connection_t *others = NULL;
    int taken = 0;
    for (int i = 0; i < pool->lanes; i++) {
        taken += take_others(pool, i, file, &others);
    }
    unlock(pool);
    take_all_away(others);
    close_all(others);
    return taken;
}

int udr_pool_close_outdated(udr_pool_t *pool)
{
    lock(pool);
    pool->locked.file_is_there = udr_socket_file_get(&pool->locked.file, pool->member->target->address);
    pool->locked.file_seen_at = udr_clock_now();
    return close_others(pool, pool->locked.file_is_there ? &pool->locked.file : NULL);
}

int udr_pool_empty(udr_pool_t *pool)
{
    lock(pool);
    return close_others(pool, NULL);
}

/* --- giving up idle connections for those who wait for their processes --------------------------------------------
 */

/* With the mutex: the end of a lane, where the longest idle one is; NULL: it is empty. */
static udr_connection_t **find_oldest(lane_t *lane)
{
    udr_connection_t **link = &lane->idle;
    while (*link && (*link)->next) {
        link = &(*link)->next;
    }
    return *link ? link : NULL;
}

/* With the mutex: in which lane the longest idle one of all is; -1: none is idle. */
static int find_oldest_lane(udr_pool_t *pool, udr_connection_t ***oldest)
{
    int found = -1;
    for (int i = 0; i < pool->lanes; i++) {
        udr_connection_t **link = find_oldest(&pool->locked.lane[i]);
        if (link && (found < 0 || (*link)->idle_since < (**oldest)->idle_since)) {
            *oldest = link;
            found = i;
        }
    }
    return found;
}

/* With the mutex. The member's process is free when it reads the end: so the connection is shut down, which needs no
 * memory and can't wait, and closed by whoever tidies. */
static void shut_down(udr_pool_t *pool, int lane, udr_connection_t **link)
{
    udr_connection_t *connection = *link;
    *link = connection->next;
    count_idle(pool, lane, -1);
    (void)shutdown(connection->fd, SHUT_RDWR);
    connection->next = pool->locked.given_up;
    pool->locked.given_up = connection;
}

/* With the mutex. */
static void shut_down_overdue(udr_pool_t *pool, apr_time_t now)
{
    int kept = 0;
    for (int i = 0; i < pool->lanes; i++) {
        for (udr_connection_t **link = &pool->locked.lane[i].idle; *link;) {
            if (is_overdue(pool, *link, kept, now)) {
                shut_down(pool, i, link);
            } else {
                kept++;
                link = &(*link)->next;
            }
        }
    }
}

static bool give_up(udr_giver_t *giver, bool may_wait, apr_time_t now)
{
    udr_pool_t *pool = (udr_pool_t *)((char *)giver - offsetof(udr_pool_t, giver));
    udr_connection_t **oldest = NULL;
    int lane;
    if (may_wait) {
        lock(pool);
    } else if (apr_thread_mutex_trylock(pool->mutex) != APR_SUCCESS) {
        return false;
    }
    while ((lane = find_oldest_lane(pool, &oldest)) >= 0 && udr_yield_answer(giver)) {
        shut_down(pool, lane, oldest);
    }
    if (now) {
        shut_down_overdue(pool, now);
    }
    unlock(pool);
    return true;
}

void udr_pool_share(udr_pool_t *pool, udr_yield_t *yield)
{
    pool->giver.give_up = give_up;
    udr_yield_add(yield, &pool->giver, udr_member_calls_at(pool->member));
}

udr_yield_t *udr_pool_yield(const udr_pool_t *pool)
{
    return pool->giver.yield;
}

void udr_pool_count(udr_pool_t *pool, udr_pool_counts_t *counts)
{
    lock(pool);
    counts->idle = 0;
    for (int i = 0; i < pool->lanes; i++) {
        counts->idle += pool->locked.lane[i].count;
    }
    counts->busy = pool->locked.busy;
    counts->waiting = pool->locked.waiting;
    unlock(pool);
}
