/* SPDX-License-Identifier: MIT */
/*
 * A domain as its file describes it: a subset of libvirt's domain XML (pal.xml(5), schema.rng), so
 * that the same file is good for libvirt. What only we have stands in <metadata> under our own
 * namespace.
 */
#ifndef LIBPAL_CONFIG_H
#define LIBPAL_CONFIG_H

#include "libpal/address.h"
#include "libpal/error.h"

#include <stddef.h>
#include <stdint.h>

#define PAL_NAMESPACE   "urn:palimpsest:domain:1"
#define PAL_DISKS_MAX   16
#define PAL_NICS_MAX    8
#define PAL_NIC_IPS_MAX 8
#define PAL_REGIONS_MAX 16
#define PAL_VCPUS_MAX   64
#define PAL_NAME_MAX    63
#define PAL_CMDLINE_MAX 1023

/* What happens when the domain has ended in some way. */
enum pal_action { PAL_ACTION_DESTROY, PAL_ACTION_RESTART, PAL_ACTION_PRESERVE };

/* Who serves a disk: the kernel's own backend, or pal-blkd. */
enum pal_disk_backend { PAL_BACKEND_KERNEL, PAL_BACKEND_PAL };
/* Of disks that pal-blkd serves. */
enum pal_disk_cache {
    PAL_CACHE_WRITEBACK,    /* reads by the buffer cache; written when the guest flushes */
    PAL_CACHE_WRITETHROUGH, /* the same, and each write is durable when it is answered */
    PAL_CACHE_NONE,         /* reads do not go by the buffer cache */
};

struct pal_disk {
    char *source; /* path of a raw file, of a block device, or of an overlay */
    bool is_block;
    bool read_only;
    enum pal_disk_backend backend;
    enum pal_disk_cache cache;
    char *base; /* of an overlay: what it lies over; NULL: it is none */
    bool base_is_block;
    char target[16]; /* xvda ... */
};

struct pal_nic {
    unsigned number; /* the guest's: vif0 ... */
    char bridge[16];
    uint8_t mac[6];
    uint64_t rate_kib; /* KiB a second out of the guest; 0: no limit */
    bool trusted;      /* no guard against forged addresses */
    unsigned ips;      /* its own addresses; none: any that is nobody else's */
    struct pal_address ip[PAL_NIC_IPS_MAX];
};

struct pal_config_region {
    char name[32];
    bool write;
    uint64_t size_kib; /* to be made with, if it is not there; 0: it must be there */
};

struct pal_config {
    char *name;
    uint8_t uuid[16];
    uint64_t max_kib;    /* <memory>: the most it may have */
    uint64_t memory_kib; /* <currentMemory>: what it starts with */
    unsigned vcpus;
    char *kernel, *initrd, *cmdline; /* initrd may be NULL */
    enum pal_action on_poweroff, on_reboot, on_crash;
    uint64_t min_kib;          /* <pal:minimum>: others may make it shrink so far; 0: nobody may */
    unsigned shares;           /* <pal:shares>: of memory, against other domains' */
    unsigned weight, cap;      /* 0: the hypervisor's own */
    bool cache_off;            /* <pal:cache>: no part in the buffer cache, */
    uint64_t cache_kib;        /* or so much on its behalf at most; 0: no limit */
    unsigned region_quota;     /* <pal:regions>: so many regions it may make itself, */
    uint64_t region_quota_kib; /* of so much memory together */
    unsigned regions;          /* <pal:region>: that it uses */
    struct pal_config_region region[PAL_REGIONS_MAX];
    unsigned disks, nics;
    struct pal_disk disk[PAL_DISKS_MAX];
    struct pal_nic nic[PAL_NICS_MAX];
    char *xml; /* the whole text; a UUID and MACs that it left out are in it now */
    size_t xml_size;
};

/* Read, validate and check a file; what it leaves out gets its default (a missing <uuid> and MAC
 * are made up). On failure the config holds nothing. */
int pal_config_read(struct pal_config *c, const char *path, struct pal_error *e);
/* The same from text in memory; `name` stands for the file in messages. */
int pal_config_parse(struct pal_config *c, const char *name, const char *text, size_t size,
                     struct pal_error *e);
void pal_config_free(struct pal_config *c);

/* The same description with one more device (the last of its kind then), or with one less: of that
 * target, of that MAC. The text is changed likewise. On failure *changed holds nothing. */
int pal_config_add_disk(const struct pal_config *c, const struct pal_disk *disk,
                        struct pal_config *changed, struct pal_error *e);
int pal_config_add_nic(const struct pal_config *c, const struct pal_nic *nic,
                       struct pal_config *changed, struct pal_error *e);
int pal_config_drop_disk(const struct pal_config *c, const char *target, struct pal_config *changed,
                         struct pal_error *e);
int pal_config_drop_nic(const struct pal_config *c, const uint8_t mac[6],
                        struct pal_config *changed, struct pal_error *e);

/* The same description with a region that it uses ("rw", "ro"), or without it (NULL). */
int pal_config_set_region(const struct pal_config *c, const char *name, const char *access,
                          struct pal_config *changed, struct pal_error *e);

/* The text says the name and the UUID that c was given since it was read. */
int pal_config_settle(struct pal_config *c, struct pal_error *e);

const char *pal_action_name(enum pal_action action);
/* "writeback", "writethrough", "none". */
const char *pal_cache_name(enum pal_disk_cache cache);
/* Who serves a disk of which nothing is said. */
enum pal_disk_backend pal_disk_usual_backend(const struct pal_disk *disk);
/* What one holds. */
void pal_disk_free(struct pal_disk *disk);
/* "xvda" -> its number on the xenbus; 0 when it is no such name. */
unsigned pal_disk_number(const char *target);
/* Can a guest not have both? The same one, or a whole disk and a part of it. */
bool pal_disk_collides(const char *target, const char *other);
/* 36 characters and a terminator. */
void pal_uuid_text(const uint8_t uuid[16], char text[37]);
/* A name that may be given to a domain: letters, digits, "._-+:", not only digits. */
bool pal_name_is_good(const char *name);

/* The RELAX NG schema. */
extern const char pal_schema[], pal_schema_end[];

#endif
