import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dlcore import metrics


def pair(shape=(16, 19, 2)):
  rng = np.random.default_rng(0)
  a = gaussian_filter(rng.uniform(size=shape), (1, 1, 0))
  b = a + rng.normal(0, 0.05, shape)
  return a.astype(np.float32), b.astype(np.float32)


def ssim_by_scipy(a, b, peak):
  """Filters each channel, borders and all, and cuts the borders off."""
  values = []
  for x, y in zip(a.T.astype(float), b.T.astype(float), strict=True):
    blur = lambda v: gaussian_filter(v, 1.5, radius=5)[5:-5, 5:-5]
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x**2) - mx**2, blur(y**2) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    top = (2 * mx * my + c1) * (2 * cov + c2)
    values.append(np.mean(top / ((mx**2 + my**2 + c1) * (vx + vy + c2))))
  return np.mean(values)


@pytest.mark.parametrize('peak', [1, 255])
def test_ssim_is_scipys(peak):
  a, b = (peak * x for x in pair())
  expected = ssim_by_scipy(a, b, peak)
  assert 0.3 < expected < 0.9
  np.testing.assert_allclose(metrics.ssim(a, b, peak=peak), expected, 1e-4)


def test_ssim_of_one_window_by_hand():
  # Flat images have no variance: (2 * .2 * .4 + C1) / (.2^2 + .4^2 + C1).
  a, b = jnp.full((11, 11, 1), 0.2), jnp.full((11, 11, 1), 0.4)
  np.testing.assert_allclose(metrics.ssim(a, b), 0.1601 / 0.2001, 1e-4)
  # A checkerboard and its negative: means 1/2 both, covariance -variance.
  board = jnp.float32(np.indices((11, 11)).sum(0) % 2)[..., None]
  found = metrics.ssim(board, 1 - board)
  np.testing.assert_allclose(found, -(0.5 - 9e-4) / (0.5 + 9e-4), 1e-4)


def test_equal_images():
  a, b = pair()
  assert metrics.ssim(a, a) == 1
  assert metrics.psnr(a, a) == np.inf
  np.testing.assert_allclose(metrics.ssim(a, b), metrics.ssim(b, a), 1e-6)


def test_psnr_by_hand():
  # An error of 1/10 of the peak is 20 dB, and of 1/100 is 40.
  a = jnp.zeros((4, 5, 3))
  np.testing.assert_allclose(metrics.psnr(a, a + 0.1), 20, 1e-5)
  np.testing.assert_allclose(metrics.psnr(a, a + 2.55, peak=255), 40, 1e-5)
  half = a.at[:2].set(0.1)
  np.testing.assert_allclose(metrics.psnr(a, half), 20 + 10 * np.log10(2), 1e-5)
