/* See host_lock.h. Permissions and bytes are QEMU 7.2's: include/block/block-common.h (BLK_PERM_*), and what fcntl(2)
 * shows of a running qemu. All are read locks: whether another holds one is asked for with F_OFD_GETLK of a write lock,
 * after one's own are set, so that of two who start at once at least one sees the other.
 * Not done: a lock that changes while the file is open. */
#define _GNU_SOURCE
#include "block/host_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define USED_BYTE 100
#define UNSHARED_BYTE 200
#define PERMISSIONS 4u

enum { PERMISSION_READ = 1, PERMISSION_WRITE = 2, PERMISSION_RESIZE = 8 };

static const char *permission_name(unsigned n)
{
    static const char *const names[PERMISSIONS] = {"consistent read", "write", "write unchanged", "resize"};
    return names[n];
}

static int lock_byte(int fd, int command, short type, off_t byte, short *found)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do {
        result = fcntl(fd, command, &lock);
    } while (result < 0 && errno == EINTR);
    if (found)
        *found = lock.l_type;
    return result;
}

static bool hold(int fd, off_t base, unsigned mask)
{
    for (unsigned n = 0; n < PERMISSIONS; n++) {
        if (mask >> n & 1 && lock_byte(fd, F_OFD_SETLK, F_RDLCK, base + (off_t)n, NULL) < 0)
            return false;
    }
    return true;
}

/* The first permission of the mask whose byte another holds; PERMISSIONS: none. */
static unsigned held_by_other(int fd, off_t base, unsigned mask)
{
    for (unsigned n = 0; n < PERMISSIONS; n++) {
        short found = F_UNLCK;
        if (mask >> n & 1 && (lock_byte(fd, F_OFD_GETLK, F_WRLCK, base + (off_t)n, &found) < 0 || found != F_UNLCK))
            return n;
    }
    return PERMISSIONS;
}

enum status host_lock_take(int fd, const char *path, const struct host_file_options *options, struct error *error)
{
    unsigned used = PERMISSION_READ | (options->read_only ? 0u : PERMISSION_WRITE | PERMISSION_RESIZE);
    unsigned unshared = options->share ? 0 : PERMISSION_WRITE | PERMISSION_RESIZE;
    if (options->locking == HOST_LOCKING_OFF)
        return STATUS_OK;
    if (!hold(fd, USED_BYTE, used) || !hold(fd, UNSHARED_BYTE, unshared)) {
        if (options->locking == HOST_LOCKING_AUTO)
            return STATUS_OK;
        return error_status(error, STATUS_IO, "%s: locking=on: the host cannot lock it: %s", path, strerror(errno));
    }
    unsigned refused = held_by_other(fd, UNSHARED_BYTE, used);
    if (refused < PERMISSIONS)
        return error_status(error, STATUS_IO,
                            "%s: cannot get the \"%s\" lock: another process has the image open and does not share it "
                            "(locking=off ignores that)",
                            path, permission_name(refused));
    refused = held_by_other(fd, USED_BYTE, unshared);
    if (refused < PERMISSIONS)
        return error_status(error, STATUS_IO,
                            "%s: cannot get the shared \"%s\" lock: another process has the image open and uses \"%s\" "
                            "(locking=off ignores that)",
                            path, permission_name(refused), permission_name(refused));
    return STATUS_OK;
}
