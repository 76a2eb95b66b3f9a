"""Every model of the wing at a small size: for contract suites and command lines, never for studies."""

from __future__ import annotations

from collections.abc import Callable

from dynatlas.models.rnn import ElmanRNN

MODELS: dict[str, Callable[[], ElmanRNN]] = {
    "elman": lambda: ElmanRNN(3, 6, 2),
    "elman_tanh_without_bias": lambda: ElmanRNN(3, 6, 2, activation="tanh", bias=False, output_bias=False),
    "elman_leaky": lambda: ElmanRNN(3, 6, 2, alpha=0.2, recurrent_init="gaussian"),
    "elman_leak_inside": lambda: ElmanRNN(3, 6, 2, alpha=0.2, leak="inside", input_init="uniform"),
    "elman_function": lambda: ElmanRNN(3, 6, 2, alpha=0.5, activation=lambda h: h.relu().log1p()),
}
"""Each is called without arguments and gives `n_in`, `initialise`, `rollout`, `states_at`, `step` and `jacobian`."""
