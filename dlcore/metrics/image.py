"""How alike two images are; of ONE pair. Pixels run from 0 to `peak`."""

import chex
import jax
import jax.numpy as jnp

WINDOW = 11
SIGMA = 1.5


def psnr(
  a: jax.Array, b: jax.Array, *, peak: float | jax.Array = 1.0
) -> jax.Array:
  """Computes the peak signal-to-noise ratio, 10 log10(peak^2 / MSE).

  Args:
    a: f[...].
    b: f[...].
    peak: the largest possible value.

  Returns:
    f32[], in dB; infinite for equal images.

  Raises:
    AssertionError: for different shapes, a dtype that is not a float, or a
      peak that is not one number.

  References:
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment, 2004.
  """
  chex.assert_rank(peak, 0)
  chex.assert_equal_shape([a, b])
  chex.assert_type([a, b], float)
  error = jnp.mean((jnp.asarray(a, float) - jnp.asarray(b, float)) ** 2)
  return 10 * jnp.log10(peak**2 / error)


def ssim(
  a: jax.Array, b: jax.Array, *, peak: float | jax.Array = 1.0
) -> jax.Array:
  """Compares local means, variances and covariances: structural similarity.

  They are taken under Gaussian windows of 11 x 11 pixels with sigma 1.5 that
  lie within the image, and the index is averaged over windows and channels.

  Args:
    a: f[H, W, C].
    b: f[H, W, C].
    peak: the largest possible value.

  Returns:
    f32[], in [-1, 1]; 1 for equal images.

  Raises:
    AssertionError: for wrong ranks, different shapes or wrong dtypes.
    ValueError: for images below 11 x 11.

  References:
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment, 2004.
  """
  chex.assert_rank([a, b, peak], [3, 3, 0])
  chex.assert_equal_shape([a, b])
  chex.assert_type([a, b], float)
  if min(a.shape[:2]) < WINDOW:
    raise ValueError(
      f'a, b: expected at least {WINDOW} x {WINDOW} pixels, got {a.shape}'
    )
  a, b = jnp.asarray(a, float), jnp.asarray(b, float)
  bell = jnp.exp(-0.5 * ((jnp.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
  window = jnp.outer(bell, bell) / bell.sum() ** 2

  def local_mean(x):
    return jax.scipy.signal.convolve2d(
      x, window, mode='valid', precision='highest'
    )

  local_mean = jax.vmap(local_mean, -1, -1)
  mean_a, mean_b = local_mean(a), local_mean(b)
  variance_a = local_mean(a * a) - mean_a**2
  variance_b = local_mean(b * b) - mean_b**2
  covariance = local_mean(a * b) - mean_a * mean_b
  # Keep the ratios defined where an image is flat.
  c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
  luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
  structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
  return jnp.mean(luminance * structure)
