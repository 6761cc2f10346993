"""PyTorch: tensors in memory, indexed by a random permutation; eager.

Variants: torch; torch_active (its OpenMP threads spin, set by the driver);
torch_cl (channels last); torch_compile; torch_pml (the miners, losses and
metrics of pytorch-metric-learning).
"""

import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad_and_value, vmap

from benchmarks import works
from benchmarks.peers import metric_learning
from benchmarks.works import Job, Work

LIBRARIES = ('torch', 'pytorch-metric-learning')
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


class Flat(nn.Module):
  """Flattens channels last, so that the dense weights mean the same."""

  def forward(self, x):
    """f32[N, C, H, W] -> f32[N, H W C]."""
    return x.permute(0, 2, 3, 1).flatten(1)


class Unit(nn.Module):
  """Scales to length 1."""

  def forward(self, x):
    """f32[N, D] -> f32[N, D]."""
    return F.normalize(x, dim=1)


def network(work: Work, seed: int = 0) -> nn.Module:
  """Makes the network of a work with its starting weights.

  Args:
    work: the work.
    seed: of the weights.

  Returns:
    The network.
  """
  stack: list[nn.Module] = []
  for i, (w, b) in enumerate(works.weights(work, seed)):
    w, b = torch.from_numpy(w), torch.from_numpy(b)
    if w.ndim == 4:
      layer = nn.Conv2d(w.shape[2], w.shape[3], 3)
      layer.weight.data = w.permute(3, 2, 0, 1).contiguous()
    else:
      layer = nn.Linear(*w.shape)
      layer.weight.data = w.T.contiguous()
    layer.bias.data = b
    name = works.activation(work, i)
    stack += [
      layer,
      *{'relu': [nn.ReLU()], 'sigmoid': [nn.Sigmoid()]}.get(name, []),
    ]
    if w.ndim == 4:
      stack.append(nn.MaxPool2d(2) if i < 2 else Flat())
    elif work.kind == 'mlp' and i == 0:
      stack.append(nn.Dropout(works.DROPOUT))
  if works.is_triplet(work):
    stack.append(Unit())
  return nn.Sequential(*stack).to(DEVICE)


