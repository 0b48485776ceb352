/* The two PS/2 devices behind the 8042: keyboard and mouse. Embedded in kbd_8042.c, which moves bytes to and from them;
 * their state lists are here so that it can nest them. Thread: machine thread. */
#ifndef VMRR_DEVICES_PS2_H
#define VMRR_DEVICES_PS2_H

#include "core/state.h"

#define PS2_QUEUE_BYTES 256u

#define PS2_ACK 0xFAu
#define PS2_RESEND 0xFEu
#define PS2_SELF_TEST_PASSED 0xAAu

/* Bytes on their way to the host. */
#define PS2_QUEUE_STATE(S, A, N, T)                                                                                    \
    S(T, uint32_t, start)                                                                                              \
    S(T, uint32_t, count)                                                                                              \
    A(T, uint8_t, bytes, PS2_QUEUE_BYTES)
struct ps2_queue {
    STATE_MEMBERS(PS2_QUEUE_STATE)
};

static inline uint32_t ps2_queue_room(const struct ps2_queue *queue)
{
    return PS2_QUEUE_BYTES - queue->count;
}

/* A byte for which there is no room is lost. */
static inline void ps2_queue_put(struct ps2_queue *queue, uint8_t byte)
{
    if (queue->count < PS2_QUEUE_BYTES)
        queue->bytes[(queue->start + queue->count++) % PS2_QUEUE_BYTES] = byte;
}

static inline uint8_t ps2_queue_take(struct ps2_queue *queue)
{
    uint8_t byte = queue->bytes[queue->start];
    queue->start = (queue->start + 1) % PS2_QUEUE_BYTES;
    queue->count--;
    return byte;
}

static inline void ps2_queue_clear(struct ps2_queue *queue)
{
    queue->count = 0;
}

/* For state that may come from a damaged file. */
static inline void ps2_queue_bound(struct ps2_queue *queue)
{
    queue->start %= PS2_QUEUE_BYTES;
    if (queue->count > PS2_QUEUE_BYTES)
        queue->count = 0;
}

#define PS2_KEYBOARD_STATE(S, A, N, T)                                                                                 \
    N(T, struct ps2_queue, queue, 1, ps2_queue_fields)                                                                 \
    S(T, bool, scanning)                                                                                               \
    S(T, uint8_t, set)       /* scan code set: 1 or 2 */                                                               \
    S(T, uint8_t, parameter) /* command that waits for its parameter; 0: none */                                       \
    S(T, uint8_t, leds)                                                                                                \
    S(T, uint8_t, typematic)                                                                                           \
    S(T, uint8_t, last_sent)
struct ps2_keyboard {
    STATE_MEMBERS(PS2_KEYBOARD_STATE)
};

void ps2_keyboard_reset(struct ps2_keyboard *keyboard);
void ps2_keyboard_command(struct ps2_keyboard *keyboard, uint8_t byte);
/* code: set 1, 0xE000 | code for the extended keys, 0xE11D for Pause. */
void ps2_keyboard_key(struct ps2_keyboard *keyboard, uint32_t code, bool pressed);
uint8_t ps2_keyboard_take(struct ps2_keyboard *keyboard);
/* What the 8042's translation makes of a set 2 code below 80h. */
uint8_t ps2_keyboard_translate(uint8_t set2);

#define PS2_MOUSE_STATE(S, A, N, T)                                                                                    \
    N(T, struct ps2_queue, queue, 1, ps2_queue_fields)                                                                 \
    S(T, bool, reporting)                                                                                              \
    S(T, bool, remote)                                                                                                 \
    S(T, bool, wrap)                                                                                                   \
    S(T, bool, scaling_2_1)                                                                                            \
    S(T, uint8_t, id) /* 0 plain, 3 with wheel, 4 with five buttons */                                                 \
    S(T, uint8_t, parameter)                                                                                           \
    S(T, uint8_t, resolution)                                                                                          \
    S(T, uint8_t, rate)                                                                                                \
    A(T, uint8_t, rates, 2) /* the two rates set before, for the wheel's knock */                                      \
    S(T, uint8_t, buttons)                                                                                             \
    S(T, uint8_t, reported) /* buttons of the last packet */                                                           \
    S(T, int32_t, dx)       /* not yet reported */                                                                     \
    S(T, int32_t, dy)                                                                                                  \
    S(T, int32_t, dz)                                                                                                  \
    S(T, uint8_t, last_sent)
struct ps2_mouse {
    STATE_MEMBERS(PS2_MOUSE_STATE)
};

void ps2_mouse_reset(struct ps2_mouse *mouse);
void ps2_mouse_command(struct ps2_mouse *mouse, uint8_t byte);
/* dx to the right, dy down (screen coordinates), dz towards the person; buttons: bit 0 left, 1 right, 2 middle, 3 and 4
 * the side ones. */
void ps2_mouse_move(struct ps2_mouse *mouse, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons);
uint8_t ps2_mouse_take(struct ps2_mouse *mouse);

#endif
