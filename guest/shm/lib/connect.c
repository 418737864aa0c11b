/* SPDX-License-Identifier: MIT */
/* The calling end of listen.c's rendezvous. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct search {
    palshm_region *r;
    char key[120];
    uint32_t domain; /* who is asked for, then who was found */
    char process[64];
    struct watch listeners[PALSHM_MEMBERS];
    unsigned members;
};

static void nothing_fired(void *owner, const char *path)
{
    (void)owner, (void)path; /* that there was an event is all */
}

/* Is there a listener now, in this domain? */
static bool listens(struct search *s, uint32_t domain)
{
    char path[SEAM_PATH], text[SEAM_VALUE], *blank;

    snprintf(path, sizeof(path), "/local/domain/%u/data/palshm/listen/%s", domain, s->key);
    if (seam_read(s->r->p->seam, path, text, sizeof(text)) < 0 || !(blank = strchr(text, ' ')) ||
        (size_t)(blank - text) >= sizeof(s->process))
        return false;
    *blank++ = 0;
    if (domain == s->r->p->domain && !shm_process_runs(text))
        return false;
    memcpy(s->process, text, (size_t)(blank - text));
    s->domain = domain;
    return true;
}

static bool anybody_listens(struct search *s)
{
    const struct palshm_info *info = &s->r->info;

    if (s->domain != PALSHM_ANY)
        return listens(s, s->domain);
    for (unsigned i = 0; i < info->members; i++)
        if (listens(s, info->member[i]))
            return true;
    return false;
}

/* Watches where listeners would appear. */
static int follow(struct search *s)
{
    const struct palshm_info *info = &s->r->info;

    for (unsigned i = s->members; i < info->members; i++, s->members++) {
        int error = shm_watch(s->r->p, &s->listeners[i], nothing_fired, s,
                              "/local/domain/%u/data/palshm/listen/%s", info->member[i], s->key);

        if (error)
            return error;
    }
    return 0;
}

static int find_listener(struct search *s, int64_t began, int timeout_ms)
{
    palshm *p = s->r->p;
    int error = follow(s);

    while (!error && !anybody_listens(s)) {
        int left = shm_left_ms(began, timeout_ms);

        if (s->r->revoked)
            error = -ENODEV;
        else if (!left)
            error = -ETIMEDOUT;
        else if (shm_wait(p, -1, left) < 0)
            error = -errno;
    }
    for (unsigned i = 0; i < s->members; i++)
        shm_unwatch(p, &s->listeners[i]);
    return error;
}

/* Writes the call and waits for the reply. */
static int call_listener(struct search *s, palshm_link *k, uint64_t size, int64_t began,
                         int timeout_ms)
{
    static unsigned number;
    palshm *p = s->r->p;
    char path[SEAM_PATH], call[80], text[SEAM_VALUE];
    uint64_t window[2];
    int got, port;

    if ((port = seam_bell_offer(k->bell, s->domain)) < 0)
        return port;
    k->bell_port = (uint32_t)port;
    if ((port = seam_bell_offer(k->bell, s->domain)) < 0)
        return port;
    k->life_port = (uint32_t)port;
    shm_process(call, sizeof(call) - 16);
    snprintf(call + strlen(call), 16, "-%u", __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED));
    snprintf(path, sizeof(path), "/local/domain/%u/data/palshm/call/%s", p->domain, s->key);
    shm_sweep(p, path);
    snprintf(k->mine, sizeof(k->mine), "%.300s/%s", path, call);
    snprintf(path, sizeof(path), "/local/domain/%u/data/palshm/reply/%u-%s", s->domain, p->domain,
             call);
    snprintf(text, sizeof(text), "%s %llu %u %u", s->process, (unsigned long long)size,
             k->bell_port, k->life_port);
    if ((got = shm_link_follow(k, path)) || (got = seam_write(p->seam, k->mine, text)) ||
        (got = seam_share(p->seam, k->mine, p->domain, &s->domain, 1)))
        return got;
    while ((got = seam_read(p->seam, path, text, sizeof(text))) < 0) {
        int left = shm_left_ms(began, timeout_ms);

        if (got != -ENOENT && got != -EACCES)
            return got;
        if (s->r->revoked)
            return -ENODEV;
        if (!left)
            return -ETIMEDOUT;
        if (shm_wait(p, -1, left) < 0)
            return -errno;
    }
    k->gone = false; /* the reply's node was not there at first */
    if (!strcmp(text, "busy"))
        return -EBUSY;
    if (shm_numbers(text, window, 2) != 2)
        return -EPROTO;
    if ((got = shm_link_map(k, window[0], window[1])))
        return got;
    /* It may have waited for us too long, and the window be another's by now. */
    if (seam_read(p->seam, path, text, sizeof(text)) < 0)
        return -ECONNRESET;
    return seam_bell_ring(k->bell, k->bell_port);
}

palshm_link *palshm_connect(palshm_region *r, uint32_t domain, const char *service, uint64_t size,
                            int timeout_ms)
{
    struct search s = {.r = r, .domain = domain};
    int64_t began = shm_now_ms();
    palshm_link *k;
    int error;

    if (!shm_name_is_good(service, 32)) {
        shm_fail(r->p, EINVAL, "\"%.40s\" is no name for a service", service);
        return NULL;
    }
    if (!r->info.writable) {
        shm_fail(r->p, EACCES, "region %s may only be read; links need writing", r->info.name);
        return NULL;
    }
    snprintf(s.key, sizeof(s.key), "%s-%s", r->key, service);
    error = find_listener(&s, began, timeout_ms);
    if (error) {
        shm_fail(r->p, error, "nobody serves %s in region %s", service, r->info.name);
        return NULL;
    }
    k = shm_link_new(r, s.domain, true);
    if (!k)
        return NULL;
    error = call_listener(&s, k, size, began, timeout_ms);
    if (error) {
        palshm_link_close(k);
        shm_fail(r->p, error, "domain %u does not answer for %s in region %s", s.domain, service,
                 r->info.name);
        return NULL;
    }
    return k;
}
