/* SPDX-License-Identifier: MIT */
/*
 * Invariants 50 to 54 between two domains: ports that are not there, not ours, of the wrong kind; both ends closing, sending,
 * binding and moving at once; hostile contents of the shared page; areas registered in pages that are not ours to write.
 *
 * run: smp=2 guests=self deadline=180
 * also four: smp=4 seed=2
 */
#include <bare/pair.h>

#define EVTCHNOP_init_control_nr 11
#define FIFO_LAST                13

/* ---- 50: ports that are not there ---- */

static const uint32_t no_ports[] = {0,     100,    4095,       4096,       4097,
                                    65535, 131072, 0x7fffffff, 0x80000000, 0xffffffff};
#define NO_PORTS (sizeof(no_ports) / sizeof(no_ports[0]))

static int64_t no_such_port(uint64_t arg)
{
    (void)arg;
    for (unsigned int i = 0; i < NO_PORTS; i++) {
        uint32_t port = no_ports[i];
        struct evtchn_close c = {.port = port};
        struct evtchn_unmask u = {.port = port};
        struct evtchn_bind_vcpu b = {.port = port, .vcpu = 0};
        struct evtchn_status s = {.dom = DOMID_SELF, .port = port};
        long status = hc_event(EVTCHNOP_status, &s);

        test_eq("50a", "close", hc_event(EVTCHNOP_close, &c), -XEN_EINVAL);
        test_eq("50a", "send", event_send(port), -XEN_EINVAL);
        test_eq("50a", "unmask", hc_event(EVTCHNOP_unmask, &u), -XEN_EINVAL);
        test_eq("50a", "move", hc_event(EVTCHNOP_bind_vcpu, &b), -XEN_EINVAL);
        test_true("50a", "ask", status == -XEN_EINVAL || s.status == EVTCHNSTAT_closed);
    }
    for (unsigned int cmd = EVTCHNOP_init_control_nr; cmd <= FIFO_LAST; cmd++) {
        static uint64_t words[8];

        test_eq("52a", "the FIFO form", hc_event(cmd, words), -XEN_ENOSYS);
        test_eq("52a", "with a bad pointer", hc_event(cmd, (void *)0xffff830000000000),
                -XEN_ENOSYS);
    }
    return 0;
}

static int64_t polled(uint64_t arg)
{
    static evtchn_port_t ports[200];
    struct sched_poll p = {.timeout = event_now() + 1000000};
    evtchn_port_t silent = (evtchn_port_t)event_bind_ipi(0);

    (void)arg;
    set_xen_guest_handle(p.ports, ports);
    for (unsigned int i = 0; i < NO_PORTS; i++) {
        for (unsigned int n = 1; n <= 128; n *= 2) {
            for (unsigned int k = 0; k < n; k++)
                ports[k] = silent;
            ports[n - 1] = no_ports[i];
            p.nr_ports = n;
            test_eq("50b", "among others one that is not", hc_sched(SCHEDOP_poll, &p), -XEN_EINVAL);
        }
    }
    for (unsigned int k = 0; k < 200; k++)
        ports[k] = silent;
    for (uint64_t n = 129; n < 1ul << 32; n *= 3) {
        p.nr_ports = (unsigned int)n;
        test_eq("50b", "too many", hc_sched(SCHEDOP_poll, &p), -XEN_EINVAL);
    }
    p.nr_ports = 1;
    set_xen_guest_handle(p.ports, (evtchn_port_t *)0xffff830000000000);
    test_eq("50b", "a list that is not there", hc_sched(SCHEDOP_poll, &p), -XEN_EFAULT);
    return event_close(silent);
}

