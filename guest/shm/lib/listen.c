/* SPDX-License-Identifier: MIT */
/*
 * How two ends find each other, through the store. All nodes lie under data/palshm of the domain that writes them, readable by
 * those that they are for; KEY is SLOT-GENERATION-SERVICE:
 *
 *   listen/KEY = "PROCESS OFFSET LENGTH"          by the listener, for all members: who it is, and its part of the region
 *   call/KEY/CALL = "PROCESS SIZE BELL LIFE"      by the caller, for the listener: which one it means, two ports for it
 *   reply/DOMAIN-CALL = "OFFSET SIZE" or "busy"   by the listener, for the caller: its window
 *
 * CALL begins with the caller's process (number and start), so that what a killed one has left can be told. A caller's node stays as
 * long as its link, and so does the reply: when they go, the other end's domain is gone.
 * What others write is bounded, counted and checked; the geometry of a link never comes from the shared memory.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SIZE (4u << 20) /* of a window */
#define BIND_MS      2000       /* until a new port has rung for the first time */

static bool make_key(palshm_region *r, const char *service, char *key, size_t room)
{
    if (!shm_name_is_good(service, 32)) {
        shm_fail(r->p, EINVAL, "\"%.40s\" is no name for a service", service);
        return false;
    }
    snprintf(key, room, "%s-%s", r->key, service);
    return true;
}

/* "NAME A B ...": a word, then n numbers. */
static bool parse(const char *text, char *word, size_t room, uint64_t *numbers, int n)
{
    const char *blank = strchr(text, ' ');

    if (!blank || (size_t)(blank - text) >= room)
        return false;
    memcpy(word, text, (size_t)(blank - text));
    word[blank - text] = 0;
    return shm_numbers(blank, numbers, (size_t)n) == n;
}

struct areas {
    unsigned n;
    struct area {
        uint64_t offset, length;
        uint32_t domain;
        char service[40];
    } of[64];
};

/* The bytes that listeners in that domain have taken, but for our own; what a process that ended left goes. */
static void find_areas(palshm_listener *l, uint32_t domain, struct areas *areas)
{
    palshm *p = l->r->p;
    char path[SEAM_PATH], names[8192], node[SEAM_PATH], text[SEAM_VALUE], word[64], prefix[64];
    int length;

    snprintf(prefix, sizeof(prefix), "%s-", l->r->key);
    snprintf(path, sizeof(path), "/local/domain/%u/data/palshm/listen", domain);
    length = seam_list(p->seam, path, names, sizeof(names));
    for (int at = 0; at < length; at += (int)strlen(names + at) + 1) {
        struct area *area = &areas->of[areas->n];
        uint64_t numbers[2];

        if (strncmp(names + at, prefix, strlen(prefix)) ||
            snprintf(node, sizeof(node), "%s/%s", path, names + at) >= (int)sizeof(node) ||
            !strcmp(node, l->node) || seam_read(p->seam, node, text, sizeof(text)) < 0 ||
            !parse(text, word, sizeof(word), numbers, 2))
            continue;
        if (domain == p->domain && !shm_process_runs(word)) {
            (void)seam_remove(p->seam, node);
            continue;
        }
        if (areas->n == sizeof(areas->of) / sizeof(areas->of[0]) ||
            numbers[0] + numbers[1] < numbers[0])
            continue;
        *area = (struct area){numbers[0], numbers[1], domain, ""};
        snprintf(area->service, sizeof(area->service), "%.39s", names + at + strlen(prefix));
        areas->n++;
    }
}

static void find_all_areas(palshm_listener *l, bool takeover, struct areas *areas)
{
    areas->n = 0;
    for (unsigned i = 0; i < l->r->info.members; i++)
        if (!takeover || l->r->info.member[i] == l->r->p->domain)
            find_areas(l, l->r->info.member[i], areas);
}

