"""proof.json: what was measured of a bundle, where, against which limits, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from olive_build.record.codec import optional, rest
from olive_build.record.manifest import Count, Name, Partition, Positive, Sha256, Told, Usability
from olive_build.values import dataclass

PROOF_VERSION: Final = 2
THIS, FP32, PYTORCH = "this file", "fp32 graph", "pytorch"

Status = Literal["passed", "failed", "undecided", "waived", "not measured"]
Verdict = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True)
class Machine:
    """The processor that was measured on. Figures are compared where fingerprints are equal."""

    cpu: str
    cores: Positive
    features: tuple[str, ...]
    system: str
    architecture: str
    fingerprint: str


@dataclass(frozen=True)
class Gate:
    """One figure, its limit, and what follows.

    `size` is the input's length for a figure that is judged at one; `interval` is where the figure
    lies for certain, None for a figure that does not vary.
    """

    figure: str
    value: float | None
    limit: float
    bound: Literal["at least", "at most"]
    status: Status
    note: str = ""
    size: int | None = None
    interval: tuple[float, float] | None = None

    def text(self) -> str:
        """Return the gate as a person reads it: `cosine_p1 0.97123, at least 0.98: failed`."""
        figure = self.figure if self.size is None else f"{self.figure} at {self.size}"
        value, limit = self.told_apart()
        note = f" ({self.note})" if self.note else ""
        return f"{figure} {value}, {self.bound} {limit}: {self.status}{note}"

    def told_apart(self) -> tuple[str, str]:
        """Return the figure and its limit with as many digits as tell the two apart."""
        limit = f"{self.limit:g}"
        if self.value is None:
            return "not measured", limit
        # 17 digits tell all numbers that differ.
        digits = range(6, 17) if self.value != self.limit else ()
        pairs = ((f"{self.value:.{n}g}", f"{self.limit:.{n}g}") for n in (*digits, 17))
        return next((pair for pair in pairs if pair[0] != pair[1]), (limit, limit))


@dataclass(frozen=True)
class SpeedLimit:
    """How many times as fast as PyTorch eager it must be, at one size or at each (None)."""

    at_least: float
    size: int | None


@dataclass(frozen=True)
class Limits:
    """What a variant is held to: figures by name, the speed, and the build before."""

    figures: Mapping[str, float] = rest()
    speedup: tuple[SpeedLimit, ...] | None = optional()
    regression: Mapping[str, float] | None = optional()


@dataclass(frozen=True)
class Comparison:
    """Figures against something: the worst, of the samples one by one, and of them in batches.

    Where batches are there are none, `batched` is left out.
    """

    figures: Mapping[str, float] = rest()
    single: Mapping[str, float] | None = optional()
    batched: Mapping[str, float] | None = optional()


@dataclass(frozen=True)
class Quality:
    """Figures of one file against PyTorch, with the number of samples, and against the fp32 graph.

    `against_fp32` is left out where it is that graph.
    """

    figures: Mapping[str, float] = rest()
    single: Mapping[str, float] | None = optional()
    batched: Mapping[str, float] | None = optional()
    against_fp32: Comparison | None = optional()


@dataclass(frozen=True)
class Spread:
    """The median and quartiles of many rounds, and the interval in which the true median lies.

    Earlier versions recorded the quartiles alone.
    """

    median: float
    low: float
    high: float
    median_from: float | None = optional()
    median_to: float | None = optional()

    @property
    def interval(self) -> tuple[float, float]:
        """The interval in which the true median lies."""
        low = self.low if self.median_from is None else self.median_from
        high = self.high if self.median_to is None else self.median_to
        return low, high

    @property
    def noise(self) -> float:
        """How far apart the quartiles are, as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True)
class LoadTime:
    """How long candidates take to be ready, and this file's time as a ratio to each other's.

    `noise` is how far the quartiles of the steadiest lie apart, as a share of its median.
    """

    threads: Positive
    milliseconds: Mapping[str, Spread]
    ratio_to: Mapping[str, Spread]
    rounds: Count = 0
    noise: float = 0.0
    noisy: bool = False


@dataclass(frozen=True)
class Latency:
    """Fields as `LoadTime`'s, of running on an input of so many `unit`."""

    tokens: Count
    threads: Positive
    milliseconds: Mapping[str, Spread]
    ratio_to: Mapping[str, Spread]
    unit: str = "tokens"
    rounds: Count = 0
    noise: float = 0.0
    noisy: bool = False


@dataclass(frozen=True)
class Memory:
    """The peak above a process without the model, in MB, of all runs, at an input of one size.

    `process` is the whole process's; `counted` says since when.
    """

    tokens: Count
    median: float
    low: float
    high: float
    runs: Count = 0
    process: float = 0.0
    counted: str = ""


@dataclass(frozen=True)
class WithoutVnni:
    """What the file does on an x86 processor whose 8-bit sums can saturate: the same, or `quality`.

    `weight_pairs_at_risk` of all `weight_pairs` are large enough for that.
    """

    status: str
    note: str = ""
    products: Count = 0
    weight_pairs: Count = 0
    weight_pairs_at_risk: Count = 0
    quality: Quality | None = optional()


@dataclass(frozen=True)
class Finding:
    """What is known of a graph without running it: what is so, why it matters, what to do."""

    severity: Literal["error", "note"]
    what: str
    why: str
    hint: str


@dataclass(frozen=True)
class Candidate:
    """One way to quantize that a search measured; ratios are to the fp32 graph."""

    name: str
    size_ratio: float | None
    latency_ratio: float | None
    figures: Mapping[str, float]
    holds: bool
    chosen: bool


