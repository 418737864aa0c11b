/* SPDX-License-Identifier: MIT */
/* A disk with its nodes in the store and its images. */
#ifndef UBC_DEVICE_H
#define UBC_DEVICE_H

#include <stddef.h>

#include "disk.h"
#include "opener.h"

#define DEVICE_PATH 96u

enum device_ending {
    DEVICE_RUNS,
    DEVICE_STAYS, /* the driver has let go; another may come */
    DEVICE_ENDS,
    DEVICE_GONE, /* ending, its last flush is under way */
};

struct device {
    struct disk disk; /* without a volume as long as nothing is open */
    struct device *next;
    char back[DEVICE_PATH], front[DEVICE_PATH], token[24];
    unsigned state; /* of our half */
    bool online;    /* our half is still there */
    bool failed;
    bool changed;   /* the guest's half has */
    unsigned tries; /* not 0: to be opened again before long */
    uint32_t asked; /* not 0: the question that the opener has */
    enum device_ending ending;
    void *ring;
    unsigned pages, port;
    struct volume_flush flush;
};

static inline struct device *device_of(struct disk *d)
{
    return (struct device *)(void *)d;
}

/* Make a volume of what was opened; the descriptors are its own from then on. On failure a->why says why. */
int device_open(struct device *v, struct opener_answer *a, const int files[OPENER_FILES]);
/* Give it up; `clean`: all is on the medium. */
void device_close(struct device *v, bool clean);

#endif
