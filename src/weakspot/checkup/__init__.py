"""``weakspot check-agent``: looks for common mistakes in an agent that was exported from its framework.

Each check returns a :class:`Finding`: what was seen, and what to change.  The last checks play: an agent that receives its
observations in another range or order than in training still returns scores, but it plays badly.
"""

from __future__ import annotations

from weakspot.checkup.checks import LAST_BEFORE_PLAY, check_up
from weakspot.checkup.config import CheckConfig
from weakspot.checkup.finding import Finding

__all__ = ["LAST_BEFORE_PLAY", "CheckConfig", "Finding", "check_up"]
