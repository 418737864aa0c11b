/* SPDX-License-Identifier: MIT */
/*
 * Invariants 12, 13, 17, 20, 22, 24, 25, 26, 29 and 33 with a second domain: frames of the witness, its page tables, domain
 * 0's, and those of a domain that is dying, named in every place where a frame can be named; and what a granted
 * frame, which may be mapped, may be used for beside that.
 *
 * run: smp=2 guests=self deadline=120
 */
#include <bare/pair.h>

#define WINDOW  0xffff890000000000ul /* grant_init makes its table */
#define SLOT(n) (WINDOW + (n)*MM_PAGE)

/* ---- by machine frame ---- */

static void as_mapping(uint64_t mfn)
{
    uint64_t at = grant_slot(0);

    test_refused("13a", "mapped writable", mm_set(at, mfn << 12 | PTE_RW));
    test_refused("13a", "mapped to be read", mm_set(at, mfn << 12 | PTE_RO));
    test_refused("13a", "by address", hc_update_va(SLOT(0), mfn << 12 | PTE_RO, UVMF_INVLPG));
    test_eq("13a", "the entry stays empty", (int64_t)grant_entry(0), 0);
}

/* Entries that are there already, changed in place. */
static void over_another(uint64_t mfn)
{
    uint64_t own = mm_alloc(), entry = mm_entry(own, PTE_RW);

    mm_set(grant_slot(0), entry);
    test_refused("14a", "in place of our own", mm_set(grant_slot(0), mfn << 12 | PTE_RO));
    test_true("14a", "the entry stays", test_same_entry(grant_entry(0), entry));
    mm_set(grant_slot(0), 0);
    mm_free(own);
}

static void as_table(uint64_t mfn)
{
    for (unsigned int cmd = MMUEXT_PIN_L1_TABLE; cmd <= MMUEXT_NEW_BASEPTR; cmd++)
        test_refused("20a", "pinned, unpinned, loaded", hc_mmuext_mfn(cmd, mfn));
    test_refused("22a", "as user root", hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mfn));
    for (int level = 2; level <= 4; level++) {
        uint64_t t = mm_table();

        test_eq("17a", "an empty table", test_pin(level, t), 0);
        test_refused("17a", "another's frame below it", mm_set(mm_slot(t, 3), mfn << 12 | PTE_RW));
        test_eq("17a", "unpin", test_unpin(t), 0);
        mm_home(t, PTE_RW);
        ((uint64_t *)mm_va(t))[3] = mfn << 12 | PTE_RW;
        mm_home(t, PTE_RO);
        test_refused("17a", "preset before the pin", test_pin(level, t));
        mm_table_free(t);
    }
}

static void as_operand(uint64_t mfn)
{
    uint64_t own = mm_alloc();
    xen_pfn_t frames[1] = {mfn};
    struct mmuext_op to = {.cmd = MMUEXT_COPY_PAGE, .arg1.mfn = mfn};
    struct mmuext_op from = {.cmd = MMUEXT_COPY_PAGE, .arg1.mfn = mm_mfn(own)};
    struct mmu_update m2p = {mfn << 12 | MMU_MACHPHYS_UPDATE, 5};
    struct mmu_update pte = {mfn << 12 | MMU_NORMAL_PT_UPDATE, 0};
    struct mmu_update pte_ad = {mfn << 12 | MMU_PT_UPDATE_PRESERVE_AD, 0};
    struct vcpu_register_vcpu_info info = {.mfn = mfn};
    uint64_t before = mm_pfn(mfn);

    to.arg2.src_mfn = mm_mfn(own);
    from.arg2.src_mfn = mfn;
    test_refused("13c", "descriptors",
                 hypercall(__HYPERVISOR_set_gdt, HC_ADDR(frames), 8, 0, 0, 0));
    test_refused("13c", "one descriptor",
                 hypercall(__HYPERVISOR_update_descriptor, mfn << 12, 0, 0, 0, 0));
    test_refused("13c", "clear", hc_mmuext_mfn(MMUEXT_CLEAR_PAGE, mfn));
    test_refused("13c", "copy to", hc_mmuext(&to, 1, NULL, DOMID_SELF));
    test_refused("13c", "copy from", hc_mmuext(&from, 1, NULL, DOMID_SELF));
    test_refused("26a", "machine-to-physical", hc_mmu_update(&m2p, 1, NULL, DOMID_SELF));
    test_eq("26a", "its number stays", (int64_t)mm_pfn(mfn), (int64_t)before);
    test_refused("13c", "an entry in it", hc_mmu_update(&pte, 1, NULL, DOMID_SELF));
    test_refused("13c", "an entry in it, kept bits", hc_mmu_update(&pte_ad, 1, NULL, DOMID_SELF));
    test_refused("54a", "vcpu_info", hc_vcpu(VCPUOP_register_vcpu_info, 1, &info));
    mm_free(own);
}

