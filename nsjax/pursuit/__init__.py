"""Neuron pursuit: networks that grow neuron by neuron, along KKT points of their NCF."""

from nsjax.pursuit.config import PRESETS, Config
from nsjax.pursuit.loop import init, run, step
from nsjax.pursuit.problem import network_error, prediction_error
from nsjax.pursuit.results import Certificate, Pursuit
from nsjax.pursuit.state import MESSAGES, Info, State, Stop
from nsjax.pursuit.task import Task

__all__ = [
    "MESSAGES",
    "PRESETS",
    "Certificate",
    "Config",
    "Info",
    "Pursuit",
    "State",
    "Stop",
    "Task",
    "init",
    "network_error",
    "prediction_error",
    "run",
    "step",
]
