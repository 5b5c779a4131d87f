/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_worker.h"
#include "mod_udsroute/mod_udsroute_shared.h"
#include "mod_udsroute/udr_clock.h"

#include <ap_mpm.h>
#include <apr_atomic.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An HTTP/2 stream has no descriptor: it is looked after between two pauses of this length, growing from the first to
 * the second while nothing happens. */
#define TICK_FIRST ((apr_interval_time_t)100)
#define TICK_MAX   apr_time_from_msec(50)

/* A quarter of a second: how often to look after what other children have left. */
#define ATTEND_NANOSECONDS 250000000L

/* So many eighths of the threads are nearly all; that they were busy says for so long that they may be again. */
#define SCARCE     6
#define SCARCE_FOR apr_time_from_sec(5)

struct udr_worker_t {
    udr_scratch_t scratch;
    udr_pipes_t pipes; /* that it lends */
    int wake_fd;
    bool is_lent;
};

static pthread_key_t worker_key;

static struct {
    int threads;                  /* of this child */
    apr_uint32_t lent;            /* atomic */
    apr_uint32_t tunnels;         /* atomic; of these */
    apr_uint32_t busy;            /* atomic; threads that have a connection of the MPM's, or are guests */
    _Atomic apr_time_t scarce_at; /* when nearly all were busy last; 0: they never were */
    bool is_alone;                /* there is one thread only: it looks itself whether its turn has come */
} workers;

static void free_worker(void *data)
{
    udr_worker_t *worker = data;
    close(worker->wake_fd);
    udr_pipes_close(&worker->pipes);
    free(worker->scratch.ptr);
    free(worker);
}

static apr_status_t delete_key(void *data)
{
    (void)data;
    /* The calling thread's own value is not freed by pthread_key_delete(3); under prefork it is the only one. */
    udr_worker_t *worker = pthread_getspecific(worker_key);
    if (worker) {
        pthread_setspecific(worker_key, NULL);
        free_worker(worker);
    }
    pthread_key_delete(worker_key);
    return APR_SUCCESS;
}

apr_status_t udr_worker_child_init(apr_pool_t *pchild)
{
    workers.threads = 0;
    workers.lent = 0;
    workers.tunnels = 0;
    workers.busy = 0;
    workers.scarce_at = 0;
    int threaded = AP_MPMQ_NOT_SUPPORTED;
    (void)ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    workers.is_alone = threaded == AP_MPMQ_NOT_SUPPORTED;
    (void)ap_mpm_query(AP_MPMQ_MAX_THREADS, &workers.threads);
    int rc = pthread_key_create(&worker_key, free_worker);
    if (rc == 0) {
        apr_pool_cleanup_register(pchild, NULL, delete_key, apr_pool_cleanup_null);
    }
    return rc;
}

static udr_worker_t *make_worker(void)
{
    udr_worker_t *worker = calloc(1, sizeof *worker);
    if (!worker) {
        return NULL;
    }
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake_fd < 0) {
        free(worker);
        return NULL;
    }
    worker->scratch.pipes = &worker->pipes;
    return worker;
}

udr_worker_t *udr_worker_borrow(void)
{
    udr_worker_t *own = pthread_getspecific(worker_key);
    udr_worker_t *worker = own && !own->is_lent ? own : make_worker();
    if (worker && !own && pthread_setspecific(worker_key, worker) != 0) {
        free_worker(worker);
        return NULL;
    }
    if (worker) {
        worker->is_lent = true;
        apr_atomic_inc32(&workers.lent);
    }
    return worker;
}

void udr_worker_return(udr_worker_t *worker)
{
    worker->is_lent = false;
    apr_atomic_dec32(&workers.lent);
    if (worker != pthread_getspecific(worker_key)) {
        free_worker(worker);
    }
}

unsigned int udr_worker_tunnels(void)
{
    return apr_atomic_read32(&workers.tunnels);
}

bool udr_worker_are_busy(unsigned int eighths)
{
    return apr_atomic_read32(&workers.lent) * 8 > (apr_uint32_t)workers.threads * eighths;
}

void udr_worker_begin(void)
{
    apr_uint32_t busy = apr_atomic_inc32(&workers.busy) + 1;
    if (busy * 8 > (apr_uint32_t)workers.threads * SCARCE) {
        atomic_store_explicit(&workers.scarce_at, udr_clock_now(), memory_order_relaxed);
    }
}

void udr_worker_end(void)
{
    apr_atomic_dec32(&workers.busy);
}

