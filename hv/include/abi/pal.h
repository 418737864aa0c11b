/* SPDX-License-Identifier: MIT */
/*
 * What only Palimpsest has: one hypercall beside Xen's public interface.
 *
 *   long pal_op(unsigned int cmd, void *arg)        rax = __HYPERVISOR_pal_op
 *
 * Returns 0 or a positive value on success, a negative errno (<xen/errno.h>)
 * on failure. Only the control domain may call it: others get -EPERM whatever
 * the command, but for the four operations on regions that say so. Fields are
 * written by the hypervisor unless marked IN; IN-OUT are both.
 */
#ifndef PAL_ABI_PAL_H
#define PAL_ABI_PAL_H

#include <stdint.h>

#define __HYPERVISOR_pal_op 55 /* __HYPERVISOR_arch_7: unused by Xen 4.17 */

/*
 * Recompute every frame's owner, counts and role from first principles and
 * compare them with the stored values. arg: struct pal_audit. Other vCPUs are
 * held at the guest boundary while it runs. Returns the number of
 * disagreements (0: the books balance); each is also logged, up to 16.
 */
#define PALOP_audit 0
struct pal_audit {
    uint64_t frames;        /* frames looked at */
    uint64_t disagreements; /* frames whose stored state is wrong */
    uint64_t first_bad_mfn; /* the first of them, or ~0 */
};

/* Counters of the machine. arg: struct pal_stats. */
#define PALOP_stats 1
struct pal_stats {
    uint64_t total_frames; /* all RAM that is handed out and taken back, in 4 KiB frames */
    uint64_t free_frames;
    uint64_t heap_frames;    /* hypervisor's own allocations */
    uint64_t heap_bytes;     /* bytes handed out of them */
    uint64_t domains;        /* live and dying */
    uint64_t longest_off_ns; /* longest time any CPU ran with interrupts off */
    uint64_t context_switches;
    uint64_t hypercalls;
    /* All RAM of the machine: total_frames, the tables made at boot (frame table and others), and a rest
     * that is the image's and the firmware's. */
    uint64_t ram_frames;
    uint64_t table_frames;
    uint64_t regions;
    uint64_t region_frames; /* their memory: neither free nor any domain's */
    uint64_t cached_frames; /* of the free ones: they hold pages of the buffer cache */
};

/* Read the role of one frame, for tests. arg: struct pal_frame. */
#define PALOP_frame 2
struct pal_frame {
    uint64_t mfn;   /* IN */
    uint32_t owner; /* domain id, or DOMID_* */
    uint32_t role;  /* PAL_ROLE_* */
    uint32_t role_count;
    uint32_t refs;  /* general references */
    uint32_t flags; /* PAL_FRAME_* */
    uint32_t pad;
};
#define PAL_ROLE_none       0
#define PAL_ROLE_writable   1
#define PAL_ROLE_l1         2
#define PAL_ROLE_l2         3
#define PAL_ROLE_l3         4
#define PAL_ROLE_l4         5
#define PAL_ROLE_desc       6
#define PAL_FRAME_validated (1u << 0)
#define PAL_FRAME_pinned    (1u << 1)
#define PAL_FRAME_busy      (1u << 2)

/* The account of one domain since it was made. arg: struct pal_domain. -ESRCH: there is none. */
#define PALOP_domain 3
struct pal_domain {
    uint32_t domain; /* IN */
    uint32_t vcpus;
    uint64_t running_ns; /* all its vCPUs together: on a CPU, */
    uint64_t waiting_ns; /* wanting one: taken by others, or by its cap, */
    uint64_t blocked_ns; /* with nothing to do */
    uint64_t capped_ns;  /* for so long its cap held it back */
    uint64_t hypercalls;
    uint64_t upcalls;  /* events delivered to it */
    uint64_t switches; /* times a vCPU of it got a CPU */
    uint64_t frames;   /* frames charged to it */
    uint64_t max_frames;
    uint64_t shared_pages; /* the hypervisor's own that it may map */
};

