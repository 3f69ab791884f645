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
from nsjax.dynamics.infinity import (
    critical_size,
    escape_depth_exponent,
    pull_left,
    ray_size,
    tail_log_time,
)
from nsjax.dynamics.least_nuclear_norm import LeastNuclearNorm, least_nuclear_norm
from nsjax.dynamics.least_squares import LeastSquares, least_squares
from nsjax.dynamics.nuclear_norm import (
    NuclearNormFit,
    both_layers_loss,
    first_layer_loss,
    nuclear_norm_fit,
)
from nsjax.dynamics.outcome import Escape, Phase
from nsjax.dynamics.rescaled import RescaledFlow, log_logistic, rescaled_flow
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
    "RescaledFlow",
    "Saddle",
    "Saves",
    "Stats",
    "Stop",
    "TrainedSaddle",
    "Visit",
    "both_layers_loss",
    "cascade",
    "channel_apply",
    "critical_size",
    "embed",
    "escape",
    "escape_depth_exponent",
    "first_layer_loss",
    "flow_ensemble",
    "follow_channel",
    "gradient_descent",
    "gradient_flow",
    "inspect",
    "join_channel",
    "least_nuclear_norm",
    "least_squares",
    "log_logistic",
    "minimize",
    "minimize_starts",
    "nuclear_norm_fit",
    "pull_left",
    "ray_size",
    "ray_time",
    "rescaled_flow",
    "saddle_visits",
    "split_channel",
    "tail_log_time",
    "time_scaling",
    "train_saddle",
]
