/* SPDX-License-Identifier: MIT */
/* The whole engine on a model of the machine: what guests read is what they wrote, whatever comes in between. */
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

#include "cache.h"
#include "guest.h"
#include "world.h"

#define SECTORS 3001u /* the last cluster is not whole */

static char directory[] = "/tmp/ubc-XXXXXX";

static char *path_of(const char *name)
{
    static char path[64];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static int make_base(unsigned sectors)
{
    int fd = open(path_of("base"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint8_t sector[SECTOR];

    for (unsigned i = 0; i < sectors; i++) {
        guest_fill(sector, i, 0);
        assert_int_equal(write(fd, sector, SECTOR), SECTOR);
    }
    return fd;
}

static struct volume *overlay_volume(const char *name, int base, uint64_t size)
{
    struct volume *v = calloc(1, sizeof(*v));
    char why[OVERLAY_WHY], live[80];
    struct stat st;

    fstat(base, &st);
    unlink(path_of(name));
    assert_int_equal(overlay_create(path_of(name), "/base", &st, size, why), 0);
    v->fd = open(path_of(name), O_RDWR);
    snprintf(live, sizeof(live), "%s.live", path_of(name));
    v->overlay = calloc(1, sizeof(*v->overlay));
    unlink(live);
    assert_int_equal(overlay_open(v->fd, open(live, O_RDWR | O_CREAT, 0600), v->overlay, why), 0);
    v->base = base_get(dup(base));
    v->size = v->overlay->size;
    v->cached = true;
    base_add_reader(v->base, 1);
    base_add_reader(v->base, 2);
    return v;
}

static struct volume *raw_volume(void)
{
    struct volume *v = calloc(1, sizeof(*v));
    uint8_t sector[SECTOR];

    v->fd = open(path_of("raw"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (unsigned i = 0; i < SECTORS; i++) {
        guest_fill(sector, i, 0);
        assert_int_equal(write(v->fd, sector, SECTOR), SECTOR);
    }
    v->size = SECTORS * SECTOR;
    return v;
}

/* Guests ask, transfers end, in any order; at last all is answered. */
static void play(struct guest **g, unsigned guests, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        unsigned which = (unsigned)world_random(guests);

        for (unsigned n = (unsigned)world_random(6); n; n--)
            guest_ask(g[which]);
        for (unsigned n = (unsigned)world_random(8); n; n--)
            world_advance();
        for (unsigned n = 0; n < guests; n++)
            guest_listen(g[n]);
    }
    world_settle();
    for (unsigned n = 0; n < guests; n++) {
        guest_listen(g[n]);
        assert_int_equal(g[n]->under_way, 0);
        assert_int_equal(g[n]->disk.bytes, 0);
    }
}

static void end_guests(struct guest **g, unsigned guests)
{
    for (unsigned i = 0; i < guests; i++) {
        disk_forget(&g[i]->disk);
        volume_free(g[i]->disk.volume, true);
        guest_free(g[i]);
    }
}

static void run(uint64_t seed, bool cached, unsigned fail_every)
{
    struct guest *g[3];
    int base;

    world_begin(seed);
    world.cached = cached;
    world.fail_every = fail_every;
    base = make_base(SECTORS);
    g[0] = guest_new(1, overlay_volume("one", base, 0));
    g[1] = guest_new(2, overlay_volume("two", base, 0));
    g[2] = guest_new(3, raw_volume());
    g[1]->disk.volume->write_through = true;
    for (unsigned i = 0; i < 3; i++)
        g[i]->may_fail = fail_every != 0;
    play(g, 3, 300);
    assert_true(g[0]->answers > 100 && g[2]->answers > 100);
    if (fail_every)
        assert_true(g[0]->errors > 0);
    else
        assert_int_equal(g[0]->disk.hits > 0, cached);
    end_guests(g, 3);
    close(base);
    world_end();
}

static void test_play(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        run(seed, seed % 2, 0);
}

/* Transfers fail now and then: whoever asked gets an error, and nobody else anything wrong. */
static void test_errors(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 110; seed++)
        run(seed, seed % 2, 40);
}

/* Many ask for one page at once: one read, one entry in the cache. */
static void test_once(void **state)
{
    struct guest *g[2];
    unsigned before;
    int base;

    (void)state;
    world_begin(7);
    world.cached = true;
    base = make_base(SECTORS);
    g[0] = guest_new(1, overlay_volume("one", base, 0));
    g[1] = guest_new(2, overlay_volume("two", base, 0));
    for (unsigned i = 0; i < 10; i++) {
        assert_true(guest_put(g[0], REQUEST_READ, 8 + i % 8, 1));
        assert_true(guest_put(g[1], REQUEST_READ, 8 + i % 8, 1));
    }
    world_settle();
    guest_listen(g[0]);
    guest_listen(g[1]);
    assert_int_equal(world.reads, 1);
    assert_int_equal(world.inserts, 1);
    /* A run of neighbours is one transfer, and then none at all. */
    before = world.reads;
    assert_true(guest_put(g[0], REQUEST_READ, 160, 200));
    world_settle();
    guest_listen(g[0]);
    assert_int_equal(world.reads, before + 1);
    end_guests(g, 2);
    close(base);
    world_end();
}

/* A disk that takes no part in the cache leaves nothing there, and finds nothing. */
static void test_private(void **state)
{
    struct guest *g[2];
    int base;

    (void)state;
    world_begin(11);
    world.cached = true;
    base = make_base(SECTORS);
    g[0] = guest_new(1, overlay_volume("one", base, 0));
    g[1] = guest_new(2, overlay_volume("two", base, 0));
    g[1]->disk.volume->cached = false;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(guest_put(g[1 - i / 2], REQUEST_READ, 80, 8));
        world_settle();
        guest_listen(g[1 - i / 2]);
    }
    assert_int_equal(world.reads, 3);
    assert_int_equal(world.inserts, 1);
    assert_int_equal(g[0]->disk.hits, 1);
    assert_int_equal(g[1]->disk.hits, 0);
    end_guests(g, 2);
    close(base);
    world_end();
}

/* The base changes under the disks: what was cached is not served any more. */
static void test_changed(void **state)
{
    uint8_t sector[SECTOR];
    struct guest *g;
    int base;

    (void)state;
    world_begin(8);
    world.cached = true;
    base = make_base(SECTORS);
    g = guest_new(1, overlay_volume("one", base, 0));
    assert_true(guest_put(g, REQUEST_READ, 0, 8));
    world_settle();
    guest_listen(g);
    assert_int_equal(world.inserts, 1);
    world.later = 0;
    guest_fill(sector, 3, 55);
    assert_int_equal(pwrite(base, sector, SECTOR, 3 * SECTOR), SECTOR);
    g->version[3] = 55;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(guest_put(g, REQUEST_READ, 0, 8));
        world_settle();
        guest_listen(g);
    }
    assert_int_equal(world.inserts, 1); /* it is too fresh to be cached again; */
    world.later = 1000;                 /* later it is another object */
    for (unsigned i = 0; i < 2; i++) {
        assert_true(guest_put(g, REQUEST_READ, 0, 8));
        world_settle();
        guest_listen(g);
    }
    assert_int_equal(world.inserts, 2);
    assert_int_equal(g->disk.hits, 1);
    end_guests(&g, 1);
    close(base);
    world_end();
}

/* A read that began before a change was noticed ends when the base has a new object: it is not put in there. */
static void test_late(void **state)
{
    uint8_t sector[SECTOR];
    struct guest *g;
    int base;

    (void)state;
    world_begin(10);
    world.cached = true;
    base = make_base(SECTORS);
    g = guest_new(1, overlay_volume("one", base, 0));
    assert_true(guest_put(g, REQUEST_READ, 0, 8));
    disk_attend();
    assert_int_equal(world_under_way(), 1);
    world.later = 0;
    guest_fill(sector, 3, 55);
    assert_int_equal(pwrite(base, sector, SECTOR, 3 * SECTOR), SECTOR);
    g->version[3] = 55;
    assert_true(guest_put(g, REQUEST_READ, 160, 8));
    disk_attend();
    world.later = 1000;
    assert_true(guest_put(g, REQUEST_READ, 320, 8));
    disk_attend();
    assert_int_equal(world_under_way(), 3);
    world_settle();
    guest_listen(g);
    assert_int_equal(world.inserts, 2);
    end_guests(&g, 1);
    close(base);
    world_end();
}

/* One that asks for much that costs no transfer does not keep the others waiting. */
static void test_turns(void **state)
{
    const unsigned sectors = 30 * 8;
    struct guest *g;
    int base;

    (void)state;
    world_begin(11);
    world.cached = true;
    base = make_base(SECTORS);
    g = guest_new(1, overlay_volume("one", base, 0));
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned tries = 0; tries < 200 && g->under_way < 20; tries++)
            (void)guest_put(g, REQUEST_READ, 0, sectors);
        assert_int_equal(g->under_way, 20);
        disk_attend();
        assert_true(disk_is_waiting());
        assert_true(g->shared->rsp_prod - g->consumed <= 1 + DISK_TURN / (sectors * SECTOR));
        world_settle();
        guest_listen(g);
        assert_int_equal(g->under_way, 0);
    }
    end_guests(&g, 1);
    close(base);
    world_end();
}

