/* SPDX-License-Identifier: MIT */
#ifndef SHM_INTERNAL_H
#define SHM_INTERNAL_H

#include "palshm.h"
#include "ring.h"
#include "seam.h"
#include "window.h"

/* Somebody who wants to hear of a path in the store. Lives in its owner; fired() must not free any. */
struct watch {
    struct watch *next;
    char path[SEAM_PATH], token[16];
    void (*fired)(void *owner, const char *path);
    void *owner;
};

struct palshm {
    struct seam *seam;
    uint32_t domain;
    struct watch *watches;
    unsigned tokens;
    int come_ms; /* from the answer to a call until its caller has mapped the window */
    char why[320];
};

/* Sets errno and the words; returns -1. error: positive or negative. */
int shm_fail(palshm *p, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Which domain this is: another number after it was saved and restored, while the handle lives on. 0 or a negative errno. */
int shm_know_domain(palshm *p);

/* 0 or a negative errno. */
int shm_watch(palshm *p, struct watch *w, void (*fired)(void *, const char *), void *owner,
              const char *format, ...) __attribute__((format(printf, 5, 6)));
void shm_unwatch(palshm *p, struct watch *w);

/* Waits for the store or this descriptor (-1: none). 1: something came, and events of the store were looked at; 0: time is up. */
int shm_wait(palshm *p, int fd, int timeout_ms);
/* Milliseconds of a clock that only goes forwards; what is left of a time limit (-1: no limit) that began then. */
int64_t shm_now_ms(void);
int shm_left_ms(int64_t began, int limit_ms);

struct mapping {
    struct mapping *next;
    struct seam_mapping *seam;
    void *at;
};

struct palshm_region {
    palshm *p;
    struct palshm_info info;
    char base[SEAM_PATH]; /* its node */
    char key[48];         /* names it in rendezvous: slot and generation */
    struct watch watch;
    bool revoked, changed; /* changed: its members */
    struct mapping *mappings;
};

bool shm_name_is_good(const char *name, size_t room);
/* Fills info from the node at base. 0 or a negative errno. */
int shm_region_read(palshm *p, const char *base, struct palshm_info *info);

/* Adds regions of other guests that list this domain, as far as /dev/xen/privcmd is there to ask. Returns the number so far. */
size_t shm_list_others(palshm *p, struct palshm_info *list, size_t room, size_t n);

/* Names a process that runs: its number and start, in text. */
void shm_process(char *text, size_t room);
bool shm_process_runs(const char *text);
/* Removes what processes that ended have left under this node of ours; names begin with the process. */
void shm_sweep(palshm *p, const char *path);

/* Text of a node that is to be numbers, parted by blanks: how many of `room` it was. Anything else: -1. */
int shm_numbers(const char *text, uint64_t *out, size_t room);

#define WAITING 64 /* calls that nobody has taken yet; of one domain at most a quarter */

struct palshm_listener {
    palshm_region *r;
    char key[120], process[48], node[SEAM_PATH];
    struct watch calls[PALSHM_MEMBERS];
    uint32_t domain[PALSHM_MEMBERS];
    unsigned members;
    struct windows windows;
    struct palshm_call waiting[WAITING];
    unsigned first, n;
};

struct palshm_link {
    palshm_region *r;
    uint32_t peer;
    struct seam_bell *bell;
    uint32_t bell_port, life_port;
    uint32_t quiet[2]; /* ports that rang and are not armed yet */
    size_t quiets;
    struct seam_mapping *mapping;
    void *memory;
    size_t size;
    bool gone, caller;
    int poller;           /* epoll descriptor, -1: none yet */
    int patience;         /* timer: the caller has not come yet; -1: it has, or we are the caller */
    char mine[SEAM_PATH]; /* our node, removed at the end */
    struct watch theirs;  /* the other end's node: gone with its domain */
};

/* One without ports and window yet; NULL and errno. */
palshm_link *shm_link_new(palshm_region *r, uint32_t peer, bool caller);
/* Maps the window and has its end ring the life port. 0 or a negative errno. */
int shm_link_map(palshm_link *k, uint64_t offset, uint64_t size);
/* The caller is waited for, but not for ever: one that was killed before it mapped the window rings no life. 0 or a negative errno. */
int shm_link_expect(palshm_link *k);
/* Follows the other end's node: when it goes, so did the other end. */
int shm_link_follow(palshm_link *k, const char *path);

#endif
