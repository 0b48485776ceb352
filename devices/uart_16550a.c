/* 16550A UART. National PC16550D data sheet.
 *
 * Transmission takes no virtual time: the holding register and the FIFO are always empty again when the write returns,
 * so a guest that polls LSR never waits. Received bytes wait in a queue before the FIFO (flow control by the sender's
 * patience), and enter it as the guest reads; only when that queue is full is a byte lost, as an overrun.
 * All eight bits are sent whatever word length LCR says: a guest that prints without setting the line up is readable.
 * Not modelled: line errors other than overrun, break, parity, DMA mode signals, changing modem inputs (the other side is
 * always there: DCD, DSR, CTS). */
#include "devices/uart_16550a.h"

#include "core/bus.h"
#include "core/machine.h"

#include <string.h>

#define UART_FIFO_BYTES 16u
#define UART_QUEUE_BYTES 4096u

#define IER_RDA 0x01u
#define IER_THRE 0x02u
#define IER_LINE 0x04u
#define IER_MODEM 0x08u
#define IIR_NONE 0x01u
#define IIR_MODEM 0x00u
#define IIR_THRE 0x02u
#define IIR_RDA 0x04u
#define IIR_LINE 0x06u
#define IIR_TIMEOUT 0x0Cu
#define IIR_FIFO 0xC0u
#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define LCR_DLAB 0x80u
#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define LSR_DR 0x01u
#define LSR_OE 0x02u
#define LSR_EMPTY 0x60u /* THRE, TEMT */
#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u
#define MSR_CONNECTED (MSR_CTS | MSR_DSR | MSR_DCD)
#define MSR_TERI 0x04u
#define UART_CLOCK_HZ 1843200u

/* Who writes to it touches kept. */
struct uart_queue {
    uint8_t bytes[UART_QUEUE_BYTES];
    struct state_kept kept;
};
STATE_TABLE_KEPT(uart_queue_fields, struct uart_queue, uint8_t, bytes, UART_QUEUE_BYTES);

#define UART_STATE(S, A, N, T)                                                                                         \
    S(T, uint8_t, ier)                                                                                                 \
    S(T, uint8_t, lcr)                                                                                                 \
    S(T, uint8_t, mcr)                                                                                                 \
    S(T, uint8_t, scratch)                                                                                             \
    S(T, uint16_t, divisor)                                                                                            \
    S(T, uint8_t, msr)                                                                                                 \
    S(T, bool, fifo_enabled)                                                                                           \
    S(T, uint8_t, trigger) /* bytes */                                                                                 \
    S(T, bool, overrun)                                                                                                \
    S(T, bool, thre_pending) /* the THRE interrupt, until IIR is read or THR written */                                \
    S(T, bool, timeout_pending)                                                                                        \
    S(T, uint64_t, timeout_ns)   /* deadline of the character timeout */                                               \
    S(T, uint8_t, last_received) /* what an empty receiver gives */                                                    \
    S(T, uint8_t, fifo_count)                                                                                          \
    A(T, uint8_t, fifo, UART_FIFO_BYTES)                                                                               \
    S(T, uint32_t, queue_start)                                                                                        \
    S(T, uint32_t, queue_count)                                                                                        \
    N(T, struct uart_queue, queue, 1, uart_queue_fields)
struct uart {
    struct device device;
    STATE_MEMBERS(UART_STATE)
    struct irq_line irq;
    struct char_sink sink;
    struct vtimer timer; /* character timeout */
};
STATE_TABLE(uart_fields, struct uart, UART_STATE);

static uint8_t uart_interrupt_id(const struct uart *uart)
{
    if ((uart->ier & IER_LINE) && uart->overrun)
        return IIR_LINE;
    if ((uart->ier & IER_RDA) && uart->fifo_count >= uart->trigger)
        return IIR_RDA;
    if ((uart->ier & IER_RDA) && uart->timeout_pending)
        return IIR_TIMEOUT;
    if ((uart->ier & IER_THRE) && uart->thre_pending)
        return IIR_THRE;
    if ((uart->ier & IER_MODEM) && (uart->msr & 0x0F))
        return IIR_MODEM;
    return IIR_NONE;
}

