/* SPDX-License-Identifier: MIT */
/*
 * Two bare guests that measure what domains do to each other: events back and forth, grants mapped and copied.
 *
 *   peer=N   the one that serves: it grants PAGES pages to domain N, lets it bind an event channel, answers each event
 *   (none)   the one that measures: it looks for the other one, prints BENCH ROW nanoseconds, and powers off
 *
 * Neither has a store: the measuring one tries the domains after its own and their first ports until a port is meant for it.
 * Once it is bound all is ready, since the server allocates the port last.
 */
#include <abi/pal.h>
#include <bare/console.h>
#include <bare/event.h>
#include <bare/hypercall.h>
#include <bare/mm.h>
#include <bare/start.h>
#include <xen/grant_table.h>

enum {
    PAGES = 32, /* in one hypercall */
    FIRST_REF = GNTTAB_NR_RESERVED_ENTRIES,
    REPEATS = 20,
    DOMAINS = 4096,
    PORTS = 8,
    ROUNDS = 10 * PAGES,
    LOOK_AGAIN_NS = 5000000,
};

#define WINDOW 0xffff890000000000ul /* a level-1 table of our own: foreign pages, the grant table */

static unsigned int peer, port;
static volatile bool answered;

static _Noreturn void fail(const char *what, long status)
{
    console_printf("BENCH-FAILED %s: %ld\r\n", what, status);
    console_poweroff(SHUTDOWN_poweroff);
}

/* ---- events ---- */

static void wait_event(void)
{
    event_deliver(false);
    while (!answered) {
        hc_sched(SCHEDOP_block, NULL); /* which lets events in */
        event_deliver(false);
    }
    answered = false;
    event_deliver(true);
}

static void on_answer(unsigned int which)
{
    (void)which;
    answered = true;
}

static void on_request(unsigned int which)
{
    event_send(which);
}

static void pause_ns(uint64_t ns)
{
    static long timer;
    struct vcpu_set_singleshot_timer t = {.timeout_abs_ns = event_now() + ns};

    if (!timer) {
        timer = event_bind_virq(VIRQ_TIMER, 0);
        event_set_handler((unsigned int)timer, on_answer);
    }
    hc_vcpu(VCPUOP_set_singleshot_timer, 0, &t);
    wait_event();
}

static void find_peer(void)
{
    for (;;) {
        for (peer = 1; peer < DOMAINS; peer++) {
            for (port = 1; port < PORTS; port++) {
                struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)peer,
                                                    .remote_port = port};
                long status = hc_event(EVTCHNOP_bind_interdomain, &b);

                if (status == -XEN_ESRCH)
                    break;
                if (status == 0) {
                    port = b.local_port;
                    return;
                }
            }
        }
        pause_ns(LOOK_AGAIN_NS);
    }
}

/* ---- grants ---- */

static long grant_op(unsigned int cmd, void *ops, unsigned int count)
{
    return hypercall(__HYPERVISOR_grant_table_op, cmd, HC_ADDR(ops), count, 0, 0);
}

static void give_pages(void)
{
    static xen_pfn_t frame;
    struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 1};
    struct grant_entry_v1 *table = (struct grant_entry_v1 *)WINDOW;
    long status;

    set_xen_guest_handle(s.frame_list, &frame);
    status = grant_op(GNTTABOP_setup_table, &s, 1);
    if (status || s.status)
        fail("setup_table", status | s.status);
    status = mm_map(mm_root(), WINDOW, frame << 12 | PTE_RW);
    if (status)
        fail("map the grant table", status);
    for (unsigned int i = 0; i < PAGES; i++) {
        struct grant_entry_v1 *entry = &table[FIRST_REF + i];

        entry->domid = (domid_t)peer;
        entry->frame = (uint32_t)mm_mfn(mm_alloc());
        __atomic_store_n(&entry->flags, GTF_permit_access, __ATOMIC_RELEASE);
    }
}

/* Where the mapped pages come from: the peer's grants, or a region that both are on the list of. */
static struct {
    domid_t domain;
    uint32_t first;
} source;

