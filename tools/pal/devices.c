/* SPDX-License-Identifier: MIT */
/* The disks and interfaces that a domain has. */
#include "verb.h"
#include "verbs.h"

#include "libpal/device.h"

static const char *wanted; /* columns */

static const struct argp_option options[] = {
    {"output", 'o', "COLS", 0, "Only these columns (with + before them: these too)", 0}, {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    wanted = value;
    return key == 'o';
}

static json_t *ips_json(const struct pal_nic *n)
{
    json_t *all = json_array();

    for (unsigned i = 0; i < n->ips; i++) {
        char text[PAL_ADDRESS_TEXT];

        pal_address_text(&n->ip[i], text);
        json_array_append_new(all, json_string(text));
    }
    return all;
}

static json_t *device_json(const struct pal_device *d)
{
    char name[16], mac[PAL_MAC_TEXT];
    json_t *o;

    pal_device_name(d, name);
    o = json_pack("{s:s, s:s}", "device", name, "state", pal_device_state(d));
    if (d->kind == PAL_DEVICE_DISK) {
        json_object_set_new(o, "kind", json_string("disk"));
        json_object_set_new(o, "source", json_string(d->disk.source ? d->disk.source : ""));
        json_object_set_new(o, "block", json_boolean(d->disk.is_block));
        json_object_set_new(o, "read_only", json_boolean(d->disk.read_only));
        json_object_set_new(o, "driver",
                            json_string(d->disk.backend == PAL_BACKEND_PAL ? "pal" : "phy"));
        if (d->disk.backend == PAL_BACKEND_PAL)
            json_object_set_new(o, "cache", json_string(pal_cache_name(d->disk.cache)));
        if (d->disk.base)
            json_object_set_new(o, "base", json_string(d->disk.base));
    } else {
        pal_mac_text(d->nic.mac, mac);
        json_object_set_new(o, "kind", json_string("interface"));
        json_object_set_new(o, "bridge", json_string(d->nic.bridge));
        json_object_set_new(o, "mac", json_string(mac));
        json_object_set_new(o, "ip", ips_json(&d->nic));
        json_object_set_new(o, "guarded", json_boolean(!d->nic.trusted));
        json_object_set_new(o, "rate_kib", json_integer((json_int_t)d->nic.rate_kib));
    }
    return o;
}

/* What distinguishes it, in one cell. */
static void describe(const struct pal_device *d, char *text, size_t room)
{
    size_t used;

    if (d->kind == PAL_DEVICE_DISK) {
        snprintf(text, room, "%s%s%s", d->disk.read_only ? "read-only" : "read-write",
                 d->disk.base ? " over " : "", d->disk.base ? d->disk.base : "");
        return;
    }
    pal_mac_text(d->nic.mac, text);
    used = PAL_MAC_TEXT - 1;
    for (unsigned i = 0; i < d->nic.ips; i++) {
        char one[PAL_ADDRESS_TEXT];

        pal_address_text(&d->nic.ip[i], one);
        used += (size_t)snprintf(text + used, room - used, " %s", one);
    }
    if (d->nic.rate_kib)
        used += (size_t)snprintf(text + used, room - used, " %llu KiB/s",
                                 (unsigned long long)d->nic.rate_kib);
    if (d->nic.trusted)
        snprintf(text + used, room - used, " not guarded");
}

static int print_table(const struct pal_device *list, int count, struct pal_error *e)
{
    static const struct pal_column columns[] = {{"DEVICE", false, false},
                                                {"STATE", false, false},
                                                {"SOURCE", false, false},
                                                {"DETAILS", false, false}};
    struct pal_table *t = pal_table_new(columns, 4, wanted, e);

    if (!t)
        return -1;
    for (int i = 0; i < count; i++) {
        char name[16], text[PAL_NIC_IPS_MAX * PAL_ADDRESS_TEXT + 80];
        const char *source =
            list[i].kind == PAL_DEVICE_NIC ? list[i].nic.bridge : list[i].disk.source;

        pal_device_name(&list[i], name);
        describe(&list[i], text, sizeof(text));
        pal_table_row(
            t, (const char *[]){name, pal_device_state(&list[i]), source ? source : "", text});
    }
    pal_table_print(t);
    return 0;
}

static int run(struct call *c)
{
    struct pal_device *list = NULL;
    struct pal_domain d;
    int count = -1, rc = 0;
    struct pal p;

    pal_failed_to(&c->error, "cannot show the devices of \"%s\"", c->argument[0]);
    if (pal_open(&p, &c->error))
        return 1;
    if (!pal_domain_find_guest(&p, c->argument[0], &d, &c->error))
        count = pal_devices_list(&p, d.id, &list, &c->error);
    if (count >= 0 && c->json) {
        json_t *answer = pal_json_answer("devices"), *all = json_array();

        for (int i = 0; i < count; i++)
            json_array_append_new(all, device_json(&list[i]));
        json_object_set_new(answer, "name", json_string(d.name));
        json_object_set_new(answer, "devices", all);
        pal_json_print(answer);
    } else if (count >= 0) {
        rc = print_table(list, count, &c->error);
    }
    pal_devices_free(list, count);
    pal_close(&p);
    return count < 0 ? -1 : rc;
}

const struct verb verb_devices = {
    .name = "devices",
    .summary = "Show the disks and interfaces of a domain",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run,
};
