/* Included before every test (tests/CMakeLists.txt). Check notes each assertion that holds by a message to its runner, which
 * makes a million of them take minutes; a failed one says where it is by itself. */
#ifndef VMRR_TESTS_SUPPORT_QUIET_CHECK_H
#define VMRR_TESTS_SUPPORT_QUIET_CHECK_H

#include <check.h>

#define _mark_point(file, line) ((void)0)

/* A test's main: runs a suite and gives the exit code. CK_FORK_GETENV: a process a test, as Check's CK_FORK says;
 * CK_NOFORK: in this process, for tests with signal handlers or fixed mappings of their own. CK_VERBOSITY sets what is
 * printed. */
static inline int run_suite(Suite *suite, enum fork_status fork_status)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_set_fork_status(runner, fork_status);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