static const struct area *overlap(const struct areas *areas, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < areas->n; i++)
        if (areas->of[i].offset < offset + length &&
            offset < areas->of[i].offset + areas->of[i].length)
            return &areas->of[i];
    return NULL;
}

/* From `at` on: how much is free. */
static uint64_t free_from(const struct areas *areas, uint64_t at, uint64_t size)
{
    uint64_t end = size;

    if (at >= size || overlap(areas, at, 1))
        return 0;
    for (unsigned i = 0; i < areas->n; i++)
        if (areas->of[i].offset > at && areas->of[i].offset < end)
            end = areas->of[i].offset;
    return end - at;
}

/* Half of the largest part that is free, so that there is room for a next listener; all of it when it is small. */
static void choose(palshm_listener *l, const struct areas *areas)
{
    uint64_t size = l->r->info.pages * PALSHM_PAGE, best = 0;

    for (unsigned i = 0; i <= areas->n; i++) {
        uint64_t at = i < areas->n ? areas->of[i].offset + areas->of[i].length : 0;
        uint64_t room = free_from(areas, at, size);

        if (room > best && at % PALSHM_PAGE == 0) {
            best = room;
            l->windows.offset = at;
        }
    }
    l->windows.length = (best >= 16 * WINDOW_MIN ? best / 2 : best) / PALSHM_PAGE * PALSHM_PAGE;
}

static void call_fired(void *owner, const char *path);

static int follow_members(palshm_listener *l)
{
    const struct palshm_info *info = &l->r->info;
    palshm *p = l->r->p;

    l->r->changed = false;
    for (unsigned i = 0; i < info->members; i++) {
        bool known = false;
        int error;

        for (unsigned j = 0; j < l->members; j++)
            known |= l->domain[j] == info->member[i];
        if (known || l->members == PALSHM_MEMBERS)
            continue;
        l->domain[l->members] = info->member[i];
        error = shm_watch(p, &l->calls[l->members], call_fired, l,
                          "/local/domain/%u/data/palshm/call/%s", info->member[i], l->key);
        if (error)
            return error;
        l->members++;
    }
    return 0;
}

/* Members may read that we are here, and nobody else; the directory, too, so that others find whose bytes are taken. */
static int share(palshm_listener *l)
{
    const struct palshm_info *info = &l->r->info;
    palshm *p = l->r->p;
    char path[SEAM_PATH];
    int error;

    snprintf(path, sizeof(path), "/local/domain/%u/data/palshm/listen", p->domain);
    error = seam_share(p->seam, path, p->domain, info->member, info->members);
    return error ? error : seam_share(p->seam, l->node, p->domain, info->member, info->members);
}

/* Calls are listened for before anybody can know of us: a watch tells of what comes, not of what is there. */
static int announce(palshm_listener *l)
{
    palshm *p = l->r->p;
    char text[160];
    int error = follow_members(l);

    if (error)
        return error;
    snprintf(l->node, sizeof(l->node), "/local/domain/%u/data/palshm/listen/%s", p->domain, l->key);
    snprintf(text, sizeof(text), "%s %llu %llu", l->process, (unsigned long long)l->windows.offset,
             (unsigned long long)l->windows.length);
    error = seam_write(p->seam, l->node, text);
    return error ? error : share(l);
}

/*
 * Takes a part of the region and tells of it, then looks whether another listener did so at the same time: who sees one
 * withdraws. 0, or -1: somebody has these bytes.
 */
