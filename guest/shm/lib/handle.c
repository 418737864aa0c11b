/* SPDX-License-Identifier: MIT */
/* What the rest of the library stands on: a handle, its words for failures, watches, waiting, names of processes. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A caller that was killed holds its window no longer than that; a slow one is not cut off. */
#define COME_MS 30000

int shm_fail(palshm *p, int error, const char *format, ...)
{
    va_list list;
    size_t length;

    if (error < 0)
        error = -error;
    va_start(list, format);
    vsnprintf(p->why, sizeof(p->why), format, list);
    va_end(list);
    length = strlen(p->why);
    if (error)
        snprintf(p->why + length, sizeof(p->why) - length, ": %s", strerror(error));
    errno = error;
    return -1;
}

int shm_know_domain(palshm *p)
{
    char text[SEAM_VALUE];
    uint64_t domain;
    int got = seam_read(p->seam, "domid", text, sizeof(text));

    if (got < 0)
        return got;
    if (shm_numbers(text, &domain, 1) != 1 || domain > UINT16_MAX)
        return -EPROTO;
    p->domain = (uint32_t)domain;
    return 0;
}

palshm *palshm_open(void)
{
    palshm *p = calloc(1, sizeof(*p));
    int error = p ? seam_open(&p->seam) : -ENOMEM;

    if (!error) {
        p->come_ms = COME_MS;
        error = shm_know_domain(p);
        if (error)
            seam_close(p->seam);
    }
    if (error) {
        free(p);
        errno = -error;
        return NULL;
    }
    snprintf(p->why, sizeof(p->why), "nothing went wrong");
    return p;
}

void palshm_close(palshm *p)
{
    seam_close(p->seam);
    free(p);
}

const char *palshm_why(const palshm *p)
{
    return p ? p->why : strerror(errno);
}

uint32_t palshm_domain(const palshm *p)
{
    return p->domain;
}

int palshm_fd(palshm *p)
{
    return seam_fd(p->seam);
}

int palshm_look(palshm *p)
{
    char path[SEAM_PATH], token[SEAM_PATH];
    int got = 0;

    /* At most so many at a time: who may write what is watched could keep us here. */
    for (int i = 0; i < 256 && (got = seam_event(p->seam, path, token, SEAM_PATH)) > 0; i++)
        for (struct watch *w = p->watches; w; w = w->next)
            if (!strcmp(w->token, token)) {
                w->fired(w->owner, path);
                break;
            }
    return got < 0 ? shm_fail(p, got, "the store does not answer") : 0;
}

int shm_watch(palshm *p, struct watch *w, void (*fired)(void *, const char *), void *owner,
              const char *format, ...)
{
    va_list list;
    int error;

    va_start(list, format);
    vsnprintf(w->path, sizeof(w->path), format, list);
    va_end(list);
    snprintf(w->token, sizeof(w->token), "palshm%u", ++p->tokens);
    w->fired = fired;
    w->owner = owner;
    error = seam_watch(p->seam, w->path, w->token);
    if (error) {
        w->token[0] = 0;
        return error;
    }
    w->next = p->watches;
    p->watches = w;
    return 0;
}

void shm_unwatch(palshm *p, struct watch *w)
{
    struct watch **at = &p->watches;

    if (!w->token[0])
        return;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
    (void)seam_unwatch(p->seam, w->path, w->token);
    w->token[0] = 0;
}

int64_t shm_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int shm_left_ms(int64_t began, int limit_ms)
{
    int64_t passed = shm_now_ms() - began;

    if (limit_ms < 0)
        return -1;
    return passed >= limit_ms ? 0 : (int)(limit_ms - passed);
}

int shm_wait(palshm *p, int fd, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = seam_fd(p->seam), .events = POLLIN},
                            {.fd = fd, .events = POLLIN}};
    int ready;

    if (seam_pending(p->seam))
        return palshm_look(p) ? -1 : 1;
    ready = poll(fds, fd < 0 ? 1 : 2, timeout_ms);
    if (ready < 0)
        return errno == EINTR ? 1 : shm_fail(p, errno, "waiting");
    if (ready && fds[0].revents && palshm_look(p))
        return -1;
    return ready > 0;
}

int shm_numbers(const char *text, uint64_t *out, size_t room)
{
    int n = 0;

    for (;;) {
        char *end;

        while (*text == ' ')
            text++;
        if (!*text)
            return n;
        if (!isdigit((unsigned char)*text))
            return -1;
        errno = 0;
        uint64_t value = strtoull(text, &end, 10);
        if (errno || (*end && *end != ' '))
            return -1;
        if ((size_t)n < room)
            out[n] = value;
        n++;
        text = end;
    }
}

/* When the process began, in ticks since the machine's start; 0: it does not run. */
static unsigned long long process_start(unsigned pid)
{
    char path[40], text[1024];
    unsigned long long start = 0;
    const char *at;
    FILE *file;
    size_t got;

    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    got = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[got] = 0;
    at = strrchr(text, ')'); /* behind the name, which may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        sscanf(at, "%llu", &start);
    return start;
}

void shm_process(char *text, size_t room)
{
    snprintf(text, room, "%u-%llu", (unsigned)getpid(), process_start((unsigned)getpid()));
}

bool shm_process_runs(const char *text)
{
    unsigned long long start;
    unsigned pid;

    return sscanf(text, "%u-%llu", &pid, &start) == 2 && process_start(pid) == start;
}

void shm_sweep(palshm *p, const char *path)
{
    char names[8192], node[SEAM_PATH];
    int length = seam_list(p->seam, path, names, sizeof(names));

    for (int at = 0; at < length; at += (int)strlen(names + at) + 1)
        if (!shm_process_runs(names + at) &&
            snprintf(node, sizeof(node), "%s/%s", path, names + at) < (int)sizeof(node))
            (void)seam_remove(p->seam, node);
}
