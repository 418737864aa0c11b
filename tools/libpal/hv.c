/* SPDX-License-Identifier: MIT */
/* Opening, and how a refusal is told. */
#include "libpal/hv.h"
#include "libpal/hv_buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int pal_hv_open(struct pal_hv *hv, struct pal_error *e)
{
    memset(hv, 0, sizeof(*hv));
    if (access("/proc/xen/capabilities", F_OK) && access("/sys/hypervisor/type", F_OK))
        return pal_fail(e, PAL_HV_ABSENT, "this system does not run on the hypervisor");
    hv->log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_CRITICAL, 0);
    hv->call = xencall_open(hv->log, 0);
    if (!hv->call) {
        pal_fail(e, PAL_HV_ABSENT, "/dev/xen/privcmd cannot be opened: %s", strerror(errno));
        pal_hv_close(hv);
        return -1;
    }
    hv->memory = xenforeignmemory_open(hv->log, 0);
    if (!hv->memory) {
        pal_fail(e, PAL_HV_ABSENT, "memory of domains cannot be reached: %s", strerror(errno));
        pal_hv_close(hv);
        return -1;
    }
    return 0;
}

void pal_hv_close(struct pal_hv *hv)
{
    if (hv->memory)
        xenforeignmemory_close(hv->memory);
    if (hv->call)
        xencall_close(hv->call);
    if (hv->log)
        xtl_logger_destroy(hv->log);
    memset(hv, 0, sizeof(*hv));
}

int pal_hv_refused(struct pal_error *e, const char *what)
{
    switch (errno) {
    case EPERM:
        return pal_fail(e, PAL_HV_ABSENT, "the hypervisor does not let this domain do that (%s)",
                        what);
    case EACCES:
        return pal_fail(e, PAL_HV_VERSION, "the hypervisor speaks another interface version (%s)",
                        what);
    case ESRCH:
        return pal_fail(e, PAL_DOM_UNKNOWN, "there is no such domain (%s)", what);
    case ENOMEM:
        return pal_fail(e, PAL_MEM_HOST, "the hypervisor has not enough memory left (%s)", what);
    default:
        return pal_fail(e, PAL_HV_REFUSED, "the hypervisor refused %s: %s", what, strerror(errno));
    }
}

void *pal_hv_buffer(struct pal_hv *hv, size_t size, struct pal_error *e)
{
    void *p = xencall_alloc_buffer(hv->call, size);

    if (!p)
        pal_fail(e, PAL_SYS_FAILED, "out of memory for a hypercall's data");
    else
        memset(p, 0, size);
    return p;
}

void pal_hv_buffer_free(struct pal_hv *hv, void *p)
{
    int error = errno;

    xencall_free_buffer(hv->call, p);
    errno = error;
}

int pal_domctl(struct pal_hv *hv, struct xen_domctl *op, const char *what, struct pal_error *e)
{
    struct xen_domctl *buffer = pal_hv_buffer(hv, sizeof(*op), e);
    int rc;

    if (!buffer)
        return -1;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    *buffer = *op;
    rc = xencall1(hv->call, __HYPERVISOR_domctl, (uintptr_t)buffer);
    *op = *buffer;
    pal_hv_buffer_free(hv, buffer);
    return rc < 0 ? pal_hv_refused(e, what) : rc;
}

int pal_sysctl(struct pal_hv *hv, struct xen_sysctl *op, const char *what, struct pal_error *e)
{
    struct xen_sysctl *buffer = pal_hv_buffer(hv, sizeof(*op), e);
    int rc;

    if (!buffer)
        return -1;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    *buffer = *op;
    rc = xencall1(hv->call, __HYPERVISOR_sysctl, (uintptr_t)buffer);
    *op = *buffer;
    pal_hv_buffer_free(hv, buffer);
    return rc < 0 ? pal_hv_refused(e, what) : rc;
}

int pal_hv_physinfo(struct pal_hv *hv, struct xen_sysctl_physinfo *info, struct pal_error *e)
{
    struct xen_sysctl op = {.cmd = XEN_SYSCTL_physinfo};

    if (pal_sysctl(hv, &op, "to describe the machine", e) < 0)
        return -1;
    *info = op.u.physinfo;
    return 0;
}

int pal_hv_version(struct pal_hv *hv, struct pal_hv_version *version, struct pal_error *e)
{
    int number = xencall2(hv->call, __HYPERVISOR_xen_version, XENVER_version, 0);
    char *text;

    if (number < 0)
        return pal_hv_refused(e, "to tell its version");
    version->major = (unsigned)number >> 16;
    version->minor = (unsigned)number & 0xffff;
    text = pal_hv_buffer(hv, sizeof(xen_capabilities_info_t), e);
    if (!text)
        return -1;
    if (!xencall2(hv->call, __HYPERVISOR_xen_version, XENVER_extraversion, (uintptr_t)text))
        memcpy(version->extra, text, sizeof(version->extra));
    version->extra[sizeof(version->extra) - 1] = '\0';
    memset(text, 0, sizeof(xen_capabilities_info_t));
    if (!xencall2(hv->call, __HYPERVISOR_xen_version, XENVER_capabilities, (uintptr_t)text))
        memcpy(version->capabilities, text, sizeof(version->capabilities));
    version->capabilities[sizeof(version->capabilities) - 1] = '\0';
    pal_hv_buffer_free(hv, text);
    return 0;
}

#define LOG_CHUNK 16384u
#define LOG_MOST  (16u << 20) /* no ring is larger; the loop ends in any case */

long pal_hv_log(struct pal_hv *hv, bool clear, char **text, struct pal_error *e)
{
    struct xen_sysctl op = {.cmd = XEN_SYSCTL_readconsole};
    char *buffer = pal_hv_buffer(hv, LOG_CHUNK, e), *all = NULL, *larger;
    size_t size = 0;

    if (!buffer)
        return -1;
    op.u.readconsole.incremental = 1;
    do {
        op.u.readconsole.clear = clear;
        set_xen_guest_handle(op.u.readconsole.buffer, buffer);
        op.u.readconsole.count = LOG_CHUNK;
        if (pal_sysctl(hv, &op, "to show its log", e) < 0)
            goto fail;
        if (op.u.readconsole.count > LOG_CHUNK)
            op.u.readconsole.count = LOG_CHUNK;
        larger = realloc(all, size + op.u.readconsole.count + 1);
        if (!larger) {
            pal_fail(e, PAL_SYS_FAILED, "out of memory");
            goto fail;
        }
        all = larger;
        memcpy(all + size, buffer, op.u.readconsole.count);
        size += op.u.readconsole.count;
    } while (op.u.readconsole.count == LOG_CHUNK && size < LOG_MOST);
    pal_hv_buffer_free(hv, buffer);
    *text = all;
    return (long)size;
fail:
    free(all);
    pal_hv_buffer_free(hv, buffer);
    return -1;
}
