# %% [markdown]
# # The instruments on your own networks
# Nothing here is a network of this project: a plain `torch.nn.LSTM` reads the rows of an image one after the other, a
# plain `nn.Sequential` sees all of it at once. Four questions are put to them, in a few lines each: how fast do nearby
# states part (**Lyapunov spectrum**), how many dimensions does the activity have (**dimension profile**), what can be
# read out of it and when (**probes**), and how much can the weights be disturbed (**perturbation curve**). Every answer
# is a tidy frame.
#
# This page is executed from `workflow/notebooks/guides/own-networks.py`. How to train ensembles of your own modules, and
# how to put a claim about them to a test, is in `docs/own-networks.md`.

# %% [markdown]
# ## Two networks that are not ours
# 8 x 8 images of handwritten digits, 1297 to learn from and 500 held out. The modules are torch's own, and the loop is
# written out (`torch.optim` would do as well, and takes two seconds to import).

# %%
import copy

import pandas as pd
import torch
from torch import nn

from dynatlas.datasets.digits import digits

images, labels = digits().x, digits().y
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
train, test = order[:1297], order[1297:]


class Reader(nn.Module):
    """Eight rows of eight pixels, then an answer."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 32, batch_first=True)
        self.answer = nn.Linear(32, 10)

    def forward(self, rows):
        return self.answer(self.lstm(rows)[0][:, -1])


def learn(network, steps, rate, batch=64):
    """A trained copy of a network, by gradient descent with momentum on random batches."""
    trained, draw = copy.deepcopy(network), torch.Generator().manual_seed(1)
    weights = list(trained.parameters())
    speeds = [torch.zeros_like(weight) for weight in weights]
    for _ in range(steps):
        some = train[torch.randint(len(train), (batch,), generator=draw)]
        loss = nn.functional.cross_entropy(trained(images[some]), labels[some])
        for weight, speed, slope in zip(weights, speeds, torch.autograd.grad(loss, weights)):
            speed.mul_(0.9).add_(slope)
            weight.data.sub_(rate * speed)
    return trained


torch.manual_seed(0)
hidden = [part for _ in range(3) for part in (nn.Linear(64, 64), nn.Tanh())]
layered = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))
readers = {"untrained": (fresh := Reader()), "trained": learn(fresh, 300, rate=0.3)}
stacks = {"untrained": layered, "trained": learn(layered, 200, rate=0.1)}


def accuracy_of(network):
    return float((network(images[test]).argmax(1) == labels[test]).float().mean())


scores = {"LSTM": map(accuracy_of, readers.values()), "Sequential": map(accuracy_of, stacks.values())}
pd.DataFrame(scores, index=pd.Index(readers, name="held-out accuracy")).round(3)

# %% [markdown]
# Pictures are drawn in the project's style. `figure_bytes` gives the same bytes at every run, shown so large that their
# text is as large as the page's.

# %%
from IPython.display import Image

from dynatlas.figures.marks import seed_band
from dynatlas.figures.palette import arm_styles
from dynatlas.figures.save import figure_bytes
from dynatlas.figures.style import arm_legend, house_style, new_panels, reference_line
from dynatlas.site.content import shown_width

STYLES = arm_styles(["trained", "untrained"])


def show(figure, title):
    picture = figure_bytes(figure, "png", title=title, provenance={})
    return Image(picture, width=shown_width(picture))


# %% [markdown]
# ## Lyapunov spectrum of a plain `nn.LSTM`
# `recurrent_from_torch` takes the module as it is (or its `state_dict`, or arrays under the same names; `nn.LSTMCell` and
# its names too); several modules become one batch. The networks read one image after the other, 200 rows in a stream. The instrument wants inputs as
# (time, sequence, input), whatever `batch_first` says; a state is $h$ and $c$, so an LSTM of 32 units has 64 exponents,
# in nats per row.

# %%
from dynatlas.instruments.lyapunov import lyapunov_spectrum
from dynatlas.instruments.lyapunov_summaries import spectrum_table
from dynatlas.models.from_torch import recurrent_from_torch

network, params = recurrent_from_torch([reader.lstm for reader in readers.values()])
streams = images[test][:250].reshape(10, 200, 8).transpose(0, 1)
result = lyapunov_spectrum(network, params, streams, burn_in=50)
spectrum = spectrum_table(result, list(readers))
spectrum.groupby("network", sort=False).head(3).round(4)

# %% [markdown]
# Training brings the leading exponents closer to 0: what was read is kept for longer. All stay below 0, so that the
# state is a function of the recent past.

# %%
with house_style():
    figure, panels = new_panels()
    axes = panels[0, 0]
    for name, own in spectrum.groupby("network", sort=False):
        x, mean, error, style = own["order"], own["exponent"], own["standard_error"], STYLES[name]
        axes.fill_between(x, mean - error, mean + error, color=style.color, alpha=0.3, linewidth=0)
        axes.plot(x, mean, color=style.color, linestyle=style.dash, label=name)
    reference_line(axes, 0.0, label="neither grows nor shrinks")
    axes.set(xlabel="order of the exponent", ylabel="Lyapunov exponent (nats per row)")
    axes.legend(loc="lower left")
show(figure, "Lyapunov spectrum")

# %% [markdown]
# The network inside is the same network: states agree with torch's up to float32's rounding, with `batch_first` and
# without.

# %%
rows = images[test]
time_first = nn.LSTM(8, 32)
time_first.load_state_dict(readers["trained"].lstm.state_dict())
with torch.no_grad():
    states = network.top(network.rollout(params, rows.transpose(0, 1)))  # (network, time, example, unit)
    theirs = readers["trained"].lstm(rows)[0], time_first(rows.transpose(0, 1))[0].transpose(0, 1)
print("largest difference:", *(f"{(states[1].transpose(0, 1) - one).abs().max():.0e}" for one in theirs))

# %% [markdown]
# What has no spectrum of this kind is refused, with the reason; so is a network *around* an LSTM, naming the part.

# %%
refused = {"bidirectional": True}, {"proj_size": 4}, {"num_layers": 2, "dropout": 0.5}
for network_of_another_kind in (*(nn.LSTM(8, 16, **settings) for settings in refused), fresh):
    try:
        recurrent_from_torch(network_of_another_kind)
    except ValueError as error:
        print(error)

# %% [markdown]
# ## Dimension profile of a plain `nn.Sequential`
# `record` puts hooks on the parts of a module while it computes, and takes them off again. What it gives are copies: a
# later layer that works in place does not reach them. A cloud is (point, unit); what a convolution gives becomes one by
# `.flatten(1)`. Three estimators share one search for neighbours.

# %%
from dynatlas.instruments.dimension_profile import dimension_profile
from dynatlas.instruments.recording import record

profiles = []
for name, module in stacks.items():
    layers = record(module, images[test], layers=["0", "2", "4", "6"])
    profiles.append(dimension_profile(layers).assign(network=name))
profile = pd.concat(profiles)
profile.pivot_table(index=["estimator", "network"], columns="layer", values="value").round(2)

# %% [markdown]
# In its hidden layers the trained network keeps fewer dimensions, by all three. Without training only the spread
# (participation ratio) shrinks; the manifold that the images lie on (maximum likelihood, two nearest neighbours) passes
# through as it is.

# %%
with house_style():
    figure, panels = new_panels(1, 3, width=2)
    for axes, (estimator, own) in zip(panels[0], profile.groupby("estimator", sort=False)):
        for name, line in own.groupby("network"):
            axes.plot(line["depth"], line["value"], **STYLES[name].line)
        axes.set(title=estimator.replace("_", " "), xlabel="hidden layer (0: pixels)", xticks=range(4))
        axes.set_ylim(0)
    panels[0, 0].set_ylabel("dimension of activity")
    arm_legend(figure, STYLES)
show(figure, "dimension profile")

# %% [markdown]
# ## Probes: when is the label there?
# Linear probes and nearest neighbours at every row, for both LSTMs, in one call each: `states` is (network, time,
# example, unit), and so are results without the last two. Probes are fitted on the first 300 held-out images and asked
# about the other 200.

# %%
from dynatlas.instruments.probes import knn_accuracy, linear_probe

parts = states[:, :, :300], labels[test][:300], states[:, :, 300:], labels[test][300:]
found = {"linear probe": linear_probe(*parts), "10 nearest neighbours": knn_accuracy(*parts)}
places = pd.MultiIndex.from_product([readers, range(1, 9)], names=["network", "row"])
columns = {reader: values.flatten() for reader, values in found.items()}
probed = pd.DataFrame(columns, index=places).reset_index()
accuracy = probed.melt(["network", "row"], var_name="reader")
accuracy.pivot_table(index=["reader", "network"], columns="row", values="value").round(3)

# %%
with house_style():
    figure, panels = new_panels(1, 2, width=2, sharey=True)
    for axes, (reader, own) in zip(panels[0], accuracy.groupby("reader", sort=False)):
        for name, line in own.groupby("network"):
            axes.plot(line["row"], line["value"], **STYLES[name].line)
        reference_line(axes, 0.1, label="chance")
        axes.set(title=reader, xlabel="rows read", ylim=(0, 1))
    panels[0, 0].set_ylabel("held-out accuracy")
    arm_legend(figure, STYLES)
show(figure, "probes along time")

# %% [markdown]
# An untrained network can be probed as well, though not as well as a trained one: a probe alone says little.
#
# ## Perturbation curve
# Twelve copies of the trained stack, each disturbed by a random stream of its own, are one ensemble; the intact network
# is at 0.

# %%
from dynatlas.ensemble.modules import ModuleEnsemble
from dynatlas.instruments.perturbation_curve import perturbation_curve
from dynatlas.jobs import Job

copies = ModuleEnsemble([stacks["trained"]] * 12)
curve = perturbation_curve(
    lambda weights: (copies(weights, images[test]).argmax(-1) == labels[test]).float().mean(1),
    copies.parameters,
    {"relative-weight-noise": (0.2, 0.4, 0.8), "connection-silencing": (0.2, 0.4, 0.8)},
    generators=Job("mine", range(12)).generators("perturbation"),
    weights=["1.weight", "3.weight", "5.weight"],
)
curve.pivot_table(index="family", columns="magnitude", values="value", aggfunc="mean").round(3)

# %%
with house_style():
    figure, panels = new_panels(1, 2, width=2, sharey=True)
    for axes, (family, own) in zip(panels[0], curve.groupby("family", sort=False)):
        seed_band(axes, own, x="magnitude", style=STYLES["trained"])
        reference_line(axes, 0.1, label="chance")
        axes.set(title=family.replace("-", " "), ylim=(0, 1))
    panels[0, 0].set(ylabel="held-out accuracy", xlabel="standard deviation / RMS weight")
    panels[0, 1].set_xlabel("fraction of synapses")
show(figure, "perturbation curve")

# %% [markdown]
# ## Silenced units
# Units are silenced while the network runs: `masks` multiplies what a named part gives, for each member its own, and 0
# clamps a unit. Here the same twelve copies lose a share of the units after each hidden layer in turn; for images a mask
# is (member, channel, 1, 1). Where a network's weights have one row for each unit, `without_units` writes the same into
# the weights (see `docs/own-networks.md`).

# %%
from dynatlas.instruments.perturb import random_lesions

lost = []
for layer in ("2", "4", "6"):
    for fraction in (0.1, 0.2, 0.4):
        cut = random_lesions(64, fraction, generators=Job("mine", range(12)).generators("lesion"))
        right = copies(copies.parameters, images[test], masks={layer: cut}).argmax(-1) == labels[test]
        lost += [(layer, fraction, member, value) for member, value in enumerate(right.float().mean(1).tolist())]
silenced = pd.DataFrame(lost, columns=["layer", "fraction", "member", "value"])
silenced.pivot_table(index="layer", columns="fraction", values="value", aggfunc="mean").round(3)