bool udr_worker_were_scarce(apr_time_t now)
{
    apr_time_t at = atomic_load_explicit(&workers.scarce_at, memory_order_relaxed);
    return at > 0 && now - at < SCARCE_FOR;
}

void udr_worker_wake(udr_waiter_t *waiter)
{
    const udr_worker_t *worker = waiter->baton;
    (void)eventfd_write(worker->wake_fd, 1);
}

void udr_worker_wake_queued(udr_queue_waiter_t *waiter)
{
    const udr_worker_t *worker = waiter->baton;
    (void)eventfd_write(worker->wake_fd, 1);
}

static bool provide_scratch(udr_worker_t *worker, apr_size_t size)
{
    if (worker->scratch.size < size) {
        char *larger = realloc(worker->scratch.ptr, size);
        if (!larger) {
            return false;
        }
        worker->scratch.ptr = larger;
        worker->scratch.size = size;
    }
    return true;
}

/* What one exchange's waiting needs to remember. */
typedef struct waiting_t {
    udr_worker_t *worker;
    udr_client_t *client;
    int client_fd;             /* -1: an HTTP/2 stream */
    apr_time_t client_left_at; /* when it shut down its sending side; 0: it has not */
    apr_interval_time_t tick;
    apr_time_t until;   /* when to give up */
    apr_uint64_t moved; /* body bytes in both directions when it was last looked after */
    bool is_tunnel;     /* it counts as one */
} waiting_t;

/* Which of the descriptors stands where. */
enum { MEMBER, CLIENT, WAKE, TURNS, DESCRIPTORS };

static void set_descriptors(const waiting_t *waiting, const udr_wait_t *wait, struct pollfd fds[DESCRIPTORS])
{
    short client_events = wait->client;
    /* While its body is read, the end of what it sends is for the body to tell. */
    if (!waiting->client_left_at &&
        (waiting->client->is_tunnel || !udr_exchange_reads_client(waiting->client->exchange))) {
        client_events |= POLLRDHUP;
    }
    /* poll(2) reports POLLHUP unasked, for ever: what is not waited for is left out. */
    fds[MEMBER] =
        (struct pollfd){.fd = wait->member ? udr_exchange_fd(waiting->client->exchange) : -1, .events = wait->member};
    fds[CLIENT] = (struct pollfd){.fd = client_events ? waiting->client_fd : -1, .events = client_events};
    fds[WAKE] = (struct pollfd){.fd = wait->turn ? waiting->worker->wake_fd : -1, .events = POLLIN};
    fds[TURNS] = (struct pollfd){.fd = wait->turn && workers.is_alone ? udr_share_descriptor() : -1, .events = POLLIN};
}

static void pause_until(const waiting_t *waiting, const udr_wait_t *wait, apr_time_t now, struct timespec *pause)
{
    apr_time_t until = wait->until < waiting->until ? wait->until : waiting->until;
    if (waiting->client_left_at && !waiting->client->is_tunnel &&
        waiting->client_left_at + UDR_CLIENT_GONE_AFTER < until) {
        until = waiting->client_left_at + UDR_CLIENT_GONE_AFTER;
    }
    if (waiting->client_fd < 0 && now + waiting->tick < until) {
        until = now + waiting->tick;
    }
    apr_interval_time_t left = until > now ? until - now : 0;
    pause->tv_sec = (time_t)(left / APR_USEC_PER_SEC);
    pause->tv_nsec = (long)(left % APR_USEC_PER_SEC) * 1000;
}

static unsigned int read_client(waiting_t *waiting, short events, apr_time_t now)
{
    unsigned int ready = 0;
    if (events & POLLIN) {
        ready |= UDR_READY_CLIENT_IN;
    }
    if (events & POLLOUT) {
        ready |= UDR_READY_CLIENT_OUT;
    }
    if (events & (POLLERR | POLLHUP | POLLNVAL)) {
        ready |= udr_client_hung_up(waiting->client);
        waiting->client_left_at = waiting->client_left_at ? waiting->client_left_at : now;
    } else if ((events & POLLRDHUP) && !waiting->client_left_at) {
        waiting->client_left_at = now;
        waiting->client->sending_ended = true;
        if (waiting->client->is_tunnel) {
            ready |= UDR_READY_CLIENT_IN;
        }
    }
    return ready;
}

