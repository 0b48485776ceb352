/* Keys by QEMU's names (QKeyCode), and pressing them: each an INPUT_KEY. */
#ifndef VMRR_TOOLS_MONITOR_KEYS_H
#define VMRR_TOOLS_MONITOR_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEYS_AT_ONCE 16

struct session;

/* INPUT_KEY's code: scan code set 1, with 0xE000 for an E0 prefix. False: no such key. */
bool key_code(const char *name, uint32_t *code);
/* QEMU's key numbers: scan code set 1, bit 7 for the E0 prefix. */
bool key_number(int64_t number, uint32_t *code);
/* Down in the order given, up in the reverse, without any time in between. */
void keys_press(struct session *session, const uint32_t *codes, unsigned count);

#endif
