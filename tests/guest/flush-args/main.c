/* SPDX-License-Identifier: MIT */
/*
 * Invariant 31: flush requests are safe and sufficient.
 *
 * run: smp=2 deadline=90
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

static const uint64_t places[] = {0,
                                  0x1000,
                                  0x00007fffffffffff,
                                  0x0000800000000000,
                                  0xffff7fffffffffff,
                                  0xffff800000000000,
                                  0xffff830000000000,
                                  0xffff87ffffffffff,
                                  START_VIRT_BASE,
                                  ~0ul};

static long flush(unsigned int cmd, uint64_t address, const void *mask, unsigned int domain)
{
    struct mmuext_op op = {.cmd = cmd};

    if (cmd == MMUEXT_INVLPG_LOCAL || cmd == MMUEXT_INVLPG_MULTI || cmd == MMUEXT_INVLPG_ALL)
        op.arg1.linear_addr = address;
    if (cmd == MMUEXT_INVLPG_MULTI || cmd == MMUEXT_TLB_FLUSH_MULTI)
        set_xen_guest_handle(op.arg2.vcpumask, mask);
    return hc_mmuext(&op, 1, NULL, domain);
}

/* Any address: done, nothing, or refused. */
static void addresses(void)
{
    static const unsigned int cmds[] = {MMUEXT_INVLPG_LOCAL,    MMUEXT_INVLPG_MULTI,
                                        MMUEXT_INVLPG_ALL,      MMUEXT_TLB_FLUSH_LOCAL,
                                        MMUEXT_TLB_FLUSH_MULTI, MMUEXT_TLB_FLUSH_ALL};
    uint64_t mask[16] = {3};
    int bad = 0;

    for (unsigned int c = 0; c < 6; c++)
        for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            long ret = flush(cmds[c], places[i], mask, DOMID_SELF);

            bad += ret != 0 && ret != -XEN_EINVAL && ret != -XEN_EPERM;
        }
    test_eq("31a", "addresses", bad, 0);
}

/* Masks with bits beyond the last vCPU; unreadable ones. */
static void masks(void)
{
    uint64_t pages = mm_alloc_run(2);
    uint64_t *mask = mm_va(pages);
    int bad = 0;

    memset(mask, 0xff, MM_PAGE);
    test_true("31b", "all bits set", flush(MMUEXT_TLB_FLUSH_MULTI, 0, mask, DOMID_SELF) <= 0);
    memset(mask, 0, MM_PAGE);
    mask[0] = ~3ul;
    test_true("31b", "only vCPUs that are not",
              flush(MMUEXT_TLB_FLUSH_MULTI, 0, mask, DOMID_SELF) <= 0);
    mm_home(pages + 1, 0);
    for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i] == START_VIRT_BASE || places[i] == 0xffff800000000000)
            continue; /* readable */
        bad += flush(MMUEXT_TLB_FLUSH_MULTI, 0, (void *)places[i], DOMID_SELF) != -XEN_EFAULT;
        bad += flush(MMUEXT_INVLPG_MULTI, 0, (void *)places[i], DOMID_SELF) != -XEN_EFAULT;
        /* A null mask in update_va means "here". */
        if (places[i] & ~7ul)
            bad += hc_update_va(HC_ADDR(mm_va(pages + 1)), 0,
                                (places[i] & ~7ul) | UVMF_MULTI | UVMF_TLB_FLUSH) != -XEN_EFAULT;
    }
    test_eq_ours("31b", "unreadable masks", bad, 0);
    mm_home(pages + 1, PTE_RW);
}

static void other_domains(void)
{
    uint64_t mask = 3;

    test_refused("31c", "all CPUs of another domain", flush(MMUEXT_TLB_FLUSH_ALL, 0, NULL, 77));
    test_refused("31c", "an address of another domain",
                 flush(MMUEXT_INVLPG_MULTI, WINDOW, &mask, DOMID_INVALID));
}

/* After a failed update its address is not flushed, nor is anything harmed. */
static void failed_update(void)
{
    for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i] == START_VIRT_BASE)
            continue;
        test_refused("31d", "update_va at a place not ours",
                     hc_update_va(places[i], mm_entry(mm_root(), PTE_RW), UVMF_INVLPG | UVMF_ALL));
    }
}

