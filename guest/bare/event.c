/* SPDX-License-Identifier: MIT */
#include <bare/event.h>
#include <bare/hypercall.h>
#include <bare/start.h>
#include <bare/vcpu.h>

#define PORTS 256 /* as many as the tests use handlers for */

static event_handler *handlers[PORTS];

static volatile struct vcpu_info *info(void)
{
    return &start_shared.vcpu_info[vcpu_self()->id];
}

static void set_bit(volatile xen_ulong_t *words, unsigned int n, bool on)
{
    if (on)
        __atomic_fetch_or(&words[n / 64], 1ul << n % 64, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&words[n / 64], ~(1ul << n % 64), __ATOMIC_SEQ_CST);
}

bool event_pending(unsigned int port)
{
    return start_shared.evtchn_pending[port / 64] >> port % 64 & 1;
}

void event_clear(unsigned int port)
{
    set_bit(start_shared.evtchn_pending, port, false);
}

static void run_word(unsigned int w)
{
    xen_ulong_t bits;

    while ((bits = start_shared.evtchn_pending[w] & ~start_shared.evtchn_mask[w])) {
        unsigned int port = w * 64 + (unsigned int)__builtin_ctzl(bits);

        event_clear(port);
        if (port < PORTS && handlers[port])
            handlers[port](port);
    }
}

void event_dispatch(void)
{
    volatile struct vcpu_info *vi = info();

    do {
        xen_ulong_t sel;

        vi->evtchn_upcall_pending = 0;
        sel = __atomic_exchange_n(&vi->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
        for (; sel; sel &= sel - 1)
            run_word((unsigned int)__builtin_ctzl(sel));
    } while (vi->evtchn_upcall_pending);
}

void event_deliver(bool on)
{
    volatile struct vcpu_info *vi = info();

    vi->evtchn_upcall_mask = !on;
    __asm__ volatile("" ::: "memory");
    /* What became pending while masked has no upcall of its own: any hypercall gives it. */
    if (on && vi->evtchn_upcall_pending)
        hc_version(XENVER_version, NULL);
}

void event_init(void)
{
    for (unsigned int i = 0; i < 64; i++)
        start_shared.evtchn_mask[i] = ~0ul;
    event_deliver(true);
}

void event_set_handler(unsigned int port, event_handler *h)
{
    struct evtchn_unmask u = {.port = port};

    handlers[port] = h;
    hc_event(EVTCHNOP_unmask, &u); /* which tells of what is pending already */
}

long event_bind_virq(unsigned int virq, unsigned int vcpu)
{
    struct evtchn_bind_virq b = {.virq = virq, .vcpu = vcpu};
    long ret = hc_event(EVTCHNOP_bind_virq, &b);

    return ret ? ret : (long)b.port;
}

long event_bind_ipi(unsigned int vcpu)
{
    struct evtchn_bind_ipi b = {.vcpu = vcpu};
    long ret = hc_event(EVTCHNOP_bind_ipi, &b);

    return ret ? ret : (long)b.port;
}

long event_send(unsigned int port)
{
    struct evtchn_send s = {.port = port};

    return hc_event(EVTCHNOP_send, &s);
}

long event_close(unsigned int port)
{
    struct evtchn_close c = {.port = port};

    if (port < PORTS)
        handlers[port] = 0;
    set_bit(start_shared.evtchn_mask, port, true);
    return hc_event(EVTCHNOP_close, &c);
}

static uint64_t read_tsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

uint64_t event_now(void)
{
    volatile struct vcpu_time_info *t = &info()->time;
    uint32_t version;
    uint64_t now;

    do {
        uint64_t delta;

        version = t->version & ~1u;
        __asm__ volatile("" ::: "memory");
        delta = read_tsc() - t->tsc_timestamp;
        delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
        now = t->system_time + (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
        __asm__ volatile("" ::: "memory");
    } while (version != t->version);
    return now;
}

static void beat(unsigned int port)
{
    (void)port;
    vcpu_self()->beats++;
}

void event_heartbeat(uint64_t period_ns)
{
    static long ports[VCPU_MAX];
    unsigned int id = vcpu_self()->id;
    struct vcpu_set_periodic_timer p = {.period_ns = period_ns};

    if (!ports[id]) {
        ports[id] = event_bind_virq(VIRQ_TIMER, id);
        if (ports[id] > 0)
            event_set_handler((unsigned int)ports[id], beat);
    }
    if (period_ns)
        hc_vcpu(VCPUOP_set_periodic_timer, id, &p);
    else
        hc_vcpu(VCPUOP_stop_periodic_timer, id, NULL);
}
