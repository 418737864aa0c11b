/* SPDX-License-Identifier: MIT */
#include "libpal/daemon.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Debian's init script and unit have it there; those who start it otherwise need not. */
#define CONSOLE_PID_FILE "/run/xen/xenconsoled.pid"

static bool is_process(const char *pid, const char *name)
{
    char path[64], comm[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
    file = fopen(path, "r");
    if (!file)
        return false;
    if (fgets(comm, sizeof(comm), file))
        comm[strcspn(comm, "\n")] = '\0';
    fclose(file);
    return !strncmp(comm, name, 15);
}

static bool runs_by_file(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    char pid[17] = "";
    bool runs;

    if (!file)
        return false;
    runs = fscanf(file, "%16[0-9]", pid) == 1 && is_process(pid, name);
    fclose(file);
    return runs;
}

bool pal_daemon_runs(const char *name)
{
    DIR *list = opendir("/proc");
    bool runs = false;

    if (!list)
        return false;
    for (struct dirent *d; !runs && (d = readdir(list));)
        runs = isdigit((unsigned char)d->d_name[0]) && is_process(d->d_name, name);
    closedir(list);
    return runs;
}

int pal_daemon_need_console(struct pal_error *e)
{
    if (runs_by_file(CONSOLE_PID_FILE, "xenconsoled") || pal_daemon_runs("xenconsoled"))
        return 0;
    return pal_fail(
        e, PAL_CON_DAEMON,
        "xenconsoled does not run, and without it a guest's console fills and stops it");
}

int pal_daemon_need_blkd(struct pal_error *e)
{
    int fd = open("/run/pal/blkd/lock", O_RDONLY | O_CLOEXEC);
    bool is_free = fd < 0 || !flock(fd, LOCK_SH | LOCK_NB);

    if (fd >= 0)
        close(fd);
    return is_free ? pal_fail(e, PAL_DEV_DAEMON,
                              "pal-blkd, which serves overlays and images that are only read, "
                              "does not run")
                   : 0;
}
