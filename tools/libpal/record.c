/* SPDX-License-Identifier: MIT */
#include "libpal/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

/* ---- a name given later: the file "name" has it, and below it the first one ---- */

struct names {
    char now[PAL_NAME_MAX + 1], first[PAL_NAME_MAX + 1];
};

static bool read_names(uint32_t id, struct names *n)
{
    char path[256];
    FILE *file;
    bool good;

    path_of(path, id, "name");
    file = fopen(path, "r");
    if (!file)
        return false;
    good = fscanf(file, "%63s %63s", n->now, n->first) == 2;
    fclose(file);
    return good && pal_name_is_good(n->now) && pal_name_is_good(n->first);
}

int pal_record_rename(uint32_t id, const char *before, const char *name, struct pal_error *e)
{
    char path[256], text[2 * PAL_NAME_MAX + 8];
    struct names n;

    path_of(path, id, "xml");
    if (access(path, F_OK))
        return 0;
    if (!read_names(id, &n))
        snprintf(n.first, sizeof(n.first), "%s", before);
    snprintf(text, sizeof(text), "%s\n%s\n", name, n.first);
    path_of(path, id, "name");
    return write_file(path, text, strlen(text), e);
}

bool pal_record_first_name(uint32_t id, char name[PAL_NAME_MAX + 1])
{
    struct names n;

    if (!read_names(id, &n))
        return false;
    memcpy(name, n.first, sizeof(n.first));
    return true;
}

/* ---- the record ---- */

int pal_record_write(uint32_t id, const struct pal_config *c, struct pal_error *e)
{
    char path[256];

    path_of(path, id, "xml");
    return write_file(path, c->xml, c->xml_size, e);
}

int pal_record_read(uint32_t id, struct pal_config *c, struct pal_error *e)
{
    struct names n;
    char path[256], *name;

    path_of(path, id, "xml");
    if (pal_config_read(c, path, e))
        return -1;
    if (!read_names(id, &n))
        return 0;
    name = strdup(n.now);
    if (!name) {
        pal_config_free(c);
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    }
    free(c->name);
    c->name = name;
    if (!pal_config_settle(c, e))
        return 0;
    pal_config_free(c);
    return -1;
}

void pal_record_remove(uint32_t id)
{
    static const char *const parts[] = {"xml", "name", "keep", "lock"};
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

int pal_record_lock(const char *name, struct pal_error *e)
{
    char path[256], file[64];
    int fd;

    snprintf(file, sizeof(file), "%s.lock", name);
    pal_record_path(path, sizeof(path), file);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX)) {
        if (errno == EINTR)
            continue;
        close(fd);
        fd = -1;
    }
    return fd < 0 ? pal_fail(e, PAL_SYS_FAILED, "%s cannot be locked: %s", path, strerror(errno))
                  : fd;
}

void pal_record_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}
