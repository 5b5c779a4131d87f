/* SPDX-License-Identifier: Apache-2.0 */
/* Everything here is real: directories, links, sockets, and where connect(2) can be brought to fail, its errno. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mod_udsroute/udr_diagnosis.h"
#include "mod_udsroute/udr_listener.h"
#include "tests/unit/fixture_words.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define NOBODY        65534

static const char *directory; /* a new one for each test */

static int make_directory(void **state)
{
    char *name;

    if (make_pool(state)) {
        return -1;
    }
    directory = name = apr_pstrdup(pool, "/tmp/udr-diagnosis-XXXXXX");
    return mkdtemp(name) && !chmod(name, 0755) ? 0 : -1;
}

static int remove_file(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int drop_directory(void **state)
{
    if (nftw(directory, remove_file, 8, FTW_DEPTH | FTW_PHYS)) {
        return -1;
    }
    return drop_pool(state);
}

/* --- the scenery --- */

static const char *in_directory(const char *name)
{
    return apr_pstrcat(pool, directory, "/", name, NULL);
}

static const udr_address_t *address_of(const char *path)
{
    const udr_address_t *address = NULL;
    const char *error = udr_address_parse(&address, apr_pstrcat(pool, "unix:", path, NULL), "/run", pool);

    if (error) {
        fail_msg("%s", error);
    }
    return address;
}

static int bind_socket(const udr_address_t *address, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa;
    socklen_t len = udr_address_sockaddr(address, &sa);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

static int listen_on(const udr_address_t *address, int backlog)
{
    int fd = bind_socket(address, SOCK_STREAM);

    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);

    assert_true(fd >= 0);
    close(fd);
}

/* Connects without waiting. Returns the descriptor, or -1 and errno. */
static int connect_to(const udr_address_t *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa;
    socklen_t len = udr_address_sockaddr(address, &sa);
    int error;

    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len)) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* --- asking --- */

/* The lowest that is free: a higher one afterwards means that one was left open. */
static int next_descriptor(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

static const char *explain(const udr_address_t *address, int error)
{
    int descriptor = next_descriptor();
    const char *sentence = udr_diagnosis_explain(address, error, pool);

    assert_int_equal(next_descriptor(), descriptor);
    assert_non_null(sentence);
    assert_null(strpbrk(sentence, "\r\n"));
    return sentence;
}

/* What is said when connect(2) fails, as it has to, with `error`. */
static const char *explain_failure(const udr_address_t *address, int error)
{
    int fd = connect_to(address);

    assert_int_equal(fd, -1);
    assert_int_equal(errno, error);
    return explain(address, error);
}

static void become_nobody(void)
{
    if (geteuid() == 0 &&
        (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))) {
        _exit(1);
    }
}

static void use_up_descriptors(void)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    if (setrlimit(RLIMIT_NOFILE, &none)) {
        _exit(1);
    }
}

/* Explains in a child process, after prepare(). given: the errno; 0: connect(2) has to give `expected` there. */
static const char *explain_apart(void (*prepare)(void), const udr_address_t *address, int given, int expected)
{
    char sentence[4096];
    ssize_t len = 0;
    ssize_t got;
    int pipe_ends[2];
    int status;
    pid_t child;

    assert_int_equal(pipe(pipe_ends), 0);
    child = fork();
    if (child == 0) {
        const char *text;

        prepare();
        if (!given) {
            given = connect_to(address) < 0 ? errno : 0;
        }
        text = given == expected ? udr_diagnosis_explain(address, given, pool) : strerror(given);
        _exit(write(pipe_ends[1], text, strlen(text)) != (ssize_t)strlen(text));
    }
    assert_true(child > 0);
    close(pipe_ends[1]);
    while ((got = read(pipe_ends[0], sentence + len, sizeof(sentence) - 1 - (size_t)len)) > 0) {
        len += got;
    }
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sentence[len] = '\0';
    return apr_pstrdup(pool, sentence);
}

