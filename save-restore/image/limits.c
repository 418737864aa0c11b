/* SPDX-License-Identifier: MIT */
/* What both sides hold the image to. */
#include "image/limits.h"
#include "image/writer.h"

bool image_state_limits(uint32_t kind, size_t *least, size_t *most, size_t *multiple_of)
{
    static const struct {
        uint32_t kind, least, most, multiple;
    } limits[] = {
        {IMAGE_STATE_CONTEXT, 5168, 5168, 8},     {IMAGE_STATE_EXT_CONTEXT, 64, 64, 8},
        {IMAGE_STATE_XSAVE, 8, 16384, 8},         {IMAGE_STATE_MSRS, 16, 4096, 16},
        {IMAGE_STATE_SHARED_INFO, 4096, 4096, 8}, {IMAGE_STATE_TSC, 24, 24, 8},
        {IMAGE_STATE_CPUID, 24, 65536, 8},        {IMAGE_STATE_MSR_POLICY, 16, 65536, 16},
        {IMAGE_STATE_EXTRA, 1, 65536, 1},
    };

    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if (limits[i].kind == kind) {
            *least = limits[i].least;
            *most = limits[i].most;
            *multiple_of = limits[i].multiple;
            return true;
        }
    return false;
}

const char *state_trouble(uint32_t kind, uint32_t vcpu, uint32_t vcpus, size_t length)
{
    size_t least, most, multiple;

    if (!image_state_limits(kind, &least, &most, &multiple))
        return "unknown kind of state";
    if (length < least || length > most || length % multiple)
        return "state of a wrong length";
    if (kind >= IMAGE_STATE_DOMAIN_WIDE ? vcpu != IMAGE_NO_VCPU : vcpu >= vcpus)
        return "state of a vCPU that the domain does not have";
    return NULL;
}

bool type_is_known(uint8_t type)
{
    uint8_t level = type & (uint8_t)~IMAGE_PINNED;

    return type & IMAGE_PINNED ? level >= IMAGE_L1 && level <= IMAGE_L4 : level <= IMAGE_LIST;
}

static bool frame_is_there(const struct image_domain *d, const uint8_t *bitmap, uint64_t gfn)
{
    return gfn < d->frames && bitmap_has(bitmap, gfn);
}

const char *domain_trouble(const struct image_domain *d)
{
    if (d->vcpus < 1 || d->vcpus > IMAGE_VCPUS_MAX)
        return "number of vCPUs";
    if (d->frames < 1 || d->frames > IMAGE_FRAMES_MAX)
        return "size of the frame list";
    if (d->flags)
        return "unknown flags";
    for (unsigned i = 0; i < sizeof(d->zero) / sizeof(d->zero[0]); i++)
        if (d->zero[i])
            return "reserved field";
    return NULL;
}

const char *bitmap_trouble(const struct image_domain *d, const uint8_t *bitmap)
{
    if (d->frames % 8 && bitmap[d->frames / 8] >> d->frames % 8)
        return "frames beyond the frame list";
    if (d->pages != bitmap_count(bitmap, d->frames) || d->pages == 0)
        return "number of populated frames";
    if (!frame_is_there(d, bitmap, d->start_info))
        return "frame of the start info";
    if (d->store != IMAGE_NO_FRAME && !frame_is_there(d, bitmap, d->store))
        return "frame of the store's ring";
    if (d->console != IMAGE_NO_FRAME && !frame_is_there(d, bitmap, d->console))
        return "frame of the console's ring";
    return NULL;
}

uint64_t bitmap_count(const uint8_t *bitmap, uint64_t frames)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < (frames + 7) / 8; i++)
        count += (unsigned)__builtin_popcount(bitmap[i]);
    return count;
}

uint64_t bitmap_next(const uint8_t *bitmap, uint64_t frames, uint64_t from)
{
    for (; from < frames; from++) {
        if (!bitmap[from / 8]) /* the rest of this byte, at least, is empty */
            from |= 7;
        else if (bitmap_has(bitmap, from))
            return from;
    }
    return frames;
}
