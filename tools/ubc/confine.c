/* SPDX-License-Identifier: MIT */
/*
 * What stays: the open connections. One of them, for hypercalls, is as good as the machine to whoever takes
 * this process over; the filter keeps such a one from everything else: programs, files, networks, other processes.
 */
#include "confine.h"
#include "opener.h"

#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define EMPTY OPENER_RUN "/empty"

static const char *const needed[] = {
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "close",
    "fstat",
    "newfstatat",
    "statx",
    "lseek",
    "ioctl",
    "mmap",
    "munmap",
    "mprotect",
    "madvise",
    "mremap",
    "brk",
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "poll",
    "ppoll",
    "futex",
    "io_uring_enter",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "fdatasync",
    "fsync",
    "ftruncate",
    "fallocate",
    "getrandom",
    "clock_gettime",
    "clock_nanosleep",
    "nanosleep",
    "restart_syscall",
    "rt_sigreturn",
    "rt_sigprocmask",
    "rt_sigaction",
    "sched_yield",
    "getpid",
    "gettid",
    "tgkill",
    "fcntl",
    "exit",
    "exit_group",
    "clone",
    "clone3",
    "set_robust_list",
    "rseq",
    "membarrier",
};

static int filter(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = f ? 0 : -ENOMEM;

    for (unsigned i = 0; !rc && i < sizeof(needed) / sizeof(needed[0]); i++) {
        int call = seccomp_syscall_resolve_name(needed[i]);

        if (call != __NR_SCMP_ERROR)
            rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 0);
    }
    if (!rc)
        rc = seccomp_load(f);
    seccomp_release(f);
    return rc;
}

int confine(uid_t user, gid_t group)
{
    int rc;

    if ((mkdir(EMPTY, 0555) && errno != EEXIST) || chroot(EMPTY) || chdir("/") ||
        setgroups(0, NULL) || setresgid(group, group, group) || setresuid(user, user, user) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)) {
        fprintf(stderr, "pal-blkd: rights cannot be given up: %s\n", strerror(errno));
        return -1;
    }
    rc = filter();
    if (rc)
        fprintf(stderr, "pal-blkd: no filter of system calls: %s\n", strerror(-rc));
    return rc;
}
