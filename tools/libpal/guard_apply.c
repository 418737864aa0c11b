/* SPDX-License-Identifier: MIT */
/* nft reads commands from its standard input and carries them out as one transaction. */
#include "libpal/guard.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NFT "/usr/sbin/nft"

extern char **environ;

/* A file in memory with this content, to be read from its beginning. */
static int memory_file(const char *content)
{
    int fd = memfd_create("nft", MFD_CLOEXEC);
    size_t left = strlen(content);

    while (fd >= 0 && left) {
        ssize_t n = write(fd, content, left);

        if (n < 0) {
            close(fd);
            return -1;
        }
        content += n;
        left -= (size_t)n;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Its exit status; -1 and errno when it could not be run. */
static int run_nft(int in, int out)
{
    char name[] = "nft", file[] = "-f", standard_input[] = "-";
    char *argv[] = {name, file, standard_input, NULL};
    posix_spawn_file_actions_t actions;
    int rc, status;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    rc = posix_spawn(&pid, NFT, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc) {
        errno = rc;
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int pal_guard_apply(const char *commands, struct pal_error *e)
{
    int in = memory_file(commands), out = memory_file(""), rc = -1;
    char said[256] = "";

    if (in >= 0 && out >= 0)
        rc = run_nft(in, out);
    if (rc < 0) {
        pal_fail(e, PAL_DEV_GUARD, "%s cannot be run: %s", NFT, strerror(errno));
    } else if (rc) {
        if (pread(out, said, sizeof(said) - 1, 0) < 0)
            said[0] = '\0';
        said[strcspn(said, "\n")] = '\0';
        pal_fail(e, PAL_DEV_GUARD, "nft refused the rules: %s", said);
        pal_remedy(e, "does `nft list ruleset` work? The kernel needs its module nf_tables");
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc ? -1 : 0;
}
