/* SPDX-License-Identifier: MIT */
/*
 * Invariant 58 with the one domain that has devices: interrupts are mapped once, within their ranges, and what is refused
 * leaves what was there before; the messages of a device are the hypervisor's to write.
 *
 * run: smp=2 device=virtio-rng-pci
 */
#include <bare/test.h>
#include <xen/physdev.h>

#define DEVFN       (3u << 3) /* behind bridge and display: run.py's first device */
#define BUS         0u
#define MSIX_SIZE   0x7ffu
#define MSIX_ENABLE 0x8000u
#define WINDOW      0xffff900000000000ul
#define GSI         5u /* an ISA interrupt that nobody has */
#define SERIAL      4u /* the hypervisor's console */
#define TOO_FAR     0x7fffffff

static long physdev(unsigned int cmd, void *op)
{
    return hypercall(__HYPERVISOR_physdev_op, cmd, HC_ADDR(op), 0, 0, 0);
}

/* ---- mapping ---- */

static long map_for(domid_t domid, int type, int index, int *pirq)
{
    struct physdev_map_pirq m = {.domid = domid, .type = type, .index = index, .pirq = *pirq};
    long ret = physdev(PHYSDEVOP_map_pirq, &m);

    if (!ret)
        *pirq = m.pirq;
    return ret;
}

static long map_gsi(int gsi, int pirq)
{
    return map_for(DOMID_SELF, MAP_PIRQ_TYPE_GSI, gsi, &pirq);
}

static long unmap(int pirq)
{
    struct physdev_unmap_pirq u = {.domid = DOMID_SELF, .pirq = pirq};

    return physdev(PHYSDEVOP_unmap_pirq, &u);
}

static long bind(uint32_t pirq)
{
    struct evtchn_bind_pirq b = {.pirq = pirq};
    long ret = hc_event(EVTCHNOP_bind_pirq, &b);

    return ret ? ret : (long)b.port;
}

static void ranges(void)
{
    static const int bad[] = {TOO_FAR, -TOO_FAR - 1, -2, 1 << 16, 4096};
    int any = -1;

    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        test_eq("58a", "an interrupt that is not", map_gsi(bad[i], -1), -XEN_EINVAL);
        test_eq("58a", "unmap what is not", unmap(bad[i]), -XEN_EINVAL);
        test_refused("58a", "bind what is not", bind((uint32_t)bad[i]));
        if (bad[i] > 0)
            test_eq("58a", "a number that is not", map_gsi(GSI, bad[i]), -XEN_EINVAL);
    }
    test_eq("58a", "no such kind", map_for(DOMID_SELF, 77, GSI, &any), -XEN_EINVAL);
    test_eq("58a", "for nobody", map_for(0x7e00, MAP_PIRQ_TYPE_GSI, GSI, &any), -XEN_ESRCH);
    test_eq("58a", "not bound yet", bind(GSI), -XEN_EINVAL);
}

static void once(void)
{
    long port, again;

    test_eq("58b", "map", map_gsi(GSI, GSI), 0);
    test_eq("58b", "as it is", map_gsi(GSI, GSI), 0);
    test_eq("58b", "under another number", map_gsi(GSI, 200), -XEN_EEXIST);
    test_eq("58b", "another under its number", map_gsi(GSI + 1, GSI), -XEN_EEXIST);
    port = bind(GSI);
    test_true("58b", "bind", port > 0);
    test_eq("58b", "bind twice", bind(GSI), -XEN_EEXIST);
    test_eq("58b", "unmap while it is bound", unmap(GSI), -XEN_EBUSY);
    test_eq("58b", "the binding survives all that", bind(GSI), -XEN_EEXIST);
    test_eq("58b", "close", event_close((unsigned int)port), 0);
    again = bind(GSI);
    test_true("58b", "bind again", again > 0 && !event_close((unsigned int)again));
    test_eq("58b", "unmap", unmap(GSI), 0);
    test_eq("58b", "unmap twice", unmap(GSI), -XEN_EINVAL);
    test_eq("58b", "the hypervisor's own can be mapped", map_gsi(SERIAL, SERIAL), 0);
    test_eq("58b", "but not had", bind(SERIAL), -XEN_EBUSY);
    test_eq("58b", "and be let go", unmap(SERIAL), 0);
}

