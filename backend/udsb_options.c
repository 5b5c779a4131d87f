/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/udsb_options.h"
#include "backend/udsb_address.h"
#include "backend/udsb_peer.h"
#include "backend/udsb_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INSTANCES_MAXIMUM = 1000, DRAIN_MAXIMUM_MS = 86400000 };

/* --- one setter for each option: false, nothing changed, when the value is wrong
 * --------------------------------------- */

static bool add_string(udsb_strings_t *strings, const char *value)
{
    char **const items = realloc(strings->items, (strings->count + 1) * sizeof *items);
    char *const copy = strdup(value);

    if (items)
        strings->items = items;
    if (!items || !copy) {
        free(copy);
        return false;
    }
    items[strings->count++] = copy;
    return true;
}

static bool replace_string(char **string, const char *value)
{
    char *const copy = *value ? strdup(value) : NULL;

    if (!copy)
        return false;
    free(*string);
    *string = copy;
    return true;
}

static bool set_socket(udsb_options_t *options, const char *value)
{
    udsb_address_t address;

    for (size_t i = 0; i < options->sockets.count; i++) {
        if (!strcmp(options->sockets.items[i], value))
            return false;
    }
    return !udsb_address_parse(&address, value) && add_string(&options->sockets, value);
}

static bool set_mode(udsb_options_t *options, const char *value)
{
    return udsb_value_mode(&options->mode, value);
}

static bool set_owner(udsb_options_t *options, const char *value)
{
    uid_t user;

    return udsb_peer_find_user(&user, value) && replace_string(&options->owner, value);
}

static bool set_group(udsb_options_t *options, const char *value)
{
    gid_t group;

    return udsb_peer_find_group(&group, value) && replace_string(&options->group, value);
}

static bool set_number(unsigned *result, const char *value, unsigned maximum)
{
    uint64_t number;

    if (!udsb_value_number(&number, value, 1, maximum))
        return false;
    *result = (unsigned)number;
    return true;
}

static bool set_backlog(udsb_options_t *options, const char *value)
{
    unsigned backlog;

    if (!set_number(&backlog, value, 65535))
        return false;
    options->backlog = (int)backlog;
    return true;
}

static bool set_threads(udsb_options_t *options, const char *value)
{
    return set_number(&options->threads, value, 256);
}

static bool set_instances(udsb_options_t *options, const char *value)
{
    return set_number(&options->instances, value, INSTANCES_MAXIMUM);
}

/* METHOD /path=text:… ; the path ends at the first "=". */
static bool set_map(udsb_options_t *options, const char *value)
{
    const size_t method = strcspn(value, " ");
    const char *const path = value + method + (value[method] == ' ');
    const size_t path_length = strcspn(path, "=");
    const char *const text = path + path_length;
    udsb_text_map_t *maps;

    if (!method || path[0] != '/' || strncmp(text, "=text:", 6) != 0)
        return false;
    maps = realloc(options->maps, (options->map_count + 1) * sizeof *maps);
    if (!maps)
        return false;
    options->maps = maps;
    maps[options->map_count] = (udsb_text_map_t){
        .method = strndup(value, method), .path = strndup(path, path_length), .text = strdup(text + 6)};
    options->map_count++;
    return maps[options->map_count - 1].method && maps[options->map_count - 1].path &&
           maps[options->map_count - 1].text;
}

static bool set_root(udsb_options_t *options, const char *value)
{
    return replace_string(&options->root, value);
}

static bool set_config(udsb_options_t *options, const char *value)
{
    return replace_string(&options->config, value);
}

static bool set_allow_peer(udsb_options_t *options, const char *value)
{
    uid_t user;

    return udsb_peer_find_user(&user, value) && add_string(&options->allowed_peers, value);
}

static bool set_drain(udsb_options_t *options, const char *value)
{
    return udsb_value_time(&options->drain_ms, value, 0, DRAIN_MAXIMUM_MS);
}

static bool set_check(udsb_options_t *options, const char *value)
{
    (void)value;
    return options->check = true;
}

static bool set_version(udsb_options_t *options, const char *value)
{
    (void)value;
    return options->version = true;
}

static bool set_help(udsb_options_t *options, const char *value)
{
    (void)value;
    return options->help = true;
}

/* --- the table
 * -------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    const char *value; /* what it is called in --help; NULL: a switch */
    const char *range; /* "… is not <range>" */
    const char *help;
    bool (*set)(udsb_options_t *options, const char *value);
    bool is_for_command_line; /* makes no sense in a file */
} option_t;

