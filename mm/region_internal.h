/* SPDX-License-Identifier: MIT */
/* What the files of regions share with those of grants. */
#ifndef MM_REGION_INTERNAL_H
#define MM_REGION_INTERNAL_H

#include "abi/pal.h"
#include "grant_internal.h"
#include "mm/region.h"

/*
 * A domain on the list of a region. `users` counts the calls that looked the member up when it had that access and that go
 * by it until they end: who takes rights away lowers `access` and then waits for those who still have them. It
 * stays in memory while it has users or mappings.
 */
struct region_member {
    struct region *region;
    uint16_t domain; /* DOMID_INVALID: the place is free */
    uint8_t access;  /* PAL_REGION_*; none for a moment while it is taken off */
    uint32_t users[PAL_REGION_write + 1];
    uint64_t mappings; /* handles of it that are alive */
};

#define REGION_CHUNK (PAGE_SIZE / sizeof(uint32_t))

struct region {
    char name[PAL_REGION_NAME];
    uint32_t slot;
    uint32_t creator; /* domain, or REGION_NOBODY */
    uint64_t pages, generation;
    bool alive;       /* made completely, not being destroyed: may be found */
    uint32_t **chunk; /* frame numbers by page, REGION_CHUNK in each */
    struct region_member member[PAL_REGION_MEMBERS];
};
#define REGION_NOBODY (~0u)

static inline struct frame *region_frame(const struct region *r, uint32_t page)
{
    return &frame_table[r->chunk[page / REGION_CHUNK][page % REGION_CHUNK]];
}

/* ---- region.c ---- */
/* The member that domain `domid` is of the region in the slot, in use with *access until region_member_put; NULL: none.
 * Short. */
struct region_member *region_member_get(uint32_t slot, uint16_t domid, unsigned *access);
void region_member_put(struct region_member *m, unsigned access);

/* ---- region_map.c ---- */
/* What one batch of a call goes by. */
struct region_use {
    uint32_t slot;
    unsigned access;
    struct region_member *member; /* NULL: none */
    struct frame *table;          /* the level-1 table of the addresses from table_va on, or NULL */
    uint64_t table_va;
    struct frame *named; /* the one that was named by a machine address last, or NULL */
};
#define REGION_NO_USE ((struct region_use){.member = NULL})
static inline void region_use_end(struct region_use *u)
{
    if (u->member)
        region_member_put(u->member, u->access);
    *u = REGION_NO_USE;
}
/* As many of the operations as are quickly done, from the first on; the next one goes the general way. */
unsigned region_map_run(struct mm_vcpu *v, struct gnttab_map_grant_ref *op, unsigned count,
                        struct region_use *u);
/* The same with unmap_grant_ref. If any is done, the caller flushes. */
unsigned region_unmap_run(struct mm_vcpu *v, struct gnttab_unmap_grant_ref *op, unsigned count);
/* GNTTABOP_map_grant_ref of a region's page. GNTST_*. */
int region_map(struct mm_vcpu *v, struct gnttab_map_grant_ref *op, struct region_use *u);
/* Take the entry of a claimed handle's mapping away; what is there instead is `value`. GNTST_*. */
int region_leave(struct mm_vcpu *v, const struct grant_mapping *m, uint64_t host_addr, pte_t value);
/* By force: end all mappings that d has as this member, or only the writable ones. Nobody maps with the rights that it
 * lost any more. The caller flushes. Preempts. */
void region_take_back(struct mm_domain *d, struct region_member *m, bool writable_only);

#endif
