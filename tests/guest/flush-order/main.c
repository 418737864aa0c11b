/* SPDX-License-Identifier: MIT */
/*
 * Invariant 18: claim, then flush, then look.
 *
 * One vCPU keeps a writable translation of a frame warm and stores through it as fast as
 * it can; the other makes the frame a table. Once that call has succeeded no store may
 * land, for every level.
 *
 * run: smp=2 deadline=120
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

static uint64_t frame;
static volatile int stop;
static volatile uint64_t stores;

static void store(void *arg)
{
    volatile uint64_t *p = arg;

    /* Not-present values: the frame stays a legal table whenever it is looked at. */
    for (;; stores++) {
        p[stores & 511] = stores << 12;
        if (stop)
            return;
    }
}

static void attacker(void *arg)
{
    while (!stop)
        if (trap_run(store, arg, NULL))
            /* The mapping is gone: make it again; refused while the frame is a table. */
            hc_update_va(WINDOW, mm_entry(frame, PTE_RW), 0);
}

static void level(int l)
{
    int landed = 0, became = 0, refused = 0;
    uint64_t snapshot[512], at = mm_walk(mm_root(), WINDOW, 1, NULL), start;

    for (unsigned int round = 0; test_race_until(round, 400, became); round++) {
        start = stores;
        for (int spin = 0; stores == start && spin < 1000; spin++)
            vcpu_yield();
        /* No flush asked for: the other's translation stays as it is. */
        mm_set(at, 0);
        if (test_pin(l, frame)) {
            refused++;
            continue;
        }
        became++;
        memcpy(snapshot, mm_va(frame), MM_PAGE);
        for (int spin = 0; spin < 20; spin++) {
            vcpu_yield();
            landed += memcmp(snapshot, mm_va(frame), MM_PAGE) != 0;
        }
        /* A table of level 4 carries the hypervisor's slots; take them out again. */
        if (test_unpin(frame))
            landed++;
        if (l == 4) {
            mm_home(frame, PTE_RW);
            memset((uint64_t *)mm_va(frame) + 256, 0, 16 * 8);
            mm_home(frame, PTE_RO);
        }
    }
    test_eq("18a", "stores that landed in a table", landed, 0);
    test_true("18a", "it became a table now and then", became > 0);
    test_note("level %d: %d times a table, %d times refused", l, became, refused);
}

/* Descriptor pages, the same way. */
static void descriptors(void)
{
    int landed = 0, became = 0;
    uint64_t snapshot[512], at = mm_walk(mm_root(), WINDOW, 1, NULL);

    for (unsigned int round = 0; test_race(round, 400); round++) {
        uint64_t list[1] = {mm_mfn(frame)}, start = stores;

        for (int spin = 0; stores == start && spin < 1000; spin++)
            vcpu_yield();
        mm_set(at, 0);
        /* Its content may be refused: descriptors that are present are checked. */
        if (hypercall(__HYPERVISOR_set_gdt, HC_ADDR(list), 512, 0, 0, 0))
            continue;
        became++;
        memcpy(snapshot, mm_va(frame), MM_PAGE);
        for (int spin = 0; spin < 20; spin++) {
            vcpu_yield();
            landed += memcmp(snapshot, mm_va(frame), MM_PAGE) != 0;
        }
        hypercall(__HYPERVISOR_set_gdt, HC_ADDR(list), 0, 0, 0, 0);
    }
    test_eq("18b", "stores that landed in a descriptor page", landed, 0);
    test_note("%d times a descriptor page", became);
}

int main(void)
{
    test_begin("flush-order");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    frame = mm_table();
    mm_set(mm_walk(mm_root(), WINDOW, 1, NULL), mm_entry(frame, PTE_RW));
    vcpu_run(1, attacker, (void *)WINDOW);
    for (int l = 1; l <= 4; l++)
        level(l);
    descriptors();
    stop = 1;
    vcpu_join(1);
    test_note("%lu stores", (unsigned long)stores);
    test_end();
}