static const option_t table[] = {
    {.name = "socket",
     .value = "PATH|@NAME",
     .range = "a new socket path of 1 to 107 bytes, or @ and a name of 1 to 107 bytes",
     .help = "listen on this path or abstract name; can be given again for another",
     .set = set_socket},
    {.name = "mode",
     .value = "MODE",
     .range = "an octal mode from 1 to 0777",
     .help = "permissions of the socket file; connecting needs write permission (0660)",
     .set = set_mode},
    {.name = "owner", .value = "USER", .range = "a user", .help = "owner of the socket file", .set = set_owner},
    {.name = "group", .value = "GROUP", .range = "a group", .help = "group of the socket file", .set = set_group},
    {.name = "backlog",
     .value = "N",
     .range = "a number from 1 to 65535",
     .help = "connections that may wait to be accepted (4096; the kernel's somaxconn caps it)",
     .set = set_backlog},
    {.name = "threads",
     .value = "N",
     .range = "a number from 1 to 256",
     .help = "threads that answer requests (one for each CPU)",
     .set = set_threads},
    {.name = "instances",
     .value = "N",
     .range = "a number from 1 to 1000",
     .help = "run N processes, on PATH with -1 to -N before its suffix; one that dies is restarted",
     .set = set_instances},
    {.name = "map",
     .value = "'METHOD /PATH=text:TEXT'",
     .range = "a method, a space, a path that begins with /, then =text: and the text",
     .help = "answer this request with a text; can be given again for another",
     .set = set_map},
    {.name = "root",
     .value = "DIR",
     .range = "a directory",
     .help = "serve the files below this directory where no other route matches",
     .set = set_root},
    {.name = "allow-peer",
     .value = "USER",
     .range = "a user",
     .help = "only processes of this user may connect; can be given again for another",
     .set = set_allow_peer},
    {.name = "drain",
     .value = "TIME",
     .range = "a time from 0 to 24h (a number with ms, s, min or h; without a unit: seconds)",
     .help = "when told to stop, answer 503 on /healthz for this long before (0)",
     .set = set_drain},
    {.name = "config",
     .value = "FILE",
     .range = "a file",
     .help = "read options from a file, one a line, without dashes; # begins a comment line",
     .set = set_config,
     .is_for_command_line = true},
    {.name = "check",
     .help = "examine the options and what is at the socket paths, then exit",
     .set = set_check,
     .is_for_command_line = true},
    {.name = "version", .help = "show the version, then exit", .set = set_version, .is_for_command_line = true},
    {.name = "help", .help = "show this, then exit", .set = set_help, .is_for_command_line = true},
};

static const option_t *find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strlen(table[i].name) == length && !memcmp(table[i].name, name, length))
            return &table[i];
    }
    return NULL;
}

void udsb_options_help(void)
{
    printf("usage: udsbackend --socket PATH|@NAME [option]...\n\n"
           "A small HTTP server on Unix domain sockets. Options, with their defaults in parentheses:\n\n");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *const value = table[i].value ? table[i].value : "";
        char left[48];

        snprintf(left, sizeof left, "--%s%s%s", table[i].name, *value ? " " : "", value);
        if (strlen(left) > 22)
            printf("  %s\n  %-22s  %s\n", left, "", table[i].help);
        else
            printf("  %-22s  %s\n", left, table[i].help);
    }
    printf(
        "\nRoutes: /ux /healthz /echo /bytes/N /delay/MS /status/CODE /sse /chunked/N /upload /ws /metrics\n"
        "Signals: SIGTERM, SIGINT and SIGHUP drain and stop; a second one ends the drain, a third one all requests.\n"
        "Exit status: 0 stopped as told, 1 failure, 2 wrong usage.\n");
}

/* Sets an option; where: "" or "file:line: ". */
static udsb_result_t set_option(udsb_options_t *options, const option_t *option, const char *value, const char *where,
                                udsb_error_t *error)
{
    const char *const dashes = *where ? "" : "--";
    udsb_address_t address;
    const char *wrong;

    if (option->value && !value)
        return udsb_error_set(error, UDSB_INVALID, "%s%s%s needs a value: %s", where, dashes, option->name,
                              option->value);
    if (!option->value && value)
        return udsb_error_set(error, UDSB_INVALID, "%s%s%s takes no value, but \"%s\" was given", where, dashes,
                              option->name, value);
    if (option->set(options, value))
        return UDSB_OK;
    wrong = option->set == set_socket ? udsb_address_parse(&address, value) : NULL;
    if (wrong) /* say which of the rules it is */
        return udsb_error_set(error, UDSB_INVALID, "%s%s%s \"%s\" %s", where, dashes, option->name, value, wrong);
    return udsb_error_set(error, UDSB_INVALID, "%s%s%s \"%s\" is not %s", where, dashes, option->name, value,
                          option->range);
}

