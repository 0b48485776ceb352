/* fw_cfg: the channel by which firmware is told what machine it runs on. Ports 510h (selector), 511h (data), 514h (DMA).
 *
 * Items are configuration, filled by board_pc.c before the machine runs; the guest can only read them. Adding copies
 * unless the name says borrowed. A key or a file name must not be added twice (CHECK). */
#ifndef VMRR_DEVICES_FW_CFG_H
#define VMRR_DEVICES_FW_CFG_H

#include "core/device.h"

#include <stddef.h>
#include <stdint.h>

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03, /* below 4 GiB */
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_MACHINE_ID = 0x06,
    FW_CFG_BOOT_DEVICE = 0x0C,
    FW_CFG_NUMA = 0x0D,
    FW_CFG_BOOT_MENU = 0x0E,
    FW_CFG_MAX_CPUS = 0x0F,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002, /* PIT on I/O APIC pin 2 */
};

#define FW_CFG_FILES_MAX 0x20u
#define FW_CFG_FILE_NAME_BYTES 56u /* with the terminating zero */

struct fw_cfg;
extern const struct device_class fw_cfg_class;

struct fw_cfg *fw_cfg_create(struct machine *machine);

void fw_cfg_add_bytes(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, size_t size_bytes);
void fw_cfg_add_borrowed(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, size_t size_bytes);
void fw_cfg_add_u16(struct fw_cfg *fw_cfg, uint16_t key, uint16_t value);
void fw_cfg_add_u64(struct fw_cfg *fw_cfg, uint16_t key, uint64_t value);
void fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t size_bytes);
void fw_cfg_add_file_borrowed(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t size_bytes);

#endif
