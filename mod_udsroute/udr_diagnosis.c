/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/udr_diagnosis.h"

#include "mod_udsroute/udr_listener.h"
#include "mod_udsroute/udr_walk.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_user.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

udr_fault_t udr_fault_of(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return UDR_FAULT_PERMISSION;
    case ENOENT:
    case ENOTDIR:
        return UDR_FAULT_ABSENT;
    case ECONNREFUSED:
        return UDR_FAULT_STALE;
    case EAGAIN:
        return UDR_FAULT_BUSY;
    default:
        return UDR_FAULT_OTHER;
    }
}

/* --- who may and who may not ----------------------------------------------------------------------------------------
 */

static const char *user_name(uid_t user, apr_pool_t *p)
{
    char *name;

    return apr_uid_name_get(&name, user, p) == APR_SUCCESS ? name : apr_psprintf(p, "%lu", (unsigned long)user);
}

static const char *group_name(gid_t group, apr_pool_t *p)
{
    char *name;

    return apr_gid_name_get(&name, group, p) == APR_SUCCESS ? name : apr_psprintf(p, "%lu", (unsigned long)group);
}

static const char *error_text(int error, apr_pool_t *p)
{
    char text[120];

    return apr_pstrdup(p, apr_strerror(error, text, sizeof(text)));
}

/* "user www-data (33)": who this process is. */
static const char *describe_me(apr_pool_t *p)
{
    return apr_psprintf(p, "user %s (%lu)", user_name(geteuid(), p), (unsigned long)geteuid());
}

/* "/run/app (owner root:root, mode 0750)" */
static const char *describe_component(const udr_walk_t *walk, apr_pool_t *p)
{
    return apr_psprintf(p, "%s (owner %s:%s, mode %04o)%s", walk->path, user_name(walk->info.st_uid, p),
                        group_name(walk->info.st_gid, p), (unsigned)walk->info.st_mode & 07777, walk->link);
}

static bool in_group(gid_t group, apr_pool_t *p)
{
    int count = getgroups(0, NULL);
    gid_t *groups = apr_palloc(p, sizeof(*groups) * (apr_size_t)(count > 0 ? count : 1));

    count = getgroups(count, groups);
    for (int i = 0; i < count; i++) {
        if (groups[i] == group) {
            return true;
        }
    }
    return getegid() == group;
}

/* systemd keeps what belongs to dynamic users in /run/private, /var/lib/private and their kin, root's and closed to all
 * others: to open those would give away every such service's files. */
static bool is_kept_by_systemd(const udr_walk_t *walk)
{
    const char *name = strrchr(walk->path, '/');

    return name && !strcmp(name, "/private") && walk->info.st_uid == 0 && (walk->info.st_mode & 07777) == 0700;
}

/* What changes a refusal. The kernel asks one class of mode bits only: the owner's, else the group's, else the others'.
 * need: S_IXOTH for a directory, S_IWOTH for a socket. */
static const char *permission_remedy(const udr_walk_t *walk, mode_t need, apr_pool_t *p)
{
    const char *path = walk->path;
    const char *group = group_name(walk->info.st_gid, p);
    const char *me = user_name(geteuid(), p);
    char letter = need == S_IXOTH ? 'x' : 'w';
    mode_t group_need = (mode_t)(need << 3);
    mode_t asked = need;
    char class = 'o';

    if (walk->info.st_uid == geteuid()) {
        class = 'u';
        asked = (mode_t)(need << 6);
    } else if (in_group(walk->info.st_gid, p)) {
        class = 'g';
        asked = group_need;
    }
    if (walk->info.st_mode & asked) {
        return apr_psprintf(p,
                            "the mode would allow it, so an access control list or a security module does not: "
                            "getfacl %s, ausearch -m avc",
                            path);
    }
    if (class != 'o') {
        return apr_psprintf(p, "chmod %c+%c %s", class, letter, path);
    }
    /* A reload is enough: each new child calls initgroups(3). Membership in root's group would give away more than this
     * path. */
    if (walk->info.st_mode & group_need && walk->info.st_gid != 0) {
        return apr_psprintf(p, "add the user to the group (usermod -aG %s %s) and reload httpd%s", group, me,
                            need == S_IXOTH ? apr_psprintf(p, ", or chmod o+x %s", path) : "");
    }
    /* "chmod o+w" would open the backend to everybody on the host. */
    if (need == S_IWOTH) {
        return apr_psprintf(p,
                            "chgrp %s %s and chmod g+w %s; for good, have the backend make it so (umask 007, "
                            "SocketGroup= and SocketMode= of its unit)",
                            group_name(getegid(), p), path, path);
    }
    if (is_kept_by_systemd(walk)) {
        return "systemd keeps files of DynamicUser= there, and others out: leave RuntimeDirectoryPreserve= (or "
               "StateDirectory=) out of the backend's unit, and have the socket in its RuntimeDirectory=";
    }
    return apr_psprintf(p, "chmod o+x %s", path);
}

