/* SPDX-License-Identifier: MIT */
/*
 * libpalshm: memory that Palimpsest's domains share, from a guest with a stock kernel.
 *
 *   palshm_region    a named region that this domain may map
 *   palshm_link      two ends, one in each of two domains: a window of a region and a doorbell
 *   palshm_channel   a byte stream each way on a link
 *
 * Functions that fail return NULL or -1 and set errno; palshm_why() then says more. A handle and what was made from it
 * belong to one thread at a time. See palshm(3).
 */
#ifndef PALSHM_H
#define PALSHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define PALSHM_PAGE    4096u
#define PALSHM_NAME    64 /* bytes of a name, with "NUMBER:" before it and a 0 behind */
#define PALSHM_MEMBERS 32

typedef struct palshm palshm;
typedef struct palshm_region palshm_region;
typedef struct palshm_listener palshm_listener;
typedef struct palshm_link palshm_link;
typedef struct palshm_channel palshm_channel;

/*
 * The store, and so this domain's regions. ENOENT: no /dev/xen/xenbus, this is no guest. EACCES: no permission.
 */
palshm *palshm_open(void);
void palshm_close(palshm *p);
/* What went wrong last, in words; never NULL. */
const char *palshm_why(const palshm *p);
uint32_t palshm_domain(const palshm *p);
/* Readable when something may have happened to regions or listeners; palshm_look() then takes note of it. 0 or -1. */
int palshm_fd(palshm *p);
int palshm_look(palshm *p);

/* ---- regions ---- */

struct palshm_info {
    char name[PALSHM_NAME]; /* as palshm_region_open() takes it */
    uint32_t maker;         /* domain that made it, or PALSHM_CONTROL: domain 0, on behalf of all */
    uint32_t slot;
    uint64_t pages;
    uint64_t generation; /* another region has another number */
    bool writable;       /* by this domain */
    uint32_t members;
    uint32_t member[PALSHM_MEMBERS]; /* domains that may map it */
};
#define PALSHM_CONTROL UINT32_MAX

/* Regions that list this domain, and those that it made. The number that there are; at most `room` are written. */
int palshm_list(palshm *p, struct palshm_info *list, size_t room);

/*
 * By NAME: one that domain 0 made, or else one that this domain made; by MAKER:NAME one that another domain made. Nothing is mapped yet.
 * ENOENT: none of that name lists this domain, or it is just being taken from it.
 */
palshm_region *palshm_region_open(palshm *p, const char *name);
void palshm_region_close(palshm_region *r);
const struct palshm_info *palshm_region_info(const palshm_region *r);
/* It was taken from this domain, or is about to be: let go of it. Looks, so costs a system call. */
bool palshm_region_revoked(palshm_region *r);

/*
 * Map `length` bytes from `offset` on (both multiples of the page; length 0: to the end). Writing needs a region that this
 * domain may write. A mapping that is revoked by force raises SIGBUS when it is touched. EACCES, EINVAL, ENOMEM, ENODEV (revoked).
 */
void *palshm_map(palshm_region *r, uint64_t offset, uint64_t length, bool writable);
int palshm_unmap(palshm_region *r, void *at);

/*
 * Regions of a guest's own, within the quota that its domain file grants; needs /dev/xen/privcmd. Creating lists the maker itself
 * for writing. allow with access 'n', 'r' or 'w': taking rights is by force. EPERM: no quota, or beyond it.
 */
int palshm_create(palshm *p, const char *name, uint64_t pages);
int palshm_allow(palshm *p, const char *name, uint32_t domain, char access);
int palshm_destroy(palshm *p, const char *name);

/* ---- links ---- */

/*
 * Serve links under the name of a service: links get windows of bytes [offset, offset + length) of the region, which nobody else must
 * use; both 0: half of what no other listener has. EADDRINUSE: another listener's bytes; takeover ignores listeners of other domains.
 */
palshm_listener *palshm_listen(palshm_region *r, const char *service, uint64_t offset,
                               uint64_t length, bool takeover);