/* Discards, which may take the file system long and need no memory, do not fill the machine's queue. */
static void test_discards(void **state)
{
    struct guest *g;

    (void)state;
    world_begin(12);
    g = guest_new(3, raw_volume());
    for (unsigned i = 0; i < 10; i++)
        assert_true(guest_put(g, REQUEST_DISCARD, i * 64, 64));
    disk_attend();
    assert_int_equal(world_under_way(), 1);
    world_settle();
    guest_listen(g);
    assert_int_equal(g->answers, 10);
    end_guests(&g, 1);
    world_end();
}

/* A read that is over, of what lies before `end`. */
static void look_for_zeros(const struct guest *g, unsigned slot, uint64_t end)
{
    const uint8_t *page = world.memory[0] + slot * GUEST_PAGES * 4096;
    const struct guest_op *op = &g->op[slot];
    uint64_t sector = op->first;

    for (unsigned i = 0; op->used && i < op->segments; i++) {
        const uint8_t *at = page + i * 4096 + op->segment[i].offset;

        for (unsigned n = 0; n < op->segment[i].length; n++)
            assert_true(sector + n / SECTOR >= end || at[n] == 0);
        sector += op->segment[i].length / SECTOR;
    }
}

/* A disk larger than its base: zeros; a write there is as good as any. */
static void test_beyond(void **state)
{
    uint64_t end = 3005;
    struct guest *g;
    int base;

    (void)state;
    world_begin(9);
    base = make_base(SECTORS);
    g = guest_new(1, overlay_volume("one", base, (end + 95) * SECTOR));
    assert_true(guest_put(g, REQUEST_WRITE, end, 3));
    world_settle();
    guest_listen(g);
    assert_true(guest_put(g, REQUEST_READ, end, 3));
    assert_true(guest_put(g, REQUEST_READ, 2990, 11));
    world_settle();
    guest_listen(g);
    for (uint64_t s = SECTORS; s < end; s++)
        g->state[s] = 101; /* zeros are no version */
    assert_true(guest_put(g, REQUEST_READ, SECTORS, 90));
    world_settle();
    for (unsigned i = 0; i < GUEST_SLOTS; i++)
        look_for_zeros(g, i, end);
    for (uint64_t s = end + 3; s < g->sectors; s++)
        g->state[s] = 101;
    guest_listen(g);
    end_guests(&g, 1);
    close(base);
    world_end();
}

