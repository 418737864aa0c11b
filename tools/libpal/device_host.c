/* SPDX-License-Identifier: MIT */
#include "libpal/device_host.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ubc/overlay.h"

#define SAY_READ_ONLY "if it can only be read, say so: <readonly/>, or --read-only"
#define LOOP_TRIES    64 /* somebody else may take a free one before us */

static int take_free_loop(int control, char path[32], struct pal_error *e)
{
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    int fd;

    if (number < 0)
        return pal_fail(e, PAL_DEV_SOURCE, "there is no free loop device: %s", strerror(errno));
    snprintf(path, 32, "/dev/loop%d", number);
    fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? pal_fail(e, PAL_DEV_SOURCE, "%s: %s", path, strerror(errno)) : fd;
}

/* Bind file to some loop device. Returns the loop device's descriptor. */
static int bind_loop(int file, const struct pal_disk *disk, struct pal_error *e)
{
    struct loop_config config = {.fd = (unsigned)file, .block_size = 512};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1;
    char path[32];

    if (control < 0) {
        pal_fail(e, PAL_DEV_SOURCE, "/dev/loop-control: %s", strerror(errno));
        return pal_remedy(e, "load the loop driver: `modprobe loop`");
    }
    config.info.lo_flags =
        LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | (disk->read_only ? LO_FLAGS_READ_ONLY : 0);
    for (unsigned i = 0; i < LOOP_TRIES; i++) {
        loop = take_free_loop(control, path, e);
        if (loop < 0 || !ioctl(loop, LOOP_CONFIGURE, &config))
            break;
        close(loop);
        loop = -1;
        if (errno == EINVAL && config.info.lo_flags & LO_FLAGS_DIRECT_IO) {
            config.info.lo_flags &= ~(unsigned)LO_FLAGS_DIRECT_IO; /* tmpfs has none */
        } else if (errno != EBUSY) {
            pal_fail(e, PAL_DEV_SOURCE, "%s on %s: %s", disk->source, path, strerror(errno));
            break;
        }
    }
    if (loop < 0)
        pal_fail(e, PAL_DEV_SOURCE, "no loop device could be had for %s", disk->source);
    close(control);
    return loop;
}

