"""Which records are too late, recomputed naively from the records alone, in the order of their partition.

The running time of a partition is the fourth greatest distinct time that was read before; a record counts for an interval
when it lies within that interval's reach of it, in whole bars. A record that counts for none moves nothing.
"""

import bisect

REACHES_S = {"1s": (600, 1), "1m": (7_200, 60)}
CONFIRMATIONS = 3


def missed(times, unit_s=1_000_000, reaches=None):
    """Of each record the names of the intervals that it is too late for."""
    reaches = reaches or REACHES_S
    greatest, result = [], []
    for time in times:
        late = []
        if len(greatest) > CONFIRMATIONS:
            running = greatest[0]
            for name, (reach, width) in reaches.items():
                start = running // unit_s - reach
                if time < (start - start % width) * unit_s:
                    late.append(name)
        result.append(late)
        if len(late) < len(reaches) and time not in greatest:
            bisect.insort(greatest, time)
            del greatest[:-1 - CONFIRMATIONS]
    return result
