/* SPDX-License-Identifier: MIT */
#include "trim.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The end of the file from its first whole line on; then the file holds that alone. */
static void cut(int fd, off_t size, char *room)
{
    ssize_t n = pread(fd, room, TRIM_KEEP, size - TRIM_KEEP);
    const char *line = n > 0 ? memchr(room, '\n', (size_t)n) : NULL;
    const char *from = line ? line + 1 : room;
    size_t left = n > 0 ? (size_t)(room + n - from) : 0;

    if (ftruncate(fd, 0))
        return;
    dprintf(fd, "(%lld bytes were left out)\n", (long long)(size - (off_t)left));
    while (left) {
        n = write(fd, from, left);
        if (n <= 0)
            return;
        from += n;
        left -= (size_t)n;
    }
}

static bool is_log(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && !strncmp(name, "guest-", 6) && !strcmp(name + n - 4, ".log");
}

void trim_logs(const char *directory)
{
    DIR *d = opendir(directory);
    char *room = d ? malloc(TRIM_KEEP) : NULL;
    struct dirent *entry;

    while (room && (entry = readdir(d))) {
        struct stat st;
        int fd;

        if (!is_log(entry->d_name) || fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
            !S_ISREG(st.st_mode) || st.st_size <= TRIM_MOST)
            continue;
        fd = openat(dirfd(d), entry->d_name, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        cut(fd, st.st_size, room);
        close(fd);
    }
    free(room);
    if (d)
        closedir(d);
}
