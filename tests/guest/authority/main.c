/* SPDX-License-Identifier: MIT */
/*
 * Invariant 10, as far as the one privileged domain goes: what nobody may do, what is not
 * there, and that the answer does not depend on what exists.
 *
 * run: smp=1 deadline=60
 */
#include <abi/pal.h>
#include <bare/test.h>
#include <xen/physdev.h>

/* Calls that are not part of the system: every command, with good and bad pointers. */
static void not_there(void)
{
    static const struct {
        const char *name;
        unsigned int nr;
    } calls[] = {{"old scheduler", 6}, {"old events", 16},  {"profiling", 31},   {"HVM", 34},
                 {"old physical", 19}, {"tmem", 38},        {"argo", 39},        {"PMU", 40},
                 {"device model", 41}, {"reserved 43", 43}, {"reserved 47", 47}, {"arch 1", 49},
                 {"arch 6", 54}};
    uint64_t buffer[64] = {0};

    for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int accepted = 0;

        for (uint64_t cmd = 0; cmd < 8; cmd++)
            for (int bad = 0; bad < 2; bad++) {
                uint64_t arg = bad ? 0xffff830000000000 : HC_ADDR(buffer);
                /* Old scheduler commands that stop us are left alone. */
                long ret = calls[i].nr == 6 ? hypercall(6, 77, arg, 0, 0, 0)
                                            : hypercall(calls[i].nr, cmd, arg, 0, 0, 0);

                accepted += ret >= 0;
            }
        if (calls[i].nr == 31 || calls[i].nr == 34 || calls[i].nr == 16 || calls[i].nr == 19 ||
            calls[i].nr == 40 || calls[i].nr == 39)
            test_true_ours("10a", calls[i].name, accepted == 0);
        else
            test_eq("10a", calls[i].name, accepted, 0);
    }
}

/* Management structures of another interface version, or of none. */
static void versions(void)
{
    static const unsigned int calls[] = {__HYPERVISOR_sysctl, __HYPERVISOR_domctl,
                                         __HYPERVISOR_platform_op};
    uint32_t page[256];

    for (unsigned int i = 0; i < 3; i++)
        for (uint32_t cmd = 0; cmd < 90; cmd++) {
            long ret;

            memset(page, 0, sizeof(page));
            page[0] = cmd;
            page[1] = 0x12345678; /* the version */
            ret = hypercall(calls[i], HC_ADDR(page), 0, 0, 0, 0);
            if (ret != -XEN_EACCES && ret != -XEN_ENOSYS)
                test_eq("10b", "another interface version", ret, -XEN_EACCES);
        }
    test_true("10b", "versions checked", true);
}

/* Our own call: unknown commands, bad pointers, frames out of range. */
static void own_call(void)
{
    static const uint64_t cmds[] = {3, 4, 0x7fffffff, 0x80000000, 0xffffffff};
    static const uint64_t mfns[] = {1ul << 40, ~0ul, 1ul << 63, PTE_ADDR / MM_PAGE + 1};
    uint64_t buffer[16];
    struct pal_frame f = {0};

    for (unsigned int i = 0; i < 5; i++)
        test_refused("10c", "unknown command",
                     hypercall(__HYPERVISOR_pal_op, cmds[i], HC_ADDR(buffer), 0, 0, 0));
    for (unsigned int cmd = 0; cmd < 3; cmd++) {
        test_refused("10c", "a pointer to nowhere",
                     hypercall(__HYPERVISOR_pal_op, cmd, 0xffff830000000000, 0, 0, 0));
        test_refused("10c", "a read-only output",
                     hypercall(__HYPERVISOR_pal_op, cmd, start_info->pt_base, 0, 0, 0));
    }
    for (unsigned int i = 0; i < 4; i++) {
        f.mfn = mfns[i];
        test_refused("10c", "a frame that is not",
                     hypercall(__HYPERVISOR_pal_op, PALOP_frame, HC_ADDR(&f), 0, 0, 0));
    }
    if (test_peer())
        return;
    f.mfn = mm_mfn(mm_root());
    test_eq("10c", "our root", hypercall(__HYPERVISOR_pal_op, PALOP_frame, HC_ADDR(&f), 0, 0, 0),
            0);
    test_eq("10c", "is a level 4 table", f.role, PAL_ROLE_l4);
    test_true("10c", "and validated", f.flags & PAL_FRAME_validated);
}

static int64_t read_pages(domid_t domain, uint32_t count, uint64_t list, uint64_t to)
{
    struct pal_read r = {domain, count, list, to};

    return hypercall(__HYPERVISOR_pal_op, PALOP_read, HC_ADDR(&r), 0, 0, 0);
}

