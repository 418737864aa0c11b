/* SPDX-License-Identifier: MIT */
/* Domains' files: what is read, what is refused and where the blame is laid. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "libpal/config.h"

#define HEAD   "<domain type='xen'>\n<name>web</name>\n"
#define MEMORY "<memory unit='MiB'>192</memory>\n"
#define OS     "<os><type>linux</type><kernel>/boot/vmlinuz</kernel></os>\n"
#define TAIL   "</domain>\n"

static enum pal_code parse(struct pal_config *c, const char *text, struct pal_error *e)
{
    int rc;

    memset(e, 0, sizeof(*e));
    rc = pal_config_parse(c, "f.xml", text, strlen(text), e);
    assert_int_equal(rc == 0, e->code == PAL_OK);
    return e->code;
}

static void refused(const char *text, enum pal_code code, const char *where)
{
    struct pal_config c;
    struct pal_error e;

    assert_int_equal(parse(&c, text, &e), code);
    assert_non_null(strstr(e.why, where));
}

static void test_defaults(void **state)
{
    struct pal_config c;
    struct pal_error e;

    (void)state;
    assert_int_equal(parse(&c, HEAD MEMORY OS TAIL, &e), PAL_OK);
    assert_string_equal(c.name, "web");
    assert_int_equal(c.max_kib, 192 << 10);
    assert_int_equal(c.memory_kib, 192 << 10);
    assert_int_equal(c.vcpus, 1);
    assert_null(c.initrd);
    assert_string_equal(c.cmdline, "");
    assert_int_equal(c.on_reboot, PAL_ACTION_RESTART);
    assert_int_equal(c.uuid[6] >> 4, 4);
    pal_config_free(&c);
}

static void test_everything(void **state)
{
    static const char text[] =
        HEAD "<uuid>00112233-4455-6677-8899-aAbBcCdDeEfF</uuid>" MEMORY
             "<currentMemory unit='KiB'>65536</currentMemory><vcpu>3</vcpu>" OS
             "<on_crash>preserve</on_crash><devices><disk type='file'><source file='/a'/>"
             "<target dev='xvda'/></disk><disk type='block'><source dev='/dev/b'/>"
             "<target dev='xvdq1'/><readonly/></disk><interface type='bridge'>"
             "<source bridge='br0'/><mac address='02:00:00:00:00:0a'/></interface></devices>"
             "<metadata><other:domain xmlns:other='urn:other'><weight>9</weight></other:domain>"
             "<pal:domain xmlns:pal='urn:palimpsest:domain:1'><pal:weight>512</pal:weight>"
             "</pal:domain></metadata>" TAIL;
    struct pal_config c;
    struct pal_error e;
    char uuid[37];

    (void)state;
    assert_int_equal(parse(&c, text, &e), PAL_OK);
    pal_uuid_text(c.uuid, uuid);
    assert_string_equal(uuid, "00112233-4455-6677-8899-aabbccddeeff");
    assert_int_equal(c.memory_kib, 65536);
    assert_int_equal(c.vcpus, 3);
    assert_int_equal(c.weight, 512);
    assert_int_equal(c.on_crash, PAL_ACTION_PRESERVE);
    assert_int_equal(c.disks, 2);
    assert_false(c.disk[0].is_block || c.disk[0].read_only);
    assert_true(c.disk[1].is_block && c.disk[1].read_only);
    assert_int_equal(pal_disk_number(c.disk[0].target), 202 << 8);
    assert_int_equal(pal_disk_number(c.disk[1].target), 1 << 28 | 16 << 8 | 1);
    assert_int_equal(c.nics, 1);
    assert_int_equal(c.nic[0].mac[5], 10);
    pal_config_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    refused("", PAL_XML_SYNTAX, "f.xml");
    refused(HEAD MEMORY OS, PAL_XML_SYNTAX, "f.xml:");
    refused(HEAD MEMORY "<kernel/>" OS TAIL, PAL_XML_SCHEMA, "f.xml:");
    refused(HEAD OS TAIL, PAL_XML_SCHEMA, "f.xml:1");
    refused(HEAD MEMORY OS "<vcpu>0</vcpu>" TAIL, PAL_XML_SCHEMA, "f.xml:");
    refused(HEAD MEMORY OS "<vcpu>65</vcpu>" TAIL, PAL_XML_SCHEMA, "f.xml:");
    refused(HEAD "<memory unit='GiB'>1099511627776</memory>" OS TAIL, PAL_XML_VALUE, "f.xml:3");
    refused(HEAD MEMORY "<currentMemory unit='GiB'>1</currentMemory>" OS TAIL, PAL_XML_VALUE,
            "f.xml:4");
    refused("<domain type='kvm'>" MEMORY OS TAIL, PAL_XML_SCHEMA, "f.xml:1");
    refused("<domain type='xen'><name>12</name>" MEMORY OS TAIL, PAL_XML_VALUE, "f.xml:1");
    refused("<domain type='xen'><name>a/b</name>" MEMORY OS TAIL, PAL_XML_SCHEMA, "f.xml:1");
}

#define NIC(more)                                                                                  \
    HEAD MEMORY OS "<devices><interface type='bridge'><source bridge='br0'/>" more                 \
                   "</interface></devices>" TAIL

static void test_addresses(void **state)
{
    struct pal_config c;
    struct pal_error e;

    (void)state;
    assert_int_equal(parse(&c,
                           NIC("<ip address='10.99.0.2' family='ipv4' prefix='24'/>"
                               "<ip address='fd00::2'/>"),
                           &e),
                     PAL_OK);
    assert_int_equal(c.nic[0].ips, 2);
    assert_false(c.nic[0].trusted || c.nic[0].ip[0].v6);
    assert_memory_equal(c.nic[0].ip[0].bytes, "\x0a\x63\x00\x02", 4);
    assert_true(c.nic[0].ip[1].v6 && c.nic[0].ip[1].bytes[15] == 2);
    pal_config_free(&c);
    refused(NIC("<ip address='10.99.0.256'/>"), PAL_XML_VALUE, "f.xml:");
    refused(NIC("<ip address='10.99.0.2' family='ipv6'/>"), PAL_XML_VALUE, "f.xml:");
    refused(NIC("<ip address='0.0.0.0'/>"), PAL_XML_VALUE, "f.xml:");
    refused(NIC("<ip address='224.0.0.1'/>"), PAL_XML_VALUE, "f.xml:");
    refused(NIC("<ip address='::'/>"), PAL_XML_VALUE, "f.xml:");
    refused(NIC("<ip address='ff02::1'/>"), PAL_XML_VALUE, "f.xml:");
    refused(NIC("<mac address='01:00:00:00:00:0a'/>"), PAL_XML_VALUE, "f.xml:");
    refused(NIC("<ip address='10.0.0.1; drop'/>"), PAL_XML_SCHEMA, "f.xml:");
    refused(NIC("<mac address='02:00:00:00:00:0a'/></interface><interface type='bridge'>"
                "<source bridge='br0'/><mac address='02:00:00:00:00:0A'/>"),
            PAL_XML_VALUE, "f.xml:");
}

/* What the file left out stays the same for whoever reads the kept text, as a reboot does. */
static void test_filled_in(void **state)
{
    struct pal_config c, again;
    struct pal_error e;

    (void)state;
    assert_int_equal(parse(&c, NIC(""), &e), PAL_OK);
    assert_int_equal(pal_config_parse(&again, "kept", c.xml, c.xml_size, &e), 0);
    assert_memory_equal(again.uuid, c.uuid, sizeof(c.uuid));
    assert_memory_equal(again.nic[0].mac, c.nic[0].mac, 6);
    assert_memory_equal(again.xml, c.xml, c.xml_size);
    pal_config_free(&again);
    pal_config_free(&c);
}

