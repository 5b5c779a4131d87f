/* SPDX-License-Identifier: Apache-2.0 */
/* libudsbackend: an HTTP/1.1 service on Unix domain sockets, in the steps
 *
 *     create a server -> add a Unix listener -> map routes -> start -> drain and stop
 *
 * Layer: the only public header. Used by programs; udsbackend itself is one of them.
 *
 *     udsb_server_t *server = udsb_server_create(NULL);
 *     if (!server || udsb_server_listen(server, &(udsb_listener_options_t){.address = "/run/demo/app.sock"}) ||
 *         udsb_server_map_text(server, "GET", "/ux", "Hello via unix socket") || udsb_server_start(server))
 *         fprintf(stderr, "%s\n", udsb_server_error(server));
 *     ... wait for a signal ...
 *     udsb_server_stop(server);
 *     udsb_server_destroy(server);
 *
 * Threads. The udsb_server_* functions belong to the program: one thread at a time, never from within a handler, but
 * for those marked "any thread". The udsb_request_*, udsb_response_* and udsb_websocket_* functions belong to the
 * handler that was given the request or WebSocket, on the thread that calls it, until it returns. Handlers run on
 * several threads at once, and must not block: everything else on their thread waits for them. The library blocks no
 * signals and installs no handlers; it never raises SIGPIPE on Linux.
 *
 * Ownership. Strings and structures given to a function are copied unless it says otherwise. */
#ifndef UDSBACKEND_H
#define UDSBACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UDSB_API __attribute__((visibility("default")))
#else
#define UDSB_API
#endif

/* Version of this header. udsb_version() tells the library's. */
#define UDSB_VERSION "0.1.0"
UDSB_API const char *udsb_version(void);

typedef struct udsb_server udsb_server_t;
typedef struct udsb_request udsb_request_t;
typedef struct udsb_response udsb_response_t;
typedef struct udsb_websocket udsb_websocket_t;

/* What the udsb_server_* functions return. After anything but UDSB_OK, udsb_server_error() has the sentence. */
typedef enum {
    UDSB_OK = 0,
    UDSB_INVALID,   /* an argument is out of its range; nothing has changed; mend the call */
    UDSB_IN_USE,    /* a live server listens at the address, or what lies there is no socket; nothing has changed */
    UDSB_SYSTEM,    /* a system call failed; errno is in the sentence; try again when its cause is gone */
    UDSB_NO_MEMORY, /* out of memory; give up */
    UDSB_BAD_STATE  /* the call does not belong in this step of the server's life; mend the program */
} udsb_result_t;

typedef enum { UDSB_LOG_ERROR = 1, UDSB_LOG_WARNING, UDSB_LOG_NOTICE, UDSB_LOG_INFO, UDSB_LOG_DEBUG } udsb_log_level_t;

/* Takes one event as one line without its newline. Any thread. */
typedef void udsb_log_function_t(void *context, udsb_log_level_t level, const char *line);

/* --- life of a server -----------------------------------------------------------------------------------------------
 */

typedef struct {
    unsigned threads;         /* threads that run handlers, 1 to 256; 0: one for each CPU the process may use */
    unsigned max_connections; /* connections held at once, further ones wait in the backlog; 0: RLIMIT_NOFILE less 64 */
    uint64_t finish_ms;       /* how long udsb_server_stop() lets running requests finish; 0: 60,000 (a minute) */
    udsb_log_level_t verbosity; /* with log: events above this level are not made; 0: UDSB_LOG_INFO */
    udsb_log_function_t *log;   /* NULL: lines on stderr */
    void *log_context;          /* borrowed, for log */
} udsb_server_options_t;

/* Creates a server that does nothing yet. options: NULL for the defaults. Returns NULL when out of memory. */
UDSB_API udsb_server_t *udsb_server_create(const udsb_server_options_t *options);

/* The sentence of the last udsb_server_* call that failed, "" before one did. Valid until the next call. server may be
 * NULL (udsb_server_create failed). */
