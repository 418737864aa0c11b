/* SPDX-License-Identifier: MIT */
/* Takes a disk or an interface away from a running domain. */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

#include "libpal/device.h"
#include "plug.h"

static struct {
    bool force;
    struct plug_options common;
} wanted = {.common = {.timeout = PLUG_SECONDS}};

static const struct argp_option options[] = {
    {"force", 'f', NULL, 0, "Do not ask the guest: take it away at once, as if a cable were pulled",
     0},
    PLUG_OPTIONS,
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    if (key == 'f')
        return wanted.force = true;
    return plug_option(c, key, value, &wanted.common);
}

/* "xvdb", "vif0", or an interface's MAC. */
static bool is_called(const struct pal_device *d, const char *word)
{
    char name[16];
    uint8_t mac[6];

    pal_device_name(d, name);
    return !strcmp(name, word) || (d->kind == PAL_DEVICE_NIC && pal_mac_parse(word, mac) &&
                                   !memcmp(mac, d->nic.mac, sizeof(mac)));
}

static int change(struct call *c, struct pal *p, struct pal_domain *d, const struct pal_config *old,
                  struct pal_config *changed, struct pal_device *device)
{
    struct pal_device *list;
    int count = pal_devices_list(p, d->id, &list, &c->error), found = -1, rc = -1;

    for (int i = 0; i < count && found < 0; i++)
        found = is_called(&list[i], c->argument[1]) ? i : -1;
    if (found >= 0) {
        if (d->info.flags & XEN_DOMINF_paused && !wanted.force &&
            !strcmp(pal_device_state(&list[found]), "connected")) {
            pal_fail(&c->error, PAL_DOM_STATE, "it is paused, so it cannot let go");
            pal_remedy(&c->error, "let it go on first: `pal unpause %s`, or use --force", d->name);
        } else {
            rc = pal_device_unplug(p, &list[found], wanted.common.timeout, wanted.force, &c->error);
        }
        *device = list[found];
        device->disk.source = NULL;
        if (!rc)
            rc = device->kind == PAL_DEVICE_DISK
                     ? pal_config_drop_disk(old, device->disk.target, changed, &c->error)
                     : pal_config_drop_nic(old, device->nic.mac, changed, &c->error);
        device->state = 0;
    } else if (count >= 0) {
        pal_fail(&c->error, PAL_DEV_UNKNOWN, "it has no device \"%s\"", c->argument[1]);
    }
    pal_devices_free(list, count);
    return rc;
}

static int run(struct call *c)
{
    pal_failed_to(&c->error, "cannot detach %s from \"%s\"", c->argument[1], c->argument[0]);
    return plug_run(c, change, &wanted.common);
}

const struct verb verb_detach = {
    .name = "detach",
    .summary = "Take a disk or an interface away from a running domain",
    .arguments = "NAME DEVICE",
    .details = "DEVICE is as `pal devices NAME` shows it: xvdb, vif0, or an interface's MAC.",
    .least = 2,
    .most = 2,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run,
};
