/* SPDX-License-Identifier: MIT */
/*
 * Rewriting page tables. A generated tree of all four levels in a machine memory of its own, saved as guest
 * frames and restored into other machine frames, must map every address as before; then every flag,
 * and every entry that must be refused.
 */
#include "test.h"

#include "image/rewrite.h"

#define FRAMES  4096u
#define TABLES  64u
#define PRESENT 1ull
#define RW      2ull
#define FRAME   0x000ffffffffff000ull

/* Tables of a domain: those of level n are the frames with level[gfn] == n. */
struct tree {
    uint64_t mfn[FRAMES];
    uint32_t gfn[4 * FRAMES]; /* of an mfn; 0: not the domain's */
    uint8_t level[FRAMES];
    uint64_t table[FRAMES][512]; /* of those that are tables */
};

static uint64_t seed;

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

static uint64_t to_gfn(void *context, uint64_t mfn)
{
    const struct tree *t = context;

    return mfn < 4 * FRAMES && t->gfn[mfn] ? t->gfn[mfn] : REWRITE_NONE;
}

static uint64_t to_mfn(void *context, uint64_t gfn)
{
    const struct tree *t = context;

    return gfn > 0 && gfn < FRAMES ? t->mfn[gfn] : REWRITE_NONE;
}

static unsigned level_of(void *context, uint64_t gfn)
{
    const struct tree *t = context;

    return gfn < FRAMES ? t->level[gfn] : 0;
}

/* Machine frames: any, different from one tree to the next. Guest frame 0 is a hole. */
static void scatter(struct tree *t)
{
    memset(t->gfn, 0, sizeof(t->gfn));
    for (uint32_t gfn = 1; gfn < FRAMES; gfn++) {
        uint64_t mfn;

        do
            mfn = rnd() % (4 * FRAMES);
        while (t->gfn[mfn]);
        t->mfn[gfn] = mfn;
        t->gfn[mfn] = gfn;
    }
}

/* All flags but those with a meaning for the rewriting, at random; also the high ones. */
static uint64_t flags(unsigned level)
{
    uint64_t f = (rnd() << 52 | (rnd() & 0xfff)) & ~(PRESENT | RW);

    return level > 1 ? f & ~0x80ull : f;
}

static uint32_t pick(const struct tree *t, unsigned level)
{
    uint32_t gfn;

    do
        gfn = 1 + (uint32_t)(rnd() % (FRAMES - 1));
    while (t->level[gfn] != level);
    return gfn;
}

/*
 * Tables in any frame, also the first and last; each names random ones of the level below, so that many
 * are shared, some by nobody.
 */
static struct tree *generate(uint64_t from)
{
    struct tree *t = calloc(1, sizeof(*t));

    seed = from;
    scatter(t);
    t->level[1] = 4;
    t->level[FRAMES - 1] = 1;
    t->level[FRAMES - 2] = 3;
    t->level[2] = 2;
    for (unsigned i = 4; i < TABLES; i++) {
        uint32_t gfn = pick(t, 0);

        t->level[gfn] = (uint8_t)(1 + i % 4);
    }
    for (uint32_t gfn = 1; gfn < FRAMES; gfn++)
        for (unsigned i = 0; t->level[gfn] && i < 512; i++) {
            unsigned level = t->level[gfn];
            uint32_t target = level > 1 ? pick(t, level - 1) : 1 + (uint32_t)(rnd() % (FRAMES - 1));
            bool table = t->level[target] != 0;

            if (level == 4 && i >= 256 && i <= 271)
                t->table[gfn][i] = rnd() << 32 | rnd(); /* the hypervisor's: anything */
            else if (rnd() % 3 == 0)
                t->table[gfn][i] = (rnd() << 33 | rnd() << 3) & ~PRESENT;
            else
                t->table[gfn][i] = t->mfn[target] << 12 | flags(level) | PRESENT |
                                   (level > 1 || !table ? rnd() & RW : 0);
        }
    return t;
}

static struct rewrite_frames frames_of(struct tree *t, bool save)
{
    return (struct rewrite_frames){
        .context = t, .lookup = save ? to_gfn : to_mfn, .level = level_of};
}

/* Save the tree and restore it into new frames. */
static struct tree *move_tree(struct tree *old)
{
    struct tree *new = calloc(1, sizeof(*new));
    struct rewrite_frames save = frames_of(old, true), restore = frames_of(new, false);
    struct rewrite_result result;

