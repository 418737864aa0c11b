/* SPDX-License-Identifier: MIT */
/* Regions that this guest makes, within its quota: the hypervisor is asked, the store tells the others. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "abi/pal.h"

static void path_of(palshm *p, const char *name, char *base)
{
    snprintf(base, SEAM_PATH, "/local/domain/%u/data/palshm/regions/%s", p->domain, name);
}

/* Finds the region by its name among those of this domain. 0 or a negative errno. */
static int find(palshm *p, const char *name, struct pal_region_info *info)
{
    int error = shm_know_domain(p);

    if (error)
        return error;
    for (uint32_t slot = 0;; slot = info->slot + 1) {
        long got;

        memset(info, 0, sizeof(*info));
        info->slot = slot;
        got = slot < PAL_REGION_SLOTS
                  ? seam_region_op(p->seam, PALOP_region_info, info, sizeof(*info))
                  : -ENOENT;
        if (got < 0)
            return (int)got;
        info->name[PAL_REGION_NAME - 1] = 0;
        if (info->creator == p->domain && !strcmp(info->name, name))
            return 0;
    }
}

static int put(palshm *p, const char *base, const char *name, const char *value,
               const struct pal_region_info *info)
{
    char path[SEAM_PATH + 16];
    uint32_t readers[PAL_REGION_MEMBERS];
    uint32_t n = info->members < PAL_REGION_MEMBERS ? info->members : PAL_REGION_MEMBERS;
    int error;

    for (uint32_t i = 0; i < n; i++)
        readers[i] = info->member[i].domain;
    snprintf(path, sizeof(path), "%s%s%s", base, *name ? "/" : "", name);
    error = seam_write(p->seam, path, value);
    return error ? error : seam_share(p->seam, path, p->domain, readers, n);
}

/* The domains on the list that may do at least this. */
static void domains(const struct pal_region_info *info, uint32_t access, char *text, size_t room)
{
    size_t length = 0;

    text[0] = 0;
    for (uint32_t i = 0; i < info->members && i < PAL_REGION_MEMBERS; i++)
        if (info->member[i].access >= access && length + 12 < room)
            length += (size_t)snprintf(text + length, room - length, "%s%u", length ? " " : "",
                                       info->member[i].domain);
}

/* Tells those on the list of the region. */
static int publish(palshm *p, const char *name, const struct pal_region_info *info)
{
    char base[SEAM_PATH], number[24], members[SEAM_VALUE], writers[SEAM_VALUE];
    int error;

    path_of(p, name, base);
    domains(info, PAL_REGION_read, members, sizeof(members));
    domains(info, PAL_REGION_write, writers, sizeof(writers));
    if ((error = put(p, base, "", "", info)))
        return error;
    snprintf(number, sizeof(number), "%u", info->slot);
    if ((error = put(p, base, "slot", number, info)))
        return error;
    snprintf(number, sizeof(number), "%llu", (unsigned long long)info->pages);
    if ((error = put(p, base, "pages", number, info)))
        return error;
    snprintf(number, sizeof(number), "%llu", (unsigned long long)info->generation);
    if ((error = put(p, base, "generation", number, info)))
        return error;
    if ((error = put(p, base, "writers", writers, info)))
        return error;
    return put(p, base, "members", members, info);
}

/* The same, of what the hypervisor says. */
static int publish_anew(palshm *p, const char *name)
{
    struct pal_region_info info;
    int error = find(p, name, &info);

    return error ? error : publish(p, name, &info);
}

/* Who loses rights is told first, so that it can let go. */
static int tell_first(palshm *p, const char *name, struct pal_region_info *info, uint32_t domain,
                      uint32_t access)
{
    for (uint32_t i = 0; i < info->members && i < PAL_REGION_MEMBERS; i++) {
        if (info->member[i].domain != domain || info->member[i].access <= access)
            continue;
        info->member[i].access = access;
        if (access == PAL_REGION_none)
            info->member[i] = info->member[--info->members];
        return publish(p, name, info);
    }
    return 0;
}

