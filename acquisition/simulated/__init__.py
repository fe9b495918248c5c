"""The simulated microscope: phantoms, optics of its own, sensor, board firmware behind a real serial port."""
