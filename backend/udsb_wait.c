/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_wait.h"
#include "backend/udsb_request.h"
#include "backend/udsb_server.h"
#include "backend/udsb_worker.h"

#include <stddef.h>
#include <sys/epoll.h>

static udsb_request_t *request_of(udsb_wait_t *wait)
{
    return (udsb_request_t *)((char *)wait - offsetof(udsb_request_t, wait));
}

static void end(udsb_wait_t *wait)
{
    udsb_request_t *const request = request_of(wait);
    udsb_worker_t *const worker = request->worker;

    udsb_loop_clear_timer(worker->loop, &wait->timer);
    udsb_loop_unwatch(worker->loop, &wait->watch);
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        worker->waits.first = wait->next;
    if (wait->next)
        wait->next->previous = wait->previous;
    udsb_metrics_add(&request->server->metrics.waiting, (uint64_t)-1);
    MHD_resume_connection(request->mhd);
    worker->has_events = true;
}

static void timer_fired(udsb_timer_t *timer)
{
    end((udsb_wait_t *)((char *)timer - offsetof(udsb_wait_t, timer)));
}

static void client_gone(udsb_watch_t *watch, uint32_t events)
{
    udsb_wait_t *const wait = (udsb_wait_t *)((char *)watch - offsetof(udsb_wait_t, watch));

    (void)events;
    wait->is_gone = true;
    end(wait);
}

void udsb_wait_begin(udsb_request_t *request)
{
    udsb_worker_t *const worker = request->worker;
    udsb_wait_t *const wait = &request->wait;

    wait->is_wanted = false;
    wait->timer.fired = timer_fired;
    wait->watch.ready = client_gone;
    wait->watch.descriptor = request->descriptor;
    wait->previous = NULL;
    wait->next = worker->waits.first;
    if (wait->next)
        wait->next->previous = wait;
    worker->waits.first = wait;
    udsb_metrics_add(&request->server->metrics.waiting, 1);
    MHD_suspend_connection(request->mhd);

    wait->is_gone = atomic_load(&request->server->hurrying);
    if (wait->is_gone || (wait->until_stop && atomic_load(&request->server->stopping)) ||
        !udsb_loop_set_timer(worker->loop, &wait->timer, wait->milliseconds)) {
        end(wait);
        return;
    }
    /* Watched for nothing but what epoll always reports. A client that merely shut down its sending side still wants
     * its answer; on a Unix socket that is EPOLLRDHUP, not EPOLLHUP. Without a watch the wait only ends later. */
    udsb_loop_watch(worker->loop, &wait->watch, 0);
}

void udsb_wait_flush(udsb_wait_list_t *waits, bool all)
{
    udsb_wait_t *next;

    for (udsb_wait_t *wait = waits->first; wait; wait = next) {
        next = wait->next;
        if (!all && !wait->until_stop)
            continue;
        wait->is_gone |= all;
        end(wait);
    }
}

void udsb_request_wait(udsb_request_t *request, uint64_t milliseconds, bool until_stop)
{
    const uint64_t day = 86400000;

    request->wait.is_wanted = true;
    request->wait.until_stop = until_stop;
    request->wait.milliseconds = milliseconds < day ? milliseconds : day;
}