static const char *explain_as_nobody(const udr_address_t *address)
{
    return explain_apart(become_nobody, address, 0, EACCES);
}

static void assert_says_not(const char *sentence, const char *part)
{
    if (strstr(sentence, part)) {
        fail_msg("\"%s\" says \"%s\"", sentence, part);
    }
}

#define text(...) apr_psprintf(pool, __VA_ARGS__)

/* --- which kind of failure --- */

static void sorts_errors_into_faults(void **state)
{
    (void)state;
    assert_int_equal(udr_fault_of(EACCES), UDR_FAULT_PERMISSION);
    assert_int_equal(udr_fault_of(EPERM), UDR_FAULT_PERMISSION);
    assert_int_equal(udr_fault_of(ENOENT), UDR_FAULT_ABSENT);
    assert_int_equal(udr_fault_of(ENOTDIR), UDR_FAULT_ABSENT);
    assert_int_equal(udr_fault_of(ECONNREFUSED), UDR_FAULT_STALE);
    assert_int_equal(udr_fault_of(EAGAIN), UDR_FAULT_BUSY);
    assert_int_equal(udr_fault_of(EPROTOTYPE), UDR_FAULT_OTHER);
    assert_int_equal(udr_fault_of(EMFILE), UDR_FAULT_OTHER);
    assert_int_equal(udr_fault_of(ETIMEDOUT), UDR_FAULT_OTHER);
}

/* --- absent --- */

static void tells_that_the_socket_does_not_exist(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));

    (void)state;
    assert_string_equal(explain_failure(address, ENOENT),
                        text("%s/a.sock does not exist: is the backend started (systemctl status its unit), and does "
                             "it listen on this path? (under /tmp and /var/tmp a unit with PrivateTmp= sees "
                             "directories of its own: /run is a better place)",
                             directory));
}

static void hints_at_private_tmp_only_under_tmp(void **state)
{
    (void)state;
    assert_says(explain(address_of("/var/tmp/udr-absent.sock"), ENOENT), "PrivateTmp=");
    assert_says(explain(address_of("/tmp/udr-absent/a.sock"), ENOENT), "PrivateTmp=");
    assert_says_not(explain_failure(address_of("/udr-absent.sock"), ENOENT), "PrivateTmp=");
    assert_says_not(explain_failure(address_of("/tmp-udr-absent/a.sock"), ENOENT), "PrivateTmp=");
}

static void tells_that_a_directory_does_not_exist(void **state)
{
    (void)state;
    assert_says(explain_failure(address_of(in_directory("x/y/a.sock")), ENOENT),
                text("directory %s/x does not exist: create it, or have it created (RuntimeDirectory=", directory));
    assert_says(explain_failure(address_of("/udr-absent/a.sock"), ENOENT), "directory /udr-absent does not exist: ");
}

static void tells_that_a_component_is_no_directory(void **state)
{
    (void)state;
    make_file(in_directory("file"));
    assert_string_equal(explain_failure(address_of(in_directory("file/a.sock")), ENOTDIR),
                        text("%s/file is a regular file, no directory: correct the path", directory));
}

static void tells_that_the_file_has_come_since(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    int listener = listen_on(address, 1);

    (void)state;
    assert_string_equal(
        explain(address, ENOENT),
        text("unix:%s/a.sock did not exist when it was needed, but does now: it was just created", directory));
    close(listener);
}

static void tells_that_a_process_listens_though_its_file_is_gone(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    int listener = listen_on(address, 1);

    (void)state;
    assert_int_equal(unlink(address->name), 0);
    assert_says(
        explain_failure(address, ENOENT),
        text("%s/a.sock does not exist here, yet a process listens under this name: either the file was deleted "
             "(restart the backend), or the backend lives in another view of the file system",
             directory));
    close(listener);
    assert_says(explain_failure(address, ENOENT), "is the backend started");
}

/* --- symbolic links --- */