int pal_host_open_source(const struct pal_disk *disk, struct pal_error *e)
{
    int flags = (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    int fd, only_read = 0;
    struct stat st;

    /* For a block device O_EXCL means: not while it is mounted, or part of something. */
    if (disk->is_block && !disk->read_only)
        flags |= O_EXCL;
    fd = open(disk->source, flags | O_NONBLOCK);
    if (fd < 0 && errno == EBUSY) {
        pal_fail(e, PAL_DEV_IN_USE, "domain 0 itself uses %s", disk->source);
        return pal_remedy(e, "unmount it (and what lies on it) in domain 0 first");
    }
    if (fd < 0 || fstat(fd, &st)) {
        only_read = errno == EACCES || errno == EROFS || errno == EPERM;
        pal_fail(e, PAL_DEV_SOURCE, "%s: %s", disk->source, strerror(errno));
        if (only_read && !disk->read_only)
            pal_remedy(e, "%s", SAY_READ_ONLY);
    } else if (disk->is_block != S_ISBLK(st.st_mode) ||
               !(S_ISBLK(st.st_mode) || S_ISREG(st.st_mode))) {
        pal_fail(e, PAL_DEV_SOURCE, "%s is not a %s", disk->source,
                 disk->is_block ? "block device" : "plain file");
    } else if (disk->is_block && !disk->read_only && !ioctl(fd, BLKROGET, &only_read) &&
               only_read) {
        pal_fail(e, PAL_DEV_SOURCE, "%s is a block device that can only be read", disk->source);
        pal_remedy(e, "%s", SAY_READ_ONLY);
    } else if (!disk->is_block && st.st_size < 512) {
        pal_fail(e, PAL_DEV_SOURCE, "%s is shorter than one sector", disk->source);
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

int pal_host_open_disk(int fd, const struct pal_disk *disk, dev_t *device, struct pal_error *e)
{
    struct stat st;

    if (!disk->is_block) {
        int loop = bind_loop(fd, disk, e);

        close(fd);
        fd = loop;
    }
    if (fd < 0)
        return -1;
    if (fstat(fd, &st)) {
        close(fd);
        return pal_fail(e, PAL_DEV_SOURCE, "%s: %s", disk->source, strerror(errno));
    }
    *device = st.st_rdev;
    return fd;
}

bool pal_host_loop_file(dev_t loop, dev_t *device, ino_t *inode, bool *read_only)
{
    struct loop_info64 info;
    char path[32];
    bool good;
    int fd;

    if (major(loop) != LOOP_MAJOR)
        return false;
    snprintf(path, sizeof(path), "/dev/loop%u", minor(loop));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    good = fd >= 0 && !ioctl(fd, LOOP_GET_STATUS64, &info);
    if (fd >= 0)
        close(fd);
    if (good) {
        *device = (dev_t)info.lo_device;
        *inode = (ino_t)info.lo_inode;
        *read_only = info.lo_flags & LO_FLAGS_READ_ONLY;
    }
    return good;
}

struct pal_backing pal_host_backing(dev_t device, bool read_only)
{
    struct pal_backing b = {.is_file = true, .is_read_only = read_only};
    bool ignored;

    if (!pal_host_loop_file(device, &b.device, &b.inode, &ignored)) {
        b.device = device;
        b.inode = 0;
        b.is_file = false;
    }
    return b;
}

int pal_host_make_overlay(const struct pal_disk *disk, struct pal_error *e)
{
    struct pal_disk base = {
        .source = disk->base, .is_block = disk->base_is_block, .read_only = true};
    char why[OVERLAY_WHY];
    struct stat st;
    int fd, rc = 0;

    if (!stat(disk->source, &st))
        return 0;
    fd = pal_host_open_source(&base, e);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st))
        rc = pal_fail(e, PAL_DEV_SOURCE, "%s: %s", disk->base, strerror(errno));
    if (S_ISBLK(st.st_mode))
        st.st_size = lseek(fd, 0, SEEK_END);
    if (!rc && overlay_is(fd)) {
        rc = pal_fail(e, PAL_DEV_SOURCE, "the base %s is an overlay itself", disk->base);
        pal_remedy(e, "make an image of it: `pal disk flatten %s IMAGE`", disk->base);
    }
    if (!rc && overlay_create(disk->source, disk->base, &st, 0, why))
        rc = pal_fail(e, PAL_DEV_SOURCE, "the overlay %s cannot be made: %s", disk->source, why);
    close(fd);
    return rc;
}

unsigned pal_host_addresses(const char *bridge, struct pal_address *list, unsigned room)
{
    struct ifaddrs *all;
    unsigned count = 0;

    if (getifaddrs(&all))
        return 0;
    for (struct ifaddrs *a = all; a && count < room; a = a->ifa_next) {
        struct pal_address *to = &list[count];

        if (!a->ifa_addr || strcmp(a->ifa_name, bridge) ||
            (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6))
            continue;
        memset(to, 0, sizeof(*to));
        to->v6 = a->ifa_addr->sa_family == AF_INET6;
        if (to->v6)
            memcpy(to->bytes, &((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr, 16);
        else
            memcpy(to->bytes, &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr, 4);
        count++;
    }
    freeifaddrs(all);
    return count;
}

int pal_host_check_bridge(const char *bridge, struct pal_error *e)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", bridge);
    if (!access(path, F_OK))
        return 0;
    pal_fail(e, PAL_DEV_SOURCE, "there is no bridge \"%s\"", bridge);
    return pal_remedy(e, "make it: `ip link add %s type bridge && ip link set %s up`", bridge,
                      bridge);
}

static bool set_up(int socket, const char *interface)
{
    /* The host's end: an address that never is the lowest, so that the bridge does not take it. */
    static const uint8_t mac[6] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct ifreq r = {0};

    strncpy(r.ifr_name, interface, IFNAMSIZ - 1);
    r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(r.ifr_hwaddr.sa_data, mac, sizeof(mac));
    if (ioctl(socket, SIOCSIFHWADDR, &r))
        return false;
    if (ioctl(socket, SIOCGIFFLAGS, &r))
        return false;
    r.ifr_flags |= IFF_UP;
    return !ioctl(socket, SIOCSIFFLAGS, &r);
}

int pal_host_join_bridge(const char *interface, const char *bridge, struct pal_error *e)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;
    struct ifreq r = {0};

    if (s < 0)
        return pal_fail(e, PAL_SYS_FAILED, "no socket: %s", strerror(errno));
    strncpy(r.ifr_name, bridge, IFNAMSIZ - 1);
    r.ifr_ifindex = (int)if_nametoindex(interface);
    if (!r.ifr_ifindex || ioctl(s, SIOCBRADDIF, &r) || !set_up(s, interface))
        rc = pal_fail(e, PAL_DEV_SOURCE, "%s cannot join the bridge \"%s\": %s", interface, bridge,
                      strerror(errno));
    close(s);
    return rc;
}