/*
 * The frames that a domain owns, in the order of machine frame numbers. arg: struct pal_frames.
 * Called again and again until next is ~0; who wants one picture of all stops the domain first.
 * Returns the number of entries written to the list. -ESRCH: there is no such domain.
 */
#define PALOP_frames 4
struct pal_frames {
    uint32_t domain; /* IN */
    uint32_t room;   /* IN: entries that the list has room for */
    uint64_t next;   /* IN: the first frame to look at; written: where to go on, ~0: that was all */
    uint64_t list;   /* IN: address of the entries */
};
struct pal_owned {
    uint64_t mfn;
    uint64_t gfn;   /* what the machine-to-physical table says: the guest's own word */
    uint32_t role;  /* PAL_ROLE_*, none when nothing holds it in its role */
    uint32_t flags; /* PAL_FRAME_* */
};

/*
 * Let a domain go on that suspended itself (SCHEDOP_shutdown), as the same domain: the call that
 * suspended it returns 1. In one step, so that of two who try one succeeds. arg: struct pal_resume.
 * -ESRCH: there is no such domain; -EINVAL: it is not suspended.
 */
#define PALOP_resume 5
struct pal_resume {
    uint32_t domain; /* IN */
    uint32_t pad;
};

/*
 * Copy pages of a domain, given by machine frame numbers, one after the other to the caller's memory: as a foreign mapping
 * shows them, for who looks at each only once. arg: struct pal_read. -EINVAL: more than PAL_READ_MAX; -ESRCH: there is no such domain;
 * -EPERM: one of the frames is not its own; -EFAULT. What was copied before an error stands there.
 */
#define PALOP_read   11
#define PAL_READ_MAX 1024u
struct pal_read {
    uint32_t domain; /* IN */
    uint32_t count;  /* IN */
    uint64_t list;   /* IN: address of the frame numbers, uint64_t each */
    uint64_t to;     /* IN: address of the first page */
};

/*
 * Regions: memory of the hypervisor that several domains share. Pages are zeroed when a region is made and when
 * it goes. A domain on its access list maps page p of the region in slot s as grant reference PAL_REGION_REF(s, p)
 * of the domain PAL_DOMID_REGION, by GNTTABOP_map_grant_ref as its stock kernel does for /dev/xen/gntdev: one
 * that may only read must ask for GNTMAP_readonly. Regions are not bound to the life of any domain.
 *
 * GNTST_permission_denied: not on the list, or no such region, or more than the list says; GNTST_bad_gntref: beyond
 * the region's end. GNTTABOP_copy and foreign mappings do not reach a region's pages.
 *
 * A domain that is not the control domain may make regions up to its quota (none unless PALOP_region_quota gave it
 * one) and change, look at and destroy those that it made; it may look at those that list it.
 */
#define PAL_DOMID_REGION           0x7fe8u /* no domain has this number; below DOMID_FIRST_RESERVED */
#define PAL_REGION_SLOTS           1024u
#define PAL_REGION_MAX_PAGES       (1u << 20) /* 4 GiB */
#define PAL_REGION_REF(slot, page) ((uint32_t)(slot) << 20 | (uint32_t)(page))
#define PAL_REGION_NAME            32 /* bytes, the last one 0; letters, digits, '_', '-' */
#define PAL_REGION_MEMBERS         32 /* domains on a list */

/* Make one. arg: struct pal_region_create. Returns the slot. Nobody is on its list, not even who made it. -EINVAL: name or size; -EEXIST: a region of the same creator
 * has the name; -ENOMEM; -EPERM: beyond the quota; -ENOSPC: no slot. May be called by a guest. */
#define PALOP_region_create 6
struct pal_region_create {
    char name[PAL_REGION_NAME]; /* IN */
    uint64_t pages;             /* IN */
};

/*
 * Put a domain on the list, change what it may, or take it off (PAL_REGION_none). Rights that are taken are taken by
 * force: on return no CPU reaches the memory through that domain any more (all its mappings, or the writable ones when
 * only reading stays); the domain ends what is left of such a mapping by unmapping it as usual (with unmap_and_replace only
 * to put nothing there). arg: struct pal_region_allow. -ENOENT: no such region (or not the caller's); -ESRCH: no such domain,
 * or to be taken off and not on the list; -ENOSPC: list full. May be called by a guest; DOMID_SELF is the caller.
 * A domain's end takes it off all lists.
 */
