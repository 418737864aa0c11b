/* SPDX-License-Identifier: MIT */
/*
 * Overlays that are grown, and put on another base. The power fails at each write: the overlay then is what it was or what it was to be, and has
 * all its data. What was not made durable is on the medium in part: any of its sectors.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sys/file.h>
#include <unistd.h>

#include "overlay.h"

#define MIB      (1ull << 20)
#define SECTOR   512u
#define LOG_MOST 64
#define ONE_PAGE                                                                                   \
    (OVERLAY_IN_PAGE * (uint64_t)OVERLAY_CLUSTER) /* the disk that one page of the map tells of */

static char directory[40];
static char path[64], medium_path[64], why[OVERLAY_WHY];
static struct stat base = {.st_size = 5 * 4096 + 1024, .st_mtim = {1000, 7}};
static struct stat other = {.st_size = 4 * 4096, .st_mtim = {2000, 9}};

/* ---- the medium: what reaches it, and when ---- */

static int watched = -1, medium;
static unsigned steps, fails_at;
static bool is_full;
static jmp_buf power_failed;
static struct change {
    enum { WRITE, LENGTH, HOLE } kind;
    off_t at;
    size_t size;
    uint8_t *data;
} log_of[LOG_MOST];
static unsigned logged;

extern ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t at);
extern int __real_ftruncate(int fd, off_t size);
extern int __real_fallocate(int fd, int mode, off_t at, off_t size);
extern int __real_posix_fallocate(int fd, off_t at, off_t size);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t at);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fallocate(int fd, int mode, off_t at, off_t size);
int __wrap_posix_fallocate(int fd, off_t at, off_t size);

/* in_part: only some of a write's sectors. */
static void apply(const struct change *c, bool in_part)
{
    if (c->kind == LENGTH)
        assert_int_equal(__real_ftruncate(medium, c->at), 0);
    if (c->kind == HOLE)
        assert_int_equal(__real_fallocate(medium, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, c->at,
                                          (off_t)c->size),
                         0);
    for (size_t at = 0; c->kind == WRITE && at < c->size; at += SECTOR) {
        size_t size = c->size - at < SECTOR ? c->size - at : SECTOR;

        if (!in_part || rand() % 2)
            assert_int_equal(__real_pwrite(medium, c->data + at, size, c->at + (off_t)at), size);
    }
}

static void forget_log(void)
{
    while (logged)
        free(log_of[--logged].data);
}

/* Files' lengths go in order; of data some sectors have arrived. */
static void fail_power(void)
{
    for (unsigned i = 0; i < logged; i++)
        apply(&log_of[i], true);
    forget_log();
    watched = -1;
    longjmp(power_failed, 1);
}

static void note(int fd, struct change c, const void *data)
{
    if (fd != watched)
        return;
    assert_true(logged < LOG_MOST);
    if (data) {
        c.data = malloc(c.size);
        memcpy(c.data, data, c.size);
    }
    log_of[logged++] = c;
    if (steps++ == fails_at)
        fail_power();
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t at)
{
    note(fd, (struct change){WRITE, at, size, NULL}, data);
    return __real_pwrite(fd, data, size, at);
}

int __wrap_ftruncate(int fd, off_t size)
{
    note(fd, (struct change){LENGTH, size, 0, NULL}, NULL);
    return __real_ftruncate(fd, size);
}

int __wrap_fallocate(int fd, int mode, off_t at, off_t size)
{
    note(fd, (struct change){HOLE, at, (size_t)size, NULL}, NULL);
    return __real_fallocate(fd, mode, at, size);
}

int __wrap_posix_fallocate(int fd, off_t at, off_t size)
{
    if (is_full)
        return ENOSPC;
    note(fd, (struct change){LENGTH, at + size, 0, NULL}, NULL);
    return __real_posix_fallocate(fd, at, size);
}

int __wrap_fsync(int fd)
{
    if (fd != watched)
        return 0; /* nobody takes the power of this machine */
    if (steps++ == fails_at)
        fail_power();
    for (unsigned i = 0; i < logged; i++)
        apply(&log_of[i], false);
    forget_log();
    return 0;
}

int __wrap_fdatasync(int fd)
{
    return __wrap_fsync(fd);
}

/* What the power failure leaves behind in memory. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:present";
}

/* ---- overlays with known data ---- */

static uint8_t pattern(uint64_t cluster)
{
    return (uint8_t)(cluster % 250 + 1);
}