static void follows_links_to_the_component_at_fault(void **state)
{
    const char *to_target;

    (void)state;
    assert_int_equal(mkdir(in_directory("real"), 0755), 0);
    assert_int_equal(mkdir(in_directory("other"), 0755), 0);
    assert_int_equal(symlink(in_directory("gone.sock"), in_directory("absolute")), 0);
    assert_int_equal(symlink("../real/./gone.sock", in_directory("other/relative")), 0);
    assert_int_equal(symlink("real/", in_directory("to-directory")), 0);
    assert_int_equal(symlink("real", in_directory("plain")), 0);
    assert_int_equal(symlink("nowhere/deeper", in_directory("to-nowhere")), 0);

    to_target = text("%s/gone.sock does not exist (by way of the symbolic link %s/absolute to %s/gone.sock): is the "
                     "backend started",
                     directory, directory, directory);
    assert_says(explain_failure(address_of(in_directory("absolute")), ENOENT), to_target);
    assert_says(explain_failure(address_of(in_directory("other/relative")), ENOENT),
                text("%s/real/gone.sock does not exist (by way of the symbolic link %s/other/relative to "
                     "../real/./gone.sock): ",
                     directory, directory));
    assert_says(explain_failure(address_of(in_directory("to-directory/a.sock")), ENOENT),
                text("%s/real/a.sock does not exist (by way of the symbolic link %s/to-directory to real/): ",
                     directory, directory));
    assert_says(explain_failure(address_of(in_directory("plain/a.sock")), ENOENT),
                text("%s/real/a.sock does not exist (by way of ", directory));
    assert_says(
        explain_failure(address_of(in_directory("to-nowhere/a.sock")), ENOENT),
        text("directory %s/nowhere does not exist (by way of the symbolic link %s/to-nowhere", directory, directory));
}

static void tells_of_a_loop_of_links(void **state)
{
    (void)state;
    assert_int_equal(symlink("b", in_directory("a")), 0);
    assert_int_equal(symlink("a", in_directory("b")), 0);
    assert_says(
        explain_failure(address_of(in_directory("a")), ELOOP),
        text("%s/a is one symbolic link too many, most likely in a loop (by way of the symbolic link %s/b to a)",
             directory, directory));
}

static void follows_as_many_links_as_the_kernel(void **state)
{
    (void)state;
    for (int i = 0; i <= 40; i++) {
        assert_int_equal(symlink(i ? text("link-%d", i - 1) : "gone.sock", in_directory(text("link-%d", i))), 0);
    }
    assert_says(explain_failure(address_of(in_directory("link-39")), ENOENT), "/gone.sock does not exist");
    assert_says(explain_failure(address_of(in_directory("link-40")), ELOOP), "/link-0 is one symbolic link too many");
}

static void puts_odd_names_on_one_line(void **state)
{
    (void)state;
    assert_int_equal(symlink("x\ny\x1b", in_directory("a")), 0);
    assert_says(explain_failure(address_of(in_directory("a")), ENOENT), text("%s/x?y? does not exist", directory));
}

/* --- no socket --- */

static void tells_what_is_there_instead_of_a_socket(void **state)
{
    (void)state;
    make_file(in_directory("file"));
    assert_int_equal(mkfifo(in_directory("pipe"), 0666), 0);
    assert_int_equal(symlink("/", in_directory("root")), 0);
    assert_int_equal(symlink("file", in_directory("link")), 0);

    assert_string_equal(explain_failure(address_of(in_directory("file")), ECONNREFUSED),
                        text("%s/file is a regular file, no socket: correct the path, or remove it and start the "
                             "backend",
                             directory));
    assert_says(explain_failure(address_of(directory), ECONNREFUSED), text("%s is a directory, no socket", directory));
    assert_says(explain_failure(address_of(in_directory("pipe")), ECONNREFUSED), "/pipe is a pipe, no socket");
    assert_says(explain_failure(address_of("/dev/null"), ECONNREFUSED), "/dev/null is a device, no socket");
    assert_says(explain_failure(address_of(in_directory("link")), ECONNREFUSED),
                text("%s/file is a regular file, no socket (by way of the symbolic link %s/link to file)", directory,
                     directory));
    /* To a user who may not write there, connect(2) says EACCES; what is wrong is the same. */
    assert_int_equal(chmod(in_directory("file"), 0444), 0);
    assert_says(explain_as_nobody(address_of(in_directory("file"))), "/file is a regular file, no socket");
    assert_says(explain(address_of(in_directory("root")), EACCES), "/ is a directory, no socket (by way of");
}

