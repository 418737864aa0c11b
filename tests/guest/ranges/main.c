/* SPDX-License-Identifier: MIT */
/*
 * Invariant 4: every index, count, order, enum and identifier is checked at full width.
 *
 * run: smp=1 deadline=60
 */
#include <bare/test.h>
#include <xen/callback.h>
#include <xen/physdev.h>

static const uint64_t values[] = {0,
                                  1,
                                  0x7f,
                                  0x80,
                                  0xff,
                                  0x7ef0,
                                  0x7fef,
                                  0x7ff4,
                                  0x7fff,
                                  0x8000,
                                  0x10000,
                                  0x7fffffff,
                                  0x80000000,
                                  0xfffffffe,
                                  0xffffffff,
                                  1ul << 32,
                                  (1ul << 32) + 1,
                                  1ul << 63,
                                  ~0ul};
#define VALUES (sizeof(values) / sizeof(values[0]))

/* A call with one scalar open: the answer, and which values (of its own width) are legal. */
struct scalar {
    const char *name;
    long (*call)(uint64_t v);
    unsigned int width; /* bits of the field as declared */
    uint64_t legal;     /* values below this one may succeed */
};

static long number(uint64_t v)
{
    /* Numbers that exist get a pointer to nowhere, so that nothing happens. */
    if ((uint32_t)v < 56 || (uint32_t)v == __HYPERVISOR_iret)
        return -XEN_ENOSYS;
    return hypercall(v, 0xffff830000000000, 0, 0, 0, 0);
}

#define SUBOP(name, nr, second)                                                                    \
    static long name(uint64_t v)                                                                   \
    {                                                                                              \
        return hypercall(nr, v, second, second, 0, 0);                                             \
    }
#define NOWHERE 0xffff830000000000ul

SUBOP(sub_version, __HYPERVISOR_xen_version, NOWHERE)
SUBOP(sub_event, __HYPERVISOR_event_channel_op, NOWHERE)
SUBOP(sub_physdev, __HYPERVISOR_physdev_op, NOWHERE)
SUBOP(sub_callback, __HYPERVISOR_callback_op, NOWHERE)
SUBOP(sub_grant, __HYPERVISOR_grant_table_op, NOWHERE)
SUBOP(sub_console, __HYPERVISOR_console_io, NOWHERE)

static long sub_memory(uint64_t v)
{
    /* Low six bits are the command, the rest a position (see `resume`). */
    return hypercall(__HYPERVISOR_memory_op, v | 0x3f, NOWHERE, 0, 0, 0);
}

static long sub_vcpu(uint64_t v)
{
    return (uint32_t)v <= 14 ? -XEN_ENOSYS : hc_vcpu((unsigned int)v, 0, (void *)NOWHERE);
}

static long sub_sched(uint64_t v)
{
    return (uint32_t)v <= 7 ? -XEN_ENOSYS : hypercall(__HYPERVISOR_sched_op, v, NOWHERE, 0, 0, 0);
}

static long sub_mmuext(uint64_t v)
{
    struct mmuext_op op = {.cmd = (unsigned int)v, .arg1.mfn = ~0ul};

    if (op.cmd <= 20 && op.cmd >= 5)
        return -XEN_ENOSYS;
    return hc_mmuext(&op, 1, NULL, DOMID_SELF);
}

static long vcpu_id(uint64_t v)
{
    return hypercall(__HYPERVISOR_vcpu_op, VCPUOP_is_up, v, 0, 0, 0);
}

static long vcpu_id_output(uint64_t v)
{
    struct vcpu_runstate_info info;

    return hypercall(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, v, HC_ADDR(&info), 0, 0);
}

static long port_send(uint64_t v)
{
    return event_send((unsigned int)v);
}

static long port_close(uint64_t v)
{
    struct evtchn_close c = {.port = (unsigned int)v};

    return hc_event(EVTCHNOP_close, &c);
}

static long port_unmask(uint64_t v)
{
    struct evtchn_unmask u = {.port = (unsigned int)v};

    return hc_event(EVTCHNOP_unmask, &u);
}

static long port_status(uint64_t v)
{
    struct evtchn_status s = {.dom = DOMID_SELF, .port = (unsigned int)v};
    long ret = hc_event(EVTCHNOP_status, &s);

    /* A port that is merely closed has a status. */
    return ret == 0 && s.status == EVTCHNSTAT_closed ? -XEN_EINVAL : ret;
}

static long port_bind_vcpu(uint64_t v)
{
    struct evtchn_bind_vcpu b = {.port = (unsigned int)v, .vcpu = 0};

    return hc_event(EVTCHNOP_bind_vcpu, &b);
}

