/* SPDX-License-Identifier: MIT */
/* The parts of a domain's description that are not XML. */
#include "libpal/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MOST (1u << 20)

void pal_config_free(struct pal_config *c)
{
    for (unsigned i = 0; i < c->disks; i++)
        pal_disk_free(&c->disk[i]);
    free(c->name);
    free(c->kernel);
    free(c->initrd);
    free(c->cmdline);
    free(c->xml);
    memset(c, 0, sizeof(*c));
}

int pal_config_read(struct pal_config *c, const char *path, struct pal_error *e)
{
    char *text = malloc(FILE_MOST + 1);
    FILE *file = NULL;
    size_t size;
    int rc = -1;

    memset(c, 0, sizeof(*c));
    if (!text)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    file = fopen(path, "r");
    if (!file) {
        pal_fail(e, PAL_XML_FILE, "%s: %s", path, strerror(errno));
        goto out;
    }
    size = fread(text, 1, FILE_MOST + 1, file);
    if (ferror(file))
        pal_fail(e, PAL_XML_FILE, "%s: %s", path, strerror(errno));
    else if (size > FILE_MOST)
        pal_fail(e, PAL_XML_FILE, "%s: larger than 1 MiB", path);
    else
        rc = pal_config_parse(c, path, text, size, e);
    fclose(file);
out:
    free(text);
    return rc;
}

const char *pal_action_name(enum pal_action action)
{
    static const char *const names[] = {"destroy", "restart", "preserve"};

    return names[action];
}

const char *pal_cache_name(enum pal_disk_cache cache)
{
    static const char *const names[] = {"writeback", "writethrough", "none"};

    return names[cache];
}

/* Files that many may read, and overlays over them. A block device cannot be cached: nobody tells when it changes. */
enum pal_disk_backend pal_disk_usual_backend(const struct pal_disk *disk)
{
    return disk->base || (disk->read_only && !disk->is_block) ? PAL_BACKEND_PAL
                                                              : PAL_BACKEND_KERNEL;
}

void pal_disk_free(struct pal_disk *disk)
{
    free(disk->source);
    free(disk->base);
    disk->source = disk->base = NULL;
}

/* xvd<letter><partition>: disks a to p have the old major number 202, 16 minors each; later ones
 * the extended form (bit 28, 256 minors each). */
unsigned pal_disk_number(const char *target)
{
    unsigned disk, partition = 0;

    if (strncmp(target, "xvd", 3) || target[3] < 'a' || target[3] > 'z')
        return 0;
    disk = (unsigned)(target[3] - 'a');
    if (target[4]) {
        char *end;

        partition = (unsigned)strtoul(target + 4, &end, 10);
        if (*end || partition == 0 || partition > 15)
            return 0;
    }
    return disk < 16 ? 202u << 8 | disk << 4 | partition : 1u << 28 | disk << 8 | partition;
}

bool pal_disk_collides(const char *target, const char *other)
{
    return !strcmp(target, other) || (!strncmp(target, other, 4) && (!target[4] || !other[4]));
}

void pal_uuid_text(const uint8_t u[16], char text[37])
{
    snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
             u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
             u[14], u[15]);
}

bool pal_name_is_good(const char *name)
{
    size_t length = strlen(name);
    bool number = true;

    for (const char *p = name; *p; p++) {
        if (!isascii((unsigned char)*p) || (!isalnum((unsigned char)*p) && !strchr("._-+:", *p)))
            return false;
        number = number && isdigit((unsigned char)*p);
    }
    return length >= 1 && length <= PAL_NAME_MAX && !number && name[0] != '-';
}
