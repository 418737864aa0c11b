/* SPDX-License-Identifier: MIT */
/*
 * Disks as they come and go in the store: the backend's half of Xen's bus (<xen/io/xenbus.h>, <xen/io/blkif.h>).
 * The guest's half of the nodes is the guest's word, and read as such.
 */
#ifndef UBC_BUS_H
#define UBC_BUS_H

struct xs_handle;
struct xenevtchn_handle;

/* `opener`: the socket to the other process. Returns 0 or -1. */
int bus_open(struct xs_handle *xs, struct xenevtchn_handle *events, int opener);
/* The store has something to tell. */
void bus_watch(void);
/* An answer has come from there. */
void bus_opened(void);
/* A guest sent an event. */
void bus_event(void);
/* Milliseconds until bus_retry() is wanted, or the event channels are to be asked anew; -1: not at all. */
int bus_patience(void);
void bus_retry(void);

#endif