/* All ports, until there are no more; the refusal changes nothing. */
static int64_t all_ports(uint64_t arg)
{
    static uint16_t made[4096];
    unsigned int n = 0;
    long timer = event_bind_virq(VIRQ_TIMER, 0), ret;

    (void)arg;
    test_true("50c", "a timer", timer > 0);
    while ((ret = event_bind_ipi(n & 1)) > 0 && n < 4096)
        made[n++] = (uint16_t)ret;
    test_eq("50c", "in the end there are no more", ret, -XEN_ENOSPC);
    test_true("50c", "as many as there may be", n >= 4000 && n < 4096);
    test_eq("50c", "the timer's port is the timer's", event_bind_virq(VIRQ_TIMER, 0), -XEN_EEXIST);
    test_eq("50c", "another vCPU's too", event_bind_virq(VIRQ_TIMER, 1), -XEN_ENOSPC);
    test_eq("50c", "a vCPU that is not", event_bind_virq(VIRQ_DEBUG, 77), -XEN_ENOENT);
    test_eq("50c", "an interrupt that is not", event_bind_virq(NR_VIRQS, 0), -XEN_EINVAL);
    while (n)
        if (event_close(made[--n]))
            test_true("50c", "closed", false);
    test_eq("50c", "close", event_close((unsigned int)timer), 0);
    return 0;
}

/* ---- 53: ports that are not ours ---- */

static int64_t others_ports(uint64_t arg)
{
    const unsigned int ids[] = {
        (unsigned int)pair_facts()->other, 0, 0x7ef0, DOMID_IO, DOMID_XEN, DOMID_INVALID};

    (void)arg;
    for (unsigned int d = 0; d < 6; d++)
        for (uint32_t port = 0; port < 300; port++) {
            struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)ids[d], .remote_port = port};
            long ret = hc_event(EVTCHNOP_bind_interdomain, &b);

            if (ret >= 0) {
                test_true("53b", "bound to a port that is not for us", false);
                event_close(b.local_port);
            }
        }
    for (unsigned int i = 0; i < NO_PORTS; i++) {
        struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)ids[0],
                                            .remote_port = no_ports[i]};

        test_refused("53b", "a port that is not", hc_event(EVTCHNOP_bind_interdomain, &b));
    }
    return 0;
}

/* In the witness: a port for a domain. */
static int64_t open_for(uint64_t id)
{
    struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)id};
    long ret = hc_event(EVTCHNOP_alloc_unbound, &a);

    if (ret)
        return ret;
    pair_expect_port(a.port);
    return (int64_t)a.port;
}

static int64_t close_it(uint64_t port)
{
    return event_close((unsigned int)port);
}

static int64_t send_it(uint64_t port)
{
    return event_send((unsigned int)port);
}

static int64_t pending_then_clear(uint64_t port)
{
    bool was = event_pending((unsigned int)port);

    event_clear((unsigned int)port);
    return was;
}

static int64_t bind_to(uint64_t port)
{
    struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)pair_facts()->other,
                                        .remote_port = (uint32_t)port};
    long ret = hc_event(EVTCHNOP_bind_interdomain, &b);

    return ret ? ret : (int64_t)b.local_port;
}

static void ends(void)
{
    uint64_t theirs = (uint64_t)pair_run(pair_witness, open_for, pair_id(pair_attacker)), ours,
             not_ours;

    not_ours = (uint64_t)pair_run(pair_witness, open_for, 0x77);
    test_true("53c", "for somebody else", pair_run(pair_attacker, bind_to, not_ours) < 0);
    ours = (uint64_t)pair_run(pair_attacker, bind_to, theirs);
    test_true("53c", "for us", (int64_t)ours > 0);
    test_true("53c", "once", pair_run(pair_attacker, bind_to, theirs) < 0);
    pair_run(pair_witness, pending_then_clear, theirs);
    test_eq("51a", "nothing came", pair_run(pair_witness, pending_then_clear, theirs), 0);
    test_eq("51a", "sent", pair_run(pair_attacker, send_it, ours), 0);
    test_eq("51a", "it has come", pair_run(pair_witness, pending_then_clear, theirs), 1);
    test_eq("51a", "closed by us", pair_run(pair_attacker, close_it, ours), 0);
    test_eq("51a", "the other end is alone", pair_run(pair_witness, send_it, theirs), 0);
    test_true("51a", "closed is closed", pair_run(pair_attacker, send_it, ours) < 0);
    ours = (uint64_t)pair_run(pair_attacker, bind_to, theirs);
    test_true("51a", "bound again", (int64_t)ours > 0);
    test_eq("51a", "closed by the other end", pair_run(pair_witness, close_it, theirs), 0);
    test_eq("51a", "sending goes nowhere", pair_run(pair_attacker, send_it, ours), 0);
    test_true("51a", "and what is closed there is not bound from here",
              pair_run(pair_attacker, bind_to, theirs) < 0);
    test_eq("51a", "close", pair_run(pair_attacker, close_it, ours), 0);
    test_eq("51a", "close", pair_run(pair_witness, close_it, not_ours), 0);
    pair_check("51a");
}

