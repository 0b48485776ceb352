/* 8042 keyboard controller of a PS/2-type PC: output buffer, command byte, translation, A20 gate and reset line. IBM
 * PS/2 Hardware Interface Technical Reference, "Keyboard/auxiliary device controller".
 *
 * Bytes move without delay: the next one is in the output buffer as soon as the last has been read, with a new edge on
 * its interrupt line. The command byte starts as firmware leaves it (translation, keyboard interrupt), for guests that
 * are started without firmware. machine_a20 is the one A20 gate; port 92h writes it too.
 * Not modelled: timeouts and parity errors, passwords, the input port's straps. */
#include "devices/kbd_8042.h"

#include "core/bus.h"
#include "core/machine.h"
#include "devices/ps2.h"

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_SYSTEM 0x04u
#define STATUS_COMMAND 0x08u
#define STATUS_UNLOCKED 0x10u
#define STATUS_AUX 0x20u

#define MODE_KEYBOARD_IRQ 0x01u
#define MODE_AUX_IRQ 0x02u
#define MODE_SYSTEM 0x04u
#define MODE_KEYBOARD_OFF 0x10u
#define MODE_AUX_OFF 0x20u
#define MODE_TRANSLATE 0x40u
#define MODE_INITIAL (MODE_TRANSLATE | MODE_AUX_OFF | MODE_SYSTEM | MODE_KEYBOARD_IRQ)

#define OUTPUT_NO_RESET 0x01u
#define OUTPUT_A20 0x02u
#define OUTPUT_KEYBOARD_IRQ 0x10u
#define OUTPUT_AUX_IRQ 0x20u

#define ANSWERS_MAX 8u
#define SET2_BREAK 0xF0u

STATE_TABLE(ps2_queue_fields, struct ps2_queue, PS2_QUEUE_STATE);
STATE_TABLE(ps2_keyboard_fields, struct ps2_keyboard, PS2_KEYBOARD_STATE);
STATE_TABLE(ps2_mouse_fields, struct ps2_mouse, PS2_MOUSE_STATE);

#define KBD_STATE(S, A, N, T)                                                                                          \
    N(T, struct ps2_keyboard, keyboard, 1, ps2_keyboard_fields)                                                        \
    N(T, struct ps2_mouse, mouse, 1, ps2_mouse_fields)                                                                 \
    A(T, uint8_t, ram, 32) /* [0] is the command byte */                                                               \
    S(T, uint8_t, output)  /* output buffer */                                                                         \
    S(T, bool, output_full)                                                                                            \
    S(T, bool, output_aux)       /* it came from the mouse */                                                          \
    S(T, bool, last_was_command) /* last write was to port 64h */                                                      \
    S(T, uint8_t, parameter)     /* command whose parameter goes to port 60h next; 0: none */                          \
    S(T, bool, break_seen)       /* translation: F0h came, the next code is a release */                               \
    S(T, uint8_t, answer_count)  /* the controller's own answers, before the devices' bytes */                         \
    A(T, uint8_t, answers, ANSWERS_MAX)                                                                                \
    A(T, bool, answers_aux, ANSWERS_MAX)
struct kbd {
    struct device device;
    STATE_MEMBERS(KBD_STATE)
    struct irq_line irq1;
    struct irq_line irq12;
};
STATE_TABLE(kbd_fields, struct kbd, KBD_STATE);

static uint8_t kbd_mode(const struct kbd *kbd)
{
    return kbd->ram[0];
}

static void kbd_set_irqs(struct kbd *kbd)
{
    irq_set(kbd->irq1, kbd->output_full && !kbd->output_aux && (kbd_mode(kbd) & MODE_KEYBOARD_IRQ));
    irq_set(kbd->irq12, kbd->output_full && kbd->output_aux && (kbd_mode(kbd) & MODE_AUX_IRQ));
}

static void kbd_output(struct kbd *kbd, uint8_t byte, bool aux)
{
    kbd->output = byte;
    kbd->output_aux = aux;
    kbd->output_full = true;
}

static void kbd_take_answer(struct kbd *kbd)
{
    kbd_output(kbd, kbd->answers[0], kbd->answers_aux[0]);
    kbd->answer_count--;
    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        kbd->answers[i] = i < kbd->answer_count ? kbd->answers[i + 1] : 0;
        kbd->answers_aux[i] = i < kbd->answer_count ? kbd->answers_aux[i + 1] : false;
    }
}

