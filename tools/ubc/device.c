/* SPDX-License-Identifier: MIT */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool take_overlay(struct volume *v, int live, struct opener_answer *a)
{
    char why[OVERLAY_WHY];

    v->overlay = calloc(1, sizeof(*v->overlay));
    if (!v->overlay) {
        close(live);
        snprintf(a->why, sizeof(a->why), "out of memory");
        return false;
    }
    if (overlay_take(v->fd, live, &a->overlay, v->overlay, why)) {
        v->overlay->live_fd = live;
        snprintf(a->why, sizeof(a->why), "the overlay: %s", why);
        return false;
    }
    v->size = v->overlay->size;
    return true;
}

int device_open(struct device *v, struct opener_answer *a, const int files[OPENER_FILES])
{
    struct volume *volume = calloc(1, sizeof(*volume));
    bool good = volume != NULL;

    if (!good) {
        for (unsigned i = 0; i < OPENER_FILES; i++) {
            if (files[i] >= 0)
                close(files[i]);
        }
        snprintf(a->why, sizeof(a->why), "out of memory");
        return -1;
    }
    volume->fd = files[OPENER_OWN];
    volume->read_only = a->read_only;
    volume->write_through = a->write_through;
    if (files[OPENER_BASE] >= 0) {
        volume->base = base_get(files[OPENER_BASE]);
        good = volume->base != NULL;
        if (good)
            volume->size = volume->base->size;
        else
            close(files[OPENER_BASE]);
    } else {
        off_t end = lseek(volume->fd, 0, SEEK_END);

        good = end > 0;
        volume->size = good ? (uint64_t)end / SECTOR * SECTOR : 0;
    }
    if (!good)
        snprintf(a->why, sizeof(a->why), "its size cannot be had");
    if (files[OPENER_LIVE] >= 0) {
        if (good)
            good = take_overlay(volume, files[OPENER_LIVE], a);
        else
            close(files[OPENER_LIVE]);
    }
    if (!good) {
        volume_free(volume, false);
        return -1;
    }
    v->disk.volume = volume;
    volume->cached = a->cached && volume->base && base_add_reader(volume->base, v->disk.domain);
    return 0;
}

void device_close(struct device *v, bool clean)
{
    struct volume *volume = v->disk.volume;

    if (!volume)
        return;
    if (volume->cached)
        base_drop_reader(volume->base, v->disk.domain);
    volume_free(volume, clean);
    v->disk.volume = NULL;
}
