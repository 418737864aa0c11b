/* SPDX-License-Identifier: MIT */
/*
 * Invariants 27, 21 and 7: domain 0 ends the attacker at random instants of everything it can be in the middle of, on two vCPUs, while
 * the witness uses what it shares with it and while domain 0 itself manages it from a second vCPU. After each end
 * nothing is left. And creations that fail in the middle, and numbers that are used again.
 *
 * run: smp=2 guests=self deadline=240
 */
#define __XEN_TOOLS__ 1
#include <bare/pair.h>
#include <xen/domctl.h>

#define REF  30u
#define RUN  16u /* references REF .. REF+RUN-1 */
#define POOL 24u

/* ---- what the attacker is doing when it ends; each for ever ---- */

static uint64_t pool[POOL];

static void make_pool(void)
{
    if (pool[0])
        return;
    grant_init();
    for (unsigned int i = 0; i < POOL; i++)
        pool[i] = mm_alloc();
}

/* All of the other's, in every way; and unmap them, but for the last `keep`. */
static void map_some(unsigned int keep)
{
    struct gnttab_map_grant_ref m[RUN];
    struct gnttab_unmap_grant_ref u[RUN];
    unsigned int base = 16 + 32 * vcpu_self()->id;

    for (unsigned int i = 0; i < RUN; i++)
        m[i] = (struct gnttab_map_grant_ref){.flags = 1 + (i + test_random()) % 3,
                                             .host_addr = grant_va(base + i),
                                             .ref = REF + i,
                                             .dom = (domid_t)pair_facts()->other};
    grant_call(GNTTABOP_map_grant_ref, m, RUN);
    for (unsigned int i = 0; i < RUN; i++)
        u[i] = (struct gnttab_unmap_grant_ref){
            .host_addr = m[i].flags & GNTMAP_host_map ? grant_va(base + i) : 0,
            .dev_bus_addr = m[i].flags & GNTMAP_device_map ? m[i].dev_bus_addr : 0,
            .handle = m[i].handle};
    for (unsigned int i = 0; i < RUN; i++)
        if (m[i].status) /* not mapped: its handle is nothing of ours */
            u[i].handle = ~0u;
    grant_call(GNTTABOP_unmap_grant_ref, u, RUN - keep);
}

static void map_grants(void)
{
    map_some((unsigned int)(test_random() % 3));
}

static void copy_grants(void)
{
    static struct gnttab_copy c[RUN];

    for (unsigned int i = 0; i < RUN; i++)
        c[i] = (struct gnttab_copy){
            .source = {.u.ref = REF + i, .domid = (domid_t)pair_facts()->other},
            .dest = {.u.gmfn = mm_mfn(pool[i]), .domid = DOMID_SELF},
            .len = 4096,
            .flags = GNTCOPY_source_gref};
    grant_call(GNTTABOP_copy, c, RUN);
}

static void open_and_close(void)
{
    unsigned int port[16], n = 0;

    for (unsigned int i = 0; i < 8; i++) {
        struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
        struct evtchn_bind_interdomain b = {.remote_dom = DOMID_SELF};

        if (hc_event(EVTCHNOP_alloc_unbound, &a))
            break;
        port[n++] = a.port;
        b.remote_port = a.port;
        if (!hc_event(EVTCHNOP_bind_interdomain, &b))
            port[n++] = b.local_port;
        event_send(a.port);
    }
    for (unsigned int i = 0; i < n; i++)
        event_close(port[i]);
}

static void give_and_take(void)
{
    struct xen_memory_reservation r = {.nr_extents = 8, .domid = DOMID_SELF};
    xen_pfn_t list[8];
    unsigned int first = 8 * vcpu_self()->id;

    for (unsigned int i = 0; i < 8; i++) {
        list[i] = mm_mfn(pool[first + i]);
        mm_home(pool[first + i], 0);
    }
    set_xen_guest_handle(r.extent_start, list);
    hc_memory(XENMEM_decrease_reservation, &r);
    for (unsigned int i = 0; i < 8; i++)
        list[i] = pool[first + i];
    hc_memory(XENMEM_populate_physmap, &r);
    for (unsigned int i = 0; i < 8; i++) {
        mm_set_p2m(pool[first + i], list[i]);
        mm_home(pool[first + i], PTE_RW);
    }
}