/* The attacker goes with its ends open: the witness's ends are open for nobody. */
static void end_dies(void)
{
    uint64_t port[8];

    pair_new_attacker(2);
    for (unsigned int i = 0; i < 8; i++) {
        port[i] = (uint64_t)pair_run(pair_witness, open_for, pair_id(pair_attacker));
        if (i & 1)
            test_true("51b", "bound", pair_run(pair_attacker, bind_to, port[i]) > 0);
    }
    pair_kill_attacker();
    for (unsigned int i = 0; i < 8; i++) {
        test_eq("51b", "sending goes nowhere", pair_run(pair_witness, send_it, port[i]), 0);
        test_eq("51b", "closed", pair_run(pair_witness, close_it, port[i]), 0);
    }
    pair_gone("51b");
    pair_check("51b");
}

/* ---- 51: both ends at once [SMP] ---- */

#define STORM_PORTS 8
#define STORM_BOUND 200

static volatile int storm_over;

/* Not the one of the store or of the console, by which we are heard. */
static bool is_spare(unsigned int port)
{
    return port != start_info->store_evtchn && port != start_info->console.domU.evtchn;
}

static void send_on_all(void *arg)
{
    (void)arg;
    while (!storm_over)
        for (unsigned int port = 1; port < 40; port++)
            if (is_spare(port))
                event_send(port);
}

static void close_below(unsigned int end)
{
    for (unsigned int port = 1; port < end; port++)
        if (is_spare(port))
            event_close(port);
}

/* Bind whatever the other has open for us, move it, close it; arg: rounds. */
static int64_t storm(uint64_t rounds)
{
    unsigned int bound = 0, kept = 0;

    storm_over = 0;
    vcpu_run(1, send_on_all, NULL);
    for (unsigned int i = 0; test_race_until(i, (unsigned int)rounds, bound >= STORM_BOUND); i++) {
        struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)pair_facts()->other,
                                            .remote_port = 3 + i % (2 * STORM_PORTS)};
        struct evtchn_bind_vcpu to = {.vcpu = i & 1};

        if (hc_event(EVTCHNOP_bind_interdomain, &b))
            continue;
        bound++;
        to.port = b.local_port;
        hc_event(EVTCHNOP_bind_vcpu, &to);
        if (i % 3)
            event_close(b.local_port);
        else if (++kept % STORM_PORTS == 0) /* all that the witness has open may be ours now */
            close_below(40);
    }
    storm_over = 1;
    vcpu_join(1);
    close_below(200);
    test_note("%u bound", bound);
    return bound >= STORM_BOUND ? 0 : 1;
}

/* The witness opens, sends, closes. */
static int64_t counter_storm(uint64_t id)
{
    uint64_t port[STORM_PORTS] = {0}, n = 0;

    for (unsigned int p = 1; p < 64; p++)
        pair_expect_port(p);
    for (; !pair_told_to_stop(); n++) {
        uint64_t *one = &port[n % STORM_PORTS];

        if (*one) {
            event_send((unsigned int)*one);
            if (n & 3)
                event_close((unsigned int)*one);
        }
        if (!*one || (n & 3))
            *one = (uint64_t)open_for(id);
    }
    for (unsigned int i = 0; i < STORM_PORTS; i++)
        if (port[i])
            event_close((unsigned int)port[i]);
    return (int64_t)n;
}

static void storms(void)
{
    pair_start(pair_witness, counter_storm, pair_id(pair_attacker));
    test_eq("51c", "the storm", pair_run(pair_attacker, storm, 30000), 0);
    pair_tell_to_stop(pair_witness);
    test_true("51c", "the witness took part", pair_wait(pair_witness) > 10);
    pair_check("51c");
}

