/* SPDX-License-Identifier: MIT */
/*
 * What a guest does that does not keep to what it was given: frames with addresses that are not its
 * own, writes to its half of its devices. A static program, put into a guest by a virtual disk.
 *
 *   forge send INTERFACE OWN OTHER GATEWAY   TIMES frames of each kind, then the last (IPv4 addresses)
 *   forge count INTERFACE                    "counted a=5 c=5 z=1": what came in, up to the last kind
 *   forge deaf                               answer nothing any more, with one virtual CPU
 *   forge store PATH VALUE                   write the node, by the kernel's own line to the store
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMES 5
#define PAUSE 5000 /* us: a frame may be lost where many come at once, and then it tells nothing */
#define MARK  "PALFORGE" /* and the kind */
#define CUT   'n'        /* one byte shorter than it says */
#define LAST  'z'

static const uint8_t forged_mac[6] = {0x02, 0xba, 0xdb, 0xad, 0xba, 0xdb};
static uint8_t own_mac[6];
static int line;
static struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};

static void check(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void open_line(const char *interface)
{
    struct ifreq r = {0};

    line = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    check(line >= 0, "socket");
    strncpy(r.ifr_name, interface, IFNAMSIZ - 1);
    check(!ioctl(line, SIOCGIFHWADDR, &r), interface);
    memcpy(own_mac, r.ifr_hwaddr.sa_data, 6);
    check(!ioctl(line, SIOCGIFINDEX, &r), interface);
    to.sll_ifindex = r.ifr_ifindex;
    to.sll_protocol = htons(ETH_P_ALL);
    check(!bind(line, (struct sockaddr *)&to, sizeof(to)), "bind");
}

/* ---- frames ---- */

struct frame {
    uint8_t bytes[160];
    size_t used;
};

static void put(struct frame *f, const void *data, size_t size)
{
    memcpy(f->bytes + f->used, data, size);
    f->used += size;
}

static void put16(struct frame *f, unsigned value)
{
    put(f, (uint8_t[2]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static void put_ethernet(struct frame *f, const uint8_t *source, unsigned type)
{
    f->used = 0;
    put(f, "\xff\xff\xff\xff\xff\xff", 6);
    put(f, source, 6);
    if (type)
        put16(f, type);
}

static unsigned sum(const uint8_t *data, size_t size, unsigned start)
{
    uint32_t s = start;

    for (size_t i = 0; i + 1 < size; i += 2)
        s += (uint32_t)data[i] << 8 | data[i + 1];
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return s;
}

static void mark(struct frame *f, char kind)
{
    put(f, MARK, 8);
    put(f, &kind, 1);
}

static void send_frame(struct frame *f)
{
    while (f->used < 60)
        put(f, "", 1);
    for (unsigned i = 0; i < TIMES; i++) {
        check(sendto(line, f->bytes, f->used, 0, (struct sockaddr *)&to, sizeof(to)) > 0, "sendto");
        usleep(PAUSE);
    }
}

static void send_marked(struct frame *f, char kind)
{
    mark(f, kind);
    send_frame(f);
}

/* A datagram to everybody's discard port. */
static void put_ip(struct frame *f, in_addr_t source)
{
    static const uint8_t head[12] = {0x45, 0, 0, 37, 0, 1, 0, 0, 64, 17, 0, 0};
    size_t at = f->used;
    unsigned s;

    put(f, head, sizeof(head));
    put(f, &source, 4);
    put(f, "\xff\xff\xff\xff", 4);
    s = ~sum(f->bytes + at, 20, 0);
    f->bytes[at + 10] = (uint8_t)(s >> 8);
    f->bytes[at + 11] = (uint8_t)s;
    put16(f, 9);
    put16(f, 9);
    put16(f, 17);
    put16(f, 0);
}

static void send_ip(char kind, const uint8_t *mac, in_addr_t source)
{
    struct frame f;

    put_ethernet(&f, mac, ETH_P_IP);
    put_ip(&f, source);
    send_marked(&f, kind);
}

static void send_arp(char kind, const uint8_t *mac, in_addr_t claimed)
{
    struct frame f;

    put_ethernet(&f, own_mac, ETH_P_ARP);
    put(&f, "\0\1\x08\0\6\4\0\2", 8); /* a reply nobody asked for */
    put(&f, mac, 6);
    put(&f, &claimed, 4);
    put(&f, "\xff\xff\xff\xff\xff\xff", 6);
    put(&f, &claimed, 4);
    send_marked(&f, kind);
}

static void own_link_local(uint8_t address[16])
{
    memcpy(address, "\xfe\x80\0\0\0\0\0\0", 8);
    address[8] = own_mac[0] ^ 2;
    memcpy(address + 9, own_mac + 1, 2);
    memcpy(address + 11, "\xff\xfe", 2);
    memcpy(address + 13, own_mac + 3, 3);
}

/* An ICMPv6 message of that type to all nodes, with its first 16 bytes after the head. */
static void send_icmp6(char kind, const uint8_t source[16], uint8_t type, const uint8_t target[16])
{
    struct frame f;
    size_t at;
    unsigned s;

    put_ethernet(&f, own_mac, ETH_P_IPV6);
    put(&f, "\x60\0\0\0\0\x22\x3a\xff", 8); /* 34 bytes of ICMPv6 */
    put(&f, source, 16);
    put(&f, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    at = f.used;
    put(&f, (uint8_t[8]){type, 0, 0, 0, 0x20}, 8);
    put(&f, target, 16);
    memcpy(f.bytes + f.used, MARK, 8);
    f.bytes[f.used + 8] = (uint8_t)kind;
    f.bytes[f.used + 9] = 0;
    s = ~sum(f.bytes + at, 34, sum(f.bytes + 22, 32, 34 + 58));
    f.bytes[at + 2] = (uint8_t)(s >> 8);
    f.bytes[at + 3] = (uint8_t)s;
    mark(&f, kind);
    if (kind != CUT)
        put(&f, "", 1);
    send_frame(&f);
}

static void send_all(in_addr_t own, in_addr_t other, in_addr_t gateway)
{
    uint8_t local[16], stranger[16] = "\xfe\x80\0\0\0\0\0\0\2\xba\xdb\xff\xfe\xad\xba";
    struct frame f;

    own_link_local(local);
    send_ip('a', own_mac, own);
    send_ip('b', forged_mac, own);
    send_ip('c', own_mac, other);
    send_arp('d', own_mac, other);
    send_arp('e', forged_mac, own);
    put_ethernet(&f, own_mac, 0x8100); /* in VLAN 5 */
    put16(&f, 5);
    put16(&f, ETH_P_IP);
    put_ip(&f, own);
    send_marked(&f, 'f');
    send_icmp6('g', local, 134, stranger); /* a router's advertisement */
    send_icmp6('h', local, 136, stranger); /* a neighbour's, for another address */
    put_ethernet(&f, own_mac, 0x88b5);
    send_marked(&f, 'i');
    send_ip('j', own_mac, gateway);
    send_arp('k', own_mac, gateway);
    send_icmp6('l', stranger, 136, stranger);
    send_arp('m', own_mac, own);
    send_icmp6(CUT, local, 136, stranger);
    send_icmp6('o', local, 128, local); /* an echo request */
    send_arp(LAST, own_mac, 0);         /* a probe, as before an address is taken */
}

/* ---- counting ---- */

static void count_all(void)
{
    unsigned counts[26] = {0};

    puts("counting");
    fflush(stdout);
    while (!counts[LAST - 'a']) {
        uint8_t data[2048];
        ssize_t size = recv(line, data, sizeof(data), 0);
        uint8_t *mark = size > 0 ? memmem(data, (size_t)size, MARK, 8) : NULL;

        if (mark && mark + 8 < data + size && mark[8] >= 'a' && mark[8] <= 'z')
            counts[mark[8] - 'a']++;
    }
    printf("counted");
    for (unsigned i = 0; i < 26; i++) {
        if (counts[i])
            printf(" %c=%u", 'a' + i, counts[i]);
    }
    puts(".");
}

/* ---- the store ---- */

static int store(const char *path, const char *value)
{
    uint32_t size = (uint32_t)(strlen(path) + 1 + strlen(value));
    struct {
        uint32_t type, request, transaction, size;
        char text[512];
    } message = {11, 0, 0, size, ""}; /* XS_WRITE */
    int fd = open("/dev/xen/xenbus", O_RDWR);

    check(fd >= 0 && size < sizeof(message.text), "/dev/xen/xenbus");
    strcpy(message.text, path);
    strcpy(message.text + strlen(path) + 1, value);
    check(write(fd, &message, 16 + size) == (ssize_t)(16 + size), "write");
    check(read(fd, &message, 16) == 16, "read");
    printf("stored=%s\n", message.type == 11 ? "yes" : "no");
    return 0;
}

/* Keep the only CPU from everybody else, the kernel's threads too. */
static void be_deaf(void)
{
    struct sched_param most = {sched_get_priority_max(SCHED_FIFO)};

    check(!sched_setscheduler(0, SCHED_FIFO, &most), "sched_setscheduler");
    puts("no-longer-listening");
    fflush(stdout);
    for (;;)
        __asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "deaf"))
        be_deaf();
    if (argc == 4 && !strcmp(argv[1], "store"))
        return store(argv[2], argv[3]);
    if (argc < 3)
        return 2;
    open_line(argv[2]);
    if (argc == 6 && !strcmp(argv[1], "send"))
        send_all(inet_addr(argv[3]), inet_addr(argv[4]), inet_addr(argv[5]));
    else if (argc == 3 && !strcmp(argv[1], "count"))
        count_all();
    else
        return 2;
    puts("done");
    return 0;
}
