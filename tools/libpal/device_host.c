/* SPDX-License-Identifier: MIT */
#include "libpal/device_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOP_TRIES 64 /* somebody else may take a free one before us */

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

int pal_host_open_disk(const struct pal_disk *disk, dev_t *device, struct pal_error *e)
{
    int flags = (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    int fd = open(disk->source, flags), loop;
    struct stat st;

    if (fd < 0 || fstat(fd, &st)) {
        pal_fail(e, PAL_DEV_SOURCE, "%s: %s", disk->source, strerror(errno));
        goto fail;
    }
    if (disk->is_block != S_ISBLK(st.st_mode) || !(S_ISBLK(st.st_mode) || S_ISREG(st.st_mode))) {
        pal_fail(e, PAL_DEV_SOURCE, "%s is not a %s", disk->source,
                 disk->is_block ? "block device" : "plain file");
        goto fail;
    }
    if (!disk->is_block) {
        loop = bind_loop(fd, disk, e);
        close(fd);
        fd = loop;
        if (fd < 0 || fstat(fd, &st))
            goto fail;
    }
    *device = st.st_rdev;
    return fd;
fail:
    if (fd >= 0)
        close(fd);
    return -1;
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
