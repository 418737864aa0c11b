/* SPDX-License-Identifier: MIT */
/*
 * Invariant 14: editing a live entry is as strict as creating it.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

static uint64_t at(int level)
{
    return mm_walk(mm_root(), WINDOW, level, NULL);
}

static uint64_t entry(int level)
{
    uint64_t value = 0;

    mm_walk(mm_root(), WINDOW, level, &value);
    return value;
}

/* The classic: read-only onto a table, then only the writable bit. */
static void classic(void)
{
    uint64_t ro = mm_entry(mm_root(), PTE_RO);
    uint64_t value, l1;

    test_eq("14a", "the root, read-only", mm_set(at(1), ro), 0);
    test_refused("14a", "flip writable", mm_set(at(1), ro | PTE_W));
    test_refused("14a", "flip writable, keeping A and D",
                 mm_set(at(1) | MMU_PT_UPDATE_PRESERVE_AD, ro | PTE_W));
    test_refused("14a", "by update_va", hc_update_va(WINDOW, ro | PTE_W, UVMF_INVLPG));
    mm_walk(mm_root(), WINDOW, 2, &value);
    l1 = HC_ADDR(mm_va(mm_pfn((value & PTE_ADDR) / MM_PAGE))) + 8 * mm_index(WINDOW, 1);
    test_eq("14a", "by a store", trap_write(l1, ro | PTE_W), TRAP_PF);
    test_true("14a", "the entry stays", test_same_entry(entry(1), ro));
    test_eq("14a", "and is read-only", trap_write(WINDOW, 1), TRAP_PF);
    test_eq("14a", "clear", mm_set(at(1), 0), 0);
}

/* As test_same_entry, and what was written to A and D is kept too: nobody used the page. */
static bool same_bits(uint64_t a, uint64_t b)
{
    return test_same_entry(a, b) && !((a ^ b) & (PTE_A | PTE_D));
}

/* Legal changes of a level 1 entry: each takes effect, bit by bit and in pairs. */
static void legal_changes(void)
{
    static const uint64_t free_bits[] = {PTE_W,         PTE_A,         PTE_D, PTE_SOFT,
                                         PTE_SOFT << 1, PTE_SOFT << 2, PTE_NX};
    uint64_t pfn = mm_alloc(), base = mm_entry(pfn, PTE_RO);
    int bad = 0;

    test_eq("14b", "map", mm_set(at(1), base), 0);
    for (unsigned int i = 0; i < 7; i++)
        for (unsigned int j = i; j < 7; j++) {
            uint64_t want = base ^ free_bits[i];

            if (i != j)
                want ^= free_bits[j];
            if (mm_set(at(1), want) || !same_bits(entry(1), want) || mm_set(at(1), base) ||
                !same_bits(entry(1), base)) {
                test_note("bits %lx %lx: entry %lx", free_bits[i], free_bits[j], entry(1));
                bad++;
            }
        }
    test_eq("14b", "flag changes", bad, 0);
    test_eq("14b", "clear", mm_set(at(1), 0), 0);
    mm_free(pfn);
}

/* Frame changes in place: from ours to not ours; the old mapping and its reference stay. */
static void illegal_frames(void)
{
    struct test_frame f[TEST_FOREIGN_FRAMES];
    uint64_t pfn = mm_alloc(), base = mm_entry(pfn, PTE_RW);

    test_foreign_frames(f);
    test_eq("14c", "map", mm_set(at(1), base), 0);
    for (unsigned int i = 0; i < TEST_FOREIGN_FRAMES; i++) {
        test_refused("14c", f[i].name, mm_set(at(1), f[i].mfn << 12 | PTE_RW));
        test_true("14c", "the entry stays", test_same_entry(entry(1), base));
    }
    test_eq("14c", "and works", trap_write(WINDOW, 77), -1);
    test_eq("14c", "on the same frame", *(int64_t *)mm_va(pfn), 77);
    test_refused("14c", "its frame has a writable mapping still", test_pin(1, pfn));
    test_eq("14c", "clear", mm_set(at(1), 0), 0);
    mm_free(pfn);
}

static void judge_upper(unsigned int bit, long ret, uint64_t base, uint64_t want, uint64_t now)
{
    bool harmless = bit == 1 || bit == 5 || bit == 6 || (bit >= 9 && bit <= 11);
    bool address = bit >= 12 && bit < 52;

    if (harmless && (ret || !test_same_entry(now, want)))
        test_eq("14d", "a harmless bit", (int64_t)now, (int64_t)want);
    else if (bit == 7)
        test_eq("14d", "bit 7 in an upper entry", ret, -XEN_EINVAL);
    else if (bit == 8)
        test_eq_ours("14d", "global bit in an upper entry", ret, -XEN_EINVAL);
    else if (address && ret >= 0 && !test_own_frame((want & PTE_ADDR) / MM_PAGE))
        test_refused("14d", "another frame", ret);
    /* What may be taken or left (cache bits, software bits 52 up): all or nothing. */
    if (!test_same_entry(now, ret ? base : want))
        test_eq("14d", "result and entry disagree", (int64_t)now, ret);
}

/* Upper levels, one bit at a time. */
static void upper_levels(void)
{
    for (int level = 2; level <= 4; level++) {
        uint64_t base = entry(level);

        for (unsigned int bit = 0; bit < 64; bit++) {
            uint64_t want = base ^ 1ul << bit, now;
            long ret;

            /* The path to ourselves must not be cut: leave P and U; NX is legal there. */
            if (bit == 0 || bit == 2 || bit == 63)
                continue;
            ret = mm_set(at(level), want);
            now = entry(level);
            judge_upper(bit, ret, base, want, now);
            mm_set(at(level), base);
        }
        test_true("14d", "the level is as it was", test_same_entry(entry(level), base));
    }
}

/* In a batch: the illegal one ends it, what came before stays. */
static void in_a_batch(void)
{
    uint64_t pfn = mm_alloc(), ro = mm_entry(pfn, PTE_RO);
    struct mmu_update reqs[3] = {{at(1), ro}, {at(1), mm_entry(mm_root(), PTE_RW)}, {at(1), 0}};
    unsigned int done = 9;

    test_refused("14e", "writable root as the second of three",
                 hc_mmu_update(reqs, 3, &done, DOMID_SELF));
    test_eq("14e", "one done", done, 1);
    test_true("14e", "entry of the first", test_same_entry(entry(1), ro));
    test_eq("14e", "clear", mm_set(at(1), 0), 0);
    mm_free(pfn);
}

int main(void)
{
    test_begin("live-entries");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    classic();
    legal_changes();
    illegal_frames();
    upper_levels();
    in_a_batch();
    test_end();
}