/* ---- power cuts ---- */

/* The file as it may be when power goes after `steps` steps: what was synchronised, and of the rest any sectors. */
static void cut_power(const char *before, const char *after, int fd, unsigned steps)
{
    int from = open(before, O_RDONLY), to = open(after, O_RDWR | O_CREAT | O_TRUNC, 0600);
    static uint8_t copy[1 << 22];
    ssize_t size = read(from, copy, sizeof(copy));
    unsigned safe = 0;

    assert_int_equal(write(to, copy, (size_t)size), size);
    for (unsigned i = 0; i < steps; i++) {
        if (world.step[i].kind == IO_SYNC && world.step[i].fd == fd && world.step[i].began > safe)
            safe = world.step[i].began;
    }
    for (unsigned i = 0; i < steps; i++) {
        const struct world_step *s = &world.step[i];

        if (s->kind != IO_WRITE || s->fd != fd)
            continue;
        for (size_t at = 0; at < s->size; at += SECTOR) {
            if (i < safe || world_random(2))
                assert_int_equal(pwrite(to, s->data + at, SECTOR, (off_t)(s->offset + at)), SECTOR);
        }
    }
    close(from);
    close(to);
}

static void check_after(struct guest *g, const char *path, unsigned steps)
{
    int fd = open(path, O_RDWR), base = g->disk.volume->base->fd;
    char why[OVERLAY_WHY];
    struct overlay o;
    const uint32_t *least = NULL;

    assert_int_equal(overlay_open(fd, -1, &o, why), 0);
    for (unsigned i = 0; i < g->flushes; i++) {
        if (g->flushed[i].step <= steps)
            least = g->flushed[i].least;
    }
    for (uint64_t s = 0; s < g->sectors; s++) {
        bool own = overlay_has(&o, s / 8);
        uint8_t bytes[SECTOR];
        uint32_t version;

        assert_int_equal(
            pread(own ? fd : base, bytes, SECTOR, (off_t)(s * SECTOR + (own ? o.data_offset : 0))),
            SECTOR);
        version = guest_version(bytes, s);
        assert_true(version != ~0u);
        assert_true(!least || version >= least[s]);
        assert_true(!version || (s >= g->written[version].first &&
                                 s < g->written[version].first + g->written[version].count));
    }
    overlay_close(&o, false);
    close(fd);
}

