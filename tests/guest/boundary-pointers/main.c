/* SPDX-License-Identifier: MIT */
/*
 * Invariants 1, 2, 6: pointers that leave guest space, outputs the guest could not write
 * itself, and bytes that were not ours to see.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>
#include <xen/callback.h>
#include <xen/physdev.h>

/* Nothing of ours, wherever the structure ends. */
static const uint64_t nowhere[] = {
    0x0000000000000010, /* not mapped, user half */
    0xffffa00000000000, /* not mapped, kernel half */
    0x0000800000000000, /* first non-canonical */
    0xffff7ffffffffff8, /* last non-canonical */
    0xffff830000000000, /* hypervisor space */
    0xffff87fffffffff8, /* its last word: straddles out of it */
    0xfffffffffffffff8, /* wraps 2^64 */
};

static const struct call {
    const char *name;
    unsigned int nr;
    uint64_t a[5];
    unsigned int pointer; /* which argument gets the address */
    bool counts;          /* reports a count: "none done" is an answer too */
} calls[] = {
    {"set_trap_table", __HYPERVISOR_set_trap_table, {0}, 0},
    {"mmu_update", __HYPERVISOR_mmu_update, {0, 1, 0, DOMID_SELF}, 0},
    {"mmuext_op", __HYPERVISOR_mmuext_op, {0, 1, 0, DOMID_SELF}, 0},
    {"set_gdt", __HYPERVISOR_set_gdt, {0, 1}, 0},
    {"multicall", __HYPERVISOR_multicall, {0, 1}, 0},
    {"memory populate", __HYPERVISOR_memory_op, {XENMEM_populate_physmap}, 1, true},
    {"memory decrease", __HYPERVISOR_memory_op, {XENMEM_decrease_reservation}, 1, true},
    {"memory exchange", __HYPERVISOR_memory_op, {XENMEM_exchange}, 1},
    {"memory machine map", __HYPERVISOR_memory_op, {XENMEM_machine_memory_map}, 1},
    {"memory m2p range", __HYPERVISOR_memory_op, {XENMEM_machphys_mapping}, 1},
    {"version text", __HYPERVISOR_xen_version, {XENVER_extraversion}, 1},
    {"version compile", __HYPERVISOR_xen_version, {XENVER_compile_info}, 1},
    {"version capabilities", __HYPERVISOR_xen_version, {XENVER_capabilities}, 1},
    {"version features", __HYPERVISOR_xen_version, {XENVER_get_features}, 1},
    {"console write", __HYPERVISOR_console_io, {CONSOLEIO_write, 16}, 2},
    {"event alloc", __HYPERVISOR_event_channel_op, {EVTCHNOP_alloc_unbound}, 1},
    {"event send", __HYPERVISOR_event_channel_op, {EVTCHNOP_send}, 1},
    {"event status", __HYPERVISOR_event_channel_op, {EVTCHNOP_status}, 1},
    {"event bind ipi", __HYPERVISOR_event_channel_op, {EVTCHNOP_bind_ipi}, 1},
    {"sched poll", __HYPERVISOR_sched_op, {SCHEDOP_poll}, 1},
    {"sched shutdown", __HYPERVISOR_sched_op, {SCHEDOP_shutdown}, 1},
    {"vcpu runstate", __HYPERVISOR_vcpu_op, {VCPUOP_get_runstate_info, 0}, 2},
    {"vcpu periodic", __HYPERVISOR_vcpu_op, {VCPUOP_set_periodic_timer, 0}, 2},
    {"vcpu singleshot", __HYPERVISOR_vcpu_op, {VCPUOP_set_singleshot_timer, 0}, 2},
    {"vcpu runstate area", __HYPERVISOR_vcpu_op, {VCPUOP_register_runstate_memory_area, 0}, 2},
    {"callback", __HYPERVISOR_callback_op, {CALLBACKOP_register}, 1},
    {"physdev iopl", __HYPERVISOR_physdev_op, {PHYSDEVOP_set_iopl}, 1},
    {"platform", __HYPERVISOR_platform_op, {0}, 0},
    {"sysctl", __HYPERVISOR_sysctl, {0}, 0},
    {"domctl", __HYPERVISOR_domctl, {0}, 0},
};