    scatter(new);
    memcpy(new->level, old->level, sizeof(new->level));
    for (uint32_t gfn = 1; gfn < FRAMES; gfn++) {
        unsigned level = old->level[gfn];
        uint64_t canonical[512];

        if (!level)
            continue;
        assert_int_equal(rewrite_to_gfn(level, old->table[gfn], canonical, &save, &result), 0);
        assert_int_equal(result.cleared, 0);
        memcpy(new->table[gfn], canonical, sizeof(canonical)); /* in place, too */
        assert_int_equal(rewrite_to_mfn(level, new->table[gfn], new->table[gfn], &restore, &result),
                         0);
    }
    return new;
}

/* Entry by entry the same, but for the frames, which are the same in guest numbers. */
static void assert_same_tree(const struct tree *a, const struct tree *b)
{
    unsigned moved = 0;

    for (uint32_t gfn = 1; gfn < FRAMES; gfn++)
        for (unsigned i = 0; a->level[gfn] && i < 512; i++) {
            uint64_t x = a->table[gfn][i], y = b->table[gfn][i];

            if (a->level[gfn] == 4 && i >= 256 && i <= 271) {
                assert_int_equal(y, 0);
            } else if (!(x & PRESENT)) {
                assert_int_equal(x, y);
            } else {
                assert_int_equal(x & ~FRAME, y & ~FRAME);
                assert_int_equal(a->gfn[(x & FRAME) >> 12], b->gfn[(y & FRAME) >> 12]);
                moved += (x & FRAME) != (y & FRAME);
            }
        }
    assert_true(moved > 1000);
}

/* What a walk from a root finds for an address: guest frame and all flags on the way; 0: nothing. */
static uint64_t walk(const struct tree *t, uint32_t gfn, uint64_t address, uint64_t *all)
{
    *all = 0;
    for (unsigned level = 4;; level--) {
        uint64_t entry = t->table[gfn][address >> (12 + 9 * (level - 1)) & 511];

        if (!(entry & PRESENT))
            return 0;
        gfn = t->gfn[(entry & FRAME) >> 12];
        *all = *all * 31 + (entry & ~FRAME);
        if (level == 1)
            return gfn;
    }
}

static void test_trees(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        struct tree *old = generate(1000 + n), *new = move_tree(old);
        unsigned mapped = 0;

        assert_same_tree(old, new);
        for (unsigned i = 0; i < 20000; i++) {
            uint64_t address = rnd() << 20 ^ rnd() << 3, x, y;
            uint32_t root = pick(old, 4);

            if ((address >> 39 & 511) >= 256 && (address >> 39 & 511) <= 271)
                continue;
            assert_int_equal(walk(old, root, address, &x), walk(new, root, address, &y));
            assert_int_equal(x, y);
            mapped += walk(old, root, address, &x) != 0;
        }
        assert_true(mapped > 1000);
        free(old);
        free(new);
    }
}

/* Every single bit of an entry, at every level, both ways: kept, or refused for the one known reason. */
static void test_every_bit(void **state)
{
    struct tree *t = generate(7);
    struct rewrite_frames save = frames_of(t, true);
    struct rewrite_result result;

    (void)state;
    for (unsigned level = 1; level <= 4; level++)
        for (unsigned bit = 0; bit < 64; bit++) {
            uint32_t target = pick(t, level - 1);
            uint64_t table[512] = {0}, out[512], entry = t->mfn[target] << 12 | PRESENT;
            int rc;

            if (bit >= 12 && bit < 52)
                continue;
            table[5] = entry ^ 1ull << bit;
            rc = rewrite_to_gfn(level, table, out, &save, &result);
            if (bit == 7 && level > 1) {
                assert_int_equal(rc, -1);
                assert_int_equal(result.problem, REWRITE_SUPERPAGE);
                assert_int_equal(result.index, 5);
                assert_int_equal(result.entry, table[5]);
                continue;
            }
            assert_int_equal(rc, 0);
            assert_int_equal(out[5],
                             bit == 0 ? table[5] : (uint64_t)target << 12 | (table[5] & ~FRAME));
        }
    free(t);
}

static void refused(struct tree *t, bool save, unsigned level, unsigned index, uint64_t entry,
                    enum rewrite_problem problem)
{
    struct rewrite_frames frames = frames_of(t, save);
    uint64_t table[512] = {0}, out[512];
    struct rewrite_result result;
    char text[120];
    int rc;