static void pin_trees(void)
{
    unsigned int first = 4 * vcpu_self()->id;

    for (unsigned int i = 0; i < 4; i++) {
        uint64_t *t = mm_va(pool[first + i]);

        mm_home(pool[first + i], PTE_RW);
        memset(t, 0, MM_PAGE);
        for (unsigned int k = 0; k < 512 && i; k += 5)
            t[k == 256 ? 0 : k] = mm_entry(pool[first + i - 1], PTE_RW);
        for (unsigned int k = 0; k < 512 && !i; k++)
            t[k] = mm_entry(pool[16 + k % 8], PTE_RO);
        mm_home(pool[first + i], PTE_RO);
    }
    for (int level = 4; level > 0; level--)
        test_pin(level, pool[first + (unsigned int)level - 1]);
    for (int level = 4; level > 0; level--)
        test_unpin(pool[first + (unsigned int)level - 1]);
    for (unsigned int i = 0; i < 4; i++)
        mm_home(pool[first + i], PTE_RW);
}

static void exchange(void)
{
    struct xen_memory_exchange x = {.in = {.nr_extents = 4, .domid = DOMID_SELF},
                                    .out = {.nr_extents = 4, .domid = DOMID_SELF}};
    xen_pfn_t in[4], out[4];
    unsigned int first = 8 * vcpu_self()->id;

    for (unsigned int i = 0; i < 4; i++) {
        mm_home(pool[first + i], 0);
        in[i] = mm_mfn(pool[first + i]);
        out[i] = pool[first + i];
    }
    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    if (!hc_memory(XENMEM_exchange, &x))
        for (unsigned int i = 0; i < 4; i++)
            mm_set_p2m(pool[first + i], out[i]);
    for (unsigned int i = 0; i < 4; i++)
        mm_home(pool[first + i], PTE_RW);
}

static void switch_roots(void)
{
    static uint64_t roots[VCPU_MAX][2];
    uint64_t *mine = roots[vcpu_self()->id];

    for (unsigned int i = 0; i < 2; i++)
        if (!mine[i])
            mine[i] = mm_new_root();
    for (unsigned int i = 0; i < 8; i++) {
        hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, mm_mfn(i % 3 == 2 ? mm_root() : mine[i % 3]));
        hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, i % 2 ? mm_mfn(mine[1]) : 0);
    }
    hc_mmuext_mfn(MMUEXT_NEW_BASEPTR, mm_mfn(mm_root()));
    hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0);
}

static void write_tables(void)
{
    uint64_t entry, at = mm_walk(mm_root(), grant_va(100 + vcpu_self()->id), 1, &entry);
    uint64_t *home = (uint64_t *)((char *)mm_va(mm_pfn(at / MM_PAGE)) + at % MM_PAGE);

    for (unsigned int i = 0; i < 16; i++) {
        *(volatile uint64_t *)home = mm_entry(pool[i], PTE_RW);
        *(volatile uint64_t *)home = 0;
    }
}

static void other_vcpus(void)
{
    static struct vcpu_guest_context c;
    extern const char entry_secondary[];
    static char stack[64] __attribute__((aligned(16)));

    if (vcpu_self()->id)
        return;
    vcpu_context(&c, (void (*)(void))(uint64_t)entry_secondary, HC_ADDR(stack + 64));
    /* It stays in user mode's way: a root of its own, and off at once. */
    c.user_regs.rip = HC_ADDR(entry_secondary);
    hc_vcpu(VCPUOP_initialise, 3, &c);
    c.ctrlreg[3] = 0;
    hc_vcpu(VCPUOP_initialise, 3, &c);
    hc_vcpu(VCPUOP_down, 3, NULL);
}

static void look_at_descriptor(void *arg)
{
    (void)arg;
    __asm__ volatile("lsl %0, %%eax" : : "r"(7) : "eax", "cc");
}

static void descriptors(void)
{
    unsigned int id = vcpu_self()->id;
    xen_pfn_t frame = mm_mfn(pool[id]);
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = HC_ADDR(mm_va(pool[id + 2]))};

    mm_home(pool[id], PTE_RO);
    hypercall(__HYPERVISOR_set_gdt, HC_ADDR(&frame), 8, 0, 0, 0);
    op.arg2.nr_ents = 512;
    hc_mmuext(&op, 1, NULL, DOMID_SELF);
    trap_run(look_at_descriptor, NULL, NULL);
    hypercall(__HYPERVISOR_set_gdt, HC_ADDR(&frame), 0, 0, 0, 0);
    op.arg1.linear_addr = 0;
    op.arg2.nr_ents = 0;
    hc_mmuext(&op, 1, NULL, DOMID_SELF);
}

