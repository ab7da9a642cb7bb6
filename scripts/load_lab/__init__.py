"""The load lab's parts, in the order in which they run."""

from load_lab import callers, day, devices, herd, matrix

PARTS = {
    "matrix": matrix.part,
    "callers": callers.part,
    "herd": herd.part,
    "devices": devices.part,
    "day": day.part,
}
