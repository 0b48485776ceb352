/* The probe's guests: machine code, with the listing beside it. Constant tables; nobody owns anything. */
#ifndef VMRR_ACCEL_KVM_PROBE_GUESTS_H
#define VMRR_ACCEL_KVM_PROBE_GUESTS_H

#include <stddef.h>
#include <stdint.h>

enum probe_guest_id {
#define GUEST(name, bits, listing, ...) PROBE_GUEST_##name,
#include "accel-kvm/probe_guests.def"
#undef GUEST
    PROBE_GUEST_COUNT,
};

struct probe_guest {
    const char *name, *listing;
    unsigned bits; /* 16, 32 or 64 */
    size_t size_bytes;
    const uint8_t *code;
};

const struct probe_guest *probe_guest_get(enum probe_guest_id id);

#endif
