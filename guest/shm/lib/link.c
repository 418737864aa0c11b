/* SPDX-License-Identifier: MIT */
/*
 * A link: a window that both ends map, and two event channels. One is the bell. Over the other, "life", nothing is ever said while
 * both live: each end has its kernel ring it when its mapping of the window goes, by closing, by the end of the process or by
 * kill -9, so that a ring of it means that the other end is gone. When a whole domain goes its kernel rings nothing, but
 * its nodes in the store go, which each end watches. A caller that dies between its call and its mapping has nothing that could
 * ring: it rings the bell once when it has come, and is given so long for that.
 */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

palshm_link *shm_link_new(palshm_region *r, uint32_t peer, bool caller)
{
    palshm_link *k = calloc(1, sizeof(*k));
    int error = -ENOMEM;

    if (k) {
        k->r = r;
        k->peer = peer;
        k->caller = caller;
        k->poller = k->patience = -1;
        error = seam_bell_open(r->p->seam, &k->bell);
    }
    if (error) {
        free(k);
        shm_fail(r->p, error, "opening /dev/xen/evtchn");
        return NULL;
    }
    return k;
}

int shm_link_map(palshm_link *k, uint64_t offset, uint64_t size)
{
    const struct palshm_info *info = &k->r->info;
    uint64_t all = info->pages * PALSHM_PAGE;

    if (offset % PALSHM_PAGE || size % PALSHM_PAGE || size < WINDOW_MIN || offset > all ||
        size > all - offset)
        return -EPROTO;
    k->size = size;
    return seam_map(k->r->p->seam, info->slot, offset / PALSHM_PAGE, size / PALSHM_PAGE, true,
                    k->bell, k->life_port, &k->memory, &k->mapping);
}

static void met(palshm_link *k)
{
    if (k->patience >= 0)
        close(k->patience);
    k->patience = -1;
}

int shm_link_expect(palshm_link *k)
{
    int ms = k->r->p->come_ms;
    struct itimerspec limit = {.it_value = {ms / 1000, ms % 1000 * 1000000L}};

    k->patience = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (k->patience < 0 || timerfd_settime(k->patience, 0, &limit, NULL))
        return -errno;
    return 0;
}

static void theirs_fired(void *owner, const char *path)
{
    palshm_link *k = owner;
    char text[SEAM_VALUE];
    int got = seam_read(k->r->p->seam, k->theirs.path, text, sizeof(text));

    (void)path;
    if (got == -ENOENT || got == -EACCES)
        k->gone = true;
}

int shm_link_follow(palshm_link *k, const char *path)
{
    return shm_watch(k->r->p, &k->theirs, theirs_fired, k, "%s", path);
}

void palshm_link_close(palshm_link *k)
{
    palshm *p = k->r->p;

    shm_unwatch(p, &k->theirs);
    if (k->mapping)
        seam_unmap(k->mapping); /* rings the other end's life */
    seam_bell_close(k->bell);
    if (k->mine[0])
        (void)seam_remove(p->seam, k->mine);
    met(k);
    if (k->poller >= 0)
        close(k->poller);
    free(k);
}

void *palshm_link_memory(palshm_link *k, size_t *size)
{
    if (size)
        *size = k->size;
    return k->memory;
}

uint32_t palshm_link_peer(const palshm_link *k)
{
    return k->peer;
}

bool palshm_link_gone(const palshm_link *k)
{
    return k->gone;
}

int palshm_link_ring(palshm_link *k)
{
    int error = seam_bell_ring(k->bell, k->bell_port);

    return error ? shm_fail(k->r->p, error, "ringing the bell of domain %u", k->peer) : 0;
}

/* Which ports rang: 1 when the bell did. They stay silent until the next time somebody sleeps. */
static int take(palshm_link *k)
{
    uint32_t ports[8];
    int got = seam_bell_take(k->bell, ports, 8), rang = 0;

    for (int i = 0; i < got; i++) {
        rang |= ports[i] == k->bell_port;
        k->gone |= ports[i] == k->life_port;
        if (k->quiets < 2)
            k->quiet[k->quiets++] = ports[i];
    }
    if (rang)
        met(k);
    return got < 0 ? got : rang;
}

static int arm(palshm_link *k)
{
    int error = k->quiets ? seam_bell_arm(k->bell, k->quiet, k->quiets) : 0;

    k->quiets = 0;
    return error;
}

static int ended(palshm_link *k)
{
    if (k->r->revoked)
        return shm_fail(k->r->p, ENODEV, "region %s was revoked", k->r->info.name);
    return shm_fail(k->r->p, ECONNRESET, "the other end, in domain %u, is gone", k->peer);
}

int palshm_link_wait(palshm_link *k, int timeout_ms)
{
    palshm *p = k->r->p;
    int64_t began = timeout_ms > 0 ? shm_now_ms() : 0;

    for (;;) {
        struct pollfd fds[3] = {{.fd = seam_bell_fd(k->bell), .events = POLLIN},
                                {.fd = seam_fd(p->seam), .events = POLLIN},
                                {.fd = k->patience, .events = POLLIN}};
        int error, ready;

        if (seam_pending(p->seam) && palshm_look(p))
            return -1;
        if (k->gone || k->r->revoked)
            return ended(k);
        if ((error = arm(k)))
            return shm_fail(p, error, "arming the bell");
        ready = poll(fds, 3, timeout_ms > 0 ? shm_left_ms(began, timeout_ms) : timeout_ms);
        if (ready == 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return shm_fail(p, errno, "waiting for the bell");
        if (ready < 0)
            continue;
        if (fds[1].revents && palshm_look(p))
            return -1;
        error = fds[0].revents ? take(k) : 0;
        if (error < 0)
            return shm_fail(p, error, "reading /dev/xen/evtchn");
        if (error)
            return 1;
        if (fds[2].revents)
            k->gone = true;
    }
}

int palshm_link_fd(palshm_link *k)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (k->poller >= 0)
        return k->poller;
    k->poller = epoll_create1(EPOLL_CLOEXEC);
    if (k->poller < 0 || epoll_ctl(k->poller, EPOLL_CTL_ADD, seam_bell_fd(k->bell), &event) ||
        epoll_ctl(k->poller, EPOLL_CTL_ADD, seam_fd(k->r->p->seam), &event) ||
        (k->patience >= 0 && epoll_ctl(k->poller, EPOLL_CTL_ADD, k->patience, &event)))
        return shm_fail(k->r->p, errno, "a descriptor to wait for");
    return k->poller;
}
