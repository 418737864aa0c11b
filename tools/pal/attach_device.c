/* SPDX-License-Identifier: MIT */
/* Gives a running domain one more disk or interface. */
#include "verb.h"
#include "verbs.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libpal/device.h"
#include "libpal/interrupt.h"
#include "plug.h"

#define KEY_MAC   0x200
#define KEY_IP    0x201
#define KEY_RATE  0x202
#define KEY_TRUST 0x203
#define KEY_BASE  0x204
#define RATE_MOST 16777216

static struct {
    bool read_only, nic_options;
    const char *base;
    struct pal_nic nic;
    struct plug_options common;
} wanted = {.common = {.timeout = PLUG_SECONDS}};

static const struct argp_option options[] = {
    {"read-only", 'r', NULL, 0, "disk: the domain may only read it", 0},
    {"base", KEY_BASE, "IMAGE", 0,
     "disk: the source is an overlay over this image, made if it is not there", 0},
    {"mac", KEY_MAC, "ADDRESS", 0, "interface: its MAC (otherwise one is made up)", 0},
    {"ip", KEY_IP, "ADDRESS", 0,
     "interface: an address of the domain's; with any (up to 8), it can send from these only", 0},
    {"rate", KEY_RATE, "KIB", 0, "interface: it may send so many KiB a second", 0},
    {"trust", KEY_TRUST, NULL, 0, "interface: do not guard against forged addresses", 0},
    PLUG_OPTIONS,
    {0}};

static bool nic_option(struct call *c, int key, const char *value)
{
    struct pal_nic *n = &wanted.nic;
    unsigned long rate;

    wanted.nic_options = true;
    switch (key) {
    case KEY_MAC:
        return pal_mac_parse(value, n->mac);
    case KEY_IP:
        return n->ips < PAL_NIC_IPS_MAX && pal_address_parse(value, &n->ip[n->ips]) && ++n->ips;
    case KEY_RATE:
        if (!verb_number(c, value, RATE_MOST, &rate) || !rate)
            return false;
        n->rate_kib = rate;
        return true;
    default:
        return n->trusted = true;
    }
}

static bool option(struct call *c, int key, const char *value)
{
    if (key == 'r')
        return wanted.read_only = true;
    if (key == KEY_BASE)
        return (wanted.base = value);
    if (key >= KEY_MAC && key <= KEY_TRUST)
        return nic_option(c, key, value);
    return plug_option(c, key, value, &wanted.common);
}

/* ---- the two kinds ---- */

/* The whole path, and whether a block device is there. One that is to be made need not be there. */
static int look_at_source(struct call *c, const char *word, bool to_make, char **path,
                          bool *is_block)
{
    char directory[PATH_MAX];
    struct stat st = {0};

    *path = realpath(word, NULL);
    if (!*path && to_make && errno == ENOENT) {
        if (word[0] == '/')
            *path = strdup(word);
        else if (getcwd(directory, sizeof(directory)) &&
                 asprintf(path, "%s/%s", directory, word) < 0)
            *path = NULL;
    } else if (*path && stat(*path, &st)) {
        free(*path);
        *path = NULL;
    }
    *is_block = S_ISBLK(st.st_mode);
    if (*path)
        return 0;
    pal_fail(&c->error, PAL_DEV_SOURCE, "%s: %s", word, strerror(errno));
    return pal_remedy(&c->error, "give the path of a raw image, or of a block device");
}

static int attach_disk(struct call *c, struct pal *p, const struct pal_domain *d,
                       const struct pal_config *old, struct pal_config *changed,
                       struct pal_device *device)
{
    struct pal_disk disk = {.read_only = wanted.read_only};
    int rc;

    snprintf(disk.target, sizeof(disk.target), "%s", c->argument[3]);
    if ((wanted.base && look_at_source(c, wanted.base, false, &disk.base, &disk.base_is_block)) ||
        look_at_source(c, c->argument[2], wanted.base, &disk.source, &disk.is_block)) {
        pal_disk_free(&disk);
        return -1;
    }
    disk.backend = pal_disk_usual_backend(&disk);
    rc = pal_disk_plug(p, d->id, &disk, plug_seconds(d, &wanted.common), device, &c->error);
    if (!rc && !wanted.common.until_reboot && pal_config_add_disk(old, &disk, changed, &c->error)) {
        pal_device_unplug(p, device, 0, true, &c->error);
        rc = -1;
    }
    pal_disk_free(&disk);
    device->disk.source = device->disk.base = NULL;
    return rc;
}

static int attach_nic(struct call *c, struct pal *p, const struct pal_domain *d,
                      const struct pal_config *old, struct pal_config *changed,
                      struct pal_device *device)
{
    struct pal_nic *nic = &wanted.nic;
    struct pal_error unused = {0};
    unsigned avoid = 0;

    snprintf(nic->bridge, sizeof(nic->bridge), "%s", c->argument[2]);
    if (!memcmp(nic->mac, (uint8_t[6]){0}, sizeof(nic->mac)))
        pal_mac_make(nic->mac);
    /* What comes again with a reboot keeps its number. */
    for (unsigned i = 0; i < old->nics; i++)
        avoid |= 1u << old->nic[i].number;
    if (pal_nic_plug(p, d->id, nic, avoid, plug_seconds(d, &wanted.common), device, &c->error))
        return -1;
    nic->number = device->number;
    if (wanted.common.until_reboot || !pal_config_add_nic(old, nic, changed, &c->error))
        return 0;
    pal_device_unplug(p, device, 0, true, &unused);
    return -1;
}

static int refuse(struct call *c, const char *why)
{
    pal_fail(&c->error, PAL_USE_ARGUMENTS, "%s", why);
    return pal_remedy(&c->error, "see `pal attach --help`");
}

static int check_words(struct call *c)
{
    const char *kind = c->argument[1];

    if (!strcmp(kind, "disk")) {
        if (c->arguments != 4)
            return refuse(c, "a disk needs a source and a target: web disk /srv/more.img xvdb");
        if (!pal_disk_number(c->argument[3]))
            return refuse(c, "the target is not like xvdb (xvda to xvdz, or a part: xvdb1)");
        return wanted.nic_options ? refuse(c, "these options are for interfaces") : 0;
    }
    if (strcmp(kind, "interface"))
        return refuse(c, "there are two kinds: disk and interface");
    if (c->arguments != 3)
        return refuse(c, "an interface needs a bridge: web interface palbr0");
    if (!*c->argument[2] || strlen(c->argument[2]) > 15 || strpbrk(c->argument[2], "/ \t\n"))
        return refuse(c, "this is not the name of a bridge");
    return wanted.read_only || wanted.base ? refuse(c, "these options are for disks") : 0;
}

static int change(struct call *c, struct pal *p, struct pal_domain *d, const struct pal_config *old,
                  struct pal_config *changed, struct pal_device *device)
{
    return c->argument[1][0] == 'd' ? attach_disk(c, p, d, old, changed, device)
                                    : attach_nic(c, p, d, old, changed, device);
}

static int run(struct call *c)
{
    pal_failed_to(&c->error, "cannot attach the %s to \"%s\"", c->argument[1], c->argument[0]);
    if (check_words(c))
        return 1;
    return plug_run(c, change, &wanted.common);
}

const struct verb verb_attach = {
    .name = "attach",
    .summary = "Give a running domain a disk or an interface",
    .arguments = "NAME disk SOURCE TARGET | NAME interface BRIDGE",
    .details = "The domain keeps it when it reboots, but its file is not changed: what is created "
               "from the file again begins as the file says.",
    .least = 3,
    .most = 4,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run,
};
