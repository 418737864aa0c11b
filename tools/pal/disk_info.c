/* SPDX-License-Identifier: MIT */
/* pal disk info: what an image is, and who uses it. */
#include "disk.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libpal/device.h"

static const char *const states[] = {
    [BASE_FITS] = "as it was", [BASE_CHANGED] = "changed", [BASE_MISSING] = "missing"};

static void add_user(const struct pal_device *d, const char *domain, bool read_only, void *data)
{
    json_array_append_new(data,
                          json_pack("{s:s, s:i, s:s, s:b}", "name", domain, "id", (int)d->domain,
                                    "device", d->disk.target, "read_only", (int)read_only));
}

/* Domains that have it, or something over it. */
static json_t *users(const struct image *i)
{
    struct pal_error ignored = {0};
    json_t *list = json_array();
    struct pal p;

    if (!pal_open(&p, &ignored)) {
        pal_disk_users(&p, i->fd, add_user, list);
        pal_close(&p);
    }
    return list;
}

static void hex(char *text, const uint8_t id[16])
{
    for (unsigned n = 0; n < 16; n++)
        sprintf(text + 2 * n, "%02x", id[n]);
}

static void overlay_json(json_t *o, const struct image *i, enum base_state state)
{
    char id[33];

    hex(id, i->o.id);
    json_object_set_new(o, "id", json_string(id));
    json_object_set_new(o, "version", json_integer(i->o.version));
    json_object_set_new(o, "own_bytes",
                        json_integer((json_int_t)overlay_used(&i->o) * OVERLAY_CLUSTER));
    json_object_set_new(o, "unflushed_bytes",
                        json_integer((json_int_t)i->o.unflushed * OVERLAY_CLUSTER));
    json_object_set_new(o, "base",
                        json_pack("{s:s, s:I, s:I, s:s}", "path", i->o.base, "bytes",
                                  (json_int_t)i->o.base_size, "changed_seconds",
                                  (json_int_t)i->o.base_seconds, "state", states[state]));
}

static void print_json(const struct image *i, enum base_state state)
{
    json_t *answer = pal_json_answer("disk"), *o;

    o = json_pack("{s:s, s:s, s:I, s:I, s:b}", "path", i->path, "format",
                  i->is_overlay ? "overlay" : "raw", "virtual_bytes",
                  (json_int_t)(i->is_overlay ? i->o.size : (uint64_t)i->st.st_size), "disk_bytes",
                  (json_int_t)i->st.st_blocks * 512, "locked", (int)i->in_use);
    if (i->is_overlay)
        overlay_json(o, i, state);
    json_object_set_new(o, "users", users(i));
    json_object_set_new(answer, "disk", o);
    pal_json_print(answer);
}

static void overlay_text(const struct image *i, enum base_state state)
{
    char own[BYTES_TEXT], unflushed[BYTES_TEXT], base[BYTES_TEXT], when[40], id[33];
    time_t changed = (time_t)i->o.base_seconds;
    struct tm t;

    image_bytes(own, overlay_used(&i->o) * OVERLAY_CLUSTER);
    image_bytes(unflushed, i->o.unflushed * OVERLAY_CLUSTER);
    image_bytes(base, i->o.base_size);
    hex(id, i->o.id);
    if (!localtime_r(&changed, &t) || !strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &t))
        snprintf(when, sizeof(when), "%" PRId64, i->o.base_seconds);
    printf("  own data  %s", own);
    if (i->o.unflushed)
        printf(", of which %s are not flushed%s", unflushed,
               i->in_use ? "" : ": pal-blkd was killed, the next use goes on from there");
    printf("\n  base      %s (%s, changed %s): %s\n  id        %s\n", i->o.base, base, when,
           states[state], id);
}

static void print_text(const struct image *i, enum base_state state)
{
    char size[BYTES_TEXT], disk[BYTES_TEXT];
    json_t *list = users(i), *user;
    size_t n;

    image_bytes(size, i->is_overlay ? i->o.size : (uint64_t)i->st.st_size);
    image_bytes(disk, (uint64_t)i->st.st_blocks * 512);
    printf("%s: %s, %s\n", i->path, i->is_overlay ? "overlay" : "raw image", size);
    if (S_ISREG(i->st.st_mode))
        printf("  on disk   %s\n", disk);
    if (i->is_overlay)
        overlay_text(i, state);
    json_array_foreach(list, n, user)
    {
        printf("  used by   %s (%s%s)\n", json_string_value(json_object_get(user, "name")),
               json_string_value(json_object_get(user, "device")),
               json_is_true(json_object_get(user, "read_only")) ? ", only read" : "");
    }
    if (i->in_use && !json_array_size(list))
        puts("  locked");
    json_decref(list);
}

int disk_info(struct call *c, struct pal *p)
{
    enum base_state state = BASE_FITS;
    struct image i;
    struct stat st;
    int base = -1;

    (void)p;
    pal_failed_to(&c->error, "cannot look into %s", c->argument[1]);
    if (image_open(&i, c->argument[1], IMAGE_LOOK, &c->error))
        return -1;
    if (i.is_overlay)
        state = image_base(&i, NULL, &base, &st);
    if (base >= 0)
        close(base);
    if (c->json)
        print_json(&i, state);
    else
        print_text(&i, state);
    image_close(&i);
    return 0;
}
