/* SPDX-License-Identifier: MIT */
/* What the files of the grant tables share among themselves only. */
#ifndef MM_GRANT_INTERNAL_H
#define MM_GRANT_INTERNAL_H

#include "internal.h"
#include "mm/grant.h"

#include <xen/grant_table.h>

/*
 * An entry of version 1 as one word, so that all of it is seen, compared and exchanged at once: the granter
 * may change any part of it at any time.
 */
_Static_assert(sizeof(struct grant_entry_v1) == sizeof(uint64_t), "an entry is one word");
static inline unsigned entry_flags(uint64_t e)
{
    return e & 0xffff;
}
static inline unsigned entry_domid(uint64_t e)
{
    return e >> 16 & 0xffff;
}
static inline mfn_t entry_mfn(uint64_t e)
{
    return mfn(e >> 32);
}
#define ENTRY_FLAGS 0xffffull

/* What the hypervisor knows of an entry in use. */
struct grant_active {
    uint64_t entry;            /* without flags, as it was when the first user came */
    uint32_t readers, writers; /* mappings and copies under way */
};

/* One mapping that a domain has of another's frame, or of a region's. Its handle is its number. */
struct grant_mapping {
    union {
        struct grant_table *from;     /* the granter's, held by a count in refs */
        struct region_member *member; /* of a region; NULL when it was taken by force */
    };
    uint32_t ref;
    uint32_t frame;
    union {
        uint32_t next;  /* free ones: the next handle, or NO_HANDLE */
        uint32_t table; /* of a region: the table with its entry, at flags >> MAPPING_INDEX_SHIFT */
    };
    uint16_t flags; /* MAPPING_* */
    uint8_t parts;  /* GNTMAP_host_map, GNTMAP_device_map: what there is */
    uint8_t busy;   /* vCPUs that make it or end a part of it */
};
#define MAPPING_OF_GUEST (GNTMAP_readonly | GNTMAP_contains_pte) /* as the guest said */
#define MAPPING_WANTED                                                                             \
    0x08u /* a region's: it is about to be taken by force; nobody begins to end a part */
#define MAPPING_REGION      0x20u
#define MAPPING_REVOKED     0x40u /* a region's: nothing is left of it but the handle */
#define MAPPING_INDEX_SHIFT 7
_Static_assert(!(MAPPING_OF_GUEST & (MAPPING_WANTED | MAPPING_REGION | MAPPING_REVOKED)) &&
                   MAPPING_OF_GUEST >> MAPPING_INDEX_SHIFT == 0 &&
                   PTE_ENTRIES << MAPPING_INDEX_SHIFT == 1 << 16,
               "they share 16 bits");
#define NO_HANDLE    0xffffffffu
#define HANDLE_CHUNK ((unsigned)(PAGE_SIZE / sizeof(struct grant_mapping)))

struct grant_table {
    uint32_t refs; /* its domain's, and one for each mapping made through it */

    /* What the domain grants. */
    spinlock_t lock; /* the rest of the group; a leaf */
    bool dead;
    unsigned frames, max_frames;
    struct {
        uint64_t *shared; /* MM_GRANT_FRAME_ENTRIES entries: the page the guest sees */
        struct grant_active *active;
    } frame[MM_GRANT_MAX_FRAMES];

    /* What the domain maps of others. */
    spinlock_t maps_lock; /* the rest; a leaf */
    struct grant_mapping **chunks;
    unsigned chunk_room;           /* entries of that list */
    unsigned handles, max_handles; /* that exist, and may */
    unsigned region_handles;       /* and so many more, for the regions that list the domain */
    unsigned mappings;             /* in use */
    uint32_t free_handle;
};

/* What is in use of entry `ref`, which is below the size of a live table. */
static inline struct grant_active *grant_active_at(struct grant_table *t, uint32_t ref)
{
    return t->frame[ref / MM_GRANT_FRAME_ENTRIES].active + ref % MM_GRANT_FRAME_ENTRIES;
}

/* ---- grant.c ---- */
/* Mark entry `ref` of t in use by `user`, `times` over, if it allows that now; *m gets the frame. GNTST_*. Short. */
int grant_pin(struct grant_table *t, uint32_t ref, const struct mm_domain *user, bool readonly,
              unsigned times, mfn_t *m);
/* Undo it, when the use really is over. Short. */
void grant_unpin(struct grant_table *t, uint32_t ref, bool readonly, unsigned times);
/* A reference (and ROLE_WRITABLE) on a frame of d's own; NULL where that is not to be had. May wait. */
struct frame *grant_hold(struct mm_domain *d, mfn_t m, bool writable);
void grant_release(struct frame *f, bool writable);
void grant_table_put(struct grant_table *t);

/* The domain named by a batch's entries, looked up again only when the number changes. */
struct grant_peer {
    unsigned domid;
    struct mm_domain *d;
};
#define GRANT_NO_PEER ((struct grant_peer){.domid = DOMID_INVALID})
/* NULL: no such domain, or dying, or without a table. It stays until the next call. */
struct mm_domain *grant_peer(struct grant_peer *p, unsigned domid);
/* Before a rest point too: whoever ends the peer shall not wait for who is held there. */
void grant_peer_end(struct grant_peer *p);

/* One side of the copies of one call: a page of the caller's, or one granted to it. It stays open for the next copy, which often goes
 * on in the same page. Starts as {.peer = GRANT_NO_PEER, .writable = ...}. */
