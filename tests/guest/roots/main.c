/* SPDX-License-Identifier: MIT */
/*
 * Invariant 22: loaded roots are held.
 *
 * run: smp=2 deadline=60
 * case 1: "iret to user mode without a user page table"
 */
#include <bare/test.h>

static const unsigned char call[] = {0x0f, 0x05, 0xeb, 0xfc}; /* syscall; jmp -4 */

static long load(uint64_t pfn)
{
    return hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, mm_mfn(pfn));
}

static long load_user(uint64_t pfn)
{
    return hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(pfn));
}

/* What is not a valid root is not loaded, and the old one goes on. */
static void not_a_root(void)
{
    uint64_t data = mm_alloc(), bad = mm_alloc();

    ((uint64_t *)mm_va(bad))[0] = mm_entry(mm_root(), PTE_RW);
    mm_home(bad, PTE_RO);
    test_refused("22a", "data", load(data));
    test_refused("22a", "invalid content", load(bad));
    test_refused("22a", "invalid content as user root", load_user(bad));
    test_refused("22a", "the hypervisor's",
                 hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, test_hypervisor_frame()));
    test_refused("22a", "frame 0", hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, 0));
    for (int level = 1; level < 4; level++) {
        uint64_t t = mm_table();

        test_eq("22a", "pin", test_pin(level, t), 0);
        test_refused("22a", "a table of a lower level", load(t));
        test_refused("22a", "a table of a lower level as user root", load_user(t));
        test_eq("22a", "unpin", test_unpin(t), 0);
        mm_table_free(t);
    }
    test_eq("22a", "memory still there", (int64_t) * (uint64_t *)mm_va(data), 0);
    mm_free(data);
    mm_table_free(bad);
}

/* Unpinned while loaded: alive, not writable; after leaving it: free. */
static void unpinned_while_loaded(void)
{
    uint64_t root = mm_new_root();
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t mfn = mm_mfn(root);
    long ret;

    test_eq("22b", "pin", test_pin(4, root), 0);
    test_eq("22b", "load", load(root), 0);
    test_eq("22b", "unpin while loaded", test_unpin(root), 0);
    test_refused("22b", "not writable", mm_home(root, PTE_RW));
    test_refused("22b", "not a lower table", test_pin(3, root));
    set_xen_guest_handle(r.extent_start, &mfn);
    ret = hc_memory(XENMEM_decrease_reservation, &r);
    test_either("22b", "given back while loaded: refused or deferred", ret, 0, 1);
    test_refused("22b", "not writable still", mm_home(root, PTE_RW));
    test_true("22b", "memory is there", trap_read(HC_ADDR(mm_va(root)), NULL) == -1);
    test_audit("22b");
    test_eq("22b", "load the old one", load(mm_root()), 0);
    if (ret == 1) {
        test_eq("22b", "its last mapping goes", mm_home(root, 0), 0);
        mfn = root;
        test_eq("22b", "another frame", hc_memory(XENMEM_populate_physmap, &r), 1);
        mm_set_p2m(root, mfn);
    }
    test_eq("22b", "now it may be written", mm_home(root, PTE_RW), 0);
    mm_free(root);
    /* Never pinned: the load itself validates it. */
    root = mm_new_root();
    test_eq("22b", "load without a pin", load(root), 0);
    test_eq("22b", "load it again", load(root), 0);
    test_eq("22b", "the old one", load(mm_root()), 0);
    test_eq("22b", "released at once", mm_home(root, PTE_RW), 0);
    mm_free(root);
}

/* Kernel and user root the same, swapped, in one batch. */
static void same_and_swapped(void)
{
    uint64_t a = mm_new_root(), b = mm_new_root();
    struct mmuext_op ops[8] = {
        {.cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = mm_mfn(a)},
        {.cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = mm_mfn(b)},
        {.cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = mm_mfn(a)},
        {.cmd = MMUEXT_NEW_USER_BASEPTR, .arg1.mfn = mm_mfn(a)},
        {.cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = mm_mfn(b)},
        {.cmd = MMUEXT_NEW_USER_BASEPTR, .arg1.mfn = mm_mfn(b)},
        {.cmd = MMUEXT_UNPIN_TABLE, .arg1.mfn = mm_mfn(a)},
        {.cmd = MMUEXT_UNPIN_TABLE, .arg1.mfn = mm_mfn(b)},
    };
    unsigned int done = 0;

    test_eq("22c", "all in one batch", hc_mmuext(ops, 8, &done, DOMID_SELF), 0);
    test_eq("22c", "all done", done, 8);
    test_eq("22c", "a is free", mm_home(a, PTE_RW), 0);
    test_refused("22c", "b is held", mm_home(b, PTE_RW));
    test_eq("22c", "old kernel root", load(mm_root()), 0);
    test_refused("22c", "b is held by the user root", mm_home(b, PTE_RW));
    test_eq("22c", "no user root", hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0), 0);
    test_eq("22c", "b is free", mm_home(b, PTE_RW), 0);
    mm_free(a);
    mm_free(b);
}

/* A user root in use: unpinned, user mode still runs on it. */
static void user_root_held(void)
{
    struct user u;
    struct trap_frame out;

    user_make(&u, call, sizeof(call));
    user_run(&u, NULL, &out, NULL);
    test_eq("22d", "user mode ran", (int64_t)out.vector, TRAP_SYSCALL);
    test_eq("22d", "unpin while loaded", test_unpin(u.root), 0);
    test_refused("22d", "not writable", mm_home(u.root, PTE_RW));
    user_run(&u, NULL, &out, NULL);
    test_eq("22d", "user mode runs again", (int64_t)out.vector, TRAP_SYSCALL);
    test_eq("22d", "pin again", test_pin(4, u.root), 0);
    user_free(&u);
}

/* The root of another vCPU, running, is held as well. */
static uint64_t shared_root;
static volatile int step;

static void other_vcpu(void *arg)
{
    (void)arg;
    step = load(shared_root) ? -1 : 1;
    while (step == 1)
        ;
    step = load(mm_root()) ? -1 : 3;
}

static void root_of_another(void)
{
    shared_root = mm_new_root();
    test_eq("22e", "pin", test_pin(4, shared_root), 0);
    vcpu_run(1, other_vcpu, NULL);
    while (!step)
        vcpu_yield();
    test_eq("22e", "loaded there", step, 1);
    test_eq("22e", "unpin here", test_unpin(shared_root), 0);
    test_refused("22e", "not writable", mm_home(shared_root, PTE_RW));
    test_audit("22e");
    step = 2;
    vcpu_join(1);
    test_eq("22e", "left", step, 3);
    test_eq("22e", "writable at once", mm_home(shared_root, PTE_RW), 0);
    mm_free(shared_root);
}

/* User mode with no user root: the end. */
static void user_mode_without_root(void)
{
    struct trap_frame start = {.rip = USER_CODE,
                               .cs = FLAT_USER_CS64,
                               .ss = FLAT_USER_SS64,
                               .rsp = USER_STACK,
                               .rflags = 0x200},
                      out;

    hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0);
    user_enter(&start, 0, &out, NULL);
    test_survived("22f");
}

int main(void)
{
    test_begin("roots");
    if (test_case() == 1)
        user_mode_without_root();
    not_a_root();
    unpinned_while_loaded();
    same_and_swapped();
    user_root_held();
    root_of_another();
    test_end();
}