static long virq(uint64_t v)
{
    /* Those below 24 exist. */
    return (uint32_t)v < 24 ? -XEN_EINVAL : event_bind_virq((unsigned int)v, 0);
}

static long virq_vcpu(uint64_t v)
{
    return event_bind_virq(VIRQ_DEBUG, (unsigned int)v);
}

static long ipi_vcpu(uint64_t v)
{
    return event_bind_ipi((unsigned int)v);
}

static long pirq(uint64_t v)
{
    struct evtchn_bind_pirq b = {.pirq = (unsigned int)v};

    return b.pirq < 1024 ? -XEN_EINVAL : hc_event(EVTCHNOP_bind_pirq, &b);
}

static long event_domain(uint64_t v)
{
    struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)v};

    a.dom = (domid_t)v ? (domid_t)v : 999;
    return hc_event(EVTCHNOP_alloc_unbound, &a);
}

static long poll_count(uint64_t v)
{
    struct sched_poll p = {.nr_ports = (unsigned int)v, .timeout = 1};

    set_xen_guest_handle(p.ports, (evtchn_port_t *)NOWHERE);
    return p.nr_ports ? hc_sched(SCHEDOP_poll, &p) : -XEN_EINVAL;
}

static long debug_register(uint64_t v)
{
    return hypercall(__HYPERVISOR_set_debugreg, v, 0, 0, 0, 0);
}

static long debug_register_read(uint64_t v)
{
    /* Small numbers are registers, and their contents are no error. */
    return (uint32_t)v < 8 ? -XEN_EINVAL : hypercall(__HYPERVISOR_get_debugreg, v, 0, 0, 0, 0);
}

static long segment_base(uint64_t v)
{
    /* The kernel's own: base 0, selector 0. */
    return hypercall(__HYPERVISOR_set_segment_base, v, 0, 0, 0, 0);
}

static long assist(uint64_t v)
{
    return hypercall(__HYPERVISOR_vm_assist, v, 63, 0, 0, 0);
}

static long assist_type(uint64_t v)
{
    return (uint32_t)v < 32 ? -XEN_EINVAL
                            : hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable, v, 0, 0, 0);
}

static long gdt_entries(uint64_t v)
{
    /* None is legal: it drops the table. */
    return (uint32_t)v ? hypercall(__HYPERVISOR_set_gdt, NOWHERE, v, 0, 0, 0) : -XEN_EINVAL;
}

static long descriptor_address(uint64_t v)
{
    return hypercall(__HYPERVISOR_update_descriptor, v | 3, 0, 0, 0, 0);
}

static long ldt_entries(uint64_t v)
{
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT, .arg1.linear_addr = HC_ADDR(start_info)};

    op.arg2.nr_ents = (unsigned int)v;
    return op.arg2.nr_ents <= 8192 ? -XEN_EINVAL : hc_mmuext(&op, 1, NULL, DOMID_SELF);
}

static long callback_type(uint64_t v)
{
    struct callback_register c = {.type = (uint16_t)v, .address = START_VIRT_BASE};

    return c.type <= 7
               ? -XEN_ENOSYS
               : hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, HC_ADDR(&c), 0, 0, 0);
}

static long iopl(uint64_t v)
{
    struct physdev_set_iopl io = {.iopl = (uint32_t)v};

    return hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, HC_ADDR(&io), 0, 0, 0);
}

static long bitmap_ports(uint64_t v)
{
    struct physdev_set_iobitmap b = {.nr_ports = (uint32_t)v};

    return b.nr_ports <= 65536
               ? -XEN_EINVAL
               : hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iobitmap, HC_ADDR(&b), 0, 0, 0);
}

static long apic_number(uint64_t v)
{
    struct physdev_apic a = {.apic_physbase = v << 12 | 0x123, .reg = (uint32_t)v};

    return hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_apic_read, HC_ADDR(&a), 0, 0, 0);
}

static long irq_status(uint64_t v)
{
    struct physdev_irq_status_query q = {.irq = (uint32_t)v};

    return q.irq < 1024 ? -XEN_EINVAL
                        : hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_irq_status_query,
                                    HC_ADDR(&q), 0, 0, 0);
}

static long reservation_domain(uint64_t v)
{
    domid_t d = (domid_t)v;

    return hc_memory(XENMEM_current_reservation, &d);
}

static long mmu_domain(uint64_t v)
{
    struct mmu_update req = {mm_slot(mm_root(), 300), 0};

    return hypercall(__HYPERVISOR_mmu_update, HC_ADDR(&req), 1, 0, v, 0);
}