UDSB_API const char *udsb_server_error(const udsb_server_t *server);

typedef struct {
    const char *address; /* "/path" (at most 107 bytes), a relative path, or "@name" in Linux' abstract namespace */
    unsigned mode;       /* of the socket file, 1 to 0777; 0: 0660. Connecting needs write permission. */
    const char *owner;   /* user name or id; NULL: who the process is */
    const char *group;   /* group name or id; NULL: what the directory gives */
    int backlog;         /* connections that wait to be accepted, 1 to 65535, cut at net.core.somaxconn; 0: 4096 */
} udsb_listener_options_t;

/* Makes a listening socket; it is connectable from here on, and served from udsb_server_start() on.
 * The file appears under its name in one step, with mode, owner and group final and already listening. A file of a dead
 * server is replaced under a lock (PATH.lock, gone afterwards); see unix(7): only a socket that nobody listens on
 * refuses. UDSB_IN_USE: the sentence says who listens (process id, user). UDSB_BAD_STATE: after start. */
UDSB_API udsb_result_t udsb_server_listen(udsb_server_t *server, const udsb_listener_options_t *options);

/* Serves a listening Unix stream socket that somebody else made (sd_listen_fds(3)). The descriptor belongs to the
 * server from now on, the file does not: it is never unlinked. UDSB_INVALID: it is no such socket. */
UDSB_API udsb_result_t udsb_server_listen_fd(udsb_server_t *server, int descriptor);

/* Only processes of this user (name or id) may connect (SO_PEERCRED); call it again to allow another. Others are closed
 * at once and logged. Never called: everybody whom the file's mode lets in. Before start. UDSB_INVALID: no such user.
 */
UDSB_API udsb_result_t udsb_server_allow_peer(udsb_server_t *server, const char *user);

/* Starts the threads. The caller maps routes and adds listeners before. UDSB_BAD_STATE: no listener, or started
 * already. */
UDSB_API udsb_result_t udsb_server_start(udsb_server_t *server);

/* Announces the end: /healthz answers 503 with X-UDSRoute-State: drain from now on; everything else goes on as before.
 * Any thread. */
UDSB_API void udsb_server_drain(udsb_server_t *server);
UDSB_API bool udsb_server_is_draining(const udsb_server_t *server); /* any thread */
/* Are streams to come to their end, because udsb_server_stop() was called? Any thread. */
UDSB_API bool udsb_server_is_stopping(const udsb_server_t *server);

/* Stops: no new connections (those already in the backlog are served), idle ones closed, running requests finished (at
 * most options.finish_ms, or until udsb_server_hurry), WebSockets closed with 1001, socket files unlinked where they
 * are still the ones this server made. Blocks. Does nothing on a server that has not started but unlink. */
UDSB_API udsb_result_t udsb_server_stop(udsb_server_t *server);

/* Makes a running udsb_server_stop() cut off what has not finished. Any thread; not from a signal handler. */
UDSB_API void udsb_server_hurry(udsb_server_t *server);

/* Frees the server; stops it first if need be. NULL is fine. */
UDSB_API void udsb_server_destroy(udsb_server_t *server);

/* --- routes
 * ----------------------------------------------------------------------------------------------------------- */

/* Called with a whole request (its body came before, see udsb_route_t). Must either give an answer (udsb_request_answer
 * or a relative) or call udsb_request_wait(), and is called again later. One that does neither is answered 500. */
typedef void udsb_handler_t(udsb_request_t *request, void *context);

/* Called with each piece of the request's body, in order, before the handler. false: the request is refused with 400.
 */
typedef bool udsb_body_function_t(udsb_request_t *request, const void *data, size_t length, void *context);