/*
 * Reset against opening: success only if nothing is left. Not all 4,096: where one CPU of the host runs us both, each
 * that is closed waits for who holds the lock to get it.
 */
static void open_ports(void *arg)
{
    (void)arg;
    while (!storm_over) {
        if (event_bind_ipi(0) >= 512)
            vcpu_yield();
        else
            event_bind_ipi(1);
        event_bind_virq(VIRQ_DEBUG, 1);
    }
}

static int64_t reset(uint64_t rounds)
{
    unsigned int done = 0, again = 0;

    storm_over = 0;
    vcpu_run(1, open_ports, NULL);
    for (unsigned int i = 0; test_race(i, (unsigned int)rounds); i++) {
        struct evtchn_reset r = {.dom = DOMID_SELF};
        long ret = hc_event(EVTCHNOP_reset, &r);

        done += ret == 0;
        again += ret == -XEN_EAGAIN;
        if (ret && ret != -XEN_EAGAIN)
            test_eq("51d", "a reset", ret, 0);
    }
    storm_over = 1;
    vcpu_join(1);
    test_note("%u resets left nothing open, %u were told to come again", done, again);
    /* This one has nobody against it. (It takes the ports to domain 0, too: we poll with a timeout.) */
    struct evtchn_reset r = {.dom = DOMID_SELF};
    if (hc_event(EVTCHNOP_reset, &r))
        return 1;
    for (uint32_t port = 1; port < 4096; port++)
        if (event_send(port) != -XEN_EINVAL)
            return 2;
    return 0;
}

/* ---- 52: what the shared page holds is the guest's ---- */

static void scribble(void *arg)
{
    volatile struct shared_info *s = &start_shared;

    (void)arg;
    while (!storm_over) {
        uint64_t r = test_random();

        s->evtchn_pending[r % 64] = r;
        s->evtchn_mask[r / 64 % 64] = r * 7;
        s->vcpu_info[r / 4096 % 32].evtchn_pending_sel = r;
        s->vcpu_info[r / 4096 % 32].evtchn_upcall_pending = (uint8_t)(r >> 20);
        s->vcpu_info[2 + r % 30].evtchn_upcall_mask = (uint8_t)(r >> 24);
        s->vcpu_info[r % 32].time.version =
            (uint32_t)r & ~1u; /* even: who reads it does not wait */
        s->wc_version = (uint32_t)r;
    }
}

static int64_t scribbled(uint64_t rounds)
{
    long ipi = event_bind_ipi(0);

    storm_over = 0;
    vcpu_run(1, scribble, NULL);
    for (unsigned int i = 0; test_race(i, (unsigned int)rounds); i++) {
        struct evtchn_unmask u = {.port = (uint32_t)ipi};
        struct sched_poll p = {.timeout = event_now() + 20000};

        event_send((unsigned int)ipi);
        hc_event(EVTCHNOP_unmask, &u);
        if (i % 16 == 0)
            hc_sched(SCHEDOP_poll, &p);
    }
    storm_over = 1;
    vcpu_join(1);
    for (unsigned int i = 0; i < 64; i++) {
        start_shared.evtchn_mask[i] = ~0ul;
        start_shared.evtchn_pending[i] = 0;
    }
    return event_close((unsigned int)ipi);
}

/* ---- 54: areas in pages that are not ours to write ---- */

#define REF_RO 40u
#define REF_RW 41u
static uint64_t given;

static int64_t offer(uint64_t to)
{
    grant_init();
    if (!given)
        given = mm_alloc();
    memset(mm_va(given), 0x42, MM_PAGE);
    grant_offer(REF_RO, (unsigned int)to, mm_mfn(given), GTF_readonly);
    grant_offer(REF_RW, (unsigned int)to, mm_mfn(given), 0);
    return 0;
}

static int64_t unchanged(uint64_t arg)
{
    (void)arg;
    return string_all(mm_va(given), 0x42, MM_PAGE);
}

