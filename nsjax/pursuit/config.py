"""Settings of neuron pursuit, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from nsjax import _check

RULES = ("lookahead", "each", "ncf", "normalised")
UNTIL = ("loss", "accuracy")
MINIMISERS = ("lbfgs", "levenberg_marquardt", "gradient_descent", "adam")


@dataclass(frozen=True)
class Config:
    """Settings of neuron pursuit. Frozen and hashable: equal settings share compiled programs.

    Raises:
        TypeError, ValueError: on making one with a bad setting, which is named.

    >>> Config(rule="ncf").rule
    'ncf'
    """

    rule: str = "lookahead"
    """What a round adds. `"ncf"`: the best neuron of the layer whose NCF is largest (the paper).
    `"each"`: the best neuron of every layer. `"lookahead"`: the best of `candidates` in every
    layer, of those of all layers together and of chains, by the loss after a short refit.
    For `networks.Products` losses are compared by generalised cross-validation, so that orders with
    more weights have no advantage. `"normalised"`: of all these, without refits, the one that would
    explain the largest share of the residual by itself."""
    lanes: int = 12
    """Independent pursuits in one batch; the first that fits ends the run."""
    per_round: int = 1
    """Distinct neurons of one layer that a round adds together; more pays for many outputs."""
    candidates: int = 2
    """For `"lookahead"`: distinct KKT points of every layer that are tried."""
    max_cosine: float = 0.97
    """Largest |cosine| between what two of them add to the outputs."""
    spread: float = 0.2
    """For `"lookahead"`: how far lanes differ in their choice, as a spread of log losses; 0 takes
    the best in every lane."""
    starts: int = 32
    """Starts of the ascent of the NCF in every layer."""
    search_steps: int = 60
    """Bound on its steps."""
    search_tol: float = 1e-6
    """KKT residual at which a start is over."""
    spectral: bool = True
    """Whether half of the starts are drawn towards the eigenvectors of the second moment of the
    features, weighted by the residual."""
    insertion: str = "search"
    """`"search"`: the new weights get the norm, of `scales`, that lowers the loss most; `"fixed"`:
    the norm `delta`."""
    delta: float = 0.1
    """Norm of new weights for `insertion="fixed"`."""
    scales: tuple[float, float, int] = (0.03, 8.0, 16)
    """Smallest and largest norm tried, and how many, for `insertion="search"`."""
    new_neurons: str = "kkt"
    """Where new neurons point: to KKT points (`"kkt"`), or anywhere (`"random"`), a control."""
    minimiser: str = "lbfgs"
    """`"lbfgs"`, `"levenberg_marquardt"` (square loss, small networks), `"gradient_descent"` with
    backtracking (the paper) or `"adam"`."""
    steps: int = 300
    """Evaluations of the loss and its gradient in each refit, at each weight of `l2`."""
    short_steps: int = 40
    """The same in the short refits of `"lookahead"`, at the first weight of `l2`."""
    learning_rate: float = 0.01
    """Of Adam; the first step of gradient descent."""
    l2: tuple[float, ...] = (2e-3, 0.0)
    """Weights of `1/2 ||w||^2` beside the relative loss; the last one should be 0. One gives way to
    the next once the loss is below the penalty, at a dead end, and in a lane's last round."""
    normalise: bool = True
    """For the square loss: weigh samples by `|x|^(-2 p^(L-1))`, up to 100. A homogeneous network is
    fixed by its values on the sphere; without it the largest inputs alone decide what is learned
    first. For noisy targets, and inputs of very different size, False."""
    balance: bool = False
    """Whether to balance every neuron after each refit (appendix D.6); p = 1 gains, p = 2 loses."""
    rescue: float = 0.02
    """A round that lowers the loss by less than this share is a dead end: the next one adds a chain
    of one neuron in every layer (`"lookahead"` always tries one), and a second one in a row ends
    the lane. With 0 there is no rescue, and a round without gain ends it."""
    max_neurons: int = 64
    """Hidden neurons at which a lane ends; its last round may take it above."""
    max_share: float = 0.5
    """Budget of parameters, over samples times outputs: with more, a fit says little."""
    max_rounds: int = 32
    """Bound on the rounds of each attempt."""
    attempts: int = 3
    """How often all lanes begin, each time from other random numbers, until one has fitted."""
    capacity: int = 8
    """Neurons of each hidden layer that there is room for at first; doubles when full."""
    until: str = "loss"
    """When a lane fits: `"loss"`, as soon as `tol` is reached; `"accuracy"`, for targets that are
    classes, when no training sample is wrong and `margin` has been added. Errors are then shares of
    wrong classes with the square loss too: by the largest output, or the sign of a single one."""
    margin: float = 0.0
    """For `until="accuracy"`: neurons that are added from there on, over those that there were."""
    tol: float = 4e-6
    """Relative training loss, on the data as given, at which a lane fits, and refits end: for the
    square loss the share of the targets' variance that is left, else the loss over that at zero
    outputs. For noisy data, above the share that is noise."""
    patience: int = 4
    """With validation data: rounds without a better validation error after which a lane ends."""
    ncf_tol: float = 1e-7
    """NCF, against what it would be if residual and features lined up, that counts as zero."""
    shuffles: int = 0
    """With some, a round adds only what explains a larger share of the residual than the best new
    neuron of its kind does of so many residuals shuffled over the samples, by a margin; where
    nothing does, the lane ends. So noise ends a pursuit without held-out data. Of monomials
    (`networks.Products`), whose number is known, so is the share, and one shuffle is enough."""
    prune: bool = True
    """Whether neurons are taken out of the network that fits, as long as it still does after a
    refit; of one that `shuffles` ended, as long as those left out explain no more than by
    chance."""

    def __post_init__(self) -> None:
        _check.choice("rule", self.rule, RULES)
        _check.choice("insertion", self.insertion, ("search", "fixed"))
        _check.choice("new_neurons", self.new_neurons, ("kkt", "random"))
        _check.choice("minimiser", self.minimiser, MINIMISERS)
        _check.choice("until", self.until, UNTIL)
        for name in (
            "lanes",
            "per_round",
            "candidates",
            "starts",
            "search_steps",
            "steps",
            "short_steps",
            "max_neurons",
            "max_rounds",
            "attempts",
            "patience",
            "capacity",
        ):
            _check.positive_integer(name, getattr(self, name))
        for name in ("max_cosine", "search_tol", "delta", "learning_rate", "tol", "max_share"):
            _check.positive(name, getattr(self, name))
        for name in ("spread", "rescue", "ncf_tol", "margin"):
            _check.non_negative(name, getattr(self, name))
        _check.non_negative_integer("shuffles", self.shuffles)
        for name in ("spectral", "normalise", "balance", "prune"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if not isinstance(self.scales, tuple) or len(self.scales) != 3:
            raise TypeError(f"scales must be (smallest, largest, count), got {self.scales!r}")
        smallest, largest, count = self.scales
        _check.positive("scales[0]", smallest)
        _check.positive("scales[1]", largest)
        if not smallest < largest or _check.positive_integer("scales[2]", count) < 2:
            raise ValueError(f"scales must be (smallest, larger, at least 2), got {self.scales!r}")
        if not isinstance(self.l2, tuple) or not self.l2:
            raise TypeError(f"l2 must be a tuple of numbers, got {self.l2!r}")
        for i, weight in enumerate(self.l2):
            _check.non_negative(f"l2[{i}]", weight)
        if self.starts < self.candidates * self.per_round:
            raise ValueError(
                "starts must be at least candidates * per_round = "
                f"{self.candidates * self.per_round}, got {self.starts}"
            )
        if self.capacity < self.per_round:
            raise ValueError(
                f"capacity must be at least per_round = {self.per_round}, got {self.capacity}"
            )

    @property
    def measured(self) -> bool:
        """Whether the shares of the residual that new neurons explain are needed."""
        return self.rule == "normalised" or self.shuffles > 0


PRESETS: dict[str, Config] = {
    "default": Config(),
    "paper": Config(
        rule="ncf",
        lanes=1,
        candidates=1,
        spread=0.0,
        starts=64,
        search_steps=500,
        spectral=False,
        insertion="fixed",
        delta=0.1,
        minimiser="gradient_descent",
        steps=5000,
        l2=(0.0,),
        normalise=False,
        rescue=0.0,
        max_share=1.0,
        attempts=1,
        prune=False,
    ),
}
"""`"default"`, and `"paper"`: Algorithm 1 of neuron pursuit (arXiv 2509.12154)."""


def chosen(preset: str, config: Config | None) -> Config:
    """The config given, or else that of the preset.

    Raises:
        TypeError, ValueError: for an unknown preset, or what is no `Config`.
    """
    if config is None:
        return PRESETS[_check.choice("preset", preset, tuple(PRESETS))]
    if not isinstance(config, Config):
        names = ", ".join(field.name for field in fields(Config))
        got = "a dict" if isinstance(config, Mapping) else type(config).__name__
        raise TypeError(f"config must be a pursuit.Config (with {names}), got {got}")
    if preset != "default":
        raise ValueError(f"say preset or config, not both; got preset={preset!r} and a config")
    return config
