/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files and over the files in directories, without libFuzzer: replay file|directory … */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static size_t replayed;

__attribute__((noreturn)) static void fail(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(1);
}

static void replay_file(const char *path, size_t size)
{
    /* Exactly as long as the file, so that a sanitizer notices a read behind its end. */
    uint8_t *data = malloc(size ? size : 1);
    FILE *file = fopen(path, "rb");
    if (!data || !file || fread(data, 1, size, file) != size) {
        fail(path);
    }
    fclose(file);
    /* If the target aborts, this is the last line. */
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    replayed++;
    free(data);
}

static void replay(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fail(path);
    }
    if (!S_ISDIR(info.st_mode)) {
        replay_file(path, (size_t)info.st_size);
        return;
    }
    struct dirent **entries;
    const int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        fail(path);
    }
    for (int i = 0; i < count; i++) {
        char inside[4096];
        const int len = snprintf(inside, sizeof(inside), "%s/%s", path, entries[i]->d_name);
        if (len < 0 || (size_t)len >= sizeof(inside)) {
            errno = ENAMETOOLONG;
            fail(path);
        }
        if (entries[i]->d_name[0] != '.') {
            replay(inside);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    printf("%zu inputs replayed\n", replayed);
    return replayed ? 0 : 1; /* an empty corpus shows nothing */
}
