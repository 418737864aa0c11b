/* SPDX-License-Identifier: MIT */
/*
 * recycle N: makes domains and ends them at once, all around the numbers there are, until N was the last one given: the
 * next domain gets the number after it, whoever had that before.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sys/privcmd.h>

static int privcmd;

static int domctl(struct xen_domctl *op)
{
    privcmd_hypercall_t call = {.op = __HYPERVISOR_domctl, .arg = {(uintptr_t)op}};

    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    return ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);
}

int main(int argc, char **argv)
{
    int wanted = argc == 2 ? atoi(argv[1]) : 0;

    privcmd = open("/dev/xen/privcmd", O_RDWR);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    for (unsigned i = 0; i < DOMID_FIRST_RESERVED; i++) {
        struct xen_domctl op = {.cmd = XEN_DOMCTL_createdomain};

        op.u.createdomain.max_vcpus = 1;
        op.u.createdomain.max_evtchn_port = 4095;
        op.u.createdomain.max_grant_frames = 1;
        op.u.createdomain.grant_opts = XEN_DOMCTL_GRANT_version(1);
        if (domctl(&op)) {
            perror("recycle: create");
            return 1;
        }
        op.cmd = XEN_DOMCTL_destroydomain;
        if (domctl(&op)) {
            perror("recycle: destroy");
            return 1;
        }
        if (op.domain == wanted) {
            printf("RECYCLED after %u\n", i + 1);
            return 0;
        }
    }
    return 1;
}