static void tells_a_socket_of_another_type(void **state)
{
    const udr_address_t *datagram = address_of(in_directory("datagram.sock"));
    const udr_address_t *packets = address_of(in_directory("packets.sock"));
    int first = bind_socket(datagram, SOCK_DGRAM);
    int second = bind_socket(packets, SOCK_SEQPACKET);

    (void)state;
    assert_int_equal(listen(second, 1), 0);
    assert_says(explain_failure(datagram, EPROTOTYPE),
                text("unix:%s/datagram.sock is a datagram socket, no stream socket (SOCK_STREAM)", directory));
    assert_says(explain_failure(packets, EPROTOTYPE), "packets.sock is a sequenced-packet socket, no stream socket");
    close(first);
    close(second);
    assert_says(explain(datagram, EPROTOTYPE), "is a socket of another type, no stream socket");
}

/* --- stale --- */

static void tells_a_file_left_behind(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));

    (void)state;
    close(listen_on(address, 1));
    assert_string_equal(explain_failure(address, ECONNREFUSED),
                        text("%s/a.sock is there, but nothing listens on it: a file left behind by a backend that has "
                             "ended; start the backend (if it finds its address in use, remove the file first)",
                             directory));
}

/* The connections a listener has accepted bear its name, and may outlive it. */
static void does_not_take_an_old_connection_for_a_listener(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    int listener = listen_on(address, 1);
    int client = connect_to(address);
    int server = accept(listener, NULL, NULL);

    (void)state;
    assert_true(client >= 0 && server >= 0);
    close(listener);
    assert_says(explain_failure(address, ECONNREFUSED), "is there, but nothing listens on it: a file left behind");
    close(client);
    close(server);
}

static void tells_a_socket_that_does_not_listen_yet(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    int fd = bind_socket(address, SOCK_STREAM);

    (void)state;
    assert_says(explain_failure(address, ECONNREFUSED),
                text("a process holds unix:%s/a.sock but does not listen on it", directory));
    assert_int_equal(listen(fd, 1), 0);
    assert_says(explain(address, ECONNREFUSED),
                text("nothing listened on unix:%s/a.sock when it was needed, though a process listens under this name: "
                     "it was just started",
                     directory));
    close(fd);
}

/* --- abstract names --- */

static void explains_abstract_names(void **state)
{
    const udr_address_t *address = address_of(text("@udr-diagnosis-%ld", (long)getpid()));
    int fd;

    (void)state;
    assert_string_equal(explain_failure(address, ECONNREFUSED),
                        text("nothing listens under the abstract name %s in this network namespace: start the "
                             "backend; it has to share httpd's network namespace (PrivateNetwork=, containers)",
                             address->text));
    fd = bind_socket(address, SOCK_STREAM);
    assert_says(explain_failure(address, ECONNREFUSED), "but does not listen on it");
    close(fd);
    assert_says(explain(address, EACCES), text("to connect to %s, so a security module", address->text));
}

/* --- busy --- */

/* Fills the backlog of a listener that never accepts. Returns how many connections that took; their descriptors go to
 * `fds`, which has to have room for one more than the backlog. */
static unsigned fill(const udr_address_t *address, int *fds)
{
    unsigned count = 0;

    while ((fds[count] = connect_to(address)) >= 0) {
        count++;
    }
    assert_int_equal(errno, EAGAIN);
    return count;
}

static void drain(const int *fds, unsigned count)
{
    while (count > 0) {
        close(fds[--count]);
    }
}