static void as_ballast(uint64_t mfn)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    struct xen_memory_exchange x = {.in = {.nr_extents = 1, .domid = DOMID_SELF},
                                    .out = {.nr_extents = 1, .domid = DOMID_SELF}};
    xen_pfn_t list = mfn, out = 1;

    set_xen_guest_handle(r.extent_start, &list);
    test_eq("25a", "given back", hc_memory(XENMEM_decrease_reservation, &r), 0);
    set_xen_guest_handle(x.in.extent_start, &list);
    set_xen_guest_handle(x.out.extent_start, &out);
    test_refused("24a", "exchanged", hc_memory(XENMEM_exchange, &x));
    test_eq("24a", "none", (int64_t)x.nr_exchanged, 0);
}

static int64_t name_it(uint64_t mfn)
{
    grant_init();
    as_mapping(mfn);
    over_another(mfn);
    as_table(mfn);
    as_operand(mfn);
    as_ballast(mfn);
    return 0;
}

/* ---- by domain number ---- */

static void on_behalf_of(unsigned int id)
{
    uint64_t mfn = pair_facts()->other_frame, at = grant_slot(0), own = mm_table();
    struct mmu_update req = {at, mfn << 12 | PTE_RO}, theirs = {mfn << 12, 0};
    struct mmu_update number = {mfn << 12 | MMU_MACHPHYS_UPDATE, 5};
    static const unsigned int cmds[] = {
        MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L4_TABLE,  MMUEXT_UNPIN_TABLE, MMUEXT_CLEAR_PAGE,
        MMUEXT_NEW_BASEPTR,  MMUEXT_TLB_FLUSH_ALL, MMUEXT_SET_LDT};
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = (domid_t)id};
    struct xen_memory_exchange x = {.in = {.nr_extents = 1, .domid = (domid_t)id},
                                    .out = {.nr_extents = 1, .domid = (domid_t)id}};
    xen_pfn_t list = mfn, out = 1;
    domid_t who = (domid_t)id;

    test_refused("13e", "mmu_update with its frames", hc_mmu_update(&req, 1, NULL, id));
    test_refused("13e", "mmu_update of its tables",
                 hc_mmu_update(&theirs, 1, NULL, (id + 1) << 16 | DOMID_SELF));
    test_refused("13e", "mmu_update of its tables with its frames",
                 hc_mmu_update(&theirs, 1, NULL, (id + 1) << 16 | id));
    test_refused("26b", "its machine-to-physical entries", hc_mmu_update(&number, 1, NULL, id));
    test_refused("13e", "update_va with its frames",
                 hypercall(__HYPERVISOR_update_va_mapping_otherdomain, SLOT(0), mfn << 12 | PTE_RO,
                           0, id, 0));
    for (unsigned int i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
        struct mmuext_op op = {.cmd = cmds[i], .arg1.mfn = mfn};

        test_refused("20b", "mmuext_op for it", hc_mmuext(&op, 1, NULL, id));
    }
    set_xen_guest_handle(r.extent_start, &list);
    set_xen_guest_handle(x.in.extent_start, &list);
    set_xen_guest_handle(x.out.extent_start, &out);
    test_true("25b", "its memory less", hc_memory(XENMEM_decrease_reservation, &r) <= 0);
    test_true("25b", "its memory more", hc_memory(XENMEM_increase_reservation, &r) <= 0);
    test_true("25b", "its memory elsewhere", hc_memory(XENMEM_populate_physmap, &r) <= 0);
    test_refused("24b", "its memory exchanged", hc_memory(XENMEM_exchange, &x));
    test_refused("10b", "how much it has", hc_memory(XENMEM_current_reservation, &who));
    test_refused("10b", "how much it may have", hc_memory(XENMEM_maximum_reservation, &who));
    test_eq("13e", "nothing is mapped", (int64_t)grant_entry(0), 0);
    mm_table_free(own);
}