#define PALOP_region_allow 7
struct pal_region_allow {
    uint32_t slot;   /* IN */
    uint32_t domain; /* IN */
    uint32_t access; /* IN: PAL_REGION_* */
    uint32_t pad;
};
#define PAL_REGION_none  0
#define PAL_REGION_read  1
#define PAL_REGION_write 2 /* and read */

/* Take everybody off the list and give the memory back. arg: struct pal_region_destroy. -ENOENT. May be called by a guest. */
#define PALOP_region_destroy 8
struct pal_region_destroy {
    uint32_t slot; /* IN */
    uint32_t pad;
};

/* The region in the first used slot from `slot` on that the caller may see. arg: struct pal_region_info. -ENOENT: none.
 * May be called by a guest, which sees only its own and itself on the list of others'. */
#define PALOP_region_info 9
struct pal_region_info {
    uint32_t slot; /* IN-OUT */
    uint32_t
        creator; /* domain that made it; ~0: it is gone, only the control domain changes it now */
    uint64_t pages;
    uint64_t generation; /* differs for each region since the machine's start */
    char name[PAL_REGION_NAME];
    uint32_t members;
    uint32_t pad;
    struct pal_region_member {
        uint32_t domain;
        uint32_t access;
        uint64_t mappings; /* page mappings that it has now, made and not yet taken away or ended */
    } member[PAL_REGION_MEMBERS];
};

/* How much a guest may make regions of: both 0 is none, which is how a domain starts. arg: struct pal_region_quota.
 * -ESRCH. What it has stays. */
#define PALOP_region_quota 10
struct pal_region_quota {
    uint32_t domain;  /* IN */
    uint32_t regions; /* IN: at most so many */
    uint64_t pages;   /* IN: of so many pages together */
};

/*
 * The buffer cache: free memory holds pages of disk images, for reading. A cached page lies in a free frame and costs no
 * memory: whoever allocates takes the frame, and the page is gone. Pages never change: an image that does is another
 * object. Only the control domain calls these; its block backend inserts, and copies on behalf of the guests.
 */
#define PAL_CACHE_OBJECTS   1024u
#define PAL_CACHE_MAX_PAGES (1ull << 32)
#define PAL_CACHE_BATCH     128u /* entries of a list */

/* The number of the object with this name, made if there is none. arg: struct pal_cache_object. Returns the number, which
 * is not used again when the object is retired (two million retired objects later at the earliest; below 2^31).
 * -EINVAL: size differs from before, or is absurd; -ENOSPC: there are PAL_CACHE_OBJECTS; -ENOMEM. */
#define PALOP_cache_object 16
struct pal_cache_object {
    uint64_t name[2]; /* IN: of one immutable content: another content has another name */
    uint64_t pages;   /* IN */
};

/* May this domain read the object? arg: struct pal_cache_reader. -ENOENT: no such object; -ESRCH. A domain's end takes it off
 * all lists. */
#define PALOP_cache_reader 17
struct pal_cache_reader {
    uint32_t object; /* IN */
    uint32_t domain; /* IN */
    uint32_t allow;  /* IN: 0 or 1 */
    uint32_t pad;
};

/* Insert pages from the caller's memory. arg: struct pal_cache_list with pal_cache_page entries. Returns how many of the
 * list were dealt with; each has its status: 0, -EEXIST (it is there: nothing done), -ENOMEM (no free frame, or a limit),
 * -EINVAL (beyond the object's end), -EFAULT. Entries are written back whole. For the call: -ENOENT: no such object;
 * -EPERM: the domain is not on its list, or the cache is off, for all or for it. Where there is no free frame a page gives way;
 * a page that was hit stays longer than one that was not. What was missed is best given to who asked without a copy from the
 * cache, which would count as a hit. */