static void tells_the_figures_of_a_full_backlog(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    const udr_address_t *roomy = address_of(in_directory("roomy.sock"));
    int other = listen_on(roomy, 50);
    int listener = listen_on(address, 3);
    int fds[8];
    unsigned count = fill(address, fds);
    int link = connect_to(roomy);

    (void)state;
    assert_true(link >= 0);
    assert_string_equal(
        explain_failure(address, EAGAIN),
        text("the listen backlog of unix:%s/a.sock is full (current %u, maximum 3): the backend accepts "
             "too slowly or hangs; give it more processes or threads, or a larger backlog "
             "(net.core.somaxconn is its upper limit)",
             directory, count));
    drain(fds, count);
    close(link);
    close(listener);
    close(other);
}

/* As the status asks: each has its own, in the order of the addresses. */
static void tells_of_several_backlogs_at_once(void **state)
{
    const udr_address_t *addresses[] = {address_of(in_directory("a.sock")), address_of(in_directory("absent.sock")),
                                        address_of(text("@udr-several-%d", (int)getpid())),
                                        address_of(in_directory("a.sock"))};
    udr_backlog_t backlogs[4];
    int first = listen_on(addresses[0], 3);
    int third = listen_on(addresses[2], 5);
    int link = connect_to(addresses[0]);

    (void)state;
    udr_listener_backlogs(addresses, backlogs, 4, pool);
    assert_true(backlogs[0].known && backlogs[0].current == 1 && backlogs[0].maximum == 3);
    assert_false(backlogs[1].known);
    assert_true(backlogs[2].known && backlogs[2].current == 0 && backlogs[2].maximum == 5);
    assert_true(backlogs[3].known && backlogs[3].current == 1);
    close(link);
    close(first);
    close(third);
}

/* Bound under one name, reached under another: it is the file that counts. */
static void knows_the_listener_by_its_file(void **state)
{
    const udr_address_t *address = address_of(in_directory("link/a.sock"));
    int older[30];
    int listener;
    int fds[8];
    unsigned count;

    (void)state;
    assert_int_equal(mkdir(in_directory("real"), 0755), 0);
    assert_int_equal(symlink("real", in_directory("link")), 0);
    /* Listeners under the very name, whose file is gone: many, so that the kernel lists some before the one. */
    for (size_t i = 0; i < LENGTH(older); i++) {
        older[i] = listen_on(address, 40);
        assert_int_equal(unlink(address->name), 0);
    }
    listener = listen_on(address_of(in_directory("real/a.sock")), 2);
    count = fill(address, fds);
    assert_says(explain_failure(address, EAGAIN), text("is full (current %u, maximum 2)", count));
    drain(fds, count);
    close(listener);
    drain(older, LENGTH(older));
}

static void falls_back_to_the_name_where_no_file_is_found(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    int listener = listen_on(address, 2);
    int fds[8];
    unsigned count = fill(address, fds);

    (void)state;
    assert_int_equal(unlink(address->name), 0);
    assert_says(explain(address, EAGAIN), text("is full (current %u, maximum 2)", count));
    assert_says(explain(address_of(in_directory("a.soc")), EAGAIN), "a.soc is full: ");
    drain(fds, count);
    close(listener);
}

static void tells_the_figures_of_an_abstract_name(void **state)
{
    const udr_address_t *address = address_of(text("@udr-diagnosis-%ld", (long)getpid()));
    const udr_address_t *longer = address_of(text("@udr-diagnosis-%ld-longer", (long)getpid()));
    int other = listen_on(longer, 60);
    int listener = listen_on(address, 1);
    int fds[8];
    unsigned count = fill(address, fds);

    (void)state;
    assert_says(explain_failure(address, EAGAIN),
                text("the listen backlog of %s is full (current %u, maximum 1)", address->text, count));
    drain(fds, count);
    close(listener);
    assert_says(explain(address, EAGAIN), text("%s is full: ", address->text));
    close(other);
}