static int settle(palshm_listener *l, bool chosen, bool takeover)
{
    palshm *p = l->r->p;
    struct areas areas;
    const struct area *other;
    int error;

    find_all_areas(l, takeover, &areas);
    if (!chosen)
        choose(l, &areas);
    if (l->windows.length < WINDOW_MIN)
        return shm_fail(p, EADDRINUSE, "all of region %s is taken by other listeners",
                        l->r->info.name);
    other = overlap(&areas, l->windows.offset, l->windows.length);
    if (!other && (error = announce(l)))
        return shm_fail(p, error, "making a service known in the store");
    if (!other) {
        find_all_areas(l, takeover, &areas);
        other = overlap(&areas, l->windows.offset, l->windows.length);
    }
    if (!other)
        return 0;
    if (l->node[0])
        (void)seam_remove(p->seam, l->node);
    l->node[0] = 0;
    return shm_fail(p, EADDRINUSE, "domain %u serves \"%s\" with these bytes of region %s",
                    other->domain, other->service, l->r->info.name);
}

palshm_listener *palshm_listen(palshm_region *r, const char *service, uint64_t offset,
                               uint64_t length, bool takeover)
{
    uint64_t size = r->info.pages * PALSHM_PAGE;
    palshm_listener *l = calloc(1, sizeof(*l));
    int error = 0;

    if (!l || !make_key(r, service, l->key, sizeof(l->key))) {
        free(l);
        return NULL;
    }
    l->r = r;
    if (!r->info.writable)
        error =
            shm_fail(r->p, EACCES, "region %s may only be read; links need writing", r->info.name);
    else if (offset % PALSHM_PAGE || length % PALSHM_PAGE || offset > size ||
             length > size - offset || (length && length < WINDOW_MIN) || (!length && offset))
        error = shm_fail(r->p, EINVAL, "a part of region %s for links: at least %u bytes, in pages",
                         r->info.name, WINDOW_MIN);
    l->windows.offset = offset;
    l->windows.length = length;
    shm_process(l->process, sizeof(l->process));
    for (int tries = 8; !error && (error = settle(l, length != 0, takeover)) &&
                        errno == EADDRINUSE && !length && --tries;) {
        usleep((useconds_t)(1000 + rand() % 20000)); /* two at once chose alike */
        error = 0;
    }
    if (error) {
        int kept = errno;

        palshm_listener_close(l);
        errno = kept;
        return NULL;
    }
    return l;
}

void palshm_listener_close(palshm_listener *l)
{
    for (unsigned i = 0; i < l->members; i++)
        shm_unwatch(l->r->p, &l->calls[i]);
    if (l->node[0])
        (void)seam_remove(l->r->p->seam, l->node);
    free(l);
}

/* A call that waits already: it was written, then shared, which makes two events. Or there is no room for more of this domain. */
static bool is_too_much(const palshm_listener *l, const struct palshm_call *call)
{
    unsigned theirs = 0;

    for (unsigned i = 0; i < l->n; i++) {
        const struct palshm_call *other = &l->waiting[(l->first + i) % WAITING];

        theirs += other->domain == call->domain;
        if (!strcmp(other->path, call->path))
            return true;
    }
    return theirs >= WAITING / 4 || l->n == WAITING;
}

/* A node below call/KEY of a member was written or removed. */
static void call_fired(void *owner, const char *path)
{
    palshm_listener *l = owner;
    palshm *p = l->r->p;
    char text[SEAM_VALUE], word[64];
    uint64_t numbers[3];
    struct palshm_call call = {0};

    for (unsigned i = 0; i < l->members; i++) {
        size_t length = strlen(l->calls[i].path);
        const char *name = path + length + 1;

        if (strncmp(path, l->calls[i].path, length) || path[length] != '/')
            continue;
        if (!shm_name_is_good(name, 64) || strlen(path) >= sizeof(call.path) ||
            seam_read(p->seam, path, text, sizeof(text)) < 0 ||
            !parse(text, word, sizeof(word), numbers, 3) || strcmp(word, l->process) ||
            numbers[1] > UINT32_MAX || numbers[2] > UINT32_MAX)
            return;
        call.domain = l->domain[i];
        call.size = numbers[0] ? numbers[0] : DEFAULT_SIZE;
        call.bell = (uint32_t)numbers[1];
        call.life = (uint32_t)numbers[2];
        snprintf(call.path, sizeof(call.path), "%s", path);
        if (snprintf(call.reply, sizeof(call.reply), "/local/domain/%u/data/palshm/reply/%u-%s",
                     p->domain, call.domain, name) >= (int)sizeof(call.reply))
            return;
        if (!is_too_much(l, &call))
            l->waiting[(l->first + l->n++) % WAITING] = call;
        return;
    }
}