static void test_power(void **state)
{
    char before[80], after[80];

    (void)state;
    snprintf(before, sizeof(before), "%s", path_of("before"));
    snprintf(after, sizeof(after), "%s", path_of("after"));
    for (uint64_t seed = 1; seed <= 6; seed++) {
        char command[200];
        struct guest *g;
        int base;

        world_begin(seed * 31);
        base = make_base(401);
        g = guest_new(1, overlay_volume("one", base, 0));
        snprintf(command, sizeof(command), "cp %s %s", path_of("one"), before);
        assert_int_equal(system(command), 0);
        world.record = true;
        for (unsigned i = 0; i < 60; i++) {
            enum request_kind kind = world_random(5) ? REQUEST_WRITE : REQUEST_FLUSH;
            uint64_t first = world_random(g->sectors);

            guest_put(g, kind, kind == REQUEST_FLUSH ? 0 : first,
                      kind == REQUEST_FLUSH ? 0
                                            : 1 + (unsigned)world_random(g->sectors - first) % 30);
            for (unsigned n = (unsigned)world_random(6); n; n--)
                world_advance();
            guest_listen(g);
        }
        world_settle();
        guest_listen(g);
        assert_true(g->flushes > 3);
        for (unsigned steps = 0; steps <= world.steps; steps++) {
            cut_power(before, after, g->disk.volume->fd, steps);
            check_after(g, after, steps);
        }
        end_guests(&g, 1);
        close(base);
        world_end();
    }
}

static int begin(void **state)
{
    (void)state;
    world.later = 1000; /* so that the base may be cached */
    return mkdtemp(directory) ? 0 : -1;
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
        cmocka_unit_test(test_play),     cmocka_unit_test(test_errors),
        cmocka_unit_test(test_once),     cmocka_unit_test(test_changed),
        cmocka_unit_test(test_beyond),   cmocka_unit_test(test_power),
        cmocka_unit_test(test_late),     cmocka_unit_test(test_turns),
        cmocka_unit_test(test_discards), cmocka_unit_test(test_private),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
