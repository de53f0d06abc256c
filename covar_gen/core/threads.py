"""How many threads a process computes with: always one; the work is shared over processes.

BLAS and OpenMP round differently with different numbers of threads, so a result that depended on
them would depend on the machine. Decoding and encoding have threads of their own, whose number
changes nothing.
"""

from __future__ import annotations


def fix_threads() -> None:
    """One thread for OpenCV and for every BLAS and OpenMP library loaded so far."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(limits=1)
