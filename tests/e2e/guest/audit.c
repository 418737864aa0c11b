/* SPDX-License-Identifier: MIT */
/* The hypervisor's books balance: it counts every frame's owner, references and role anew and finds what it has
 * stored. Runs at the end of every run of checks, so that it covers what ran before. */
#include "check.h"
#include "abi/pal.h"
#include <sys/ioctl.h>
#include <xen/xen.h>
#include <xen/sys/privcmd.h>

enum { MODULE_WAIT_MS = 5000 };

/* Is there a hypervisor that has this operation? Others (and none) are run as a comparison. */
static int is_ours(void)
{
    char extra[64] = "";

    check_read_file("/sys/hypervisor/version/extra", extra, sizeof(extra));
    return strstr(extra, "-pal") != NULL;
}

static int open_privcmd(void)
{
    int fd = -1;

    if (system("modprobe -q xen_privcmd") < 0)
        return -1;
    for (int waited = 0; waited < MODULE_WAIT_MS; waited += 10) {
        fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
        if (fd >= 0)
            break;
        usleep(10000);
    }
    return fd;
}

static long pal_op(int fd, unsigned command, void *argument)
{
    privcmd_hypercall_t call = {
        .op = __HYPERVISOR_pal_op,
        .arg = {command, (uint64_t)(uintptr_t)argument},
    };
    long result = ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call);

    return result < 0 ? -errno : result;
}

int main(void)
{
    struct pal_audit audit;
    struct pal_stats stats;
    uint64_t before;
    long result;
    int fd;

    if (!is_ours()) {
        check_skip("books", "another hypervisor, or none");
        return check_status();
    }
    fd = open_privcmd();
    if (!check("privcmd", fd >= 0, "/dev/xen/privcmd: %s", check_errno(fd >= 0)))
        return check_status();
    memset(&audit, 0xff,
           sizeof(audit)); /* also: present, for the hypervisor does not fault in pages */
    memset(&stats, 0xff, sizeof(stats));
    before = check_now_ns();
    result = pal_op(fd, PALOP_audit, &audit);
    check("books",
          result == 0 && audit.disagreements == 0 && audit.frames > 0 && audit.frames != ~0ull,
          "result %ld, %llu wrong of %llu frames, first %llx, %llu ms", result,
          (unsigned long long)audit.disagreements, (unsigned long long)audit.frames,
          (unsigned long long)audit.first_bad_mfn,
          (unsigned long long)(check_now_ns() - before) / 1000000);
    result = pal_op(fd, PALOP_stats, &stats);
    check(
        "counters", result == 0 && stats.domains == 1 && stats.free_frames <= stats.total_frames,
        "result %ld, %llu of %llu frames free, %llu heap bytes, %llu switches, longest off %llu us",
        result, (unsigned long long)stats.free_frames, (unsigned long long)stats.total_frames,
        (unsigned long long)stats.heap_bytes, (unsigned long long)stats.context_switches,
        (unsigned long long)stats.longest_off_ns / 1000);
    return check_status();
}
