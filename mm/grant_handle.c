/* SPDX-License-Identifier: MIT */
/*
 * Handles: the mappings that a domain has of others' frames, numbered. A mapping has up to two parts (for the
 * CPUs, for devices). Who ends a part takes it out of the mapping first, so that nobody else ends it too;
 * the number is free for another mapping when no part is left and nobody is busy with it.
 */
#include "region_internal.h"

#define FIRST_CHUNKS 64u
#define MOST_HANDLES (1 << 30)

struct grant_mapping *grant_mapping_at(struct grant_table *t, uint32_t handle)
{
    return &t->chunks[handle / HANDLE_CHUNK][handle % HANDLE_CHUNK];
}

/* ---- under maps_lock ---- */

static inline unsigned limit_of(const struct grant_table *t)
{
    return t->max_handles + t->region_handles;
}

struct grant_mapping *grant_mapping_take_locked(struct grant_table *t, uint32_t *handle,
                                                unsigned flags)
{
    struct grant_mapping *m;

    if (t->free_handle == NO_HANDLE || t->mappings >= limit_of(t))
        return NULL;
    *handle = t->free_handle;
    m = grant_mapping_at(t, *handle);
    t->free_handle = m->next;
    m->from = NULL;
    m->flags = (uint16_t)flags;
    m->parts = 0;
    m->busy = 1;
    t->mappings++;
    return m;
}

static inline bool directory_is_full(const struct grant_table *t)
{
    return t->handles >= t->chunk_room * HANDLE_CHUNK;
}

/* Fresh handles from `chunk`, or false: it is not needed, or the directory has no room for it. */
static bool add_chunk(struct grant_table *t, struct grant_mapping *chunk)
{
    if (t->free_handle != NO_HANDLE || directory_is_full(t))
        return false;

    unsigned first = t->handles;

    for (unsigned i = 0; i < HANDLE_CHUNK; i++)
        chunk[i].next = i + 1 < HANDLE_CHUNK ? first + i + 1 : NO_HANDLE;
    t->chunks[first / HANDLE_CHUNK] = chunk;
    t->handles = first + HANDLE_CHUNK;
    t->free_handle = first;
    return true;
}

/* ---- */

/* The list of chunks is for those only who map, and as long as it must be. */
static bool grow_directory(struct grant_table *t)
{
    unsigned room = max(load_relaxed(&t->chunk_room) * 2, FIRST_CHUNKS);
    struct grant_mapping **list = heap_alloc(room * sizeof(list[0])), **old = list;

    if (!list)
        return false;
    spin_lock(&t->maps_lock);
    if (directory_is_full(t) && room > t->chunk_room) {
        old = t->chunks;
        if (old)
            memcpy(list, old, t->chunk_room * sizeof(list[0]));
        t->chunks = list;
        t->chunk_room = room;
    }
    spin_unlock(&t->maps_lock);
    heap_free(old);
    return true;
}

/* One more chunk, unless another was quicker. False: there is no memory. */
static bool grow(struct grant_table *t)
{
    struct grant_mapping *chunk = heap_alloc(HANDLE_CHUNK * sizeof(*chunk));
    bool used;

    if (!chunk)
        return false;
    spin_lock(&t->maps_lock);
    used = add_chunk(t, chunk);
    spin_unlock(&t->maps_lock);
    if (!used)
        heap_free(chunk);
    return true;
}

struct grant_mapping *grant_mapping_new(struct grant_table *t, uint32_t *handle, unsigned flags)
{
    for (;;) {
        struct grant_mapping *m;
        bool full, long_enough;

        spin_lock(&t->maps_lock);
        m = grant_mapping_take_locked(t, handle, flags);
        full = t->mappings >= limit_of(t);
        long_enough = !directory_is_full(t);
        spin_unlock(&t->maps_lock);
        if (m || full)
            return m;
        if (!(long_enough ? grow(t) : grow_directory(t)))
            return NULL;
    }
}

void grant_handles_allow(struct grant_table *t, int64_t more)
{
    spin_lock(&t->maps_lock);
    if (more > 0)
        t->region_handles = (unsigned)min((int64_t)MOST_HANDLES, t->region_handles + more);
    else
        t->region_handles -= (unsigned)min((int64_t)t->region_handles, -more);
    spin_unlock(&t->maps_lock);
}

