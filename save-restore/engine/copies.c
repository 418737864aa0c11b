/* SPDX-License-Identifier: MIT */
#include "engine/copies.h"

#include "libpal/hv_buffer.h"

/* In memory for hypercalls. */
struct room {
    struct room *next;
    struct pal_read_call call;
    uint64_t list[IMAGE_CHUNK_PAGES];
    uint8_t pages[IMAGE_CHUNK_PAGES][PAL_PAGE_SIZE] __attribute__((aligned(PAL_PAGE_SIZE)));
};

void copies_begin(struct copies *c, struct pal_hv *hv, const struct frames *frames, uint32_t domain)
{
    *c = (struct copies){.hv = hv, .frames = frames, .domain = domain};
    pthread_mutex_init(&c->lock, NULL);
}

void copies_end(struct copies *c)
{
    while (c->unused) {
        struct room *r = c->unused;

        c->unused = r->next;
        pal_hv_buffer_free(c->hv, r);
    }
    pthread_mutex_destroy(&c->lock);
}

static struct room *take(struct copies *c, struct pal_error *e)
{
    struct room *r;

    pthread_mutex_lock(&c->lock);
    r = c->unused;
    if (r)
        c->unused = r->next;
    pthread_mutex_unlock(&c->lock);
    return r ? r : pal_hv_buffer(c->hv, sizeof(*r), e);
}

static void give_back(struct copies *c, struct room *r)
{
    pthread_mutex_lock(&c->lock);
    r->next = c->unused;
    c->unused = r;
    pthread_mutex_unlock(&c->lock);
}

void *copies_make(struct copies *c, const uint32_t *gfns, unsigned count, struct pal_error *e)
{
    struct room *r = take(c, e);

    if (!r)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        r->list[i] = frames_mfn(c->frames, gfns[i]);
    if (!pal_domain_read(c->hv, c->domain, &r->call, r->list, count, r->pages, e))
        return r->pages;
    give_back(c, r);
    return NULL;
}

void copies_give_back(struct copies *c, const void *pages)
{
    give_back(c, (struct room *)((uint8_t *)pages - offsetof(struct room, pages)));
}
