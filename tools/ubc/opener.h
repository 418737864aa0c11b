/* SPDX-License-Identifier: MIT */
/*
 * One process with root's rights has images opened, and starts the other again when that dies; the other serves the guests and
 * holds nothing but what it was given. Each image is opened by a process of its own: one whose disk hangs keeps nobody else waiting.
 * What is opened says the store, in nodes that only domain 0 can write: the one that serves names a device, never a path.
 */
#ifndef UBC_OPENER_H
#define UBC_OPENER_H

#include <stdbool.h>
#include <stdint.h>

#include "overlay.h"

#define OPENER_RUN     "/run/pal/blkd" /* live maps, the lock */
#define OPENER_WHY     256u
#define OPENER_FILES   3u
#define OPENER_BACKEND "/local/domain/0/backend/palblk"
#define OPENER_TAKEN                                                                               \
    "/tool/pal/blkd" /* "<domain>-<number>": a disk that is open; its mark outlives who serves */

struct opener_question {
    uint32_t domain;
    uint32_t number;
    uint32_t serial; /* not 0; another for each question */
};

enum opener_file { OPENER_OWN, OPENER_BASE, OPENER_LIVE };

struct opener_answer {
    struct opener_question question;
    int32_t error; /* 0, EAGAIN: not yet, ask again, EBUSY: a few times; else errno, and why */
    uint32_t has;  /* bit for each file that comes with it */
    bool read_only, cached, write_through;
    char why[OPENER_WHY];
    struct overlay_head overlay; /* with a live map */
};

/* In the one that serves: ask, and go on. False: nobody answers any more. */
bool opener_ask(int socket, const struct opener_question *q);
/* An answer, when the socket has one; they come in any order. Files are -1 where there is none. */
bool opener_hear(int socket, struct opener_answer *a, int files[OPENER_FILES]);
/* In the other: the next question. False: there is nobody to answer any more. */
bool opener_take(int socket, struct opener_question *q);
/* Opens and answers, which may take as long as the disk below does. Without `xs`: that it is to be asked again. */
struct xs_handle;
bool opener_answer(int socket, const struct opener_question *q, struct xs_handle *xs);

#endif