void grant_mapping_publish(struct grant_table *t, struct grant_mapping *m, unsigned parts)
{
    spin_lock(&t->maps_lock);
    m->parts = (uint8_t)parts;
    m->busy--;
    spin_unlock(&t->maps_lock);
}

static int claim_locked(struct grant_table *t, uint32_t handle, unsigned parts,
                        uint64_t dev_bus_addr, struct grant_mapping *copy)
{
    struct grant_mapping *m;

    if (handle >= t->handles)
        return GNTST_bad_handle;
    m = grant_mapping_at(t, handle);
    if (!m->parts || (parts & ~m->parts) || m->busy == UINT8_MAX)
        return GNTST_bad_handle;
    if (unlikely(m->flags & MAPPING_WANTED))
        return CLAIM_LATER;
    if (dev_bus_addr && dev_bus_addr != mfn_to_maddr(mfn(m->frame)).a)
        return GNTST_bad_dev_addr;
    *copy = *m;
    m->parts &= (uint8_t)~parts;
    m->busy++;
    return GNTST_okay;
}

int grant_mapping_claim(struct grant_table *t, uint32_t handle, unsigned parts,
                        uint64_t dev_bus_addr, struct grant_mapping *copy)
{
    int status;

    spin_lock(&t->maps_lock);
    status = claim_locked(t, handle, parts, dev_bus_addr, copy);
    spin_unlock(&t->maps_lock);
    return status;
}

void grant_mapping_unclaim(struct grant_table *t, uint32_t handle, unsigned keep)
{
    struct grant_table *from = NULL;
    struct grant_mapping *m;

    spin_lock(&t->maps_lock);
    m = grant_mapping_at(t, handle);
    CHECK_LT(0, m->busy);
    m->parts |= (uint8_t)keep;
    if (--m->busy == 0 && !m->parts) {
        if (!(m->flags & MAPPING_REGION))
            from = m->from;
        else if (m->member)
            fetch_sub(&m->member->mappings, 1);
        grant_mapping_free_locked(t, m, handle);
    }
    spin_unlock(&t->maps_lock);
    if (from)
        grant_table_put(from);
}

/* Is it one of the member's that goes? */
static bool is_victim(const struct grant_mapping *m, const struct region_member *member,
                      bool writable_only)
{
    return (m->flags & MAPPING_REGION) && m->member == member && (m->parts || m->busy) &&
           !(writable_only && (m->flags & GNTMAP_readonly));
}

unsigned grant_mappings_revoke(struct grant_table *t, const struct region_member *member,
                               bool writable_only, uint32_t *at, uint32_t end,
                               struct grant_mapping *victim, unsigned room, bool *wait)
{
    unsigned found = 0;

    spin_lock(&t->maps_lock);
    for (; *at < min(end, t->handles) && found < room; ++*at) {
        struct grant_mapping *m = grant_mapping_at(t, *at);

        if (!is_victim(m, member, writable_only))
            continue;
        *wait = m->busy;
        if (*wait) {
            m->flags |= MAPPING_WANTED; /* a guest could keep it busy for ever */
            break;
        }
        victim[found++] = *m;
        fetch_sub(&m->member->mappings, 1);
        m->member = NULL;
        m->flags = (uint16_t)((m->flags & ~MAPPING_WANTED) | MAPPING_REVOKED);
    }
    if (*at >= t->handles)
        *at = NO_HANDLE;
    spin_unlock(&t->maps_lock);
    return found;
}

void grant_mappings_free(struct grant_table *t)
{
    struct grant_mapping **list = t->chunks;
    unsigned chunks = DIV_ROUND_UP(t->handles, HANDLE_CHUNK);

    CHECK_EQ(t->mappings, 0);
    spin_lock(&t->maps_lock); /* who searches the handles finds them all, or none */
    t->handles = t->max_handles = t->region_handles = t->chunk_room = 0;
    t->free_handle = NO_HANDLE;
    t->chunks = NULL;
    spin_unlock(&t->maps_lock);
    for (unsigned i = 0; i < chunks; i++) {
        heap_free(list[i]);
        env_preempt_point();
    }
    heap_free(list);
}
