/* SPDX-License-Identifier: MIT */
/* The commands: text only, so that tests can read it. What runs them is in guard_apply.c. */
#include "libpal/guard.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char pal_guard_nothing[] = "add table netdev pal\n"
                                 "delete table netdev pal\n";

/* What is added may be there already; deleting wants it to be there: so add first. */
static void put_frame(FILE *out, const struct pal_guard *g)
{
    fprintf(out,
            "add table netdev pal\n"
            "add set netdev pal taken4 { type ipv4_addr; }\n"
            "add set netdev pal taken6 { type ipv6_addr; }\n"
            "add chain netdev pal %s\n"
            "delete chain netdev pal %s\n",
            g->interface, g->interface);
}

static void put_own(FILE *out, const struct pal_guard *g, const char *verb)
{
    char text[PAL_ADDRESS_TEXT];

    for (unsigned i = 0; i < g->owned; i++) {
        pal_address_text(&g->own[i], text);
        fprintf(out, "%s element netdev pal taken%c { %s }\n", verb, g->own[i].v6 ? '6' : '4',
                text);
    }
}

static void put_rule(FILE *out, const struct pal_guard *g, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put_rule(FILE *out, const struct pal_guard *g, const char *format, ...)
{
    va_list args;

    fprintf(out, "add rule netdev pal %s ", g->interface);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
}

/* "a, b, c": those of the list that are of that kind, after `first` unless it is NULL. Returns how
 * many. */
static unsigned list(char *text, size_t room, const struct pal_address *all, unsigned count,
                     bool v6, const char *first)
{
    size_t used = (size_t)snprintf(text, room, "%s", first ? first : "");
    unsigned found = first != NULL;

    for (unsigned i = 0; i < count; i++) {
        char one[PAL_ADDRESS_TEXT];

        if (all[i].v6 != v6)
            continue;
        pal_address_text(&all[i], one);
        used += (size_t)snprintf(text + used, room - used, "%s%s", found++ ? ", " : "", one);
    }
    return found;
}

#define LIST_ROOM ((PAL_GUARD_HOST + PAL_GUARD_OWN_MAX) * (PAL_ADDRESS_TEXT + 2))

static void put_neighbour(FILE *out, const struct pal_guard *g, const struct pal_address *a,
                          const char *verdict)
{
    char digits[33];

    for (unsigned i = 0; i < 16; i++)
        snprintf(digits + 2 * i, 3, "%02x", a->bytes[i]);
    put_rule(out, g, "icmpv6 type nd-neighbor-advert @th,64,128 0x%s %s", digits, verdict);
}

/* Only what is its own: everything else is dropped by the last rule. */
static void put_strict(FILE *out, const struct pal_guard *g, const char *mac)
{
    struct pal_address local = pal_address_of_mac(g->mac);
    char v4[LIST_ROOM], v6[LIST_ROOM], first[PAL_ADDRESS_TEXT + 4] = "::, ";

    /* Tagged frames too: their type is the tag's. */
    put_rule(out, g, "ether type != { ip, ip6, arp } counter drop");
    put_rule(out, g, "arp htype != 1 counter drop");
    put_rule(out, g, "arp ptype != ip counter drop");
    put_rule(out, g, "arp hlen != 6 counter drop");
    put_rule(out, g, "arp plen != 4 counter drop");
    put_rule(out, g, "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept");
    if (list(v4, sizeof(v4), g->own, g->owned, false, NULL)) {
        put_rule(out, g, "arp saddr ether %s arp saddr ip { 0.0.0.0, %s } accept", mac, v4);
        put_rule(out, g, "ip saddr { %s } accept", v4);
    }
    pal_address_text(&local, first + 4);
    list(v6, sizeof(v6), g->own, g->owned, true, first);
    put_rule(out, g, "ip6 saddr != { %s } counter drop", v6);
    /* Only what nft can make out is accepted (58: ICMPv6): a packet that is cut off, or whose headers it cannot
     * follow, matches none of these. */
    put_rule(out, g, "meta protocol ip6 meta l4proto != 58 accept");
    put_neighbour(out, g, &local, "accept");
    for (unsigned i = 0; i < g->owned; i++) {
        if (g->own[i].v6)
            put_neighbour(out, g, &g->own[i], "accept");
    }
    put_rule(out, g, "icmpv6 type != { nd-router-advert, nd-redirect, nd-neighbor-advert } accept");
    put_rule(out, g, "counter drop");
}

/* Anything with its own MAC, but nobody else's addresses. */
static void put_loose(FILE *out, const struct pal_guard *g, const char *mac)
{
    char v4[LIST_ROOM], v6[LIST_ROOM];

    put_rule(out, g, "arp hlen != 6 counter drop");
    put_rule(out, g, "arp plen != 4 counter drop");
    put_rule(out, g, "arp saddr ether != %s counter drop", mac);
    put_rule(out, g, "arp saddr ip @taken4 counter drop");
    put_rule(out, g, "ip saddr @taken4 counter drop");
    put_rule(out, g, "ip6 saddr @taken6 counter drop");
    if (list(v4, sizeof(v4), g->host, g->hosts, false, NULL)) {
        put_rule(out, g, "arp saddr ip { %s } counter drop", v4);
        put_rule(out, g, "ip saddr { %s } counter drop", v4);
    }
    if (list(v6, sizeof(v6), g->host, g->hosts, true, NULL))
        put_rule(out, g, "ip6 saddr { %s } counter drop", v6);
    for (unsigned i = 0; i < g->hosts; i++) {
        if (g->host[i].v6)
            put_neighbour(out, g, &g->host[i], "counter drop");
    }
}

char *pal_guard_rules(const struct pal_guard *g)
{
    char *text = NULL, mac[PAL_MAC_TEXT];
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    pal_mac_text(g->mac, mac);
    put_frame(out, g);
    fprintf(out,
            "add chain netdev pal %s { type filter hook ingress device \"%s\" priority -300; "
            "policy accept; }\n",
            g->interface, g->interface);
    put_rule(out, g, "ether saddr != %s counter drop", mac);
    /* Frames for bridges themselves: spanning tree and its like. */
    put_rule(out, g, "ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 counter drop");
    if (g->owned)
        put_strict(out, g, mac);
    else
        put_loose(out, g, mac);
    put_own(out, g, "add");
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

char *pal_guard_removal(const struct pal_guard *g)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    put_frame(out, g);
    put_own(out, g, "add");
    put_own(out, g, "delete");
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}