/* --- files ----------------------------------------------------------------------------------------------------------
 */

static udsb_result_t read_line(udsb_options_t *options, char *line, const char *where, udsb_error_t *error)
{
    char *name = line + strspn(line, " \t");
    char *end = line + strlen(line);
    char *value;
    size_t length;

    while (end > name && strchr(" \t\r\n", end[-1]))
        *--end = '\0';
    if (!*name || *name == '#')
        return UDSB_OK;
    if (!strncmp(name, "--", 2))
        name += 2;
    length = strcspn(name, " \t=");
    value = name + length + strspn(name + length, " \t");
    if (*value == '=')
        value += 1 + strspn(value + 1, " \t");

    const option_t *const option = find(name, length);
    if (!option)
        return udsb_error_set(error, UDSB_INVALID, "%sthere is no option \"%.*s\"", where, (int)length, name);
    if (option->is_for_command_line)
        return udsb_error_set(error, UDSB_INVALID, "%s%s belongs on the command line", where, option->name);
    return set_option(options, option, *value ? value : NULL, where, error);
}

udsb_result_t udsb_options_read_file(udsb_options_t *options, const char *file, udsb_error_t *error)
{
    FILE *const stream = fopen(file, "re");
    udsb_result_t result = UDSB_OK;
    char *line = NULL;
    size_t capacity = 0;
    unsigned number = 0;
    ssize_t length;

    if (!stream)
        return udsb_error_system(error, "cannot read the configuration file %s", file);
    errno = 0;
    while (!result && (length = getline(&line, &capacity, stream)) >= 0) {
        char where[256];

        snprintf(where, sizeof where, "%s:%u: ", file, ++number);
        if (strlen(line) != (size_t)length)
            result = udsb_error_set(error, UDSB_INVALID, "%sthere is a NUL byte in this line", where);
        else
            result = read_line(options, line, where, error);
    }
    if (!result && ferror(stream)) /* a directory, for example, can be opened but not read */
        result = udsb_error_system(error, "cannot read the configuration file %s", file);
    free(line);
    fclose(stream);
    return result;
}

/* --- command line ---------------------------------------------------------------------------------------------------
 */

/* Reads all arguments; with only, the options of that name are set and no others. */
static udsb_result_t read_arguments(udsb_options_t *options, int count, char *const *arguments, const char *only,
                                    udsb_error_t *error)
{
    for (int i = 1; i < count; i++) {
        const char *const argument = arguments[i];
        const char *value = NULL;
        udsb_result_t result;

        if (strncmp(argument, "--", 2) != 0)
            return udsb_error_set(error, UDSB_INVALID, "\"%s\" is not an option; options begin with --", argument);
        const size_t length = strcspn(argument + 2, "=");
        const option_t *const option = find(argument + 2, length);
        if (!option)
            return udsb_error_set(error, UDSB_INVALID, "there is no option --%.*s", (int)length, argument + 2);
        if (argument[2 + length])
            value = argument + 2 + length + 1;
        else if (option->value && i + 1 < count && strncmp(arguments[i + 1], "--", 2) != 0)
            value = arguments[++i];
        if (only && strcmp(only, option->name) != 0)
            continue;
        result = set_option(options, option, value, "", error);
        if (result)
            return result;
    }
    return UDSB_OK;
}

udsb_result_t udsb_options_read(udsb_options_t *options, int count, char *const *arguments, udsb_error_t *error)
{
    udsb_result_t result = read_arguments(options, count, arguments, "config", error);

    if (!result && options->config)
        result = udsb_options_read_file(options, options->config, error);
    return result ? result : read_arguments(options, count, arguments, NULL, error);
}

static void clear_strings(udsb_strings_t *strings)
{
    while (strings->count)
        free(strings->items[--strings->count]);
    free(strings->items);
}

void udsb_options_clear(udsb_options_t *options)
{
    clear_strings(&options->sockets);
    clear_strings(&options->allowed_peers);
    while (options->map_count) {
        const udsb_text_map_t *const map = &options->maps[--options->map_count];

        free(map->method);
        free(map->path);
        free(map->text);
    }
    free(options->maps);
    free(options->owner);
    free(options->group);
    free(options->root);
    free(options->config);
    *options = (udsb_options_t){0};
}