/* All numbers there are; then none, and all come back. */
static void exhausted(void)
{
    static uint32_t got[4096];
    struct physdev_get_free_pirq f = {.type = MAP_PIRQ_TYPE_MSI};
    unsigned int n = 0, kept = 0;
    int any = -1;

    while (n < sizeof(got) / sizeof(got[0]) && !physdev(PHYSDEVOP_get_free_pirq, &f))
        got[n++] = f.pirq;
    test_true("58c", "some, and no more", n > 16 && n < sizeof(got) / sizeof(got[0]));
    test_eq("58c", "none left", physdev(PHYSDEVOP_get_free_pirq, &f), -XEN_ENOSPC);
    test_refused("58c", "nor for a message", map_for(DOMID_SELF, MAP_PIRQ_TYPE_MSI, 0, &any));
    for (unsigned int i = 0; i < n; i++)
        kept += unmap((int)got[i]) != 0;
    test_eq("58c", "kept", kept, 0);
    f.type = 77;
    test_eq("58c", "no such kind", physdev(PHYSDEVOP_get_free_pirq, &f), -XEN_EINVAL);
}

/* ---- messages ---- */

static uint32_t config_read(unsigned int reg)
{
    uint32_t value;

    __asm__ volatile("outl %0, %w1" : : "a"(0x80000000u | DEVFN << 8 | (reg & ~3u)), "d"(0xcf8));
    __asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(0xcfc));
    return value;
}

static void config_write(unsigned int reg, uint32_t value)
{
    __asm__ volatile("outl %0, %w1" : : "a"(0x80000000u | DEVFN << 8 | (reg & ~3u)), "d"(0xcf8));
    __asm__ volatile("outl %0, %w1" : : "a"(value), "d"(0xcfc));
}

static unsigned int find_msix(void)
{
    unsigned int at = config_read(0x34) & 0xfc;

    for (unsigned int i = 0; at && i < 48; i++) {
        uint32_t head = config_read(at);

        if ((head & 0xff) == 0x11)
            return at;
        at = head >> 8 & 0xfc;
    }
    return 0;
}

static long map_message(uint32_t bus, uint32_t devfn, int entry, uint64_t table, int *pirq)
{
    struct physdev_map_pirq m = {.domid = DOMID_SELF,
                                 .type = MAP_PIRQ_TYPE_MSI_SEG,
                                 .index = -1,
                                 .pirq = *pirq,
                                 .bus = (int)bus,
                                 .devfn = (int)devfn,
                                 .entry_nr = entry,
                                 .table_base = table};
    long ret = physdev(PHYSDEVOP_map_pirq, &m);

    if (!ret)
        *pirq = m.pirq;
    return ret;
}

static void refused_messages(uint64_t bar, unsigned int entries)
{
    int any = -1;

    test_refused("58d", "no such device", map_message(BUS, 0xff, 0, 0, &any));
    test_eq("58d", "no such bus", map_message(0x100, DEVFN, 0, bar, &any), -XEN_EINVAL);
    test_refused("58d", "no such segment", map_message(0x70000, DEVFN, 0, bar, &any));
    test_eq("58d", "no such function", map_message(BUS, 0x100, 0, bar, &any), -XEN_EINVAL);
    test_refused("58d", "it has no single message", map_message(BUS, DEVFN, 0, 0, &any));
    test_eq("58d", "an entry too many", map_message(BUS, DEVFN, (int)entries, bar, &any),
            -XEN_EINVAL);
    test_eq("58d", "the last number", map_message(BUS, DEVFN, TOO_FAR, bar, &any), -XEN_EINVAL);
    test_eq("58d", "a negative one", map_message(BUS, DEVFN, -1, bar, &any), -XEN_EINVAL);
    test_eq("58d", "a table of others", map_message(BUS, DEVFN, 0, bar + MM_PAGE, &any),
            -XEN_EINVAL);
    test_eq("58d", "a table in our memory",
            map_message(BUS, DEVFN, 0, mm_mfn(mm_root()) * MM_PAGE, &any), -XEN_EINVAL);
    any = GSI;
    test_eq("58d", "a number in use", map_gsi(GSI, GSI), 0);
    test_eq("58d", "is not taken", map_message(BUS, DEVFN, 0, bar, &any), -XEN_EEXIST);
    test_eq("58d", "and goes", unmap(GSI), 0);
}

