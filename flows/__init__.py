"""The top floor: what drives the chain. DVC and Prefect are imported here and nowhere else."""