static void kbd_take_keyboard(struct kbd *kbd)
{
    uint8_t byte = ps2_keyboard_take(kbd->keyboard);
    if (!(kbd_mode(kbd) & MODE_TRANSLATE)) {
        kbd_output(kbd, byte, false);
    } else if (byte == SET2_BREAK) {
        kbd->break_seen = true; /* no byte of its own */
    } else {
        uint8_t code = byte < 0x80 || byte == 0x83 || byte == 0x84 ? ps2_keyboard_translate(byte) : byte;
        if (kbd->break_seen && byte != 0xE0 && byte != 0xE1)
            code |= 0x80;
        kbd->break_seen = false;
        kbd_output(kbd, code, false);
    }
}

/* Fills the output buffer when it is empty. */
static void kbd_refill(struct kbd *kbd)
{
    while (!kbd->output_full) {
        if (kbd->answer_count > 0)
            kbd_take_answer(kbd);
        else if (kbd->keyboard->queue->count > 0 && !(kbd_mode(kbd) & MODE_KEYBOARD_OFF))
            kbd_take_keyboard(kbd);
        else if (kbd->mouse->queue->count > 0 && !(kbd_mode(kbd) & MODE_AUX_OFF))
            kbd_output(kbd, ps2_mouse_take(kbd->mouse), true);
        else
            break;
    }
    kbd_set_irqs(kbd);
}

static void kbd_answer(struct kbd *kbd, uint8_t byte, bool aux)
{
    if (kbd->answer_count == ANSWERS_MAX)
        return;
    kbd->answers[kbd->answer_count] = byte;
    kbd->answers_aux[kbd->answer_count] = aux;
    kbd->answer_count++;
}

static uint8_t kbd_output_port(const struct kbd *kbd)
{
    return 0xC0u | OUTPUT_NO_RESET | (machine_a20(kbd->device.machine) ? OUTPUT_A20 : 0) |
           (kbd->output_full ? (kbd->output_aux ? OUTPUT_AUX_IRQ : OUTPUT_KEYBOARD_IRQ) : 0);
}

static void kbd_write_output_port(struct kbd *kbd, uint8_t value)
{
    machine_set_a20(kbd->device.machine, value & OUTPUT_A20);
    if (!(value & OUTPUT_NO_RESET))
        machine_request_reset(kbd->device.machine);
}

static void kbd_write_command(struct kbd *kbd, uint8_t command)
{
    kbd->parameter = 0;
    switch (command) {
    case 0x20 ... 0x3F: kbd_answer(kbd, kbd->ram[command & 0x1F], false); break;
    case 0x60 ... 0x7F:
    case 0xD1 ... 0xD4: kbd->parameter = command; break;
    case 0xA7: kbd->ram[0] |= MODE_AUX_OFF; break;
    case 0xA8: kbd->ram[0] &= (uint8_t)~MODE_AUX_OFF; break;
    case 0xA9: /* mouse port test: good */
    case 0xAB: /* keyboard port test: good */ kbd_answer(kbd, 0x00, false); break;
    case 0xAA:
        kbd->ram[0] |= MODE_SYSTEM;
        kbd_answer(kbd, 0x55, false);
        break;
    case 0xAD: kbd->ram[0] |= MODE_KEYBOARD_OFF; break;
    case 0xAE: kbd->ram[0] &= (uint8_t)~MODE_KEYBOARD_OFF; break;
    case 0xC0: /* input port: keyboard not locked, colour display */ kbd_answer(kbd, 0x80, false); break;
    case 0xD0: kbd_answer(kbd, kbd_output_port(kbd), false); break;
    case 0xDD:
    case 0xDF: /* A20 off, on (HP Vectra's, known by boot loaders) */
        machine_set_a20(kbd->device.machine, command & OUTPUT_A20);
        break;
    case 0xE0: /* test inputs: both clocks high */ kbd_answer(kbd, 0x03, false); break;
    case 0xF0 ... 0xFF: /* pulse the lines whose bits are clear; bit 0 is reset */
        if (!(command & OUTPUT_NO_RESET))
            machine_request_reset(kbd->device.machine);
        break;
    default: break;
    }
}

static void kbd_write_data(struct kbd *kbd, uint8_t value)
{
    uint8_t command = kbd->parameter;
    kbd->parameter = 0;
    switch (command) {
    case 0x60 ... 0x7F: kbd->ram[command & 0x1F] = value; break;
    case 0xD1: kbd_write_output_port(kbd, value); break;
    case 0xD2:
    case 0xD3: kbd_answer(kbd, value, command == 0xD3); break;
    case 0xD4:
        kbd->ram[0] &= (uint8_t)~MODE_AUX_OFF;
        ps2_mouse_command(kbd->mouse, value);
        break;
    default: /* sending to the keyboard starts its clock */
        kbd->ram[0] &= (uint8_t)~MODE_KEYBOARD_OFF;
        ps2_keyboard_command(kbd->keyboard, value);
        break;
    }
}

