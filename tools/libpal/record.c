/* SPDX-License-Identifier: MIT */
#include "libpal/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *directory(void)
{
    const char *d = getenv("PAL_RUN_DIR");

    return d ? d : "/run/pal";
}

void pal_record_path(char *path, size_t room, const char *name)
{
    mkdir(directory(), 0700);
    snprintf(path, room, "%s/%s", directory(), name);
}

static void path_of(char path[256], uint32_t id, const char *what)
{
    char name[32];

    snprintf(name, sizeof(name), "%u.%s", id, what);
    pal_record_path(path, 256, name);
}

static int write_file(const char *path, const char *data, size_t size, struct pal_error *e)
{
    char partial[264];
    FILE *file;
    bool good;

    snprintf(partial, sizeof(partial), "%s.part", path);
    file = fopen(partial, "w");
    if (!file)
        return pal_fail(e, PAL_SYS_FAILED, "%s: %s", partial, strerror(errno));
    good = fwrite(data, 1, size, file) == size;
    if (fclose(file) || !good || rename(partial, path)) {
        pal_fail(e, PAL_SYS_FAILED, "%s: %s", path, strerror(errno));
        unlink(partial);
        return -1;
    }
    return 0;
}

int pal_record_write(uint32_t id, const struct pal_config *c, struct pal_error *e)
{
    char path[256];

    path_of(path, id, "xml");
    return write_file(path, c->xml, c->xml_size, e);
}

int pal_record_read(uint32_t id, struct pal_config *c, struct pal_error *e)
{
    char path[256];

    path_of(path, id, "xml");
    return pal_config_read(c, path, e);
}

void pal_record_remove(uint32_t id)
{
    static const char *const parts[] = {"xml", "keep"};
    char path[256];

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        path_of(path, id, parts[i]);
        unlink(path);
    }
}

int pal_record_keep(uint32_t id, struct pal_error *e)
{
    char path[256];

    path_of(path, id, "keep");
    return write_file(path, "", 0, e);
}

void pal_record_release(uint32_t id)
{
    char path[256];

    path_of(path, id, "keep");
    unlink(path);
}

bool pal_record_is_kept(uint32_t id)
{
    char path[256];

    path_of(path, id, "keep");
    return !access(path, F_OK);
}