static long issue(const struct call *c, uint64_t address)
{
    uint64_t a[5];

    memcpy(a, c->a, sizeof(a));
    a[c->pointer] = address;
    return hypercall(c->nr, a[0], a[1], a[2], a[3], a[4]);
}

/* 1: every structure argument, at every place that is not ours, alone and in a multicall. */
static void pointers_to_nowhere(void)
{
    for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int bad = 0;

        for (unsigned int j = 0; j < sizeof(nowhere) / sizeof(nowhere[0]); j++) {
            struct multicall_entry m = {.op = calls[i].nr};
            long ret = issue(&calls[i], nowhere[j]);

            for (unsigned int k = 0; k < 5; k++)
                m.args[k] = k == calls[i].pointer ? nowhere[j] : calls[i].a[k];
            hc_multicall(&m, 1);
            if (calls[i].counts && !ret && !m.result)
                continue;
            /* A call that is not there reads nothing. */
            if (ret == -XEN_ENOSYS && (long)m.result == -XEN_ENOSYS)
                continue;
            if (ret != -XEN_EFAULT ||
                (long)m.result != (m.op == __HYPERVISOR_multicall ? -XEN_EINVAL : -XEN_EFAULT)) {
                test_note("%s at %lx: %ld, in a multicall %ld", calls[i].name, nowhere[j], ret,
                          (long)m.result);
                bad++;
            }
        }
        test_eq("1a", calls[i].name, bad, 0);
    }
}

/* 1: an array that begins in the last page of a legal area and runs out of it. */
static void array_running_out(const char *id, uint64_t last_page)
{
    uint64_t page = mm_alloc(), target = mm_table();
    struct mmu_update *reqs = (void *)(last_page + MM_PAGE - 2 * sizeof(*reqs));
    unsigned int done = 99;
    long ret;

    test_eq(id, "map the last page", mm_map(mm_root(), last_page, mm_entry(page, PTE_RW)), 0);
    test_eq(id, "the target is a table", hc_mmuext_mfn(MMUEXT_PIN_L1_TABLE, mm_mfn(target)), 0);
    for (unsigned int i = 0; i < 2; i++)
        reqs[i] = (struct mmu_update){mm_slot(target, i), mm_entry(page, PTE_RO)};
    ret = hc_mmu_update(reqs, 4, &done, DOMID_SELF);
    test_eq(id, "the third request is out of reach", ret, -XEN_EFAULT);
    /* An element that ends exactly at 2^64 may count as wrapping. */
    if (last_page + MM_PAGE)
        test_eq(id, "two requests done", done, 2);
    else
        test_either(id, "requests done", done, 1, 2);
    ret = hc_mmu_update(reqs, 1u << 30, &done, DOMID_SELF);
    test_eq(id, "a billion requests", ret, -XEN_EFAULT);
    test_eq(id, "unpin", hc_mmuext_mfn(MMUEXT_UNPIN_TABLE, mm_mfn(target)), 0);
    test_eq(id, "unmap", mm_set(mm_walk(mm_root(), last_page, 1, NULL), 0), 0);
    mm_table_free(target);
    mm_free(page);
}

/* 1: pointers inside structures. */
static void nested_pointers(void)
{
    int bad = 0;

    for (unsigned int j = 0; j < sizeof(nowhere) / sizeof(nowhere[0]); j++) {
        struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
        struct xen_memory_map map = {.nr_entries = 8};
        struct sched_poll poll = {.nr_ports = 1, .timeout = 1};
        long a, b, c;

        set_xen_guest_handle(r.extent_start, (xen_pfn_t *)nowhere[j]);
        set_xen_guest_handle(map.buffer, (void *)nowhere[j]);
        set_xen_guest_handle(poll.ports, (evtchn_port_t *)nowhere[j]);
        /* Nothing done counts as an answer where the call reports counts. */
        a = hc_memory(XENMEM_decrease_reservation, &r);
        b = hc_memory(XENMEM_machine_memory_map, &map);
        c = hc_sched(SCHEDOP_poll, &poll);
        if ((a != 0 && a != -XEN_EFAULT) || b != -XEN_EFAULT || c != -XEN_EFAULT) {
            test_note("nested pointer %lx: decrease %ld, map %ld, poll %ld", nowhere[j], a, b, c);
            bad++;
        }
    }
    test_eq("1d", "nested pointers", bad, 0);
}

