/* SPDX-License-Identifier: MIT */
/* What a domain's disks and interfaces have carried: the stock backends count. */
#ifndef PAL_USAGE_H
#define PAL_USAGE_H

#include <stdint.h>

struct usage {
    unsigned nets, disks;
    uint64_t sent, received; /* bytes, as the guest sees it */
    uint64_t disk_waits;     /* requests that found no room */
    uint64_t disk_reads, disk_writes;
    uint64_t disk_read_sectors, disk_written_sectors;
};

struct usage usage_of(uint32_t domain);

#endif
