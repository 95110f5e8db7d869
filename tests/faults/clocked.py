"""`python -m service`, with a clock that is as many seconds ahead as the file says that CLOCK_AHEAD names."""

import os
import sys
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from service.__main__ import main
from service.cli import serve
from service.core.clock import JumpGuardedClock, utc_now


def wrong_clock() -> datetime:
    """The time on a machine whose clock was set wrong."""
    return utc_now() + timedelta(seconds=float(Path(os.environ["CLOCK_AHEAD"]).read_text()))


if __name__ == "__main__":
    vars(serve)["JumpGuardedClock"] = partial(JumpGuardedClock, wrong_clock)
    sys.exit(main())
