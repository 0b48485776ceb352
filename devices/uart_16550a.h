/* 16550A UART. Thread: machine thread.
 *
 * Bytes that the guest sends go to the sink at once, in order; bytes for it arrive as INPUT_SERIAL_BYTE with the target
 * index. */
#ifndef VMRR_DEVICES_UART_16550A_H
#define VMRR_DEVICES_UART_16550A_H

#include "core/device.h"
#include "core/irq.h"
#include "devices/board_pc.h"

#define UART_16550A_MAX 4

extern const struct device_class uart_16550a_class;

/* index 0 .. UART_16550A_MAX - 1: 0 is COM1 (3F8h, IRQ4), 1 is COM2 (2F8h, IRQ3). */
struct device *uart_16550a_create(struct machine *machine, unsigned index, uint16_t io_base, struct irq_line irq,
                                  struct char_sink sink);

#endif
