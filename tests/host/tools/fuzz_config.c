/* SPDX-License-Identifier: MIT */
/* Anything as a domain's file: it is refused with a cause, or what was read keeps its promises. */
#include <stdlib.h>
#include <string.h>

#include "libpal/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool c)
{
    if (!c)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pal_config c, again;
    struct pal_error e = {0};

    if (pal_config_parse(&c, "fuzz", (const char *)data, size, &e)) {
        require(e.code != PAL_OK && e.why[0]);
        return 0;
    }
    require(e.code == PAL_OK && pal_name_is_good(c.name) && c.kernel[0] == '/');
    require(c.vcpus >= 1 && c.vcpus <= PAL_VCPUS_MAX && c.memory_kib && c.memory_kib <= c.max_kib);
    require(c.max_kib <= 1ull << 30 && strlen(c.cmdline) <= PAL_CMDLINE_MAX);
    for (unsigned i = 0; i < c.disks; i++)
        require(pal_disk_number(c.disk[i].target) != 0 && c.disk[i].source[0] == '/');
    for (unsigned i = 0; i < c.nics; i++)
        require(!(c.nic[i].mac[0] & 1) && c.nic[i].bridge[0]);
    /* What is kept for a reboot is as good as the file was. */
    require(!pal_config_parse(&again, "kept", c.xml, c.xml_size, &e));
    require(!memcmp(again.uuid, c.uuid, sizeof(c.uuid)) && again.nics == c.nics);
    for (unsigned i = 0; i < c.nics; i++)
        require(!memcmp(&again.nic[i], &c.nic[i], sizeof(c.nic[i])));
    pal_config_free(&again);
    pal_config_free(&c);
    return 0;
}