static int64_t authority_by_number(uint64_t arg)
{
    const unsigned int ids[] = {(unsigned int)pair_facts()->other,
                                (unsigned int)pair_facts()->dead,
                                0,
                                0x7fef,
                                DOMID_XEN,
                                DOMID_COW,
                                DOMID_INVALID,
                                DOMID_IDLE};

    (void)arg;
    grant_init();
    for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        on_behalf_of(ids[i]);
    return 0;
}

/* The owner of device memory is a name that anybody may use; there is nothing for us behind it. */
static int64_t device_memory(uint64_t arg)
{
    static const uint64_t mfns[] = {0xfee00, 0xfec00, 0xa0, 0xc0, 0xf0, 0x0, 1ul << 36};
    struct mmu_update req;

    (void)arg;
    grant_init();
    for (unsigned int i = 0; i < sizeof(mfns) / sizeof(mfns[0]); i++)
        for (uint64_t bits = PTE_RO; bits; bits = bits == PTE_RO ? PTE_RW | PTE_PCD : 0) {
            req = (struct mmu_update){grant_slot(0), mfns[i] << 12 | bits};
            test_refused("13g", "device memory as ours", hc_mmu_update(&req, 1, NULL, DOMID_SELF));
            test_refused("13g", "as of the I/O domain", hc_mmu_update(&req, 1, NULL, DOMID_IO));
            test_refused("13g", "by address",
                         hypercall(__HYPERVISOR_update_va_mapping_otherdomain, SLOT(0), req.val, 0,
                                   DOMID_IO, 0));
        }
    return 0;
}

/* Descriptors in a page of somebody else, who could change them at any time: looking at one is a fault at its address. */
static uint32_t limit;

static void look_at(void *selector)
{
    uint8_t ok = 0;

    __asm__ volatile("lsl %2, %0; setz %1"
                     : "+r"(limit), "=q"(ok)
                     : "r"((uint32_t)HC_ADDR(selector))
                     : "cc");
    limit = ok;
}

/* ---- our own pages that the hypervisor writes, too ---- */

/* Its writing would make entries or descriptors of them that nobody has checked. */
static int64_t shared_with_hypervisor(uint64_t arg)
{
    uint64_t mfn, entry, table = mm_table();
    struct mmuext_op ldt = {.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = grant_va(15)};
    struct vcpu_register_vcpu_info info = {0};
    xen_pfn_t frame;

    (void)arg;
    grant_init();
    entry = grant_entry(GRANT_SLOTS);
    mfn = info.mfn = frame = (entry & PTE_ADDR) / MM_PAGE;
    /* No writable mapping of it is left, so that only what it is stands in the way. */
    test_eq("12g", "unmapped", mm_set(grant_slot(GRANT_SLOTS), 0), 0);
    for (unsigned int cmd = MMUEXT_PIN_L1_TABLE; cmd <= MMUEXT_NEW_BASEPTR; cmd++)
        test_refused("12g", "as a table", hc_mmuext_mfn(cmd, mfn));
    test_refused("12g", "as user root", hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mfn));
    test_eq("12g", "a table of level 2", test_pin(2, table), 0);
    test_refused("12g", "below it", mm_set(mm_slot(table, 7), mfn << 12 | PTE_RW));
    test_eq("12g", "unpin", test_unpin(table), 0);
    test_refused("12g", "as descriptors",
                 hypercall(__HYPERVISOR_set_gdt, HC_ADDR(&frame), 8, 0, 0, 0));
    test_refused("12g", "as vcpu_info", hc_vcpu(VCPUOP_register_vcpu_info, 1, &info));
    info.mfn = start_info->shared_info / MM_PAGE;
    test_refused("12g", "the shared page as vcpu_info",
                 hc_vcpu(VCPUOP_register_vcpu_info, 1, &info));
    as_ballast(mfn);
    as_ballast(info.mfn);
    test_eq("12g", "to be read", mm_set(grant_slot(15), mfn << 12 | PTE_RO), 0);
    ldt.arg2.nr_ents = 512;
    test_eq("12g", "an LDT there", hc_mmuext(&ldt, 1, NULL, DOMID_SELF), 0);
    limit = 0;
    test_true("12g", "names nothing", trap_run(look_at, (void *)7, NULL) || !limit);
    ldt.arg1.linear_addr = 0;
    ldt.arg2.nr_ents = 0;
    hc_mmuext(&ldt, 1, NULL, DOMID_SELF);
    mm_set(grant_slot(15), 0);
    mm_table_free(table);
    return mm_set(grant_slot(GRANT_SLOTS), entry);
}