static int allow(palshm *p, const struct pal_region_info *info, uint32_t domain, uint32_t access)
{
    struct pal_region_allow op = {.slot = info->slot, .domain = domain, .access = access};

    return (int)seam_region_op(p->seam, PALOP_region_allow, &op, sizeof(op));
}

size_t shm_list_others(palshm *p, struct palshm_info *list, size_t room, size_t n)
{
    struct pal_region_info info;
    uint32_t slot = 0;

    for (;; slot = info.slot + 1) {
        char base[SEAM_PATH];
        struct palshm_info found = {0};

        memset(&info, 0, sizeof(info));
        info.slot = slot;
        if (slot >= PAL_REGION_SLOTS ||
            seam_region_op(p->seam, PALOP_region_info, &info, sizeof(info)) < 0)
            return n;
        info.name[PAL_REGION_NAME - 1] = 0;
        if (info.creator == p->domain || !shm_name_is_good(info.name, PAL_REGION_NAME))
            continue;
        found.maker = info.creator;
        snprintf(found.name, sizeof(found.name), "%u:%s", info.creator, info.name);
        snprintf(base, sizeof(base), "/local/domain/%u/data/palshm/regions/%s", info.creator,
                 info.name);
        /* Domain 0's, too, are in that list; only what its maker published can be opened by this name. */
        if (shm_region_read(p, base, &found) || found.slot != info.slot)
            continue;
        if (n < room)
            list[n] = found;
        n++;
    }
}

int palshm_create(palshm *p, const char *name, uint64_t pages)
{
    struct pal_region_create op = {.pages = pages};
    struct pal_region_info info;
    long got;

    if (!shm_name_is_good(name, PAL_REGION_NAME))
        return shm_fail(p, EINVAL,
                        "\"%.80s\" is no name for a region: 1 to %d letters, digits, _ -", name,
                        PAL_REGION_NAME - 1);
    snprintf(op.name, sizeof(op.name), "%s", name);
    got = seam_region_op(p->seam, PALOP_region_create, &op, sizeof(op));
    if (got == -EPERM)
        return shm_fail(
            p, EPERM,
            "this domain has no quota for a region of %llu pages (<pal:regions> in its file), "
            "or its kernel keeps programs from asking (xen-privcmd without unrestricted=1)",
            (unsigned long long)pages);
    if (got < 0)
        return shm_fail(p, (int)got, "making region %s of %llu pages", name,
                        (unsigned long long)pages);
    got = find(p, name, &info);
    if (!got)
        got = allow(p, &info, p->domain, PAL_REGION_write);
    if (!got)
        got = publish_anew(p, name);
    if (got) {
        int error = shm_fail(p, (int)got, "making region %s known", name);
        int kept = errno;

        (void)palshm_destroy(p, name);
        errno = kept;
        return error;
    }
    return 0;
}

int palshm_allow(palshm *p, const char *name, uint32_t domain, char access)
{
    uint32_t wanted = access == 'w'   ? PAL_REGION_write
                      : access == 'r' ? PAL_REGION_read
                                      : PAL_REGION_none;
    struct pal_region_info info;
    int error = find(p, name, &info);

    if (error)
        return shm_fail(p, error, "this domain made no region \"%.80s\"", name);
    if (!(error = tell_first(p, name, &info, domain, wanted)))
        error = allow(p, &info, domain, wanted);
    if (error)
        return shm_fail(p, error, "changing what domain %u may do with region %s", domain, name);
    if ((error = publish_anew(p, name)))
        return shm_fail(p, error, "region %s is changed, but the store does not tell", name);
    return 0;
}

int palshm_destroy(palshm *p, const char *name)
{
    struct pal_region_destroy op = {0};
    struct pal_region_info info;
    char base[SEAM_PATH];
    int error = find(p, name, &info);

    path_of(p, name, base);
    if (error)
        return shm_fail(p, error, "this domain made no region \"%.80s\"", name);
    (void)seam_remove(p->seam, base); /* first, so that those who use it can let go */
    op.slot = info.slot;
    error = (int)seam_region_op(p->seam, PALOP_region_destroy, &op, sizeof(op));
    return error < 0 ? shm_fail(p, error, "destroying region %s", name) : 0;
}
