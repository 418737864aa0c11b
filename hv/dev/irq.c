/* SPDX-License-Identifier: MIT */
/*
 * Physical interrupts. A source (an I/O APIC pin or an MSI) has one vector, the same on all CPUs,
 * and one owner: a function of the hypervisor, or a guest's pirq.
 *
 * A level interrupt is masked when it is taken and unmasked when the guest says that it has served
 * the device (irq_guest_eoi), so a guest that never does holds nobody up. An edge or message is
 * acknowledged at once.
 *
 * Lock order: `lock` alone; event delivery (event_send_pirq) is called without it.
 */
#include "dev/irq.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "base/spinlock.h"
#include "core/domain.h"
#include "core/event.h"
#include "core/sched.h"
#include "core/timer.h"
#include "dev/dev.h"
#include "x86/cpu.h"
#include "x86/insn.h"
#include <xen/errno.h>

vector_handler *vector_handlers[256];

struct source {
    bool used, started, level, active_low;
    bool masked_by_us; /* level: taken, the guest has not answered yet */
    bool is_msi;
    unsigned gsi;
    unsigned cpu;
    struct msi_source msi;
    void (*handler)(void); /* the hypervisor's own */
    struct domain *domain; /* else a guest's; referenced until unbound */
    unsigned pirq;
};

/* Indexed by vector: few, and found without a search when one arrives. */
static struct source sources[256];
static spinlock_t lock = SPINLOCK_INIT;

/* Trigger and polarity that domain 0 told of a pin before it bound it. */
static struct {
    bool told, level, active_low;
} pins[MAX_PIRQS];

static void set_masked(const struct source *s, unsigned vector, bool masked)
{
    if (s->is_msi) {
        msi_mask(&s->msi, masked);
        return;
    }
    const struct ioapic_route route = {
        .vector = (uint8_t)vector,
        .level = s->level,
        .active_low = s->active_low,
        .masked = masked,
        .apic_id = cpus[s->cpu]->apic_id,
    };
    ioapic_write_route(s->gsi, &route);
}

/* A free vector's source, marked used; NULL when all are taken. */
static struct source *new_source(unsigned *vector)
{
    for (unsigned v = VECTOR_DYN_FIRST; v <= VECTOR_DYN_LAST; v++) {
        if (v == VECTOR_INT80 || sources[v].used)
            continue;
        sources[v] = (struct source){.used = true};
        *vector = v;
        return &sources[v];
    }
    return NULL;
}

static struct source *find_gsi(unsigned gsi)
{
    for (unsigned v = VECTOR_DYN_FIRST; v <= VECTOR_DYN_LAST; v++)
        if (sources[v].used && !sources[v].is_msi && sources[v].gsi == gsi)
            return &sources[v];
    return NULL;
}

static struct source *find_pirq(const struct domain *d, unsigned pirq)
{
    for (unsigned v = VECTOR_DYN_FIRST; v <= VECTOR_DYN_LAST; v++)
        if (sources[v].used && sources[v].domain == d && sources[v].pirq == pirq)
            return &sources[v];
    return NULL;
}

static unsigned vector_of(const struct source *s)
{
    return (unsigned)(s - sources);
}

/* --- arrival --- */

static void on_device(struct regs *regs)
{
    struct source *s = &sources[regs->vector & 0xff];
    spin_lock(&lock);
    void (*handler)(void) = s->used ? s->handler : NULL;
    struct domain *d = s->used && s->started ? s->domain : NULL;
    unsigned pirq = s->pirq;
    if (d && s->level) {
        s->masked_by_us = true;
        set_masked(s, regs->vector, true);
    }
    spin_unlock(&lock);
    lapic_eoi();
    if (handler)
        handler();
    else if (d)
        (void)event_send_pirq(d, pirq);
}

static void on_timer(struct regs *regs)
{
    (void)regs;
    lapic_eoi();
    timer_interrupt();
}

static void on_flush(struct regs *regs)
{
    (void)regs;
    lapic_eoi();
    tlb_serve_requests();
}

