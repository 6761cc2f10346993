"""Autoencoder: images through a narrow code and back, beside PCA.

python launch.py --experiment=autoencoder --seeds=8
mse 0.01298 ± 0.00023 on test digits (PCA 0.0237); 8 seeds in 5.7 s, 2 cores.
"""

import dataclasses

from dlcore.config import AUTOENCODERS, CODES, Data, Training, flag

TASK = 'embedding'


@dataclasses.dataclass(frozen=True)
class Config:
  """Flags of the autoencoder experiment."""

  kind: str = flag('dense', 'variational draws a plane', choices=AUTOENCODERS)
  code: int = flag(8, 'numbers in a code', low=1, only={'kind': CODES})
  noise: float = flag(0.0, 'denoising: deviation of noise on inputs', low=0)
  batch_size: int = flag(64, 'examples in a batch', low=1)
  data: Data = Data()
  training: Training = Training(epochs=100, schedule='cosine')


def experiment(config, spec):
  """Makes the experiment from its flags and the facts of its data."""
  import jax

  from dlcore import baselines, batches, inside, layers, losses, metrics
  from dlcore import models, optim, train

  net = models.choose_autoencoder(config, spec)
  blur = lambda x, k: layers.gaussian_noise(config.noise).apply({}, x, k)
  key = jax.random.key(0)  # the same noise at every evaluation
  noisy = lambda split: train.predict(blur, split, key=key)

  def compare(found, x):
    flat = (found.reshape(-1), x.reshape(-1))
    return {'mse': losses.mean_squared(*flat), 'psnr': metrics.psnr(found, x)}

  def one(params, x, noise_key, code_key=None):
    scores, kl = models.reconstruct(net, params, blur(x, noise_key), code_key)
    found = compare(jax.nn.sigmoid(scores), x)
    if config.kind != 'variational':
      return {'loss': found['mse'], **found}
    return {'loss': losses.bernoulli_reconstruction(scores, x) + kl, **found}

  def loss(params, batch, key):
    keys = jax.random.split(key, (len(batch.x), 2))
    found = jax.vmap(lambda x, k: one(params, x, *k))(batch.x, keys)
    return train.means(found)['loss'], train.means(found)

  def each(params, split, first):
    found = lambda x, k: one(params, x, k)
    return train.predict(found, split, key=key, first=first)

  def pca(data):
    x = batches.as_float(data.train).x
    return baselines.pca(x, components=config.code)(noisy(data.test))

  def beside(data):
    found = jax.vmap(compare)(pca(data), batches.as_float(data.test).x)
    return {'PCA': train.means(found)}

  return train.Experiment(
    net.whole,
    loss,
    train.Evaluation(each, train.means),
    optim.make(config, spec),
    batches.shuffled(config.batch_size),
    baselines=beside,
    separable=True,
    figures=inside.autoencoder_figures(net, noisy, pca),
    outputs=lambda params, x: models.coded(net, params, x),
  )
