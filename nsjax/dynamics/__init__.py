"""Gradient flow, saddles and escapes."""

from nsjax.dynamics.cascade import Cascade, cascade
from nsjax.dynamics.channels import (
    CHANNEL_MESSAGES,
    ChannelNetwork,
    ChannelPath,
    channel_apply,
    follow_channel,
    join_channel,
    split_channel,
)
from nsjax.dynamics.descent import Minima, Minimum, minimize, minimize_starts
from nsjax.dynamics.ensemble import EnsembleState, FlowEnsemble, flow_ensemble
from nsjax.dynamics.escape import escape
from nsjax.dynamics.events import Event, Saves
from nsjax.dynamics.flow import Flow, gradient_flow
from nsjax.dynamics.gradient_steps import Descent, gradient_descent
from nsjax.dynamics.least_nuclear_norm import LeastNuclearNorm, least_nuclear_norm
from nsjax.dynamics.least_squares import LeastSquares, least_squares
from nsjax.dynamics.nuclear_norm import (
    NuclearNormFit,
    both_layers_loss,
    first_layer_loss,
    nuclear_norm_fit,
)
from nsjax.dynamics.outcome import Escape, Phase
from nsjax.dynamics.results import MESSAGES, Stats, Stop
from nsjax.dynamics.saddles import Saddle, embed, inspect
from nsjax.dynamics.scaling import time_scaling
from nsjax.dynamics.train import TrainedSaddle, train_saddle
from nsjax.dynamics.trajectory import saddle_visits
from nsjax.dynamics.trip import ray_time
from nsjax.dynamics.visits import Visit

__all__ = [
    "CHANNEL_MESSAGES",
    "MESSAGES",
    "Cascade",
    "ChannelNetwork",
    "ChannelPath",
    "Descent",
    "EnsembleState",
    "Escape",
    "Event",
    "Flow",
    "FlowEnsemble",
    "LeastNuclearNorm",
    "LeastSquares",
    "Minima",
    "Minimum",
    "NuclearNormFit",
    "Phase",
    "Saddle",
    "Saves",
    "Stats",
    "Stop",
    "TrainedSaddle",
    "Visit",
    "both_layers_loss",
    "cascade",
    "channel_apply",
    "embed",
    "escape",
    "first_layer_loss",
    "flow_ensemble",
    "follow_channel",
    "gradient_descent",
    "gradient_flow",
    "inspect",
    "join_channel",
    "least_nuclear_norm",
    "least_squares",
    "minimize",
    "minimize_starts",
    "nuclear_norm_fit",
    "ray_time",
    "saddle_visits",
    "split_channel",
    "time_scaling",
    "train_saddle",
]