/* Pages by their frames: only the named domain's own, only to where the caller may write. */
static void own_read(void)
{
    uint64_t from = mm_alloc(), to = mm_alloc();
    uint64_t list[2] = {mm_mfn(from), 1ul << 40}, table = mm_mfn(mm_root());

    if (test_peer())
        return;
    memset(mm_va(from), 0x5a, MM_PAGE);
    test_eq("10c", "our own page", read_pages(0, 1, HC_ADDR(list), HC_ADDR(mm_va(to))), 0);
    test_true("10c", "is copied", !memcmp(mm_va(from), mm_va(to), MM_PAGE));
    test_eq("10c", "our own table", read_pages(0, 1, HC_ADDR(&table), HC_ADDR(mm_va(to))), 0);
    test_true("10c", "is copied", !memcmp(mm_va(mm_root()), mm_va(to), MM_PAGE));
    test_refused("10c", "what is no RAM", read_pages(0, 2, HC_ADDR(list), HC_ADDR(mm_va(to))));
    for (uint64_t owned = 0, mfn = 0; mfn < 1 << 20 && owned < 64; mfn++) {
        struct pal_frame f = {.mfn = mfn};

        if (hypercall(__HYPERVISOR_pal_op, PALOP_frame, HC_ADDR(&f), 0, 0, 0) || !f.owner)
            continue;
        owned++;
        if (f.owner < DOMID_FIRST_RESERVED) /* shared with us is ours to see */
            test_refused("10c", "another's frame",
                         read_pages(0, 1, HC_ADDR(&mfn), HC_ADDR(mm_va(to))));
    }
    test_refused("10c", "too many",
                 read_pages(0, PAL_READ_MAX + 1, HC_ADDR(list), HC_ADDR(mm_va(to))));
    test_eq("10c", "no such domain", read_pages(1, 1, HC_ADDR(list), HC_ADDR(mm_va(to))),
            -XEN_ESRCH);
    test_eq("10c", "a list nowhere", read_pages(0, 1, 0xffff830000000000, HC_ADDR(mm_va(to))),
            -XEN_EFAULT);
    test_eq("10c", "to the hypervisor", read_pages(0, 1, HC_ADDR(list), 0xffff830000000000),
            -XEN_EFAULT);
    test_eq("10c", "to the end of all", read_pages(0, 1, HC_ADDR(list), ~0ul - 4), -XEN_EFAULT);
    test_eq("10c", "to a table", read_pages(0, 1, HC_ADDR(list), start_info->pt_base), -XEN_EFAULT);
    mm_free(from);
    mm_free(to);
}

/* Other domains: the same answer whether the number could exist or not. */
static void other_domains(void)
{
    static const domid_t ids[] = {1, 2, 0x7eef, 0x7fef};

    for (unsigned int i = 0; i < 4; i++) {
        struct evtchn_alloc_unbound a = {.dom = ids[i], .remote_dom = 0};
        struct evtchn_bind_interdomain b = {.remote_dom = ids[i], .remote_port = 1};
        struct evtchn_status s = {.dom = ids[i], .port = 1};
        struct evtchn_reset r = {.dom = ids[i]};
        struct sched_remote_shutdown stop = {.domain_id = ids[i], .reason = 0};
        struct xen_memory_reservation res = {.nr_extents = 1, .domid = ids[i]};
        struct xen_foreign_memory_map map = {.domid = ids[i]};
        domid_t d = ids[i];
        xen_pfn_t list = mm_mfn(5);

        set_xen_guest_handle(res.extent_start, &list);
        test_refused("10d", "alloc a port", hc_event(EVTCHNOP_alloc_unbound, &a));
        test_refused("10d", "bind to a port", hc_event(EVTCHNOP_bind_interdomain, &b));
        test_refused("10d", "ask for a port", hc_event(EVTCHNOP_status, &s));
        test_refused("10d", "reset ports", hc_event(EVTCHNOP_reset, &r));
        test_refused("10d", "shut down", hc_sched(SCHEDOP_remote_shutdown, &stop));
        test_refused("10d", "reservation", hc_memory(XENMEM_current_reservation, &d));
        test_refused("10d", "maximum", hc_memory(XENMEM_maximum_reservation, &d));
        test_true("10d", "its frames", hc_memory(XENMEM_decrease_reservation, &res) <= 0);
        test_refused("10d", "its map", hc_memory(XENMEM_set_memory_map, &map));
    }
}

int main(void)
{
    test_begin("authority");
    not_there();
    versions();
    own_call();
    own_read();
    other_domains();
    test_end();
}
