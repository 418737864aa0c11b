/* SPDX-License-Identifier: MIT */
/* The table of a privileged domain's physical interrupts. GSIs keep their numbers; MSIs get those
 * above. */
#include "pirq.h"
#include "mm/mm.h"
#include <xen/errno.h>

int pirq_init_domain(struct domain *d)
{
    d->pirq_eoi_mfn = ~0ull;
    d->pirqs = heap_alloc(MAX_PIRQS * sizeof(*d->pirqs));
    return d->pirqs ? 0 : -XEN_ENOMEM;
}

static bool is_mapped(const struct pirq *p)
{
    return p->kind == PIRQ_GSI || p->kind == PIRQ_MSI;
}

/* With event_lock: the lowest free number from `from` on, or -ENOSPC. */
static int find_free(struct domain *d, unsigned from)
{
    for (unsigned i = from; i < MAX_PIRQS; i++)
        if (d->pirqs[i].kind == PIRQ_NONE)
            return (int)i;
    return -XEN_ENOSPC;
}

/* pirq in range. */
static bool is_usable(struct domain *d, int pirq)
{
    return d->pirqs[pirq].kind == PIRQ_NONE || d->pirqs[pirq].kind == PIRQ_RESERVED;
}

static int find_gsi(struct domain *d, unsigned gsi)
{
    for (int i = 0; i < MAX_PIRQS; i++)
        if ((d->pirqs[i].kind == PIRQ_GSI || d->pirqs[i].kind == PIRQ_TAKEN) &&
            d->pirqs[i].source == gsi)
            return i;
    return -1;
}

static int map_gsi(struct domain *d, int *pirq, unsigned gsi)
{
    int known = find_gsi(d, gsi);
    if (known >= 0) {
        if (*pirq >= 0 && *pirq != known)
            return -XEN_EEXIST;
        *pirq = known;
        return 0;
    }
    if (*pirq < 0)
        *pirq = d->pirqs[gsi].kind == PIRQ_NONE ? (int)gsi : find_free(d, irq_gsi_count());
    if (*pirq < 0)
        return *pirq;
    if (*pirq >= MAX_PIRQS)
        return -XEN_EINVAL;
    if (!is_usable(d, *pirq))
        return -XEN_EEXIST;
    int error = irq_bind_gsi(d, (unsigned)*pirq, gsi);
    if (error && error != -XEN_EBUSY)
        return error;
    d->pirqs[*pirq].kind = error ? PIRQ_TAKEN : PIRQ_GSI;
    d->pirqs[*pirq].source = gsi;
    return 0;
}

int pirq_map_gsi(struct domain *d, int *pirq, unsigned gsi)
{
    if (gsi >= irq_gsi_count() || gsi >= MAX_PIRQS)
        return -XEN_EINVAL;
    spin_lock(&d->event_lock);
    int result = d->mm.dying ? -XEN_ESRCH : map_gsi(d, pirq, gsi);
    spin_unlock(&d->event_lock);
    return result;
}

int pirq_map_msi(struct domain *d, int *pirq, uint32_t sbdf, unsigned entry, uint64_t table)
{
    int result;
    spin_lock(&d->event_lock);
    if (*pirq < 0)
        *pirq = find_free(d, irq_gsi_count());
    if (d->mm.dying)
        result = -XEN_ESRCH;
    else if (*pirq < 0)
        result = *pirq;
    else if (*pirq >= MAX_PIRQS)
        result = -XEN_EINVAL;
    else if (!is_usable(d, *pirq))
        result = -XEN_EEXIST;
    else
        result = irq_bind_msi(d, (unsigned)*pirq, sbdf, entry, table);
    if (!result) {
        d->pirqs[*pirq].kind = PIRQ_MSI;
        d->pirqs[*pirq].source = sbdf;
    }
    spin_unlock(&d->event_lock);
    return result;
}

static int unmap(struct domain *d, unsigned pirq)
{
    struct pirq *p = &d->pirqs[pirq];
    if (p->kind == PIRQ_NONE)
        return -XEN_EINVAL;
    if (p->port)
        return -XEN_EBUSY;
    int result = is_mapped(p) ? irq_unbind(d, pirq) : 0;
    if (!result)
        p->kind = PIRQ_NONE;
    return result;
}

int pirq_unmap(struct domain *d, int pirq)
{
    if (pirq < 0 || pirq >= MAX_PIRQS)
        return -XEN_EINVAL;
    spin_lock(&d->event_lock);
    int result = unmap(d, (unsigned)pirq);
    spin_unlock(&d->event_lock);
    return result;
}

int pirq_reserve(struct domain *d, unsigned *pirq)
{
    spin_lock(&d->event_lock);
    int found = find_free(d, irq_gsi_count());
    if (found >= 0) {
        d->pirqs[found].kind = PIRQ_RESERVED;
        *pirq = (unsigned)found;
    }
    spin_unlock(&d->event_lock);
    return found < 0 ? found : 0;
}

void pirq_update_eoi_bit(struct domain *d, unsigned pirq)
{
    if (!d->pirq_needs_eoi)
        return;
    if (irq_needs_eoi(d, pirq))
        bit_test_and_set(d->pirq_needs_eoi, pirq);
    else
        bit_test_and_clear(d->pirq_needs_eoi, pirq);
}

void pirq_gsi_changed(struct domain *d, unsigned gsi)
{
    spin_lock(&d->event_lock);
    int pirq = find_gsi(d, gsi);
    if (pirq >= 0)
        pirq_update_eoi_bit(d, (unsigned)pirq);
    spin_unlock(&d->event_lock);
}

int pirq_set_eoi_page(struct domain *d, mfn_t m)
{
    int error = mm_hold_writable(&d->mm, m);
    if (error)
        return error;
    spin_lock(&d->event_lock);
    bool taken = d->pirq_needs_eoi;
    if (!taken) {
        d->pirq_eoi_mfn = m.n;
        d->pirq_needs_eoi = env_frame(m);
        for (unsigned i = 0; i < MAX_PIRQS; i++)
            if (is_mapped(&d->pirqs[i]))
                pirq_update_eoi_bit(d, i);
    }
    spin_unlock(&d->event_lock);
    if (taken)
        mm_release_writable(&d->mm, m);
    return taken ? -XEN_EBUSY : 0;
}

void pirq_teardown_domain(struct domain *d)
{
    for (int i = 0; i < MAX_PIRQS; i++) {
        (void)pirq_unmap(d, i); /* -EINVAL: was not mapped */
        env_preempt_point();
    }
    if (d->pirq_needs_eoi)
        mm_release_writable(&d->mm, mfn(d->pirq_eoi_mfn));
    d->pirq_needs_eoi = NULL;
}
