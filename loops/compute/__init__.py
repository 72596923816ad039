"""Beyond one machine: relaxations, generation and evaluations on a Dask cluster or a batch queue."""
