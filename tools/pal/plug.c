/* SPDX-License-Identifier: MIT */
#include "plug.h"

#include <string.h>

#include "libpal/interrupt.h"
#include "libpal/record.h"

bool plug_option(struct call *c, int key, const char *value, struct plug_options *o)
{
    if (key == 't')
        return verb_number(c, value, 100000, &o->timeout) && o->timeout;
    if (key == PLUG_KEY_UNTIL)
        return o->until_reboot = true;
    return false;
}

unsigned plug_seconds(const struct pal_domain *d, const struct plug_options *o)
{
    return d->info.flags & XEN_DOMINF_paused ? 0 : (unsigned)o->timeout;
}

static void tell(struct call *c, const struct pal_domain *d, const struct pal_device *device)
{
    char name[16], mac[PAL_MAC_TEXT];
    json_t *answer;

    pal_device_name(device, name);
    pal_mac_text(device->nic.mac, mac);
    if (!c->json) {
        printf("%s: %s %sed\n", d->name, name, c->verb->name);
        return;
    }
    answer = pal_json_answer(c->verb->name);
    json_object_set_new(answer, "name", json_string(d->name));
    json_object_set_new(answer, "id", json_integer(d->id));
    json_object_set_new(answer, "device", json_string(name));
    if (device->kind == PAL_DEVICE_NIC)
        json_object_set_new(answer, "mac", json_string(mac));
    if (device->state)
        json_object_set_new(answer, "state", json_string(pal_device_state(device)));
    pal_json_print(answer);
}

/* With the domain's lock held. */
static int change_locked(struct call *c, struct pal *p, struct pal_domain *d, plug_change change,
                         const struct plug_options *o)
{
    struct pal_config old, changed = {0};
    struct pal_error gone = {0};
    struct pal_device device;
    int rc;

    if (pal_record_read(d->id, &old, &gone)) {
        pal_fail(&c->error, PAL_DOM_STATE, "it was not created by pal");
        return pal_remedy(&c->error, "use the tool that created it");
    }
    rc = change(c, p, d, &old, &changed, &device);
    if (!rc) {
        if (!o->until_reboot)
            rc = pal_record_write(d->id, &changed, &c->error);
        pal_config_free(&changed);
    }
    pal_config_free(&old);
    if (!rc)
        tell(c, d, &device);
    return rc;
}

/* Whoever ended the domain meanwhile did not see what was just set up. */
static void clear_after_end(struct pal *p, const struct pal_domain *d)
{
    struct xen_domctl_getdomaininfo now;
    struct pal_error none = {0};

    if (pal_domain_info(&p->hv, d->id, &now, &none) && none.code == PAL_DOM_UNKNOWN) {
        pal_devices_release(p, d->id);
        pal_record_remove(d->id);
    }
}

static int run(struct call *c, struct pal *p, plug_change change, const struct plug_options *o)
{
    struct pal_domain d;
    char name[16];
    int lock, rc;

    if (pal_domain_find_guest(p, c->argument[0], &d, &c->error))
        return -1;
    if (pal_domain_has_ended(&d.info))
        return pal_fail(&c->error, PAL_DOM_STATE, "it has ended (%s)", pal_domain_reason(&d.info));
    snprintf(name, sizeof(name), "%u", d.id);
    lock = pal_record_lock(name, &c->error);
    if (lock < 0)
        return -1;
    pal_interrupt_catch();
    rc = change_locked(c, p, &d, change, o);
    pal_interrupt_release();
    clear_after_end(p, &d);
    pal_record_unlock(lock);
    return rc;
}

int plug_run(struct call *c, plug_change change, const struct plug_options *o)
{
    struct pal p;
    int rc;

    if (pal_open(&p, &c->error))
        return -1;
    rc = run(c, &p, change, o);
    pal_close(&p);
    return rc;
}