static uint8_t kbd_read_data(struct kbd *kbd)
{
    uint8_t value = kbd->output;
    kbd->output_full = false;
    kbd_set_irqs(kbd); /* low before the next byte raises it again */
    kbd_refill(kbd);
    return value;
}

static uint8_t kbd_status(const struct kbd *kbd)
{
    return STATUS_UNLOCKED | (kbd->output_full ? STATUS_OUTPUT_FULL : 0) |
           (kbd->output_full && kbd->output_aux ? STATUS_AUX : 0) | (kbd_mode(kbd) & MODE_SYSTEM ? STATUS_SYSTEM : 0) |
           (kbd->last_was_command ? STATUS_COMMAND : 0);
}

static uint64_t data_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)address;
    (void)size_bytes;
    return kbd_read_data(opaque);
}

static void data_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct kbd *kbd = opaque;
    (void)address;
    (void)size_bytes;
    kbd->last_was_command = false;
    kbd_write_data(kbd, (uint8_t)value);
    kbd_refill(kbd);
}

static uint64_t status_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)address;
    (void)size_bytes;
    return kbd_status(opaque);
}

static void command_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct kbd *kbd = opaque;
    (void)address;
    (void)size_bytes;
    kbd->last_was_command = true;
    kbd_write_command(kbd, (uint8_t)value);
    kbd_refill(kbd);
}

static const struct bus_ops data_ops = {.read = data_read, .write = data_write, .max_size_bytes = 1};
static const struct bus_ops command_ops = {.read = status_read, .write = command_write, .max_size_bytes = 1};

static void kbd_receive_key(void *opaque, const struct input_message *message)
{
    struct kbd *kbd = opaque;
    ps2_keyboard_key(kbd->keyboard, (uint32_t)message->a, message->b != 0);
    kbd_refill(kbd);
}

static void kbd_receive_mouse(void *opaque, const struct input_message *message)
{
    struct kbd *kbd = opaque;
    ps2_mouse_move(kbd->mouse, (int32_t)message->a, (int32_t)message->b, (int8_t)(message->target >> 8),
                   message->target & 0x1F);
    kbd_refill(kbd);
}

static void kbd_reset(struct device *device)
{
    struct kbd *kbd = device_of(device, struct kbd);
    ps2_keyboard_reset(kbd->keyboard);
    ps2_mouse_reset(kbd->mouse);
    for (unsigned i = 0; i < 32; i++)
        kbd->ram[i] = 0;
    kbd->ram[0] = MODE_INITIAL;
    kbd->output = 0;
    kbd->output_full = kbd->output_aux = kbd->last_was_command = kbd->break_seen = false;
    kbd->parameter = 0;
    kbd->answer_count = 0;
    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        kbd->answers[i] = 0;
        kbd->answers_aux[i] = false;
    }
    machine_set_a20(device->machine, true);
    kbd_set_irqs(kbd);
}

/* Loaded state may come from a damaged file: counts stay within the buffers. */
static void kbd_post_load(struct device *device)
{
    struct kbd *kbd = device_of(device, struct kbd);
    if (kbd->answer_count > ANSWERS_MAX)
        kbd->answer_count = 0;
    ps2_queue_bound(kbd->keyboard->queue);
    ps2_queue_bound(kbd->mouse->queue);
}

const struct device_class kbd_8042_class = {.name = "kbd_8042",
                                            .version = 1,
                                            .size = sizeof(struct kbd),
                                            .fields = kbd_fields,
                                            .reset = kbd_reset,
                                            .post_load = kbd_post_load};

struct device *kbd_8042_create(struct machine *machine, struct irq_line irq1, struct irq_line irq12)
{
    struct kbd *kbd = device_alloc(&kbd_8042_class, machine, "kbd");
    struct bus *bus = machine_bus(machine);
    kbd->irq1 = irq1;
    kbd->irq12 = irq12;
    bus_map_io(bus, 0x60, 1, &data_ops, kbd, "kbd-data");
    bus_map_io(bus, 0x64, 1, &command_ops, kbd, "kbd-command");
    machine_set_receiver(machine, INPUT_KEY, UINT32_MAX, kbd_receive_key, kbd);
    machine_set_receiver(machine, INPUT_MOUSE, UINT32_MAX, kbd_receive_mouse, kbd);
    machine_add_device(machine, &kbd->device);
    return &kbd->device;
}