/* ---- frames that we were granted ---- */

#define REF_RO    8u
#define REF_RW    9u
#define REF_TABLE 10u

static uint64_t given, given_table;

/* In the witness: a page to write, and one of its live level 1 tables to read. */
static int64_t offer(uint64_t to)
{
    uint64_t value;

    grant_init();
    if (!given)
        given = mm_alloc();
    memset(mm_va(given), 0xf3, MM_PAGE);
    mm_walk(mm_root(), HC_ADDR(mm_va(given)), 2, &value);
    given_table = (value & PTE_ADDR) / MM_PAGE;
    grant_offer(REF_RO, (unsigned int)to, mm_mfn(given), GTF_readonly);
    grant_offer(REF_RW, (unsigned int)to, mm_mfn(given), 0);
    grant_offer(REF_TABLE, (unsigned int)to, given_table, GTF_readonly);
    return (int64_t)mm_mfn(given);
}

static int64_t untouched(uint64_t arg)
{
    return arg ? string_all(mm_va(given), (int)arg, MM_PAGE)
               : grant_used(REF_RO) | grant_used(REF_RW) | grant_used(REF_TABLE);
}

static int64_t table_by(uint64_t arg)
{
    (void)arg;
    return (int64_t)given_table;
}

/* What a mapping by grant does not allow: anything but the reading and writing. */
static int64_t more_than_granted(uint64_t mfn)
{
    uint32_t ro, rw;
    uint64_t entry, other = mm_alloc();

    grant_init();
    test_eq("43a", "to read",
            grant_map_at(1, (unsigned int)pair_facts()->other, REF_RO, GNTMAP_readonly, &ro),
            GNTST_okay);
    entry = grant_entry(1);
    test_true("43a", "not writable", !(entry & PTE_W) && trap_write(grant_va(1), 1) == TRAP_PF);
    test_refused("14b", "the write bit alone", mm_set(grant_slot(1), entry | PTE_W));
    test_refused("14b", "by address", hc_update_va(grant_va(1), entry | PTE_W, UVMF_INVLPG));
    test_true("14b", "nor by writing the entry",
              trap_write(HC_ADDR(mm_va(mm_pfn(grant_slot(1) / MM_PAGE))) + 8, entry | PTE_W) != -1);
    test_true("14b", "the entry stays", test_same_entry(grant_entry(1), entry));
    test_refused("14c", "the same again elsewhere", mm_set(grant_slot(2), entry));
    test_eq("43a", "to write", grant_map_at(3, (unsigned int)pair_facts()->other, REF_RW, 0, &rw),
            GNTST_okay);
    test_refused("14c", "the writable one again elsewhere", mm_set(grant_slot(2), grant_entry(3)));
    test_refused("14c", "in place of another", mm_set(grant_slot(1), grant_entry(3)));
    memset((void *)grant_va(3), 0x66, MM_PAGE);
    as_table(mfn);
    as_operand(mfn);
    as_ballast(mfn);
    test_eq("43a", "unmap", grant_unmap(rw, grant_va(3), 0), GNTST_okay);
    test_eq("43a", "unmap", grant_unmap(ro, grant_va(1), 0), GNTST_okay);
    mm_free(other);
    return 0;
}

/* A table of the witness, granted to be read: we see it and change nothing. */
static int64_t granted_table(uint64_t mfn)
{
    uint32_t h, no;
    struct gnttab_map_grant_ref by_entry = {.flags = GNTMAP_host_map | GNTMAP_contains_pte,
                                            .host_addr = mfn * MM_PAGE + 8 * 500,
                                            .ref = REF_RW,
                                            .dom = (domid_t)pair_facts()->other};
    uint64_t first;

    grant_init();
    test_true("12d", "writable it is not to be had",
              grant_map_at(4, (unsigned int)pair_facts()->other, REF_TABLE, 0, &no) < 0);
    test_eq("12d", "to be read it is",
            grant_map_at(4, (unsigned int)pair_facts()->other, REF_TABLE, GNTMAP_readonly, &h),
            GNTST_okay);
    first = *(volatile uint64_t *)grant_va(4);
    /* A write to a table that is mapped read-only is emulated for its owner only. */
    test_eq("29a", "a write to it is our fault", trap_write(grant_va(4), first | PTE_SOFT),
            TRAP_PF);
    test_eq("29a", "nothing is written", *(volatile int64_t *)grant_va(4), (int64_t)first);
    test_refused("17c", "linked in below our own root",
                 mm_set(mm_walk(mm_root(), 0xffffa00000000000, 4, NULL), mfn << 12 | PTE_RW));
    test_true("44a", "a mapping at an entry of it", grant_map(&by_entry) < 0);
    test_eq("12d", "unmap", grant_unmap(h, grant_va(4), 0), GNTST_okay);
    return 0;
}