/* An HTTP/2 stream is asked without being ready: what has come about shows then. While bytes move, often. */
static unsigned int look_after_stream(waiting_t *waiting, const udr_wait_t *wait)
{
    apr_uint64_t moved = udr_exchange_moved(waiting->client->exchange);
    waiting->tick = moved != waiting->moved ? TICK_FIRST : waiting->tick * 2;
    if (waiting->tick > TICK_MAX) {
        waiting->tick = TICK_MAX;
    }
    waiting->moved = moved;
    return wait->client ? UDR_READY_CLIENT_IN | UDR_READY_CLIENT_OUT : 0;
}

/* Without threads: whoever has the turn may be killed, and all others wait as well. */
static void look_after_others(struct timespec *pause)
{
    udr_share_attend();
    if (pause->tv_sec > 0 || pause->tv_nsec > ATTEND_NANOSECONDS) {
        *pause = (struct timespec){.tv_nsec = ATTEND_NANOSECONDS};
    }
}

/* Waits for what the exchange waits for; returns what has come about (UDR_READY_…). */
static unsigned int wait_for(waiting_t *waiting, const udr_wait_t *wait, apr_time_t now)
{
    struct pollfd fds[DESCRIPTORS];
    struct timespec pause;
    unsigned int ready = 0;
    set_descriptors(waiting, wait, fds);
    pause_until(waiting, wait, now, &pause);
    if (wait->turn && workers.is_alone) {
        look_after_others(&pause);
    }
    int count = ppoll(fds, DESCRIPTORS, &pause, NULL);
    now = udr_clock_now();
    if (count > 0) {
        if (fds[MEMBER].revents & (POLLIN | POLLHUP | POLLERR)) {
            ready |= UDR_READY_MEMBER_IN;
        }
        if (fds[MEMBER].revents & (POLLOUT | POLLHUP | POLLERR)) {
            ready |= UDR_READY_MEMBER_OUT;
        }
        if (fds[TURNS].revents) {
            udr_share_wake();
        }
        if (fds[WAKE].revents) {
            eventfd_t value;
            (void)eventfd_read(waiting->worker->wake_fd, &value);
        }
        ready |= read_client(waiting, fds[CLIENT].revents, now);
    }
    if (waiting->client_fd < 0) {
        ready |= look_after_stream(waiting, wait);
    }
    /* What the member sends to a client that has shut down its side is passed on: it is silence that ends the wait. */
    if (waiting->client->is_tunnel) {
        /* Its two directions end each by itself. */
    } else if (waiting->client_left_at &&
               ((ready & UDR_READY_MEMBER_IN) || udr_exchange_reads_client(waiting->client->exchange))) {
        waiting->client_left_at = now;
    } else if (waiting->client_left_at && now - waiting->client_left_at >= UDR_CLIENT_GONE_AFTER) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    if (waiting->client->r->connection->aborted) {
        ready |= UDR_READY_CLIENT_GONE;
    }
    return ready;
}

static void count_tunnel(waiting_t *waiting, bool is_tunnel)
{
    if (is_tunnel == waiting->is_tunnel) {
        return;
    }
    waiting->is_tunnel = is_tunnel;
    (void)apr_atomic_add32(&workers.tunnels, is_tunnel ? 1 : APR_UINT32_MAX);
    if (workers.is_alone) {
        udr_share_attend(); /* nobody else tells of it */
    }
}

static bool run(waiting_t *waiting, unsigned int ready, apr_time_t now)
{
    udr_exchange_t *exchange = waiting->client->exchange;
    while (udr_exchange_run(exchange, &waiting->worker->scratch, ready, now)) {
        /* The run may have taken its time: filters can block. */
        now = udr_clock_now();
        if (now >= waiting->until) {
            return false;
        }
        count_tunnel(waiting, waiting->client->is_tunnel);
        ready = wait_for(waiting, udr_exchange_wait(exchange), now);
        now = udr_clock_now();
    }
    return true;
}

bool udr_worker_run(udr_worker_t *worker, udr_client_t *client, unsigned int ready, apr_interval_time_t limit)
{
    udr_exchange_t *exchange = client->exchange;
    apr_time_t now = udr_clock_now();
    waiting_t waiting = {
        .worker = worker,
        .client = client,
        .client_fd = udr_client_fd(client),
        .tick = TICK_FIRST,
        .until = limit < 0 ? APR_INT64_MAX : now + limit,
    };
    if (!provide_scratch(worker, udr_exchange_scratch_size(exchange))) {
        udr_exchange_cancel(exchange);
        return true;
    }
    bool has_ended = run(&waiting, ready, now);
    count_tunnel(&waiting, false);
    return has_ended;
}