static uint64_t sum(const void *page)
{
    const uint64_t *p = page;
    uint64_t s = 0;

    /* Accessed and dirty bits are the processor's to set. */
    for (unsigned int i = 0; i < 512; i++)
        s = s * 31 + (p[i] & ~(PTE_A | PTE_D));
    return s;
}

/* 2: outputs into memory that the guest can only read. */
static void outputs_into(const char *what, void *page)
{
    static const unsigned int outputs[] = {XENVER_extraversion, XENVER_capabilities,
                                           XENVER_changeset, XENVER_compile_info};
    uint64_t before = sum(page);
    struct xen_memory_map map = {.nr_entries = 8};
    struct multicall_entry *list = page;
    int bad = 0;

    for (unsigned int i = 0; i < 4; i++)
        bad += hc_version(outputs[i], page) != -XEN_EFAULT;
    bad += hc_vcpu(VCPUOP_get_runstate_info, 0, page) != -XEN_EFAULT;
    set_xen_guest_handle(map.buffer, page);
    bad += hc_memory(XENMEM_machine_memory_map, &map) != -XEN_EFAULT;
    bad += hc_memory(XENMEM_machphys_mapping, page) != -XEN_EFAULT;
    /* The result field of a list entry is an output too. */
    bad += hc_multicall(list, 1) != -XEN_EFAULT;
    test_eq("2a", what, bad, 0);
    test_true("2a", "contents unchanged", sum(page) == before);
}

/* The lowest entry would allow the write, the one of a higher level does not. */
static void outputs_into_read_only_subtree(void)
{
    static const uint64_t at = 0x0000200000000000;
    uint64_t page = mm_alloc();

    for (int level = 2; level <= 4; level++) {
        uint64_t entry = 0, where;

        test_eq("2c", "map", mm_map(mm_root(), at, mm_entry(page, PTE_RW)), 0);
        where = mm_walk(mm_root(), at, level, &entry);
        test_eq("2c", "read-only above", mm_set(where, entry & ~PTE_W), 0);
        hc_mmuext_mfn(MMUEXT_TLB_FLUSH_LOCAL, 0);
        outputs_into("a page read-only by a higher level", (void *)at);
        test_eq("2c", "writable above", mm_set(where, entry), 0);
    }
    mm_set(mm_walk(mm_root(), at, 1, NULL), 0);
    mm_free(page);
}

static void outputs_into_read_only(void)
{
    uint64_t plain = mm_alloc(), table = mm_table();

    mm_home(plain, PTE_RO);
    outputs_into("the loaded root", (void *)start_info->pt_base);
    outputs_into("a frame mapped read-only", mm_va(plain));
    hc_mmuext_mfn(MMUEXT_PIN_L1_TABLE, mm_mfn(table));
    outputs_into("a validated table", mm_va(table));
    hc_mmuext_mfn(MMUEXT_UNPIN_TABLE, mm_mfn(table));
    outputs_into("the machine-to-physical table", (void *)MACH2PHYS_VIRT_START);
    mm_home(plain, PTE_RW);
    mm_free(plain);
    mm_table_free(table);
}

/* 2: the run state area is written at the hypervisor's leisure: never into a read-only page. */
static void runstate_into_read_only(void)
{
    uint64_t pfn = mm_alloc();
    struct vcpu_register_runstate_memory_area area = {.addr.p = HC_ADDR(mm_va(pfn))};
    uint64_t until = event_now() + 20000000;
    struct vcpu_runstate_info *own = mm_alloc_page();

    mm_home(pfn, PTE_RO);
    hc_vcpu(VCPUOP_register_runstate_memory_area, 0, &area);
    while (event_now() < until)
        vcpu_yield();
    test_true("2b", "read-only run state area untouched", string_all(mm_va(pfn), 0, MM_PAGE));
    area.addr.p = HC_ADDR(own);
    test_eq("2b", "a good area instead", hc_vcpu(VCPUOP_register_runstate_memory_area, 0, &area),
            0);
    test_true("2b", "is filled", own->state_entry_time != 0);
    area.addr.p = 0xffffa00000000000;
    hc_vcpu(VCPUOP_register_runstate_memory_area, 0, &area);
    mm_home(pfn, PTE_RW);
    mm_free(pfn);
}

