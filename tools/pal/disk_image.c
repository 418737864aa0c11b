/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libpal/device.h"

#define RUN "/run/pal/blkd"

const char *image_run(void)
{
    const char *d = getenv("PAL_BLKD_DIR"); /* for tests */

    return d && *d ? d : RUN;
}

/* Who uses it, if anybody; also where no hypervisor runs. */
static int check_free(const struct image *i, bool read_only, struct pal_error *e)
{
    struct pal_error ignored = {0};
    struct pal p;
    bool machine = !pal_open(&p, &ignored);
    int rc = pal_disk_is_free(machine ? &p : NULL, i->path, i->fd, read_only, e);

    if (machine)
        pal_close(&p);
    return rc;
}

/* The lock that pal-blkd takes, too: it waits a little for it, so what is done here may be short beside a domain that is created. */
static int take_lock(struct image *i, enum image_purpose purpose, struct pal_error *e)
{
    bool locked = !flock(i->fd, (purpose == IMAGE_CHANGE ? LOCK_EX : LOCK_SH) | LOCK_NB);

    i->in_use = !locked;
    if (purpose == IMAGE_LOOK)
        return 0;
    if (check_free(i, purpose != IMAGE_CHANGE, e))
        return -1;
    if (locked)
        return 0;
    pal_fail(e, PAL_DEV_IN_USE, "%s is locked: pal-blkd or another `pal disk` has it open",
             i->path);
    return pal_remedy(e, "end or detach what uses it; a `pal disk` that runs ends by itself");
}

static int open_overlay(struct image *i, enum image_purpose purpose, struct pal_error *e)
{
    enum overlay_lock lock = i->in_use                 ? OVERLAY_UNLOCKED
                             : purpose == IMAGE_CHANGE ? OVERLAY_EXCLUSIVE
                                                       : OVERLAY_SHARED;
    char why[OVERLAY_WHY];

    if (overlay_open_apart(i->fd, image_run(), lock, &i->o, why))
        return pal_fail(e, PAL_DISK_DAMAGED, "%s: %s", i->path, why);
    if (purpose == IMAGE_CHANGE && overlay_save(&i->o, why)) {
        overlay_leave(&i->o);
        return pal_fail(e, PAL_DISK_FILE, "%s: %s", i->path, why);
    }
    return 0;
}

int image_open(struct image *i, const char *path, enum image_purpose purpose, struct pal_error *e)
{
    int flags = (purpose == IMAGE_CHANGE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
    int rc;

    *i = (struct image){.path = path};
    i->fd = open(path, flags);
    if (i->fd < 0 || fstat(i->fd, &i->st)) {
        pal_fail(e, PAL_DISK_FILE, "%s: %s", path, strerror(errno));
        if (i->fd >= 0)
            close(i->fd);
        return -1;
    }
    if (S_ISBLK(i->st.st_mode))
        i->st.st_size = lseek(i->fd, 0, SEEK_END);
    i->is_overlay = S_ISREG(i->st.st_mode) && overlay_is(i->fd);
    if (!S_ISREG(i->st.st_mode) && !S_ISBLK(i->st.st_mode))
        rc = pal_fail(e, PAL_DISK_FILE, "%s is neither a plain file nor a block device", path);
    else
        rc = take_lock(i, purpose, e);
    if (!rc && i->is_overlay)
        rc = open_overlay(i, purpose, e);
    if (rc)
        close(i->fd);
    return rc;
}

int image_open_overlay(struct image *i, const char *path, enum image_purpose purpose,
                       struct pal_error *e)
{
    if (image_open(i, path, purpose, e))
        return -1;
    if (i->is_overlay)
        return 0;
    image_close(i);
    pal_fail(e, PAL_DISK_DAMAGED, "%s is not an overlay", path);
    return pal_remedy(e,
                      "`pal disk info` tells what a file is; `truncate -s SIZE FILE` makes a raw "
                      "image larger");
}

void image_close(struct image *i)
{
    if (i->is_overlay)
        overlay_leave(&i->o);
    close(i->fd);
}

enum base_state image_base(const struct image *i, const char *path, int *fd, struct stat *st)
{
    *fd = open(path ? path : i->o.base, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd >= 0 && !fstat(*fd, st) && (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))) {
        if (S_ISREG(st->st_mode))
            return overlay_fits(&i->o, st) ? BASE_FITS : BASE_CHANGED;
        st->st_size = lseek(*fd, 0, SEEK_END);
        return (uint64_t)st->st_size == i->o.base_size ? BASE_FITS : BASE_CHANGED;
    }
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return BASE_MISSING;
}

void image_bytes(char text[BYTES_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double number = (double)bytes / 1024;
    unsigned unit = 0;

    for (; number >= 1024 && unit < 3; unit++)
        number /= 1024;
    snprintf(text, BYTES_TEXT, "%.1f %s", number, units[unit]);
}
