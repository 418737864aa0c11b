/* SPDX-License-Identifier: MIT */
#include "engine/state.h"

#include <stdlib.h>
#include <string.h>

/* ---- frame numbers in a context ---- */

/* A root: 0 stays 0. */
static int rewrite_root(uint64_t *cr3, const struct frames *f,
                        uint64_t (*find)(void *f, uint64_t frame))
{
    uint64_t frame = *cr3 >> PAL_PAGE_SHIFT, found;

    if (!frame)
        return 0;
    found = find((void *)f, frame);
    *cr3 = found << PAL_PAGE_SHIFT;
    return found == REWRITE_NONE ? -1 : 0;
}

static int rewrite_context(vcpu_guest_context_t *c, const struct frames *f,
                           uint64_t (*find)(void *f, uint64_t frame))
{
    const unsigned most = sizeof(c->gdt_frames) / sizeof(c->gdt_frames[0]);

    if (c->gdt_ents > most * 512)
        return -1;
    for (unsigned i = 0; i < most; i++) {
        c->gdt_frames[i] = i * 512 < c->gdt_ents ? find((void *)f, c->gdt_frames[i]) : 0;
        if (c->gdt_frames[i] == REWRITE_NONE)
            return -1;
    }
    return rewrite_root(&c->ctrlreg[1], f, find) || rewrite_root(&c->ctrlreg[3], f, find) ? -1 : 0;
}

/* ---- saving ---- */

int state_start_info(const struct frames *f, struct pal_hv *hv, uint32_t domain, uint64_t *gfn,
                     struct pal_error *e)
{
    struct pal_vcpu_state s;
    int rc = pal_vcpu_state_get(hv, domain, 0, &s, e);

    if (!rc && s.initialised)
        *gfn = frames_to_gfn((void *)f, s.context.user_regs.rdx);
    else if (!rc)
        rc = pal_fail(e, PAL_SAVE_GUEST, "its first virtual CPU was never started");
    if (!rc && *gfn == REWRITE_NONE)
        rc = pal_fail(e, PAL_SAVE_GUEST, "its kernel names no frame of its start information");
    pal_vcpu_state_free(&s);
    return rc;
}

static int save_one(struct image_writer *w, const struct frames *f, unsigned vcpu,
                    struct pal_vcpu_state *s, uint64_t start_info, struct pal_error *e)
{
    vcpu_guest_context_t *c = &s->context;

    if (vcpu == 0) { /* the third argument of the call that suspended it, and its result */
        c->user_regs.rdx = start_info;
        c->user_regs.rax = 0;
    }
    if (rewrite_context(c, f, frames_to_gfn))
        return pal_fail(e, PAL_SAVE_GUEST, "virtual CPU %u uses frames that are not the domain's",
                        vcpu);
    if (image_writer_state(w, IMAGE_STATE_CONTEXT, vcpu, c, sizeof(*c), e) ||
        image_writer_state(w, IMAGE_STATE_EXT_CONTEXT, vcpu, &s->callbacks, sizeof(s->callbacks),
                           e))
        return -1;
    if (s->extended_size &&
        image_writer_state(w, IMAGE_STATE_XSAVE, vcpu, s->extended, s->extended_size, e))
        return -1;
    return s->msrs ? image_writer_state(w, IMAGE_STATE_MSRS, vcpu, s->msr,
                                        s->msrs * sizeof(s->msr[0]), e)
                   : 0;
}

int state_save(struct image_writer *w, const struct frames *f, struct pal_hv *hv, uint32_t domain,
               unsigned vcpus, uint64_t start_info, struct pal_error *e)
{
    for (unsigned i = 0; i < vcpus; i++) {
        struct pal_vcpu_state s;
        int rc = pal_vcpu_state_get(hv, domain, i, &s, e);

        if (!rc && s.initialised)
            rc = save_one(w, f, i, &s, start_info, e);
        pal_vcpu_state_free(&s);
        if (rc)
            return -1;
    }
    return 0;
}

/* ---- restoring ---- */

static int read_one(const struct image_reader *r, unsigned vcpu, struct pal_vcpu_state *s,
                    struct pal_error *e)
{
    const void *data;
    size_t length;

    memset(s, 0, sizeof(*s));
    data = image_reader_state(r, IMAGE_STATE_CONTEXT, vcpu, &length);
    if (!data)
        return vcpu ? 0 : pal_fail(e, PAL_SAVE_DAMAGED, "the first virtual CPU has no state");
    memcpy(&s->context, data, sizeof(s->context));
    s->initialised = true;
    data = image_reader_state(r, IMAGE_STATE_EXT_CONTEXT, vcpu, &length);
    if (data)
        memcpy(&s->callbacks, data, sizeof(s->callbacks));
    data = image_reader_state(r, IMAGE_STATE_XSAVE, vcpu, &length);
    if (data && length >= sizeof(s->features)) {
        s->extended = malloc(length);
        if (!s->extended)
            return pal_fail(e, PAL_SYS_FAILED, "out of memory");
        memcpy(s->extended, data, length);
        memcpy(&s->features, data, sizeof(s->features));
        s->extended_size = length;
    }
    data = image_reader_state(r, IMAGE_STATE_MSRS, vcpu, &length);
    if (data && length > sizeof(s->msr))
        return pal_fail(e, PAL_SAVE_DAMAGED, "virtual CPU %u has too many registers", vcpu);
    if (data) {
        memcpy(s->msr, data, length);
        s->msrs = (uint32_t)(length / sizeof(s->msr[0]));
    }
    return 0;
}

static int restore_one(const struct image_reader *r, const struct frames *f, struct pal_hv *hv,
                       uint32_t domain, unsigned vcpu, uint64_t start_info, struct pal_error *e)
{
    struct pal_vcpu_state s;
    int rc = read_one(r, vcpu, &s, e);

    if (!rc && s.initialised && rewrite_context(&s.context, f, frames_to_mfn))
        rc = pal_fail(e, PAL_SAVE_DAMAGED, "virtual CPU %u uses frames that are not in the image",
                      vcpu);
    if (!rc && vcpu == 0) { /* it returns from its suspension, into a new domain */
        s.context.user_regs.rdx = frames_mfn(f, start_info);
        s.context.user_regs.rax = 0;
    }
    if (!rc && s.initialised) {
        rc = pal_vcpu_state_set(hv, domain, vcpu, &s, e);
        if (rc)
            pal_failed_to(e, "cannot give virtual CPU %u its state", vcpu);
    }
    pal_vcpu_state_free(&s);
    return rc;
}

int state_restore(const struct image_reader *r, const struct frames *f, struct pal_hv *hv,
                  uint32_t domain, unsigned vcpus, uint64_t start_info, struct pal_error *e)
{
    for (unsigned i = 0; i < vcpus; i++) {
        if (restore_one(r, f, hv, domain, i, start_info, e))
            return -1;
    }
    return 0;
}
