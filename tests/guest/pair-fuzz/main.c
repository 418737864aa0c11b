/* SPDX-License-Identifier: MIT */
/*
 * Invariant 8, and the sequences that the others do not think of: an unprivileged domain makes random calls on all its vCPUs over
 * a small pool of frames, roots, grants and ports, while the witness maps what it grants and domain 0 pauses it, looks at it
 * and sends to it. After each few thousand steps all must be as it should; then it is ended where it stands.
 *
 * rounds=N makes more of them, seed=N others.
 *
 * run: smp=2 guests=self deadline=240
 * also second: seed=2
 */
#define __XEN_TOOLS__ 1
#include <bare/pair.h>
#include <xen/domctl.h>

#define POOL  32u
#define VCPUS 3u
#define REF   60u
#define REFS  8u
#define STEPS 300u /* of an attacker, at least */

static uint64_t pool[POOL];
static uint64_t *scratch[VCPUS];
static volatile int over;

static uint64_t frame(uint64_t r)
{
    return mm_mfn(pool[r % POOL]);
}

static uint64_t pick(void)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      7,
                                      8,
                                      0xff,
                                      0x100,
                                      0x7ff0,
                                      0x7ff4,
                                      0x8000,
                                      0xffff,
                                      4095,
                                      4096,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      1ul << 32,
                                      1ul << 40,
                                      1ul << 63,
                                      ~0ul,
                                      0x0000800000000000,
                                      0xffff800000000000,
                                      0xffff830000000000};
    uint64_t r = test_random();

    switch (r % 8) {
    case 0:
    case 1:
        return values[(r >> 8) % (sizeof(values) / sizeof(values[0]))];
    case 2:
        return frame(r >> 8);
    case 3:
        return frame(r >> 8) << 12 | (r >> 16 & 0xfff);
    case 4:
        return mm_slot(pool[(r >> 8) % POOL], r >> 16 & 511) | (r >> 40 & 3);
    case 5:
        return HC_ADDR(scratch[vcpu_self()->id]) + (r >> 8 & 0x7f8);
    case 6:
        return pair_facts()->other_frame + (r >> 8) % 4;
    default:
        return r >> (r >> 3 & 63);
    }
}

static uint64_t a_domain(uint64_t r)
{
    const uint64_t ids[] = {DOMID_SELF, pair_facts()->other, 0, DOMID_IO, DOMID_XEN,
                            0x7ef0,     r & 0xffff};

    return ids[r >> 16 & 7 ? (r >> 16 & 7) - 1 : 0];
}

/* Tables: where most of the state is. */
static void table_step(uint64_t r)
{
    uint64_t pfn = pool[r % POOL];

    switch (r >> 8 & 7) {
    case 0:
        test_pin(1 + (int)(r >> 16 & 3), pfn);
        break;
    case 1:
        test_unpin(pfn);
        break;
    case 2:
    case 3:
        mm_set(mm_slot(pfn, r >> 20 & 511), frame(r >> 32) << 12 | (r >> 40 & 0xfff));
        break;
    case 4:
        mm_set(mm_slot(pfn, r >> 20 & 511), pick());
        break;
    case 5:
        mm_home(pfn, r >> 20 & 1 ? PTE_RW : r >> 21 & 1 ? PTE_RO : 0);
        break;
    case 6:
        hc_mmuext_mfn(MMUEXT_CLEAR_PAGE, mm_mfn(pfn));
        break;
    default:
        hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, r >> 20 & 1 ? mm_mfn(pfn) : 0);
    }
}

static void memory_step(uint64_t r)
{
    struct xen_memory_reservation one = {.nr_extents = 1, .domid = DOMID_SELF};
    struct xen_memory_exchange x = {.in = {.nr_extents = 1, .domid = DOMID_SELF},
                                    .out = {.nr_extents = 1, .domid = DOMID_SELF}};
    unsigned int n = r % POOL;
    xen_pfn_t in = mm_mfn(pool[n]), out = pool[n];

    mm_home(pool[n], 0);
    if (r >> 8 & 1) {
        set_xen_guest_handle(one.extent_start, &in);
        if (hc_memory(XENMEM_decrease_reservation, &one) == 1) {
            set_xen_guest_handle(one.extent_start, &out);
            if (hc_memory(XENMEM_populate_physmap, &one) == 1)
                mm_set_p2m(pool[n], out);
        }
    } else {
        set_xen_guest_handle(x.in.extent_start, &in);
        set_xen_guest_handle(x.out.extent_start, &out);
        if (!hc_memory(XENMEM_exchange, &x))
            mm_set_p2m(pool[n], out);
    }
    mm_home(pool[n], PTE_RW);
}