static long period(uint64_t v)
{
    struct vcpu_set_periodic_timer p = {.period_ns = v};

    /* From 1 ms up it is legal, to a limit that is the hypervisor's. */
    return v > 1000000 && v < 1ul << 40 ? -XEN_EINVAL : hc_vcpu(VCPUOP_set_periodic_timer, 0, &p);
}

static const struct scalar scalars[] = {
    {"hypercall number", number, 32, 0},
    {"version command", sub_version, 32, 1},
    {"event command", sub_event, 32, 0},
    {"physical device command", sub_physdev, 32, 0},
    {"callback command", sub_callback, 32, 0},
    {"grant command", sub_grant, 32, 56},    /* a count of zero is done at once */
    {"console command", sub_console, 32, 2}, /* writing and reading no bytes */
    {"memory command", sub_memory, 64, 0},
    {"vcpu command", sub_vcpu, 32, 0},
    {"scheduler command", sub_sched, 32, 0},
    {"extended command", sub_mmuext, 32, 0},
    {"vcpu id", vcpu_id, 32, 1},
    {"vcpu id with output", vcpu_id_output, 32, 1},
    {"port to send", port_send, 32, 0},
    {"port to close", port_close, 32, 0},
    {"port to unmask", port_unmask, 32, 2}, /* closed ones may be unmasked in vain */
    {"port to ask", port_status, 32, 0},
    {"port to move", port_bind_vcpu, 32, 0},
    {"virtual interrupt", virq, 32, 0},
    {"vcpu of a virtual interrupt", virq_vcpu, 32, 1},
    {"vcpu of an IPI", ipi_vcpu, 32, 1},
    {"physical interrupt", pirq, 32, 0},
    {"domain of a port", event_domain, 16, 0},
    {"ports to poll", poll_count, 32, 0},
    {"debug register", debug_register, 32, 8},
    {"debug register to read", debug_register_read, 32, 0},
    {"segment base", segment_base, 32, 4},
    {"assist command", assist, 32, 0},
    {"assist type", assist_type, 32, 0},
    {"descriptors", gdt_entries, 32, 0},
    {"descriptor address", descriptor_address, 64, 0},
    {"local descriptors", ldt_entries, 32, 0},
    {"callback type", callback_type, 16, 0},
    {"I/O privilege", iopl, 32, 4},
    {"bitmap ports", bitmap_ports, 32, 0},
    {"I/O APIC", apic_number, 64, 0},
    {"interrupt to ask", irq_status, 32, 0},
    {"domain of a reservation", reservation_domain, 16, 1},
    {"domain of an update", mmu_domain, 32, 1},
    {"timer period", period, 64, 0},
};

static void sweep(const struct scalar *s)
{
    int bad = 0;

    for (unsigned int i = 0; i < VALUES; i++) {
        uint64_t v = values[i], seen = s->width < 64 ? v & ((1ul << s->width) - 1) : v;
        bool may = seen < s->legal;
        long ret = s->call(v);

        /* DOMID_SELF and the encodings of it. */
        if (s->width == 16 && seen == DOMID_SELF)
            may = true;
        if (s->call == mmu_domain &&
            (((seen & 0xffff) == DOMID_SELF || (seen & 0xffff) == 0) && seen >> 16 <= 1))
            may = true;
        if (ret < 0 && ret > -4096)
            continue;
        if (may)
            continue;
        test_note("%s %lx: %ld", s->name, v, ret);
        bad++;
    }
    test_eq("4a", s->name, bad, 0);
}

/* What we refuse as a whole. */
static void refused_features(void)
{
    struct evtchn_init_control init = {.control_gfn = mm_mfn(mm_alloc())};
    uint32_t version = 2;

    test_eq_ours("4b", "FIFO events", hc_event(EVTCHNOP_init_control, &init), -XEN_ENOSYS);
    test_eq_ours("4b", "grant table version 2",
                 hypercall(__HYPERVISOR_grant_table_op, 8, HC_ADDR(&version), 1, 0, 0),
                 -XEN_ENOSYS);
    test_eq("4b", "no transcendent memory", hypercall(38, 0, 0, 0, 0, 0), -XEN_ENOSYS);
    test_eq("4b", "a number beyond the table", hypercall(56, 0, 0, 0, 0, 0), -XEN_ENOSYS);
    test_eq("4b", "the highest number", hypercall(~0ul, 0, 0, 0, 0, 0), -XEN_ENOSYS);
}

int main(void)
{
    test_begin("ranges");
    for (unsigned int i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++)
        sweep(&scalars[i]);
    refused_features();
    test_end();
}
