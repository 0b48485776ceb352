/* PS/2 mouse with the IntelliMouse (wheel) and IntelliMouse Explorer (five buttons) extensions. IBM PS/2 Hardware
 * Interface Technical Reference, "Auxiliary device"; Microsoft's knock: sample rates 200, 100, 80 and 200, 200, 80.
 *
 * Not modelled: the sample rate as time (a movement is reported when there is room in the queue). */
#include "devices/ps2.h"

#define RATE_DEFAULT 100u
#define RESOLUTION_DEFAULT 2u
#define MOVEMENT_MAX 32767
#define PACKET_BYTES_MAX 4u

static void mouse_put(struct ps2_mouse *mouse, uint8_t byte)
{
    ps2_queue_put(mouse->queue, byte);
}

static void mouse_set_defaults(struct ps2_mouse *mouse)
{
    ps2_queue_clear(mouse->queue);
    mouse->reporting = mouse->remote = mouse->wrap = mouse->scaling_2_1 = false;
    mouse->resolution = RESOLUTION_DEFAULT;
    mouse->rate = RATE_DEFAULT;
    mouse->rates[0] = mouse->rates[1] = 0;
    mouse->dx = mouse->dy = mouse->dz = 0;
    mouse->parameter = 0;
}

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
    *mouse = (struct ps2_mouse){.id = 0};
    mouse_set_defaults(mouse);
}

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* 2:1 scaling of stream mode. */
static int32_t mouse_scale(int32_t value)
{
    static const int8_t small[6] = {0, 1, 1, 3, 6, 9};
    int32_t magnitude = value < 0 ? -value : value;
    int32_t scaled = magnitude < 6 ? small[magnitude] : 2 * magnitude;
    return clamp(value < 0 ? -scaled : scaled, -255, 255);
}

static bool mouse_has_news(const struct ps2_mouse *mouse)
{
    return mouse->dx || mouse->dy || mouse->dz || mouse->buttons != mouse->reported;
}

static void mouse_put_packet(struct ps2_mouse *mouse, bool scaled)
{
    int32_t taken_x = clamp(mouse->dx, -255, 255);
    int32_t taken_y = clamp(mouse->dy, -255, 255);
    int32_t x = scaled ? mouse_scale(taken_x) : taken_x;
    int32_t y = scaled ? mouse_scale(taken_y) : taken_y;
    mouse->dx -= taken_x;
    mouse->dy -= taken_y;
    mouse_put(mouse, (uint8_t)((mouse->buttons & 7) | 0x08 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)));
    mouse_put(mouse, (uint8_t)x);
    mouse_put(mouse, (uint8_t)y);
    if (mouse->id != 0) {
        int32_t z = clamp(mouse->dz, -8, 7);
        mouse->dz -= z;
        mouse_put(mouse, mouse->id == 3 ? (uint8_t)z : (uint8_t)((z & 0x0F) | (mouse->buttons & 0x18) << 1));
    } else {
        mouse->dz = 0;
    }
    mouse->reported = mouse->buttons;
}

static void mouse_report(struct ps2_mouse *mouse)
{
    while (mouse->reporting && !mouse->remote && !mouse->wrap && mouse_has_news(mouse) &&
           ps2_queue_room(mouse->queue) >= 4 * PACKET_BYTES_MAX) /* leaves room for answers to commands */
        mouse_put_packet(mouse, mouse->scaling_2_1);
}

void ps2_mouse_move(struct ps2_mouse *mouse, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons)
{
    mouse->dx = clamp(mouse->dx + clamp(dx, -MOVEMENT_MAX, MOVEMENT_MAX), -MOVEMENT_MAX, MOVEMENT_MAX);
    mouse->dy = clamp(mouse->dy - clamp(dy, -MOVEMENT_MAX, MOVEMENT_MAX), -MOVEMENT_MAX, MOVEMENT_MAX);
    mouse->dz = clamp(mouse->dz + clamp(dz, -127, 127), -127, 127);
    mouse->buttons = buttons & 0x1F;
    mouse_report(mouse);
}

uint8_t ps2_mouse_take(struct ps2_mouse *mouse)
{
    mouse->last_sent = ps2_queue_take(mouse->queue);
    mouse_report(mouse);
    return mouse->last_sent;
}

static void mouse_set_rate(struct ps2_mouse *mouse, uint8_t rate)
{
    if (mouse->rates[0] == 200 && mouse->rates[1] == 100 && rate == 80)
        mouse->id = 3;
    else if (mouse->rates[0] == 200 && mouse->rates[1] == 200 && rate == 80 && mouse->id != 0)
        mouse->id = 4;
    mouse->rates[0] = mouse->rates[1];
    mouse->rates[1] = rate;
    mouse->rate = rate;
}

static void mouse_put_status(struct ps2_mouse *mouse)
{
    uint8_t buttons = (uint8_t)((mouse->buttons & 1) << 2 | (mouse->buttons & 2) >> 1 | (mouse->buttons & 4) >> 1);
    mouse_put(mouse, (uint8_t)(buttons | (mouse->scaling_2_1 ? 0x10 : 0) | (mouse->reporting ? 0x20 : 0) |
                               (mouse->remote ? 0x40 : 0)));
    mouse_put(mouse, mouse->resolution);
    mouse_put(mouse, mouse->rate);
}

static void mouse_take_parameter(struct ps2_mouse *mouse, uint8_t byte)
{
    if (mouse->parameter == 0xF3)
        mouse_set_rate(mouse, byte);
    else
        mouse->resolution = byte & 3;
    mouse->parameter = 0;
    mouse_put(mouse, PS2_ACK);
}

static void mouse_execute(struct ps2_mouse *mouse, uint8_t byte)
{
    mouse_put(mouse, PS2_ACK);
    switch (byte) {
    case 0xE6:
    case 0xE7: mouse->scaling_2_1 = byte & 1; break;
    case 0xE9: mouse_put_status(mouse); break;
    case 0xEA: mouse->remote = false; break;
    case 0xEB: mouse_put_packet(mouse, false); break;
    case 0xEC: mouse->wrap = false; break;
    case 0xEE: mouse->wrap = true; break;
    case 0xF0: mouse->remote = true; break;
    case 0xF2: mouse_put(mouse, mouse->id); break;
    case 0xF4:
    case 0xF5:
        mouse->reporting = byte == 0xF4;
        mouse->dx = mouse->dy = mouse->dz = 0;
        break;
    default: /* E8h, F3h */ mouse->parameter = byte; break;
    }
}

void ps2_mouse_command(struct ps2_mouse *mouse, uint8_t byte)
{
    if (mouse->wrap && byte != 0xEC && byte != 0xFF) {
        mouse_put(mouse, byte);
        return;
    }
    if (mouse->parameter) {
        mouse_take_parameter(mouse, byte);
        return;
    }
    switch (byte) {
    case 0xE6 ... 0xEC:
    case 0xEE:
    case 0xF0:
    case 0xF2 ... 0xF5: mouse_execute(mouse, byte); break;
    case 0xF6:
        mouse_set_defaults(mouse);
        mouse_put(mouse, PS2_ACK);
        break;
    case 0xFE: mouse_put(mouse, mouse->last_sent); break;
    case 0xFF:
        ps2_mouse_reset(mouse);
        mouse_put(mouse, PS2_ACK);
        mouse_put(mouse, PS2_SELF_TEST_PASSED);
        mouse_put(mouse, mouse->id);
        break;
    default: mouse_put(mouse, PS2_RESEND); break;
    }
}