static void long_lists(void)
{
    static struct mmu_update reqs[VCPU_MAX][512];
    static struct multicall_entry calls[VCPU_MAX][64];
    unsigned int id = vcpu_self()->id;
    uint64_t at = grant_slot(200 + id);

    for (unsigned int i = 0; i < 512; i++)
        reqs[id][i] = (struct mmu_update){at, i & 1 ? 0 : mm_entry(pool[i % POOL], PTE_RW)};
    for (unsigned int i = 0; i < 64; i++)
        calls[id][i] = (struct multicall_entry){.op = __HYPERVISOR_mmu_update,
                                                .args = {HC_ADDR(reqs[id]), 512, 0, DOMID_SELF}};
    hc_multicall(calls[id], 64);
}

static void timers(void)
{
    unsigned int id = vcpu_self()->id;
    struct vcpu_set_singleshot_timer t = {.timeout_abs_ns = event_now() + test_random() % 100000};
    struct vcpu_set_periodic_timer p = {.period_ns = 1000000};
    struct sched_poll poll = {.timeout = event_now() + 100000};

    hc_vcpu(VCPUOP_set_periodic_timer, !id, &p);
    hc_vcpu(VCPUOP_set_singleshot_timer, id, &t);
    hc_sched(SCHEDOP_poll, &poll);
    hc_vcpu(VCPUOP_stop_periodic_timer, !id, NULL);
}

static void areas(void)
{
    uint64_t va = HC_ADDR(mm_va(pool[vcpu_self()->id]));
    struct vcpu_register_runstate_memory_area r;
    struct vcpu_register_vcpu_info info = {.mfn = mm_mfn(pool[5])};

    memcpy(&r, &va, sizeof(va));
    for (unsigned int v = 0; v < 4; v++)
        hc_vcpu(VCPUOP_register_runstate_memory_area, v, &r);
    hc_vcpu(VCPUOP_register_vcpu_info, 2 + vcpu_self()->id, &info);
    vcpu_yield();
}

/* Grants of ours that the witness maps all the time; we take the pages away under it. */
static void give_what_is_granted(void)
{
    uint64_t pfn = pool[test_random() % 8];

    for (unsigned int i = 0; i < RUN; i++)
        grant_offer(REF + i, (unsigned int)pair_facts()->other, mm_mfn(pool[i]), 0);
    mm_home(pfn, PTE_RO);
    test_pin(1, pfn);
    test_unpin(pfn);
    mm_home(pfn, PTE_RW);
    give_and_take();
}

/* And one vCPU ends the domain itself, at the time that domain 0 does. */
static void end_ourselves(void)
{
    struct sched_shutdown s = {.reason = (unsigned int)(test_random() % 4)};

    if (test_random() % 400 == 0)
        hc_sched(SCHEDOP_shutdown, &s);
    map_grants();
}

static void fall_dead(void)
{
    if (test_random() % 400 == 0)
        user_iret((const void *)0x10);
    open_and_close();
}

static const struct {
    const char *name;
    void (*once)(void);
} doings[] = {
    {"mapping grants", map_grants},
    {"copying grants", copy_grants},
    {"opening and closing ports", open_and_close},
    {"giving memory and taking it", give_and_take},
    {"pinning trees", pin_trees},
    {"exchanging frames", exchange},
    {"switching roots", switch_roots},
    {"writing to tables", write_tables},
    {"starting vCPUs", other_vcpus},
    {"descriptor tables", descriptors},
    {"long lists", long_lists},
    {"timers", timers},
    {"registering areas", areas},
    {"giving what is granted", give_what_is_granted},
    {"ending itself", end_ourselves},
    {"falling dead", fall_dead},
};
#define DOINGS (sizeof(doings) / sizeof(doings[0]))

static void for_ever(void *what)
{
    for (;;) {
        doings[(uint64_t)what].once();
        __atomic_fetch_add(&pair_facts()->frame, 1, __ATOMIC_RELAXED);
    }
}

static int64_t busy(uint64_t what)
{
    make_pool();
    vcpu_run(1, for_ever, (void *)what);
    for_ever((void *)what);
    return 0;
}

/* ---- what the witness does meanwhile ---- */

