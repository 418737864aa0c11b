/* SPDX-License-Identifier: MIT */
/* The machine as the kernel sees it: all CPUs online and ticking, interrupts counted sanely, memory
 * near what was asked. */
#include "check.h"
#include <ctype.h>

enum { MAX_CPUS = 256, TEXT = 1 << 18 };

static char text[TEXT];

static void check_online(void)
{
    char wanted[32], online[64] = "", present[64] = "";

    check_read_file("/sys/devices/system/cpu/online", online, sizeof(online));
    check_read_file("/sys/devices/system/cpu/present", present, sizeof(present));
    online[strcspn(online, "\n")] = present[strcspn(present, "\n")] = '\0';
    check("online", strcmp(online, present) == 0, "online %s, present %s", online, present);
    if (check_option("pal.cpus", wanted, sizeof(wanted)))
        check("count", atoi(wanted) == check_cpus(), "%d CPUs of %s", check_cpus(), wanted);
}

/* Adds each CPU's column of every line of /proc/interrupts; the lines ERR and MIS go to *errors. */
static void sum_interrupts(uint64_t sums[MAX_CPUS], int cpus, uint64_t *errors)
{
    char *state;

    memset(sums, 0, MAX_CPUS * sizeof(sums[0]));
    *errors = 0;
    check_read_file("/proc/interrupts", text, sizeof(text));
    strtok_r(text, "\n", &state); /* the heading */
    for (char *line; (line = strtok_r(NULL, "\n", &state));) {
        char *at = strchr(line, ':');

        if (!at)
            continue;
        if (strstr(line, "ERR:") || strstr(line, "MIS:")) {
            *errors += strtoull(at + 1, NULL, 10);
            continue;
        }
        at++;
        for (int cpu = 0; cpu < cpus; cpu++)
            sums[cpu] += strtoull(at, &at, 10);
    }
}

static void check_interrupts(void)
{
    static uint64_t before[MAX_CPUS], after[MAX_CPUS];
    uint64_t errors;
    int cpus = check_cpus(), quiet = 0;

    sum_interrupts(before, cpus, &errors);
    for (int cpu = 0; cpu < cpus; cpu++) {
        check_pin(cpu);
        /* The host may run it for less of the time than the clock shows: then for longer. */
        for (int windows = 0; windows < 60; windows++) {
            uint64_t until = check_now_ns() + 300000000u;

            while (check_now_ns() < until)
                ;
            sum_interrupts(after, cpus, &errors);
            if (after[cpu] >= before[cpu] + 10)
                break;
        }
    }
    for (int cpu = 0; cpu < cpus; cpu++)
        quiet += after[cpu] < before[cpu] + 10;
    check("ticks", quiet == 0, "%d of %d CPUs without timer interrupts while busy", quiet, cpus);
    check("interrupt-errors", errors == 0, "%llu", (unsigned long long)errors);
}

static void check_memory(void)
{
    char wanted[32], *at;
    uint64_t megabytes, total;

    check_read_file("/proc/meminfo", text, sizeof(text));
    at = strstr(text, "MemTotal:");
    total = at ? strtoull(at + strlen("MemTotal:"), NULL, 10) / 1024 : 0;
    if (check_option("pal.memory", wanted, sizeof(wanted))) {
        megabytes = strtoull(wanted, NULL, 10);
        /* The kernel keeps its image, its frame table and more out of MemTotal. */
        check("memory", total <= megabytes && total >= megabytes * 3 / 4 - 96, "%llu MiB of %llu",
              (unsigned long long)total, (unsigned long long)megabytes);
    } else {
        check("memory", total > 64, "%llu MiB", (unsigned long long)total);
    }
}

/* Under a hypervisor of this interface the version is part of what tools rely on. */
static void check_hypervisor(void)
{
    char type[32] = "", major[16] = "", minor[16] = "";

    if (check_read_file("/sys/hypervisor/type", type, sizeof(type)) <= 0) {
        check_skip("hypervisor", "none");
        return;
    }
    type[strcspn(type, "\n")] = '\0';
    check_read_file("/sys/hypervisor/version/major", major, sizeof(major));
    check_read_file("/sys/hypervisor/version/minor", minor, sizeof(minor));
    check("hypervisor", strcmp(type, "xen") == 0 && atoi(major) == 4 && atoi(minor) == 17,
          "%s %d.%d", type, atoi(major), atoi(minor));
}

int main(void)
{
    check_online();
    check_interrupts();
    check_memory();
    check_hypervisor();
    return check_status();
}
