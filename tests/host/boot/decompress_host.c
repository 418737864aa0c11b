/* SPDX-License-Identifier: MIT */
/* What the hypervisor has around the decoders is not needed in a program: it is the state it is in
 * anyway. */
#include "decompress/decompress.h"

enum decompress_result decompress(enum decompress_kind kind, struct decompress_job *job)
{
    return decompress_here(kind, job);
}
