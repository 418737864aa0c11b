/* SPDX-License-Identifier: MIT */
/* What attach and detach share: the domain, its record, the answer. */
#ifndef PAL_PLUG_H
#define PAL_PLUG_H

#include "libpal/device.h"
#include "verb.h"

#define PLUG_SECONDS   30
#define PLUG_KEY_UNTIL 0x280

struct plug_options {
    unsigned long timeout; /* seconds */
    bool until_reboot;
};

#define PLUG_OPTIONS                                                                               \
    {"timeout", 't', "SECONDS", 0, "Wait so long for the guest (30)", 5},                          \
    {                                                                                              \
        "until-reboot", PLUG_KEY_UNTIL, NULL, 0, "Only until the domain reboots", 5                \
    }
bool plug_option(struct call *c, int key, const char *value, struct plug_options *o);

/* How long to wait for this domain: not at all while it is paused. */
unsigned plug_seconds(const struct pal_domain *d, const struct plug_options *o);

/* Change the devices of the domain: *changed becomes its description, *device says which one it
 * was. On failure neither holds anything. */
typedef int (*plug_change)(struct call *c, struct pal *p, struct pal_domain *d,
                           const struct pal_config *old, struct pal_config *changed,
                           struct pal_device *device);
/* Find the domain of the first word, change it, keep the change in its record, tell. */
int plug_run(struct call *c, plug_change change, const struct plug_options *o);

#endif
