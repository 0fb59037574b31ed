"""A filter in the kernel for a session's system calls: no new namespaces, which would give privileges, and no files by handle.

Classic BPF for seccomp(2), in the layout of linux/filter.h: each instruction is (code, jump if true, jump if false, value).
"""

import ctypes
import errno
import os
import struct

SET_SECCOMP, FILTER = 22, 2
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NUMBER_AT, MACHINE_AT, FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data
NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
X32 = 0x40000000  # from this number on, x86_64's calls once more, with pointers of 32 bits
# machine: (its number in seccomp_data, unshare, clone, setns, clone3, open_by_handle_at); linux/audit.h and each asm/unistd.h
MACHINES = {"x86_64": (0xC000003E, 272, 56, 308, 435, 304), "aarch64": (0xC00000B7, 97, 220, 268, 435, 265)}


def forbid_calls() -> bool:
    """Let unshare, clone and setns fail for namespaces from now on, and open_by_handle_at -> whether the kernel took the filter.

    clone3 "does not exist", so that the C library falls back to clone, whose flags can be seen. Calls of another machine
    (32 bit) fail altogether. A handle would open files outside the walls for whoever may read all inside (open_by_handle_at(2)).
    """
    if os.uname().machine not in MACHINES:
        return False
    machine, unshare, clone, setns, clone3, by_handle = MACHINES[os.uname().machine]
    program = [
        (LOAD, 0, 0, MACHINE_AT), (EQUAL, 1, 0, machine), (RETURN, 0, 0, FAIL | errno.EPERM),
        (LOAD, 0, 0, NUMBER_AT), (EQUAL, 0, 1, clone3), (RETURN, 0, 0, FAIL | errno.ENOSYS),
        (EQUAL, 2, 0, setns), (EQUAL, 1, 0, by_handle), (AT_LEAST, 0, 1, X32), (RETURN, 0, 0, FAIL | errno.EPERM),
        (EQUAL, 2, 0, unshare), (EQUAL, 1, 0, clone), (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT), (ANY_BIT, 0, 1, NEW_NAMESPACES), (RETURN, 0, 0, FAIL | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = struct.pack("HP", len(program), ctypes.addressof(code))
    return ctypes.CDLL(None, use_errno=True).prctl(SET_SECCOMP, FILTER, ctypes.c_char_p(header), 0, 0) == 0