static void finds_one_listener_among_many(void **state)
{
    int others[300];
    int listener;
    int fds[8];
    unsigned count;

    (void)state;
    /* More than one datagram of answers from the kernel. */
    for (size_t i = 0; i < LENGTH(others); i++) {
        others[i] = listen_on(address_of(text("%s/crowd-%u.sock", directory, (unsigned)i)), 70);
    }
    listener = listen_on(address_of(in_directory("a.sock")), 4);
    count = fill(address_of(in_directory("a.sock")), fds);
    assert_says(explain(address_of(in_directory("a.sock")), EAGAIN), text("(current %u, maximum 4)", count));
    assert_says(explain(address_of(in_directory("crowd-0.sock")), EAGAIN), "(current 0, maximum 70)");
    assert_says(explain(address_of(in_directory("crowd-299.sock")), EAGAIN), "(current 0, maximum 70)");
    drain(fds, count);
    close(listener);
    drain(others, LENGTH(others));
}

static void leaves_the_figures_out_where_the_kernel_does_not_tell(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    int listener = listen_on(address, 1);

    (void)state;
    assert_says(explain_apart(use_up_descriptors, address, EAGAIN, EAGAIN),
                text("the listen backlog of unix:%s/a.sock is full: the backend accepts", directory));
    close(listener);
    assert_says(explain(address, EAGAIN), "is full: the backend accepts");
}

/* --- permission --- */

static const char *user_name(uid_t user)
{
    const struct passwd *entry = getpwuid(user);

    return entry ? apr_pstrdup(pool, entry->pw_name) : text("%u", user);
}

static const char *group_name(gid_t group)
{
    const struct group *entry = getgrgid(group);

    return entry ? apr_pstrdup(pool, entry->gr_name) : text("%u", group);
}

/* As explain_as_nobody() is: that user, or who runs the tests. */
static const char *me(void)
{
    uid_t user = geteuid() == 0 ? NOBODY : geteuid();

    return text("user %s (%u)", user_name(user), user);
}

static const char *owner_and_mode(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return text("owner %s:%s, mode %04o", user_name(info.st_uid), group_name(info.st_gid), info.st_mode & 07777U);
}

#define OTHER_GROUP 8 /* neither root's nor nobody's */

/* Permissions that keep nobody out. In which class that user is decides what is advised. */
typedef struct lock_t {
    mode_t mode;
    uid_t user;
    gid_t group;
    const char *remedy;
} lock_t;

/* Locks a file in each way that is at hand and checks the sentence. Who is not root can shut out himself only. */
static void assert_locks_are_named(const lock_t *locks, size_t count, const char *path, const udr_address_t *address,
                                   const char *verb)
{
    for (size_t i = 0; i < count; i++) {
        const lock_t *lock = &locks[i];
        const char *sentence;

        if (geteuid() == 0) {
            assert_int_equal(chown(path, lock->user, lock->group), 0);
        }
        assert_int_equal(chmod(path, lock->mode), 0);
        sentence = explain_as_nobody(address);
        assert_says(sentence, text("%s (%s) may not be %s by %s", path, owner_and_mode(path), verb, me()));
        assert_says(sentence, lock->remedy);
    }
}

static void names_the_directory_that_may_not_be_searched(void **state)
{
    const char *locked = in_directory("locked");
    const udr_address_t *address = address_of(in_directory("locked/inner/a.sock"));
    const lock_t locks[] = {
        {.mode = 0611, .user = NOBODY, .group = 0, .remedy = text(": chmod u+x %s", locked)},
        {.mode = 0701, .user = 0, .group = NOBODY, .remedy = text(": chmod g+x %s", locked)},
        {.mode = 0700, .user = 0, .group = 0, .remedy = text(": chmod o+x %s", locked)},
        {.mode = 02750, .user = 0, .group = 0, .remedy = text(": chmod o+x %s", locked)},
        {.mode = 0750,
         .user = 0,
         .group = OTHER_GROUP,
         .remedy = text(": add the user to the group (usermod -aG %s %s) and reload httpd, or chmod o+x %s",
                        group_name(OTHER_GROUP), user_name(NOBODY), locked)},
    };
    int listener;

    (void)state;
    assert_int_equal(mkdir(locked, 0755), 0);
    assert_int_equal(mkdir(in_directory("locked/inner"), 0755), 0);
    listener = listen_on(address, 1);
    assert_int_equal(chmod(address->name, 0666), 0);
    assert_locks_are_named(locks, geteuid() == 0 ? LENGTH(locks) : 1, locked, address, "searched");
    assert_int_equal(chmod(locked, 0755), 0);
    close(listener);
}