/* Behind the disk's end, too: there may be anything. */
static void put_data(struct overlay *o, uint64_t cluster)
{
    uint8_t data[OVERLAY_CLUSTER];

    memset(data, pattern(cluster), sizeof(data));
    assert_int_equal(
        pwrite(o->fd, data, sizeof(data), (off_t)(o->data_offset + cluster * OVERLAY_CLUSTER)),
        sizeof(data));
    overlay_mark(o, cluster, 1);
}

/* That cluster has its data up to the disk's old end `size`, and from there to its end zeros. */
static void check_data(const struct overlay *o, uint64_t cluster, uint64_t size)
{
    uint8_t data[OVERLAY_CLUSTER];
    uint64_t at = cluster * OVERLAY_CLUSTER;

    assert_true(overlay_has(o, cluster));
    assert_int_equal(pread(o->fd, data, sizeof(data), (off_t)(o->data_offset + at)), sizeof(data));
    for (size_t i = 0; i < sizeof(data) && at + i < o->size; i++)
        assert_int_equal(data[i], at + i < size ? pattern(cluster) : 0);
}

static void write_map(const struct overlay *o)
{
    assert_int_equal(pwrite(o->fd, o->bits, o->map_pages * OVERLAY_PAGE, (off_t)o->map_offset),
                     (ssize_t)(o->map_pages * OVERLAY_PAGE));
}

static int open_file(const char *name, struct overlay *o)
{
    int fd = open(name, O_RDWR);

    assert_int_equal(overlay_open_apart(fd, directory, OVERLAY_EXCLUSIVE, o, why), 0);
    return fd;
}

/* One of that size with data in its first and last cluster and some between. */
static int make(uint64_t size, struct overlay *o)
{
    int fd;

    unlink(path);
    assert_int_equal(overlay_create(path, "/srv/base", &base, size, why), 0);
    fd = open_file(path, o);
    put_data(o, 0);
    put_data(o, 3);
    put_data(o, (size - 1) / OVERLAY_CLUSTER);
    write_map(o);
    return fd;
}

static void check_all(const struct overlay *o, uint64_t old_size)
{
    struct overlay_survey s;

    check_data(o, 0, old_size);
    check_data(o, 3, old_size);
    check_data(o, (old_size - 1) / OVERLAY_CLUSTER, old_size);
    assert_int_equal(overlay_used(o), 3);
    assert_int_equal(overlay_survey(o, &s, NULL, NULL, why), 0);
    assert_int_equal(s.own, 3);
    assert_int_equal(s.filled, 3);
}

/* ---- tests ---- */

/* From one size to the next, and once more: the map stays, moves, has to make room for data. */
static void test_grow(void **state)
{
    static const uint64_t sizes[][3] = {
        {10 * MIB + 512, 20 * MIB, 20 * MIB},
        {ONE_PAGE - 512, ONE_PAGE, ONE_PAGE + 512},
        {ONE_PAGE, 3 * ONE_PAGE + 1024, 3 * ONE_PAGE + 4096},
        {MIB + 1024, ONE_PAGE * 2, ONE_PAGE * 2 + 4096 * 3},
        {MIB, ONE_PAGE * 2 - 4096 * 2, ONE_PAGE * 2},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct overlay o;
        struct stat st;
        int fd = make(sizes[i][0], &o);

        assert_int_equal(overlay_grow(&o, sizes[i][0] - 512, why), -1);
        assert_int_equal(overlay_grow(&o, sizes[i][1] + 100, why), -1);
        for (unsigned step = 1; step < 3; step++) {
            assert_int_equal(overlay_grow(&o, sizes[i][step], why), 0);
            assert_int_equal(o.size, sizes[i][step]);
            check_all(&o, sizes[i][0]);
            overlay_leave(&o);
            close(fd);
            fd = open_file(path, &o);
            assert_int_equal(o.size, sizes[i][step]);
            check_all(&o, sizes[i][0]);
            assert_int_equal(o.version, o.map_offset > o.data_offset ? 2 : 1);
            assert_true(overlay_fits(&o, &base));
        }
        assert_int_equal(fstat(fd, &st), 0);
        assert_true((uint64_t)st.st_blocks * 512 < MIB);
        overlay_leave(&o);
        close(fd);
    }
}

