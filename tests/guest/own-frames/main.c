/* SPDX-License-Identifier: MIT */
/*
 * Invariant 13: only your own frames, in whatever place a frame can be named.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define WINDOW 0xffff890000000000ul

static void as_mapping(const struct test_frame *f)
{
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL), value;

    test_refused("13a", f->name, mm_set(at, f->mfn << 12 | PTE_RW));
    test_refused("13a", "by update_va", hc_update_va(WINDOW, f->mfn << 12 | PTE_RW, UVMF_INVLPG));
    mm_walk(mm_root(), WINDOW, 1, &value);
    test_eq("13a", "the entry stays", (int64_t)value, 0);
}

static void as_table(const struct test_frame *f)
{
    for (unsigned int cmd = MMUEXT_PIN_L1_TABLE; cmd <= MMUEXT_NEW_BASEPTR; cmd++)
        test_refused("13b", f->name, hc_mmuext_mfn(cmd, f->mfn));
    test_refused("13b", "as user root", hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, f->mfn));
    for (int level = 2; level <= 4; level++) {
        uint64_t t = mm_table();

        test_eq("13b", "an empty table", test_pin(level, t), 0);
        test_refused("13b", "in an upper entry", mm_set(mm_slot(t, 3), f->mfn << 12 | PTE_RW));
        test_eq("13b", "unpin", test_unpin(t), 0);
        mm_home(t, PTE_RW);
        ((uint64_t *)mm_va(t))[3] = f->mfn << 12 | PTE_RW;
        mm_home(t, PTE_RO);
        test_refused("13b", "preset before the pin", test_pin(level, t));
        mm_table_free(t);
    }
}

static void as_operand(const struct test_frame *f)
{
    uint64_t own = mm_alloc(), frames[1] = {f->mfn};
    struct mmuext_op to = {.cmd = MMUEXT_COPY_PAGE, .arg1.mfn = f->mfn};
    struct mmuext_op from = {.cmd = MMUEXT_COPY_PAGE, .arg1.mfn = mm_mfn(own)};
    struct mmu_update m2p = {f->mfn << 12 | MMU_MACHPHYS_UPDATE, 5};
    struct mmu_update pte = {f->mfn << 12 | MMU_NORMAL_PT_UPDATE, 0};
    struct vcpu_register_vcpu_info info = {.mfn = f->mfn};

    to.arg2.src_mfn = mm_mfn(own);
    from.arg2.src_mfn = f->mfn;
    test_refused("13c", f->name, hypercall(__HYPERVISOR_set_gdt, HC_ADDR(frames), 8, 0, 0, 0));
    test_refused("13c", "one descriptor",
                 hypercall(__HYPERVISOR_update_descriptor, f->mfn << 12, 0, 0, 0, 0));
    test_refused("13c", "clear", hc_mmuext_mfn(MMUEXT_CLEAR_PAGE, f->mfn));
    test_refused("13c", "copy to", hc_mmuext(&to, 1, NULL, DOMID_SELF));
    test_refused("13c", "copy from", hc_mmuext(&from, 1, NULL, DOMID_SELF));
    test_refused("13c", "machine-to-physical", hc_mmu_update(&m2p, 1, NULL, DOMID_SELF));
    test_refused("13c", "entry in it", hc_mmu_update(&pte, 1, NULL, DOMID_SELF));
    test_refused("13c", "vcpu_info", hc_vcpu(VCPUOP_register_vcpu_info, 1, &info));
    mm_free(own);
}

static void as_ballast(const struct test_frame *f)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t mfn = f->mfn;

    set_xen_guest_handle(r.extent_start, &mfn);
    test_eq("13d", "given back", hc_memory(XENMEM_decrease_reservation, &r), 0);
}

/* Authority by a domain number: nobody else is there. */
static void other_domains(void)
{
    static const unsigned int ids[] = {1, 0x7fef, DOMID_COW, DOMID_INVALID, DOMID_IDLE};
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL), pfn = mm_table();
    struct mmu_update req = {at, mm_entry(pfn, PTE_RO)};
    struct mmuext_op op = {.cmd = MMUEXT_PIN_L1_TABLE, .arg1.mfn = mm_mfn(pfn)};

    for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        test_refused("13e", "mmu_update for another domain", hc_mmu_update(&req, 1, NULL, ids[i]));
        test_refused("13e", "tables of another domain",
                     hc_mmu_update(&req, 1, NULL, (ids[i] + 1) << 16 | DOMID_SELF));
        test_refused("13e", "pin for another domain", hc_mmuext(&op, 1, NULL, ids[i]));
        test_refused("13e", "update_va for another domain",
                     hypercall(__HYPERVISOR_update_va_mapping_otherdomain, WINDOW,
                               mm_entry(pfn, PTE_RO), 0, ids[i], 0));
    }
    mm_table_free(pfn);
}

/* The I/O APIC's page: not at all, or without the write bit. */
static void interrupt_controller(void)
{
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL), value;

    if (mm_set(at, 0xfec00000 | PTE_RW | PTE_PCD) < 0) {
        test_true("13f", "the I/O APIC is refused", true);
        return;
    }
    mm_walk(mm_root(), WINDOW, 1, &value);
    test_eq("13f", "the I/O APIC is read-only", (int64_t)(value & PTE_W), 0);
    /* The store faults, or is swallowed: the register selector reads back as it was. */
    trap_read(WINDOW, &value);
    trap_write(WINDOW, value ^ 1);
    test_eq("13f", "a store changes nothing", *(volatile int64_t *)WINDOW, (int64_t)value);
    test_eq("13f", "clear", mm_set(at, 0), 0);
}

int main(void)
{
    struct test_frame f[TEST_FOREIGN_FRAMES];

    test_begin("own-frames");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    test_foreign_frames(f);
    for (unsigned int i = 0; i < TEST_FOREIGN_FRAMES; i++) {
        as_mapping(&f[i]);
        as_table(&f[i]);
        as_operand(&f[i]);
        as_ballast(&f[i]);
    }
    other_domains();
    interrupt_controller();
    test_end();
}
