/* The table of inputs. */
#include "core/input.h"

#include <stddef.h>

const struct input_row *input_row(enum input_id id)
{
    static const struct input_row rows[INPUT_COUNT] = {
#define PULL(NAME, name, what) {name, what, false},
#define DELIVER(NAME, name, what) {name, what, true},
#include "core/input.def"
#undef PULL
#undef DELIVER
    };
    return (unsigned)id < INPUT_COUNT ? &rows[id] : NULL;
}

void input_destroy(struct input *input)
{
    if (input)
        input->ops->destroy(input);
}
