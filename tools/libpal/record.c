/* SPDX-License-Identifier: MIT */
#include "libpal/record.h"

#include <errno.h>
#include <signal.h>
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

/* ---- what the file does not say: lines of KEY=VALUE ---- */

struct facts {
    char name[PAL_NAME_MAX + 1], first_name[PAL_NAME_MAX + 1];
    uint8_t uuid[16];
    unsigned nics;
    uint8_t mac[PAL_NICS_MAX][6];
};

static bool read_bytes(const char *text, uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (sscanf(text + 2 * (size_t)i, "%2hhx", &bytes[i]) != 1)
            return false;
    }
    return true;
}

static bool read_facts(uint32_t id, struct facts *f)
{
    char path[256], line[128];
    FILE *file;

    memset(f, 0, sizeof(*f));
    path_of(path, id, "facts");
    file = fopen(path, "r");
    if (!file)
        return false;
    while (fgets(line, sizeof(line), file)) {
        char *value = strchr(line, '=');

        if (!value)
            continue;
        *value++ = '\0';
        value[strcspn(value, "\n")] = '\0';
        if (!strcmp(line, "name"))
            snprintf(f->name, sizeof(f->name), "%s", value);
        else if (!strcmp(line, "first-name"))
            snprintf(f->first_name, sizeof(f->first_name), "%s", value);
        else if (!strcmp(line, "uuid"))
            read_bytes(value, f->uuid, 16);
        else if (!strcmp(line, "mac") && f->nics < PAL_NICS_MAX)
            f->nics += read_bytes(value, f->mac[f->nics], 6);
    }
    fclose(file);
    return pal_name_is_good(f->name) && pal_name_is_good(f->first_name);
}

static void print_bytes(FILE *out, const char *key, const uint8_t *bytes, unsigned count)
{
    fprintf(out, "%s=", key);
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "%02x", bytes[i]);
    putc('\n', out);
}

static int write_facts(uint32_t id, const struct facts *f, struct pal_error *e)
{
    char path[256], *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int rc;

    if (!out)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    fprintf(out, "name=%s\nfirst-name=%s\n", f->name, f->first_name);
    print_bytes(out, "uuid", f->uuid, 16);
    for (unsigned i = 0; i < f->nics; i++)
        print_bytes(out, "mac", f->mac[i], 6);
    path_of(path, id, "facts");
    rc = fclose(out) ? pal_fail(e, PAL_SYS_FAILED, "out of memory")
                     : write_file(path, text, size, e);
    free(text);
    return rc;
}

int pal_record_rename(uint32_t id, const char *name, struct pal_error *e)
{
    struct facts f;

    if (!read_facts(id, &f))
        return 0;
    snprintf(f.name, sizeof(f.name), "%s", name);
    return write_facts(id, &f, e);
}

bool pal_record_first_name(uint32_t id, char name[PAL_NAME_MAX + 1])
{
    struct facts f;

    if (!read_facts(id, &f))
        return false;
    memcpy(name, f.first_name, sizeof(f.first_name));
    return true;
}

/* ---- the record ---- */

int pal_record_write(uint32_t id, const struct pal_config *c, struct pal_error *e)
{
    struct facts f = {.nics = c->nics};
    char path[256];

    snprintf(f.name, sizeof(f.name), "%s", c->name);
    snprintf(f.first_name, sizeof(f.first_name), "%s", c->name);
    memcpy(f.uuid, c->uuid, sizeof(f.uuid));
    for (unsigned i = 0; i < c->nics; i++)
        memcpy(f.mac[i], c->nic[i].mac, sizeof(f.mac[i]));
    path_of(path, id, "xml");
    return write_file(path, c->xml, c->xml_size, e) || write_facts(id, &f, e) ? -1 : 0;
}

int pal_record_read(uint32_t id, struct pal_config *c, struct pal_error *e)
{
    struct facts f;
    char path[256], *name;

    path_of(path, id, "xml");
    if (pal_config_read(c, path, e))
        return -1;
    if (!read_facts(id, &f))
        return 0;
    name = strdup(f.name);
    if (!name) {
        pal_config_free(c);
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    }
    free(c->name);
    c->name = name;
    memcpy(c->uuid, f.uuid, sizeof(f.uuid));
    for (unsigned i = 0; i < c->nics && i < f.nics; i++)
        memcpy(c->nic[i].mac, f.mac[i], sizeof(f.mac[i]));
    return 0;
}

void pal_record_remove(uint32_t id)
{
    static const char *const parts[] = {"xml", "facts", "keep"};
    char path[256];

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        path_of(path, id, parts[i]);
        unlink(path);
    }
}

int pal_record_keep(uint32_t id, struct pal_error *e)
{
    char path[256], pid[24];

    path_of(path, id, "keep");
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    return write_file(path, pid, strlen(pid), e);
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
    long pid = 0;
    FILE *file;

    path_of(path, id, "keep");
    file = fopen(path, "r");
    if (!file)
        return false;
    if (fscanf(file, "%ld", &pid) != 1)
        pid = 0;
    fclose(file);
    return pid > 0 && (!kill((pid_t)pid, 0) || errno == EPERM);
}
