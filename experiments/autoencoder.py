"""Autoencoder: images through a narrow code and back, beside PCA.

python launch.py --experiment=autoencoder
"""

import dataclasses

from dlcore.config import Data, Training, UsageError, flag

TASK = 'embedding'


@dataclasses.dataclass(frozen=True)
class Config:
  """Flags of the autoencoder experiment."""

  kind: str = flag('dense', 'the network', choices=('dense', 'conv'))
  code: int = flag(8, 'numbers in a code', low=1)
  noise: float = flag(0.0, 'denoising: deviation of noise on inputs', low=0)
  batch_size: int = flag(64, 'examples in a batch', low=1)
  data: Data = Data()
  training: Training = Training(epochs=100, schedule='cosine')


def experiment(config, spec):
  """Makes the experiment from its flags and the facts of its data."""
  import jax

  from dlcore import baselines, batches, layers, losses, metrics, models, optim
  from dlcore import train, visualize
  from dlcore.config import absent

  if len(spec.shape) != 3:
    raise UsageError(f'--dataset={spec.name}: an autoencoder needs images')
  make = {'dense': models.dense_autoencoder, 'conv': models.conv_autoencoder}
  net = make[config.kind](spec.shape, code=config.code)
  blur = layers.lift_random(
    lambda key, x: x + config.noise * jax.random.normal(key, x.shape),
    name='noise',
  )
  model = layers.serial(blur, net.encoder, net.decoder, name='autoencoder')
  key = jax.random.key(0)  # the same noise at every evaluation
  target = lambda split: split._replace(y=split.x)

  def example(found, x):
    flat = (found.reshape(-1), x.reshape(-1))
    return {'loss': losses.mean_squared(*flat), 'psnr': metrics.psnr(found, x)}

  loss, evaluate = train.supervised(model, example, key=key)

  def noisy(split):
    return train.predict(lambda x, k: blur.apply({}, x, k), split, key=key)

  def pca(data):
    x = train.as_float(data.train).x
    return baselines.pca(x, components=config.code)(noisy(data.test))

  def beside(data):
    found = jax.vmap(example)(pca(data), train.as_float(data.test).x)
    return {'PCA': {name: float(v.mean()) for name, v in found.items()}}

  def figures(params, data):
    inputs = noisy(data.test)
    seen = train.predict(
      lambda x, k: layers.activations(model, params, x),
      data.test._replace(x=inputs),
    )
    rows = {} if absent(config.noise) else {'noisy': inputs}
    rows |= {'network': seen['2_decoder'], 'PCA': pca(data)}
    return {
      'reconstructions': visualize.images_beside(data.test.x, rows),
      'codes': visualize.plane(
        seen['1_encoder'], data.test.y, spec.class_names
      ),
    }

  return train.Experiment(
    model,
    lambda params, batch, key: loss(params, target(batch), key),
    lambda params, split: evaluate(params, target(split)),
    optim.make(config, spec),
    batches.shuffled(config.batch_size),
    baselines=beside,
    figures=figures,
  )
