/* SPDX-License-Identifier: MIT */
/*
 * Invariant 3: a value in guest memory is read once.
 *
 * One vCPU flips a field between a legal and an illegal value; the other makes calls with
 * it. Every outcome matches one of the two values as a whole.
 *
 * run: smp=2 deadline=120
 */
#include <bare/test.h>

#define ROUNDS 20000
#define WINDOW 0xffff890000000000ul

/* The flipper: one word, two values. */
static struct flip {
    volatile uint64_t *word;
    uint64_t a, b;
    unsigned int size;
    volatile int stop;
} flip;

static void flipper(void *arg)
{
    (void)arg;
    while (!flip.stop) {
        if (flip.size == 2) {
            *(volatile uint16_t *)flip.word = (uint16_t)flip.a;
            *(volatile uint16_t *)flip.word = (uint16_t)flip.b;
        } else if (flip.size == 4) {
            *(volatile uint32_t *)flip.word = (uint32_t)flip.a;
            *(volatile uint32_t *)flip.word = (uint32_t)flip.b;
        } else {
            *flip.word = flip.a;
            *flip.word = flip.b;
        }
    }
}

static void start(void *word, unsigned int size, uint64_t a, uint64_t b)
{
    flip = (struct flip){.word = word, .a = a, .b = b, .size = size};
    vcpu_run(1, flipper, NULL);
}

static void finish(const char *id, const char *what, int odd, int yes, int no)
{
    flip.stop = 1;
    vcpu_join(1);
    test_eq(id, what, odd, 0);
    test_note("%s: %d by the legal value, %d by the illegal one", what, yes, no);
    test_audit(id);
}

/* The value of an update: our frame, or the hypervisor's. */
static void update_value(void)
{
    uint64_t pfn = mm_alloc(), good = mm_entry(pfn, PTE_RO);
    uint64_t evil = test_hypervisor_frame() << 12 | PTE_RW, value;
    static struct mmu_update req;
    int odd = 0, yes = 0, no = 0;

    req.ptr = mm_walk(mm_root(), WINDOW, 1, NULL);
    start(&req.val, 8, good, evil);
    for (unsigned int i = 0; test_race(i, ROUNDS); i++) {
        long ret = hc_mmu_update(&req, 1, NULL, DOMID_SELF);

        ret ? no++ : yes++;
        mm_walk(mm_root(), WINDOW, 1, &value);
        odd += value && (value & PTE_ADDR) != (good & PTE_ADDR);
        odd += ret > 0;
        mm_set(req.ptr, 0);
    }
    finish("3a", "value of an update", odd, yes, no);
}

/* Its target: a slot of ours, or a slot of the hypervisor in the root. */
static void update_target(void)
{
    static struct mmu_update req;
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL), pfn = mm_alloc();
    uint64_t before[16], after[16];
    int odd = 0, yes = 0, no = 0;

    memcpy(before, (uint64_t *)mm_va(mm_root()) + 256, sizeof(before));
    req.val = mm_entry(pfn, PTE_RO);
    start(&req.ptr, 8, at, mm_slot(mm_root(), 260));
    for (unsigned int i = 0; test_race(i, ROUNDS); i++) {
        long ret = hc_mmu_update(&req, 1, NULL, DOMID_SELF);

        ret ? no++ : yes++;
        odd += ret > 0;
    }
    finish("3b", "target of an update", odd, yes, no);
    memcpy(after, (uint64_t *)mm_va(mm_root()) + 256, sizeof(after));
    for (unsigned int i = 0; i < 16; i++)
        odd += !test_same_entry(before[i], after[i]);
    test_eq("3b", "slots changed", odd, 0);
    mm_set(at, 0);
}

/* Frame of a pin: an empty table, or one with an entry that is not allowed. */
static void pinned_frame(void)
{
    static struct mmuext_op op;
    uint64_t good = mm_table(), bad = mm_alloc();
    int odd = 0, yes = 0, no = 0;

    ((uint64_t *)mm_va(bad))[0] = test_hypervisor_frame() << 12 | PTE_RW;
    mm_home(bad, PTE_RO);
    op.cmd = MMUEXT_PIN_L1_TABLE;
    start(&op.arg1.mfn, 8, mm_mfn(good), mm_mfn(bad));
    for (unsigned int i = 0; test_race(i, ROUNDS); i++) {
        long ret = hc_mmuext(&op, 1, NULL, DOMID_SELF);

        if (ret == 0) {
            yes++;
            odd += test_unpin(good) != 0;
        } else {
            no++;
        }
        odd += test_unpin(bad) == 0;
    }
    finish("3c", "frame of a pin", odd, yes, no);
}

