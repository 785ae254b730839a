"""The stages that need no board, done by the workers of a Dask scheduler (``pip install 'voxgate[dask]'``).

Files and values travel with each task, so workers share no disk with whoever asks; what comes back is kept in the
asking run's own cache. :mod:`~harness.cluster.tasks` is what a worker does, :mod:`~harness.cluster.scheduler` who asks.
"""
