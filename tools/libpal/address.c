/* SPDX-License-Identifier: MIT */
#include "libpal/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

bool pal_mac_parse(const char *text, uint8_t mac[6])
{
    if (strlen(text) != PAL_MAC_TEXT - 1)
        return false;
    for (unsigned i = 0; i < 6; i++, text += 3) {
        unsigned byte;

        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            text[2] != (i < 5 ? ':' : '\0') || sscanf(text, "%2x", &byte) != 1)
            return false;
        mac[i] = (uint8_t)byte;
    }
    return !(mac[0] & 1);
}

void pal_mac_make(uint8_t mac[6])
{
    memcpy(mac, (uint8_t[3]){0x00, 0x16, 0x3e}, 3);
    if (getrandom(mac + 3, 3, 0) != 3)
        abort(); /* cannot fail for so few bytes once the system runs */
    mac[3] &= 0x7f;
}

void pal_mac_text(const uint8_t m[6], char text[PAL_MAC_TEXT])
{
    snprintf(text, PAL_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
             m[5]);
}

bool pal_address_parse(const char *text, struct pal_address *a)
{
    memset(a, 0, sizeof(*a));
    a->v6 = strchr(text, ':') != NULL;
    if (inet_pton(a->v6 ? AF_INET6 : AF_INET, text, a->bytes) != 1)
        return false;
    if (!a->v6) /* "this" network, loopback, groups and what is above them */
        return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
    /* Unspecified, loopback and embedded IPv4 all begin with ten bytes of zero; ff: groups. */
    return memcmp(a->bytes, (uint8_t[10]){0}, 10) != 0 && a->bytes[0] != 0xff;
}

void pal_address_text(const struct pal_address *a, char text[PAL_ADDRESS_TEXT])
{
    inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, text, PAL_ADDRESS_TEXT);
}

bool pal_address_same(const struct pal_address *a, const struct pal_address *b)
{
    return a->v6 == b->v6 && !memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4);
}

struct pal_address pal_address_of_mac(const uint8_t m[6])
{
    return (struct pal_address){
        true, {0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}};
}