static void grant_step(uint64_t r)
{
    unsigned int slot = 60 + (r >> 8) % 8;
    struct gnttab_map_grant_ref m = {.host_addr = r >> 20 & 1 ? grant_slot(slot) : grant_va(slot),
                                     .flags = r >> 16 & 7,
                                     .ref = REF + r % REFS,
                                     .dom = (domid_t)a_domain(r >> 24)};
    struct gnttab_copy c = {.source = {.u.ref = REF + r % REFS,
                                       .domid = (domid_t)a_domain(r >> 30),
                                       .offset = r >> 40 & 0xfff},
                            .dest = {.u.gmfn = frame(r >> 8), .domid = DOMID_SELF},
                            .len = r >> 52 & 0x1ff,
                            .flags = r >> 16 & 3};
    struct gnttab_unmap_and_replace u = {.host_addr = grant_va(slot),
                                         .new_addr = r >> 22 & 1 ? 0 : grant_va(slot ^ 1),
                                         .handle = r >> 32 & 15};

    m.flags |= m.host_addr == grant_slot(slot) ? GNTMAP_contains_pte : 0;
    switch (r >> 12 & 7) {
    case 0:
        grant_offer(REF + r % REFS, (unsigned int)(r >> 20 & 3 ? pair_facts()->other : a_domain(r)),
                    frame(r >> 24), r >> 30 & 1 ? GTF_readonly : 0);
        break;
    case 1:
        grant_table[REF + r % REFS].flags = (uint16_t)(r >> 20);
        break;
    case 2:
        grant_copy(&c);
        break;
    case 3:
        grant_call(GNTTABOP_unmap_and_replace, &u, 1);
        break;
    case 4:
        grant_unmap(r >> 32 & 15, grant_va(slot), r >> 40 & 1 ? frame(r >> 8) << 12 : 0);
        break;
    case 5:
        grant_call((unsigned int)(r >> 20 & 15), scratch[vcpu_self()->id],
                   (unsigned int)(r >> 32 & 7));
        break;
    case 6:
        mm_set(grant_slot(slot), r >> 20 & 1 ? 0 : frame(r >> 24) << 12 | PTE_RW);
        break;
    default:
        grant_map(&m);
    }
}

/* Of the ports that domain 0 needs to speak to us none is touched. */
static void event_step(uint64_t r)
{
    uint32_t port = 8 + (r >> 8) % 16;
    struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)a_domain(r >> 16)};
    struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)a_domain(r >> 16),
                                        .remote_port = port};
    struct evtchn_bind_vcpu v = {.port = port, .vcpu = r >> 32 & 3};
    struct evtchn_unmask u = {.port = port};

    switch (r & 7) {
    case 0:
        hc_event(EVTCHNOP_alloc_unbound, &a);
        break;
    case 1:
        hc_event(EVTCHNOP_bind_interdomain, &b);
        break;
    case 2:
        event_bind_ipi(r >> 32 & 3);
        break;
    case 3:
        event_bind_virq(r >> 32 & 31, r >> 40 & 3);
        break;
    case 4:
        event_close(port);
        break;
    case 5:
        hc_event(EVTCHNOP_bind_vcpu, &v);
        break;
    case 6:
        hc_event(EVTCHNOP_unmask, &u);
        break;
    default:
        event_send(port);
    }
}

/* Anything at all, but for what would end us or the run by right. */
static void any_step(uint64_t r)
{
    uint64_t *page = scratch[vcpu_self()->id], a[5];
    unsigned int nr = r % 58;

    for (unsigned int i = 0; i < 32; i++)
        page[i] = pick();
    for (unsigned int i = 0; i < 5; i++)
        a[i] = pick();
    if (r >> 8 & 1)
        a[r >> 10 & 1] = HC_ADDR(page);
    switch (nr) {
    case __HYPERVISOR_iret:
    case __HYPERVISOR_multicall:
    case __HYPERVISOR_sched_op_compat:
    case __HYPERVISOR_sched_op:
    case __HYPERVISOR_vcpu_op:
    case __HYPERVISOR_set_trap_table:
    case __HYPERVISOR_set_callbacks:
    case __HYPERVISOR_callback_op:
    case __HYPERVISOR_stack_switch:
    case __HYPERVISOR_set_debugreg:
    case __HYPERVISOR_set_segment_base:
    case __HYPERVISOR_event_channel_op:
    case __HYPERVISOR_mmuext_op: /* roots: table_step */
        return;
    case __HYPERVISOR_update_va_mapping:
    case __HYPERVISOR_update_va_mapping_otherdomain:
        if (a[0] >= START_VIRT_BASE || a[0] - GRANT_WINDOW < GRANT_PER * MM_PAGE)
            return;
    }
    hypercall(nr, a[0], a[1], a[2], a[3], a[4]);
    hypercall(__HYPERVISOR_set_gdt, 0, 0, 0, 0, 0);
    hypercall(__HYPERVISOR_fpu_taskswitch, 0, 0, 0, 0, 0);
}

static void step(void)
{
    uint64_t r = test_random(), kind = r >> 60;

    r = r * 0x9e3779b97f4a7c15ul;
    if (kind < 5)
        table_step(r);
    else if (kind < 6)
        memory_step(r);
    else if (kind < 10)
        grant_step(r);
    else if (kind < 13)
        event_step(r);
    else
        any_step(r);
}

