/* SPDX-License-Identifier: MIT */
/* Rights that the one that serves guests gives up. */
#ifndef UBC_CONFINE_H
#define UBC_CONFINE_H

#include <sys/types.h>

/* Another user, no files by name, no new rights; only the system calls of its work. Returns 0, or -1 with a message. */
int confine(uid_t user, gid_t group);

#endif