/* The PC's board gates the interrupt with OUT2, which loopback holds inactive. */
static void uart_update(struct uart *uart)
{
    bool gate = (uart->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
    irq_set(uart->irq, gate && uart_interrupt_id(uart) != IIR_NONE);
}

/* Four characters of start bit, data bits, parity and stop bits. */
static uint64_t uart_timeout_ns(const struct uart *uart)
{
    uint64_t bits = 1 + 5 + (uart->lcr & 3u) + (uart->lcr >> 3 & 1u) + 1 + (uart->lcr >> 2 & 1u);
    uint64_t divisor = uart->divisor ? uart->divisor : 65536;
    return 4 * bits * divisor * 16 * 1000000000ull / UART_CLOCK_HZ;
}

/* Each byte received or read starts the timeout anew. */
static void uart_restart_timeout(struct uart *uart)
{
    uart->timeout_pending = false;
    uart->timeout_ns = VTIME_NEVER;
    if (uart->fifo_enabled && uart->fifo_count > 0)
        uart->timeout_ns = vtime_now_ns(uart->device.machine) + uart_timeout_ns(uart);
    vtimer_arm(&uart->timer, uart->timeout_ns);
}

static void uart_timer_fire(void *opaque)
{
    struct uart *uart = opaque;
    uart->timeout_ns = VTIME_NEVER;
    uart->timeout_pending = true;
    uart_update(uart);
}

static void uart_fill_fifo(struct uart *uart)
{
    unsigned room = uart->fifo_enabled ? UART_FIFO_BYTES : 1;
    while (uart->fifo_count < room && uart->queue_count > 0) {
        uart->fifo[uart->fifo_count++] = uart->queue->bytes[uart->queue_start];
        uart->queue_start = (uart->queue_start + 1) % UART_QUEUE_BYTES;
        uart->queue_count--;
    }
}

static void uart_receive(struct uart *uart, uint8_t byte)
{
    if (uart->queue_count == UART_QUEUE_BYTES) {
        uart->overrun = true;
    } else {
        uart->queue->bytes[(uart->queue_start + uart->queue_count) % UART_QUEUE_BYTES] = byte;
        state_kept_touch(&uart->queue->kept);
        uart->queue_count++;
        uart_fill_fifo(uart);
        uart_restart_timeout(uart);
    }
    uart_update(uart);
}

static void uart_receive_message(void *opaque, const struct input_message *message)
{
    uart_receive(opaque, (uint8_t)message->a);
}

static uint8_t uart_read_data(struct uart *uart)
{
    if (uart->fifo_count > 0) {
        uart->last_received = uart->fifo[0];
        uart->fifo_count--;
        memmove(uart->fifo, uart->fifo + 1, uart->fifo_count);
        uart->fifo[uart->fifo_count] = 0;
        uart_fill_fifo(uart);
    }
    uart_restart_timeout(uart);
    uart_update(uart);
    return uart->last_received;
}

static void uart_write_data(struct uart *uart, uint8_t value)
{
    uart->thre_pending = false;
    uart_update(uart);
    if (uart->mcr & MCR_LOOP)
        uart_receive(uart, value);
    else if (uart->sink.write)
        uart->sink.write(uart->sink.opaque, &value, 1);
    uart->thre_pending = true;
    uart_update(uart);
}

static uint8_t uart_read_iir(struct uart *uart)
{
    uint8_t id = uart_interrupt_id(uart);
    if (id == IIR_THRE) {
        uart->thre_pending = false;
        uart_update(uart);
    }
    return id | (uart->fifo_enabled ? IIR_FIFO : 0);
}

static uint8_t uart_read_lsr(struct uart *uart)
{
    uint8_t value = LSR_EMPTY | (uart->fifo_count ? LSR_DR : 0) | (uart->overrun ? LSR_OE : 0);
    uart->overrun = false;
    uart_update(uart);
    return value;
}

static uint8_t uart_read_msr(struct uart *uart)
{
    uint8_t value = uart->msr;
    uart->msr &= 0xF0;
    uart_update(uart);
    return value;
}

static void uart_write_ier(struct uart *uart, uint8_t value)
{
    if (!(uart->ier & IER_THRE) && (value & IER_THRE))
        uart->thre_pending = true; /* the holding register is empty when the interrupt is enabled */
    uart->ier = value & 0x0F;
    uart_update(uart);
}

/* Changing FIFO mode empties the receiver; what waits in the queue has not arrived yet and does afterwards. */
static void uart_write_fcr(struct uart *uart, uint8_t value)
{
    static const uint8_t trigger_bytes[4] = {1, 4, 8, 14};
    bool enable = value & FCR_ENABLE;
    if (enable != uart->fifo_enabled || (enable && (value & FCR_CLEAR_RX))) {
        uart->fifo_count = 0;
        memset(uart->fifo, 0, sizeof(uart->fifo));
        uart->overrun = false;
    }
    uart->fifo_enabled = enable;
    uart->trigger = enable ? trigger_bytes[value >> 6] : 1;
    uart_fill_fifo(uart);
    uart_restart_timeout(uart);
    uart_update(uart);
}

static void uart_write_mcr(struct uart *uart, uint8_t value)
{
    uint8_t lines = MSR_CONNECTED;
    uart->mcr = value & 0x1F;
    if (uart->mcr & MCR_LOOP)
        lines = (uint8_t)((uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
                          (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0));
    uint8_t changed = (uart->msr ^ lines) & 0xF0;
    uint8_t delta = (uint8_t)(changed >> 4);
    if ((changed & MSR_RI) && (lines & MSR_RI))
        delta &= (uint8_t)~MSR_TERI; /* RI counts when it ends */
    uart->msr = (uint8_t)(lines | (uart->msr & 0x0F) | delta);
    uart_update(uart);
}

static uint64_t uart_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct uart *uart = opaque;
    bool latch = uart->lcr & LCR_DLAB;
    (void)size_bytes;
    switch (address) {
    case 0: return latch ? uart->divisor & 0xFF : uart_read_data(uart);
    case 1: return latch ? uart->divisor >> 8 : uart->ier;
    case 2: return uart_read_iir(uart);
    case 3: return uart->lcr;
    case 4: return uart->mcr;
    case 5: return uart_read_lsr(uart);
    case 6: return uart_read_msr(uart);
    default: return uart->scratch;
    }
}

static void uart_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct uart *uart = opaque;
    bool latch = uart->lcr & LCR_DLAB;
    uint8_t byte = (uint8_t)value;
    (void)size_bytes;
    switch (address) {
    case 0:
        if (latch)
            uart->divisor = (uint16_t)((uart->divisor & 0xFF00) | byte);
        else
            uart_write_data(uart, byte);
        break;
    case 1:
        if (latch)
            uart->divisor = (uint16_t)((uart->divisor & 0x00FF) | byte << 8);
        else
            uart_write_ier(uart, byte);
        break;
    case 2: uart_write_fcr(uart, byte); break;
    case 3: uart->lcr = byte; break;
    case 4: uart_write_mcr(uart, byte); break;
    case 7: uart->scratch = byte; break;
    default: /* LSR and MSR: factory test only */ break;
    }
}

