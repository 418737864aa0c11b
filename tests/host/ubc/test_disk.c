/* SPDX-License-Identifier: MIT */
/* The whole engine on a model of the machine: what guests read is what they wrote, whatever comes in between. */
#include "test.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "../directory.h"
#include "cache.h"
#include "guest.h"
#include "world.h"

#define SECTORS 3001u /* the last cluster is not whole */

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
    assert_in_range(world.misses, 1, 10); /* the first round's; */
    assert_true(g[1]->disk.hits == 10);   /* who came while it was read waited, and found it */
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

/* The hypervisor keeps a domain out of the cache: from then on it waits for nobody's read, whose end would tell what others read. */
static void test_shut_out(void **state)
{
    struct guest *g[2];
    int base;

    (void)state;
    world_begin(12);
    world.cached = true;
    base = make_base(SECTORS);
    g[0] = guest_new(1, overlay_volume("one", base, 0));
    g[1] = guest_new(2, overlay_volume("two", base, 0));
    assert_true(guest_put(g[1], REQUEST_READ, 0, 8));
    world_settle();
    guest_listen(g[1]);
    for (unsigned turn = 0; turn < 4; turn++) {
        /* It learns of it by asking: when what it waited for has come, when it wants the next. */
        static const unsigned reads[] = {2, 4, 5, 6};

        cache_reader(0, 2, turn >= 2);
        for (unsigned i = 0; i < 2; i++) {
            assert_true(guest_put(g[i], REQUEST_READ, 80 + turn * 80, 8));
            disk_wake(&g[i]->disk);
            disk_attend();
        }
        world_settle();
        guest_listen(g[0]);
        guest_listen(g[1]);
        assert_int_equal(g[1]->disk.shut_out, turn < 2);
        assert_int_equal(world.reads, reads[turn]);
    }
    end_guests(g, 2);
    close(base);
    world_end();
}

