/* SPDX-License-Identifier: MIT */
/*
 * Failures while writing: every call that can fail does so in turn, writes are cut short, interrupted or
 * falsified, and the program is killed at random instants. Never does anything stand under the
 * target's name but a complete image or what was there before, and nothing else is left. The calls are
 * wrapped by the linker.
 */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum call { WRITEV, FSYNC, RENAME, LINKAT, OPEN, CALLS };

static struct {
    enum call call; /* that fails */
    unsigned at;    /* the how manieth, from 1; 0: never */
    int error;
    unsigned count[CALLS];
    bool shorten, interrupt, no_tmpfile;
    unsigned falsify; /* this write, from 1 */
    bool armed;
} plan;

static bool fails(enum call call)
{
    if (!plan.armed)
        return false;
    plan.count[call]++;
    if (plan.call != call || plan.count[call] != plan.at)
        return false;
    errno = plan.error;
    return true;
}

ssize_t __real_writev(int fd, const struct iovec *parts, int count);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __real_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags);
int __real_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);

static ssize_t write_falsely(int fd, const struct iovec *part)
{
    uint8_t *copy = malloc(part->iov_len);
    ssize_t done;

    memcpy(copy, part->iov_base, part->iov_len);
    copy[part->iov_len / 2] ^= 1;
    done = write(fd, copy, part->iov_len);
    free(copy);
    return done;
}

ssize_t __wrap_writev(int fd, const struct iovec *parts, int count)
{
    if (fails(WRITEV))
        return -1;
    if (plan.armed && plan.falsify && plan.count[WRITEV] == plan.falsify)
        return write_falsely(fd, parts);
    if (plan.armed && plan.interrupt && plan.count[WRITEV] % 2) {
        errno = EINTR;
        return -1;
    }
    if (plan.armed && plan.shorten) {
        size_t most = 1 + plan.count[WRITEV] * 7919 % 60000;

        return write(fd, parts->iov_base, parts->iov_len < most ? parts->iov_len : most);
    }
    return __real_writev(fd, parts, count);
}

int __wrap_fsync(int fd)
{
    return fails(FSYNC) ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    return fails(RENAME) ? -1 : __real_renameat(a, from, b, to);
}

int __wrap_linkat(int a, const char *from, int b, const char *to, int flags)
{
    return fails(LINKAT) ? -1 : __real_linkat(a, from, b, to, flags);
}

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    if (plan.armed && (flags & O_TMPFILE) == O_TMPFILE && plan.no_tmpfile) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fails(OPEN) ? -1 : __real_openat(directory, path, flags, 0600);
}

/* ---- one try ---- */

static char target[160];
static struct world *world;

static int try_save(bool read_back, struct pal_error *e)
{
    struct image_writer_options options = {.workers = 2, .read_back = read_back};
    struct image_source source = world_source(world);
    struct image_writer *w;
    int rc = -1;

    memset(e, 0, sizeof(*e));
    plan.armed = true;
    w = image_writer_create(target, &options, e);
    if (w && image_writer_description(w, "<x/>", 4, e) == 0 &&
        image_writer_domain(w, &world->domain, world->bitmap, e) == 0 &&
        image_writer_pages(w, &source, e) == 0)
        rc = image_writer_commit(w, e);
    image_writer_free(w);
    plan.armed = false;
    assert_int_equal(rc == 0, e->code == PAL_OK);
    assert_int_equal(world->mapped, 0);
    return rc;
}

static unsigned files(void)
{
    char directory[160];
    unsigned count = 0;
    DIR *list;

    strcpy(directory, target);
    *strrchr(directory, '/') = 0;
    list = opendir(directory);
    assert_non_null(list);
    for (struct dirent *d; (d = readdir(list));)
        count += strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
    closedir(list);
    return count;
}

static void assert_sound(void)
{
    struct pal_error e = {0};

    if (image_verify(target, -1, NULL, NULL, &e))
        fail_msg("%s", e.why);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(target, scratch("out"));
    mkdir(target, 0700);
    strcat(target, "/g.pal");
    world = world_new(2000, 21);
    return 0;
}