void palshm_listener_close(palshm_listener *l);

/* A link that somebody asks for. */
struct palshm_call {
    uint32_t domain;
    uint64_t size, offset; /* of the window */
    uint32_t bell, life;   /* the caller's ports */
    char path[160];        /* its node in the store */
    char reply[160];       /* ours */
};
/*
 * The next call, waiting at most timeout_ms (-1: for ever). 1: there is one, 0: none. Its window is taken until
 * palshm_listener_free(). The link is made by palshm_accept(), in this process or, with a handle and region of its own,
 * in a child.
 */
int palshm_listener_next(palshm_listener *l, struct palshm_call *call, int timeout_ms);
void palshm_listener_free(palshm_listener *l, const struct palshm_call *call);
palshm_link *palshm_accept(palshm_region *r, const struct palshm_call *call);

/*
 * Ask for a link of `size` bytes (0: the listener's choice) with the listener of that service; domain PALSHM_ANY: whichever member
 * listens. Waits until there is one, at most timeout_ms (-1: for ever). ETIMEDOUT; EBUSY: the listener has no room.
 */
#define PALSHM_ANY UINT32_MAX
palshm_link *palshm_connect(palshm_region *r, uint32_t domain, const char *service, uint64_t size,
                            int timeout_ms);
void palshm_link_close(palshm_link *k);

void *palshm_link_memory(palshm_link *k, size_t *size);
uint32_t palshm_link_peer(const palshm_link *k);
/* Ring the other end's bell. */
int palshm_link_ring(palshm_link *k);
/*
 * Sleep until the bell rings: 1. 0: time is up. -1 and errno: ECONNRESET: the other end is gone; ENODEV: the region is
 * revoked. A ring that came before is not lost.
 */
int palshm_link_wait(palshm_link *k, int timeout_ms);
/* Descriptor for poll: readable when palshm_link_wait() would not sleep. Call that with timeout 0 before polling, too. */
int palshm_link_fd(palshm_link *k);
bool palshm_link_gone(const palshm_link *k);

/* ---- channels ---- */

/* A stream each way over the window of a link, which now belongs to the channel. Each ring has half of the window but a page. */
palshm_channel *palshm_channel_new(palshm_link *k);
/* Both ends close; what was written and not read yet can still be read by the other. */
void palshm_channel_close(palshm_channel *c);
palshm_link *palshm_channel_link(palshm_channel *c);

/*
 * As read(2) and write(2) on a socket: at least one byte, waiting for it; 0: the end of the stream. write returns n or -1.
 * EPIPE, ECONNRESET: the other end is gone; ENODEV: the region is revoked; EPROTO: the other end writes what cannot be.
 */
ssize_t palshm_read(palshm_channel *c, void *to, size_t n);
ssize_t palshm_write(palshm_channel *c, const void *from, size_t n);
/* Without waiting: EAGAIN, and the bell will ring. */
ssize_t palshm_read_some(palshm_channel *c, void *to, size_t n);
ssize_t palshm_write_some(palshm_channel *c, const void *from, size_t n);
/* At most that long for the next wait of palshm_read() and palshm_write(); then ETIMEDOUT. -1: for ever. */
void palshm_channel_timeout(palshm_channel *c, int timeout_ms);

/*
 * The ring itself, to fill it from elsewhere (a file): where, and at most how many bytes, waiting for at least one; then how many were
 * filled. What is in it may be changed by whoever may write the region, so there is no such call for reading.
 */
ssize_t palshm_write_begin(palshm_channel *c, void **at);
int palshm_write_end(palshm_channel *c, size_t n);
/* No more will be written. */
int palshm_shutdown(palshm_channel *c);

struct palshm_counts {
    uint64_t bytes_in, bytes_out, rings, waits; /* rings: doorbells sent; waits: sleeps */
};
void palshm_channel_counts(const palshm_channel *c, struct palshm_counts *counts);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