struct grant_side {
    struct grant_peer peer;
    struct mm_domain *d;
    struct frame *f; /* NULL: not open */
    bool by_ref, writable;
    domid_t domid;
    uint64_t name; /* the reference or the frame's number, as the caller gave it */
};
/* Let the side be what p names: s->f is held, and marked in use if it is granted. GNTST_*. May wait. */
int grant_side_take(struct mm_vcpu *v, struct grant_side *s, const struct gnttab_copy_ptr *p,
                    bool by_ref);
/* Nothing of it is held any more: before who holds may rest, and at the end. */
void grant_side_end(struct grant_side *s);

/* ---- the commands: `count` structures at args; see mm_grant_op ---- */
long grant_map(struct mm_vcpu *v, uint64_t args, unsigned count);               /* grant_map.c */
long grant_unmap(struct mm_vcpu *v, uint64_t args, unsigned count);             /* grant_map.c */
long grant_unmap_and_replace(struct mm_vcpu *v, uint64_t args, unsigned count); /* grant_map.c */
long grant_copy(struct mm_vcpu *v, uint64_t args, unsigned count);              /* grant_copy.c */

/* ---- handles (grant_handle.c) ---- */
/* A handle that nobody can use yet (busy, no parts), with these flags; NULL when d has as many as it may. */
struct grant_mapping *grant_mapping_new(struct grant_table *t, uint32_t *handle, unsigned flags);
/* The same under t->maps_lock, and only of those that are there; and giving one back that has no parts. */
struct grant_mapping *grant_mapping_take_locked(struct grant_table *t, uint32_t *handle,
                                                unsigned flags);
static inline void grant_mapping_free_locked(struct grant_table *t, struct grant_mapping *m,
                                             uint32_t handle)
{
    m->from = NULL;
    m->next = t->free_handle;
    t->free_handle = handle;
    t->mappings--;
}
/* It may have so many more, or fewer again. Short. */
void grant_handles_allow(struct grant_table *t, int64_t more);
/* Give it these parts: from now on it can be unmapped. */
void grant_mapping_publish(struct grant_table *t, struct grant_mapping *m, unsigned parts);
/* Take `parts` out of a mapping for their end; *copy shows it as it was. 0; GNTST_bad_handle when it has not all of
 * them; GNTST_bad_dev_addr when dev_bus_addr (if not 0) is not its address; CLAIM_LATER when it is to be taken by
 * force: then let go of all other claims, give the turn away and try again. */
#define CLAIM_LATER 1 /* no GNTST_* is positive */
int grant_mapping_claim(struct grant_table *t, uint32_t handle, unsigned parts,
                        uint64_t dev_bus_addr, struct grant_mapping *copy);
/* The end of a claim (or of a new mapping that failed): `keep` are the parts that remain after all. A mapping with
 * no part is free. */
void grant_mapping_unclaim(struct grant_table *t, uint32_t handle, unsigned keep);
/* The mapping of a handle below t->handles; nothing else runs on t. */
struct grant_mapping *grant_mapping_at(struct grant_table *t, uint32_t handle);
/* The handles of this member, or those only that may write, from *at on to below `end`, become revoked: what they were is in
 * victim[], and the caller's to end. Returns how many; *at is where to go on (NO_HANDLE: that was all); *wait: the one at
 * *at is being ended or made by somebody now, and nobody else begins to until the caller has come again. Short. */
unsigned grant_mappings_revoke(struct grant_table *t, const struct region_member *member,
                               bool writable_only, uint32_t *at, uint32_t end,
                               struct grant_mapping *victim, unsigned room, bool *wait);
void grant_mappings_free(struct grant_table *t);
void grant_mappings_end(struct mm_domain *d); /* grant_map.c: all that d has, at its death */

/* ---- entries of mappings (grant_map.c) ---- */
/* The level-1 table of v's domain that host_addr names, by the address it maps or as the entry's machine address. Looked at
 * again, under its lock, when the entry is written. */
struct frame *grant_host_table(struct mm_vcpu *v, uint64_t host_addr, bool by_entry,
                               unsigned *index);
static inline int grant_no_table_status(bool by_entry)
{
    return by_entry ? GNTST_general_error : GNTST_bad_virt_addr;
}
static inline pte_t grant_entry_value(uint32_t flags, mfn_t m)
{
    uint64_t avail = flags >> _GNTMAP_guest_avail0;

    return pte_make(m, PTE_P | PTE_US | (flags & GNTMAP_readonly ? 0 : PTE_RW) |
                           (env_has_nx ? PTE_NX : 0)) |
           ((avail << 9 | avail >> 3 << 52) & PTE_AVAIL);
}
/* Does the entry say what the mapping is? */
static inline bool grant_is_entry_of(pte_t e, const struct grant_mapping *m)
{
    bool readonly = m->flags & GNTMAP_readonly;

    return (e & PTE_P) && pte_mfn(e).n == m->frame && !(e & PTE_RW) == readonly;
}
/* Replace the entry by `value`, if it is the mapping's. GNTST_*. */
int grant_replace_entry(struct mm_vcpu *v, const struct grant_mapping *m, struct frame *table,
                        unsigned index, pte_t value);

static inline unsigned grant_parts(unsigned parts)
{
    return !!(parts & GNTMAP_host_map) + !!(parts & GNTMAP_device_map);
}

#endif