/* The sender has set need_resched or an event; the way out looks. */
static void on_kick(struct regs *regs)
{
    (void)regs;
    lapic_eoi();
}

/* Neither spurious nor legacy interrupts want an acknowledgement. */
static void on_spurious(struct regs *regs)
{
    (void)regs;
}

void irq_dispatch(struct regs *regs)
{
    vector_handlers[regs->vector & 0xff](regs);
}

static void mask_8259s(void)
{
    /* Initialise them to the vectors below the devices', so that a spurious one is recognised. */
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, VECTOR_LEGACY_FIRST);
    outb(0xa1, VECTOR_LEGACY_FIRST + 8);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

void irq_init(void)
{
    mask_8259s();
    for (unsigned v = 0; v < 256; v++)
        vector_handlers[v] = on_spurious;
    for (unsigned v = VECTOR_DYN_FIRST; v <= VECTOR_DYN_LAST; v++)
        vector_handlers[v] = on_device;
    vector_handlers[VECTOR_TIMER] = on_timer;
    vector_handlers[VECTOR_FLUSH] = on_flush;
    vector_handlers[VECTOR_KICK] = on_kick;
}

/* --- sources --- */

/* The pin of an ISA interrupt, its trigger and polarity. */
static unsigned isa_to_gsi(unsigned isa, bool *level, bool *active_low)
{
    *level = *active_low = false;
    for (unsigned i = 0; i < ARRAY_SIZE(acpi_overrides); i++) {
        const struct acpi_override *o = &acpi_overrides[i];
        if (!o->used || o->irq != isa)
            continue;
        *active_low = (o->flags & 3) == 3;
        *level = (o->flags >> 2 & 3) == 3;
        return o->gsi;
    }
    return isa;
}

/* Defaults where domain 0 told nothing: ISA pins by the overrides, others as PCI's. */
static void default_pin(unsigned gsi, bool *level, bool *active_low)
{
    for (unsigned isa = 0; isa < 16; isa++)
        if (isa_to_gsi(isa, level, active_low) == gsi)
            return;
    *level = *active_low = true;
}

int irq_request_isa(unsigned isa_irq, void (*handler)(void))
{
    bool level, active_low;
    unsigned gsi = isa_to_gsi(isa_irq, &level, &active_low), vector;
    if (!ioapic_has_gsi(gsi))
        return -XEN_EINVAL;
    spin_lock(&lock);
    struct source *s = find_gsi(gsi) ? NULL : new_source(&vector);
    if (s) {
        s->gsi = gsi;
        s->level = level;
        s->active_low = active_low;
        s->handler = handler;
        s->started = true;
        set_masked(s, vector, false);
    }
    spin_unlock(&lock);
    return s ? 0 : -XEN_EBUSY;
}

int irq_setup_gsi(unsigned gsi, bool level, bool active_low)
{
    if (gsi >= MAX_PIRQS || !ioapic_has_gsi(gsi))
        return -XEN_EINVAL;
    spin_lock(&lock);
    pins[gsi].told = true;
    pins[gsi].level = level;
    pins[gsi].active_low = active_low;
    struct source *s = find_gsi(gsi);
    if (s && s->domain && (s->level != level || s->active_low != active_low)) {
        s->level = level;
        s->active_low = active_low;
        set_masked(s, vector_of(s), !s->started || s->masked_by_us);
    }
    spin_unlock(&lock);
    return 0;
}

/* Under the lock. The new source of d's pirq, or NULL with *error set. */
static struct source *bind(struct domain *d, unsigned pirq, int *error)
{
    unsigned vector;
    *error = pirq >= MAX_PIRQS ? -XEN_EINVAL : find_pirq(d, pirq) ? -XEN_EEXIST : 0;
    struct source *s = *error ? NULL : new_source(&vector);
    if (!*error && !s)
        *error = -XEN_ENOSPC;
    if (s) {
        s->domain = d;
        s->pirq = pirq;
    }
    return s;
}

