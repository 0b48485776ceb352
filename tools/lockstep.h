/* vmrr diff --a, --b: two accelerators in lockstep (cmd_lockstep.c). */
#ifndef VMRR_TOOLS_LOCKSTEP_H
#define VMRR_TOOLS_LOCKSTEP_H

#include <stdbool.h>

/* Does this command line of diff ask for it? */
bool lockstep_asked_for(int argc, char **argv);
/* argv[0] is the subcommand. Returns the exit code. */
int cmd_lockstep(int argc, char **argv);

#endif