/* Numbers of interfaces: given ones stay, the others get what is free; and they outlast others. */
static void test_numbers(void **state)
{
    struct pal_config c, less;
    struct pal_error e;

    (void)state;
    assert_int_equal(parse(&c,
                           NIC("</interface><interface type='bridge'><source bridge='br0'/>"
                               "<target dev='vif0'/></interface><interface type='bridge'>"
                               "<source bridge='br0'/>"),
                           &e),
                     PAL_OK);
    assert_int_equal(c.nic[0].number, 1);
    assert_int_equal(c.nic[1].number, 0);
    assert_int_equal(c.nic[2].number, 2);
    assert_int_equal(pal_config_drop_nic(&c, c.nic[0].mac, &less, &e), 0);
    assert_int_equal(less.nic[0].number, 0);
    assert_int_equal(less.nic[1].number, 2);
    pal_config_free(&less);
    pal_config_free(&c);
    refused(NIC("<target dev='vif3'/></interface><interface type='bridge'>"
                "<source bridge='br0'/><target dev='vif3'/>"),
            PAL_XML_VALUE, "f.xml:");
    refused(NIC("<target dev='vif8'/>"), PAL_XML_SCHEMA, "f.xml:");
}

static void test_devices_come_and_go(void **state)
{
    char source[] = "/a & <b>'\"";
    struct pal_disk disk = {.source = source, .read_only = true, .target = "xvdb"};
    struct pal_nic nic = {.bridge = "br1", .mac = {2, 0, 0, 0, 0, 7}, .rate_kib = 100, .ips = 1};
    struct pal_config c, one, two;
    struct pal_error e;

    (void)state;
    assert_true(pal_address_parse("10.0.0.9", &nic.ip[0]));
    assert_int_equal(parse(&c, HEAD MEMORY OS TAIL, &e), PAL_OK);
    assert_int_equal(pal_config_add_disk(&c, &disk, &one, &e), 0);
    assert_int_equal(one.disks, 1);
    assert_string_equal(one.disk[0].source, source);
    assert_true(one.disk[0].read_only && !one.disk[0].is_block);
    assert_int_equal(pal_config_add_disk(&one, &disk, &two, &e), -1); /* the target is taken */
    assert_int_equal(e.code, PAL_XML_VALUE);
    memset(&e, 0, sizeof(e));
    assert_int_equal(pal_config_add_nic(&one, &nic, &two, &e), 0);
    assert_memory_equal(&two.nic[0], &nic, sizeof(nic));
    assert_memory_equal(two.uuid, c.uuid, sizeof(c.uuid));
    pal_config_free(&one);
    assert_int_equal(pal_config_drop_disk(&two, "xvdb", &one, &e), 0);
    assert_int_equal(one.disks, 0);
    assert_int_equal(one.nics, 1);
    pal_config_free(&two);
    assert_int_equal(pal_config_drop_nic(&one, nic.mac, &two, &e), 0);
    assert_int_equal(two.nics, 0);
    pal_config_free(&one);
    pal_config_free(&two);
    pal_config_free(&c);
}

