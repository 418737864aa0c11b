/* SPDX-License-Identifier: MIT */
#include "usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* blkback's devices are vbd-DOMAIN-NUMBER and count in statistics/; netback's vif-DOMAIN-NUMBER
 * belong to interfaces vifDOMAIN.NUMBER. */
#define DEVICES    "/sys/bus/xen-backend/devices"
#define INTERFACES "/sys/class/net"

static uint64_t number_in(const char *directory, const char *device, const char *name)
{
    char path[512];
    uint64_t value = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s/statistics/%s", directory, device, name);
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64, &value) != 1)
        value = 0;
    fclose(file);
    return value;
}

static void add_disk(struct usage *u, const char *device)
{
    u->disks++;
    u->disk_waits += number_in(DEVICES, device, "oo_req");
    u->disk_reads += number_in(DEVICES, device, "rd_req");
    u->disk_writes += number_in(DEVICES, device, "wr_req");
    u->disk_read_sectors += number_in(DEVICES, device, "rd_sect");
    u->disk_written_sectors += number_in(DEVICES, device, "wr_sect");
}

/* What the host's end receives, the guest has sent. */
static void add_net(struct usage *u, uint32_t domain, const char *number)
{
    char interface[32];

    snprintf(interface, sizeof(interface), "vif%" PRIu32 ".%.8s", domain, number);
    u->nets++;
    u->sent += number_in(INTERFACES, interface, "rx_bytes");
    u->received += number_in(INTERFACES, interface, "tx_bytes");
}

struct usage usage_of(uint32_t domain)
{
    DIR *list = opendir(DEVICES);
    char disk[24], net[24];
    struct usage u = {0};

    if (!list)
        return u;
    snprintf(disk, sizeof(disk), "vbd-%" PRIu32 "-", domain);
    snprintf(net, sizeof(net), "vif-%" PRIu32 "-", domain);
    for (struct dirent *d; (d = readdir(list));) {
        if (!strncmp(d->d_name, disk, strlen(disk)))
            add_disk(&u, d->d_name);
        else if (!strncmp(d->d_name, net, strlen(net)))
            add_net(&u, domain, d->d_name + strlen(net));
    }
    closedir(list);
    return u;
}
