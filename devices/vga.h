/* VGA with Bochs VBE extensions: PCI 1234:1111, 16 MiB of video memory in BAR0, VGA window at A0000h..BFFFFh. */
#ifndef VMRR_DEVICES_VGA_H
#define VMRR_DEVICES_VGA_H

#include "core/device.h"
#include "devices/board_pc.h"
#include "devices/pci_bus.h"

extern const struct device_class vga_class;

struct device *vga_create(struct machine *machine, struct pci_bus *bus, unsigned slot, struct error *error);
/* What a video BIOS would have done: 80x25 colour text, screen cleared, palette and font (our own: vga_font.c) set. */
void vga_enter_text_mode(struct device *device);
enum status vga_screen(struct device *device, struct board_screen *screen) MUST_CHECK;

#endif