/* What a unit with DynamicUser= and RuntimeDirectoryPreserve= makes: /run/app is a link to private/app. */
static void does_not_advise_to_open_what_systemd_closes(void **state)
{
    const char *private = in_directory("private");
    const udr_address_t *address = address_of(in_directory("private/app/a.sock"));
    const char *sentence;

    (void)state;
    assert_int_equal(mkdir(private, 0755), 0);
    assert_int_equal(mkdir(in_directory("private/app"), 0755), 0);
    close(listen_on(address, 1));
    assert_int_equal(symlink("private/app", in_directory("run-app")), 0);
    assert_int_equal(chmod(private, geteuid() == 0 ? 0700 : 0), 0);
    sentence = explain_as_nobody(address_of(in_directory("run-app/a.sock")));
    if (geteuid() == 0) {
        assert_says(sentence, ": systemd keeps files of DynamicUser= there, and others out: leave "
                              "RuntimeDirectoryPreserve= (or StateDirectory=) out of the backend's unit");
        assert_null(strstr(sentence, "chmod"));
        assert_int_equal(chmod(private, 0710), 0);
        sentence = explain_as_nobody(address);
        assert_says(sentence, text(": chmod o+x %s", private));
    } else {
        assert_says(sentence, text(": chmod u+x %s", private));
    }
    assert_int_equal(chmod(private, 0755), 0);
}

/* A directory that the configured path does not name: another one, behind a link. */
static void names_a_directory_behind_a_link(void **state)
{
    const char *locked = in_directory("locked");

    (void)state;
    assert_int_equal(mkdir(locked, 0755), 0);
    close(listen_on(address_of(in_directory("locked/a.sock")), 1));
    assert_int_equal(symlink("locked/a.sock", in_directory("link")), 0);
    assert_int_equal(chmod(locked, 0), 0);
    assert_says(explain_as_nobody(address_of(in_directory("link"))),
                text("directory %s (%s) (by way of the symbolic link %s/link to locked/a.sock) may not be searched by ",
                     locked, owner_and_mode(locked), directory));
    assert_int_equal(chmod(locked, 0755), 0);
}

static void names_the_socket_that_may_not_be_written(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    const char *name = address->name;
    const char *to_own_group = text(": chgrp %s %s and chmod g+w %s; for good, ", group_name(NOBODY), name, name);
    const lock_t locks[] = {
        {.mode = 0575, .user = NOBODY, .group = 0, .remedy = text(": chmod u+w %s", name)},
        {.mode = 0757, .user = 0, .group = NOBODY, .remedy = text(": chmod g+w %s", name)},
        {.mode = 0755, .user = 0, .group = 0, .remedy = to_own_group},
        {.mode = 0775, .user = 0, .group = 0, .remedy = to_own_group},
        {.mode = 0755, .user = 0, .group = OTHER_GROUP, .remedy = to_own_group},
        {.mode = 0664,
         .user = 0,
         .group = OTHER_GROUP,
         .remedy = text(": add the user to the group (usermod -aG %s %s) and reload httpd", group_name(OTHER_GROUP),
                        user_name(NOBODY))},
    };
    int listener = listen_on(address, 1);

    (void)state;
    assert_locks_are_named(locks, geteuid() == 0 ? LENGTH(locks) : 1, name, address, "written");
    assert_says(explain_as_nobody(address), text("socket %s (", name));
    assert_says(explain_as_nobody(address), "and connect needs write permission on the socket: ");
    assert_says_not(explain_as_nobody(address), "o+w");
    close(listener);
}

