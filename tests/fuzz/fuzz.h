/* What fuzz targets share: the entry point that libFuzzer and run_corpus.c call. A target aborts (CHECK) when it finds
 * something wrong. */
#ifndef VMRR_TESTS_FUZZ_FUZZ_H
#define VMRR_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