#define DISK_OF(driver, rest)                                                                      \
    HEAD MEMORY OS "<devices><disk type='file'>" driver "<source file='/a'/>" rest                 \
                   "<target dev='xvda'/></disk></devices>" TAIL
#define OVER "<backingStore type='file'><format type='raw'/><source file='/b'/></backingStore>"

static void is_served(const char *text, enum pal_disk_backend backend, enum pal_disk_cache cache,
                      const char *base)
{
    struct pal_config c, copy;
    struct pal_disk again;
    struct pal_error e;

    assert_int_equal(parse(&c, text, &e), PAL_OK);
    assert_int_equal(c.disk[0].backend, backend);
    assert_int_equal(c.disk[0].cache, cache);
    assert_int_equal(c.disk[0].base != NULL, base != NULL);
    if (base)
        assert_string_equal(c.disk[0].base, base);
    /* What is attached stands in the record as it was. */
    again = c.disk[0];
    strcpy(again.target, "xvdb");
    assert_int_equal(pal_config_add_disk(&c, &again, &copy, &e), 0);
    assert_int_equal(copy.disks, 2);
    assert_int_equal(copy.disk[1].backend, backend);
    assert_int_equal(copy.disk[1].cache, cache);
    assert_int_equal(copy.disk[1].read_only, c.disk[0].read_only);
    assert_int_equal(copy.disk[1].base != NULL, base != NULL);
    pal_config_free(&copy);
    pal_config_free(&c);
}

/* Who serves a disk, and through which cache. */
static void test_images(void **state)
{
    (void)state;
    is_served(DISK_OF("", ""), PAL_BACKEND_KERNEL, PAL_CACHE_WRITEBACK, NULL);
    is_served(DISK_OF("", "<readonly/>"), PAL_BACKEND_PAL, PAL_CACHE_WRITEBACK, NULL);
    is_served(DISK_OF("<driver name='phy'/>", "<readonly/>"), PAL_BACKEND_KERNEL,
              PAL_CACHE_WRITEBACK, NULL);
    is_served(DISK_OF("<driver name='pal' type='raw' cache='none'/>", ""), PAL_BACKEND_PAL,
              PAL_CACHE_NONE, NULL);
    is_served(DISK_OF("<driver type='cow'/>", OVER), PAL_BACKEND_PAL, PAL_CACHE_WRITEBACK, "/b");
    is_served(DISK_OF("<driver name='pal' type='cow' cache='writethrough'/>", OVER),
              PAL_BACKEND_PAL, PAL_CACHE_WRITETHROUGH, "/b");
    is_served(DISK_OF("<driver type='cow' cache='default'/>",
                      "<backingStore type='block'><source dev='/dev/b'/></backingStore>"),
              PAL_BACKEND_PAL, PAL_CACHE_WRITEBACK, "/dev/b");
    refused(DISK_OF("<driver type='cow'/>", ""), PAL_XML_VALUE, "no <backingStore>");
    refused(DISK_OF("", OVER), PAL_XML_VALUE, "type is not cow");
    refused(DISK_OF("<driver name='phy' type='cow'/>", OVER), PAL_XML_VALUE, "driver pal");
    is_served(DISK_OF("<driver name='phy' cache='none'/>", ""), PAL_BACKEND_KERNEL,
              PAL_CACHE_WRITEBACK, NULL);
    refused(DISK_OF("<driver name='phy' cache='writethrough'/>", ""), PAL_XML_VALUE,
            "names a cache");
    refused(DISK_OF("<driver cache='writeback'/>", ""), PAL_XML_VALUE, "names a cache");
    refused(DISK_OF("<driver name='pal' cache='unsafe'/>", ""), PAL_XML_SCHEMA, "f.xml:");
    refused(DISK_OF("<driver type='qcow2'/>", ""), PAL_XML_SCHEMA, "f.xml:");
}

