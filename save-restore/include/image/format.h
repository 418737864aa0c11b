/* SPDX-License-Identifier: MIT */
/*
 * What stands in an image of a domain, byte by byte: FORMAT.md in words, this in C. All numbers are
 * little-endian, as on the only machine there is. "gfn" is a guest (pseudo-physical) frame number:
 * no machine frame number ever stands in an image.
 */
#ifndef IMAGE_FORMAT_H
#define IMAGE_FORMAT_H

#include <stdint.h>

#define IMAGE_PAGE_SIZE 4096u
#define IMAGE_MAGIC     "\x89PALIMG\n"
#define IMAGE_VERSION   1u

/* Limits. A reader refuses what goes beyond; a writer never does. */
#define IMAGE_FRAMES_MAX      (1u << 27) /* p2m size: 512 GiB, as much as a PV Linux can have */
#define IMAGE_VCPUS_MAX       128u
#define IMAGE_CHUNK_PAGES     256u
#define IMAGE_DESCRIPTION_MAX (1u << 20)

/* "No such frame": an optional gfn that is absent. */
#define IMAGE_NO_FRAME UINT64_MAX

/* What a page is, in the domain that was saved. */
enum image_type {
    IMAGE_NORMAL = 0, /* content as it is */
    IMAGE_L1 = 1,     /* page tables of level 1 to 4, entries name gfns (rewrite.h) */
    IMAGE_L2 = 2,
    IMAGE_L3 = 3,
    IMAGE_L4 = 4,
    IMAGE_LIST = 5, /* other content with frame numbers (start info, p2m list, ...), now gfns */
    IMAGE_PINNED = 0x10, /* or'ed to a level */
};

/* The first 64 bytes. */
struct image_header {
    char magic[8];
    uint32_t version;
    uint32_t page_size;
    uint64_t id;         /* random; it is the seed of every checksum of the image */
    uint64_t created_ns; /* since 1970, UTC */
    uint8_t zero[24];
    uint64_t checksum; /* of the bytes before, seed 0 */
};
_Static_assert(sizeof(struct image_header) == 64, "image header");

/* Then records, in this order of types; those marked * may occur more than once. */
enum image_record_type {
    IMAGE_DESCRIPTION = 1, /* XML of the domain, no terminating zero */
    IMAGE_DOMAIN = 2,      /* struct image_domain */
    IMAGE_STATE = 3,       /* * struct image_state and its data */
    IMAGE_MEMORY = 4,      /* bitmap of the populated gfns, bit gfn % 8 of byte gfn / 8 */
    IMAGE_CHUNK = 5,       /* * struct image_run each; then the packed pages */
    IMAGE_INDEX = 6,       /* struct image_index_entry of each chunk */
    IMAGE_END = 7,         /* struct image_end; the image ends with it */
};

struct image_record {
    uint32_t type;
    uint32_t number;         /* 0, 1, 2... */
    uint32_t body_length;    /* of what follows this header */
    uint32_t data_length;    /* of what follows the body (chunks only) */
    uint64_t body_checksum;  /* XXH64, seed: the image's id */
    uint64_t data_checksum;  /* likewise; of nothing if there is none */
    uint64_t above_checksum; /* of the 32 bytes above */
};
_Static_assert(sizeof(struct image_record) == 40, "record header");

/* Facts about the domain that do not depend on the machine. */
struct image_domain {
    uint32_t vcpus;      /* most the domain may have: 1..IMAGE_VCPUS_MAX */
    uint32_t flags;      /* 0 */
    uint64_t frames;     /* size of the p2m list: gfns are below it */
    uint64_t pages;      /* populated ones: bits set in the memory record */
    uint64_t max_pages;  /* the limit the domain had */
    uint64_t start_info; /* gfns; the latter two may be IMAGE_NO_FRAME */
    uint64_t store;
    uint64_t console;
    uint32_t store_port; /* event channels of the domain, as its start info names them; 0: none */
    uint32_t console_port;
    uint64_t system_time_ns; /* the domain's monotonic time when it was frozen */
    uint64_t wall_clock_ns;  /* UTC since 1970 at the same moment */
    uint32_t tsc_khz;
    uint32_t zero[11];
};
_Static_assert(sizeof(struct image_domain) == 128, "domain record");

/* Typed states, each at most once for a vCPU (or the domain); lengths: image_state_limits(). */
enum image_state_kind {
    IMAGE_STATE_CONTEXT = 1,      /* struct vcpu_guest_context, frames canonical (FORMAT.md) */
    IMAGE_STATE_EXT_CONTEXT = 2,  /* struct xen_domctl_ext_vcpucontext */
    IMAGE_STATE_XSAVE = 3,        /* extended FPU state, as getvcpuextstate gives it */
    IMAGE_STATE_MSRS = 4,         /* struct xen_domctl_vcpu_msr, any number */
    IMAGE_STATE_SHARED_INFO = 16, /* the shared page, frames canonical */
    IMAGE_STATE_TSC = 17,        /* three 64-bit words: mode | khz << 32, elapsed ns, incarnation */
    IMAGE_STATE_CPUID = 18,      /* xen_cpuid_leaf_t, any number */
    IMAGE_STATE_MSR_POLICY = 19, /* xen_msr_entry_t, any number */
    IMAGE_STATE_EXTRA = 20,      /* the saver's own notes; up to 64 KiB */
};
#define IMAGE_STATE_DOMAIN_WIDE 16u        /* kinds from here on belong to the domain */
#define IMAGE_NO_VCPU           UINT32_MAX /* image_state.vcpu of those */

struct image_state {
    uint32_t kind;
    uint32_t vcpu; /* 0..vcpus-1, or IMAGE_NO_VCPU */
};

/* Where the content of a run of pages is. */
enum image_kind {
    IMAGE_DATA = 1,   /* the next pages of the chunk's data */
    IMAGE_ZERO = 2,   /* all zero */
    IMAGE_REPEAT = 3, /* as that of `source`, `source` + 1, ...: data pages, lower than this run */
};
enum image_codec { IMAGE_STORED = 0, IMAGE_LZ4 = 1, IMAGE_ZLIB = 2 };

/* The body of a chunk: this, then its runs. Over all chunks gfns strictly ascend. */
struct image_chunk {
    uint32_t codec;
    uint32_t runs; /* 1..IMAGE_CHUNK_PAGES */
};
struct image_run {
    uint32_t gfn;
    uint32_t count;
    uint32_t source; /* of repeats; otherwise 0. Both sides are IMAGE_NORMAL then */
    uint8_t kind;
    uint8_t type; /* enum image_type */
    uint16_t zero;
};
_Static_assert(sizeof(struct image_run) == 16, "run");

struct image_index_entry {
    uint64_t offset; /* of the chunk's record, from the start of the image */
    uint32_t gfn;    /* the chunk's first */
    uint32_t pages;  /* in it, of all kinds */
};
_Static_assert(sizeof(struct image_index_entry) == 16, "index entry");

/* Totals; the record stands at the end and has a fixed size, so it is found from there, too. */
struct image_end {
    uint64_t length;       /* of the whole image, this record included */
    uint64_t index_offset; /* of the index record */
    uint64_t chunks;
    uint64_t data_pages;
    uint64_t zero_pages;
    uint64_t repeat_pages;
    uint64_t packed_bytes;     /* data of all chunks, as stored */
    uint64_t records_checksum; /* of the above_checksum words of all records before, in order */
};
_Static_assert(sizeof(struct image_end) == 64, "end record");

#endif
