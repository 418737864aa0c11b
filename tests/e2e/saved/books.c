/* SPDX-License-Identifier: MIT */
/*
 * What the hypervisor's books say, for tests in domain 0.
 *
 *   books                 audit; one line: BOOKS wrong=0 domains=1 free=...
 *   books frames ID       the domain's frames, a line each: gfn mfn
 */
#include "abi/pal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xen/sys/privcmd.h>

enum { ROOM = 1024 };

static int privcmd;

static long pal_op(unsigned command, void *argument)
{
    privcmd_hypercall_t call = {
        .op = __HYPERVISOR_pal_op,
        .arg = {command, (uint64_t)(uintptr_t)argument},
    };
    long result = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);

    return result < 0 ? -errno : result;
}

static int show_frames(unsigned domain)
{
    static struct pal_owned list[ROOM];
    static struct pal_frames call;
    long got;

    mlock(list, sizeof(list));
    call.domain = domain;
    call.room = ROOM;
    call.list = (uintptr_t)list;
    while (call.next != ~0ull) {
        got = pal_op(PALOP_frames, &call);
        if (got < 0)
            return 1;
        for (long i = 0; i < got; i++)
            printf("%llx %llx\n", (unsigned long long)list[i].gfn, (unsigned long long)list[i].mfn);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct pal_audit audit;
    static struct pal_stats stats;
    long wrong;

    mlockall(MCL_CURRENT);
    privcmd = open("/dev/xen/privcmd", O_RDWR);
    if (privcmd < 0)
        return 2;
    if (argc == 3 && !strcmp(argv[1], "frames"))
        return show_frames((unsigned)atoi(argv[2]));
    wrong = pal_op(PALOP_audit, &audit);
    if (pal_op(PALOP_stats, &stats))
        return 2;
    printf("BOOKS wrong=%ld domains=%llu free=%llu\n", wrong, (unsigned long long)stats.domains,
           (unsigned long long)stats.free_frames);
    return wrong ? 1 : 0;
}
