/* The table of probe_guests.def. */
#include "accel-kvm/probe_guests.h"

#define GUEST(name, bits, listing, ...) static const uint8_t code_##name[] = {__VA_ARGS__};
#include "accel-kvm/probe_guests.def"
#undef GUEST

static const struct probe_guest guests[] = {
#define GUEST(name, bits, listing, ...) {#name, listing, bits, sizeof code_##name, code_##name},
#include "accel-kvm/probe_guests.def"
#undef GUEST
};

const struct probe_guest *probe_guest_get(enum probe_guest_id id)
{
    return &guests[id];
}