/* Its command: pin as level 1, or as level 4 (which would take the hypervisor's slots). */
static void pin_command(void)
{
    static struct mmuext_op op;
    uint64_t t = mm_table();
    int odd = 0, one = 0, four = 0;

    op.arg1.mfn = mm_mfn(t);
    start(&op.cmd, 4, MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L4_TABLE);
    for (unsigned int i = 0; test_race(i, ROUNDS / 4); i++) {
        if (hc_mmuext(&op, 1, NULL, DOMID_SELF)) {
            odd++;
            continue;
        }
        /* As level 4 its hypervisor slots are filled, as level 1 they are not. */
        if (((uint64_t *)mm_va(t))[256] & PTE_P) {
            four++;
            odd += test_pin(1, t) >= 0;
        } else {
            one++;
            odd += test_pin(4, t) >= 0;
        }
        odd += test_unpin(t) != 0;
        mm_home(t, PTE_RW);
        memset((uint64_t *)mm_va(t) + 256, 0, 128);
        mm_home(t, PTE_RO);
    }
    finish("3d", "command of a pin", odd, one, four);
}

/* Domain of a new port: ourselves, or nobody. */
static void port_domain(void)
{
    static struct evtchn_alloc_unbound a;
    int odd = 0, yes = 0, no = 0;

    start(&a.dom, 2, DOMID_SELF, 0x7ee5);
    for (unsigned int i = 0; test_race(i, ROUNDS); i++) {
        long ret;

        a.remote_dom = DOMID_SELF;
        ret = hc_event(EVTCHNOP_alloc_unbound, &a);
        if (ret == 0) {
            yes++;
            odd += event_close(a.port) != 0;
        } else {
            no++;
            odd += ret != -XEN_ESRCH && ret != -XEN_EPERM;
        }
    }
    finish("3e", "domain of a port", odd, yes, no);
}

/* Frame list of a descriptor table: our page, or a table of ours. */
static void descriptor_frame(void)
{
    static uint64_t list[1];
    uint64_t good = mm_table();
    int odd = 0, yes = 0, no = 0;

    start(&list[0], 8, mm_mfn(good), mm_mfn(mm_root()));
    for (unsigned int i = 0; test_race(i, ROUNDS); i++) {
        long ret = hypercall(__HYPERVISOR_set_gdt, HC_ADDR(list), 8, 0, 0, 0);

        if (ret == 0) {
            yes++;
            odd += mm_home(good, PTE_RW) == 0;
            hypercall(__HYPERVISOR_set_gdt, HC_ADDR(list), 0, 0, 0, 0);
        } else {
            no++;
            odd += ret != -XEN_EINVAL;
        }
    }
    finish("3f", "frame of a descriptor table", odd, yes, no);
    test_eq("3f", "the page is data again", mm_home(good, PTE_RW), 0);
}

/* Address of a trap handler: ours, or not canonical. */
static void handler_address(void)
{
    static struct trap_info t[2];
    int odd = 0, yes = 0, no = 0;

    t[0] = (struct trap_info){.vector = 0xc0, .cs = FLAT_KERNEL_CS, .address = START_VIRT_BASE};
    start(&t[0].address, 8, START_VIRT_BASE + 0x1000, 0x0000900000000000);
    for (unsigned int i = 0; test_race(i, ROUNDS); i++) {
        long ret = hypercall(__HYPERVISOR_set_trap_table, HC_ADDR(t), 0, 0, 0, 0);

        ret ? no++ : yes++;
        odd += ret != 0 && ret != -XEN_EINVAL;
    }
    finish("3g", "address of a handler", odd, yes, no);
}

/* A count of frames: one that we own, or two where the second is not ours. */
static void reservation_count(void)
{
    static struct xen_memory_reservation r;
    static xen_pfn_t list[2];
    uint64_t pfn = mm_alloc(), mfn = mm_mfn(pfn);
    int odd = 0, one = 0, other = 0;

    mm_home(pfn, 0);
    r.domid = DOMID_SELF;
    start(&r.nr_extents, 8, 1, ~0ul);
    for (unsigned int i = 0; test_race(i, ROUNDS / 2); i++) {
        struct xen_memory_reservation back = {.nr_extents = 1, .domid = DOMID_SELF};
        xen_pfn_t fresh = pfn;
        long ret;

        list[0] = mfn;
        list[1] = ~0ul;
        set_xen_guest_handle(r.extent_start, list);
        ret = hc_memory(XENMEM_decrease_reservation, &r);
        odd += ret != 0 && ret != 1;
        ret ? one++ : other++;
        if (!ret)
            continue;
        set_xen_guest_handle(back.extent_start, &fresh);
        if (hc_memory(XENMEM_populate_physmap, &back) != 1)
            console_panic("no frame");
        mfn = fresh;
    }
    finish("3h", "count of a reservation", odd, one, other);
    mm_set_p2m(pfn, mfn);
    mm_home(pfn, PTE_RW);
}

int main(void)
{
    test_begin("double-fetch");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    update_value();
    update_target();
    pinned_frame();
    pin_command();
    port_domain();
    descriptor_frame();
    handler_address();
    reservation_count();
    test_end();
}
