/* SPDX-License-Identifier: MIT */
/* Regions by name. Domain 0 lists them under pal/regions of each member's own node; a guest that made some under its data/palshm. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/pal.h"

_Static_assert(PALSHM_MEMBERS == PAL_REGION_MEMBERS, "as many as the hypervisor lists");

/* What the store takes as the name of a node. */
bool shm_name_is_good(const char *name, size_t room)
{
    size_t length = strlen(name);

    return length > 0 && length < room &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
               length;
}

static int read_numbers(palshm *p, const char *base, const char *name, uint64_t *out, size_t room)
{
    char path[SEAM_PATH + 16], text[SEAM_VALUE];
    int got;

    snprintf(path, sizeof(path), "%s/%s", base, name);
    got = seam_read(p->seam, path, text, sizeof(text));
    if (got < 0)
        return got;
    got = shm_numbers(text, out, room);
    return got < 0 ? -EPROTO : got;
}

/* Of a guest's region the writers are listed; of domain 0's this domain's own access. */
static int read_access(palshm *p, const char *base, struct palshm_info *info)
{
    char path[SEAM_PATH + 16], text[SEAM_VALUE];
    uint64_t writers[PALSHM_MEMBERS];
    int got;

    if (info->maker == PALSHM_CONTROL) {
        snprintf(path, sizeof(path), "%s/access", base);
        got = seam_read(p->seam, path, text, sizeof(text));
        if (got < 0)
            return got;
        info->writable = !strcmp(text, "rw");
        return info->writable || !strcmp(text, "ro") ? 0 : -ENOENT;
    }
    got = read_numbers(p, base, "writers", writers, PALSHM_MEMBERS);
    if (got < 0)
        return got;
    info->writable = false;
    for (int i = 0; i < got && i < (int)PALSHM_MEMBERS; i++)
        info->writable |= writers[i] == p->domain;
    return 0;
}

int shm_region_read(palshm *p, const char *base, struct palshm_info *info)
{
    uint64_t slot, members[PALSHM_MEMBERS];
    int got;

    if ((got = read_numbers(p, base, "slot", &slot, 1)) < 0 ||
        (got = read_numbers(p, base, "pages", &info->pages, 1)) < 0 ||
        (got = read_numbers(p, base, "generation", &info->generation, 1)) < 0 ||
        (got = read_access(p, base, info)) < 0 ||
        (got = read_numbers(p, base, "members", members, PALSHM_MEMBERS)) < 0)
        return got;
    /* Another guest may have written this. */
    if (slot >= PAL_REGION_SLOTS || !info->pages || info->pages > PAL_REGION_MAX_PAGES)
        return -EPROTO;
    info->slot = (uint32_t)slot;
    info->members = 0;
    for (int i = 0; i < got && i < (int)PALSHM_MEMBERS; i++)
        if (members[i] < PAL_DOMID_REGION)
            info->member[info->members++] = (uint32_t)members[i];
    return 0;
}

/* Where the region of that name would stand: the n-th place to look, false: no more. */
static bool place(palshm *p, const char *name, int n, char *base, struct palshm_info *info)
{
    const char *colon = strchr(name, ':');
    uint64_t maker = p->domain;

    snprintf(info->name, sizeof(info->name), "%s", name);
    if (colon) {
        char number[16];

        snprintf(number, sizeof(number), "%.*s", (int)(colon - name), name);
        if (n || shm_numbers(number, &maker, 1) != 1 || maker >= PAL_DOMID_REGION)
            return false;
        name = colon + 1;
    }
    if (n > 1 || !shm_name_is_good(name, PAL_REGION_NAME))
        return false;
    info->maker = colon || n ? (uint32_t)maker : PALSHM_CONTROL;
    if (info->maker == PALSHM_CONTROL)
        snprintf(base, SEAM_PATH, "/local/domain/%u/pal/regions/%s", p->domain, name);
    else
        snprintf(base, SEAM_PATH, "/local/domain/%u/data/palshm/regions/%s", info->maker, name);
    return true;
}

/* It is about to be taken from this domain: members are asked to let go first. */
static bool is_leaving(palshm_region *r)
{
    char path[SEAM_PATH + 16], text[SEAM_VALUE];

    snprintf(path, sizeof(path), "%s/state", r->base);
    return seam_read(r->p->seam, path, text, sizeof(text)) > 0 && !strcmp(text, "detach");
}

static void region_fired(void *owner, const char *path)
{
    palshm_region *r = owner;
    struct palshm_info now = r->info;
    int got = shm_region_read(r->p, r->base, &now);

    (void)path;
    if (got == -ENOENT || got == -EACCES || got == -EPROTO || now.slot != r->info.slot ||
        now.generation != r->info.generation || (r->info.writable && !now.writable))
        r->revoked = true;
    else if (is_leaving(r))
        r->revoked = true;
    if (got || r->revoked)
        return;
    r->changed |= now.members != r->info.members ||
                  memcmp(now.member, r->info.member, now.members * sizeof(now.member[0]));
    r->info = now;
}

