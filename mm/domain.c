/* SPDX-License-Identifier: MIT */
/* Domains as the memory core sees them: their frames, their vCPUs' holds, their end. */
#include "internal.h"
#include "abi/pal.h"
#include "mm/bufcache.h"
#include "mm/grant.h"
#include "mm/region.h"

struct mm_domain mm_domain_io = {.id = DOMID_IO, .frames = FRAME_LIST_END};
struct mm_domain mm_domain_xen = {.id = DOMID_XEN, .frames = FRAME_LIST_END};

void mm_domain_init(struct mm_domain *d, unsigned id, uint64_t max_pages)
{
    memset(d, 0, sizeof(*d));
    CHECK(id < DOMID_FIRST_RESERVED && id != PAL_DOMID_REGION);
    d->id = (uint16_t)id;
    d->vcpus = 64;
    spin_init(&d->lock);
    d->frames = FRAME_LIST_END;
    d->max_pages = max_pages;
}

void mm_vcpu_init(struct mm_vcpu *v, struct mm_domain *d, unsigned id)
{
    memset(v, 0, sizeof(*v));
    v->d = d;
    v->id = id;
    v->kernel_root = v->user_root = MFN_NONE;
    for (unsigned i = 0; i < MM_GDT_FRAMES; i++)
        v->gdt[i] = MFN_NONE;
    for (unsigned i = 0; i < MM_LDT_FRAMES; i++)
        v->ldt[i] = MFN_NONE;
}

static void drop_root(mfn_t *root)
{
    mfn_t old = *root;

    *root = MFN_NONE;
    if (!mfn_eq(old, MFN_NONE))
        frame_put_role(frame_of(old));
}

void mm_vcpu_teardown(struct mm_vcpu *v)
{
    int rc = mm_set_gdt(v, NULL, 0);

    CHECK(rc == 0);
    mm_ldt_drop(v);
    v->ldt_entries = 0;
    drop_root(&v->kernel_root);
    drop_root(&v->user_root);
}

struct mm_domain *domain_resolve(struct mm_domain *d, unsigned domid, int *error)
{
    struct mm_domain *other;

    if (domid == DOMID_SELF || domid == d->id)
        return d;
    if (domid == DOMID_IO)
        return &mm_domain_io;
    *error = -XEN_EPERM;
    if (domid == DOMID_XEN)
        return d->privileged ? &mm_domain_xen : NULL;
    other = env_domain_get(domid);
    if (!other) {
        /* Only who may manage domains learns which of them exist. */
        if (d->privileged)
            *error = -XEN_ESRCH;
        return NULL;
    }
    if (env_may_manage(d, other))
        return other;
    env_domain_put(other);
    return NULL;
}

void domain_release(struct mm_domain *d, struct mm_domain *resolved)
{
    if (resolved != d && resolved != &mm_domain_io && resolved != &mm_domain_xen)
        env_domain_put(resolved);
}

void domain_link_locked(struct mm_domain *d, struct frame *f)
{
    uint32_t n = (uint32_t)(f - frame_table);

    if (d->frames == FRAME_LIST_END) {
        d->frames = f->next = f->prev = n;
        return;
    }
    struct frame *head = &frame_table[d->frames];

    f->next = d->frames;
    f->prev = head->prev;
    frame_table[head->prev].next = n;
    head->prev = n;
}

void domain_unlink_locked(struct mm_domain *d, struct frame *f)
{
    uint32_t n = (uint32_t)(f - frame_table);

    if (f->next == n) {
        d->frames = FRAME_LIST_END;
    } else {
        frame_table[f->next].prev = f->prev;
        frame_table[f->prev].next = f->next;
        if (d->frames == n)
            d->frames = f->next;
    }
    f->next = f->prev = FRAME_LIST_END;
}

/* The first frame of the ring that is not just being freed, with a reference; the ring moves on. */
static struct frame *next_of_ring(struct mm_domain *d)
{
    struct frame *f = NULL;

    spin_lock(&d->lock);
    if (d->frames != FRAME_LIST_END) {
        f = &frame_table[d->frames];
        d->frames = f->next;
        if (!frame_get_again(f))
            f = NULL;
    }
    spin_unlock(&d->lock);
    return f;
}

/*
 * Tables refer only downwards, so nothing is held in a circle: without pins and ownership
 * everything falls, but for what other domains map.
 */
uint64_t mm_domain_teardown(struct mm_domain *d)
{
    uint64_t left;

    CHECK(d->dying);
    bufcache_domain_end(d);
    spin_lock(&d->lock);
    left = d->tot_pages;
    spin_unlock(&d->lock);
    for (uint64_t i = 0; i < left; i++) {
        struct frame *f = next_of_ring(d);

        if (f) {
            if (fetch_and(&f->role, ~ROLE_PINNED) & ROLE_PINNED)
                frame_put_role(f);
            frame_disown(f);
            frame_put(f);
        }
        if (i % MM_STRIDE == MM_STRIDE - 1)
            env_preempt_point();
    }
    /* Its tables are gone, so what they mapped of others is. */
    mm_grant_teardown(d);
    mm_region_domain_end(d);
    spin_lock(&d->lock);
    left = d->tot_pages;
    spin_unlock(&d->lock);
    return left;
}