static int64_t offer_all(uint64_t to)
{
    static uint64_t pages[RUN];

    grant_init();
    for (unsigned int i = 0; i < RUN; i++) {
        if (!pages[i])
            pages[i] = mm_alloc();
        grant_offer(REF + i, (unsigned int)to, mm_mfn(pages[i]), 0);
    }
    return 0;
}

static int64_t in_use(uint64_t arg)
{
    unsigned int n = 0;

    (void)arg;
    for (unsigned int i = 0; i < RUN; i++)
        n += grant_used(REF + i) != 0;
    return n;
}

/* Use the attacker's grants and ports until told to stop. */
static int64_t use_the_other(uint64_t id)
{
    uint64_t used = 0;

    while (!pair_told_to_stop()) {
        struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)id, .remote_port = 3 + used % 8};

        map_some(0);
        if (!hc_event(EVTCHNOP_bind_interdomain, &b)) {
            pair_expect_port(b.local_port);
            event_send(b.local_port);
            event_close(b.local_port);
        }
        used++;
    }
    return (int64_t)used;
}

/* ---- what domain 0 does meanwhile, on its second vCPU ---- */

static volatile unsigned int target;

static void manage(void *arg)
{
    (void)arg;
    for (unsigned int id; (id = target) != 0;) {
        uint64_t list[2];

        control_pause(id, true);
        control_pause(id, false);
        control_flags(id);
        control_pin_vcpu(id, 1, 1 + test_random() % 3);
        control_populate(id, 1, list);
        control_unbound_port(id, 0);
        control_ports(id);
        if (control_window(8, id, pair_mfn(pair_attacker, 20 + test_random() % 200)))
            control_window_close(8);
    }
}

/* ---- the story ---- */

static void wait_a_moment(uint64_t most_ns)
{
    uint64_t until = event_now() + test_random() % most_ns;

    while (event_now() < until)
        vcpu_yield();
}

/* It has done it a few times; or it is dead, or nothing comes of it. */
static void wait_until_busy(uint64_t times)
{
    volatile uint64_t *done = &pair_facts_of(pair_attacker)->frame;
    uint64_t until = event_now() + 1000000000;

    while (*done < times && event_now() < until &&
           !(control_flags(pair_id(pair_attacker)) & XEN_DOMINF_shutdown))
        vcpu_yield();
}

static bool witness_takes_part;

static void end_in_the_middle(uint64_t what, bool managed)
{
    pair_new_attacker(4);
    pair_run(pair_witness, offer_all, pair_id(pair_attacker));
    pair_start(pair_attacker, busy, what);
    if (witness_takes_part)
        pair_start(pair_witness, use_the_other, pair_id(pair_attacker));
    target = pair_id(pair_attacker);
    if (managed)
        vcpu_run(1, manage, NULL);
    wait_until_busy(1 + test_random() % 12);
    wait_a_moment(1000000);
    pair_kill_attacker();
    wait_a_moment(1000000);
    target = 0;
    if (managed)
        vcpu_join(1);
    if (witness_takes_part) {
        pair_tell_to_stop(pair_witness);
        pair_wait(pair_witness);
    }
    pair_gone("27c");
}

static void every_doing(unsigned int rounds)
{
    for (uint64_t what = 0; what < DOINGS; what++) {
        for (unsigned int i = 0; i < rounds; i++) {
            witness_takes_part = i & 1;
            end_in_the_middle(what, i & 2);
        }
        test_eq("27c", doings[what].name, pair_run(pair_witness, in_use, 0), 0);
        pair_check("27c");
    }
}

/* A domain that is never started, or not even filled. */
static void never_started(void)
{
    static uint64_t mfns[64];

    pair_keep_books(false);
    pair_new_attacker(1);
    pair_keep_books(true);
    pair_kill_attacker();
    for (unsigned int i = 0; i < 20; i++) {
        long id = control_create(0, 1 + i % 4);

        test_true("27d", "made", id > 0);
        if (i & 1)
            control_populate((unsigned int)id, i * 3, mfns);
        if (i & 2)
            control_unbound_port((unsigned int)id, pair_id(pair_witness));
        test_eq("27d", "ended", control_destroy((unsigned int)id), 0);
        test_eq("27d", "again", control_destroy((unsigned int)id), -XEN_ESRCH);
    }
    pair_gone("27d");
    pair_check("27d");
}

