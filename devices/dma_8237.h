/* 8237A DMA controllers and their page registers, as registers only. Thread: machine thread. */
#ifndef VMRR_DEVICES_DMA_8237_H
#define VMRR_DEVICES_DMA_8237_H

#include "core/device.h"

extern const struct device_class dma_8237_class;

/* Ports 00h-0Fh, C0h-DFh and 81h-8Fh. */
struct device *dma_8237_create(struct machine *machine);

#endif
