"""Stands in for a machine that gives no namespaces of a kind: forbid.py FLAGS COMMAND... runs a command for which the
kernel refuses unshare() and clone() with any of these flags, as filters of containers do, and has no clone3()."""

import ctypes
import os
import platform
import struct
import sys

ARCHITECTURES = {"x86_64": (272, 56), "aarch64": (97, 220)}
CLONE3, EPERM, ENOSYS = 435, 1, 38
LOAD, IS_EQUAL, HAS_BITS, ANSWER = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7fff0000, 0x00050000
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2


def instruction(code, if_true, if_false, operand):
    return struct.pack("HBBI", code, if_true, if_false, operand)


def program(flags):
    unshare, clone = ARCHITECTURES[platform.machine()]
    return [instruction(LOAD, 0, 0, 0),  # the number of the call
            instruction(IS_EQUAL, 4, 0, CLONE3),
            instruction(IS_EQUAL, 1, 0, unshare),
            instruction(IS_EQUAL, 0, 3, clone),
            instruction(LOAD, 0, 0, 16),  # its first argument
            instruction(HAS_BITS, 2, 1, flags),
            instruction(ANSWER, 0, 0, REFUSE | ENOSYS),
            instruction(ANSWER, 0, 0, ALLOW),
            instruction(ANSWER, 0, 0, REFUSE | EPERM)]


def main():
    code = b"".join(program(int(sys.argv[1], 0)))
    kept = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(kept))
    library = ctypes.CDLL(None)
    if library.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or library.prctl(SECCOMP, FILTER, filters) != 0:
        sys.exit(99)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
