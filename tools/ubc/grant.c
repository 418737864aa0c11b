/* SPDX-License-Identifier: MIT */
#include "grant.h"
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xengnttab.h>

static xengnttab_handle *handle;

int grant_open(void)
{
    handle = xengnttab_open(NULL, 0);
    return handle ? 0 : -1;
}

void *grant_map(uint32_t domain, uint32_t *refs, unsigned count)
{
    return xengnttab_map_domain_grant_refs(handle, count, domain, refs, PROT_READ | PROT_WRITE);
}

void grant_unmap(void *pages, unsigned count)
{
    xengnttab_unmap(handle, pages, count);
}

static bool copy(uint32_t domain, const struct grant_copy *list, unsigned count, bool to_guest)
{
    xengnttab_grant_copy_segment_t segment[GRANT_BATCH];
    bool good = true;

    memset(segment, 0, count * sizeof(segment[0]));
    for (unsigned i = 0; i < count; i++) {
        union xengnttab_copy_ptr *ours = to_guest ? &segment[i].source : &segment[i].dest;
        union xengnttab_copy_ptr *theirs = to_guest ? &segment[i].dest : &segment[i].source;

        ours->virt = list[i].ours;
        theirs->foreign.ref = list[i].ref;
        theirs->foreign.offset = list[i].offset;
        theirs->foreign.domid = (uint16_t)domain;
        segment[i].len = list[i].length;
        segment[i].flags = to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
    }
    if (xengnttab_grant_copy(handle, count, segment))
        return false;
    for (unsigned i = 0; i < count; i++)
        good = good && segment[i].status == GNTST_okay;
    return good;
}

bool grant_copy_from(uint32_t domain, const struct grant_copy *list, unsigned count)
{
    return copy(domain, list, count, false);
}

bool grant_copy_to(uint32_t domain, const struct grant_copy *list, unsigned count)
{
    return copy(domain, list, count, true);
}