static long runstate_at(uint64_t va)
{
    struct vcpu_register_runstate_memory_area r;

    memcpy(&r, &va, sizeof(va));
    return hc_vcpu(VCPUOP_register_runstate_memory_area, 0, &r);
}

static long time_at(uint64_t va)
{
    struct vcpu_register_time_memory_area t;

    memcpy(&t, &va, sizeof(va));
    return hc_vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &t);
}

static void let_time_pass(void)
{
    struct sched_poll p;

    for (unsigned int i = 0; i < 20; i++) {
        p = (struct sched_poll){.timeout = event_now() + 200000};
        hc_sched(SCHEDOP_poll, &p);
    }
}

static int64_t areas(uint64_t arg)
{
    static const uint64_t bad[] = {0xffff820000000000, 0xffff800000000000, 0xffff87fffffffff8,
                                   0x0000800000000000};
    uint32_t ro, rw;

    (void)arg;
    grant_init();
    test_eq("54b", "map",
            grant_map_at(8, (unsigned int)pair_facts()->other, REF_RO, GNTMAP_readonly, &ro), 0);
    runstate_at(grant_va(8) + 64);
    time_at(grant_va(8) + 256);
    let_time_pass();
    /* The entry is another's page for a moment, and none; nothing is written by the way. */
    test_eq("54b", "map", grant_map_at(9, (unsigned int)pair_facts()->other, REF_RW, 0, &rw), 0);
    runstate_at(grant_va(10));
    test_eq("54b", "unmap", grant_unmap(rw, grant_va(9), 0), 0);
    runstate_at(grant_va(9));
    let_time_pass();
    for (unsigned int i = 0; i < 4; i++) {
        test_refused("54c", "runstate in the hypervisor's", runstate_at(bad[i]));
        test_refused("54c", "time in the hypervisor's", time_at(bad[i]));
    }
    let_time_pass();
    runstate_at(0);
    time_at(0);
    return grant_unmap(ro, grant_va(8), 0);
}

/* Of our own: tables, descriptors, places that do not fit. */
static int64_t infos(uint64_t arg)
{
    static const uint32_t offsets[] = {1,    7,          4096 - 56,  4095,
                                       4096, 0x80000000, 0xffffffff, 0xffffffc0};
    uint64_t table = mm_table(), data = mm_alloc();
    struct vcpu_register_vcpu_info r = {.mfn = mm_mfn(table)};

    (void)arg;
    test_eq("54d", "pin", test_pin(1, table), 0);
    test_refused("54d", "in a table", hc_vcpu(VCPUOP_register_vcpu_info, 1, &r));
    test_eq("54d", "unpin", test_unpin(table), 0);
    r.mfn = mm_mfn(data);
    for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        r.offset = offsets[i];
        test_refused("54d", "an offset", hc_vcpu(VCPUOP_register_vcpu_info, 1, &r));
    }
    r.offset = 64;
    test_eq("54d", "a vCPU that is not", hc_vcpu(VCPUOP_register_vcpu_info, 99, &r), -XEN_ENOENT);
    test_eq("54d", "ours", hc_vcpu(VCPUOP_register_vcpu_info, 2, &r), 0);
    test_refused("54d", "twice", hc_vcpu(VCPUOP_register_vcpu_info, 2, &r));
    mm_home(data, PTE_RO);
    test_refused("12f", "no table now", test_pin(1, data));
    mm_table_free(table);
    return 0;
}

static void story(void)
{
    pair_begin(1);
    pair_new_attacker(3);
    pair_attack("50a", no_such_port, 0);
    pair_attack("50b", polled, 0);
    pair_attack("50c", all_ports, 0);
    pair_attack("53b", others_ports, 0);
    ends();
    storms();
    pair_attack("52b", scribbled, 20000);
    pair_run(pair_witness, offer, pair_id(pair_attacker));
    pair_attack("54b", areas, 0);
    test_eq("54b", "the witness's page", pair_run(pair_witness, unchanged, 0), 1);
    pair_attack("54d", infos, 0);
    pair_attack("51d", reset, 300);
    pair_end_attacker("51e");
    end_dies();
}

int main(void)
{
    return pair_main("pair-events", story);
}