    table[index] = entry;
    rc = save ? rewrite_to_gfn(level, table, out, &frames, &result)
              : rewrite_to_mfn(level, table, out, &frames, &result);
    assert_int_equal(rc, problem == REWRITE_OK ? 0 : -1);
    assert_int_equal(result.problem, problem);
    assert_non_null(rewrite_describe(&result, text, sizeof(text)));
    assert_true(strlen(text) > 5);
}

static void test_refused(void **state)
{
    struct tree *t = generate(8);
    uint32_t root = pick(t, 4), l3 = pick(t, 3), l2 = pick(t, 2), l1 = pick(t, 1),
             data = pick(t, 0);

    (void)state;
    for (unsigned save = 0; save < 2; save++) {
        const uint64_t shift = 12;
#define NAMED(gfn) ((save ? t->mfn[gfn] : (uint64_t)(gfn)) << shift | PRESENT)
        for (unsigned level = 1; level <= 4; level++) { /* not the domain's, or no frame at all */
            refused(t, save, level, 0, FRAME | PRESENT, REWRITE_FOREIGN);
            refused(t, save, level, 511, (uint64_t)4 * FRAMES << 12 | PRESENT, REWRITE_FOREIGN);
            for (unsigned bit = 27; bit < 52; bit++) /* each bit of a frame number counts */
                refused(t, save, level, 3, 1ull << bit | NAMED(pick(t, level - 1)),
                        REWRITE_FOREIGN);
        }
        refused(t, save, 4, 9, NAMED(root), REWRITE_LEVEL); /* itself, or its like */
        refused(t, save, 3, 9, NAMED(l3), REWRITE_LEVEL);
        refused(t, save, 2, 9, NAMED(l2), REWRITE_LEVEL);
        refused(t, save, 4, 9, NAMED(l2), REWRITE_LEVEL);
        refused(t, save, 4, 9, NAMED(l1), REWRITE_LEVEL);
        refused(t, save, 3, 9, NAMED(root), REWRITE_LEVEL);
        refused(t, save, 2, 9, NAMED(data), REWRITE_LEVEL);
        refused(t, save, 2, 9, NAMED(root), REWRITE_LEVEL);
        refused(t, save, 1, 9, NAMED(root) | RW, REWRITE_WRITABLE);
        refused(t, save, 1, 9, NAMED(l1) | RW, REWRITE_WRITABLE);
        refused(t, save, 1, 9, NAMED(l1), REWRITE_OK);
        refused(t, save, 1, 9, NAMED(data) | RW, REWRITE_OK);
        refused(t, save, 2, 9, NAMED(l1) | 0x80, REWRITE_SUPERPAGE);
        refused(t, save, 3, 9, NAMED(l2) | 0x80, REWRITE_SUPERPAGE);
        refused(t, save, 4, 9, NAMED(l3) | 0x80, REWRITE_SUPERPAGE);
        refused(t, save, 0, 9, 0, REWRITE_BAD_LEVEL);
        refused(t, save, 5, 9, 0, REWRITE_BAD_LEVEL);
#undef NAMED
    }
    for (unsigned slot = 255; slot <= 272; slot++) {
        bool hypervisors = slot != 255 && slot != 272;

        refused(t, false, 4, slot, 2, hypervisors ? REWRITE_HYPERVISOR : REWRITE_OK);
        refused(t, false, 3, slot, 2, REWRITE_OK);
        refused(t, true, 4, slot, FRAME | PRESENT, hypervisors ? REWRITE_OK : REWRITE_FOREIGN);
    }
    free(t);
}

/* Foreign entries may be cleared while saving, and only at level 1. */
static void test_foreign(void **state)
{
    struct tree *t = generate(9);
    struct rewrite_frames save = frames_of(t, true), restore = frames_of(t, false);
    uint64_t table[512] = {0}, out[512];
    struct rewrite_result result;

    (void)state;
    save.clear_foreign = restore.clear_foreign = true;
    table[3] = FRAME | PRESENT | RW;
    table[4] = t->mfn[pick(t, 0)] << 12 | PRESENT;
    table[500] = FRAME | PRESENT;
    assert_int_equal(rewrite_to_gfn(1, table, out, &save, &result), 0);
    assert_int_equal(result.cleared, 2);
    assert_int_equal(out[3], 0);
    assert_int_equal(out[500], 0);
    assert_true(out[4] & PRESENT);
    assert_int_equal(rewrite_to_gfn(2, table, out, &save, &result), -1);
    assert_int_equal(rewrite_to_mfn(1, table, out, &restore, &result), -1);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_foreign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
