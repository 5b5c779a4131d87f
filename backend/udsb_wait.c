/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_wait.h"
#include "backend/udsb_request.h"
#include "backend/udsb_server.h"

#include <stddef.h>
#include <sys/epoll.h>

#define REQUEST_OF(member_pointer, member)                                                                            \
    ((udsb_request_t *)((char *)(member_pointer)-offsetof(udsb_request_t, wait) - offsetof(udsb_wait_t, member)))

/* The request belongs to its worker again; after this line it may be gone. */
static void resume(udsb_request_t *request)
{
    udsb_metrics_add(&request->server->metrics.waiting, (uint64_t)-1);
    MHD_resume_connection(request->mhd);
}

static void end(udsb_request_t *request)
{
    udsb_server_t *const server = request->server;
    udsb_wait_t *const wait = &request->wait;

    udsb_loop_clear_timer(server->loop, &wait->timer);
    udsb_loop_unwatch(server->loop, &wait->watch);
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        server->waits.first = wait->next;
    if (wait->next)
        wait->next->previous = wait->previous;
    resume(request);
}

static void timer_fired(udsb_timer_t *timer)
{
    end(REQUEST_OF(timer, timer));
}

static void client_gone(udsb_watch_t *watch, uint32_t events)
{
    udsb_request_t *const request = REQUEST_OF(watch, watch);

    (void)events;
    request->wait.is_gone = true;
    end(request);
}

static void begin(udsb_task_t *task)
{
    udsb_request_t *const request = REQUEST_OF(task, task);
    udsb_server_t *const server = request->server;
    udsb_wait_t *const wait = &request->wait;

    wait->is_gone = atomic_load(&server->hurrying);
    if (wait->is_gone || (wait->until_stop && atomic_load(&server->stopping)) ||
        !udsb_loop_set_timer(server->loop, &wait->timer, wait->milliseconds)) {
        resume(request);
        return;
    }
    wait->previous = NULL;
    wait->next = server->waits.first;
    if (wait->next)
        wait->next->previous = wait;
    server->waits.first = wait;
    /* Watched for nothing but what epoll always reports. A client that merely shut down its sending side still wants its
     * answer; on a Unix socket that is EPOLLRDHUP, not EPOLLHUP. Without a watch the wait only ends later. */
    wait->watch.descriptor = request->descriptor;
    udsb_loop_watch(server->loop, &wait->watch, 0);
}

void udsb_wait_begin(udsb_request_t *request)
{
    udsb_wait_t *const wait = &request->wait;

    wait->is_wanted = false;
    wait->task.run = begin;
    wait->timer.fired = timer_fired;
    wait->watch.ready = client_gone;
    udsb_metrics_add(&request->server->metrics.waiting, 1);
    /* Suspend first: the loop may resume before this function returns, which libmicrohttpd allows. */
    MHD_suspend_connection(request->mhd);
    udsb_loop_post(request->server->loop, &wait->task);
}

void udsb_wait_flush(udsb_server_t *server, bool all)
{
    udsb_wait_t *next;

    for (udsb_wait_t *wait = server->waits.first; wait; wait = next) {
        next = wait->next;
        if (!all && !wait->until_stop)
            continue;
        wait->is_gone |= all;
        end((udsb_request_t *)((char *)wait - offsetof(udsb_request_t, wait)));
    }
}

void udsb_request_wait(udsb_request_t *request, uint64_t milliseconds, bool until_stop)
{
    const uint64_t day = 86400000;

    request->wait.is_wanted = true;
    request->wait.until_stop = until_stop;
    request->wait.milliseconds = milliseconds < day ? milliseconds : day;
}