/* Another content of a sector, right now: the file's times show it, and the clock stands where they do. */
static void change_base(int base, struct guest *g, unsigned at)
{
    uint8_t sector[SECTOR];
    struct stat before, now;
    unsigned tries = 0;

    guest_fill(sector, at, 55);
    assert_int_equal(fstat(base, &before), 0);
    do {
        /* Many kernels move them with the timer's tick. */
        assert_true(tries++ < 10000);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        assert_int_equal(pwrite(base, sector, SECTOR, at * SECTOR), SECTOR);
        assert_int_equal(fstat(base, &now), 0);
    } while (now.st_mtim.tv_sec == before.st_mtim.tv_sec &&
             now.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
    g->version[at] = 55;
    world.now = now.st_mtim.tv_sec;
    world.later = 0;
}

/* The base changes under the disks: what was cached is not served any more. */
static void test_changed(void **state)
{
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
    change_base(base, g, 3);
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

/* One that reads much of a base does not keep another's reads of it waiting, nor do reads writes. */
static void test_lanes(void **state)
{
    const struct io_lane *lane[3];
    struct guest *g[2];
    int base;

    (void)state;
    world_begin(15);
    base = make_base(SECTORS);
    for (unsigned i = 0; i < 2; i++) {
        g[i] = guest_new(i + 1, overlay_volume(i ? "two" : "one", base, 0));
        assert_true(guest_put(g[i], REQUEST_READ, 80 + i * 800, 8));
        world_settle();
        lane[i] = world.lane;
        guest_listen(g[i]);
    }
    assert_true(guest_put(g[0], REQUEST_WRITE, 80, 8));
    world_settle();
    lane[2] = world.lane;
    assert_true(lane[0] && lane[1] && lane[2]);
    assert_true(lane[0] != lane[1] && lane[0] != lane[2] && lane[1] != lane[2]);
    guest_listen(g[0]);
    end_guests(g, 2);
    close(base);
    world_end();
}

/* A read that began before a change was noticed ends when the base has a new object: it is not put in there. */
static void test_late(void **state)
{
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
    change_base(base, g, 3);
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

/*
 * Which writes are on the medium after so many steps: those that were over when a synchronisation began that succeeded.
 * One that fails takes with it what it was to save: no later one will.
 */
static void find_safe(int fd, unsigned steps, bool *safe)
{
    bool *gone = calloc(steps + 1, sizeof(*gone));

    memset(safe, 0, steps * sizeof(*safe));
    for (unsigned i = 0; i < steps; i++) {
        const struct world_step *s = &world.step[i];

        if (s->kind != IO_SYNC || s->fd != fd)
            continue;
        for (unsigned n = 0; n < (s->failed ? i : s->began); n++) {
            gone[n] |= s->failed && !safe[n];
            safe[n] |= !gone[n];
        }
    }
    free(gone);
}

/* The file as it may be when power goes after `steps` steps: what was synchronised, and of the rest any sectors. */
static void cut_power(const char *before, const char *after, int fd, unsigned steps)
{
    int from = open(before, O_RDONLY), to = open(after, O_RDWR | O_CREAT | O_TRUNC, 0600);
    static uint8_t copy[1 << 22];
    ssize_t size = read(from, copy, sizeof(copy));
    bool *safe = calloc(steps + 1, sizeof(*safe));

    assert_int_equal(write(to, copy, (size_t)size), size);
    find_safe(fd, steps, safe);
    for (unsigned i = 0; i < steps; i++) {
        const struct world_step *s = &world.step[i];

        if (s->kind != IO_WRITE || s->fd != fd)
            continue;
        for (size_t at = 0; at < s->size; at += SECTOR) {
            if (safe[i] || world_random(2))
                assert_int_equal(pwrite(to, s->data + at, SECTOR, (off_t)(s->offset + at)), SECTOR);
        }
    }
    free(safe);
    close(from);
    close(to);
}

static bool is_as_new(const struct guest *g, uint32_t found, uint32_t least)
{
    return found >= least || g->written[least].failed;
}

/* Where a barrier's data are, all is that was asked before it. */
static void check_barriers(const struct guest *g, const uint32_t *found)
{
    for (unsigned i = 0; i < g->barriers; i++) {
        const struct guest_barrier *b = &g->barrier[i];
        bool there = false;

        for (uint64_t s = b->first; s < b->first + b->count; s++)
            there |= found[s] == b->version;
        for (uint64_t s = 0; there && s < g->sectors; s++)
            assert_true(is_as_new(g, found[s], b->before[s]));
    }
}

static void check_after(struct guest *g, const char *path, unsigned steps)
{
    int fd = open(path, O_RDWR), base = g->disk.volume->base->fd;
    char why[OVERLAY_WHY];
    struct overlay o;
    const uint32_t *least = NULL;
    uint32_t *found = calloc(g->sectors, sizeof(*found));

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
        found[s] = version = guest_version(bytes, s);
        assert_true(version != ~0u);
        assert_true(!least || is_as_new(g, version, least[s]));
        assert_true(!version || (s >= g->written[version].first &&
                                 s < g->written[version].first + g->written[version].count));
    }
    check_barriers(g, found);
    free(found);
    overlay_close(&o, false);
    close(fd);
}

/* Random writes, flushes and barriers, and then power goes at each step of it. */
static unsigned write_and_cut(uint64_t seed, bool (*spoil)(const struct io *io),
                              void (*on_loss)(void *owner))
{
    char before[80], after[80], command[200];
    struct guest *g;
    unsigned flushes;
    int base;

    snprintf(before, sizeof(before), "%s", path_of("before"));
    snprintf(after, sizeof(after), "%s", path_of("after"));
    world_begin(seed);
    base = make_base(401);
    g = guest_new(1, overlay_volume("one", base, 0));
    g->may_fail = spoil != NULL;
    g->disk.volume->on_loss = on_loss;
    g->disk.volume->owner = g;
    snprintf(command, sizeof(command), "cp %s %s", path_of("one"), before);
    assert_int_equal(system(command), 0);
    world.record = true;
    world.spoil = spoil;
    for (unsigned i = 0; i < 60; i++) {
        enum request_kind kind = world_random(5)   ? REQUEST_WRITE
                                 : world_random(3) ? REQUEST_FLUSH
                                                   : REQUEST_BARRIER;
        uint64_t first = world_random(g->sectors);

        guest_put(g, kind, kind == REQUEST_FLUSH ? 0 : first,
                  kind == REQUEST_FLUSH ? 0 : 1 + (unsigned)world_random(g->sectors - first) % 30);
        for (unsigned n = (unsigned)world_random(6); n; n--)
            world_advance();
        guest_listen(g);
    }
    world_settle();
    guest_listen(g);
    flushes = g->flushes;
    for (unsigned steps = 0; steps <= world.steps; steps++) {
        cut_power(before, after, g->disk.volume->fd, steps);
        check_after(g, after, steps);
    }
    end_guests(&g, 1);
    close(base);
    world_end();
    return flushes;
}

static void test_power(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        assert_true(write_and_cut(seed * 31, NULL, NULL) > 3);
}

/* ---- flushes that fail ---- */

static unsigned flushes_left, losses;

/* One synchronisation fails, once: the kernel tells of a loss to the first that asks, and to nobody after. */
static bool spoil_flush(const struct io *io)
{
    return io->kind == IO_SYNC && flushes_left && !--flushes_left;
}

static void count_loss(void *owner)
{
    (void)owner;
    losses++;
}

static void test_failed_flush(void **state)
{
    unsigned flushes = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        losses = 0;
        flushes_left = 2 + seed % 7;
        flushes += write_and_cut(seed * 37, spoil_flush, count_loss);
        assert_int_equal(flushes_left, 0);
        assert_int_equal(losses, 1);
    }
    assert_true(flushes > 12); /* before they failed */
}

static bool unanswered; /* when the loss was told of, the guest had no answer yet */

static void note_unanswered(void *owner)
{
    const struct guest *g = owner;

    unanswered = g->shared->rsp_prod == g->consumed;
}

static bool flush_is_good(struct guest *g, enum request_kind kind)
{
    unsigned before = g->errors;

    assert_true(guest_put(g, kind, 0, 0));
    world_settle();
    guest_listen(g);
    return g->errors == before;
}

/* Nothing that may be lost is answered well after a flush that failed, and the loss is told first. */
static void test_lost(void **state)
{
    struct guest *g;

    (void)state;
    world_begin(13);
    g = guest_new(3, raw_volume());
    g->may_fail = true;
    g->disk.volume->on_loss = note_unanswered;
    g->disk.volume->owner = g;
    unanswered = false;
    world.spoil = spoil_flush;
    flushes_left = 2;
    assert_true(guest_put(g, REQUEST_WRITE, 0, 8));
    world_settle();
    guest_listen(g);
    assert_true(flush_is_good(g, REQUEST_FLUSH));
    /* Two writes on their way, one of which ends before the flush does: their answers come after its. */
    assert_true(guest_put(g, REQUEST_FLUSH, 0, 0));
    assert_true(guest_put(g, REQUEST_WRITE, 8, 8));
    assert_true(guest_put(g, REQUEST_WRITE, 16, 8));
    world_settle();
    guest_listen(g);
    assert_true(unanswered);
    assert_int_equal(g->errors, 3);
    assert_false(flush_is_good(g, REQUEST_FLUSH));
    assert_false(flush_is_good(g, REQUEST_BARRIER));
    assert_true(guest_put(g, REQUEST_WRITE, 24, 8));
    world_settle();
    guest_listen(g);
    assert_int_equal(g->errors, 6);
    assert_true(guest_put(g, REQUEST_READ, 0, 8));
    world_settle();
    guest_listen(g);
    assert_int_equal(g->errors, 6); /* reads go on */
    end_guests(&g, 1);
    world_end();
}

/* What was not flushed is not taken for data on the medium by whoever opens the overlay next. */
static void test_lost_map(void **state)
{
    struct overlay o;
    struct guest *g;
    char why[OVERLAY_WHY], live[80];
    int base;

    (void)state;
    world_begin(14);
    base = make_base(401);
    g = guest_new(1, overlay_volume("one", base, 0));
    g->may_fail = true;
    assert_true(guest_put(g, REQUEST_WRITE, 0, 8));
    world_settle();
    guest_listen(g);
    assert_true(flush_is_good(g, REQUEST_FLUSH));
    assert_true(guest_put(g, REQUEST_WRITE, 8, 8));
    world_settle();
    guest_listen(g);
    world.spoil = spoil_flush;
    flushes_left = 1;
    assert_false(flush_is_good(g, REQUEST_FLUSH));
    disk_forget(&g->disk);
    volume_free(g->disk.volume, false);
    guest_free(g);
    snprintf(live, sizeof(live), "%s.live", path_of("one"));
    o.live_fd = open(live, O_RDWR);
    assert_int_equal(overlay_open(open(path_of("one"), O_RDWR), o.live_fd, &o, why), 0);
    assert_true(overlay_has(&o, 0));
    assert_false(overlay_has(&o, 1));
    close(o.fd);
    overlay_close(&o, true);
    close(base);
    world_end();
}

static unsigned maps_left;

static bool spoil_map(const struct io *io)
{
    return io->kind == IO_WRITE && io->offset >= 8192 && io->offset < 12288 && maps_left &&
           !--maps_left;
}

/* A write of the map that fails is as bad: the guest asks no second time. */
static void test_failed_map(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        losses = 0;
        maps_left = 1 + seed % 3;
        write_and_cut(seed * 41, spoil_map, count_loss);
        assert_int_equal(maps_left, 0);
        assert_int_equal(losses, 1);
    }
}

static int begin(void **state)
{
    (void)state;
    world.later = 1000; /* so that the base may be cached */
    return directory_make();
}

static int end(void **state)
{
    (void)state;
    return directory_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_play),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_once),         cmocka_unit_test(test_changed),
        cmocka_unit_test(test_beyond),       cmocka_unit_test(test_power),
        cmocka_unit_test(test_late),         cmocka_unit_test(test_turns),
        cmocka_unit_test(test_discards),     cmocka_unit_test(test_private),
        cmocka_unit_test(test_failed_flush), cmocka_unit_test(test_lost),
        cmocka_unit_test(test_lost_map),     cmocka_unit_test(test_failed_map),
        cmocka_unit_test(test_shut_out),     cmocka_unit_test(test_lanes),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
