/* SPDX-License-Identifier: MIT */
/*
 * Two processes: one with root's rights opens images, and starts the other again when that dies; the other serves the guests
 * and holds nothing but what it was given. What is opened says the store, in nodes that only domain 0 can write: the
 * one that serves names a device, never a path.
 */
#ifndef UBC_OPENER_H
#define UBC_OPENER_H

#include <stdbool.h>
#include <stdint.h>

#define OPENER_RUN     "/run/pal/blkd" /* live maps, the lock */
#define OPENER_WHY     256u
#define OPENER_FILES   3u
#define OPENER_BACKEND "/local/domain/0/backend/palblk"
#define OPENER_TAKEN   "/tool/pal/blkd" /* "<domain>-<number>": a disk that is open */

struct opener_question {
    uint32_t domain;
    uint32_t number;
};

enum opener_file { OPENER_OWN, OPENER_BASE, OPENER_LIVE };

struct opener_answer {
    int32_t error; /* 0, EAGAIN: not yet, ask again; else errno, and why */
    uint32_t has;  /* bit for each file that comes with it */
    bool read_only, overlay, cached, write_through;
    char why[OPENER_WHY];
};

/* In the one that serves: ask. Files are -1 where there is none. False: the opener is gone. */
bool opener_ask(int socket, const struct opener_question *q, struct opener_answer *a,
                int files[OPENER_FILES]);
/* In the other: answer one question. False: there is nobody to answer any more. */
struct xs_handle;
bool opener_serve(int socket, struct xs_handle *xs);

#endif