static int each(void **state)
{
    (void)state;
    memset(&plan, 0, sizeof(plan));
    unlink(target);
    assert_int_equal(files(), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_free(world);
    return 0;
}

/* ---- every call fails once ---- */

/* With nothing there before, and with an older file. */
static unsigned fail_everywhere(enum call call, int error, bool no_tmpfile)
{
    struct pal_error e;
    unsigned at = 1;

    for (;; at++) {
        struct stat before, after;

        memset(&plan, 0, sizeof(plan));
        plan.no_tmpfile = no_tmpfile;
        plan.call = call;
        plan.at = at;
        plan.error = error;
        if (try_save(false, &e) == 0)
            break;
        assert_int_equal(e.code, PAL_SAVE_WRITE);
        assert_non_null(strstr(e.why, strerror(error)));
        assert_non_null(strstr(e.why, target));
        assert_int_equal(files(), 0);
        write_file(target, "older", 5);
        assert_int_equal(stat(target, &before), 0);
        memset(plan.count, 0, sizeof(plan.count));
        assert_int_equal(try_save(false, &e), -1);
        assert_int_equal(stat(target, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(after.st_size, 5);
        assert_int_equal(files(), 1);
        assert_int_equal(unlink(target), 0);
    }
    assert_sound();
    assert_int_equal(files(), 1);
    unlink(target);
    return at - 1;
}

static void test_each_call(void **state)
{
    (void)state;
    for (unsigned named = 0; named < 2; named++) {
        assert_true(fail_everywhere(WRITEV, ENOSPC, named) >= 10);
        assert_true(fail_everywhere(WRITEV, EIO, named) >= 10);
        assert_int_equal(fail_everywhere(FSYNC, EIO, named), 2);
        assert_int_equal(fail_everywhere(RENAME, EACCES, named), 1);
        assert_int_equal(fail_everywhere(LINKAT, EROFS, named), named ? 0 : 1);
        assert_true(fail_everywhere(OPEN, EMFILE, named) >= 1);
    }
}

static void test_short_writes(void **state)
{
    struct pal_error e;

    (void)state;
    plan.shorten = true;
    assert_int_equal(try_save(true, &e), 0);
    assert_sound();
    assert_true(plan.count[WRITEV] > 50);
    memset(&plan, 0, sizeof(plan));
    plan.interrupt = true;
    assert_int_equal(try_save(true, &e), 0);
    assert_sound();
}

/* The disk keeps something else than it was given: reading back finds it, wherever it is. */
static void test_read_back(void **state)
{
    struct pal_error e;
    unsigned writes;

    (void)state;
    assert_int_equal(try_save(true, &e), 0);
    writes = plan.count[WRITEV];
    unlink(target);
    for (unsigned at = 1; at <= writes; at++) {
        memset(&plan, 0, sizeof(plan));
        plan.falsify = at;
        assert_int_equal(try_save(true, &e), -1);
        assert_int_equal(e.code, PAL_SAVE_DAMAGED);
        assert_int_equal(files(), 0);
    }
}

/* The kernel's own refusal: a file may not become so long. */
static void test_limit(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        struct rlimit limit = {100000, 100000};
        struct pal_error e;

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(try_save(false, &e) == -1 && e.code == PAL_SAVE_WRITE &&
                      strstr(e.why, strerror(EFBIG))
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(files(), 0);
}

static void test_bad_targets(void **state)
{
    char good[160];
    struct pal_error e;

    (void)state;
    strcpy(good, target);
    strcpy(target, "/nonexistent/directory/g.pal");
    assert_int_equal(try_save(false, &e), -1);
    assert_non_null(strstr(e.why, strerror(ENOENT)));
    strcpy(target, "/tmp");
    assert_int_equal(try_save(false, &e), -1);
    strcpy(target, "/tmp/");
    assert_int_equal(try_save(false, &e), -1);
    strcpy(target, "/dev/null"); /* must not be replaced */
    assert_int_equal(try_save(false, &e), -1);
    strcpy(target, good);
}

/* ---- killed ---- */

static void kill_once(uint64_t *random, bool no_tmpfile, unsigned *complete)
{
    struct timespec delay = {0, (long)(next_random(random) % 40000000)};
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct pal_error e;

        plan.no_tmpfile = no_tmpfile;
        for (;;)
            try_save(false, &e);
    }
    nanosleep(&delay, NULL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (access(target, F_OK) == 0) {
        ++*complete;
        assert_sound();
        assert_int_equal(unlink(target), 0);
    }
}

/* Removes what a kill may leave: a temporary name of the new file, and a second one of the file that it replaces. */
static unsigned remove_parts(void)
{
    char command[240];
    unsigned count = files();

    snprintf(command, sizeof(command), "rm -f %.*s/.g.pal.*.part",
             (int)(strrchr(target, '/') - target), target);
    assert_int_equal(system(command), 0);
    assert_int_equal(files(), 0);
    return count;
}

static void test_killed(void **state)
{
    unsigned complete = 0, parts = 0;
    uint64_t random = 77;

    (void)state;
    for (unsigned i = 0; i < 150; i++) {
        unsigned left;

        kill_once(&random, false, &complete);
        left = remove_parts();
        assert_true(left <= 2);
        parts += left;
    }
    print_message("150 kills: %u complete images, %u temporary names left\n", complete, parts);
    assert_true(parts < 75); /* only between linking and renaming, however slow the disk is */
    for (unsigned i = 0; i < 50; i++) {
        kill_once(&random, true, &complete);
        assert_true(remove_parts() <= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_call, each),
        cmocka_unit_test_setup(test_short_writes, each),
        cmocka_unit_test_setup(test_read_back, each),
        cmocka_unit_test_setup(test_limit, each),
        cmocka_unit_test_setup(test_bad_targets, each),
        cmocka_unit_test_setup(test_killed, each),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