/* A page of the pool that one vCPU took from under another's feet is only a fault. */
static void guarded(void *arg)
{
    (void)arg;
    step();
}

static void steps(void *arg)
{
    uint64_t n = (uint64_t)arg;

    for (uint64_t i = 0; i < n && !over; i++)
        trap_run(guarded, NULL, NULL),
            __atomic_fetch_add(&pair_facts()->frame, 1, __ATOMIC_RELAXED);
    hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0);
}

static int64_t fuzz(uint64_t seed)
{
    if (!pool[0]) {
        grant_init();
        for (unsigned int i = 0; i < POOL; i++)
            pool[i] = mm_alloc();
        for (unsigned int i = 0; i < VCPUS; i++)
            scratch[i] = mm_alloc_page();
    }
    for (uint64_t i = 0; i < seed % 64 + start_option_number("seed", 1) * 64; i++)
        test_random();
    over = 0;
    for (unsigned int v = 1; v < VCPUS; v++)
        vcpu_run(v, steps, (void *)~0ul);
    for (unsigned int i = 0; test_race(i, 40) && !pair_told_to_stop(); i++)
        steps((void *)100);
    over = 1;
    for (unsigned int v = 1; v < VCPUS; v++)
        vcpu_join(v);
    return 0;
}

/* ---- the others ---- */

static int64_t take_part(uint64_t id)
{
    uint64_t used = 0;

    grant_init();
    for (unsigned int p = 1; p < 64; p++)
        pair_expect_port(p);
    while (!pair_told_to_stop()) {
        uint64_t r = test_random();
        struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)id, .remote_port = 8 + r % 16};
        uint32_t h;

        if (!grant_map_at(100, (unsigned int)id, REF + r % REFS, r & 256 ? GNTMAP_readonly : 0,
                          &h)) {
            used++;
            trap_read(grant_va(100), &(uint64_t){0});
            if (grant_unmap(h, grant_va(100), 0))
                return -1;
        }
        if (!hc_event(EVTCHNOP_bind_interdomain, &b)) {
            event_send(b.local_port);
            event_close(b.local_port);
        }
    }
    return (int64_t)used;
}

static void look_at_it(unsigned int id)
{
    static struct vcpu_guest_context c;
    struct xen_domctl_vcpucontext v = {.vcpu = (uint32_t)(test_random() % VCPUS)};

    set_xen_guest_handle(v.ctxt, &c);
    control_domctl(XEN_DOMCTL_getvcpucontext, id, &v, sizeof(v));
    control_ports(id);
    control_pause(id, true);
    control_domctl(XEN_DOMCTL_getvcpucontext, id, &v, sizeof(v));
    control_pin_vcpu(id, (unsigned int)(test_random() % VCPUS), 1 + test_random() % 3);
    control_pause(id, false);
    if (control_window(10, id, pair_mfn(pair_attacker, test_random() % 600)))
        control_window_close(10);
}

static bool goes_on(uint64_t until)
{
    uint64_t now = event_now();

    if (now < until)
        return true;
    return pair_facts_of(pair_attacker)->frame < STEPS && now < until + 60000000000 &&
           !(control_flags(pair_id(pair_attacker)) & XEN_DOMINF_shutdown);
}

/*
 * Sometimes one of its calls is the end of it by right; else it is ended. One that is dead before it has made many does not
 * count as a round: another is made.
 */
static void story(void)
{
    uint64_t rounds = start_option_number("rounds", 5), steps_made = 0, whole = 0, i;

    pair_begin(1);
    for (i = 0; whole < rounds && i < 4 * rounds; i++) {
        uint64_t until;
        int64_t result;

        pair_new_attacker(VCPUS);
        pair_start(pair_witness, take_part, pair_id(pair_attacker));
        pair_start(pair_attacker, fuzz, i * 7);
        until = event_now() + 1500000000;
        while (goes_on(until)) {
            look_at_it(pair_id(pair_attacker));
            vcpu_yield();
        }
        pair_tell_to_stop(pair_attacker);
        if (i & 1) {
            result = pair_wait(pair_attacker);
            test_true("8e", "it lives, or died alone", result == 0 || result == PAIR_KILLED);
        }
        steps_made += pair_facts_of(pair_attacker)->frame;
        whole += pair_facts_of(pair_attacker)->frame >= STEPS;
        pair_kill_attacker();
        pair_tell_to_stop(pair_witness);
        test_true("8e", "the witness took part", pair_wait(pair_witness) >= 0);
        pair_gone("8e");
        pair_check("8e");
    }
    test_note("%lu steps of %lu attackers", steps_made, i);
    test_eq("8e", "attackers that made many", (int64_t)whole, (int64_t)rounds);
}

int main(void)
{
    return pair_main("pair-fuzz", story);
}
