/* SPDX-License-Identifier: MIT */
/* Addresses of interfaces: Ethernet's and the Internet's, from and to text. */
#ifndef LIBPAL_ADDRESS_H
#define LIBPAL_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PAL_MAC_TEXT     18
#define PAL_ADDRESS_TEXT 46

struct pal_address {
    bool v6;
    uint8_t bytes[16]; /* the first four when it is not v6 */
};

/* "00:16:3e:12:34:56". False: it is not one, or a group's. */
bool pal_mac_parse(const char *text, uint8_t mac[6]);
/* One made up, of the range that is Xen's: 00:16:3e. */
void pal_mac_make(uint8_t mac[6]);
void pal_mac_text(const uint8_t mac[6], char text[PAL_MAC_TEXT]);

/* "10.99.0.2" or "fd00::2", without a prefix length. False: it is none that a guest can have. */
bool pal_address_parse(const char *text, struct pal_address *address);
void pal_address_text(const struct pal_address *address, char text[PAL_ADDRESS_TEXT]);
bool pal_address_same(const struct pal_address *a, const struct pal_address *b);
/* The link-local address that is made from the interface's own (RFC 4291, appendix A). */
struct pal_address pal_address_of_mac(const uint8_t mac[6]);

#endif