static void test_collisions(void **state)
{
    (void)state;
    assert_true(pal_disk_collides("xvda", "xvda"));
    assert_true(pal_disk_collides("xvda", "xvda1"));
    assert_true(pal_disk_collides("xvda2", "xvda"));
    assert_false(pal_disk_collides("xvda1", "xvda2"));
    assert_false(pal_disk_collides("xvda", "xvdb1"));
}

/* No entity is expanded and nothing else is read. */
static void test_entities(void **state)
{
    (void)state;
    refused("<!DOCTYPE domain [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]>\n"
            "<domain type='xen'><name>&b;</name>" MEMORY OS TAIL,
            PAL_XML_SYNTAX, "f.xml");
    refused("<!DOCTYPE domain SYSTEM '/etc/passwd'>\n" HEAD MEMORY OS TAIL, PAL_XML_SYNTAX,
            "f.xml");
}

#define OURS(text)                                                                                 \
    "<metadata><pal:domain xmlns:pal='urn:palimpsest:domain:1'>" text "</pal:domain></metadata>"

static void test_regions(void **state)
{
    struct pal_config c, changed, again;
    struct pal_error e;

    (void)state;
    assert_int_equal(parse(&c,
                           HEAD MEMORY OS OURS("<pal:regions memory='64M' count='4'/>"
                                               "<pal:region name='bulk' access='rw' size='5K'/>"
                                               "<pal:region name='a_b-c' access='ro'/>") TAIL,
                           &e),
                     PAL_OK);
    assert_int_equal(c.region_quota, 4);
    assert_int_equal(c.region_quota_kib, 64 << 10);
    assert_int_equal(c.regions, 2);
    assert_string_equal(c.region[0].name, "bulk");
    assert_int_equal(c.region[0].size_kib, 8);
    assert_true(c.region[0].write && !c.region[1].write);
    assert_int_equal(pal_config_set_region(&c, "bulk", NULL, &changed, &e), 0);
    assert_int_equal(changed.regions, 1);
    assert_string_equal(changed.region[0].name, "a_b-c");
    assert_int_equal(pal_config_set_region(&changed, "a_b-c", "rw", &again, &e), 0);
    assert_int_equal(again.regions, 1);
    assert_true(again.region[0].write);
    pal_config_free(&c);
    pal_config_free(&changed);
    pal_config_free(&again);
    /* Where there was no metadata, there is now, and the text can be read again. */
    assert_int_equal(parse(&c, HEAD MEMORY OS TAIL, &e), PAL_OK);
    assert_int_equal(c.regions + c.region_quota, 0);
    assert_int_equal(pal_config_set_region(&c, "x", "ro", &changed, &e), 0);
    assert_int_equal(changed.regions, 1);
    pal_config_free(&c);
    pal_config_free(&changed);
    refused(HEAD MEMORY OS OURS("<pal:region name='a/b' access='rw'/>") TAIL, PAL_XML_SCHEMA,
            "f.xml");
    refused(HEAD MEMORY OS OURS("<pal:region name='a' access='w'/>") TAIL, PAL_XML_SCHEMA, "f.xml");
    refused(HEAD MEMORY OS OURS("<pal:regions memory='0M'/>") TAIL, PAL_XML_SCHEMA, "f.xml");
    refused(HEAD MEMORY OS OURS("<pal:region name='a' access='rw' size='5G'/>") TAIL, PAL_XML_VALUE,
            "more than 4 GiB");
    refused(HEAD MEMORY OS OURS(
                "<pal:region name='a' access='rw'/><pal:region name='a' access='ro'/>") TAIL,
            PAL_XML_VALUE, "twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_entities),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_filled_in),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_devices_come_and_go),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_collisions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
