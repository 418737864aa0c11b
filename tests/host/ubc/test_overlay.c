/* SPDX-License-Identifier: MIT */
/* The overlay's file: made, looked at, left behind by one that was killed, damaged. */
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

#include "../directory.h"
#include "overlay.h"

#define SIZE (100ull << 20)

static char path[64], live_path[64], why[OVERLAY_WHY];
static struct stat base = {.st_size = SIZE, .st_mtim = {1000, 7}};

static int make(void)
{
    unlink(path);
    unlink(live_path);
    assert_int_equal(overlay_create(path, "/srv/base", &base, 0, why), 0);
    return open(path, O_RDWR);
}

static int live(void)
{
    return open(live_path, O_RDWR | O_CREAT, 0600);
}

static void save_map(struct overlay *o)
{
    assert_int_equal(pwrite(o->fd, o->bits, o->map_pages * OVERLAY_PAGE, (off_t)o->map_offset),
                     (ssize_t)(o->map_pages * OVERLAY_PAGE));
}

static void test_create(void **state)
{
    struct overlay o;
    struct stat other = base;
    int fd = make();

    (void)state;
    assert_int_equal(overlay_create(path, "/srv/base", &base, 0, why), -1); /* never over another */
    assert_int_equal(overlay_open(fd, -1, &o, why), 0);
    assert_int_equal(o.size, SIZE);
    assert_string_equal(o.base, "/srv/base");
    assert_true(overlay_fits(&o, &base));
    other.st_mtim.tv_nsec++;
    assert_false(overlay_fits(&o, &other));
    other = base;
    other.st_size -= 512;
    assert_false(overlay_fits(&o, &other));
    for (uint64_t i = 0; i < SIZE / OVERLAY_CLUSTER; i++)
        assert_false(overlay_has(&o, i));
    overlay_mark(&o, 5, 3);
    overlay_mark(&o, SIZE / OVERLAY_CLUSTER - 1, 1);
    assert_int_equal(overlay_used(&o), 4);
    assert_true(o.unsaved[0] && o.unsaved[o.map_pages - 1]);
    overlay_close(&o, false);
    close(fd);
    unlink(path);
    assert_int_equal(overlay_create(path, "/srv/base", &base, SIZE - 512, why), -1);
    assert_int_equal(overlay_create(path, "/srv/base", &base, SIZE + 100, why), -1);
    assert_int_equal(access(path, F_OK), -1);
}

/* A backend is killed: what is in the live map holds, and is known not to be saved. */
static void test_killed(void **state)
{
    struct overlay o, next;
    int fd = make();

    (void)state;
    assert_int_equal(overlay_open(fd, live(), &o, why), 0);
    overlay_mark(&o, 7, 1);
    save_map(&o);
    overlay_mark(&o, 40000 % (SIZE / OVERLAY_CLUSTER), 2);
    /* It just is not there any more. */
    assert_int_equal(overlay_open(fd, live(), &next, why), 0);
    assert_int_equal(overlay_used(&next), 3);
    assert_true(next.unsaved[0]);
    overlay_close(&next, true);
    /* After a proper end only what was saved counts. */
    assert_int_equal(overlay_open(fd, live(), &next, why), 0);
    assert_int_equal(overlay_used(&next), 1);
    assert_false(next.unsaved[0]);
    overlay_close(&next, true);
    overlay_close(&o, false);
    close(fd);
}

/* One process opens it, another takes it over: with what is not saved, if there may be any. */
static void test_handed_over(void **state)
{
    struct overlay_head head;
    struct overlay o, taken;
    int fd = make();

    (void)state;
    assert_int_equal(overlay_open(fd, live(), &o, why), 0);
    overlay_tell(&o, &head);
    overlay_close(&o, false);
    assert_int_equal(overlay_take(fd, live(), &head, &taken, why), 0);
    assert_int_equal(taken.size, SIZE);
    assert_int_equal(taken.data_offset, o.data_offset);
    assert_int_equal(overlay_used(&taken), 0);
    assert_false(taken.unsaved[0]);
    overlay_mark(&taken, 7, 2);
    assert_true(taken.unsaved[0]);
    overlay_close(&taken, false); /* killed */
    assert_int_equal(overlay_open(fd, live(), &o, why), 0);
    overlay_tell(&o, &head);
    overlay_close(&o, false);
    assert_int_equal(overlay_take(fd, live(), &head, &taken, why), 0);
    assert_int_equal(overlay_used(&taken), 2);
    assert_true(taken.unsaved[0]);
    save_map(&taken);
    overlay_close(&taken, true);
    assert_int_equal(overlay_open(fd, live(), &o, why), 0);
    overlay_tell(&o, &head);
    overlay_close(&o, false);
    assert_int_equal(overlay_take(fd, live(), &head, &taken, why), 0);
    assert_int_equal(overlay_used(&taken), 2);
    assert_false(taken.unsaved[0]);
    overlay_close(&taken, true);
    close(fd);
}

/* A live map of another time, or of another overlay, is not believed. */
static void test_stale(void **state)
{
    struct overlay o;
    char command[200];
    int fd = make();

    (void)state;
    assert_int_equal(overlay_open(fd, live(), &o, why), 0);
    overlay_mark(&o, 7, 9);
    overlay_close(&o, false);
    snprintf(command, sizeof(command), "cp %s %s.kept", live_path, live_path);
    assert_int_equal(system(command), 0);
    assert_int_equal(overlay_open(fd, live(), &o, why), 0);
    assert_int_equal(overlay_used(&o), 9);
    overlay_close(&o, true);
    assert_int_equal(overlay_open(fd, live(), &o, why), 0); /* a new time of use */
    overlay_close(&o, true);
    snprintf(command, sizeof(command), "cp %s.kept %s", live_path, live_path);
    assert_int_equal(system(command), 0);
    assert_int_equal(overlay_open(fd, live(), &o, why), 0);
    assert_int_equal(overlay_used(&o), 0);
    overlay_close(&o, true);
    close(fd);
}

static void damage(int fd, off_t at, uint8_t with)
{
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= with;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void test_damage(void **state)
{
    struct overlay o;
    int fd = make();

    (void)state;
    for (off_t at = 0; at < 4096; at += 7) {
        damage(fd, at, 0x40);
        assert_int_equal(overlay_open(fd, -1, &o, why), -1);
        assert_true(why[0]);
        damage(fd, at, 0x40);
    }
    assert_int_equal(overlay_open(fd, -1, &o, why), 0);
    /* A bit for what is beyond the end. */
    damage(fd, (off_t)o.data_offset - 1, 0x80);
    overlay_close(&o, false);
    assert_int_equal(overlay_open(fd, -1, &o, why), -1);
    damage(fd, (off_t)o.data_offset - 1, 0x80);
    assert_int_equal(ftruncate(fd, (off_t)o.data_offset - 1), 0);
    assert_int_equal(overlay_open(fd, -1, &o, why), -1);
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(overlay_open(fd, -1, &o, why), -1);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(overlay_open(fd, -1, &o, why), -1);
    close(fd);
}

static int begin(void **state)
{
    (void)state;
    if (directory_make())
        return -1;
    snprintf(path, sizeof(path), "%s/overlay", directory);
    snprintf(live_path, sizeof(live_path), "%s/live", directory);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return directory_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_create), cmocka_unit_test(test_killed),
                                       cmocka_unit_test(test_handed_over),
                                       cmocka_unit_test(test_stale), cmocka_unit_test(test_damage)};

    return cmocka_run_group_tests(tests, begin, end);
}