def triplets(work: Work, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
  """Mines a batch by hand and gives its loss.

  Args:
    work: the work.
    z: f32[B, D], of length 1.
    y: i64[B].

  Returns:
    f32[].
  """
  d = (2 - 2 * z @ z.T).clamp_min(1e-12).sqrt()
  same = y[:, None] == y
  if work.kind == 'hard':
    far = torch.where(same, d, -1.0).amax(1)
    near = torch.where(same, 9.0, d).amin(1)
    return F.relu(far - near + works.MARGIN).mean()
  positive = same & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
  beyond = ~same[:, None] & (d[:, None] > d[:, :, None])
  near = torch.where(beyond, d[:, None], 9.0).amin(2)
  farthest = torch.where(same, -1.0, d).amax(1, keepdim=True)
  near = torch.where(near < 9, near, farthest)
  return (F.relu(d - near + works.MARGIN) * positive).sum() / positive.sum()


def loss_of(work: Work, variant: str):
  """Chooses the loss of a batch of outputs.

  Args:
    work: the work.
    variant: 'torch_pml' for those of pytorch-metric-learning.

  Returns:
    (outputs, y) -> f32[].
  """
  if work.kind in ('mlp', 'convnet'):
    return F.cross_entropy
  if not works.is_triplet(work):
    return F.mse_loss
  if variant == 'torch_pml':
    return metric_learning.loss(work)
  return lambda z, y: triplets(work, z, y)


def scored(work: Work, z: torch.Tensor, y: torch.Tensor) -> list[float]:
  """Gives the metrics of a whole split from its outputs.

  Args:
    work: the work.
    z: outputs.
    y: labels or targets.

  Returns:
    Them.
  """
  if work.kind in ('mlp', 'convnet'):
    right = (z.argmax(1) == y).float().mean()
    return [F.cross_entropy(z, y).item(), right.item()]
  if not works.is_triplet(work):
    error, spread = F.mse_loss(z, y), (y - y.mean(0)).square().mean()
    found = error, (z - y).abs().mean(), 1 - error / spread
    return [value.item() for value in found]
  d = (2 - 2 * z @ z.T).fill_diagonal_(9)
  relevant = (y[:, None] == y).sum(1) - 1
  most = int(relevant.max())
  hits = y[d.topk(most, largest=False).indices] == y[:, None]
  hits &= torch.arange(most, device=y.device) < relevant[:, None]
  rank = torch.arange(1, most + 1, device=y.device)
  precision = hits.cumsum(1) / rank
  mean = lambda v: (v.sum(1) / relevant).mean().item()
  return [hits[:, 0].float().mean().item(), mean(hits), mean(precision * hits)]


def tensors(work: Work, variant: str) -> dict[str, tuple[torch.Tensor, ...]]:
  """Makes the examples as PyTorch takes them, on the device.

  Args:
    work: the work.
    variant: 'torch_cl' for channels last.

  Returns:
    The splits.
  """
  found = {}
  for name, (x, y) in works.floats(work).items():
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    if x.ndim == 4:
      x = x.permute(0, 3, 1, 2).contiguous()
      if variant == 'torch_cl':
        x = x.contiguous(memory_format=torch.channels_last)
    y = y if y.is_floating_point() else y.long()
    found[name] = x.to(DEVICE), y.to(DEVICE)
  return found


def setup(work: Work, variant: str) -> Job:
  """Builds the training loop of a work.

  Args:
    work: the work.
    variant: see above.

  Returns:
    The job.

  Raises:
    Refused: where the variant makes no difference.
  """
  if variant == 'torch_cl' and not works.is_image(work):
    raise works.Refused('channels last is for convolutions')
  if variant == 'torch_pml' and not works.is_triplet(work):
    raise works.Refused('pytorch-metric-learning is for triplets')
  torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '1')))
  splits = tensors(work, variant)
  if work.seeds > 1:
    return ensemble(work, variant, splits)
  (x, y), (held_x, held_y) = splits['train'], splits['validation']
  net, compared = network(work), loss_of(work, variant)
  if variant == 'torch_cl':
    net = net.to(memory_format=torch.channels_last)
  rate = works.RATES[work.optimizer]
  if work.optimizer == 'adam':
    optimizer = torch.optim.Adam(net.parameters(), rate)
  else:
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9)
  forward = lambda x, y: compared(net(x), y)
  if variant == 'torch_compile':
    forward = torch.compile(forward)

  def first():
    net.eval()
    with torch.no_grad():
      return compared(net(x[: work.batch]), y[: work.batch]).item()

  def validate():
    net.eval()
    with torch.no_grad():
      z = torch.cat([net(part) for part in held_x.split(256)])
      if variant == 'torch_pml':
        return metric_learning.scored(z, held_y)
      return scored(work, z, held_y)

  def run(epochs):
    for _ in range(epochs):
      net.train()
      total = torch.zeros((), device=DEVICE)
      order = torch.randperm(len(x), device=DEVICE)
      for row in order[: works.steps(work) * work.batch].split(work.batch):
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x[row], y[row])
        loss.backward()
        optimizer.step()
        total += loss.detach()
      if work.whole:
        validate()
    return total.item() / works.steps(work)

  return Job(first, run)


def ensemble(work: Work, variant: str, splits) -> Job:
  """Trains many networks at once: `torch.func.vmap` over stacked weights.

  Args:
    work: the work.
    variant: only 'torch' and 'torch_active' have this form.
    splits: as `tensors` gives them.

  Returns:
    The job.

  Raises:
    Refused: for other variants.
  """
  if variant not in ('torch', 'torch_active') or work.whole:
    raise works.Refused('torch alone trains several seeds at once')
  (x, y), seeds = splits['train'], work.seeds
  nets, base = (
    [network(work, s) for s in range(seeds)],
    network(work).to('meta'),
  )
  named = [dict(net.named_parameters()) for net in nets]
  params = {k: torch.stack([p[k].detach() for p in named]) for k in named[0]}
  rate = works.RATES[work.optimizer]
  if work.optimizer == 'adam':
    optimizer = torch.optim.Adam([*params.values()], rate)
  else:
    optimizer = torch.optim.SGD([*params.values()], rate, momentum=0.9)
  compared = loss_of(work, variant)
  one = lambda p, x, y: compared(functional_call(base, p, (x,)), y)
  slopes = vmap(grad_and_value(one), randomness='different')

  def first():
    net = nets[0].eval()
    with torch.no_grad():
      return compared(net(x[: work.batch]), y[: work.batch]).item()

  def run(epochs):
    for _ in range(epochs):
      total = torch.zeros((), device=DEVICE)
      order = torch.stack(
        [torch.randperm(len(x), device=DEVICE) for _ in range(seeds)]
      )
      for i in range(works.steps(work)):
        row = order[:, i * work.batch : (i + 1) * work.batch]
        found, loss = slopes(params, x[row], y[row])
        for name, p in params.items():
          p.grad = found[name]
        optimizer.step()
        total += loss.mean()
    return total.item() / works.steps(work)

  return Job(first, run)