/* 6: a text output: what follows the terminator is zero, what follows the buffer is ours. */
static void text_output(const char *what, unsigned int cmd, size_t size)
{
    uint64_t pfn = mm_alloc();
    char *p = mm_va(pfn);
    size_t n;

    memset(p, 0xaa, MM_PAGE);
    if (hc_version(cmd, p) < 0) {
        test_true("6a", what, string_all(p, 0xaa, MM_PAGE));
    } else {
        for (n = 0; n < size && p[n]; n++)
            ;
        test_true("6a", what, n < size && string_all(p + size, 0xaa, MM_PAGE - size));
        test_true("6a", "zero behind its terminator",
                  string_all(p + n, 0, size - n) || string_all(p + n + 1, 0xaa, size - n - 1));
    }
    mm_free(pfn);
}

/* 6: a failing call leaves its output buffer alone. */
static void failing_outputs(void)
{
    uint64_t pfn = mm_alloc();
    char *p = mm_va(pfn);

    memset(p, 0xaa, MM_PAGE);
    hc_version(999, p);
    hc_vcpu(VCPUOP_get_runstate_info, 4096, p);
    hc_memory(63, p);
    hc_event(200, p);
    hypercall(__HYPERVISOR_platform_op, HC_ADDR(p), 0, 0, 0, 0);
    hypercall(__HYPERVISOR_sysctl, HC_ADDR(p), 0, 0, 0, 0);
    hypercall(__HYPERVISOR_domctl, HC_ADDR(p), 0, 0, 0, 0);
    test_true("6b", "buffers of failed calls keep their bytes", string_all(p, 0xaa, MM_PAGE));
    mm_free(pfn);
}

/* 6: registers the interface does not name survive a call. */
static void registers_survive(unsigned long nr, uint64_t a1)
{
    uint64_t in[6] = {0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666}, out[6];
    uint64_t *i = in, *o = out;

    __asm__ volatile("push %%rbp; push %[o]\n"
                     "mov 0(%[i]), %%rbx; mov 8(%[i]), %%r9; mov 16(%[i]), %%r12\n"
                     "mov 24(%[i]), %%r13; mov 32(%[i]), %%r14; mov 40(%[i]), %%rbp\n"
                     "xor %%esi, %%esi; xor %%edx, %%edx; syscall\n"
                     "pop %%rcx\n"
                     "mov %%rbx, 0(%%rcx); mov %%r9, 8(%%rcx); mov %%r12, 16(%%rcx)\n"
                     "mov %%r13, 24(%%rcx); mov %%r14, 32(%%rcx); mov %%rbp, 40(%%rcx)\n"
                     "pop %%rbp"
                     : "+a"(nr), "+D"(a1), [i] "+r"(i), [o] "+r"(o)
                     :
                     : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "memory");
    test_true("6c", "registers survive a call", !memcmp(in, out, sizeof(in)));
}

int main(void)
{
    test_begin("boundary-pointers");
    pointers_to_nowhere();
    array_running_out("1b", 0x00007ffffffff000);
    array_running_out("1c", 0xfffffffffffff000);
    nested_pointers();
    outputs_into_read_only();
    outputs_into_read_only_subtree();
    runstate_into_read_only();
    text_output("extraversion", XENVER_extraversion, 16);
    text_output("capabilities", XENVER_capabilities, 1024);
    text_output("changeset", XENVER_changeset, 64);
    text_output("command line", XENVER_commandline, 1024);
    failing_outputs();
    registers_survive(__HYPERVISOR_xen_version, XENVER_version);
    registers_survive(47, 0);
    registers_survive(__HYPERVISOR_multicall, 0xffff830000000000);
    test_end();
}
