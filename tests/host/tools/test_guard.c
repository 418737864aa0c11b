/* SPDX-License-Identifier: MIT */
/* The rules for nft that guard an interface, as text; what they do is seen from end to end. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "libpal/guard.h"

static struct pal_guard guard(void)
{
    return (struct pal_guard){.interface = "vif3.0", .mac = {0, 0x16, 0x3e, 0x12, 0x34, 0x56}};
}

/* How often it stands in the text. */
static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static void test_strict(void **state)
{
    struct pal_guard g = guard();
    char *text, *last;

    (void)state;
    g.owned = 2;
    assert_true(pal_address_parse("10.99.0.2", &g.own[0]));
    assert_true(pal_address_parse("fd00::2", &g.own[1]));
    text = pal_guard_rules(&g);
    assert_non_null(text);
    assert_int_equal(count(text, "ether saddr != 00:16:3e:12:34:56 counter drop\n"), 1);
    assert_int_equal(count(text, "arp saddr ether 00:16:3e:12:34:56 arp saddr ip { 0.0.0.0, "
                                 "10.99.0.2 } accept\n"),
                     1);
    assert_int_equal(count(text, " ip saddr { 10.99.0.2 } accept\n"), 1);
    assert_int_equal(count(text, "ip6 saddr != { ::, fe80::216:3eff:fe12:3456, fd00::2 } "), 1);
    assert_int_equal(count(text, "@th,64,128 0xfd000000000000000000000000000002 accept\n"), 1);
    assert_int_equal(count(text, "add element netdev pal taken4 { 10.99.0.2 }\n"), 1);
    assert_int_equal(count(text, "add element netdev pal taken6 { fd00::2 }\n"), 1);
    /* The last rule drops what none accepted. */
    last = strstr(text, "add element");
    assert_memory_equal(last - strlen("vif3.0 counter drop\n"), "vif3.0 counter drop\n", 20);
    free(text);
}

/* With an IPv6 address alone there is neither IPv4 nor ARP. */
static void test_only_v6(void **state)
{
    struct pal_guard g = guard();
    char *text;

    (void)state;
    g.owned = 1;
    assert_true(pal_address_parse("fd00::2", &g.own[0]));
    text = pal_guard_rules(&g);
    assert_non_null(text);
    assert_int_equal(count(text, "arp saddr"), 0);
    assert_int_equal(count(text, " ip saddr {"), 0);
    free(text);
}

static void test_loose(void **state)
{
    struct pal_guard g = guard();
    char *text;

    (void)state;
    g.hosts = 2;
    assert_true(pal_address_parse("10.99.0.1", &g.host[0]));
    assert_true(pal_address_parse("fe80::1", &g.host[1]));
    text = pal_guard_rules(&g);
    assert_non_null(text);
    assert_int_equal(count(text, "ether saddr != 00:16:3e:12:34:56 counter drop\n"), 1);
    assert_int_equal(count(text, "arp saddr ether != 00:16:3e:12:34:56 counter drop\n"), 1);
    assert_int_equal(count(text, "arp saddr ip { 10.99.0.1 } counter drop\n"), 1);
    assert_int_equal(count(text, " ip saddr { 10.99.0.1 } counter drop\n"), 1);
    assert_int_equal(count(text, "ip6 saddr { fe80::1 } counter drop\n"), 1);
    assert_int_equal(count(text, "@taken4 counter drop\n"), 2);
    assert_int_equal(count(text, "add element"), 0);
    assert_int_equal(count(text, "accept\n"), 0);
    free(text);
}

/* As many addresses as there may be, each as long as it may be. */
static void test_most(void **state)
{
    struct pal_guard g = guard();
    char *text;

    (void)state;
    for (g.owned = 0; g.owned < PAL_GUARD_OWN_MAX; g.owned++) {
        char address[PAL_ADDRESS_TEXT];

        snprintf(address, sizeof(address), "2001:1111:2222:3333:4444:5555:6666:777%u", g.owned);
        assert_true(pal_address_parse(address, &g.own[g.owned]));
    }
    text = pal_guard_rules(&g);
    assert_non_null(text);
    assert_int_equal(count(text, "6666:7777, ") + count(text, "6666:7777 }"), 2);
    free(text);
}

static void test_removal(void **state)
{
    struct pal_guard g = guard();
    char *text;

    (void)state;
    g.owned = 1;
    assert_true(pal_address_parse("10.99.0.2", &g.own[0]));
    text = pal_guard_removal(&g);
    assert_non_null(text);
    assert_int_equal(count(text, "delete chain netdev pal vif3.0\n"), 1);
    assert_int_equal(count(text, "delete element netdev pal taken4 { 10.99.0.2 }\n"), 1);
    assert_int_equal(count(text, "hook"), 0);
    free(text);
}

static void test_texts(void **state)
{
    struct pal_address a;
    uint8_t mac[6];

    (void)state;
    assert_true(pal_mac_parse("02:aB:00:00:00:ff", mac));
    assert_int_equal(mac[1], 0xab);
    assert_false(pal_mac_parse("03:ab:00:00:00:ff", mac)); /* a group */
    assert_false(pal_mac_parse("02:ab:00:00:00:f", mac));
    assert_false(pal_mac_parse("02:ab:00:00:00:ff:", mac));
    assert_false(pal_mac_parse("02-ab-00-00-00-ff", mac));
    assert_false(pal_mac_parse("", mac));
    assert_false(pal_address_parse("", &a));
    assert_false(pal_address_parse("10.0.0.1/24", &a));
    assert_false(pal_address_parse("127.0.0.1", &a));
    assert_false(pal_address_parse("255.255.255.255", &a));
    assert_false(pal_address_parse("::1", &a));
    assert_false(pal_address_parse("::ffff:10.0.0.1", &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict), cmocka_unit_test(test_only_v6), cmocka_unit_test(test_loose),
        cmocka_unit_test(test_most),   cmocka_unit_test(test_removal), cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
