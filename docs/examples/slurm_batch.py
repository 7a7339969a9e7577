"""A batch on SLURM's GPUs: `python docs/examples/slurm_batch.py ROOT OUT` (needs dask-jobqueue, and a shared disk)."""

import sys

from dask_jobqueue import SLURMCluster

from scanweave import BatchSettings, batch


def gpu_workers() -> SLURMCluster:
    """A job for each worker: one GPU, the cores that read and register beside it, and the tag that says so."""
    return SLURMCluster(
        queue="gpu",
        processes=1,
        cores=1,
        job_cpu=4,
        memory="16GB",
        walltime="08:00:00",
        job_extra_directives=["--gres=gpu:1"],
        worker_extra_args=["--resources", "GPU=1"],
    )


if __name__ == "__main__":
    with gpu_workers() as cluster:
        cluster.scale(jobs=8)
        settings = BatchSettings(executor="dask", scheduler=cluster.scheduler_address)
        done = batch(sys.argv[1], sys.argv[2], settings=settings)
    print("\n".join(done.lines))
