"""Activations: elementwise unless the name says otherwise.

Arrays of any rank; the dtype is kept. `softmax`, `log_softmax` and `maxout` act
on the last axis. What draws at random takes the key first.
"""

import math

import chex
import jax
import jax.numpy as jnp


def linear(x: jax.Array) -> jax.Array:
  """Leaves its input as it is.

  Args:
    x: f[...].

  Returns:
    f[...], x.

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lecture 2 ("Linear module").
  """
  chex.assert_type(x, float)
  return x


def sigmoid(x: jax.Array) -> jax.Array:
  """Computes 1 / (1 + exp(-x)).

  Args:
    x: f[...].

  Returns:
    f[...], in [0, 1].

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lectures 0 and 2.
  """
  chex.assert_type(x, float)
  return jax.nn.sigmoid(x)


def tanh(x: jax.Array) -> jax.Array:
  """Computes the hyperbolic tangent, 2 sigmoid(2 x) - 1.

  Args:
    x: f[...].

  Returns:
    f[...], in [-1, 1].

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lecture 2 ("Tanh module").
  """
  chex.assert_type(x, float)
  return jnp.tanh(x)


def scaled_tanh(x: jax.Array) -> jax.Array:
  """Computes 1.7159 tanh(2 x / 3), which is close to +-1 at x = +-1.

  Args:
    x: f[...].

  Returns:
    f[...], in [-1.7159, 1.7159].

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    LeCun, Bottou, Orr, Mueller: Efficient backprop, 1998.
  """
  chex.assert_type(x, float)
  return 1.7159 * jnp.tanh(2 / 3 * x)


def relu(x: jax.Array) -> jax.Array:
  """Computes max(0, x), with gradient 0 at 0.

  Args:
    x: f[...].

  Returns:
    f[...], not negative.

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lectures 0, 1 and 2.
    Nair, Hinton: Rectified linear units improve restricted Boltzmann machines,
    2010.
  """
  chex.assert_type(x, float)
  return jax.nn.relu(x)


def leaky_relu(x: jax.Array, *, slope: float = 0.01) -> jax.Array:
  """Computes x where positive and slope * x elsewhere.

  Args:
    x: f[...].
    slope: gradient below 0. Lecture 2 shows both 0.1 and 0.01.

  Returns:
    f[...].

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lecture 2 ("Leaky ReLU").
    Maas, Hannun, Ng: Rectifier nonlinearities improve neural network acoustic
    models, 2013.
  """
  chex.assert_type(x, float)
  return jax.nn.leaky_relu(x, slope)


def prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
  """Computes x where positive and slope * x elsewhere, the slope learned.

  Args:
    x: f[..., C].
    slope: f[] for one slope or f[C] for one per channel.

  Returns:
    f[..., C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a slope of another shape.

  References:
    Lecture 2 ("Parametric ReLU").
    He, Zhang, Ren, Sun: Delving deep into rectifiers, 2015.
  """
  chex.assert_type([x, slope], float)
  if slope.shape not in ((), x.shape[-1:]):
    raise ValueError(
      f'slope: expected f[] or f[{x.shape[-1]}], got shape {slope.shape}'
    )
  return jnp.where(x > 0, x, slope.astype(x.dtype) * x)


def elu(x: jax.Array, *, alpha: float = 1.0) -> jax.Array:
  """Computes x where positive and alpha (exp(x) - 1) elsewhere.

  Args:
    x: f[...].
    alpha: minus the limit at minus infinity.

  Returns:
    f[...], above -alpha.

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lecture 2 ("ELU").
    Clevert, Unterthiner, Hochreiter: Fast and accurate deep network learning by
    exponential linear units, 2016.
  """
  chex.assert_type(x, float)
  return jax.nn.elu(x, alpha)


def softplus(x: jax.Array) -> jax.Array:
  """Computes ln(1 + exp(x)), a smooth ReLU.

  Args:
    x: f[...].

  Returns:
    f[...], positive.

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lecture 2 ("Other ReLUs").
  """
  chex.assert_type(x, float)
  return jax.nn.softplus(x)


def gelu(x: jax.Array) -> jax.Array:
  """Computes x Phi(x), Phi the normal distribution function (exact form).

  Args:
    x: f[...].

  Returns:
    f[...].

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Hendrycks, Gimpel: Gaussian error linear units, 2016.
  """
  chex.assert_type(x, float)
  return jax.nn.gelu(x, approximate=False)