/* Descriptors in a page of somebody else, who could change them at any time. */
static int64_t local_table_of_another(uint64_t mfn)
{
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = grant_va(5)};
    uint32_t h;

    (void)mfn;
    grant_init();
    test_eq("33a", "map",
            grant_map_at(5, (unsigned int)pair_facts()->other, REF_RO, GNTMAP_readonly, &h),
            GNTST_okay);
    op.arg2.nr_ents = 512;
    test_eq("33a", "the address is only noted", hc_mmuext(&op, 1, NULL, DOMID_SELF), 0);
    for (uint64_t n = 0; n < 8; n++) {
        limit = 0;
        test_true("33a", "a selector of it names nothing",
                  trap_run(look_at, (void *)(n << 3 | 7), NULL) || !limit);
    }
    op.arg1.linear_addr = 0;
    op.arg2.nr_ents = 0;
    hc_mmuext(&op, 1, NULL, DOMID_SELF);
    test_eq("33a", "unmap", grant_unmap(h, grant_va(5), 0), GNTST_okay);
    return 0;
}

/* Outputs of calls to a page that we may only read: 2. */
static int64_t outputs_to_read_only(uint64_t arg)
{
    uint32_t h;
    uint64_t va = grant_va(6);
    struct gnttab_query_size *q = (void *)va;

    (void)arg;
    grant_init();
    test_eq("2a", "map",
            grant_map_at(6, (unsigned int)pair_facts()->other, REF_RO, GNTMAP_readonly, &h),
            GNTST_okay);
    test_eq("2a", "version", hc_version(XENVER_extraversion, (void *)va), -XEN_EFAULT);
    test_eq("2a", "runstate", hc_vcpu(VCPUOP_get_runstate_info, 0, (void *)va), -XEN_EFAULT);
    test_eq("2a", "a new port", hc_event(EVTCHNOP_bind_ipi, (void *)va), -XEN_ENOENT);
    test_refused("2a", "sizes", grant_call(GNTTABOP_query_size, q, 1));
    test_eq("2a", "count of updates", hc_mmu_update(NULL, 0, (unsigned int *)va, DOMID_SELF),
            -XEN_EFAULT);
    test_eq("2a", "memory map", hc_memory(XENMEM_machphys_mapping, (void *)va), -XEN_EFAULT);
    test_eq("2a", "unmap", grant_unmap(h, va, 0), GNTST_okay);
    return 0;
}

/* ---- domain 0's own mappings of others' frames ---- */

static uint64_t watched;

static int64_t a_frame(uint64_t arg)
{
    (void)arg;
    watched = mm_alloc();
    return (int64_t)mm_mfn(watched);
}

/* How pinning it goes, with no writable mapping of our own. */
static int64_t pin_watched(uint64_t pin)
{
    long ret;

    if (!pin) {
        ret = test_unpin(watched);
        return ret ? ret : mm_home(watched, PTE_RW);
    }
    mm_home(watched, PTE_RO);
    ret = test_pin(1, watched);
    if (ret)
        mm_home(watched, PTE_RW);
    return ret;
}

static void mapped_by_control(void)
{
    unsigned int id = pair_id(pair_attacker);
    uint64_t mfn = (uint64_t)pair_run(pair_attacker, a_frame, 0);

    test_true("12e", "domain 0 maps it", control_window(5, id, mfn) != NULL);
    test_true("12e", "no table while it may be written",
              pair_run(pair_attacker, pin_watched, 1) < 0);
    control_window_close(5);
    test_eq("12e", "now", pair_run(pair_attacker, pin_watched, 1), 0);
    test_true("12e", "a table is not to be written by domain 0 either",
              !control_window(5, id, mfn));
    test_true("12e", "nor the top one",
              !control_window(5, id, pair_control(pair_attacker)->root_mfn));
    test_eq("12e", "data again", pair_run(pair_attacker, pin_watched, 0), 0);
    test_true("13k", "a frame of the one in the name of the other",
              !control_window(5, pair_id(pair_witness), mfn));
    test_true("13k", "the hypervisor's in its name",
              !control_window(5, id, test_hypervisor_frame()));
    test_true("13k", "our own in its name", !control_window(5, id, mm_mfn(mm_root())));
    test_true("13k", "of nobody", !control_window(5, 0x7e01, mfn));
    test_true("13k", "of a name that is none", !control_window(5, DOMID_INVALID, mfn));
    pair_check("12e");
}

