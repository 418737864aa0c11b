/* SPDX-License-Identifier: MIT */
/*
 * Invariant 39: pushing an exception frame is an ordinary checked guest write.
 *
 * Each case puts the kernel's stack where a frame cannot be written and raises an
 * exception: the domain is killed, nothing else happens.
 *
 * run: smp=1 deadline=60
 * case 1: "kernel stack .* cannot take"
 * case 2: "kernel stack .* cannot take"
 * case 3: "kernel stack .* cannot take"
 * case 4: "kernel stack .* cannot take"
 * case 5: "kernel stack .* cannot take"
 * case 6: "kernel stack .* cannot take"
 */
#include <bare/test.h>

/* ud2 with this stack pointer; a page fault (which has an error code) at that address. */
static void fault_on(uint64_t sp)
{
    __asm__ volatile("mov %0, %%rsp; movq $0, 0x10; ud2" : : "r"(sp) : "memory");
}

static void event_on(uint64_t sp)
{
    __asm__ volatile("mov %0, %%rsp; ud2" : : "r"(sp) : "memory");
}

static void killed(unsigned int which)
{
    static const unsigned char call[] = {0x0f, 0x05};
    struct user u;
    uint64_t pages;

    switch (which) {
    case 1: /* the frame would reach down into the hypervisor's space */
        mm_map(mm_root(), 0xffff880000000000, mm_entry(mm_alloc(), PTE_RW));
        fault_on(0xffff880000000000 + 24);
        break;
    case 2: /* it would wrap through 0 */
        mm_map(mm_root(), 0, mm_entry(mm_alloc(), PTE_RW));
        mm_map(mm_root(), 0xfffffffffffff000, mm_entry(mm_alloc(), PTE_RW));
        event_on(16);
        break;
    case 3: /* its lower half is not mapped */
        pages = mm_alloc_run(2);
        mm_home(pages, 0);
        fault_on(HC_ADDR(mm_va(pages + 1)) + 32);
        break;
    case 4: /* a page table */
        fault_on(start_info->pt_base + MM_PAGE);
        break;
    case 5: /* from user mode, onto a kernel stack that is not canonical */
        user_make(&u, call, sizeof(call));
        hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(u.root));
        hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, 0x0000800000001000, 0, 0, 0);
        {
            struct iret_context c = {.rip = USER_CODE,
                                     .cs = FLAT_USER_CS64,
                                     .ss = FLAT_USER_SS64,
                                     .rsp = USER_STACK,
                                     .rflags = 0x200};

            user_iret(&c);
        }
        break;
    case 6: /* in the middle of the hypervisor */
        fault_on(0xffff830000001000);
        break;
    }
    test_survived("39a");
}

/* Misaligned stacks are fine: frames are aligned by the hypervisor. */
static void misaligned_stack(void *arg)
{
    uint64_t off = HC_ADDR(arg);

    __asm__ volatile("mov %%rsp, %%rbx; sub $512, %%rsp; and $-64, %%rsp; add %0, %%rsp\n"
                     "ud2"
                     :
                     : "r"(off)
                     : "rbx", "memory");
}

static void misaligned(void)
{
    for (uint64_t off = 0; off < 16; off++) {
        struct trap_fault f = {0};

        test_true("39b", "misaligned stack",
                  trap_run(misaligned_stack, (void *)off, &f) && f.vector == TRAP_UD &&
                      (f.rsp & 15) == off);
    }
}

/*
 * A stack whose top is the end of the canonical lower half: the frame fits exactly below
 * it, and is written. (The dispatcher finds its vCPU at the base of the aligned 16 KiB.)
 */
static bool skip(struct trap_frame *f)
{
    f->rip += 2;
    return true;
}

static void at_the_border(void)
{
    const uint64_t top = 0x0000800000000000;
    uint64_t before = trap_counts[TRAP_UD], pfn[4];

    for (unsigned int i = 0; i < 4; i++) {
        pfn[i] = mm_alloc();
        test_eq("39c", "a page below the border",
                mm_map(mm_root(), top - VCPU_STACK + i * MM_PAGE, mm_entry(pfn[i], PTE_RW)), 0);
    }
    trap_set_hook(TRAP_UD, skip);
    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; ud2; mov %%rbx, %%rsp"
                     :
                     : "r"(top)
                     : "rbx", "memory");
    trap_set_hook(TRAP_UD, NULL);
    test_eq("39c", "an exception on it", (int64_t)(trap_counts[TRAP_UD] - before), 1);
    test_true("39c", "its frame lies there",
              ((uint64_t *)mm_va(pfn[3]))[511] == FLAT_KERNEL_SS &&
                  ((uint64_t *)mm_va(pfn[3]))[510] == top);
    for (unsigned int i = 0; i < 4; i++) {
        mm_set(mm_walk(mm_root(), top - VCPU_STACK + i * MM_PAGE, 1, NULL), 0);
        mm_free(pfn[i]);
    }
}

/* Each exception once, with events in between. */
static void ud2(void *arg)
{
    (void)arg;
    __asm__ volatile("ud2");
}

static void once_each(void)
{
    uint64_t ud = trap_counts[TRAP_UD], pf = trap_counts[TRAP_PF], gp = trap_counts[TRAP_GP];
    uint64_t others = 0;

    event_heartbeat(1000000);
    for (int i = 0; i < 5000; i++) {
        trap_run(ud2, NULL, NULL);
        trap_read(0x10, NULL);
    }
    event_heartbeat(0);
    test_eq("39d", "undefined instructions", (int64_t)(trap_counts[TRAP_UD] - ud), 5000);
    test_eq("39d", "page faults", (int64_t)(trap_counts[TRAP_PF] - pf), 5000);
    test_eq("39d", "protection faults", (int64_t)(trap_counts[TRAP_GP] - gp), 0);
    for (unsigned int v = 0; v < 256; v++)
        if (v != TRAP_UD && v != TRAP_PF && v != TRAP_GP)
            others += trap_counts[v];
    test_eq("39d", "anything else", (int64_t)others, 0);
}

int main(void)
{
    test_begin("bounce-frames");
    if (test_case())
        killed(test_case());
    misaligned();
    at_the_border();
    once_each();
    test_end();
}
