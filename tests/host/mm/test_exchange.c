/* SPDX-License-Identifier: MIT */
/* XENMEM_exchange (exchange.c). */
#include "world.h"

static struct mm_vcpu *v;
static struct xen_memory_exchange *const x = (void *)fake_buffer;
static xen_pfn_t *const in = (void *)(fake_buffer + 4096), *const out =
                                                               (void *)(fake_buffer + 8192);
static mfn_t f[8];

static void setup(unsigned frames)
{
    fake_reset(20);
    v = fake_v(1, 0);
    memset(x, 0, sizeof(*x));
    for (unsigned i = 0; i < frames; i++) {
        f[i] = new_frame(v->d);
        in[i] = f[i].n;
        out[i] = 500 + i;
    }
    x->in.extent_start.p = in;
    x->out.extent_start.p = out;
    x->in.domid = x->out.domid = DOMID_SELF;
    x->in.nr_extents = frames;
    x->out.nr_extents = frames;
}

static long exchange_now(void)
{
    return mm_memory_op(v, XENMEM_exchange, fake_va(x));
}

/* Refused, and all is as it was. */
static void refused(int error, unsigned frames)
{
    uint64_t free_before = palloc_free_frames();

    assert_int_equal(exchange_now(), error);
    assert_int_equal(v->d->tot_pages, frames);
    assert_int_equal(palloc_free_frames(), free_before);
    for (unsigned i = 0; i < frames; i++) {
        assert_int_equal(out[i], 500 + i);
        assert_int_equal(frame_of(f[i])->owner, 1);
        assert_int_equal(refs_at(f[i]) >= 1, 1);
    }
    fake_check();
}

static void many_for_one_block_and_back(void **state)
{
    (void)state;
    setup(4);
    x->out.nr_extents = 1;
    x->out.extent_order = 2;
    x->out.mem_flags = 21;
    assert_int_equal(exchange_now(), 0);
    assert_int_equal(x->nr_exchanged, 4);
    assert_int_equal(out[0] % 4, 0);
    assert_true(out[0] + 4 <= BIT(21 - 12));
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(m2p_table[out[0] + i], 500 + i);
        assert_int_equal(frame_of(mfn(out[0] + i))->owner, 1);
        assert_int_equal(frame_of(f[i])->owner, OWNER_FREE);
    }
    assert_int_equal(v->d->tot_pages, 4);
    fake_check();
    in[0] = out[0];
    x->in.nr_extents = 1;
    x->in.extent_order = 2;
    x->out.nr_extents = 4;
    x->out.extent_order = 0;
    x->nr_exchanged = 0;
    for (unsigned i = 0; i < 4; i++)
        out[i] = 600 + i;
    assert_int_equal(exchange_now(), 0);
    assert_int_equal(x->nr_exchanged, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(m2p_table[out[i]], 600 + i);
    fake_check();
}

static void frames_that_are_in_use_or_not_ours(void **state)
{
    struct tree t;

    (void)state;
    setup(4);
    in[2] = in[0]; /* listed twice */
    refused(-XEN_EINVAL, 4);
    in[2] = 1;
    refused(-XEN_EINVAL, 4);
    in[2] = FAKE_FRAMES - 1;
    refused(-XEN_EINVAL, 4);
    in[2] = ~0ull;
    refused(-XEN_EINVAL, 4);
    in[2] = f[2].n;
    assert_int_equal(mm_pin(v->d, f[2], ROLE_L1), 0);
    refused(-XEN_EINVAL, 4);
    assert_int_equal(mm_unpin(v->d, f[2]), 0);
    assert_int_equal(mm_hold_writable(v->d, f[3]), 0);
    assert_int_equal(exchange_now(), -XEN_EINVAL);
    mm_release_writable(v->d, f[3]);
    t = new_tree(fake_d(2), 1);
    in[2] = t.page[0].n;
    refused(-XEN_EINVAL, 4);
}

static void arguments(void **state)
{
    (void)state;
    setup(4);
    x->out.nr_extents = 3;
    refused(-XEN_EINVAL, 4);
    x->out.nr_extents = 4;
    x->in.extent_order = x->out.extent_order = 13;
    refused(-XEN_EPERM, 4);
    x->in.extent_order = x->out.extent_order = ~0u;
    refused(-XEN_EPERM, 4);
    x->in.extent_order = x->out.extent_order = 0;
    x->in.nr_extents = x->out.nr_extents = 1ull << 62;
    refused(-XEN_EINVAL, 4);
    x->in.nr_extents = x->out.nr_extents = 4;
    x->nr_exchanged = 3; /* progress claimed by the guest */
    refused(-XEN_EINVAL, 4);
    assert_int_equal(x->nr_exchanged, 3);
    x->nr_exchanged = 0;
    x->in.domid = 2;
    refused(-XEN_EINVAL, 4);
    x->out.domid = 2;
    refused(-XEN_EPERM, 4);
    x->in.domid = x->out.domid = DOMID_SELF;
    x->out.extent_start.p = (void *)0x1000;
    assert_int_equal(exchange_now(), -XEN_EFAULT);
    x->out.extent_start.p = (void *)(fake_buffer + FAKE_BUFFER - 16); /* ends in nowhere */
    assert_int_equal(exchange_now(), -XEN_EFAULT);
    assert_int_equal(v->d->tot_pages, 4);
    x->out.extent_start.p = out;
    fake_exhaust();
    refused(-XEN_ENOMEM, 4);
    fake_unexhaust();
    assert_int_equal(exchange_now(), 0);
    fake_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_for_one_block_and_back),
        cmocka_unit_test(frames_that_are_in_use_or_not_ours),
        cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
