/* SPDX-License-Identifier: MIT */
#ifndef UBC_IO_URING_H
#define UBC_IO_URING_H

#include <stdbool.h>

/* Returns a descriptor that is readable when something is done, or -1 with errno. */
int io_uring_open(void);
/* Hand over what was begun. False: the kernel took not all of it; try again soon. */
bool io_uring_kick(void);
/* Call done() of what has ended. */
void io_uring_reap(void);

#endif