@dataclass(frozen=True)
class Search:
    """All that a search tried, and what it says of its choice: the method, and whether it holds."""

    candidates: tuple[Candidate, ...]
    summary: str = ""
    method: Mapping[str, object] | None = optional()
    holds: bool | None = optional()


@dataclass(frozen=True)
class Worst:
    """The largest difference of all parameters, and whose it is, of how many."""

    worst: float
    parameter: str
    count: Count = 0


@dataclass(frozen=True)
class StepCost:
    """A training step on so many threads: its median time, and the memory of its process."""

    threads: Positive
    milliseconds_per_step: float
    peak_bytes: float
    baseline_bytes: float
    steps: Count = 0


@dataclass(frozen=True)
class Cost:
    """Fields as `StepCost`'s, and the cost on all cores."""

    threads: Positive
    milliseconds_per_step: float
    peak_bytes: float
    baseline_bytes: float
    steps: Count = 0
    all_cores: StepCost | None = optional()


@dataclass(frozen=True)
class ErrorRate:
    """An equal error rate, which `low` and `high` hold with 95 % confidence, of counted trials.

    `loss` is the first step's and the last's, of an owner that was learned.
    """

    rate: float
    low: float
    high: float
    owners: Count
    impostors: Count
    accepted: Count | None = optional()
    rejected: Count | None = optional()
    threshold: float | None = optional()
    refused_at_margin: float | None = optional()
    let_in_at_margin: float | None = optional()
    steps: Count | None = optional()
    loss: tuple[float, ...] | None = optional()


@dataclass(frozen=True)
class Personalised:
    """How well owners are told from others after learning: each, and all at one threshold."""

    pooled: ErrorRate
    owners: Mapping[str, ErrorRate]
    clips_of_an_owner: Count | None = optional()
    margin: float | None = optional()


@dataclass(frozen=True)
class Trained:
    """What was found of training artifacts by taking steps with them, against PyTorch's steps.

    `gradients` and `parameters` are of single steps from recorded states, `free_difference` of all
    steps in a row. `compared` are the steps that were held against recorded states.
    """

    steps: Count
    losses_difference: float
    gradients: Worst
    parameters: Worst
    inference_difference: float
    cost: Cost
    free_difference: float | None = None
    eval_difference: float | None = None
    eval_loss_difference: float | None = None
    trained_difference: float | None = None
    ort_difference: float | None = None
    resume_exact: bool | None = None
    nominal_exact: bool | None = None
    exact_threads: int | None = None
    frozen_identical: bool | None = None
    frozen_changed: tuple[str, ...] = ()
    start_changed: tuple[str, ...] | None = optional()
    optimizer_differences: tuple[str, ...] = ()
    faint: tuple[str, ...] = ()
    unmoved: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    losses: tuple[float, ...] = ()
    compared: tuple[int, ...] = ()
    personalised: Personalised | None = optional()


@dataclass(frozen=True)
class VariantProof:
    """What was measured of one variant, and the verdict.

    `quality` has each of its files by role, or `onnx` where several run as one; what was not
    measured is None. `memory` is by candidate. Sizes are those of its files and of the fp32 graph.
    """

    verdict: Verdict
    limits: Limits
    quality: Mapping[str, Quality]
    gates: tuple[Gate, ...]
    size_bytes: Count
    fp32_bytes: Positive
    latency: tuple[Latency, ...] | None = None
    load: LoadTime | None = None
    memory: Mapping[str, tuple[Memory, ...]] | None = None
    without_vnni: WithoutVnni | None = None
    static_check: tuple[Finding, ...] = ()
    mobile_usability: Usability | None = None
    partition: Told | Partition | None = None
    search: Search | None = None
    training: Trained | None = optional()

    @property
    def ratio(self) -> float:
        """Its size against the fp32 graph's."""
        return self.size_bytes / self.fp32_bytes

    @property
    def problems(self) -> list[str]:
        """What keeps the variant from being published, as a person reads it."""
        found = [gate.text() for gate in self.failed]
        errors = (item for item in self.static_check if item.severity == "error")
        return found + [f"{item.what}: {item.why}" for item in errors]

    @property
    def failed(self) -> list[Gate]:
        """The gates that do not hold."""
        return [gate for gate in self.gates if gate.status == "failed"]

    @property
    def undecided(self) -> list[Gate]:
        """The gates that the measurement could not decide."""
        return [gate for gate in self.gates if gate.status == "undecided"]


@dataclass(frozen=True)
class ShortLatency:
    """Of a row of `latency`, what a later build is compared with: the ratio to PyTorch."""

    tokens: Count
    threads: Positive
    noisy: bool
    ratio_to: Mapping[str, Spread]


@dataclass(frozen=True)
class ShortMemory:
    """Of a row of `memory`, what a later build is compared with."""

    tokens: Count
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Of a variant's proof, what a later build is compared with; quality is the worst file's."""

    size_bytes: Count
    quality: Mapping[str, float]
    latency: tuple[ShortLatency, ...]
    memory: tuple[ShortMemory, ...]


@dataclass(frozen=True)
class Previous:
    """The build before: its digest, its machine, its inputs by digest, its variants."""

    manifest_sha256: Sha256
    machine: str
    inputs: tuple[Sha256, ...]
    variants: Mapping[Name, Summary]


@dataclass(frozen=True)
class Proof:
    """What was measured of a bundle, on which machine; `previous` is the build that it is held to.

    Where a variant has limits on regression, `previous` stands there, null for a first build.
    """

    status: str
    machine: Machine
    variants: Mapping[Name, VariantProof]
    previous: Previous | None = optional()
    proof_version: Literal[2] = PROOF_VERSION

    @property
    def is_compared(self) -> bool:
        """Whether a variant is held to the build before."""
        return any(item.limits.regression is not None for item in self.variants.values())
