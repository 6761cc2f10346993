"""Whether the clusters of an embedding are its classes; on the host, no jit.

Labels and clusters are i32[N] of any numbering; only who is with whom counts.
"""

import chex
import jax
import numpy as np

Array = jax.Array | np.ndarray


def nmi(labels: Array, clusters: Array) -> float:
  """Computes the mutual information over the mean of the two entropies.

  It grows with the number of clusters, also by chance; `ami` does not.

  Args:
    labels: i32[N].
    clusters: i32[N].

  Returns:
    A number in [0, 1].

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Strehl, Ghosh: Cluster ensembles, 2002.
  """
  from sklearn import metrics

  _check(labels, clusters)
  return float(metrics.normalized_mutual_info_score(labels, clusters))


def ami(labels: Array, clusters: Array) -> float:
  """Computes `nmi` with what is expected by chance taken off both terms.

  Args:
    labels: i32[N].
    clusters: i32[N].

  Returns:
    A number up to 1, near 0 for clusters made at random.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Vinh, Epps, Bailey: Information theoretic measures for clusterings
    comparison, 2010. Musgrave, Belongie, Lim: A metric learning reality check,
    2020 (why not NMI).
  """
  from sklearn import metrics

  _check(labels, clusters)
  return float(metrics.adjusted_mutual_info_score(labels, clusters))


def _check(labels: Array, clusters: Array) -> None:
  chex.assert_rank([labels, clusters], 1)
  chex.assert_equal_shape([labels, clusters])
  chex.assert_type([labels, clusters], int)


def cluster_scores(
  embeddings: Array, labels: Array, *, seed: int
) -> dict[str, float]:
  """Sets k-means clusters of the embeddings against the classes.

  Args:
    embeddings: f[N, D].
    labels: i32[N]; there are as many clusters as classes among them.
    seed: of the first centres.

  Returns:
    'nmi' and 'ami'.

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for another number of labels than embeddings, or embeddings that
      are not finite.

  References:
    Musgrave, Belongie, Lim: A metric learning reality check, 2020.
  """
  from sklearn import cluster

  chex.assert_rank([embeddings, labels], [2, 1])
  chex.assert_type([embeddings, labels], [float, int])
  if len(labels) != len(embeddings):
    raise ValueError(
      f'labels: expected i32[{len(embeddings)}], got shape {labels.shape}'
    )
  labels = np.asarray(labels)
  means = cluster.KMeans(len(np.unique(labels)), random_state=seed)
  clusters = means.fit_predict(np.asarray(embeddings))
  return {'nmi': nmi(labels, clusters), 'ami': ami(labels, clusters)}
