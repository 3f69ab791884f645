"""Gradient flow, saddles and escapes."""

from nsjax.dynamics.descent import Minimum, minimize
from nsjax.dynamics.escape import Escape, Phase, escape, ray_time
from nsjax.dynamics.events import Event, Saves
from nsjax.dynamics.flow import Flow, gradient_flow
from nsjax.dynamics.results import MESSAGES, Stats, Stop
from nsjax.dynamics.saddles import Saddle, embed, inspect

__all__ = [
    "MESSAGES",
    "Escape",
    "Event",
    "Flow",
    "Minimum",
    "Phase",
    "Saddle",
    "Saves",
    "Stats",
    "Stop",
    "embed",
    "escape",
    "gradient_flow",
    "inspect",
    "minimize",
    "ray_time",
]