/* [SMP] When a requested flush has returned, nobody uses the old translation. */
static volatile uint64_t epoch, seen_epoch, seen_value;
static volatile int stop;

static void reader(void *arg)
{
    volatile uint64_t *p = arg;

    while (!stop) {
        uint64_t e = epoch, v;

        __asm__ volatile("" ::: "memory");
        v = *p;
        seen_value = v;
        __asm__ volatile("" ::: "memory");
        seen_epoch = e;
    }
}

static long remap(unsigned int way, uint64_t entry)
{
    static uint64_t mask[16] = {3};
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL);

    switch (way) {
    case 0:
        return hc_update_va(WINDOW, entry, UVMF_INVLPG | UVMF_ALL);
    case 1:
        return hc_update_va(WINDOW, entry, UVMF_TLB_FLUSH | UVMF_ALL);
    case 2:
        return hc_update_va(WINDOW, entry, HC_ADDR(mask) | UVMF_INVLPG | UVMF_MULTI);
    case 3:
        return mm_set(at, entry) ?: flush(MMUEXT_TLB_FLUSH_ALL, 0, NULL, DOMID_SELF);
    case 4:
        return mm_set(at, entry) ?: flush(MMUEXT_INVLPG_ALL, WINDOW, NULL, DOMID_SELF);
    case 5:
        return mm_set(at, entry) ?: flush(MMUEXT_INVLPG_MULTI, WINDOW, mask, DOMID_SELF);
    default:
        return mm_set(at, entry) ?: flush(MMUEXT_TLB_FLUSH_MULTI, 0, mask, DOMID_SELF);
    }
}

static void sufficient(void)
{
    uint64_t frame[2] = {mm_alloc(), mm_alloc()};

    *(uint64_t *)mm_va(frame[0]) = 100;
    *(uint64_t *)mm_va(frame[1]) = 101;
    remap(0, mm_entry(frame[0], PTE_RO));
    vcpu_run(1, reader, (void *)WINDOW);
    for (unsigned int way = 0; way < 7; way++) {
        int stale = 0, errors = 0;

        for (unsigned int i = 0; test_race(i, 300); i++) {
            uint64_t next = epoch + 1;

            errors += remap(way, mm_entry(frame[i & 1], PTE_RO)) != 0;
            epoch = next;
            while (seen_epoch < next)
                vcpu_yield();
            stale += seen_value != 100 + (i & 1);
        }
        test_eq("31e", "stale reads on the other vCPU", stale, 0);
        test_eq("31e", "errors", errors, 0);
    }
    stop = 1;
    vcpu_join(1);
    mm_set(mm_walk(mm_root(), WINDOW, 1, NULL), 0);
    mm_free(frame[0]);
    mm_free(frame[1]);
}

/* Across the kernel and user roots: a user page changed while in the kernel. */
static void across_toggles(void)
{
    static const unsigned char load[] = {0x48, 0x8b, 0x07, 0x0f, 0x05, 0xeb, 0xf9};
    struct user u;
    struct trap_frame start = {.rdi = USER_DATA}, out;
    uint64_t other = mm_alloc(), value, at;
    int stale = 0;

    user_make(&u, load, sizeof(load));
    *(uint64_t *)mm_va(u.data) = 200;
    *(uint64_t *)mm_va(other) = 201;
    at = mm_walk(u.root, USER_DATA, 1, &value);
    for (unsigned int i = 0; i < 100; i++) {
        mm_set(at, mm_entry(i & 1 ? other : u.data, PTE_RW));
        flush(i & 2 ? MMUEXT_INVLPG_LOCAL : MMUEXT_TLB_FLUSH_LOCAL, USER_DATA, NULL, DOMID_SELF);
        user_run(&u, &start, &out, NULL);
        stale += out.vector != TRAP_SYSCALL || out.rax != 200 + (i & 1);
    }
    test_eq("31f", "stale reads in user mode", stale, 0);
    mm_set(at, mm_entry(u.data, PTE_RW));
    user_free(&u);
    mm_free(other);
}

int main(void)
{
    test_begin("flush-args");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    addresses();
    masks();
    other_domains();
    failed_update();
    sufficient();
    across_toggles();
    test_end();
}
