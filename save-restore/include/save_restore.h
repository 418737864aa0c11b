/* SPDX-License-Identifier: MIT */
/*
 * Putting a domain away in an image, and bringing it back.
 *
 * A save has four phases: the guest is asked to suspend (through the store), it freezes, its memory
 * is copied, and the image is sealed. Each has a deadline. Until the image is sealed whatever goes
 * wrong, also the end of this process by SIGKILL, ends with the guest running on and no image. Then
 * the domain is destroyed, unless it shall go on.
 *
 * A restore makes a new domain, which runs only when the whole image was read and is sound and the
 * hypervisor took all of it by the checks that a running guest faces. Otherwise nothing is left.
 */
#ifndef SAVE_RESTORE_H
#define SAVE_RESTORE_H

#include "image/tools.h"
#include "libpal/domain.h"
#include "libpal/progress.h"

enum save_phase { SAVE_ASK, SAVE_FREEZE, SAVE_COPY, SAVE_SEAL, SAVE_PHASES };
/* "ask", "freeze", "copy", "seal" */
const char *save_phase_name(enum save_phase phase);

struct save_options {
    enum image_mode mode;
    bool checkpoint;                /* the guest runs on after the copy */
    bool read_back;                 /* read the file again and check it before it counts */
    unsigned deadline[SAVE_PHASES]; /* seconds; 0: the usual ones */
};

struct save_result {
    struct image_end totals;
    double frozen; /* seconds from the guest's freezing to its going on or its end */
    double copied; /* seconds of that for copying and sealing */
};

/*
 * Save a domain to the file `path`, or, if that is NULL, to the descriptor fd, which `name` stands
 * for in messages. When it fails the guest runs on. pal_interrupt_catch() should be in force: an
 * interruption is a failure. Called from a process of one thread.
 */
int save_domain(struct pal *p, const struct pal_domain *d, const char *path, int fd,
                const char *name, const struct save_options *options, struct save_result *result,
                struct pal_error *e);

/* What an image of the domain would be, while it runs on. */
int save_estimate(struct pal *p, const struct pal_domain *d, struct image_estimate *estimate,
                  struct pal_error *e);

/*
 * See to a domain that has suspended itself and whose saver is gone: it runs on, or, if its image was
 * complete, it is destroyed. 1: its saver is at work. 0: done. For the watcher of domains.
 */
int save_recover(struct pal *p, uint32_t domain, const struct xen_domctl_getdomaininfo *info,
                 struct pal_error *e);

struct restore_options {
    bool paused;        /* leave it paused */
    const char *rename; /* its name from now on; NULL: as it was */
};

/* Bring the domain in the file (or, if path is NULL, what comes from fd) back. Returns its number. */
int restore_domain(struct pal *p, const char *path, int fd, const char *name,
                   const struct restore_options *options, struct pal_error *e);

#endif
