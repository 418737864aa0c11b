/* SPDX-License-Identifier: MIT */
/* Event channel operations: their errors one by one, and both ends of channels closed, sent and
 * bound at once. */
#include "core/irq.h"
#include "../../../hv/core/event_internal.h"
#include "../../../hv/core/pirq.h"
#include "machine.h"
#include "seeds.h"
#include <stdlib.h>

#define OP(v, cmd, op) do_event_channel_op((v), (cmd), (uint64_t)(op), 0, 0, 0)
#define EXPECT(value, expression)                                                                  \
    do {                                                                                           \
        long got_ = (expression);                                                                  \
        if (got_ != (value))                                                                       \
            machine_fail("line %d: " #expression " is %ld", __LINE__, got_);                       \
    } while (0)

static long close_port(struct vcpu *v, uint32_t port)
{
    struct evtchn_close op = {.port = port};
    return OP(v, EVTCHNOP_close, &op);
}
static long send_port(struct vcpu *v, uint32_t port)
{
    struct evtchn_send op = {.port = port};
    return OP(v, EVTCHNOP_send, &op);
}
static long unmask_port(struct vcpu *v, uint32_t port)
{
    struct evtchn_unmask op = {.port = port};
    return OP(v, EVTCHNOP_unmask, &op);
}
static long move_port(struct vcpu *v, uint32_t port, uint32_t vcpu)
{
    struct evtchn_bind_vcpu op = {.port = port, .vcpu = vcpu};
    return OP(v, EVTCHNOP_bind_vcpu, &op);
}
static long status_of(struct vcpu *v, unsigned dom, uint32_t port, struct evtchn_status *op)
{
    *op = (struct evtchn_status){.dom = (domid_t)dom, .port = port};
    return OP(v, EVTCHNOP_status, op);
}
static long open_unbound(struct vcpu *v, unsigned dom, unsigned remote, uint32_t *port)
{
    struct evtchn_alloc_unbound op = {.dom = (domid_t)dom, .remote_dom = (domid_t)remote};
    long result = OP(v, EVTCHNOP_alloc_unbound, &op);
    *port = op.port;
    return result;
}
static long connect_to(struct vcpu *v, unsigned remote, uint32_t remote_port, uint32_t *port)
{
    struct evtchn_bind_interdomain op = {.remote_dom = (domid_t)remote, .remote_port = remote_port};
    long result = OP(v, EVTCHNOP_bind_interdomain, &op);
    *port = op.local_port;
    return result;
}
static long bind_virq(struct vcpu *v, uint32_t virq, uint32_t vcpu, uint32_t *port)
{
    struct evtchn_bind_virq op = {.virq = virq, .vcpu = vcpu};
    long result = OP(v, EVTCHNOP_bind_virq, &op);
    *port = op.port;
    return result;
}
static long bind_pirq(struct vcpu *v, uint32_t pirq, uint32_t *port)
{
    struct evtchn_bind_pirq op = {.pirq = pirq};
    long result = OP(v, EVTCHNOP_bind_pirq, &op);
    *port = op.port;
    return result;
}
static bool pending(struct vcpu *v, uint32_t port)
{
    return bit_test(v->domain->shared->evtchn_pending, port);
}

/* ---- errors ---- */

static const uint32_t bad_ports[] = {0, 63, 64, 4095, 4096, 1u << 15, 0x7fffffff, 1u << 31, ~0u};

static void check_bad_ports(struct vcpu *v)
{
    for (unsigned i = 0; i < ARRAY_SIZE(bad_ports); i++) {
        struct evtchn_status status;
        EXPECT(-XEN_EINVAL, close_port(v, bad_ports[i]));
        EXPECT(-XEN_EINVAL, send_port(v, bad_ports[i]));
        EXPECT(-XEN_EINVAL, unmask_port(v, bad_ports[i]));
        EXPECT(-XEN_EINVAL, move_port(v, bad_ports[i], 0));
        evtchn_port_t port = bad_ports[i];
        struct sched_poll poll = {.nr_ports = 1};
        poll.ports.p = &port;
        EXPECT(-XEN_EINVAL, do_sched_op(v, SCHEDOP_poll, (uint64_t)&poll, 0, 0, 0));
        long known = bad_ports[i] == 63 ? 0 : -XEN_EINVAL; /* within the bucket: closed */
        EXPECT(known, status_of(v, DOMID_SELF, bad_ports[i], &status));
    }
}

static void check_virqs(struct vcpu *dom0, struct vcpu *guest)
{
    uint32_t port, again;
    EXPECT(-XEN_EINVAL, bind_virq(guest, NR_VIRQS, 0, &port));
    EXPECT(-XEN_EINVAL, bind_virq(guest, ~0u, 0, &port));
    EXPECT(-XEN_EPERM, bind_virq(guest, VIRQ_CONSOLE, 0, &port));
    EXPECT(-XEN_ENOENT, bind_virq(guest, VIRQ_TIMER, 2, &port));
    EXPECT(-XEN_ENOENT, bind_virq(guest, VIRQ_TIMER, ~0u, &port));
    EXPECT(0, bind_virq(guest, VIRQ_TIMER, 1, &port));
    EXPECT(-XEN_EEXIST, bind_virq(guest, VIRQ_TIMER, 1, &again));
    EXPECT(-XEN_EINVAL, move_port(guest, port, 0));
    EXPECT(-XEN_EINVAL, send_port(guest, port));
    event_send_virq(guest->domain->vcpus[1], VIRQ_TIMER);
    CHECK(pending(guest, port));
    EXPECT(0, close_port(guest, port));
    CHECK(!pending(guest, port));
    event_send_virq(guest->domain->vcpus[1], VIRQ_TIMER);
    CHECK(!pending(guest, port));
    EXPECT(-XEN_EINVAL, close_port(guest, port));
    EXPECT(-XEN_EINVAL, bind_virq(dom0, VIRQ_CONSOLE, 1, &port));
    EXPECT(0, bind_virq(dom0, VIRQ_CONSOLE, 0, &port));
    EXPECT(0, move_port(dom0, port, 1));
    EXPECT(-XEN_ENOENT, move_port(dom0, port, 2));
    event_send_global_virq(VIRQ_CONSOLE);
    CHECK(pending(dom0, port));
    EXPECT(0, close_port(dom0, port));
}

static void check_channels(struct vcpu *dom0, struct vcpu *guest)
{
    uint32_t mine, theirs, other;
    struct evtchn_status status;
    EXPECT(-XEN_EPERM, open_unbound(guest, 0, 1, &mine));
    EXPECT(-XEN_EPERM, open_unbound(guest, 77, 1, &mine)); /* whether there is one or not */
    EXPECT(-XEN_ESRCH, open_unbound(dom0, 77, 1, &mine));
    EXPECT(0, open_unbound(guest, DOMID_SELF, 0, &mine));
    EXPECT(0, send_port(guest, mine));
    EXPECT(-XEN_ESRCH, connect_to(dom0, 77, mine, &theirs));
    EXPECT(-XEN_EINVAL, connect_to(guest, 1, mine, &theirs)); /* kept for domain 0 */
    EXPECT(-XEN_EINVAL, connect_to(dom0, 1, 4000, &theirs));
    EXPECT(0, connect_to(dom0, 1, mine, &theirs));
    CHECK(pending(dom0, theirs));
    EXPECT(-XEN_EINVAL, connect_to(dom0, 1, mine, &other)); /* taken */
    EXPECT(0, send_port(dom0, theirs));
    CHECK(pending(guest, mine));
    EXPECT(0, status_of(dom0, 1, mine, &status));
    CHECK(status.status == EVTCHNSTAT_interdomain && status.u.interdomain.dom == 0 &&
          status.u.interdomain.port == theirs);
    EXPECT(-XEN_EPERM, status_of(guest, 0, theirs, &status));
    EXPECT(0, close_port(dom0, theirs));
    EXPECT(0, status_of(guest, DOMID_SELF, mine, &status));
    CHECK(status.status == EVTCHNSTAT_unbound && status.u.unbound.dom == 0);
    EXPECT(0, close_port(guest, mine));
    /* With oneself. */
    EXPECT(0, open_unbound(guest, DOMID_SELF, DOMID_SELF, &mine));
    EXPECT(0, connect_to(guest, DOMID_SELF, mine, &theirs));
    EXPECT(0, send_port(guest, mine));
    CHECK(pending(guest, theirs));
    EXPECT(0, close_port(guest, mine));
    EXPECT(0, close_port(guest, theirs));
}

static void check_pirqs(struct vcpu *dom0, struct vcpu *guest)
{
    uint32_t port, again;
    EXPECT(-XEN_EPERM, bind_pirq(guest, 9, &port));
    EXPECT(-XEN_EINVAL, bind_pirq(dom0, MAX_PIRQS, &port));
    EXPECT(-XEN_EINVAL, bind_pirq(dom0, 9, &port)); /* not mapped */
    int pirq = 9;
    EXPECT(0, pirq_map_gsi(dom0->domain, &pirq, 9));
    EXPECT(0, pirq_map_gsi(dom0->domain, &pirq, 9));
    int wrong = 10;
    EXPECT(-XEN_EEXIST, pirq_map_gsi(dom0->domain, &wrong, 9));
    EXPECT(-XEN_EINVAL, pirq_map_gsi(dom0->domain, &pirq, 24));
    fake_irq_error = -XEN_ENOSPC;
    EXPECT(-XEN_ENOSPC, bind_pirq(dom0, 9, &port));
    fake_irq_error = 0;
    EXPECT(0, bind_pirq(dom0, 9, &port));
    CHECK(fake_irq_started[9]);
    EXPECT(-XEN_EEXIST, bind_pirq(dom0, 9, &again));
    EXPECT(-XEN_EBUSY, pirq_unmap(dom0->domain, 9));
    CHECK(event_send_pirq(dom0->domain, 9) && pending(dom0, port));
    EXPECT(0, close_port(dom0, port));
    CHECK(!fake_irq_started[9] && !event_send_pirq(dom0->domain, 9));
    EXPECT(0, pirq_unmap(dom0->domain, 9));
    EXPECT(-XEN_EINVAL, pirq_unmap(dom0->domain, 9));
    EXPECT(-XEN_EINVAL, pirq_unmap(dom0->domain, -1));
}

static void check_limits(struct vcpu *guest)
{
    uint32_t port;
    unsigned opened = 0;
    long result;
    while ((result = open_unbound(guest, DOMID_SELF, 0, &port)) == 0)
        opened++;
    EXPECT(-XEN_ENOSPC, result);
    CHECK_EQ(opened, EVENT_MAX_PORTS - 1);
    struct evtchn_reset reset = {.dom = DOMID_SELF};
    EXPECT(0, OP(guest, EVTCHNOP_reset, &reset));
    EXPECT(-XEN_EINVAL, close_port(guest, 4095));
    /* An answer that cannot be delivered leaves nothing open. */
    EXPECT(-XEN_ENOSYS, OP(guest, EVTCHNOP_init_control, &reset));
    EXPECT(-XEN_ENOSYS, OP(guest, EVTCHNOP_expand_array, &reset));
    EXPECT(-XEN_ENOSYS, OP(guest, EVTCHNOP_set_priority, &reset));
    EXPECT(-XEN_ENOSYS, do_event_channel_op(guest, ~0ull, 0, 0, 0, 0));
    fake_copy_fails = true;
    for (unsigned cmd = 0; cmd <= EVTCHNOP_reset; cmd++)
        EXPECT(cmd == EVTCHNOP_bind_pirq ? -XEN_EPERM : -XEN_EFAULT,
               do_event_channel_op(guest, cmd, 0, 0, 0, 0));
    fake_copy_fails = false;
}

static void check_no_memory(struct vcpu *guest)
{
    uint32_t port;
    fake_heap_budget = 0;
    EXPECT(-XEN_ENOMEM, open_unbound(guest, DOMID_SELF, 0, &port));
    fake_heap_budget = ~0u;
    EXPECT(0, open_unbound(guest, DOMID_SELF, 0, &port));
    CHECK_EQ(port, 1);
    EXPECT(0, close_port(guest, port));
}

static void errors_guest(struct vcpu *v)
{
    if (v->domain != domain0 || v->mm.id) {
        vcpu_block();
        return;
    }
    struct vcpu *guest = NULL;
    struct domain *d = domain_get(1);
    guest = d->vcpus[0];
    check_no_memory(guest);
    check_no_memory(v);
    check_bad_ports(guest);
    check_virqs(v, guest);
    check_channels(v, guest);
    check_pirqs(v, guest);
    check_limits(guest);
    domain_put(d);
    machine_stop();
}

static void play_errors(uint64_t seed)
{
    machine_start(1, seed);
    machine_domain(0, 2, true, errors_guest);
    machine_domain(1, 2, false, errors_guest);
    machine_run(100000000);
}

static void test_errors(void **state)
{
    (void)state;
    play_seed(play_errors, 1);
}

/* ---- races ---- */

#define CHAOS_PORTS 12
#define CHAOS_TURNS 400

static unsigned chaos_done;

/* Any operation on any of the first ports, whoever owns it just then. */
static void chaos_guest(struct vcpu *v)
{
    static uint64_t turns;
    uint32_t port = 1 + machine_random(CHAOS_PORTS), out;
    unsigned peer = v->domain->mm.id ^ 1;
    switch (machine_random(9)) {
    case 0:
        (void)open_unbound(v, DOMID_SELF, machine_random(2) ? peer : DOMID_SELF, &out);
        break;
    case 1:
    case 2:
        (void)connect_to(v, machine_random(2), port, &out);
        break;
    case 3:
    case 4:
        (void)close_port(v, port);
        break;
    case 5:
        (void)send_port(v, port);
        break;
    case 6:
        (void)move_port(v, port, machine_random(2));
        break;
    case 7:
        (void)bind_virq(v, VIRQ_TIMER, machine_random(2), &out);
        event_send_virq(v, VIRQ_TIMER);
        break;
    case 8:
        if (machine_random(10) == 0) {
            struct evtchn_reset op = {.dom = DOMID_SELF};
            (void)OP(v, EVTCHNOP_reset, &op);
        }
        break;
    }
    if (++turns >= CHAOS_TURNS && !chaos_done) {
        /* Let all be quiet: the others are stopped where they are between two operations. */
        chaos_done = 1;
        domain_pause(domain_get(peer));
        domain_pause(v->domain);
        machine_stop();
    }
    while (chaos_done)
        guest_instruction(v);
}

/* Every connected port's other end names it back; every virtual interrupt's port is of that kind.
 */
static void check_books(struct domain *d, struct domain *all[2])
{
    for (unsigned port = 1; port < d->evtchn_limit; port++) {
        struct evtchn *chn = evtchn_of(d, port);
        CHECK_EQ(chn->port, port);
        CHECK(!spin_is_locked(&chn->lock));
        if (chn->state != EVT_INTERDOMAIN)
            continue;
        CHECK(chn->remote == all[0] || chn->remote == all[1]);
        struct evtchn *other = evtchn_of(chn->remote, chn->remote_port);
        CHECK(other && other != chn && other->state == EVT_INTERDOMAIN);
        CHECK(other->remote == d && other->remote_port == port);
    }
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        unsigned port = d->vcpus[i]->virq_port[VIRQ_TIMER];
        if (port)
            CHECK(evtchn_of(d, port)->state == EVT_VIRQ && evtchn_of(d, port)->vcpu == i);
    }
    CHECK(!spin_is_locked(&d->event_lock));
    CHECK_EQ(d->refs, 1u + (chaos_done && d->refs > 1));
}

