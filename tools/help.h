/* --help of every subcommand. */
#ifndef VMRR_TOOLS_HELP_H
#define VMRR_TOOLS_HELP_H

/* To standard output. command: a subcommand, or null for the program. */
void help_print(const char *command);

#endif
