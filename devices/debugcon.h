/* Debug console: a port that takes text. Thread: machine thread. */
#ifndef VMRR_DEVICES_DEBUGCON_H
#define VMRR_DEVICES_DEBUGCON_H

#include "core/device.h"
#include "devices/board_pc.h"

extern const struct device_class debugcon_class;

/* Ports 402h (SeaBIOS) and E9h (Bochs). */
struct device *debugcon_create(struct machine *machine, struct char_sink sink);

#endif
