"""The virtual printer: a simulated Klipper host in a process of its own, started with `python -m`."""
