/* SPDX-License-Identifier: MIT */
/* The cache of unpacked kernels: by content, bounded, and only in a directory of our own. */
#include "../directory.h"
#include "test.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/image.h"

static int set_up(void **state)
{
    (void)state;
    if (directory_make())
        return -1;
    return setenv("PAL_CACHE_DIR", directory, 1);
}

static int tear_down(void **state)
{
    (void)state;
    return directory_remove();
}

static void test_by_content(void **state)
{
    char *found;

    (void)state;
    assert_null(pal_cache_find("one", 3, 5));
    pal_cache_keep("one", 3, "first", 5);
    pal_cache_keep("two", 3, "other", 5);
    found = pal_cache_find("one", 3, 5);
    assert_non_null(found);
    assert_memory_equal(found, "first", 5);
    munmap(found, 5);
    assert_null(pal_cache_find("one", 3, 4)); /* another size than the image declares */
    assert_null(pal_cache_find("onf", 3, 5));
}

static void test_bounded(void **state)
{
    unsigned files = 0;
    DIR *list;

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        pal_cache_keep(&i, sizeof(i), "data", 4);
    list = opendir(directory);
    for (struct dirent *d; (d = readdir(list));)
        files += d->d_name[0] != '.';
    closedir(list);
    assert_int_equal(files, 8);
}

static void test_only_ours(void **state)
{
    (void)state;
    pal_cache_keep("one", 3, "first", 5);
    assert_int_equal(chmod(directory, 0777), 0); /* anybody could put a kernel there */
    assert_null(pal_cache_find("one", 3, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_ours, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
