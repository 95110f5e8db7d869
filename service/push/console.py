"""The sender where no provider is set up: it prints that a device would be woken."""

import sys

from service.push.notices import Delivered, Notice, PushOutcome


class ConsoleSender:
    """Prints the class of each push, and nothing of the device."""

    async def send(self, notice: Notice) -> PushOutcome:
        """Print one line on standard output."""
        sys.stdout.write(f"\n--- a push of the class {notice.kind} would arrive on one device ---\n")
        sys.stdout.flush()
        return Delivered()
