/* SPDX-License-Identifier: MIT */
/*
 * The guard of an interface: rules of nftables at the very entry of its domain-0 end, before
 * bridge and stack see a frame, that let a guest send only what is its own to send.
 *
 * An interface with <ip> addresses may send ARP, IPv4 and IPv6 from these and nothing else (plus
 * what it takes to ask DHCP for them, and the link-local address made from its MAC). One without
 * may send anything with its own MAC, but not claim an address that is another guest's by <ip>, or
 * domain 0's on the bridge.
 *
 * All of it is in one table, `netdev pal`: a chain for each interface, named as it is, and two
 * sets of the addresses that <ip> gave to somebody.
 */
#ifndef LIBPAL_GUARD_H
#define LIBPAL_GUARD_H

#include "libpal/address.h"
#include "libpal/error.h"

#define PAL_GUARD_OWN_MAX 8  /* addresses that an interface may have */
#define PAL_GUARD_HOST    16 /* addresses of domain 0 that are looked at */

struct pal_guard {
    char interface[16]; /* domain 0's end: vif3.0 */
    uint8_t mac[6];
    unsigned owned, hosts;
    struct pal_address own[PAL_GUARD_OWN_MAX]; /* from <ip> */
    struct pal_address host[PAL_GUARD_HOST];   /* of domain 0 on the bridge */
};

/* The commands for nft that set the guard up, or take it away, whatever there is of it already.
 * To be freed; NULL: out of memory. */
char *pal_guard_rules(const struct pal_guard *g);
char *pal_guard_removal(const struct pal_guard *g);
/* Those that take away all that pal ever made. */
extern const char pal_guard_nothing[];

/* Have nft carry out commands: all of them, or none and an error. */
int pal_guard_apply(const char *commands, struct pal_error *e);

#endif