static void play_chaos(uint64_t seed)
{
    machine_start(1 + seed % 4, seed);
    struct domain *all[2] = {machine_domain(0, 2, true, chaos_guest),
                             machine_domain(1, 2, false, chaos_guest)};
    machine_run(50000000);
    check_books(all[0], all);
    check_books(all[1], all);
}

static void test_races(void **state)
{
    (void)state;
    play_seeds(150, play_chaos);
}

/* ---- a port goes from one vCPU to the other while it is sent to ---- */

#define MOVES 60

static uint32_t moving_port;
static unsigned asked, sent;

static void sending_guest(struct vcpu *v)
{
    static uint32_t mine;

    if (moving_port && !mine && connect_to(v, 1, moving_port, &mine))
        machine_fail("no connection");
    if (mine && load_relaxed(&sent) != load_relaxed(&asked)) {
        if (send_port(v, mine))
            machine_fail("not sent");
        store_release(&sent, sent + 1);
    }
    guest_instruction(v);
}

/* As a kernel does it: masked, moved, unmasked. What was sent meanwhile is for the vCPU that has it now. */
static void moving_guest(struct vcpu *v)
{
    struct domain *d = v->domain;

    v->info->evtchn_upcall_mask = 1; /* what comes is looked at below */
    while (v->mm.id)
        guest_instruction(v);
    d->vcpus[1]->info->evtchn_upcall_mask = 1;
    if (!moving_port && open_unbound(v, DOMID_SELF, 0, &moving_port))
        machine_fail("no port");
    if (asked == MOVES)
        machine_stop();
    while (asked == MOVES)
        guest_instruction(v);
    unsigned to = asked & 1;
    store_release(&asked, asked + 1);
    for (unsigned i = machine_random(40); i; i--)
        guest_instruction(v);
    bit_test_and_set(d->shared->evtchn_mask, moving_port);
    if (move_port(v, moving_port, to) || unmask_port(v, moving_port))
        machine_fail("not moved");
    while (load_acquire(&sent) != asked)
        guest_instruction(v);
    CHECK(bit_test(d->shared->evtchn_pending, moving_port));
    CHECK(bit_test(&d->vcpus[to]->info->evtchn_pending_sel, moving_port / 64));
    d->vcpus[0]->info->evtchn_pending_sel = d->vcpus[1]->info->evtchn_pending_sel = 0;
    bit_test_and_clear(d->shared->evtchn_pending, moving_port);
}

static void play_moved(uint64_t seed)
{
    machine_start(2, seed);
    machine_uneven = true;
    machine_domain(0, 1, true, sending_guest);
    machine_domain(1, 2, false, moving_guest);
    machine_run(50000000);
    CHECK_EQ(asked, MOVES);
}

static void test_moved(void **state)
{
    (void)state;
    play_seeds(150, play_moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_races),
        cmocka_unit_test(test_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