typedef struct {
    const char *methods;        /* "GET" (HEAD is included), "GET POST", or "*" for all */
    const char *path;           /* "/echo" exactly, or "/bytes/" followed by "*" for everything below */
    udsb_handler_t *handler;    /* required */
    udsb_body_function_t *body; /* NULL: the body is collected in memory for udsb_request_body() */
    size_t body_limit;          /* bytes of a collected body, more is answered 413; 0: 16 MiB */
    void *context;              /* borrowed, for handler and body; lives as long as the server */
} udsb_route_t;

/* Maps a route. An exact path goes before a prefix, a longer prefix before a shorter one, an earlier mapping before a
 * later one. A known path with a wrong method is answered 405 with Allow; OPTIONS is answered 204 with Allow; the rest
 * 404. Before start. UDSB_INVALID: the sentence says which member. */
UDSB_API udsb_result_t udsb_server_map(udsb_server_t *server, const udsb_route_t *route);

/* Maps a fixed text (text/plain), the fastest answer there is. */
UDSB_API udsb_result_t udsb_server_map_text(udsb_server_t *server, const char *methods, const char *path,
                                            const char *text);

/* Maps the files below directory to the paths below prefix ("/" or "/static/"): sendfile(2), ranges, validators.
 * Nothing outside of directory is ever opened, whatever the path or a symbolic link says. */
UDSB_API udsb_result_t udsb_server_map_files(udsb_server_t *server, const char *prefix, const char *directory);

/* Maps the routes of the udsbackend program: /ux /healthz /echo /bytes/N /delay/MS /status/CODE /sse /chunked/N /upload
 * /ws /metrics. */
UDSB_API udsb_result_t udsb_server_map_builtin(udsb_server_t *server);

/* --- requests
 * --------------------------------------------------------------------------------------------------------- */

UDSB_API udsb_server_t *udsb_request_server(udsb_request_t *request);
UDSB_API const char *udsb_request_method(const udsb_request_t *request);
UDSB_API const char *udsb_request_version(const udsb_request_t *request); /* "HTTP/1.1" */
UDSB_API const char *udsb_request_target(const udsb_request_t *request);  /* as it came: "/a%20b?x=1" */
UDSB_API const char *udsb_request_path(const udsb_request_t *request);    /* decoded: "/a b"; never holds a NUL */
UDSB_API const char *udsb_request_rest(const udsb_request_t *request);    /* what the route's "*" stands for, or "" */
UDSB_API const char *udsb_request_query(const udsb_request_t *request);   /* undecoded: "x=1", or "" */
/* First field of that name, any case; NULL when there is none. */
UDSB_API const char *udsb_request_header(const udsb_request_t *request, const char *name);
/* Calls visit for each header field (trailers: for each field after a chunked body) in order, until it returns false.
 */
typedef bool udsb_header_visitor_t(void *context, const char *name, size_t name_length, const char *value,
                                   size_t value_length);
UDSB_API void udsb_request_headers(const udsb_request_t *request, bool trailers, udsb_header_visitor_t *visit,
                                   void *context);
/* The collected body; *length is its size in bytes. Valid until the answer is given. */
UDSB_API const void *udsb_request_body(const udsb_request_t *request, size_t *length);
/* The number in "name=12" of the query: true and *number, or false when it is not there. A value that is no number in
 * [minimum, maximum] is answered 400, *answered is set, and false returned. */
UDSB_API bool udsb_request_number(udsb_request_t *request, const char *name, uint64_t minimum, uint64_t maximum,
                                  uint64_t *number, bool *answered);

/* A handler's own data for one request; destroy (may be NULL) is called when the request ends, however it ends. */
UDSB_API void udsb_request_set_state(udsb_request_t *request, void *state, void (*destroy)(void *state));
UDSB_API void *udsb_request_state(const udsb_request_t *request);

/* Holds no thread: after milliseconds (0 to 86,400,000) the handler or stream source that called this is called again.
 * until_stop: also when the server stops. If the client goes away, the request ends without a further call. */
UDSB_API void udsb_request_wait(udsb_request_t *request, uint64_t milliseconds, bool until_stop);

