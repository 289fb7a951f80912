"""How a lead stands or ended, as arrays hold it; `features.labels` writes the same codes."""

OPEN, WON, LOST = 0, 1, 2
