/* SPDX-License-Identifier: MIT */
/* The audit's walk over grants; like the rest of it, by subtracting and adding again (audit.c). */
#include "region_internal.h"

/* What a mapping holds besides its entry in a table. */
static void count_mapping(const struct grant_mapping *m, bool restoring)
{
    uint32_t n = restoring ? grant_parts(m->parts) : -grant_parts(m->parts);
    bool readonly = m->flags & GNTMAP_readonly;

    if (m->flags & MAPPING_REVOKED)
        return;
    if (m->parts & GNTMAP_device_map)
        mm_audit_count(mfn(m->frame), !readonly);
    if (m->flags & MAPPING_REGION) {
        m->member->mappings += restoring ? 1 : -1ull;
        return;
    }
    if (!m->from->dead) {
        struct grant_active *a = grant_active_at(m->from, m->ref);

        if (readonly)
            a->readers += n;
        else
            a->writers += n;
    }
}

uint64_t grant_audit_walk(struct mm_domain *d, bool restoring)
{
    struct grant_table *t = d->grant;
    unsigned used = 0;
    uint64_t wrong = 0;

    if (!t)
        return 0;
    for (uint32_t h = 0; h < t->handles; h++) {
        const struct grant_mapping *m = grant_mapping_at(t, h);

        if (m->busy)
            wrong++;
        if (m->parts) {
            used++;
            count_mapping(m, restoring);
        }
    }
    wrong += used != t->mappings;
    return restoring ? 0 : wrong;
}

uint64_t grant_audit_rest(struct mm_domain *d)
{
    struct grant_table *t = d->grant;
    uint64_t wrong = 0;

    for (uint32_t ref = 0; t && ref < t->frames * MM_GRANT_FRAME_ENTRIES; ref++) {
        const struct grant_active *a = grant_active_at(t, ref);

        wrong += a->readers || a->writers;
    }
    return wrong;
}
