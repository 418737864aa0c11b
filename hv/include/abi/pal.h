/* SPDX-License-Identifier: MIT */
/*
 * What only Palimpsest has: one hypercall beside Xen's public interface.
 *
 *   long pal_op(unsigned int cmd, void *arg)        rax = __HYPERVISOR_pal_op
 *
 * Returns 0 or a positive value on success, a negative errno (<xen/errno.h>)
 * on failure. Only the control domain may call it: others get -EPERM whatever
 * the command. Fields are written by the hypervisor unless marked IN.
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
    uint64_t
        ram_frames; /* all RAM of the machine; what is neither here nor in total_frames is the */
    uint64_t table_frames; /* image and the firmware's. Frame table and other tables made at boot */
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

#endif