def maxout(x: jax.Array, *, pieces: int) -> jax.Array:
  """Takes the maximum of several affine pieces for each unit.

  Args:
    x: f[..., pieces * m], the m units of the first piece, then those of the
      second, and so on: max(w1 x + b1, w2 x + b2) is one `dense` whose kernel
      is [w1 w2], followed by `maxout(., pieces=2)`.
    pieces: number of pieces.

  Returns:
    f[..., m].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where the last axis does not divide into that many pieces.

  References:
    Lecture 2 ("Maxout").
    Goodfellow, Warde-Farley, Mirza, Courville, Bengio: Maxout networks, 2013.
  """
  chex.assert_type(x, float)
  if x.ndim < 1 or pieces < 1 or x.shape[-1] % pieces:
    raise ValueError(
      f'x: expected a last axis that divides into {pieces} pieces, got shape'
      f' {x.shape}'
    )
  return x.reshape(*x.shape[:-1], pieces, -1).max(-2)


def softmax(x: jax.Array) -> jax.Array:
  """Computes exp(x_i) / sum_j exp(x_j) over the last axis.

  Args:
    x: f[..., n], scores of any size.

  Returns:
    f[..., n], not negative, summing to 1.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a scalar.

  References:
    Lectures 0, 1, 2 and 4 ("Softmax Layer").
  """
  chex.assert_type(x, float)
  if x.ndim < 1:
    raise ValueError('x: expected f[..., n], got a scalar')
  return jax.nn.softmax(x)


def log_softmax(x: jax.Array) -> jax.Array:
  """Computes the logarithm of `softmax`, without underflow.

  Args:
    x: f[..., n], scores of any size.

  Returns:
    f[..., n], not positive.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a scalar.

  References:
    Lectures 0 and 1 (the negative log likelihood of a softmax).
  """
  chex.assert_type(x, float)
  if x.ndim < 1:
    raise ValueError('x: expected f[..., n], got a scalar')
  return jax.nn.log_softmax(x)


def noisy_relu(key: jax.Array, x: jax.Array) -> jax.Array:
  """Computes max(0, x + eps) with eps drawn from N(0, sigmoid(x)).

  The noise has variance sigmoid(x), and is a constant to the gradient.

  Args:
    key: a random key.
    x: f[...].

  Returns:
    f[...], not negative.

  Raises:
    AssertionError: for a dtype that is not a float.

  References:
    Lecture 2 ("Other ReLUs").
    Nair, Hinton: Rectified linear units improve restricted Boltzmann machines,
    2010.
  """
  chex.assert_type(x, float)
  deviation = jax.lax.stop_gradient(jnp.sqrt(jax.nn.sigmoid(x)))
  return jax.nn.relu(x + deviation * jax.random.normal(key, x.shape, x.dtype))


def _drop(key, x, shape, rate):
  """Drops x where a mask of the given shape says so, and scales the rest."""
  chex.assert_type(x, float)
  if isinstance(rate, int | float) and not 0 <= rate < 1:
    raise ValueError(f'rate: expected a probability in [0, 1), got {rate}')
  # Sixteen random bits decide each element: one 32-bit draw serves two. The
  # survivors are scaled by the probability in use, which is the rate to within
  # 1 / 65536, so that the expectation is exact.
  size = math.prod(shape)
  bits = jax.random.bits(key, (-(-size // 2),), jnp.uint32)
  halves = jax.lax.bitcast_convert_type(bits, jnp.uint16).reshape(-1)[:size]
  dropped = jnp.round(jnp.asarray(rate, jnp.float32) * 65536)
  dropped = jnp.minimum(dropped, 65535)
  keep = halves.reshape(shape).astype(jnp.float32) >= dropped
  scale = (65536 / (65536 - dropped)).astype(x.dtype)
  return jnp.where(keep, x * scale, 0)


def dropout(
  key: jax.Array, x: jax.Array, *, rate: float | jax.Array
) -> jax.Array:
  """Sets each element to 0 with a probability, keeping the expectation.

  Survivors are divided by 1 - rate, so that testing needs no change: leave
  dropout out there. The rate is rounded to a multiple of 1 / 65536.

  Args:
    key: a random key.
    x: f[...].
    rate: probability of 0, in [0, 1); may be traced.

  Returns:
    f[...].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a rate outside [0, 1).

  References:
    Lecture 2 ("Dropout").
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: Dropout: a simple
    way to prevent neural networks from overfitting, 2014.
  """
  return _drop(key, x, x.shape, rate)


def spatial_dropout(
  key: jax.Array, x: jax.Array, *, rate: float | jax.Array
) -> jax.Array:
  """Drops whole feature maps, as `dropout` drops units.

  Args:
    key: a random key.
    x: f[*space, C].
    rate: probability that a map is 0, in [0, 1); may be traced.

  Returns:
    f[*space, C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a rate outside [0, 1), or a scalar.

  References:
    Tompson, Goroshin, Jain, LeCun, Bregler: Efficient object localization using
    convolutional networks, 2015.
  """
  if x.ndim < 1:
    raise ValueError('x: expected f[*space, C], got a scalar')
  return _drop(key, x, x.shape[-1:], rate)