static const struct bus_ops uart_ops = {.read = uart_read, .write = uart_write, .max_size_bytes = 1};

/* Master reset leaves divisor, scratch and receiver buffer alone; bytes on the way are still on the way. */
static void uart_reset(struct device *device)
{
    struct uart *uart = device_of(device, struct uart);
    uart->ier = uart->lcr = uart->mcr = 0;
    uart->msr = MSR_CONNECTED;
    uart->fifo_enabled = false;
    uart->trigger = 1;
    uart->overrun = uart->thre_pending = false;
    uart->fifo_count = 0;
    memset(uart->fifo, 0, sizeof(uart->fifo));
    uart_fill_fifo(uart);
    uart_restart_timeout(uart);
    uart_update(uart);
}

/* Loaded state may come from a damaged file: counts stay within the buffers. */
static void uart_post_load(struct device *device)
{
    struct uart *uart = device_of(device, struct uart);
    state_kept_touch(&uart->queue->kept);
    if (uart->fifo_count > UART_FIFO_BYTES || uart->queue_count > UART_QUEUE_BYTES)
        uart->queue_count = uart->fifo_count = 0;
    uart->queue_start %= UART_QUEUE_BYTES;
    vtimer_arm(&uart->timer, uart->timeout_ns);
}

static void uart_destroy(struct device *device)
{
    vtimer_disarm(&device_of(device, struct uart)->timer);
}

const struct device_class uart_16550a_class = {.name = "uart_16550a",
                                               .version = 1,
                                               .size = sizeof(struct uart),
                                               .fields = uart_fields,
                                               .reset = uart_reset,
                                               .post_load = uart_post_load,
                                               .destroy = uart_destroy};

struct device *uart_16550a_create(struct machine *machine, unsigned index, uint16_t io_base, struct irq_line irq,
                                  struct char_sink sink)
{
    static const char *const ids[UART_16550A_MAX] = {"uart0", "uart1", "uart2", "uart3"};
    CHECK(index < UART_16550A_MAX);
    struct uart *uart = device_alloc(&uart_16550a_class, machine, ids[index]);
    uart->irq = irq;
    uart->sink = sink;
    uart->divisor = 12;
    vtimer_init(&uart->timer, machine, uart_timer_fire, uart);
    uart_reset(&uart->device);
    bus_map_io(machine_bus(machine), io_base, 8, &uart_ops, uart, ids[index]);
    machine_set_receiver(machine, INPUT_SERIAL_BYTE, index, uart_receive_message, uart);
    machine_add_device(machine, &uart->device);
    return &uart->device;
}