static const char *file_type(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFREG:
        return "a regular file";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* --- sentences -----------------------------------------------------------------------------------------------------
 */

/* systemd's PrivateTmp gives a service a /tmp and /var/tmp of its own: the same path is another file in each. */
static const char *private_tmp_hint(const char *path)
{
    if (!strncmp(path, "/tmp/", 5) || !strncmp(path, "/var/tmp/", 9)) {
        return " (under /tmp and /var/tmp a unit with PrivateTmp= sees directories of its own: /run is a better place)";
    }
    return "";
}

static const char *explain_absent_socket(const udr_walk_t *walk, const udr_address_t *address, apr_pool_t *p)
{
    if (udr_listener_find(address, p).listening) {
        return apr_psprintf(p,
                            "%s does not exist here%s, yet a process listens under this name: either the file was "
                            "deleted (restart the backend), or the backend lives in another view of the file system "
                            "(PrivateTmp=, a chroot, a container)%s",
                            walk->path, walk->link, private_tmp_hint(address->name));
    }
    return apr_psprintf(
        p,
        "%s does not exist%s: is the backend started (systemctl status its unit), and does it listen on "
        "this path?%s",
        walk->path, walk->link, private_tmp_hint(address->name));
}

static const char *explain_finding(const udr_walk_t *walk, udr_finding_t finding, const udr_address_t *address,
                                   apr_pool_t *p)
{
    switch (finding) {
    case UDR_FINDING_NO_SOCKET:
        return explain_absent_socket(walk, address, p);
    case UDR_FINDING_NO_DIRECTORY:
        return apr_psprintf(p,
                            "directory %s does not exist%s: create it, or have it created (RuntimeDirectory= of the "
                            "backend's unit, tmpfiles.d: /run is empty after each boot), then start the backend%s",
                            walk->path, walk->link, private_tmp_hint(address->name));
    case UDR_FINDING_NOT_A_DIRECTORY:
        return apr_psprintf(p, "%s is %s, no directory%s: correct the path", walk->path, file_type(walk->info.st_mode),
                            walk->link);
    case UDR_FINDING_NOT_SEARCHABLE:
        return apr_psprintf(p, "directory %s may not be searched by %s: %s", describe_component(walk, p),
                            describe_me(p), permission_remedy(walk, S_IXOTH, p));
    case UDR_FINDING_NOT_A_SOCKET:
        return apr_psprintf(p, "%s is %s, no socket%s: correct the path, or remove it and start the backend",
                            walk->path, file_type(walk->info.st_mode), walk->link);
    case UDR_FINDING_NOT_WRITABLE:
        return apr_psprintf(p,
                            "socket %s may not be written by %s, and connect needs write permission on the socket: %s",
                            describe_component(walk, p), describe_me(p), permission_remedy(walk, S_IWOTH, p));
    case UDR_FINDING_LOOP:
        return apr_psprintf(p, "%s is one symbolic link too many, most likely in a loop%s: correct the link",
                            walk->path, walk->link);
    case UDR_FINDING_UNREADABLE:
        return apr_psprintf(p, "%s cannot be examined%s: %s", walk->path, walk->link, error_text(walk->error, p));
    case UDR_FINDING_NONE:
        break;
    }
    return NULL;
}

static const char *explain_security_module(const udr_address_t *address, apr_pool_t *p)
{
    return apr_psprintf(p,
                        "permissions allow %s to connect to %s, so a security module (SELinux, AppArmor) is likely to "
                        "refuse it: ausearch -m avc -ts recent, journalctl -k -g apparmor",
                        describe_me(p), address->text);
}

static const char *explain_busy(const udr_address_t *address, apr_pool_t *p)
{
    udr_backlog_t backlog = udr_listener_backlog(address);
    const char *figures =
        backlog.known ? apr_psprintf(p, " (current %u, maximum %u)", backlog.current, backlog.maximum) : "";

    return apr_psprintf(p,
                        "the listen backlog of %s is full%s: the backend accepts too slowly or hangs; give it more "
                        "processes or threads, or a larger backlog (net.core.somaxconn is its upper limit)",
                        address->text, figures);
}

static const char *explain_refused(const udr_address_t *address, apr_pool_t *p)
{
    udr_listener_t listener = udr_listener_find(address, p);

    if (listener.listening) {
        return apr_psprintf(
            p,
            "nothing listened on %s when it was needed, though a process listens under this name: it was just "
            "started, or its file has been replaced since (then restart the backend)",
            address->text);
    }
    if (listener.bound) {
        return apr_psprintf(p,
                            "a process holds %s but does not listen on it: it is just starting, or has stopped "
                            "accepting; look at the backend's log",
                            address->text);
    }
    if (address->kind == UDR_ADDRESS_ABSTRACT) {
        return apr_psprintf(p,
                            "nothing listens under the abstract name %s in this network namespace: start the backend; "
                            "it has to share httpd's network namespace (PrivateNetwork=, containers)",
                            address->text);
    }
    return apr_psprintf(p,
                        "%s is there, but nothing listens on it: a file left behind by a backend that has ended; "
                        "start the backend (if it finds its address in use, remove the file first)",
                        address->name);
}

static const char *explain_other_type(const udr_address_t *address, apr_pool_t *p)
{
    udr_listener_t listener = udr_listener_find(address, p);
    const char *type = listener.bound && listener.type == SOCK_DGRAM       ? "a datagram socket"
                       : listener.bound && listener.type == SOCK_SEQPACKET ? "a sequenced-packet socket"
                                                                           : "a socket of another type";

    return apr_psprintf(
        p,
        "%s is %s, no stream socket (SOCK_STREAM): is it the right one? Many programs have a control or "
        "log socket beside the one they serve on",
        address->text, type);
}

static const char *explain_descriptors(int error, apr_pool_t *p)
{
    struct rlimit limit;

    if (error == EMFILE && !getrlimit(RLIMIT_NOFILE, &limit)) {
        return apr_psprintf(p,
                            "this process has used up its %lu file descriptors: raise the limit (LimitNOFILE= of "
                            "httpd's unit, ulimit -n)",
                            (unsigned long)limit.rlim_cur);
    }
    return apr_psprintf(p, "the system is out of file descriptors or memory (%s): look at fs.file-nr and free memory",
                        error_text(error, p));
}

static const char *explain_error(const udr_address_t *address, int error, apr_pool_t *p)
{
    switch (udr_fault_of(error)) {
    case UDR_FAULT_PERMISSION:
        return explain_security_module(address, p);
    case UDR_FAULT_ABSENT:
        return apr_psprintf(p, "%s did not exist when it was needed, but does now: it was just created", address->text);
    case UDR_FAULT_STALE:
        return explain_refused(address, p);
    case UDR_FAULT_BUSY:
        return explain_busy(address, p);
    case UDR_FAULT_OTHER:
        break;
    }
    switch (error) {
    case EPROTOTYPE:
        return explain_other_type(address, p);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return explain_descriptors(error, p);
    default:
        return apr_psprintf(p, "%s cannot be connected to: %s", address->text, error_text(error, p));
    }
}

/* Names of files may hold anything, a log line may not. */
static const char *on_one_line(const char *sentence, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, sentence);

    for (char *byte = copy; *byte; byte++) {
        if (apr_iscntrl(*byte)) {
            *byte = '?';
        }
    }
    return copy;
}

const char *udr_diagnosis_explain(const udr_address_t *address, int error, apr_pool_t *p)
{
    udr_fault_t fault = udr_fault_of(error);
    const char *sentence = NULL;

    /* A path that leads to a connectable socket explains nothing, and neither does any for errors that are not about
     * it. ECONNREFUSED is about it: Linux gives it for whatever is no socket as well. */
    if (address->kind == UDR_ADDRESS_PATH && fault != UDR_FAULT_BUSY && (fault != UDR_FAULT_OTHER || error == ELOOP)) {
        udr_walk_t walk;
        udr_finding_t finding = udr_walk(&walk, address->name, p);

        sentence = explain_finding(&walk, finding, address, p);
    }
    return on_one_line(sentence ? sentence : explain_error(address, error, p), p);
}