palshm_region *palshm_region_open(palshm *p, const char *name)
{
    palshm_region *r = calloc(1, sizeof(*r));
    int got;

    if (!r) {
        shm_fail(p, ENOMEM, "region %s", name);
        return NULL;
    }
    r->p = p;
    got = shm_know_domain(p);
    if (!got)
        got = -ENOENT;
    for (int n = 0; got == -ENOENT && place(p, name, n, r->base, &r->info); n++)
        got = shm_region_read(p, r->base, &r->info);
    if (!got)
        got = shm_watch(p, &r->watch, region_fired, r, "%s", r->base);
    if (!got && is_leaving(r)) {
        shm_unwatch(p, &r->watch);
        got = -ENOENT;
    }
    if (got) {
        shm_fail(p, got == -EACCES ? -ENOENT : got, "no region \"%.80s\" for this domain (%u)",
                 name, p->domain);
        free(r);
        return NULL;
    }
    snprintf(r->key, sizeof(r->key), "%u-%llu", r->info.slot,
             (unsigned long long)r->info.generation);
    return r;
}

void palshm_region_close(palshm_region *r)
{
    while (r->mappings)
        palshm_unmap(r, r->mappings->at);
    shm_unwatch(r->p, &r->watch);
    free(r);
}

const struct palshm_info *palshm_region_info(const palshm_region *r)
{
    return &r->info;
}

bool palshm_region_revoked(palshm_region *r)
{
    (void)palshm_look(r->p);
    return r->revoked;
}

void *palshm_map(palshm_region *r, uint64_t offset, uint64_t length, bool writable)
{
    uint64_t size = r->info.pages * PALSHM_PAGE;
    struct mapping *m;
    int error;

    if (offset <= size && !length)
        length = size - offset;
    if (offset % PALSHM_PAGE || length % PALSHM_PAGE || offset > size || length > size - offset ||
        !length)
        return shm_fail(r->p, EINVAL, "bytes %llu to %llu of region %s of %llu",
                        (unsigned long long)offset, (unsigned long long)(offset + length),
                        r->info.name, (unsigned long long)size),
               NULL;
    if (writable && !r->info.writable)
        return shm_fail(r->p, EACCES, "region %s may only be read", r->info.name), NULL;
    if (palshm_region_revoked(r))
        return shm_fail(r->p, ENODEV, "region %s was revoked", r->info.name), NULL;
    m = calloc(1, sizeof(*m));
    error = m ? seam_map(r->p->seam, r->info.slot, offset / PALSHM_PAGE, length / PALSHM_PAGE,
                         writable, NULL, 0, &m->at, &m->seam)
              : -ENOMEM;
    if (error) {
        free(m);
        shm_fail(r->p, error, "mapping region %s through /dev/xen/gntdev", r->info.name);
        return NULL;
    }
    m->next = r->mappings;
    r->mappings = m;
    return m->at;
}

int palshm_unmap(palshm_region *r, void *at)
{
    for (struct mapping **m = &r->mappings; *m; m = &(*m)->next)
        if ((*m)->at == at) {
            struct mapping *gone = *m;

            *m = gone->next;
            seam_unmap(gone->seam);
            free(gone);
            return 0;
        }
    return shm_fail(r->p, EINVAL, "nothing of region %s is mapped there", r->info.name);
}

/* The regions under one node. */
static size_t list_under(palshm *p, const char *path, uint32_t maker, struct palshm_info *list,
                         size_t room, size_t n)
{
    char names[16384], base[SEAM_PATH];
    int length = seam_list(p->seam, path, names, sizeof(names));

    for (int at = 0; at < length; at += (int)strlen(names + at) + 1) {
        struct palshm_info info = {.maker = maker};

        if (!shm_name_is_good(names + at, PAL_REGION_NAME))
            continue;
        snprintf(info.name, sizeof(info.name), "%s", names + at);
        snprintf(base, sizeof(base), "%s/%s", path, names + at);
        if (shm_region_read(p, base, &info))
            continue;
        if (n < room)
            list[n] = info;
        n++;
    }
    return n;
}

int palshm_list(palshm *p, struct palshm_info *list, size_t room)
{
    char path[SEAM_PATH];
    int error = shm_know_domain(p);
    size_t n;

    if (error)
        return shm_fail(p, error, "listing regions");
    snprintf(path, sizeof(path), "/local/domain/%u/pal/regions", p->domain);
    n = list_under(p, path, PALSHM_CONTROL, list, room, 0);
    snprintf(path, sizeof(path), "/local/domain/%u/data/palshm/regions", p->domain);
    n = list_under(p, path, p->domain, list, room, n);
    return (int)shm_list_others(p, list, room, n);
}
