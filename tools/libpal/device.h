/* SPDX-License-Identifier: MIT */
/*
 * Virtual disks and network interfaces: the nodes that the stock backends (blkback, netback) and
 * the guest's drivers look for, and what domain 0 has to do for them: loop devices for disks that
 * are files, bridge ports and guards for interfaces.
 *
 * What a domain has is told by domain 0's half of each device in the store, which the domain can
 * read but not write. Its own half is written for it and removed, and never read.
 */
#ifndef LIBPAL_DEVICE_H
#define LIBPAL_DEVICE_H

#include "libpal/domain.h"

#include <sys/types.h>

enum pal_device_kind { PAL_DEVICE_DISK, PAL_DEVICE_NIC };

/* What is behind a path: a file, by device and inode, or a block device. One that is a loop device is
 * its file. */
struct pal_backing {
    dev_t device;
    ino_t inode;
    bool is_file;
    bool is_read_only;
};
#define PAL_BACKINGS_MAX 2 /* an overlay and its base */

/* One that a domain has. */
struct pal_device {
    uint32_t domain;
    enum pal_device_kind kind;
    unsigned number;   /* on the xenbus */
    unsigned state;    /* of the backend: an enum xenbus_state */
    unsigned backings; /* of a disk */
    struct pal_backing backing[PAL_BACKINGS_MAX];
    struct pal_disk disk; /* as kind says: */
    struct pal_nic nic;
};

/* Before the domain runs: set up everything that its description lists. */
int pal_devices_attach(struct pal *p, uint32_t id, const struct pal_config *c, struct pal_error *e);
/* After its end (or a failed start): give back what was set up. */
void pal_devices_release(struct pal *p, uint32_t id);

/* Those of a domain; *list is for pal_devices_free(). Returns how many. */
int pal_devices_list(struct pal *p, uint32_t id, struct pal_device **list, struct pal_error *e);
void pal_devices_free(struct pal_device *list, int count);
/* What users call it: "xvdb", "vif0". */
void pal_device_name(const struct pal_device *d, char name[16]);
/* "connected", "waiting" (for the guest's driver), "closing", "closed". */
const char *pal_device_state(const struct pal_device *d);

/* Give a domain that runs one more, and wait until its driver has taken it up, `seconds` at most
 * (0: do not wait). On failure nothing is left of it. *d says what it became. An interface gets the
 * lowest free number whose bit in `avoid` is not set. */
int pal_disk_plug(struct pal *p, uint32_t id, const struct pal_disk *disk, unsigned seconds,
                  struct pal_device *d, struct pal_error *e);
int pal_nic_plug(struct pal *p, uint32_t id, const struct pal_nic *nic, unsigned avoid,
                 unsigned seconds, struct pal_device *d, struct pal_error *e);
/* Take one away: by asking the guest, which gets `seconds` to let go, or by force, which needs no
 * guest. When it has not let go the request stands. Nothing is left of what is taken away. */
int pal_device_unplug(struct pal *p, const struct pal_device *d, unsigned seconds, bool force,
                      struct pal_error *e);

/* May somebody read the file or block device that is open, or write to it, beside domains that have it as a disk (or its base), and
 * beside loop devices of domain 0? p: NULL where there are no domains. PAL_DEV_IN_USE: no, and who uses it. */
int pal_disk_is_free(struct pal *p, const char *path, int fd, bool read_only, struct pal_error *e);
/* Visit each disk of a living domain that stands on it. */
void pal_disk_users(struct pal *p, int fd,
                    void (*visit)(const struct pal_device *d, const char *domain, bool read_only,
                                  void *data),
                    void *data);

/* Set up again the guards of all interfaces: whoever flushed the host's rules took them away. */
int pal_devices_guard(struct pal *p, struct pal_error *e);

#endif
