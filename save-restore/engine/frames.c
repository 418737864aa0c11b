/* SPDX-License-Identifier: MIT */
#include "engine/frames.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Memory that is there when it is touched: numbers without frames cost nothing. */
static void *lazily(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void give_back(void *p, uint64_t bytes)
{
    if (p)
        munmap(p, bytes);
}

int frames_make(struct frames *f, uint64_t count, struct pal_error *e)
{
    memset(f, 0, sizeof(*f));
    f->count = count;
    f->mfn = lazily(count * sizeof(*f->mfn));
    f->type = lazily(count);
    f->bitmap = lazily((count + 7) / 8);
    if (!f->mfn || !f->type || !f->bitmap) {
        frames_free(f);
        return pal_fail(e, PAL_SYS_FAILED, "out of memory for the list of the domain's frames");
    }
    memset(f->mfn, 0xff, count * sizeof(*f->mfn));
    return 0;
}

void frames_free(struct frames *f)
{
    give_back(f->mfn, f->count * sizeof(*f->mfn));
    give_back(f->type, f->count);
    give_back(f->bitmap, (f->count + 7) / 8);
    give_back(f->gfn, f->machine * sizeof(*f->gfn));
    memset(f, 0, sizeof(*f));
}

/* ---- what the hypervisor says ---- */

static int measure(void *data, const struct pal_own_frame *o, struct pal_error *e)
{
    struct frames *size = data;

    if (o->gfn >= IMAGE_FRAMES_MAX)
        return pal_fail(e, PAL_SAVE_GUEST, "its kernel gives the machine frame %#llx no number",
                        (unsigned long long)o->mfn);
    if (o->gfn >= size->count)
        size->count = o->gfn + 1;
    size->machine = o->mfn + 1; /* they ascend */
    return 0;
}

static int enter(void *data, const struct pal_own_frame *o, struct pal_error *e)
{
    struct frames *f = data;

    if (o->mfn >= f->machine || o->gfn >= f->count)
        return pal_fail(e, PAL_SAVE_GUEST, "its memory changes while it is looked at");
    if (f->mfn[o->gfn] != FRAMES_NONE)
        return pal_fail(e, PAL_SAVE_GUEST,
                        "its kernel gives two machine frames (%#x, %#llx) the same number %#llx",
                        f->mfn[o->gfn], (unsigned long long)o->mfn, (unsigned long long)o->gfn);
    f->mfn[o->gfn] = (uint32_t)o->mfn;
    f->gfn[o->mfn] = (uint32_t)o->gfn;
    f->type[o->gfn] = (uint8_t)(o->level | (o->pinned ? IMAGE_PINNED : 0));
    f->bitmap[o->gfn / 8] |= (uint8_t)(1u << o->gfn % 8);
    f->pages++;
    return 0;
}

int frames_read(struct frames *f, struct pal_hv *hv, uint32_t domain, uint64_t least,
                struct pal_error *e)
{
    struct frames size = {.count = least};

    if (pal_domain_frames(hv, domain, measure, &size, e) || frames_make(f, size.count, e))
        return -1;
    f->machine = size.machine;
    f->gfn = lazily(f->machine * sizeof(*f->gfn));
    if (!f->gfn)
        pal_fail(e, PAL_SYS_FAILED, "out of memory for the list of the machine's frames");
    else
        memset(f->gfn, 0xff, f->machine * sizeof(*f->gfn));
    if (!f->gfn || pal_domain_frames(hv, domain, enter, f, e)) {
        frames_free(f);
        return -1;
    }
    return 0;
}

/* ---- from one number to the other ---- */

uint64_t frames_to_gfn(void *context, uint64_t mfn)
{
    const struct frames *f = context;

    return mfn < f->machine && f->gfn[mfn] != FRAMES_NONE ? f->gfn[mfn] : REWRITE_NONE;
}

uint64_t frames_to_mfn(void *context, uint64_t gfn)
{
    const struct frames *f = context;

    return frames_has(f, gfn) ? f->mfn[gfn] : REWRITE_NONE;
}

unsigned frames_level(void *context, uint64_t gfn)
{
    const struct frames *f = context;
    unsigned type = gfn < f->count ? f->type[gfn] & ~IMAGE_PINNED : 0;

    return type <= IMAGE_L4 ? type : 0;
}

/* ---- contents ---- */

void *frames_map(const struct frames *f, struct pal_hv *hv, uint32_t domain, int protection,
                 const uint32_t *gfns, unsigned count, struct pal_error *e)
{
    xen_pfn_t mfns[IMAGE_CHUNK_PAGES];
    void *at;

    for (unsigned i = 0; i < count; i++)
        mfns[i] = f->mfn[gfns[i]];
    at = xenforeignmemory_map(hv->memory, domain, protection, count, mfns, NULL);
    if (!at)
        pal_fail(e, PAL_HV_REFUSED, "the domain's memory cannot be mapped: %s", strerror(errno));
    return at;
}

void *frames_map_mfn(struct pal_hv *hv, uint32_t domain, int protection, uint64_t mfn,
                     struct pal_error *e)
{
    xen_pfn_t frame = mfn;
    void *at = xenforeignmemory_map(hv->memory, domain, protection, 1, &frame, NULL);

    if (!at)
        pal_fail(e, PAL_HV_REFUSED, "the domain's memory cannot be mapped: %s", strerror(errno));
    return at;
}
