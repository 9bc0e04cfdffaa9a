"""Memory of large tensors on a CPU: kept by the process between steps, not asked of the system in each of them.

glibc gives a freed block of some megabytes back to the system, and so every step asks for its activations anew, page by
page. PyTorch's tuning guide for CPUs advises another allocator; glibc's own does as well when it is told to keep them.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""As malloc.h numbers the parameters."""
_LARGEST_KEPT = 32 * 2**20
"""Bytes; glibc documents no larger threshold."""
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep blocks of up to 32 MiB that were freed; whether that was possible (with glibc alone).

    What a step takes at most is what the process holds from then on.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST_INT))