/* --- responses
 * -------------------------------------------------------------------------------------------------------- */

/* Each returns NULL when out of memory; all functions that take a response accept that NULL, and the client gets 500.
 * type: the Content-Type, or NULL. */
UDSB_API udsb_response_t *udsb_response_copy(const char *type, const void *data, size_t length);
/* Borrows data until the response is freed. */
UDSB_API udsb_response_t *udsb_response_borrow(const char *type, const void *data, size_t length);
/* Sends length bytes of a regular file from offset on with sendfile(2). Takes the descriptor, also on failure. */
UDSB_API udsb_response_t *udsb_response_file(const char *type, int descriptor, uint64_t offset, uint64_t length);

#define UDSB_LENGTH_UNKNOWN UINT64_MAX /* chunked, or closed at the end for HTTP/1.0 */
#define UDSB_SOURCE_END     (-1)       /* the stream is complete */
#define UDSB_SOURCE_FAILED  (-2)       /* it never will be: the connection is closed */
#define UDSB_SOURCE_WAIT    (-3)       /* udsb_request_wait() was called */

/* Writes up to size bytes at position of the stream into buffer; returns how many, or one of UDSB_SOURCE_*. With
 * UDSB_LENGTH_UNKNOWN, what one call writes is one chunk. */
typedef ssize_t udsb_source_t(void *state, uint64_t position, char *buffer, size_t size);
/* A body that is made while it is sent. destroy(state) (may be NULL) is called once, also when NULL is returned. */
UDSB_API udsb_response_t *udsb_response_stream(udsb_request_t *request, const char *type, uint64_t length,
                                               udsb_source_t *source, void *state, void (*destroy)(void *state));

/* Adds a header field; false: name or value is illegal, or out of memory (the response is then unchanged). */
UDSB_API bool udsb_response_header(udsb_response_t *response, const char *name, const char *value);
/* Adds a trailer to a chunked response; false as above. */
UDSB_API bool udsb_response_trailer(udsb_response_t *response, const char *name, const char *value);
UDSB_API void udsb_response_free(udsb_response_t *response);

/* Answers with a status of 200 to 599 and frees the response. */
UDSB_API void udsb_request_answer(udsb_request_t *request, unsigned status, udsb_response_t *response);
/* Answers with a response that stays the caller's and may be given to many requests (not one of udsb_response_stream).
 */
UDSB_API void udsb_request_answer_shared(udsb_request_t *request, unsigned status, udsb_response_t *response);
/* Answers with a line of text; format as in printf(3). */
UDSB_API void udsb_request_answer_text(udsb_request_t *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- WebSockets (RFC 6455)
 * ---------------------------------------------------------------------------------------------- */

typedef enum { UDSB_WEBSOCKET_TEXT = 1, UDSB_WEBSOCKET_BINARY = 2 } udsb_websocket_kind_t;

/* Called with a whole message (text is valid UTF-8). All WebSockets of a server share one thread. */
typedef void udsb_websocket_function_t(udsb_websocket_t *websocket, udsb_websocket_kind_t kind, const void *data,
                                       size_t length, void *context);

/* Maps a path to WebSockets. message_limit: bytes of a message, a longer one closes with 1009; 0: 64 MiB. Pings,
 * closing and invalid frames (1002, 1007) are dealt with by the library. */
UDSB_API udsb_result_t udsb_server_map_websocket(udsb_server_t *server, const char *path,
                                                 udsb_websocket_function_t *message, size_t message_limit,
                                                 void *context);

/* Queues a message; reading stops while more than 1 MiB is queued. Only within udsb_websocket_function_t. false: the
 * connection is closing, or out of memory. */
UDSB_API bool udsb_websocket_send(udsb_websocket_t *websocket, udsb_websocket_kind_t kind, const void *data,
                                  size_t length);

#ifdef __cplusplus
}
#endif

#endif
