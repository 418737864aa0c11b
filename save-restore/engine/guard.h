/* SPDX-License-Identifier: MIT */
/*
 * A process that waits for the end of this one, and puts right what a sudden end left half done. It is
 * started before anything is begun, and has a session of its own, so that a signal to the whole
 * job does not end it, too. If it is ended all the same, `pal watch` does its work (save_recover).
 *
 * Who saves a domain also holds a lock, by which everybody can tell that it is at work. The lock's
 * file says what was to become the image.
 */
#ifndef ENGINE_GUARD_H
#define ENGINE_GUARD_H

#include "libpal/domain.h"

enum guard_task {
    GUARD_SAVE, /* the domain runs on, unless its image is complete: then it goes */
    GUARD_RESTORE, /* whatever domain has this handle is destroyed, and what became whole and never ran */
};

struct guard {
    int socket; /* -1: there is none */
    int lock;   /* of a save; -1: none */
    int pid;
    uint32_t domain;
};

/* Begin. -1 when the domain is being saved already. */
int guard_begin(struct guard *g, enum guard_task task, const struct pal_domain *d,
                struct pal_error *e);
/* The image that is written to this path has this number: if a file with it stands there, the save was
 * complete. */
int guard_image(struct guard *g, const char *path, uint64_t id, struct pal_error *e);
/* The domain that is restored gets its lasting handle now, and runs right after: until then the guard takes it away. */
void guard_whole(struct guard *g, uint32_t domain, const uint8_t handle[16]);
/* All is well, or put right already. unsettled: the guest may still suspend by a request that it has
 * taken: the guard waits for that for a while, and lets it go on. */
void guard_end(struct guard *g, bool unsettled);

/* Does anybody save this domain now? */
bool guard_is_busy(uint32_t domain);
/* Was the image complete that the last save of this domain began? */
bool guard_is_complete(uint32_t domain);
/* Forget what the last save of this number left. */
void guard_forget(uint32_t domain);

#endif