static void suspects_a_security_module_when_permissions_allow(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));
    int listener = listen_on(address, 1);

    (void)state;
    assert_int_equal(chmod(address->name, 0666), 0);
    assert_string_equal(
        explain_apart(become_nobody, address, EACCES, EACCES),
        text("permissions allow %s to connect to unix:%s/a.sock, so a security module (SELinux, AppArmor) "
             "is likely to refuse it: ausearch -m avc -ts recent, journalctl -k -g apparmor",
             me(), directory));
    assert_says(explain(address, EPERM), "a security module (SELinux, AppArmor) is likely");
    close(listener);
}

/* --- the process itself --- */

static void tells_that_descriptors_are_used_up(void **state)
{
    const udr_address_t *address = address_of(in_directory("a.sock"));

    (void)state;
    assert_string_equal(explain_apart(use_up_descriptors, address, 0, EMFILE),
                        "this process has used up its 0 file descriptors: raise the limit (LimitNOFILE= of httpd's "
                        "unit, ulimit -n)");
    assert_says(explain(address, ENFILE), "the system is out of file descriptors or memory (");
    assert_says(explain(address, ENOMEM), "the system is out of file descriptors or memory (");
}

static void tells_the_errno_of_anything_else(void **state)
{
    (void)state;
    assert_string_equal(explain(address_of(in_directory("a.sock")), ETIMEDOUT),
                        text("unix:%s/a.sock cannot be connected to: %s", directory, strerror(ETIMEDOUT)));
}

#define test_in_directory(test) cmocka_unit_test_setup_teardown(test, make_directory, drop_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_directory(sorts_errors_into_faults),
        test_in_directory(tells_that_the_socket_does_not_exist),
        test_in_directory(hints_at_private_tmp_only_under_tmp),
        test_in_directory(tells_that_a_directory_does_not_exist),
        test_in_directory(tells_that_a_component_is_no_directory),
        test_in_directory(tells_that_the_file_has_come_since),
        test_in_directory(tells_that_a_process_listens_though_its_file_is_gone),
        test_in_directory(follows_links_to_the_component_at_fault),
        test_in_directory(tells_of_a_loop_of_links),
        test_in_directory(follows_as_many_links_as_the_kernel),
        test_in_directory(puts_odd_names_on_one_line),
        test_in_directory(tells_what_is_there_instead_of_a_socket),
        test_in_directory(tells_a_socket_of_another_type),
        test_in_directory(tells_a_file_left_behind),
        test_in_directory(does_not_take_an_old_connection_for_a_listener),
        test_in_directory(tells_a_socket_that_does_not_listen_yet),
        test_in_directory(explains_abstract_names),
        test_in_directory(tells_the_figures_of_a_full_backlog),
        test_in_directory(tells_of_several_backlogs_at_once),
        test_in_directory(knows_the_listener_by_its_file),
        test_in_directory(falls_back_to_the_name_where_no_file_is_found),
        test_in_directory(tells_the_figures_of_an_abstract_name),
        test_in_directory(finds_one_listener_among_many),
        test_in_directory(leaves_the_figures_out_where_the_kernel_does_not_tell),
        test_in_directory(names_the_directory_that_may_not_be_searched),
        test_in_directory(does_not_advise_to_open_what_systemd_closes),
        test_in_directory(names_a_directory_behind_a_link),
        test_in_directory(names_the_socket_that_may_not_be_written),
        test_in_directory(suspects_a_security_module_when_permissions_allow),
        test_in_directory(tells_that_descriptors_are_used_up),
        test_in_directory(tells_the_errno_of_anything_else),
    };

    apr_initialize();
    return cmocka_run_group_tests_name("udr_diagnosis", tests, NULL, NULL);
}
