/* SPDX-License-Identifier: MIT */
/*
 * Invariants 11 and 4: nobody waits for the end of a list.
 *
 * [SMP] The second vCPU makes the longest list that each call takes, half a terabyte of addresses that all show the same
 * page. Meanwhile the first has the books audited, for which the other must be held, again and again. Each list then goes on
 * where it was: it ends when its page is taken away, and with the answer for that.
 *
 * run: smp=2 deadline=120
 * also one: smp=1 hv=dom0_max_vcpus=2
 */
#include <bare/test.h>
#include <xen/grant_table.h>

#define WINDOW 0x0000100000000000ul /* a level 4 entry's worth of addresses */
#define AUDITS 5

static uint64_t page, window_entry;
static uint64_t table; /* what the updates change */

/* One table whose every entry names `below`. */
static uint64_t all_the_same(uint64_t below, uint64_t bits)
{
    uint64_t pfn = mm_alloc(), *t = mm_va(pfn);

    for (unsigned int i = 0; i < 512; i++)
        t[i] = mm_entry(below, bits);
    if (mm_home(pfn, PTE_RO))
        console_panic("a table's home");
    return pfn;
}

static void make_window(void)
{
    page = mm_alloc();
    window_entry =
        mm_entry(all_the_same(all_the_same(all_the_same(page, PTE_RW), PTE_RW), PTE_RW), PTE_RW);
}

static void show_window(bool shown)
{
    struct mmuext_op flush = {.cmd = MMUEXT_TLB_FLUSH_ALL};

    if (mm_set(mm_slot(mm_root(), mm_index(WINDOW, 4)), shown ? window_entry : 0))
        console_panic("the window");
    hc_mmuext(&flush, 1, NULL, DOMID_SELF);
}

/* ---- the lists ---- */

#define NOT_FAR 99 /* an answer: of the list too little was done */

static uint64_t *fill(uint64_t even, uint64_t odd)
{
    uint64_t *words = mm_va(page);

    for (unsigned int i = 0; i < MM_PAGE / 8; i++)
        words[i] = i & 1 ? odd : even;
    return words;
}

static long updates(void)
{
    unsigned int done = 0;
    long ret;

    fill(mm_slot(table, 7), mm_entry(page, PTE_RO));
    ret = hc_mmu_update((void *)WINDOW, 0x7fffffff, &done, DOMID_SELF);
    return done > 16 ? ret : NOT_FAR;
}

static long extended(void)
{
    unsigned int done = 0;
    long ret;

    fill(MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_TLB_FLUSH_LOCAL); /* whatever word the command is */
    ret = hc_mmuext((void *)WINDOW, 0x7fffffff, &done, DOMID_SELF);
    return done > 8 ? ret : NOT_FAR;
}

static long calls(void)
{
    struct multicall_entry *m = (void *)fill(0, 0);

    for (unsigned int i = 0; i < MM_PAGE / sizeof(*m); i++)
        m[i].op = __HYPERVISOR_xen_version;
    return hc_multicall((void *)WINDOW, ~0u);
}

static long calls_of_lists(void)
{
    struct multicall_entry *m = (void *)fill(0, 0);

    /* Updates whose list is these entries: the first is refused. */
    for (unsigned int i = 0; i < MM_PAGE / sizeof(*m); i++)
        m[i] = (struct multicall_entry){.op = __HYPERVISOR_mmu_update,
                                        .args = {WINDOW, 0x7fffffff, 0, DOMID_SELF}};
    return hc_multicall((void *)WINDOW, ~0u);
}

static long grants(unsigned int cmd)
{
    fill(0, 0); /* each is refused, for itself */
    return hypercall(__HYPERVISOR_grant_table_op, cmd, WINDOW, 0x7fffffff, 0, 0);
}

static long grant_maps(void)
{
    return grants(GNTTABOP_map_grant_ref);
}
static long grant_unmaps(void)
{
    return grants(GNTTABOP_unmap_grant_ref);
}
static long grant_copies(void)
{
    return grants(GNTTABOP_copy);
}
static long grant_swaps(void)
{
    return grants(GNTTABOP_swap_grant_ref);
}

static const struct list {
    const char *name;
    long (*make)(void);
} lists[] = {
    {"updates", updates},
    {"extended operations", extended},
    {"calls", calls},
    {"calls that have lists", calls_of_lists},
    {"grants mapped", grant_maps},
    {"grants unmapped", grant_unmaps},
    {"grants copied", grant_copies},
    {"grants swapped", grant_swaps},
};

/* ---- holding who makes one ---- */

static volatile bool inside, returned;
static long answer;

static void make(void *arg)
{
    const struct list *l = arg;

    inside = true;
    answer = l->make();
    returned = true;
}

/* For so long, and then for as long as the audits take. Was it still being made at their end? */
static bool hold_for(const struct list *l, uint64_t ns, uint64_t *worst)
{
    uint64_t begun;
    bool held;

    inside = returned = false;
    show_window(true);
    vcpu_run(1, make, (void *)(uintptr_t)l);
    while (!inside)
        vcpu_yield();
    begun = event_now();
    while (event_now() - begun < ns)
        vcpu_yield();
    for (unsigned int i = 0; i < AUDITS; i++) {
        uint64_t t = event_now();

        test_audit("11g");
        if (event_now() - t > *worst)
            *worst = event_now() - t;
    }
    held = !returned;
    show_window(false);
    vcpu_join(1);
    return held;
}

/* Longer, when the second vCPU got so little of the host's CPU that it had not gone far. */
static void hold(const struct list *l)
{
    uint64_t worst = 0;
    bool held = true;

    answer = NOT_FAR;
    for (uint64_t ns = 20000000; answer == NOT_FAR && ns < 6000000000; ns *= 2)
        held &= hold_for(l, ns, &worst);
    test_true("11g", l->name, held);
    test_eq("11g", "it ends where the list ends", answer, -XEN_EFAULT);
    test_note("%s: held within %lu us", l->name, (unsigned long)(worst / 1000));
}

/* In a domain of its own that others try to hold and to end. */
static _Noreturn void for_ever(void)
{
    show_window(true);
    for (;;)
        extended();
}

int main(void)
{
    test_begin("lists");
    make_window();
    if (!(start_info->flags & SIF_INITDOMAIN))
        for_ever();
    table = mm_table();
    test_eq("11g", "a table", test_pin(1, table), 0);
    for (unsigned int i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        hold(&lists[i]);
    test_end();
}
