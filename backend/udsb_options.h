/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the udsbackend program, from its command line and its --config file. One table is the truth for both
 * and for --help. Layer: the program. */
#ifndef UDSB_OPTIONS_H
#define UDSB_OPTIONS_H

#include "backend/udsb_error.h"

typedef struct {
    char **items; /* owned */
    size_t count;
} udsb_strings_t;

/* One --map. */
typedef struct {
    char *method, *path, *text; /* owned */
} udsb_text_map_t;

typedef struct {
    udsb_strings_t sockets;       /* as given: paths and @names */
    udsb_strings_t allowed_peers; /* users */
    udsb_text_map_t *maps;
    size_t map_count;
    char *owner, *group, *root, *config; /* NULL: not given */
    unsigned mode;                       /* 0: not given */
    int backlog;                         /* 0: not given */
    unsigned threads;                    /* 0: not given */
    unsigned instances;                  /* 0: not given, one server without a number */
    uint64_t drain_ms;
    bool check, help, version;
} udsb_options_t;

/* Reads the command line and, first, the file that --config names: the command line has the last word. UDSB_OK,
 * UDSB_INVALID (error: one sentence with option, value and range, and file and line where there is one), UDSB_SYSTEM
 * (the file cannot be read) or UDSB_NO_MEMORY. The caller clears options in any case. */
udsb_result_t udsb_options_read(udsb_options_t *options, int count, char *const *arguments, udsb_error_t *error);

/* Reads one configuration file: a line is empty, a comment ("#" as its first mark), or "name value", "name=value" or
 * "name" for a switch; the dashes of the command line may be there. Used by udsb_options_read and tests. */
udsb_result_t udsb_options_read_file(udsb_options_t *options, const char *file, udsb_error_t *error);

/* Writes what --help says to stdout. */
void udsb_options_help(void);

void udsb_options_clear(udsb_options_t *options);

#endif