int irq_bind_gsi(struct domain *d, unsigned pirq, unsigned gsi)
{
    int error;
    if (gsi >= MAX_PIRQS || !ioapic_has_gsi(gsi))
        return -XEN_EINVAL;
    spin_lock(&lock);
    if (find_gsi(gsi)) {
        spin_unlock(&lock);
        return -XEN_EBUSY;
    }
    struct source *s = bind(d, pirq, &error);
    if (s) {
        s->gsi = gsi;
        if (pins[gsi].told) {
            s->level = pins[gsi].level;
            s->active_low = pins[gsi].active_low;
        } else {
            default_pin(gsi, &s->level, &s->active_low);
        }
        set_masked(s, vector_of(s), true);
    }
    spin_unlock(&lock);
    return error;
}

int irq_bind_msi(struct domain *d, unsigned pirq, uint32_t sbdf, unsigned entry, uint64_t table)
{
    struct msi_source msi;
    int error = msi_open(&msi, sbdf, entry, table);
    if (error)
        return error;
    spin_lock(&lock);
    for (unsigned v = VECTOR_DYN_FIRST; v <= VECTOR_DYN_LAST && !error; v++)
        if (sources[v].used && sources[v].is_msi && sources[v].msi.sbdf == sbdf &&
            (!msi.msix || sources[v].msi.entry == entry))
            error = -XEN_EBUSY;
    struct source *s = error ? NULL : bind(d, pirq, &error);
    if (s) {
        msi_mask(&msi, true); /* until it is bound */
        s->is_msi = true;
        s->msi = msi;
        msi_write(&msi, (uint8_t)vector_of(s), cpus[s->cpu]->apic_id);
    }
    spin_unlock(&lock);
    return error;
}

int irq_unbind(struct domain *d, unsigned pirq)
{
    spin_lock(&lock);
    struct source *s = find_pirq(d, pirq);
    if (s) {
        set_masked(s, vector_of(s), true);
        if (s->is_msi)
            msi_close(&s->msi);
        *s = (struct source){.used = false};
    }
    spin_unlock(&lock);
    return s ? 0 : -XEN_EINVAL;
}

void irq_guest_eoi(struct domain *d, unsigned pirq)
{
    spin_lock(&lock);
    struct source *s = find_pirq(d, pirq);
    if (s && s->masked_by_us) {
        s->masked_by_us = false;
        if (s->started)
            set_masked(s, vector_of(s), false);
    }
    spin_unlock(&lock);
}

bool irq_needs_eoi(struct domain *d, unsigned pirq)
{
    spin_lock(&lock);
    const struct source *s = find_pirq(d, pirq);
    bool needs = s && s->level;
    spin_unlock(&lock);
    return needs;
}

int irq_startup(struct domain *d, unsigned pirq)
{
    spin_lock(&lock);
    struct source *s = find_pirq(d, pirq);
    if (s) {
        s->started = true;
        s->masked_by_us = false;
        set_masked(s, vector_of(s), false);
    }
    spin_unlock(&lock);
    return s ? 0 : -XEN_EINVAL;
}

void irq_shutdown(struct domain *d, unsigned pirq)
{
    spin_lock(&lock);
    struct source *s = find_pirq(d, pirq);
    if (s) {
        s->started = false;
        set_masked(s, vector_of(s), true);
    }
    spin_unlock(&lock);
}

void irq_set_cpu(struct domain *d, unsigned pirq, unsigned cpu)
{
    spin_lock(&lock);
    struct source *s = find_pirq(d, pirq);
    if (s && cpu < cpu_count && s->cpu != cpu) {
        s->cpu = cpu;
        if (s->is_msi)
            msi_write(&s->msi, (uint8_t)vector_of(s), cpus[cpu]->apic_id);
        set_masked(s, vector_of(s), !s->started || s->masked_by_us);
    }
    spin_unlock(&lock);
}

unsigned irq_gsi_count(void)
{
    return ioapic_gsi_limit();
}
