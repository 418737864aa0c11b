/* SPDX-License-Identifier: MIT */
#include "ending.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <xen/sched.h>

#include "libpal/record.h"
#include "make.h"

/* The lock that the watcher holds. */
static int open_lock(void)
{
    char path[256];

    pal_record_path(path, sizeof(path), "watch.lock");
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

bool ending_is_watched(void)
{
    int fd = open_lock();
    bool free_lock = fd >= 0 && !flock(fd, LOCK_SH | LOCK_NB);

    if (fd >= 0)
        close(fd);
    return fd >= 0 && !free_lock;
}

int ending_watch(struct pal_error *e)
{
    int fd = open_lock();

    if (fd < 0)
        return pal_fail(e, PAL_SYS_FAILED, "the watcher's lock cannot be made: %s",
                        strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        close(fd);
        return pal_fail(e, PAL_DOM_STATE, "another watcher runs already");
    }
    return 0; /* kept open: the lock lives as long as the process */
}

enum pal_action ending_action(const struct pal_config *c,
                              const struct xen_domctl_getdomaininfo *info)
{
    switch (pal_domain_reason_code(info)) {
    case SHUTDOWN_poweroff:
        return c->on_poweroff;
    case SHUTDOWN_reboot:
        return c->on_reboot;
    case SHUTDOWN_suspend: /* whoever asked for it waits for it */
        return PAL_ACTION_PRESERVE;
    default:
        return c->on_crash;
    }
}

/* Whoever tells us to end meanwhile must not leave half a domain: that waits. */
static int start_again(struct pal *p, uint32_t id, const struct pal_config *c, struct pal_error *e)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    rc = pal_domain_end(p, id, e);
    if (!rc) {
        int again = make_domain(p, c, e);

        rc = again < 0 ? -1 : pal_domain_unpause(&p->hv, (uint32_t)again, e);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int ending_handle(struct pal *p, uint32_t id, const struct xen_domctl_getdomaininfo *info,
                  enum pal_action *action, struct pal_error *e)
{
    struct pal_error no_record = {0};
    struct pal_config c;
    int rc = 0;

    /* A domain that is not ours is left to whoever made it. */
    if (pal_record_is_kept(id) || pal_record_read(id, &c, &no_record))
        return 1;
    *action = ending_action(&c, info);
    switch (*action) {
    case PAL_ACTION_PRESERVE:
        break;
    case PAL_ACTION_DESTROY:
        rc = pal_domain_end(p, id, e);
        break;
    case PAL_ACTION_RESTART:
        rc = start_again(p, id, &c, e);
        break;
    }
    pal_config_free(&c);
    return rc;
}