static void map_unmap_once(unsigned int pages)
{
    static struct gnttab_map_grant_ref map[PAGES];
    static struct gnttab_unmap_grant_ref unmap[PAGES];
    long status;

    for (unsigned int i = 0; i < pages; i++)
        map[i] = (struct gnttab_map_grant_ref){.host_addr = WINDOW + (1 + i) * MM_PAGE,
                                               .flags = GNTMAP_host_map,
                                               .ref = source.first + i,
                                               .dom = source.domain};
    status = grant_op(GNTTABOP_map_grant_ref, map, pages);
    for (unsigned int i = 0; i < pages; i++) {
        if (status || map[i].status)
            fail("map", status | map[i].status);
        *(volatile char *)(WINDOW + (1 + i) * MM_PAGE) = 1;
        unmap[i] =
            (struct gnttab_unmap_grant_ref){.host_addr = map[i].host_addr, .handle = map[i].handle};
    }
    status = grant_op(GNTTABOP_unmap_grant_ref, unmap, pages);
    for (unsigned int i = 0; i < pages; i++)
        if (status || unmap[i].status)
            fail("unmap", status | unmap[i].status);
}

static void copy_once(unsigned int pages)
{
    static struct gnttab_copy ops[PAGES];
    static uint64_t to;
    long status;

    if (!to)
        to = mm_alloc();
    for (unsigned int i = 0; i < pages; i++) {
        ops[i] = (struct gnttab_copy){.len = MM_PAGE, .flags = GNTCOPY_source_gref};
        ops[i].source.u.ref = FIRST_REF + i;
        ops[i].source.domid = (domid_t)peer;
        ops[i].dest.u.gmfn = mm_mfn(to);
        ops[i].dest.domid = DOMID_SELF;
    }
    status = grant_op(GNTTABOP_copy, ops, pages);
    for (unsigned int i = 0; i < pages; i++)
        if (status || ops[i].status)
            fail("copy", status | ops[i].status);
}

/* ---- rows: each does its operation as often as told ---- */

static void map_unmap_one(unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        map_unmap_once(1);
}

static void map_unmap(unsigned int count)
{
    for (unsigned int i = 0; i < count; i += PAGES)
        map_unmap_once(PAGES);
}

static void copy(unsigned int count)
{
    for (unsigned int i = 0; i < count; i += PAGES)
        copy_once(PAGES);
}

static void round_trips(unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        event_send(port);
        wait_event();
    }
}

/* Without regions (on the peer) the rows about them are what one has instead: grants. */
static void use_region(void)
{
    struct pal_region_info info = {.slot = 0};

    if (hypercall(__HYPERVISOR_pal_op, PALOP_region_info, HC_ADDR(&info), 0, 0, 0) == 0 &&
        info.pages >= PAGES)
        source.domain = PAL_DOMID_REGION, source.first = PAL_REGION_REF(info.slot, 0);
}

static void measure(const char *row, void (*run)(unsigned int))
{
    uint64_t best = ~0ul;

    run(ROUNDS);
    for (unsigned int i = 0; i < REPEATS; i++) {
        uint64_t start = event_now(), took;

        run(ROUNDS);
        took = event_now() - start;
        if (took < best)
            best = took;
    }
    console_printf("BENCH %s %lu\r\n", row, best / ROUNDS);
}

static _Noreturn void serve(void)
{
    struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)peer};
    long status;

    give_pages();
    event_deliver(false);
    status = hc_event(EVTCHNOP_alloc_unbound, &a);
    if (status)
        fail("alloc_unbound", status);
    event_set_handler(a.port, on_request);
    for (;;)
        hc_sched(SCHEDOP_block, NULL);
}

int main(void)
{
    long status;

    peer = (unsigned int)start_option_number("peer", 0);
    if (mm_map(mm_root(), WINDOW, 0))
        fail("window", 0);
    if (peer)
        serve();
    console_printf("BENCH-INIT\r\n");
    find_peer();
    event_clear(port); /* whoever binds finds an event there */
    event_set_handler(port, on_answer);
    measure("event_round_trip", round_trips);
    source.domain = (domid_t)peer;
    source.first = FIRST_REF;
    measure("grant_map_one", map_unmap_one);
    measure("grant_map", map_unmap);
    measure("grant_copy", copy);
    use_region();
    measure("region_map_one", map_unmap_one);
    measure("region_map", map_unmap);
    status = event_close(port);
    console_printf("BENCH-END %ld\r\n", status);
    console_poweroff(SHUTDOWN_poweroff);
}