/* ---- the story ---- */

static void frames_of(const char *id, uint64_t mfn)
{
    test_note("frame %lx", mfn);
    pair_attack(id, name_it, mfn);
}

/* The witness keeps a page of a dead attacker mapped: its frames are a dying domain's. */
static uint64_t legacy;

static int64_t bequeath(uint64_t to)
{
    uint64_t pfn = mm_alloc();

    grant_init();
    memset(mm_va(pfn), 0x3c, MM_PAGE);
    grant_offer(12, (unsigned int)to, mm_mfn(pfn), 0);
    return (int64_t)mm_mfn(pfn);
}

static int64_t inherit(uint64_t from)
{
    uint32_t h;

    grant_init();
    if (grant_map_at(7, (unsigned int)from, 12, 0, &h))
        return -1;
    legacy = h;
    return 0;
}

static int64_t give_up(uint64_t arg)
{
    int ret = string_all((void *)grant_va(7), 0x3c, MM_PAGE) ? 0 : 1;

    (void)arg;
    return ret + grant_unmap((uint32_t)legacy, grant_va(7), 0);
}

static void dying_domain(void)
{
    uint64_t mfn, heir_of;

    pair_new_attacker(1);
    pair_keep_books(true);
    heir_of = pair_id(pair_attacker);
    mfn = (uint64_t)pair_run(pair_attacker, bequeath, pair_id(pair_witness));
    test_eq("27a", "mapped by the witness", pair_run(pair_witness, inherit, heir_of), 0);
    pair_kill_attacker();
    test_true("27a", "it is dying", control_flags((unsigned int)heir_of) >= 0);
    test_eq("27a", "its number is not given again", control_create((unsigned int)heir_of, 1),
            -XEN_EEXIST);
    struct pair_domain *a = pair_attacker;
    pair_new_attacker(1);
    pair_facts_of(a)->dead = heir_of;
    frames_of("13h", mfn);
    pair_attack("13h", authority_by_number, 0);
    pair_kill_attacker();
    test_eq("27a", "the witness gives it up, unchanged", pair_run(pair_witness, give_up, 0), 0);
    pair_gone("27a");
    pair_keep_books(false);
    pair_check("27a");
}

static void story(void)
{
    uint64_t mfn;

    pair_begin(1);
    pair_new_attacker(2);
    pair_facts_of(pair_attacker)->dead = 0x7e00;
    frames_of("13b", pair_facts_of(pair_attacker)->other_frame);
    frames_of("13b", pair_facts_of(pair_attacker)->other_table);
    frames_of("13b", pair_control(pair_witness)->shared_mfn);
    frames_of("13b", mm_mfn(mm_root())); /* domain 0's */
    frames_of("13b", mm_mfn(mm_alloc()));
    frames_of("13b", test_hypervisor_frame());
    pair_attack("13e", authority_by_number, 0);
    pair_attack("13g", device_memory, 0);
    pair_attack("12g", shared_with_hypervisor, 0);
    mfn = (uint64_t)pair_run(pair_witness, offer, pair_id(pair_attacker));
    pair_attack("12e", more_than_granted, mfn);
    test_eq("43a", "what was allowed was done", pair_run(pair_witness, untouched, 0x66), 1);
    pair_run(pair_witness, offer, pair_id(pair_attacker));
    pair_attack("12d", granted_table, (uint64_t)pair_run(pair_witness, table_by, 0));
    pair_attack("33a", local_table_of_another, mfn);
    pair_attack("2a", outputs_to_read_only, 0);
    test_eq("2a", "nothing is written", pair_run(pair_witness, untouched, 0xf3), 1);
    test_eq("43a", "nothing is in use", pair_run(pair_witness, untouched, 0), 0);
    mapped_by_control();
    pair_end_attacker("13i");
    dying_domain();
}

int main(void)
{
    return pair_main("pair-frames", story);
}