static void test_full_disk(void **state)
{
    struct overlay o;
    struct stat before, after;
    int fd = make(MIB, &o);

    (void)state;
    assert_int_equal(fstat(fd, &before), 0);
    is_full = true;
    assert_int_equal(overlay_grow(&o, ONE_PAGE * 2, why), -1);
    is_full = false;
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    check_all(&o, MIB);
    overlay_leave(&o);
    assert_int_equal(overlay_open_apart(fd, directory, OVERLAY_EXCLUSIVE, &o, why), 0);
    check_all(&o, MIB);
    overlay_leave(&o);
    close(fd);
}

static void test_rebase(void **state)
{
    struct overlay o;
    uint8_t id[16];
    char longest[OVERLAY_BASE_MAX + 1];
    struct stat large = {.st_size = 2 * MIB};
    int fd = make(MIB, &o);

    (void)state;
    memcpy(id, o.id, sizeof(id));
    memset(longest, 'x', OVERLAY_BASE_MAX);
    longest[OVERLAY_BASE_MAX] = 0;
    assert_int_equal(overlay_rebase(&o, longest, &other, why), -1);
    assert_int_equal(overlay_rebase(&o, "/srv/large", &large, why), -1);
    assert_int_equal(overlay_rebase(&o, "/srv/x", &other, why), 0);
    overlay_leave(&o);
    assert_int_equal(overlay_open_apart(fd, directory, OVERLAY_EXCLUSIVE, &o, why), 0);
    assert_string_equal(o.base, "/srv/x");
    assert_true(overlay_fits(&o, &other));
    assert_int_not_equal(memcmp(id, o.id, sizeof(id)), 0);
    check_all(&o, MIB);
    overlay_leave(&o);
    close(fd);
}

