/* SPDX-License-Identifier: MIT */
/*
 * Invariant 16: the hypervisor's address space is out of reach.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>

#define SLOT_FIRST 256
#define SLOT_LAST  271
#define WINDOW     0xffff890000000000ul

/* Its slots in a loaded root, and in one that is only validated. */
static void write_slots(const char *what, uint64_t root)
{
    uint64_t l3 = mm_table(), before[16], now[16];
    int accepted = 0;

    memcpy(before, (uint64_t *)mm_va(root) + SLOT_FIRST, sizeof(before));
    for (unsigned int i = SLOT_FIRST; i <= SLOT_LAST; i++) {
        static const uint64_t with[] = {0, 2, ~0ul, PTE_RW};

        for (unsigned int k = 0; k < 4; k++) {
            uint64_t value = k == 3 ? mm_entry(l3, PTE_RW) : with[k];
            long ret = mm_set(mm_slot(root, i), value);

            if (ret != -XEN_EINVAL) {
                test_note("slot %u value %lx: %ld", i, value, ret);
                accepted++;
            }
        }
    }
    test_eq("16a", what, accepted, 0);
    memcpy(now, (uint64_t *)mm_va(root) + SLOT_FIRST, sizeof(now));
    for (unsigned int i = 0; i < 16; i++)
        before[i] &= ~(PTE_A | PTE_D), now[i] &= ~(PTE_A | PTE_D);
    test_true("16a", "slots unchanged", !memcmp(before, now, sizeof(now)));
    mm_table_free(l3);
}

/* Garbage in the slots before the pin is overwritten. */
static void preset_slots(void)
{
    uint64_t root = mm_new_root(), canary = mm_alloc();
    uint64_t *t = mm_va(root);
    int kept = 0;

    mm_home(root, PTE_RW);
    for (unsigned int i = SLOT_FIRST; i <= SLOT_LAST; i++)
        t[i] = mm_entry(canary, PTE_RW) | PTE_PSE;
    mm_home(root, PTE_RO);
    test_eq("16b", "pin with garbage in the slots", test_pin(4, root), 0);
    for (unsigned int i = SLOT_FIRST; i <= SLOT_LAST; i++)
        kept += (t[i] & PTE_ADDR) == (mm_entry(canary, 0) & PTE_ADDR);
    test_eq("16b", "garbage left in slots", kept, 0);
    test_eq("16b", "load it", hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, mm_mfn(root)), 0);
    test_true("16b", "the machine-to-physical table is there", mm_pfn(mm_mfn(root)) == root);
    write_slots("slots of a loaded root of ours", root);
    test_eq("16b", "back", hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, mm_mfn(mm_root())), 0);
    write_slots("slots of a pinned root", root);
    test_eq("16b", "unpin", test_unpin(root), 0);
    mm_table_free(root);
    mm_free(canary);
}

/* Pointing at what the slots point to, from elsewhere. */
static void targets_elsewhere(void)
{
    uint64_t root_entries[16];
    uint64_t at = mm_walk(mm_root(), WINDOW, 1, NULL);

    memcpy(root_entries, (uint64_t *)mm_va(mm_root()) + SLOT_FIRST, sizeof(root_entries));
    for (unsigned int i = 0; i < 16; i++) {
        uint64_t mfn = (root_entries[i] & PTE_ADDR) / MM_PAGE;

        if (!(root_entries[i] & PTE_P))
            continue;
        test_refused("16c", "its table in a slot of ours",
                     mm_set(mm_slot(mm_root(), 300), mfn << 12 | PTE_RW));
        test_refused("16c", "its table mapped writable", mm_set(at, mfn << 12 | PTE_RW));
        if ((mfn << 12) != mm_entry(mm_root(), 0))
            test_refused("16c", "its table mapped read-only", mm_set(at, mfn << 12 | PTE_RO));
    }
}

static void addresses_in_it(void)
{
    static const uint64_t va[] = {0xffff800000000000, 0xffff804000000000, 0xffff810000000000,
                                  0xffff828000000000, 0xffff830000000000, 0xffff87fffffff000};
    uint64_t pfn = mm_alloc();

    for (unsigned int i = 0; i < sizeof(va) / sizeof(va[0]); i++) {
        test_refused("16d", "update_va there",
                     hc_update_va(va[i], mm_entry(pfn, PTE_RW), UVMF_INVLPG));
        test_either("16d", "a store there", trap_write(va[i], 0), TRAP_PF, TRAP_GP);
        if (i)
            test_either("16d", "a read there", trap_read(va[i], NULL), TRAP_PF, TRAP_GP);
    }
    test_eq("16d", "the machine-to-physical table is readable", trap_read(0xffff800000000000, NULL),
            -1);
    mm_free(pfn);
}

/* 16, 26: user mode sees none of it, not even the machine-to-physical table. */
static void from_user_mode(void)
{
    static const unsigned char load[] = {0x48, 0x8b, 0x07, 0x0f,
                                         0x05}; /* mov (%rdi),%rax; syscall */
    static const uint64_t va[] = {0xffff800000000000, 0xffff828000000000, 0xffff830000000000,
                                  0xffff87fffffff000, START_VIRT_BASE};
    struct user u;

    user_make(&u, load, sizeof(load));
    for (unsigned int i = 0; i < 5; i++) {
        struct trap_frame start = {.rdi = va[i]}, out;
        uint64_t address = 0;

        user_run(&u, &start, &out, &address);
        test_eq("16e", "a read from user mode", (int64_t)out.vector, TRAP_PF);
        test_eq("16e", "its address", (int64_t)address, (int64_t)va[i]);
    }
    user_free(&u);
}

int main(void)
{
    test_begin("hv-space");
    if (mm_map(mm_root(), WINDOW, 0))
        console_panic("window");
    write_slots("slots of the boot root", mm_root());
    preset_slots();
    targets_elsewhere();
    addresses_in_it();
    from_user_mode();
    test_end();
}