/* Entry 0 of the table, as the device has it: address, its upper half, data, control. */
static volatile uint32_t *show_table(unsigned int at, uint64_t bar)
{
    uint64_t table = bar + (config_read(at + 4) & ~7u), page = table & ~(MM_PAGE - 1);

    /* It is only shown, however it is mapped. */
    test_eq("58e", "the table", mm_map(mm_root(), WINDOW, page | PTE_RW | PTE_PCD), 0);
    return (volatile uint32_t *)(WINDOW + (table & (MM_PAGE - 1)));
}

static void messages(void)
{
    unsigned int at = find_msix(), entries = at ? (config_read(at) >> 16 & MSIX_SIZE) + 1 : 0;
    uint64_t bar = at ? config_read(0x10 + 4 * (config_read(at + 4) & 7)) & ~0xful : 0;
    int pirq = -1, second = -1;
    volatile uint32_t *entry;
    uint32_t was[4];
    long port;

    if (!test_true("58d", "the device is there", at && bar && entries > 1))
        return;
    config_write(4, config_read(4) | 2); /* its memory answers */
    refused_messages(bar, entries);
    test_eq("58e", "map", map_message(BUS, DEVFN, 0, bar, &pirq), 0);
    config_write(at, config_read(at) | MSIX_ENABLE << 16);
    port = bind((uint32_t)pirq);
    test_true("58e", "bind", port > 0);
    entry = show_table(at, bar);
    for (unsigned int i = 0; i < 4; i++)
        was[i] = entry[i];
    test_note("message %x:%x %x, control %x", was[1], was[0], was[2], was[3]);
    test_true("58e", "an interrupt of a processor, not masked",
              (was[0] & 0xfff00000) == 0xfee00000 && !was[1] && !(was[3] & 1));
    test_true("58e", "no exception's vector, none of the hypervisor's",
              (was[2] & 0xff) >= 0x20 && (was[2] & 0xff) < 0xf0 && !(was[2] >> 8));
    test_eq("58e", "map it again", map_message(BUS, DEVFN, 0, bar, &second), -XEN_EBUSY);
    trap_write(HC_ADDR(&entry[0]), 0x123456789abcdef0); /* dropped, or a fault */
    trap_write(HC_ADDR(&entry[2]), 0x100000020);
    config_write(at + 4, 0xffffffff); /* where the table is, cannot be changed */
    for (unsigned int i = 0; i < 4; i++)
        test_eq("58e", "the message is as it was", entry[i], was[i]);
    test_eq("58e", "unmap while it is bound", unmap(pirq), -XEN_EBUSY);
    test_eq("58e", "close", event_close((unsigned int)port), 0);
    test_eq("58e", "unmap", unmap(pirq), 0);
    test_true("58e", "masked", entry[3] & 1);
    test_eq("58e", "unmap twice", unmap(pirq), -XEN_EINVAL);
    mm_map(mm_root(), WINDOW, 0);
}

/* ---- [SMP] both at once ---- */

static volatile int stop;

static void map_and_unmap(void *arg)
{
    (void)arg;
    while (!stop) {
        long port;

        map_gsi(GSI, GSI);
        port = bind(GSI);
        if (port > 0)
            event_close((unsigned int)port);
        unmap(GSI);
    }
}

static void races(void)
{
    unsigned int odd = 0;

    vcpu_run(1, map_and_unmap, NULL);
    for (unsigned int i = 0; test_race(i, 3000); i++) {
        long ret = map_gsi(GSI, GSI), port = bind(GSI), gone;

        odd += ret != 0 && ret != -XEN_EEXIST;
        odd += port < 0 && port != -XEN_EINVAL && port != -XEN_EEXIST;
        if (port > 0)
            odd += event_close((unsigned int)port) != 0;
        gone = unmap(GSI);
        odd += gone != 0 && gone != -XEN_EINVAL && gone != -XEN_EBUSY;
    }
    stop = 1;
    vcpu_join(1);
    test_eq("58f", "odd answers", odd, 0);
    unmap(GSI);
    test_eq("58f", "free in the end", map_gsi(GSI, GSI), 0);
    test_eq("58f", "and goes", unmap(GSI), 0);
}

int main(void)
{
    struct physdev_set_iopl l = {.iopl = 1};

    test_begin("irqs");
    test_eq("58a", "level", physdev(PHYSDEVOP_set_iopl, &l), 0);
    ranges();
    once();
    exhausted();
    messages();
    races();
    test_end();
}
