/* SPDX-License-Identifier: MIT */
#ifndef UBC_IO_URING_H
#define UBC_IO_URING_H

/* Returns a descriptor that is readable when something is done, or -1 with errno. */
int io_uring_open(void);
/* Hand over what was begun. */
void io_uring_kick(void);
/* Call done() of what has ended. */
void io_uring_reap(void);

#endif
