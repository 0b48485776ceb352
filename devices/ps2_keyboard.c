/* PS/2 keyboard, scan code sets 1 and 2. IBM PS/2 Hardware Interface Technical Reference, "Keyboard".
 *
 * Not modelled: set 3 (F0h 03h is answered with a resend), typematic repeat (the host's keyboard repeats), the shift
 * states in the codes of Print Screen and the grey keys. */
#include "devices/ps2.h"

#define SET2_BREAK 0xF0u
#define SET1_BREAK 0x80u
#define KEY_PAUSE 0xE11Du
#define TYPEMATIC_DEFAULT 0x2Bu

/* Set 2 code of each set 1 code. */
static const uint8_t set2_of_set1[128] = {
    0x00, 0x76, 0x16, 0x1E, 0x26, 0x25, 0x2E, 0x36, 0x3D, 0x3E, 0x46, 0x45, 0x4E, 0x55, 0x66, 0x0D, /* 00 */
    0x15, 0x1D, 0x24, 0x2D, 0x2C, 0x35, 0x3C, 0x43, 0x44, 0x4D, 0x54, 0x5B, 0x5A, 0x14, 0x1C, 0x1B, /* 10 */
    0x23, 0x2B, 0x34, 0x33, 0x3B, 0x42, 0x4B, 0x4C, 0x52, 0x0E, 0x12, 0x5D, 0x1A, 0x22, 0x21, 0x2A, /* 20 */
    0x32, 0x31, 0x3A, 0x41, 0x49, 0x4A, 0x59, 0x7C, 0x11, 0x29, 0x58, 0x05, 0x06, 0x04, 0x0C, 0x03, /* 30 */
    0x0B, 0x83, 0x0A, 0x01, 0x09, 0x77, 0x7E, 0x6C, 0x75, 0x7D, 0x7B, 0x6B, 0x73, 0x74, 0x79, 0x69, /* 40 */
    0x72, 0x7A, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78, 0x07, 0x0F, 0x17, 0x1F, 0x27, 0x2F, 0x37, 0x3F, /* 50 */
    0x47, 0x4F, 0x56, 0x5E, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x6F, /* 60 */
    0x13, 0x19, 0x39, 0x51, 0x53, 0x5C, 0x5F, 0x62, 0x63, 0x64, 0x65, 0x67, 0x68, 0x6A, 0x6D, 0x6E, /* 70 */
};

uint8_t ps2_keyboard_translate(uint8_t set2)
{
    if (set2 == 0x00)
        return 0xFF;
    if (set2 == 0x7F)
        return 0x54;
    for (unsigned i = 1; i < 128; i++)
        if (set2_of_set1[i] == set2)
            return (uint8_t)i;
    return set2;
}

static void keyboard_set_defaults(struct ps2_keyboard *keyboard)
{
    ps2_queue_clear(keyboard->queue);
    keyboard->set = 2;
    keyboard->typematic = TYPEMATIC_DEFAULT;
    keyboard->parameter = 0;
}

void ps2_keyboard_reset(struct ps2_keyboard *keyboard)
{
    *keyboard = (struct ps2_keyboard){.scanning = true};
    keyboard_set_defaults(keyboard);
}

static void keyboard_put(struct ps2_keyboard *keyboard, uint8_t byte)
{
    ps2_queue_put(keyboard->queue, byte);
}

uint8_t ps2_keyboard_take(struct ps2_keyboard *keyboard)
{
    keyboard->last_sent = ps2_queue_take(keyboard->queue);
    return keyboard->last_sent;
}

static void keyboard_put_pause(struct ps2_keyboard *keyboard)
{
    static const uint8_t set1[] = {0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5};
    static const uint8_t set2[] = {0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77};
    const uint8_t *codes = keyboard->set == 1 ? set1 : set2;
    size_t count = keyboard->set == 1 ? sizeof(set1) : sizeof(set2);
    for (size_t i = 0; i < count; i++)
        keyboard_put(keyboard, codes[i]);
}

/* A key comes whole or not at all: half a code would confuse the guest for long. */
void ps2_keyboard_key(struct ps2_keyboard *keyboard, uint32_t code, bool pressed)
{
    uint8_t set1 = code & 0x7F;
    if (!keyboard->scanning || ps2_queue_room(keyboard->queue) < 8)
        return;
    if (code == KEY_PAUSE) {
        if (pressed)
            keyboard_put_pause(keyboard); /* make and break at once: the key has no release */
        return;
    }
    if (code >> 8 == 0xE0)
        keyboard_put(keyboard, 0xE0);
    if (keyboard->set == 1) {
        keyboard_put(keyboard, pressed ? set1 : set1 | SET1_BREAK);
        return;
    }
    if (!pressed)
        keyboard_put(keyboard, SET2_BREAK);
    keyboard_put(keyboard, set2_of_set1[set1]);
}

static void keyboard_take_parameter(struct ps2_keyboard *keyboard, uint8_t byte)
{
    uint8_t command = keyboard->parameter;
    keyboard->parameter = 0;
    switch (command) {
    case 0xED:
        keyboard->leds = byte & 7;
        keyboard_put(keyboard, PS2_ACK);
        break;
    case 0xF3:
        keyboard->typematic = byte & 0x7F;
        keyboard_put(keyboard, PS2_ACK);
        break;
    default: /* F0h */
        if (byte > 2) {
            keyboard_put(keyboard, PS2_RESEND);
            break;
        }
        keyboard_put(keyboard, PS2_ACK);
        if (byte == 0)
            keyboard_put(keyboard, keyboard->set);
        else
            keyboard->set = byte;
        break;
    }
}

void ps2_keyboard_command(struct ps2_keyboard *keyboard, uint8_t byte)
{
    if (keyboard->parameter && byte < 0x80) { /* a command byte instead abandons the command */
        keyboard_take_parameter(keyboard, byte);
        return;
    }
    keyboard->parameter = 0;
    switch (byte) {
    case 0xED: /* LEDs */
    case 0xF0: /* scan code set */
    case 0xF3: /* typematic */
        keyboard_put(keyboard, PS2_ACK);
        keyboard->parameter = byte;
        break;
    case 0xEE: keyboard_put(keyboard, 0xEE); break;
    case 0xF2:
        keyboard_put(keyboard, PS2_ACK);
        keyboard_put(keyboard, 0xAB);
        keyboard_put(keyboard, 0x83);
        break;
    case 0xF4:
        ps2_queue_clear(keyboard->queue);
        keyboard->scanning = true;
        keyboard_put(keyboard, PS2_ACK);
        break;
    case 0xF5:
    case 0xF6:
        keyboard_set_defaults(keyboard);
        keyboard->scanning = byte == 0xF6 ? keyboard->scanning : false;
        keyboard_put(keyboard, PS2_ACK);
        break;
    case 0xF7 ... 0xFA: /* key types of set 3 */ keyboard_put(keyboard, PS2_ACK); break;
    case 0xFE: keyboard_put(keyboard, keyboard->last_sent); break;
    case 0xFF:
        ps2_keyboard_reset(keyboard);
        keyboard_put(keyboard, PS2_ACK);
        keyboard_put(keyboard, PS2_SELF_TEST_PASSED);
        break;
    default: keyboard_put(keyboard, PS2_RESEND); break;
    }
}