/* What only the live map tells of is counted, and can be saved; that of a copy in use is let alone. */
static void test_unflushed(void **state)
{
    struct overlay o, used;
    char command[200];
    int fd = make(MIB, &o), live, copy;

    (void)state;
    overlay_leave(&o);
    assert_int_equal(overlay_look(fd, &o, why), 0);
    live = overlay_live(&o, directory, O_RDWR | O_CREAT);
    assert_int_equal(flock(live, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(overlay_open(fd, live, &used, why), 0);
    put_data(&used, 70);
    put_data(&used, 71);
    assert_int_equal(overlay_open_apart(fd, directory, OVERLAY_UNLOCKED, &o, why), 0);
    assert_int_equal(o.unflushed, 2);
    overlay_leave(&o);
    snprintf(command, sizeof(command), "cp --sparse=always %s %s.copy", path, path);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof(command), "%s.copy", path);
    copy = open_file(command, &o);
    assert_int_equal(o.unflushed, 0);
    assert_int_equal(overlay_used(&o), 3);
    assert_int_equal(overlay_save(&o, why), 0);
    overlay_leave(&o);
    close(copy);
    /* It is killed. */
    overlay_close(&used, false);
    close(live);
    close(fd);
    fd = open_file(path, &o);
    assert_int_equal(o.unflushed, 2);
    assert_int_equal(overlay_save(&o, why), 0);
    overlay_leave(&o);
    close(fd);
    fd = open_file(path, &o);
    assert_int_equal(o.unflushed, 0);
    assert_int_equal(overlay_used(&o), 5);
    check_data(&o, 70, MIB);
    overlay_leave(&o);
    close(fd);
}

static bool go_on(void *context, uint64_t bytes)
{
    *(uint64_t *)context += bytes;
    return true;
}

static bool stop(void *context, uint64_t bytes)
{
    (void)context;
    (void)bytes;
    return false;
}

static void test_survey(void **state)
{
    struct overlay_survey s;
    struct overlay o;
    uint64_t bytes = 0;
    int fd = make(MIB, &o);

    (void)state;
    put_data(&o, 9);
    o.bits[0] &= ~(1ull << 9); /* its flush never came */
    overlay_mark(&o, 20, 2);   /* discarded */
    assert_int_equal(overlay_survey(&o, &s, go_on, &bytes, why), 0);
    assert_int_equal(s.own, 5);
    assert_int_equal(s.filled, 3);
    assert_int_equal(s.stray, 1);
    assert_true(bytes >= 4 * OVERLAY_CLUSTER);
    assert_int_equal(overlay_survey(&o, &s, stop, NULL, why), -1);
    overlay_leave(&o);
    close(fd);
}

/* ---- a failing power supply ---- */

static int grow_over_map(struct overlay *o)
{
    return overlay_grow(o, ONE_PAGE + 512, why);
}

static int grow_in_place(struct overlay *o)
{
    return overlay_grow(o, 2 * MIB, why);
}

static int grow_again(struct overlay *o)
{
    return overlay_grow(o, ONE_PAGE + 2 * OVERLAY_CLUSTER, why);
}

static int rebase(struct overlay *o)
{
    return overlay_rebase(o, "/srv/x", &other, why);
}

/* True: it came to its end before the power failed. */
static bool attempt(int (*change)(struct overlay *), struct overlay *o, unsigned at)
{
    steps = 0;
    fails_at = at;
    if (setjmp(power_failed))
        return false;
    watched = o->fd;
    assert_int_equal(change(o), 0);
    watched = -1;
    for (unsigned i = 0; i < logged; i++) /* that room was given back need not be durable */
        apply(&log_of[i], true);
    forget_log();
    return true;
}

/* pal-blkd opens it: what the change left behind is put right. */
static void use(int fd)
{
    char name[80];
    struct overlay o;
    struct stat st;
    uint64_t data, map;
    int live;

    snprintf(name, sizeof(name), "%s/live", directory);
    live = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(overlay_open(fd, live, &o, why), 0);
    data = o.data_offset + (o.size + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER * OVERLAY_CLUSTER;
    map = o.map_offset + o.map_pages * OVERLAY_PAGE;
    overlay_close(&o, true);
    close(live);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, map > data ? map : data);
}

/* Has it changed? In any case it is whole. */
static bool look(uint64_t old_size)
{
    struct overlay o;
    int fd = open_file(medium_path, &o);
    bool changed = o.size != old_size || !overlay_fits(&o, &base);

    check_all(&o, MIB + 512);
    overlay_leave(&o);
    use(fd);
    assert_int_equal(overlay_open_apart(fd, directory, OVERLAY_EXCLUSIVE, &o, why), 0);
    assert_int_equal(changed, o.size != old_size || !overlay_fits(&o, &base));
    check_all(&o, MIB + 512);
    overlay_leave(&o);
    close(fd);
    return changed;
}

/* Fails at one step more every few times, until there is none. */
static void fail_everywhere(int (*change)(struct overlay *), bool moved_before)
{
    unsigned before = 0, after = 0;
    bool over = false;

    for (unsigned turn = 0; !over; turn++) {
        struct overlay o;
        char command[200];
        int fd = make(MIB + 512, &o);
        uint64_t size;
        bool changed;

        if (moved_before)
            assert_int_equal(grow_over_map(&o), 0);
        size = o.size;
        snprintf(command, sizeof(command), "cp --sparse=always %s %s", path, medium_path);
        assert_int_equal(system(command), 0);
        medium = open(medium_path, O_RDWR);
        over = attempt(change, &o, turn / 8);
        overlay_leave(&o);
        close(fd);
        close(medium);
        changed = look(size);
        assert_true(changed || !over);
        before += !changed;
        after += changed;
    }
    assert_true(before > 8 && after > 8);
}

static void test_power(void **state)
{
    (void)state;
    srand(1);
    fail_everywhere(grow_in_place, false);
    fail_everywhere(grow_over_map, false);
    fail_everywhere(grow_again, true);
    fail_everywhere(rebase, false);
    fail_everywhere(rebase, true);
}

/* A guest's last cluster that looks like a header is none. */
static void test_forged(void **state)
{
    uint8_t page[OVERLAY_PAGE];
    struct overlay o;
    struct stat st;
    int fd = make(MIB + OVERLAY_CLUSTER, &o), small;

    (void)state;
    overlay_leave(&o);
    unlink(medium_path);
    assert_int_equal(overlay_create(medium_path, "/etc/shadow", &other, MIB, why), 0);
    small = open(medium_path, O_RDONLY);
    assert_int_equal(pread(small, page, sizeof(page), 0), sizeof(page));
    close(small);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pwrite(fd, page, sizeof(page), st.st_size - OVERLAY_PAGE), sizeof(page));
    assert_int_equal(pwrite(fd, "damage", 6, 2000), 6);
    assert_int_equal(overlay_look(fd, &o, why), -1);
    close(fd);
}

static int begin(void **state)
{
    (void)state;
    /* Where looking for holes does not wait for a disk. */
    snprintf(directory, sizeof(directory), "%s/ubc-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/overlay", directory);
    snprintf(medium_path, sizeof(medium_path), "%s/medium", directory);
    return 0;
}

static int end(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grow),   cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_rebase), cmocka_unit_test(test_unflushed),
        cmocka_unit_test(test_survey), cmocka_unit_test(test_power),
        cmocka_unit_test(test_forged),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