/* Creation runs out of memory at each point in turn. */
static void failing_creation(void)
{
    static const unsigned int counts[] = {0, 257, 4096, 0x80000000, 0xffffffff};
    static uint64_t mfns[CONTROL_PAGES_MAX], spare[64];
    struct xen_domctl_max_mem all = {.max_memkb = ~0ul};
    unsigned int n = 0, failed = 0;
    long hog;

    for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        test_refused("7a", "a number of vCPUs", control_create(0, counts[i]));
    /* One domain takes all memory, then gives back a frame at a time. */
    hog = control_create(0, 1);
    test_true("7a", "a hog", hog > 0);
    control_domctl(XEN_DOMCTL_max_mem, (unsigned int)hog, &all, sizeof(all));
    test_eq("7a", "frames to give back", control_populate((unsigned int)hog, 64, spare), 64);
    while (control_populate((unsigned int)hog, CONTROL_PAGES_MAX, mfns) == CONTROL_PAGES_MAX)
        n++;
    test_true("7a", "there was much", n > 10);
    for (unsigned int i = 0; i < 64; i++) {
        struct xen_memory_reservation r = {.nr_extents = 1, .domid = (domid_t)hog};
        xen_pfn_t one = spare[i];
        long id;

        set_xen_guest_handle(r.extent_start, &one);
        if (i)
            hc_memory(XENMEM_decrease_reservation, &r);
        id = control_create(0, 4);
        failed += id < 0;
        if (id > 0)
            control_destroy((unsigned int)id);
        else if (id != -XEN_ENOMEM)
            test_eq("7a", "a creation that fails", id, -XEN_ENOMEM);
        if (i % 8 == 0)
            pair_check("7a");
    }
    test_note("%u creations failed", failed);
    test_true("7a", "some fail, some do not", failed > 0 && failed < 64);
    control_destroy((unsigned int)hog);
    pair_gone("7b");
    pair_keep_books(false);
    pair_check("7b");
}

/* A number comes back: what the former holder had with the witness is not the new one's. */
static unsigned int old_port;

static int64_t open_for(uint64_t id)
{
    struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)id};
    long ret = hc_event(EVTCHNOP_alloc_unbound, &a);

    old_port = a.port;
    pair_expect_port(a.port);
    return ret ? ret : (int64_t)a.port;
}

static int64_t bind_to(uint64_t port)
{
    struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)pair_facts()->other,
                                        .remote_port = (uint32_t)port};

    return hc_event(EVTCHNOP_bind_interdomain, &b);
}

static int64_t send_on_old(uint64_t arg)
{
    (void)arg;
    return event_send(old_port);
}

static int64_t close_old(uint64_t arg)
{
    (void)arg;
    return event_close(old_port);
}

static int64_t any_event(uint64_t arg)
{
    uint64_t found = 0;

    (void)arg;
    for (unsigned int w = 0; w < 64; w++)
        found |= start_shared.evtchn_pending[w] & ~(1ul << start_info->store_evtchn) &
                 ~(1ul << start_info->console.domU.evtchn);
    return (int64_t)found;
}

static void same_number(void)
{
    unsigned int id;
    int64_t port;

    pair_new_attacker(1);
    pair_keep_books(true);
    id = pair_id(pair_attacker);
    port = pair_run(pair_witness, open_for, id);
    test_true("27e", "a port for it", port > 0);
    test_eq("27e", "bound", pair_run(pair_attacker, bind_to, (uint64_t)port), 0);
    pair_kill_attacker();
    while (control_flags(id) >= 0)
        vcpu_yield();
    test_eq("27e", "its number again", pair_new_attacker_as(id, 1), id);
    test_eq("27e", "sending on the old port reaches nobody", pair_run(pair_witness, send_on_old, 0),
            0);
    test_eq("27e", "no event comes", pair_run(pair_attacker, any_event, 0), 0);
    test_eq("27e", "close", pair_run(pair_witness, close_old, 0), 0);
    test_true("27e", "what was closed is not to be bound",
              pair_run(pair_attacker, bind_to, (uint64_t)port) < 0);
    pair_end_attacker("27e");
    pair_keep_books(false);
}

static void story(void)
{
    pair_begin(1);
    never_started();
    failing_creation();
    same_number();
    every_doing((unsigned int)start_option_number("rounds", 4));
}

int main(void)
{
    return pair_main("pair-death", story);
}