#define PALOP_cache_insert 18
#define PAL_CACHE_NOBODY   0xffffffffu /* as domain, of inserts: on nobody's behalf */
struct pal_cache_list {
    uint32_t object; /* IN */
    uint32_t
        domain; /* IN: insert: on whose behalf; copy: who reads, the granter of the pages written */
    uint32_t count; /* IN: <= PAL_CACHE_BATCH */
    uint32_t pad;
    uint64_t list; /* IN: address of the entries */
};
struct pal_cache_page {
    uint64_t page;    /* IN: index in the object */
    uint64_t address; /* IN: of its 4096 bytes in the caller's memory */
    int32_t status;
    uint32_t pad;
};

/*
 * Copy from cached pages into pages that a domain granted to the caller. arg: struct pal_cache_list with pal_cache_copy entries.
 * Returns how many of the list were dealt with; status of each: 0 (hit), -ENOENT (not cached: a miss), -EINVAL (lengths, beyond the
 * end), or -EACCES (the grant does not allow it). Entries are written back whole. For the call: -ENOENT, -EPERM as above; who loses
 * the object in the middle of a list finds the rest not dealt with.
 */
#define PALOP_cache_copy 19
struct pal_cache_copy {
    uint64_t page;   /* IN: index in the object */
    uint32_t ref;    /* IN: grant of `domain`, of its own frame, writable */
    uint16_t start;  /* IN: first byte in the cached page, */
    uint16_t offset; /* IN: first byte in the granted page, */
    uint16_t length; /* IN: bytes; neither passes its page's end */
    int16_t status;
    uint32_t pad;
};

/* Forget all cached pages of an object, and with `retire` the object and its number too. object ~0u: of all objects.
 * arg: struct pal_cache_drop. -ENOENT. */
#define PALOP_cache_drop 20
struct pal_cache_drop {
    uint32_t object; /* IN */
    uint32_t retire; /* IN: 0 or 1 */
};

/* Limits. arg: struct pal_cache_limit. domain ~0u: of the whole cache (pages), or on and off for all; else how many cached pages may
 * have been inserted on a domain's behalf, and whether it takes part. What is beyond a limit, or was inserted by who is off, is
 * forgotten. -ESRCH; -ENOMEM. */
#define PALOP_cache_limit 21
struct pal_cache_limit {
    uint32_t domain; /* IN */
    uint32_t off;    /* IN: 1: neither inserts nor hits */
    uint64_t pages;  /* IN: ~0: no limit */
};

/* Counters since the start. */
struct pal_cache_counts {
    uint64_t pages; /* cached now; of a domain: inserted on its behalf */
    uint64_t hits, misses, inserts;
    uint64_t evictions; /* replaced by other pages */
    uint64_t taken;     /* their frame was needed */
    uint64_t bytes;     /* copied out */
};

/* The cache as a whole (object and domain ~0u), the first object from `object` on, or the first domain from `domain` on that has a
 * count (the other being ~0u). arg: struct pal_cache_info. -ENOENT: none. */
#define PALOP_cache_info 22
struct pal_cache_info {
    uint32_t object;                /* IN-OUT */
    uint32_t domain;                /* IN-OUT */
    uint64_t name[2], object_pages; /* of the object */
    uint32_t readers;               /* of the object */
    uint32_t off;                   /* of the whole or the domain */
    uint64_t limit;                 /* of the whole or the domain */
    struct pal_cache_counts counts;
};

/*
 * Which pages of an object are cached now, in no order. arg: struct pal_cache_pages. Called again and again until next is ~0; what comes
 * and goes meanwhile may be missed, or told twice. Returns the number of entries written to the list. -ENOENT.
 */
#define PALOP_cache_pages 23
struct pal_cache_pages {
    uint32_t object; /* IN */
    uint32_t room;   /* IN: entries that the list has room for, at least 128 */
    uint64_t next;   /* IN: where to go on, first 0; written: where to go on, ~0: that was all */
    uint64_t list;   /* IN: address of the entries, uint32_t each */
};

#endif
