/* SPDX-License-Identifier: Apache-2.0 */
/* Opens files below a directory and nowhere else.
 * Layer: bottom. Used by udsb_files.c. */
#ifndef UDSB_PATH_H
#define UDSB_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a path for udsb_path_open of a decoded URL path: slashes at the beginning and doubled ones go, an empty path
 * becomes
 * ".". False: it has a ".." segment, or does not fit into size bytes. */
bool udsb_path_clean(char *path, size_t size, const char *from);

/* Opens path below the directory for reading: a descriptor, or -1 and errno. Symbolic links are followed as long as
 * they stay below it (openat2(2), RESOLVE_BENEATH); EXDEV: one does not. Never blocks on a FIFO. */
int udsb_path_open(int directory, const char *path);

/* The same for kernels without openat2 (before 5.6, or shut out by a sandbox): follows no symbolic link at all. */
int udsb_path_open_by_steps(int directory, const char *path);

#endif