static int answer(palshm *p, const struct palshm_call *call, const char *text)
{
    int error = seam_write(p->seam, call->reply, text);

    return error ? error : seam_share(p->seam, call->reply, p->domain, &call->domain, 1);
}

int palshm_listener_next(palshm_listener *l, struct palshm_call *call, int timeout_ms)
{
    palshm *p = l->r->p;
    int64_t began = shm_now_ms();
    char text[SEAM_VALUE];

    for (;;) {
        if (palshm_region_revoked(l->r))
            return shm_fail(p, ENODEV, "region %s was revoked", l->r->info.name);
        if (l->r->changed && !follow_members(l))
            (void)share(l);
        while (l->n) {
            *call = l->waiting[l->first];
            l->first = (l->first + 1) % WAITING;
            l->n--;
            /* Answered already (an event that came late), or given up. */
            if (seam_read(p->seam, call->reply, text, sizeof(text)) != -ENOENT ||
                seam_read(p->seam, call->path, text, sizeof(text)) < 0)
                continue;
            call->size = window_take(&l->windows, call->domain, call->size, &call->offset);
            if (call->size)
                return 1;
            (void)answer(p, call, "busy");
        }
        int left = shm_left_ms(began, timeout_ms);
        int got = shm_wait(p, -1, left);

        if (got < 0)
            return -1;
        if (!got && !l->n && left == 0)
            return 0;
    }
}

void palshm_listener_free(palshm_listener *l, const struct palshm_call *call)
{
    window_free(&l->windows, call->offset);
    (void)seam_remove(l->r->p->seam, call->reply);
}

/* A port that was just bound rings once by itself; that is not to be taken for the other end's. */
static void quieten(palshm_link *k)
{
    unsigned rang = 0;
    int64_t began = shm_now_ms();

    while (rang < 2) {
        struct palshm *p = k->r->p;
        uint32_t ports[8];
        int left = shm_left_ms(began, BIND_MS), got;

        if (!left || shm_wait(p, seam_bell_fd(k->bell), left) < 0)
            return;
        got = seam_bell_take(k->bell, ports, 8);
        if (got > 0)
            (void)seam_bell_arm(k->bell, ports, (size_t)got);
        rang += got > 0 ? (unsigned)got : 0;
    }
}

palshm_link *palshm_accept(palshm_region *r, const struct palshm_call *call)
{
    palshm *p = r->p;
    palshm_link *k = shm_link_new(r, call->domain, false);
    char text[64];
    int got;

    if (!k)
        return NULL;
    snprintf(k->mine, sizeof(k->mine), "%s", call->reply);
    if ((got = seam_bell_bind(k->bell, call->domain, call->bell)) >= 0) {
        k->bell_port = (uint32_t)got;
        got = seam_bell_bind(k->bell, call->domain, call->life);
    }
    if (got >= 0) {
        k->life_port = (uint32_t)got;
        quieten(k);
        got = shm_link_map(k, call->offset, call->size);
    }
    if (got >= 0) {
        memset(k->memory, 0, WINDOW_PAGE); /* what both ends start from */
        got = shm_link_follow(k, call->path);
    }
    if (got >= 0)
        got = shm_link_expect(k);
    if (got >= 0) {
        snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)call->offset,
                 (unsigned long long)call->size);
        got = answer(p, call, text);
    }
    if (got < 0) {
        palshm_link_close(k);
        shm_fail(p, got, "answering the call of domain %u", call->domain);
        return NULL;
    }
    return k;
}
